//! Packets of MQTT clients: the first byte chooses the version, then frames follow as on a connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| goldcrest_server::fuzzing::mqtt(bytes));
