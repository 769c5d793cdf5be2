//! The MQTT bench: our endpoint and mosquitto in one run, with the same clients on the same machine.

pub mod chunks;
pub mod client;
pub mod contest;
pub mod peers;
