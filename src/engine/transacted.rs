//! What a TransactGetItems tells the cache. It is never cached itself, but it reads its items strongly: whatever the cache holds
//! of them must agree.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::SentRead;
use crate::call::{Answer, Request};
use crate::wire::Json;
use crate::wire::request::key_bytes;

use super::items::fill_of;
use super::known_table::KnownTable;
use super::scope::Scope;
use super::{BypassReason, Engine, Served, Source};

/// An item that a transaction reads.
struct TransactedGet {
    /// Its place among the actions and the responses.
    position: usize,
    table: Arc<KnownTable>,
    key: Vec<u8>,
    /// No projection hides a part of it.
    is_whole: bool,
    sent: SentRead,
}

impl Engine {
    /// Sends a transaction of reads, and lets the cache compare. An item that is hidden in part, or is not understood, is
    /// invalidated.
    pub(super) async fn read_through(self: &Arc<Self>, request: Request) -> Served {
        let (gets, unknown) = self.transacted_gets(&request).await;
        let answer = self.forward(&request).await;
        if answer.is_success() {
            self.invalidate(&unknown);
            self.observe_gets(&gets, &answer);
        }
        Served::plain(answer, Source::Bypass(BypassReason::Consistent))
    }

    /// The items that a transaction reads, and the tables of which it reads items without our knowing them.
    async fn transacted_gets(self: &Arc<Self>, request: &Request) -> (Vec<TransactedGet>, Scope) {
        let (mut gets, mut unknown) = (Vec::new(), Scope::Nothing);
        let Ok(body) = Json::parse(&request.body) else { return (gets, unknown) };
        let actions = body.get("TransactItems").and_then(Json::elements).unwrap_or_default();
        for (position, action) in actions.iter().enumerate().take(ACTIONS_MAX) {
            let Some(get) = action.get("Get") else { continue };
            let Some(spelling) = get.get("TableName").and_then(Json::text) else { continue };
            let Some(table) = self.learn(spelling).await else {
                unknown.widen(Scope::named(spelling));
                continue;
            };
            let Some(key) = get.get("Key").and_then(|key| key_bytes(&table.schema.key, key)) else {
                continue;
            };
            let is_whole = get.get("ProjectionExpression").is_none();
            let sent = self.cache.sending(&table.cached.address(&key), fill_of(&table));
            gets.push(TransactedGet { position, table, key, is_whole, sent });
        }
        (gets, unknown)
    }

    fn observe_gets(self: &Arc<Self>, gets: &[TransactedGet], answer: &Answer) {
        let body = Json::parse(&answer.body).unwrap_or(Json::Null);
        let responses = body.get("Responses").and_then(Json::elements).unwrap_or_default();
        for get in gets {
            let response = responses.get(get.position).filter(|_| get.is_whole);
            let image =
                response.and_then(|response| self.item_of_key(&get.table, &get.key, response.get("Item")));
            let (address, now) = (get.table.cached.address(&get.key), Instant::now());
            match image {
                Some(image) => self.cache.observe(&address, &image, get.sent, now),
                None => self.cache.observe_opaque(&address, now),
            }
        }
    }
}

/// The most actions of a transaction; the service rejects more.
const ACTIONS_MAX: usize = 100;
