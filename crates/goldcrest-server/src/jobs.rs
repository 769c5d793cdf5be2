//! Work that goes on beside the requests. A job may run twice, and be cut off anywhere: what it left undone is done at the next start.

pub(crate) mod deltas;
pub(crate) mod mirrors;
