//! The management API (docs/api.md): JSON over HTTP, one file per noun.

pub(crate) mod channels;
pub(crate) mod credentials;
pub(crate) mod deployments;
pub(crate) mod devices;
pub(crate) mod enrolments;
pub(crate) mod events;
pub(crate) mod exports;
pub(crate) mod feeds;
pub(crate) mod health;
pub(crate) mod keyring;
pub(crate) mod metrics;
pub(crate) mod mqtt_rules;
pub(crate) mod packages;
pub(crate) mod page;
pub(crate) mod pending;
pub(crate) mod pending_boards;
pub(crate) mod profiles;
pub(crate) mod releases;
pub(crate) mod rollouts;
pub(crate) mod telemetry;
pub(crate) mod things;
pub(crate) mod tokens;
pub(crate) mod uploads;

use goldcrest_core::Refused;

use crate::failure::Failure;

/// A name of the request that breaks its rule: `invalid`, not the `format` of a manifest.
fn invalid(refused: Refused) -> Failure {
    Failure::Invalid(refused.detail)
}
