//! End-to-end tests of Goldcrest: what they need beside the product itself.

pub mod crafted;
pub mod hostile;
