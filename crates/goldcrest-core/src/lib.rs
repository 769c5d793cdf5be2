//! The release format and the rules of Goldcrest as pure functions: no I/O, no clock, no randomness, no async.
//!
//! The byte formats are specified in `docs/release-format.md` and `docs/protocol.md`; golden cases that the board's code reads
//! too are in `vectors/`. Everything that reads what a stranger sent answers with a [`Refused`](refusal::Refused) and never panics.

pub mod archive;
pub mod delta;
pub mod deployment;
pub mod digest;
pub mod keyring;
mod line;
pub mod manifest;
pub mod message;
pub mod minify;
pub mod mpy;
pub mod name;
pub mod object;
pub mod path;
pub mod refusal;
pub mod rollout;
pub mod signature;
mod text_type;

pub use digest::Digest;
pub use manifest::{Manifest, SignedManifest};
pub use refusal::{Refusal, Refused};
