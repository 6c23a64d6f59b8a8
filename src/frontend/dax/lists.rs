//! Lists of attribute names: their ids, and the names behind an id.
//!
//! A new list is on the disk before a client hears of its id, and nothing on the thread of a connection waits for that.

use std::sync::Arc;

use crate::dax::answer::Reply;
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::Writer;
use crate::model::{ApiError, ErrorCode};

/// Gives ids to lists of names, on a thread that may block.
///
/// # Errors
/// Those of the table of lists: it is full, a list is longer than any item has names, or the disk fails.
pub(super) async fn define(lists: &Arc<AttributeLists>, names: Vec<Vec<String>>) -> Result<(), ApiError> {
    let lists = Arc::clone(lists);
    let defining = tokio::task::spawn_blocking(move || lists.define_all(&names).map_err(ApiError::from));
    defining
        .await
        .unwrap_or_else(|_| Err(ApiError::new(ErrorCode::InternalServerError, "Internal server error")))
}

/// The id of a list of names, which is a new one for a new list.
///
/// # Errors
/// As [`define`].
pub(super) async fn id_of(lists: &Arc<AttributeLists>, names: Vec<String>) -> Result<Reply, ApiError> {
    let found = |names: &[String]| lists.find(names.iter().map(String::as_str)).map(|list| list.id());
    let id = match found(&names) {
        Some(id) => id,
        None => {
            define(lists, vec![names.clone()]).await?;
            let internal = || ApiError::new(ErrorCode::InternalServerError, "Internal server error");
            found(&names).ok_or_else(internal)?
        }
    };
    let mut bytes = Vec::with_capacity(16);
    let mut writer = Writer::new(&mut bytes);
    writer.array(0);
    writer.unsigned(id);
    Ok(Reply { bytes, error: None })
}

/// The names behind an id.
///
/// # Errors
/// A `ValidationException` for an id that nobody was given.
pub(super) fn names_of(lists: &AttributeLists, id: i64) -> Result<Reply, ApiError> {
    let list = u64::try_from(id).ok().and_then(|id| lists.list(id));
    let list = list.ok_or_else(|| ApiError::validation("There is no attribute list of this id"))?;
    let mut bytes = Vec::with_capacity(64);
    let mut writer = Writer::new(&mut bytes);
    writer.array(0);
    writer.array(list.len());
    list.names().for_each(|name| writer.text(name));
    Ok(Reply { bytes, error: None })
}
