//! What a tag may be: the rules of TagResource, UntagResource and CreateTable.
//!
//! One tag that breaks a rule fails the whole request. The words are the service's (recorded 2026-10).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ApiError;
use crate::wire::Json;

/// The most tags of a resource, and the most keys that one request may take off.
const TAGS_MAX: usize = 50;
/// The longest key, in UTF-16 units.
const KEY_LENGTH_MAX: usize = 128;
/// The longest value, in UTF-16 units.
const VALUE_LENGTH_MAX: usize = 256;
/// Keys that begin so belong to the service.
const RESERVED: &str = "aws:";

/// The tags of a request, by key.
///
/// # Errors
/// `ValidationException` for a key or value that no tag may have, for keys that are reserved or repeated, and for too many
/// tags.
pub(super) fn tags(body: &Json<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    let elements = body.get("Tags").and_then(Json::elements).unwrap_or_default();
    let mut tags = BTreeMap::new();
    for element in elements {
        let key = check_key(element.get("Key").and_then(Json::text))?;
        let value = check_value(element.get("Value").and_then(Json::text))?;
        if key.starts_with(RESERVED) {
            return Err(ApiError::validation(format!("Tag Key cannot be prefixed with aws:, Key: {key}")));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::validation(format!(
                "Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}"
            )));
        }
    }
    check_count(tags.len())?;
    Ok(tags)
}

/// The keys that a request takes off.
///
/// # Errors
/// `ValidationException` for a key that no tag may have, and for too many keys.
pub(super) fn keys(elements: &[Json<'_>]) -> Result<BTreeSet<String>, ApiError> {
    let keys = elements.iter().map(|element| check_key(element.text()).map(str::to_owned));
    let keys = keys.collect::<Result<BTreeSet<_>, _>>()?;
    check_count(keys.len())?;
    Ok(keys)
}

/// Rejects more tags than a resource may have.
///
/// # Errors
/// `ValidationException`.
pub(super) fn check_count(tags: usize) -> Result<(), ApiError> {
    if tags > TAGS_MAX {
        return Err(ApiError::validation(
            "Number of Tags exceed the current limit for the provided ResourceArn",
        ));
    }
    Ok(())
}

fn check_key(key: Option<&str>) -> Result<&str, ApiError> {
    key.filter(|key| !key.is_empty() && is_tag_text(key, KEY_LENGTH_MAX)).ok_or_else(|| {
        ApiError::validation(format!("The Tag Key provided is invalid, Key: {}", key.unwrap_or("null")))
    })
}

fn check_value(value: Option<&str>) -> Result<&str, ApiError> {
    value.filter(|value| is_tag_text(value, VALUE_LENGTH_MAX)).ok_or_else(|| {
        ApiError::validation(format!("The Tag Value provided is invalid, Value: {}", value.unwrap_or("null")))
    })
}

/// True for letters and digits of any script, spaces that are no control characters, and a few signs.
fn is_tag_text(text: &str, length_max: usize) -> bool {
    let is_allowed = |letter: char| {
        letter.is_alphanumeric()
            || (letter.is_whitespace() && !letter.is_control())
            || matches!(letter, '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
    };
    text.encode_utf16().count() <= length_max && text.chars().all(is_allowed)
}
