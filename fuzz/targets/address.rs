//! Addresses that boards of other systems ask for: nothing that comes out climbs.
#![no_main]

libfuzzer_sys::fuzz_target!(|path: &str| goldcrest_server::fuzzing::address(path));
