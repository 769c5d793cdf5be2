//! The MQTT endpoint over real sockets, with a client that writes and reads every byte itself.

mod attach;
pub(crate) mod client;
mod delivery;
mod hostile;
mod native;
mod sessions;
mod subscriptions;
mod thingsboard;
mod transports;
mod version_5;
