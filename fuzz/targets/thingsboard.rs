//! Messages of boards of ThingsBoard: whatever comes is read, or refused, and nothing is made up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| goldcrest_server::fuzzing::thingsboard(bytes));
