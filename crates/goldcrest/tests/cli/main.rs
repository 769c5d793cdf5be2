//! The real program in a folder of its own, against a real server: what it prints, what it refuses, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes expectations this way")]
#![allow(clippy::similar_names, reason = "what is packed is a pack")]

mod export;
mod files;
mod git;
mod import;
mod keys;
mod migrate;
mod mqtt;
mod pack;
mod publish;
mod refuse;
mod rollout;
mod sandbox;
mod surroundings;
