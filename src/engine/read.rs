//! Reads of single items: hit, join, fill, or pass; and what other reads tell the cache.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{Consistency, Failure, FillPermit, Hit, Image, JoinOutcome, ReadPolicy, Turn};
use crate::model::Operation;
use crate::upstream::{Answer, Attempt, Request};
use crate::wire::Json;
use crate::wire::attribute::{item_from_json, write_item};
use crate::wire::json::{write_json, write_string};
use crate::wire::request::{GetItem, ReturnConsumedCapacity, key_bytes};

use super::known::KnownTable;
use super::view::{Attributes, write_nothing_consumed};
use super::{BypassReason, Engine, Served, Source, failed, is_failure, unread};

/// How often a read looks, joins or fills before it goes through by itself.
const TURNS_MAX: usize = 3;

/// One item to be read: where it is, and how to ask the upstream for it.
pub(super) struct Wanted {
    pub(super) table: Arc<KnownTable>,
    /// The table's name or ARN as the client wrote it.
    pub(super) spelling: String,
    /// The key's canonical bytes.
    pub(super) key: Vec<u8>,
    /// The key as JSON.
    pub(super) key_json: Vec<u8>,
    /// Whether the upstream should tell what the read cost.
    pub(super) consumed: ReturnConsumedCapacity,
    /// Of the client who wants it.
    pub(super) attempt: Attempt,
}

/// An item that was read, and how.
pub(super) struct Found {
    pub(super) image: Image,
    pub(super) source: Source,
    pub(super) age_seconds: Option<u64>,
    /// The upstream's `ConsumedCapacity` as JSON, when this read paid for it.
    pub(super) consumed: Option<Vec<u8>>,
}

impl Engine {
    /// GetItem and BatchGetItem.
    pub(super) async fn read_items(self: &Arc<Self>, request: Request) -> Served {
        match request.operation {
            Operation::GetItem => self.get_item(request).await,
            _ => self.batch_get_item(request).await,
        }
    }

    /// The answer of a GetItem that memory has; `None` for every other, which [`Engine::get_item`] then looks at again.
    pub(super) fn hit(&self, request: &Request) -> Option<Served> {
        let get = GetItem::parse(&request.body)?;
        if get.consistent_read == Some(true) {
            return None;
        }
        self.tables.with(&get.table_name.0, |table| {
            table.policy.as_ref()?;
            let key = get.key.canonical_bytes(&table.schema.key)?;
            let attributes = wanted_attributes(&get, request, table)?;
            let hit = self.cache.lookup(&table.cached.address(&key), Instant::now())?;
            if table.is_retired() {
                // The entry may be an item of another table under the same key.
                return None;
            }
            let age_seconds = Some(hit.age.as_secs());
            let found = Found { image: hit.image, source: Source::Hit, age_seconds, consumed: None };
            Some(show(table, &attributes, get.return_consumed_capacity.unwrap_or_default(), found))
        })
    }

    async fn get_item(self: &Arc<Self>, request: Request) -> Served {
        let Some(get) = GetItem::parse(&request.body) else {
            return self.bypass(&request, BypassReason::NotUnderstood).await;
        };
        let Some(table) = self.learn(&get.table_name.0).await else {
            return self.bypass_unknown(&request, &get.table_name.0).await;
        };
        let Some(policy) = &table.policy else {
            return self.bypass(&request, BypassReason::Disabled).await;
        };
        let attributes = wanted_attributes(&get, &request, &table);
        let (Some(key), Some(attributes)) = (get.key.canonical_bytes(&table.schema.key), attributes) else {
            return self.bypass_misfit(&request, BypassReason::NotUnderstood, &table).await;
        };
        let consumed_kind = get.return_consumed_capacity.unwrap_or_default();
        let strong = get.consistent_read == Some(true);
        let mut key_json = Vec::with_capacity(64);
        get.key.write_json(&mut key_json);
        let wanted = Wanted {
            table: Arc::clone(&table),
            spelling: get.table_name.0.to_string(),
            key,
            key_json,
            consumed: consumed_kind,
            attempt: request.attempt,
        };
        let outcome = if strong {
            self.read_past_cache(&wanted, BypassReason::Consistent).await
        } else {
            self.find(&wanted, policy).await
        };
        match outcome {
            // The table's key may be another one: what memory or another reader gave may be of another item.
            Ok(found) if found.source != Source::Miss && table.is_retired() => {
                self.bypass(&request, BypassReason::UnknownTable).await
            }
            Ok(found) => show(&table, &attributes, consumed_kind, found),
            Err(answer) => {
                self.check_rejection(&answer, &table);
                Served { table: Some(Arc::clone(&table.name)), ..Served::plain(answer, Source::Miss) }
            }
        }
    }

    /// Finds one item: in the cache, in a fill under way, or by leading a fill. After a few turns against writers it reads
    /// through. Where the table allows it, what has expired answers for an upstream that fails.
    ///
    /// # Errors
    /// The upstream's answer, when it is not a success.
    pub(super) async fn find(
        self: &Arc<Self>,
        wanted: &Wanted,
        policy: &ReadPolicy,
    ) -> Result<Found, Answer> {
        let failure = match self.find_fresh(wanted, policy).await {
            Err(answer) if is_failure(answer.status) => answer,
            outcome => return outcome,
        };
        let hit = self.stale(&wanted.table, &wanted.key, policy).ok_or(failure)?;
        let age_seconds = Some(hit.age.as_secs());
        Ok(Found { image: hit.image, source: Source::Stale, age_seconds, consumed: None })
    }

    /// What the cache has of an item, be it past its time.
    pub(super) fn stale(&self, table: &KnownTable, key: &[u8], policy: &ReadPolicy) -> Option<Hit> {
        self.cache.lookup_stale(&table.cached.address(key), policy, Instant::now())
    }

    async fn find_fresh(self: &Arc<Self>, wanted: &Wanted, policy: &ReadPolicy) -> Result<Found, Answer> {
        for _ in 0..TURNS_MAX {
            let cached = &wanted.table.cached;
            match self.cache.read(&cached.address(&wanted.key), policy, Instant::now()) {
                Turn::Hit(hit) => {
                    let age_seconds = Some(hit.age.as_secs());
                    return Ok(Found { image: hit.image, source: Source::Hit, age_seconds, consumed: None });
                }
                Turn::Join(joiner) => match joiner.wait().await {
                    JoinOutcome::Landed(image) => {
                        return Ok(Found {
                            image,
                            source: Source::Joined,
                            age_seconds: None,
                            consumed: None,
                        });
                    }
                    JoinOutcome::Failed(failure) => return Err(answer_of(&failure)),
                    JoinOutcome::LookAgain => {}
                },
                Turn::Lead(permit) => {
                    self.check_current(&wanted.table);
                    let strong = permit.consistency() == Consistency::Strong;
                    let fill = Arc::clone(self).fill(permit, wanted.request(strong));
                    // A task of its own: readers that joined must not lose their answer with this client.
                    let filled = self.tasks.spawn(fill).await;
                    let (image, consumed) =
                        filled.unwrap_or_else(|_| Err(failed("The fill's task ended early.")))?;
                    return Ok(Found { image, source: Source::Miss, age_seconds: None, consumed });
                }
            }
        }
        self.read_past_cache(wanted, BypassReason::Contended).await
    }

    /// Sends a fill's read and gives what came to the cache and to everyone who waits for it.
    async fn fill(
        self: Arc<Self>,
        permit: FillPermit,
        request: Request,
    ) -> Result<(Image, Option<Vec<u8>>), Answer> {
        match self.fetch(&request).await {
            Ok((image, consumed)) => {
                permit.complete(image.clone(), Instant::now());
                Ok((image, consumed))
            }
            Err(answer) => {
                permit.fail(failure_of(&answer));
                Err(answer)
            }
        }
    }

    /// Reads an item strongly from the upstream and lets the cache compare.
    async fn read_past_cache(&self, wanted: &Wanted, reason: BypassReason) -> Result<Found, Answer> {
        let (image, consumed) = self.fetch(&wanted.request(true)).await?;
        let cached = &wanted.table.cached;
        self.cache.observe(&cached.address(&wanted.key), &image, Instant::now());
        Ok(Found { image, source: Source::Bypass(reason), age_seconds: None, consumed })
    }

    /// Sends a GetItem for a whole item.
    async fn fetch(&self, request: &Request) -> Result<(Image, Option<Vec<u8>>), Answer> {
        let answer = self.upstream.call(request).await.map_err(unread)?;
        if !answer.is_success() {
            return Err(answer);
        }
        read_get_answer(&answer.body)
            .ok_or_else(|| failed("The upstream's answer to a GetItem cannot be read."))
    }

    /// Sends a read upstream as it came.
    pub(super) async fn bypass(&self, request: &Request, reason: BypassReason) -> Served {
        Served::plain(self.forward(request).await, Source::Bypass(reason))
    }

    /// Sends a read of a table that is not known upstream as it came.
    pub(super) async fn bypass_unknown(&self, request: &Request, spelling: &str) -> Served {
        let served = self.bypass(request, BypassReason::UnknownTable).await;
        if served.answer.is_success() {
            self.tables.questions.table_exists(spelling);
        }
        served
    }

    /// Sends a read upstream as it came that does not fit what is known of its table. If the upstream takes it all the same, the
    /// table may have another schema.
    pub(super) async fn bypass_misfit(
        self: &Arc<Self>,
        request: &Request,
        reason: BypassReason,
        table: &KnownTable,
    ) -> Served {
        let served = self.bypass(request, reason).await;
        if served.answer.is_success() {
            self.doubt(table);
        }
        Served { table: Some(Arc::clone(&table.name)), ..served }
    }

    /// A TransactGetItems has read its items strongly: whatever the cache holds of them must agree. Where a projection hides
    /// the whole item, its entry is voided.
    pub(super) async fn observe_transaction(&self, request: &Request, answer: &Answer) {
        let (Ok(asked), Ok(answered)) = (Json::parse(&request.body), Json::parse(&answer.body)) else {
            return;
        };
        let gets = asked.get("TransactItems").and_then(Json::elements).unwrap_or_default();
        let responses = answered.get("Responses").and_then(Json::elements).unwrap_or_default();
        for (position, get) in gets.iter().filter_map(|action| action.get("Get")).enumerate() {
            let Some(table) =
                get.get("TableName").and_then(Json::text).and_then(|name| self.tables.get(name))
            else {
                continue;
            };
            let Some(key) = get.get("Key").and_then(|key| key_bytes(&table.schema.key, key)) else {
                continue;
            };
            let whole = get.get("ProjectionExpression").is_none();
            match responses
                .get(position)
                .filter(|_| whole)
                .and_then(|response| image_of(response.get("Item")))
            {
                Some(image) => {
                    self.cache.observe(&table.cached.address(&key), &image, Instant::now());
                }
                None => {
                    let now = Instant::now();
                    self.cache.begin_write(&[table.cached.address(&key)], now).refused(now);
                }
            }
        }
    }
}

impl Wanted {
    /// The GetItem that fetches the whole item.
    fn request(&self, strong: bool) -> Request {
        let mut body = Vec::with_capacity(128);
        body.extend_from_slice(b"{\"TableName\":");
        write_string(&self.spelling, &mut body);
        body.extend_from_slice(b",\"Key\":");
        body.extend_from_slice(&self.key_json);
        if strong {
            body.extend_from_slice(b",\"ConsistentRead\":true");
        }
        if self.consumed != ReturnConsumedCapacity::None {
            body.extend_from_slice(b",\"ReturnConsumedCapacity\":\"");
            body.extend_from_slice(self.consumed.name().as_bytes());
            body.push(b'"');
        }
        body.push(b'}');
        Request { attempt: self.attempt, ..Request::new(Operation::GetItem, body) }
    }
}

/// Which part of the item a GetItem asks for; `None` when the upstream would refuse it, or may.
fn wanted_attributes(get: &GetItem<'_>, request: &Request, table: &KnownTable) -> Option<Attributes> {
    if get.is_whole() {
        return Some(Attributes::All);
    }
    let attributes = Attributes::of(&Json::parse(&request.body).ok()?)?;
    attributes.fit(&table.schema).then_some(attributes)
}

/// What those who joined a fill are told of its failure: the answer that its leader got.
pub(super) fn failure_of(answer: &Answer) -> Failure {
    Failure { status: answer.status, body: answer.body.clone(), headers: answer.headers.clone() }
}

pub(super) fn answer_of(failure: &Failure) -> Answer {
    Answer { status: failure.status, body: failure.body.clone(), headers: failure.headers.clone() }
}

/// The image of an `Item` member, in canonical form; `None` when it is there but is no item.
pub(super) fn image_of(item: Option<&Json<'_>>) -> Option<Image> {
    let Some(item) = item else { return Some(Image::absent()) };
    let item = item_from_json(item).ok()?;
    let mut json = Vec::with_capacity(512);
    write_item(&item, &mut json);
    Some(Image::present(&json))
}

/// The image and the consumed capacity in a GetItem's answer.
fn read_get_answer(body: &[u8]) -> Option<(Image, Option<Vec<u8>>)> {
    let body = Json::parse(body).ok()?;
    body.members()?;
    let consumed = body.get("ConsumedCapacity").map(|capacity| {
        let mut out = Vec::with_capacity(64);
        write_json(capacity, &mut out);
        out
    });
    Some((image_of(body.get("Item"))?, consumed))
}

/// The answer that shows the client its part of the item.
fn show(table: &KnownTable, attributes: &Attributes, kind: ReturnConsumedCapacity, found: Found) -> Served {
    let (body, crc32) = match (attributes, kind) {
        (Attributes::All, ReturnConsumedCapacity::None) => {
            (Bytes::clone(found.image.body()), Some(found.image.crc32()))
        }
        _ => (Bytes::from(compose(table, attributes, kind, &found)), None),
    };
    Served {
        answer: Answer::ok(body),
        crc32,
        source: found.source,
        age_seconds: found.age_seconds,
        table: Some(table.name_for_answer()),
    }
}

fn compose(
    table: &KnownTable,
    attributes: &Attributes,
    kind: ReturnConsumedCapacity,
    found: &Found,
) -> Vec<u8> {
    let item = attributes.item_json(&found.image);
    let mut body = Vec::with_capacity(128 + item.as_ref().map_or(0, Bytes::len));
    body.push(b'{');
    if kind != ReturnConsumedCapacity::None {
        body.extend_from_slice(b"\"ConsumedCapacity\":");
        match &found.consumed {
            Some(consumed) => body.extend_from_slice(consumed),
            None => write_nothing_consumed(&table.name, kind, &mut body),
        }
    }
    if let Some(item) = item {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(b"\"Item\":");
        body.extend_from_slice(&item);
    }
    body.push(b'}');
    body
}
