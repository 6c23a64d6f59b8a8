//! Reads that go past the cache, in the client's own words.
//!
//! One thing may be added to the words: where this node has lately written to a table, and a replica may lag, its reads are sent
//! with `ConsistentRead`, so that they too show what the node has acknowledged. Global indexes cannot be read so.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use crate::call::Request;
use crate::model::schema::IndexKind;
use crate::model::{ErrorCode, Operation, partiql};
use crate::wire::Json;
use crate::wire::json::{with_member, write_json, write_map};
use crate::wire::named::STATEMENT_BYTES_MAX;

use super::known_table::KnownTable;
use super::{BypassReason, Engine, Served, Source};

impl Engine {
    /// Sends a read upstream. One that is rejected with `ConsistentRead` is sent as it came: its client must hear what is wrong with
    /// its own words, and these may be fit to be read eventually only.
    pub(super) async fn bypass(&self, request: &Request, reason: BypassReason) -> Served {
        let sent = self.with_fresh_reads(request);
        let mut answer = self.forward(&sent).await;
        let is_changed = matches!(sent, Cow::Owned(_));
        let is_rejected =
            matches!(answer.rejection(), Some(ErrorCode::Validation | ErrorCode::Serialization));
        if is_changed && is_rejected {
            answer = self.forward(request).await;
        }
        Served::plain(answer, Source::Bypass(reason))
    }

    /// Sends a read of a table that is not known upstream.
    pub(super) async fn bypass_unknown(&self, request: &Request, spelling: &str) -> Served {
        let sent = Instant::now();
        let served = self.bypass(request, BypassReason::UnknownTable).await;
        if served.answer.is_success() {
            // The table may be known by another name.
            self.cache.note_all_shown(self.realm, sent, Instant::now());
            self.tables.questions.table_exists(spelling);
        }
        served
    }

    /// Sends a read upstream that does not fit what is known of its table. If the upstream takes it all the same, the table may
    /// have another schema.
    pub(super) async fn bypass_misfit(
        self: &Arc<Self>,
        request: &Request,
        reason: BypassReason,
        table: &KnownTable,
    ) -> Served {
        let sent = Instant::now();
        let served = self.bypass(request, reason).await;
        if served.answer.is_success() {
            self.cache.note_shown(&table.cached, None, sent, Instant::now());
            self.doubt(table);
        }
        Served { table: Some(Arc::clone(&table.name)), ..served }
    }

    /// The request, with `ConsistentRead` for the tables that this node has written within the time that a replica may lag.
    /// One that cannot be read, or whose own `ConsistentRead` is no boolean, stays as it is.
    pub(super) fn with_fresh_reads<'r>(&self, request: &'r Request) -> Cow<'r, Request> {
        if self.upstream.never_lags() {
            return Cow::Borrowed(request);
        }
        let Ok(body) = Json::parse(&request.body) else { return Cow::Borrowed(request) };
        let changed = match request.operation {
            Operation::BatchGetItem => self.batch_with_fresh_reads(&body),
            Operation::GetItem | Operation::Query | Operation::Scan => {
                let index = body.get("IndexName").map(|name| name.text().unwrap_or_default());
                let table = body.get("TableName").and_then(Json::text);
                table.and_then(|table| self.with_fresh_read(&body, table, index))
            }
            Operation::ExecuteStatement => {
                let text = body.get("Statement").and_then(Json::text);
                let text = text.filter(|text| text.len() <= STATEMENT_BYTES_MAX);
                text.and_then(partiql::read_source)
                    .and_then(|(table, index)| self.with_fresh_read(&body, &table, index.as_deref()))
            }
            _ => None,
        };
        changed.map_or(Cow::Borrowed(request), |body| Cow::Owned(request.with_body(body)))
    }

    /// A read of one table, or one table's part of a batch, with `ConsistentRead`; `None` where that cannot be, is said already,
    /// or serves nothing.
    fn with_fresh_read(&self, read: &Json<'_>, table: &str, index: Option<&str>) -> Option<Vec<u8>> {
        let says_no = matches!(read.get("ConsistentRead"), None | Some(Json::Bool(false)));
        let can_be_strong = read.members().is_some()
            && says_no
            && index.is_none_or(|index| self.is_local_index(table, index));
        (can_be_strong && self.is_written_lately(table))
            .then(|| with_member(read, "ConsistentRead", Json::Bool(true)))
    }

    fn batch_with_fresh_reads(&self, batch: &Json<'_>) -> Option<Vec<u8>> {
        let requests = batch.get("RequestItems").and_then(Json::members)?;
        let fresh: Vec<_> =
            requests.iter().map(|(table, part)| self.with_fresh_read(part, table, None)).collect();
        if fresh.iter().all(Option::is_none) {
            return None;
        }
        let mut tables = Vec::with_capacity(256);
        let parts = requests.iter().zip(&fresh).map(|((table, part), fresh)| (&**table, (part, fresh)));
        write_map(parts, &mut tables, |(part, fresh), out| match fresh {
            Some(fresh) => out.extend_from_slice(fresh),
            None => write_json(part, out),
        });
        let tables = Json::parse(&tables).ok()?;
        Some(with_member(batch, "RequestItems", tables))
    }

    fn is_local_index(&self, table: &str, index: &str) -> bool {
        self.tables.get(table).is_some_and(|table| {
            table.schema.index(index).is_some_and(|index| index.kind == IndexKind::Local)
        })
    }

    /// True if a replica of the table may lack what this node has acknowledged. Of a table that is not known, only writes that
    /// invalidated something by name are remembered, and not which.
    fn is_written_lately(&self, table: &str) -> bool {
        let now = Instant::now();
        match self.tables.get(table) {
            // In shadow mode clients get what they would get without this node.
            Some(table) => !table.is_in_shadow() && self.pages.is_written_lately(&table.cached, now),
            None => self.cache.has_invalidated_lately(now),
        }
    }
}
