//! The native device protocol over HTTP (docs/protocol.md): one file per request.

pub(crate) mod check_in;
pub(crate) mod enroll;
pub(crate) mod keyring;
pub(crate) mod objects;
pub(crate) mod range;
pub(crate) mod report;

use axum::http::HeaderName;

/// Who sends it runs our agent; its value is the agent protocol.
pub(crate) const AGENT: HeaderName = HeaderName::from_static("goldcrest-agent");
