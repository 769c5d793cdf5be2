//! Tests of `mpy`.
