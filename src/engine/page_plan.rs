//! What a Query or Scan means, as far as the cache must understand it.

use tokio::time::Instant;

use crate::cache::{PagePolicy, PageScope};
use crate::call::PlainQuery;
use crate::model::{KeySchema, TableSchema};

use crate::wire::Json;
use crate::wire::page::{Output, PageKind, PageRange, PageRequest, RowSource};
use crate::wire::raw::RawObject;
use crate::wire::request::{ReturnConsumedCapacity, item_key_bytes, item_partition_bytes};

use super::BypassReason;
use super::known_table::{KnownIndex, KnownTable};

/// What a request for a page means, understood whole.
#[derive(Clone)]
pub(super) struct PagePlan {
    /// The position of the index that is read, if one is.
    pub(super) index: Option<usize>,
    /// Canonical bytes of what is meant.
    pub(super) fingerprint: Vec<u8>,
    /// What the page depends on.
    pub(super) scope: PageScope,
    pub(super) policy: PagePolicy,
    pub(super) consistent: bool,
    pub(super) consumed: ReturnConsumedCapacity,
    expected: ExpectedItems,
    /// What a consistent Query reads, if it asks for nothing but whole items of the table itself.
    plain: Option<Box<PageRequest>>,
}

/// What must be true of the items of a page, or it is none of the page that was asked for.
#[derive(Clone)]
pub(super) struct ExpectedItems {
    /// The position of the index that is read, if one is.
    index: Option<usize>,
    /// The partition that a Query reads.
    partition: Option<Vec<u8>>,
    /// A global index is read.
    is_global: bool,
    /// Items are shown whole, as far as what is read has them.
    are_whole: bool,
    /// The answer must say what the page costs.
    is_charge_asked: bool,
    /// They are whole items of the table, for which the cache of items has a use.
    pub(super) are_offered: bool,
}

impl PagePlan {
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
            expected: ExpectedItems {
                index: request.index,
                partition: partition_of(&request.range),
                is_global: index.is_some_and(|index| index.global.is_some()),
                are_whole: request.output == Output::Rows,
                is_charge_asked: request.consumed != ReturnConsumedCapacity::None,
                are_offered: policy.fill_items && index.is_none() && request.output == Output::Rows,
            },
            plain: is_plain(&request).then(|| Box::new(request)),
        })
    }

    /// The same as a question to an upstream that takes it without a request.
    pub(super) fn plain_query<'a>(&'a self, schema: &'a TableSchema) -> Option<PlainQuery<'a>> {
        let request = self.plain.as_deref()?;
        let PageRange::Query(interval) = &request.range else { return None };
        let (limit, direction) = (request.limit, request.direction);
        let start = request.start.as_ref().map(|start| &start.table);
        Some(PlainQuery { schema, interval, start, limit, direction })
    }

    /// What must be true of the page's items.
    pub(super) fn expected(&self) -> ExpectedItems {
        self.expected.clone()
    }

    /// The canonical bytes of the partition that a Query reads, of the table or of an index.
    pub(super) fn partition(&self) -> Option<&[u8]> {
        self.expected.partition.as_deref()
    }

    /// Lets the table know which of its pages are asked for. True if other nodes should hear of it.
    pub(super) fn note(&self, table: &KnownTable, now: Instant) -> bool {
        self.is_of_global_index() && table.note_index_page(now)
    }

    /// True if a global index is read, which cannot be read strongly.
    pub(super) fn is_of_global_index(&self) -> bool {
        self.expected.is_global
    }
}

impl ExpectedItems {
    /// The partition of the table that the page is of; `None` if its items may be of any.
    pub(super) fn partition_of_table(&self) -> Option<&[u8]> {
        self.partition.as_deref().filter(|_| !self.is_global)
    }

    /// True if an answer of the local backend is the page and nothing else, whose items fit the schema and the partition that was
    /// asked for: they do if the table was read by this schema.
    pub(super) fn are_of_page_read_by(&self, read_by: &TableSchema, schema: &TableSchema) -> bool {
        let has_index = |position: usize| {
            let known = &schema.indexes[position];
            read_by.index(&known.name).is_some_and(|index| index.kind == known.kind && index.key == known.key)
        };
        !self.is_charge_asked && read_by.key == schema.key && self.index.is_none_or(has_index)
    }

    /// True if the items of an answer, and the key that it ends with, fit the schema and the partition that was asked for.
    pub(super) fn fit(&self, answer: &RawObject<'_>, schema: &TableSchema) -> bool {
        let index_key = self.index.map(|index| &schema.indexes[index].key);
        let source = index_key.unwrap_or(&schema.key);
        let of_index = || index_key.into_iter().flat_map(KeySchema::attributes);
        let names = || schema.key.attributes().chain(of_index()).map(|key| key.name.as_str());
        let is_row = |item: &RawObject<'_>| {
            let key = item.only(names());
            let partition = item_partition_bytes(source, &key);
            item_key_bytes(&schema.key, &key).is_some()
                && partition
                    .is_some_and(|partition| self.partition.as_ref().is_none_or(|own| *own == partition))
        };
        let last = answer.get("LastEvaluatedKey");
        let last = last.and_then(|last| RawObject::parse(last.as_bytes()));
        if last.is_some_and(|last| !is_row(&last)) {
            return false;
        }
        let items = answer.get("Items").filter(|_| self.are_whole);
        items.is_none_or(|items| RawObject::parse_list(items).is_some_and(|items| items.iter().all(is_row)))
    }
}

/// True for a consistent Query for nothing but whole items of the table itself.
fn is_plain(request: &PageRequest) -> bool {
    request.consistent
        && request.index.is_none()
        && matches!(request.range, PageRange::Query(_))
        && request.filter.is_none()
        && request.output == Output::Rows
        && request.rows == RowSource::Itself
        && request.consumed == ReturnConsumedCapacity::None
}

fn partition_of(range: &PageRange) -> Option<Vec<u8>> {
    let PageRange::Query(interval) = range else { return None };
    let mut partition = Vec::with_capacity(32);
    interval.write_partition(&mut partition);
    Some(partition)
}

/// What the page depends on.
fn scope_of(request: &PageRequest, table: &KnownTable, index: Option<&KnownIndex>) -> PageScope {
    let global = index.and_then(|index| index.global.as_ref());
    match (partition_of(&request.range), global) {
        (Some(partition), Some(index)) => PageScope::index_partition(index, &partition),
        (Some(partition), None) => PageScope::partition(&table.cached, &partition),
        (None, Some(index)) => PageScope::index(index),
        (None, None) => PageScope::table(),
    }
}
