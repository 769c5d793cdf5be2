//! The device bench: our agent and the PyPI package `micropython-ota` on the same boards with the same files, and the history of microdot.
//!
//! `cargo xtask bench device` runs it; docs/benchmarks.md says what is measured how.

pub mod contest;
pub mod exchange;
pub mod history;
pub mod nginx;
pub mod ours;
pub mod payload;
pub mod sdists;
pub mod smallest;
pub mod table;
pub mod theirs;
pub mod wheels;
