//! Servers of others, written from what they are known to answer, apart from our own server's code.

pub mod git;
