//! Tests of `archive`.
