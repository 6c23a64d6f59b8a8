//! Reads in the client's own words: where the cache asked for more than the client did, and that will not do.
//!
//! The cache asks for whole items. An answer that is not understood can be shown to a client who asked for the same, and to
//! no other; and a role may be allowed to read some attributes only. Then the client's own request is sent, and nothing is
//! kept of its answer. What is cached of its keys is invalidated, since the client may have seen something newer.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::Consistency;
use crate::call::{Answer, Request};
use crate::wire::Json;
use crate::wire::json::{with_member, write_json};

use super::batch::Part;
use super::items::{ItemRead, note_unfilled};
use super::known_table::KnownTable;
use super::permissions::{Addition, is_denied};
use super::reading::Missed;
use super::view::Attributes;
use super::{BypassReason, Engine, Served, Source, failed};

impl Engine {
    /// Answers a GetItem for which there is no item to show.
    pub(super) async fn answer_missed(
        self: &Arc<Self>,
        request: &Request,
        read: &ItemRead,
        missed: Missed,
    ) -> Served {
        let opaque = Source::Bypass(BypassReason::OpaqueAnswer);
        match (missed, &read.attributes) {
            (Missed::Opaque(Some(answer)), Attributes::All) => Served::plain(answer, opaque),
            (Missed::Opaque(_), _) => Served::plain(self.get_as_asked(request, read).await, opaque),
            (Missed::Failed(answer, _), Attributes::Of(_)) if is_denied(&answer) => {
                let own = self.get_as_asked(request, read).await;
                if !is_denied(&own) {
                    self.note_whole_denied(&read.table, request);
                }
                Served::plain(own, Source::Bypass(BypassReason::NotPermitted))
            }
            (Missed::Failed(answer, source), _) => {
                self.check_rejection(&answer, &read.table);
                Served::plain(*answer, source)
            }
        }
    }

    /// True if the client wants a part of an item of the table, and the role was not allowed to read whole ones.
    pub(super) fn may_not_read_whole(
        &self,
        table: &KnownTable,
        attributes: &Attributes,
        request: &Request,
    ) -> bool {
        matches!(attributes, Attributes::Of(_)) && self.is_whole_denied(table, request)
    }

    /// True if the role was not allowed to read whole items of the table.
    pub(super) fn is_whole_denied(&self, table: &KnownTable, request: &Request) -> bool {
        self.permissions.is_denied(&table.name, Addition::WholeItems, request, Instant::now())
    }

    /// The role may not read whole items of the table, and may read the parts that the client asked for.
    pub(super) fn note_whole_denied(&self, table: &KnownTable, request: &Request) {
        self.permissions.note_denied(&table.name, Addition::WholeItems, request, Instant::now());
    }

    /// Sends a client's own GetItem, strongly where a fill would have to be: a replica that lags must not take the client
    /// back behind a write.
    pub(super) async fn get_as_asked(&self, request: &Request, read: &ItemRead) -> Answer {
        let consistency = self.cache.consistency_now(&read.address(), read.policy.fill, Instant::now());
        let answer = match consistency {
            Consistency::Strong => {
                let strong = with_tree(request, |body| with_member(body, "ConsistentRead", Json::Bool(true)));
                self.forward_if_made(strong).await
            }
            Consistency::Eventual => self.forward(request).await,
        };
        if answer.is_success() {
            self.cache.observe_opaque(&read.address(), Instant::now());
        }
        answer
    }

    /// Sends a client's own BatchGetItem, with each table read strongly where a fill of one of its keys would have to be. Tables in
    /// shadow mode are read as the client says, and their caches do not hear of it.
    pub(super) async fn batch_as_asked(
        &self,
        request: &Request,
        parts: &[Part<'_>],
        reason: BypassReason,
    ) -> Served {
        let serving = || parts.iter().filter(|part| !part.table.is_in_shadow());
        let strong: Vec<&str> =
            serving().filter(|part| self.is_changing(part)).map(|part| &*part.spelling).collect();
        let answer = match &*strong {
            [] => self.forward(request).await,
            strong => self.forward_if_made(with_tree(request, |body| strongly_of(body, strong))).await,
        };
        if answer.is_success() {
            let now = Instant::now();
            for part in serving() {
                for key in part.keys() {
                    self.cache.observe_opaque(&part.table.cached.address(key), now);
                    note_unfilled(&part.table, key);
                }
            }
        }
        let table = match parts {
            [part] => Some(Arc::clone(&part.table.name)),
            _ => None,
        };
        Served { table, ..Served::plain(answer, Source::Bypass(reason)) }
    }

    /// Answers a BatchGetItem whose whole items the role may not read; `None` when that is not why it was refused.
    pub(super) async fn batch_denied(
        &self,
        request: &Request,
        parts: &[Part<'_>],
        refusal: &Answer,
    ) -> Option<Served> {
        let wants_part = |part: &&Part| matches!(part.attributes, Attributes::Of(_));
        if !is_denied(refusal) || !parts.iter().any(|part| wants_part(&part)) {
            return None;
        }
        let served = self.batch_as_asked(request, parts, BypassReason::NotPermitted).await;
        if !is_denied(&served.answer) {
            for part in parts.iter().filter(wants_part) {
                self.note_whole_denied(&part.table, request);
            }
        }
        Some(served)
    }

    /// Sends a request that was made of a client's. One that could not be made is not sent in another form: the client's own may read
    /// a replica that lags.
    async fn forward_if_made(&self, made: Option<Request>) -> Answer {
        match made {
            Some(request) => self.forward(&request).await,
            None => failed("The request cannot be read a second time."),
        }
    }

    fn is_changing(&self, part: &Part) -> bool {
        let (cached, now) = (&part.table.cached, Instant::now());
        part.table.policy.is_some_and(|policy| {
            let consistency = |key| self.cache.consistency_now(&cached.address(key), policy.fill, now);
            part.keys().any(|key| consistency(key) == Consistency::Strong)
        })
    }

    /// An answer had an item of another key than the one asked for, or without a key. It is counted, and the table is
    /// described anew: its key schema may have changed.
    pub(super) fn note_foreign_key(self: &Arc<Self>, table: &KnownTable) {
        table.cached.note_foreign_key();
        self.doubt(table);
    }
}

/// The request with another body, made of its own; `None` if that cannot be read.
fn with_tree(request: &Request, made: impl FnOnce(&Json<'_>) -> Vec<u8>) -> Option<Request> {
    let body = Json::parse_request(&request.body).ok()?;
    Some(request.with_body(made(&body)))
}

/// A BatchGetItem with `ConsistentRead` for the tables that are so spelled.
fn strongly_of(body: &Json<'_>, spellings: &[&str]) -> Vec<u8> {
    let mut body = body.clone();
    if let Json::Object(members) = &mut body
        && let Some((_, Json::Object(tables))) = members.iter_mut().find(|(name, _)| name == "RequestItems")
    {
        for (_, table) in tables.iter_mut().filter(|(name, _)| spellings.contains(&name.as_ref())) {
            if let Json::Object(table) = table {
                let mut members = std::mem::take(table).into_vec();
                members.retain(|(name, _)| name != "ConsistentRead");
                members.push(("ConsistentRead".into(), Json::Bool(true)));
                *table = members.into();
            }
        }
    }
    let mut out = Vec::with_capacity(1024);
    write_json(&body, &mut out);
    out
}
