//! What an insigh.io thing publishes: a topic up to the first NUL, then `SenML`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| goldcrest_server::fuzzing::insighio(bytes));
