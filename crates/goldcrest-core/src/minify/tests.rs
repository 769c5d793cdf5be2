//! Tests of `minify`.
