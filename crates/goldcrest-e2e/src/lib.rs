//! End-to-end tests of Goldcrest: what they need beside the product itself.

pub mod bench;
pub mod crafted;
pub mod hostile;
pub mod rig;
pub mod wire;
