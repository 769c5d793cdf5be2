//! The foreign systems whose boards are served, and by what their boards are known. The protocols themselves are in [`crate::adapters`].

use crate::failure::Failure;
use crate::token;

/// Most bytes of a foreign device's id or token.
const MAX_ID: usize = 128;

/// A foreign system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adapter {
    MicropythonOta,
    Sensorclass,
    Gogs,
    Thingsboard,
    Insighio,
}

impl Adapter {
    pub(crate) const ALL: [Self; 5] =
        [Self::MicropythonOta, Self::Sensorclass, Self::Gogs, Self::Thingsboard, Self::Insighio];

    /// Its name in the API, the command line and the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::MicropythonOta => "micropython-ota",
            Self::Sensorclass => "sensorclass",
            Self::Gogs => "gogs",
            Self::Thingsboard => "thingsboard",
            Self::Insighio => "insighio",
        }
    }

    /// # Errors
    /// `Invalid` for a name that no adapter has.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        Self::ALL.into_iter().find(|adapter| adapter.as_str() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|adapter| adapter.as_str()).collect();
            Failure::Invalid(format!("adapter {text:?} is none of {}", names.join(", ")))
        })
    }

    /// Whether its boards find their files under a path of a feed, and not by a credential of their own.
    pub(crate) fn has_feeds(self) -> bool {
        matches!(self, Self::MicropythonOta | Self::Sensorclass | Self::Gogs)
    }

    /// A device's id as it is stored: what is looked up when a board shows `id`.
    ///
    /// # Errors
    /// `Invalid` when it can't be one, or when this adapter does not tell its boards apart.
    pub(crate) fn stored_id(self, id: &str) -> Result<String, Failure> {
        if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
            return Err(Failure::Invalid(format!("the id of a device is not 1 to {MAX_ID} bytes of text")));
        }
        match self {
            Self::Sensorclass => mac(id).ok_or_else(|| Failure::Invalid(format!("{id:?} is not a MAC address"))),
            // It is the whole secret.
            Self::Thingsboard => Ok(token::hash(id)),
            // It is a level of its topics.
            Self::Insighio if id.contains(['/', '+', '#', '?', '&']) || id.contains(char::is_whitespace) => {
                Err(Failure::Invalid(format!("the id of a thing has no / + # ? & and spaces: {id:?}")))
            }
            Self::Insighio => Ok(id.to_owned()),
            Self::MicropythonOta | Self::Gogs => Err(Failure::Invalid(format!(
                "boards of {} do not say who they are: open a feed for them",
                self.as_str()
            ))),
        }
    }
}

/// A MAC address as 12 lower-case hexadecimal digits, however it is written.
pub(crate) fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    (digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
}
