//! The native device protocol over HTTP (docs/protocol.md): one file per request.

pub(crate) mod check_in;
pub(crate) mod enroll;
pub(crate) mod keyring;
pub(crate) mod objects;
pub(crate) mod range;
pub(crate) mod report;
