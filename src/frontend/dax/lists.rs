//! Lists of attribute names: their ids, and the names behind an id.
//!
//! A new list is on the disk before a client hears of its id, and nothing on the thread of a connection waits for that.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use super::super::Caller;
use crate::dax::answer::Reply;
use crate::dax::attribute_lists::{AttributeLists, DefineError};
use crate::dax::cbor::Writer;
use crate::model::{ApiError, ErrorCode};
use crate::telemetry::Repeats;

/// How often it is logged that lists cannot be kept.
const NOT_KEPT_INTERVAL: Duration = Duration::from_secs(60);

/// Why lists could not be kept lately. There is one table of lists in a process.
static NOT_KEPT: LazyLock<Repeats<bool>> = LazyLock::new(|| Repeats::new(NOT_KEPT_INTERVAL));

/// Gives ids to lists of names, on a thread that may block.
///
/// # Errors
/// Those of the table of lists: it is full, a list is longer than any item has names, or the disk fails.
async fn define(lists: &Arc<AttributeLists>, names: Vec<Vec<String>>) -> Result<(), ApiError> {
    blocking(lists, move |lists| lists.define_all(&names).inspect_err(report)).await
}

/// Gives ids to lists that an answer needs. Those that cannot be kept are lent: what was asked for has been done, and a client would
/// repeat it if it heard of an error.
///
/// # Errors
/// For names that no item has.
pub(super) async fn define_for_answer(
    lists: &Arc<AttributeLists>,
    names: Vec<Vec<String>>,
) -> Result<(), ApiError> {
    blocking(lists, move |lists| match lists.define_all(&names).inspect_err(report) {
        Err(DefineError::Full | DefineError::NotStored(_)) => lists.lend(&names),
        defined => defined,
    })
    .await
}

async fn blocking(
    lists: &Arc<AttributeLists>,
    work: impl FnOnce(&AttributeLists) -> Result<(), DefineError> + Send + 'static,
) -> Result<(), ApiError> {
    let lists = Arc::clone(lists);
    let done = tokio::task::spawn_blocking(move || work(&lists).map_err(ApiError::from)).await;
    done.unwrap_or_else(|_| Err(ApiError::new(ErrorCode::InternalServerError, "Internal server error")))
}

/// Logs that lists cannot be kept, once a minute for each reason.
fn report(error: &DefineError) {
    let is_full = matches!(error, DefineError::Full);
    if matches!(error, DefineError::Invalid(_)) || NOT_KEPT.note(is_full, Instant::now()).is_none() {
        return;
    }
    match error {
        DefineError::NotStored(reason) => tracing::error!(
            error = %reason,
            "The file of attribute lists cannot be written. DAX clients cannot write items with new sets of attribute names."
        ),
        _ => tracing::error!(
            "The table of attribute lists is full. DAX clients cannot write items with new sets of attribute names."
        ),
    }
}

/// Makes sure that a caller may use lists: whoever has no right on any item need not fill the table, nor ask what names others have.
///
/// # Errors
/// `AccessDeniedException`.
pub(super) fn admit(caller: &Caller<'_>) -> Result<(), ApiError> {
    match caller.principal() {
        Some(principal) if !principal.rights.allow_items() => {
            let words = format!(
                "User: {} is not authorized to use attribute lists: it has no right on items",
                principal.name
            );
            Err(ApiError::new(ErrorCode::AccessDenied, words))
        }
        _ => Ok(()),
    }
}

/// The id of a list of names, which is a new one for a new list.
///
/// # Errors
/// As [`define`].
pub(super) async fn id_of(lists: &Arc<AttributeLists>, names: Vec<String>) -> Result<Reply, ApiError> {
    let found = |names: &[String]| lists.find_kept(names.iter().map(String::as_str)).map(|list| list.id());
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
