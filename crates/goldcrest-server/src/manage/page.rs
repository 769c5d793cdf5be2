//! Pages of a list: how many items, after which one.

use serde::Deserialize;

use crate::failure::Failure;

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;

/// The number of items that a page has at most.
///
/// # Errors
/// `Invalid` outside of 1 to 1000.
pub(crate) fn limit(asked: Option<i64>) -> Result<i64, Failure> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        limit => Err(Failure::Invalid(format!("limit {limit} is not between 1 and {MAX_LIMIT}"))),
    }
}

/// Where the next page starts: the key of the last item, when the page is full.
pub(crate) fn next<T, K>(items: &[T], limit: i64, key: impl Fn(&T) -> K) -> Option<K> {
    let is_full = i64::try_from(items.len()).is_ok_and(|count| count >= limit);
    items.last().filter(|_| is_full).map(key)
}

/// The query of a list that is ordered by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByName {
    #[serde(default)]
    pub(crate) after: String,
    pub(crate) limit: Option<i64>,
}

/// The query of a list that is ordered by time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ById {
    pub(crate) after: Option<i64>,
    pub(crate) limit: Option<i64>,
}

/// The query of a list that may be narrowed to one package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfPackage {
    pub(crate) package: Option<String>,
    pub(crate) after: Option<i64>,
    pub(crate) limit: Option<i64>,
}
