//! The page that a Query or Scan asks for, as far as the cache must understand it.

use tokio::time::Instant;

use crate::cache::{PagePolicy, PageScope};
use crate::wire::Json;
use crate::wire::page::{Output, PageKind, PageRange, PageRequest};
use crate::wire::request::ReturnConsumedCapacity;

use super::BypassReason;
use super::known::{KnownIndex, KnownTable};

/// A page that is asked for, understood whole.
pub(super) struct AskedPage {
    /// The position of the index that is read, if one is.
    pub(super) index: Option<usize>,
    /// Canonical bytes of what is meant.
    pub(super) fingerprint: Vec<u8>,
    /// What the page depends on.
    pub(super) scope: PageScope,
    pub(super) policy: PagePolicy,
    pub(super) consistent: bool,
    pub(super) consumed: ReturnConsumedCapacity,
    /// The page shows whole items of the table, for which the cache of items has a use.
    pub(super) shows_items: bool,
}

impl AskedPage {
    /// Understands a request; an error is the reason why the upstream must.
    pub(super) fn read(kind: PageKind, body: &Json<'_>, table: &KnownTable) -> Result<Self, BypassReason> {
        let index_name = body.get("IndexName").and_then(Json::text);
        if index_name.is_some_and(|name| table.schema.index(name).is_none()) {
            return Err(BypassReason::IndexNotReady);
        }
        let request =
            PageRequest::read(kind, body, &table.schema).map_err(|_| BypassReason::NotUnderstood)?;
        let index = request.index.and_then(|position| table.indexes.get(position));
        if index.is_some_and(|index| !index.is_settled) {
            return Err(BypassReason::IndexNotReady);
        }
        let policy = index.map_or(table.pages, |index| index.pages).ok_or(BypassReason::Disabled)?;
        let mut fingerprint = Vec::with_capacity(256);
        request.write_fingerprint(&table.schema, &mut fingerprint);
        Ok(Self {
            index: request.index,
            fingerprint,
            scope: scope_of(&request, table, index),
            policy,
            consistent: request.consistent,
            consumed: request.consumed,
            shows_items: policy.fill_items && index.is_none() && request.output == Output::Rows,
        })
    }

    /// Lets the table know which of its pages are asked for.
    pub(super) fn note(&self, table: &KnownTable, now: Instant) {
        if self.index.is_some_and(|index| table.indexes[index].global.is_some()) {
            table.note_index_page(now);
        }
    }
}

/// What the page depends on.
fn scope_of(request: &PageRequest, table: &KnownTable, index: Option<&KnownIndex>) -> PageScope {
    let global = index.and_then(|index| index.global.as_ref());
    match (&request.range, global) {
        (PageRange::Query(interval), global) => {
            let mut partition = Vec::with_capacity(32);
            interval.write_partition(&mut partition);
            match global {
                Some(index) => PageScope::index_partition(index, &partition),
                None => PageScope::partition(&table.cached, &partition),
            }
        }
        (PageRange::Scan(_), Some(index)) => PageScope::index(index),
        (PageRange::Scan(_), None) => PageScope::table(),
    }
}
