//! Tokens: 32 random bytes that are shown once and kept only as a hash.

use axum::http::{HeaderMap, header};
use data_encoding::BASE64URL_NOPAD;
use goldcrest_core::Digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::failure::Failure;

const RANDOM_BYTES: usize = 32;
/// Longest `Authorization` value that is looked at.
const MAX_HEADER: usize = 256;

/// Whom a token speaks for. The prefix lets people and secret scanners tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Admin,
    Device,
    /// Only to become a device.
    Enrolment,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Admin => "gca_",
            Self::Device => "gcd_",
            Self::Enrolment => "gce_",
        }
    }

    /// What kind of token this text could be.
    pub(crate) fn of(text: &str) -> Option<Self> {
        [Self::Admin, Self::Device].into_iter().find(|kind| text.starts_with(kind.prefix()))
    }
}

/// A new token: its text, to be shown once.
pub(crate) fn make(kind: TokenKind) -> anyhow::Result<String> {
    let mut random = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    Ok(format!("{}{}", kind.prefix(), BASE64URL_NOPAD.encode(&random)))
}

/// A short text that nobody guesses: for boards that hold no more, 20 characters.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut random = [0; 15];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
    Ok(BASE64URL_NOPAD.encode(&random))
}

/// What is stored. The token has 256 random bits, so one plain SHA-256 is enough, and it can be looked up by an index.
pub(crate) fn hash(token: &str) -> String {
    Digest::of(token.as_bytes()).to_string()
}

/// Kind and hash of the token of a request.
///
/// # Errors
/// `Failure::Unauthenticated` when there is none that could be one.
pub(crate) fn of_request(headers: &HeaderMap) -> Result<(TokenKind, String), Failure> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Failure::Unauthenticated)?;
    let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER).ok_or(Failure::Unauthenticated)?;
    let (scheme, token) = text.split_once(' ').ok_or(Failure::Unauthenticated)?;
    match TokenKind::of(token) {
        Some(kind) if scheme.eq_ignore_ascii_case("bearer") => Ok((kind, hash(token))),
        _ => Err(Failure::Unauthenticated),
    }
}
