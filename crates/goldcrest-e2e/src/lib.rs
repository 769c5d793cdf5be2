//! End-to-end tests of Goldcrest: what they need beside the product itself.
#![expect(clippy::format_push_string, reason = "texts are built line by line, as in goldcrest")]

pub mod bench;
pub mod crafted;
pub mod device;
pub mod emulators;
pub mod hostile;
pub mod mosquitto;
pub mod mqtt_bench;
pub mod origin;
pub mod rig;
pub mod wire;
