//! Reads of single items: hit, join, fill, or pass; and what other reads tell the cache.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{
    CachedItem, Consistency, Failure, FillMode, FillPermit, Hit, JoinOutcome, Lookup, ReadPolicy,
};
use crate::call::{Answer, Attempt, Request};
use crate::model::Operation;
use crate::wire::Json;
use crate::wire::attribute::{item_of_answer, write_item};
use crate::wire::json::{write_json, write_string};
use crate::wire::raw::RawObject;
use crate::wire::request::{GetItem, ReturnConsumedCapacity, item_key_bytes, item_partition_bytes};

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
    pub(super) image: CachedItem,
    pub(super) source: Source,
    pub(super) age_seconds: Option<u64>,
    /// The upstream's `ConsumedCapacity` as JSON, when this read paid for it.
    pub(super) consumed: Option<Vec<u8>>,
}

/// Why a read brought no image.
pub(super) enum Missed {
    /// The upstream refused or failed.
    Refused(Answer),
    /// The upstream's answer is not wholly understood, or is of another item. It is there for the reader who asked, and not
    /// for those who had joined.
    Opaque(Option<Answer>),
}

/// What a GetItem for a whole item brought.
enum Fetched {
    Item {
        image: CachedItem,
        consumed: Option<Vec<u8>>,
    },
    /// An answer that is not wholly understood, or of another item.
    Opaque(Answer),
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
            let found = Found { image: hit.value, source: Source::Hit, age_seconds, consumed: None };
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
        if self.may_not_read_whole(&table, &attributes) {
            let answer = self.get_as_asked(&request, &wanted, policy).await;
            let source = Source::Bypass(BypassReason::NotPermitted);
            return Served { table: Some(Arc::clone(&table.name)), ..Served::plain(answer, source) };
        }
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
            Err(missed) => {
                let served = self.answer_missed(&request, &wanted, policy, &attributes, missed).await;
                Served { table: Some(Arc::clone(&table.name)), ..served }
            }
        }
    }

    /// Finds one item: in the cache, in a fill under way, or by leading a fill. After a few turns against writers it reads
    /// through. Where the table allows it, what has expired answers for an upstream that fails.
    ///
    /// # Errors
    /// [`Missed`]: the upstream's answer, when it is not a success, or when it is not understood.
    pub(super) async fn find(
        self: &Arc<Self>,
        wanted: &Wanted,
        policy: &ReadPolicy,
    ) -> Result<Found, Missed> {
        let failure = match self.find_fresh(wanted, policy).await {
            Err(Missed::Refused(answer)) if is_failure(answer.status) => answer,
            outcome => return outcome,
        };
        let hit = self
            .stale(&wanted.table, &wanted.key, &wanted.key_json, policy)
            .ok_or(Missed::Refused(failure))?;
        let age_seconds = Some(hit.age.as_secs());
        Ok(Found { image: hit.value, source: Source::Stale, age_seconds, consumed: None })
    }

    /// What the cache has of an item, be it past its time.
    pub(super) fn stale(
        &self,
        table: &KnownTable,
        key: &[u8],
        key_json: &[u8],
        policy: &ReadPolicy,
    ) -> Option<Hit<CachedItem>> {
        let partition = item_partition_bytes(&table.schema.key, &Json::parse(key_json).ok()?)?;
        self.cache.lookup_stale(&table.cached.address(key), &partition, policy, Instant::now())
    }

    async fn find_fresh(self: &Arc<Self>, wanted: &Wanted, policy: &ReadPolicy) -> Result<Found, Missed> {
        for _ in 0..TURNS_MAX {
            let cached = &wanted.table.cached;
            match self.cache.read(&cached.address(&wanted.key), policy, Instant::now()) {
                Lookup::Hit(hit) => {
                    let age_seconds = Some(hit.age.as_secs());
                    return Ok(Found { image: hit.value, source: Source::Hit, age_seconds, consumed: None });
                }
                Lookup::Join(joiner) => match joiner.wait().await {
                    JoinOutcome::Landed(image) => {
                        return Ok(Found {
                            image,
                            source: Source::Joined,
                            age_seconds: None,
                            consumed: None,
                        });
                    }
                    JoinOutcome::Failed(failure) => return Err(Missed::Refused(answer_of(&failure))),
                    JoinOutcome::Opaque => return Err(Missed::Opaque(None)),
                    JoinOutcome::LookAgain => {}
                },
                Lookup::Lead(permit) => {
                    self.check_current(&wanted.table);
                    let strong = permit.consistency() == Consistency::Strong;
                    let table = Arc::clone(&wanted.table);
                    let fill = Arc::clone(self).fill(permit, table, wanted.request(strong));
                    // A task of its own: readers that joined must not lose their answer with this client.
                    let filled = self.tasks.spawn(fill).await;
                    let filled = filled.unwrap_or_else(|_| Err(failed("The fill's task ended early.")));
                    let (image, consumed) = filled.map_err(Missed::Refused)?.understood()?;
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
        table: Arc<KnownTable>,
        request: Request,
    ) -> Result<Fetched, Answer> {
        let fetched = self.fetch(&table, permit.key_bytes(), &request).await;
        match &fetched {
            Ok(Fetched::Item { image, .. }) => permit.complete(image.clone(), Instant::now()),
            Ok(Fetched::Opaque(_)) => permit.complete_opaque(Instant::now()),
            Err(answer) => permit.fail(failure_of(answer)),
        }
        fetched
    }

    /// Reads an item strongly from the upstream and lets the cache compare.
    async fn read_past_cache(
        self: &Arc<Self>,
        wanted: &Wanted,
        reason: BypassReason,
    ) -> Result<Found, Missed> {
        let table = &wanted.table;
        let address = table.cached.address(&wanted.key);
        let sent = self.cache.sending(&address, fill_of(table));
        let fetched = self.fetch(table, &wanted.key, &wanted.request(true)).await.map_err(Missed::Refused)?;
        match &fetched {
            Fetched::Item { image, .. } => self.cache.observe(&address, image, sent, Instant::now()),
            Fetched::Opaque(_) => self.cache.observe_opaque(&address, Instant::now()),
        }
        let (image, consumed) = fetched.understood()?;
        Ok(Found { image, source: Source::Bypass(reason), age_seconds: None, consumed })
    }

    /// Sends a GetItem for a whole item, which must be the one of this key.
    async fn fetch(
        self: &Arc<Self>,
        table: &KnownTable,
        key: &[u8],
        request: &Request,
    ) -> Result<Fetched, Answer> {
        let answer = self.upstream.call(request).await.map_err(unread)?;
        if !answer.is_success() {
            return Err(answer);
        }
        if RawObject::parse(&answer.body).is_none() {
            return Err(failed("The upstream's answer to a GetItem cannot be read."));
        }
        let Ok(body) = Json::parse(&answer.body) else { return Ok(Fetched::Opaque(answer)) };
        let Some(image) = self.image_of_key(table, key, body.get("Item")) else {
            return Ok(Fetched::Opaque(answer));
        };
        let consumed = body.get("ConsumedCapacity").map(|capacity| {
            let mut out = Vec::with_capacity(64);
            write_json(capacity, &mut out);
            out
        });
        Ok(Fetched::Item { image, consumed })
    }

    /// The image of an `Item` member; `None` when it is not wholly understood, or has another key than this.
    pub(super) fn image_of_key(
        self: &Arc<Self>,
        table: &KnownTable,
        key: &[u8],
        item: Option<&Json<'_>>,
    ) -> Option<CachedItem> {
        if item.is_some_and(|item| item_key_bytes(&table.schema.key, item).as_deref() != Some(key)) {
            self.note_foreign_key(table);
            return None;
        }
        image_of(item)
    }
}

impl Fetched {
    fn understood(self) -> Result<(CachedItem, Option<Vec<u8>>), Missed> {
        match self {
            Self::Item { image, consumed } => Ok((image, consumed)),
            Self::Opaque(answer) => Err(Missed::Opaque(Some(answer))),
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

/// How items of the table are fetched. Where they are not cached it makes no difference.
pub(super) fn fill_of(table: &KnownTable) -> FillMode {
    table.policy.map_or(FillMode::Strong, |policy| policy.fill)
}

/// The image of an `Item` member, in canonical form; `None` when it is there but is not wholly understood.
pub(super) fn image_of(item: Option<&Json<'_>>) -> Option<CachedItem> {
    let Some(item) = item else { return Some(CachedItem::absent()) };
    let item = item_of_answer(item)?;
    let mut json = Vec::with_capacity(512);
    write_item(&item, &mut json);
    Some(CachedItem::present(&json))
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
