//! Reads of single items: GetItem, and what it has in common with every other read of an item.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{
    Address, CachedItem, Consistency, FailedFetch, FillMode, FillPermit, Hit, Lookup, ReadPolicy, SentRead,
};
use crate::call::{Answer, Attempt, ItemNow, PrincipalRole, Request, Trace};
use crate::insight::{Outcome, ReadOfItem, TableUsage};
use crate::model::capacity::Units;
use crate::model::schema::KeySchema;
use crate::model::value::item_size_bytes;
use crate::model::{Operation, TableSchema};
use crate::wire::Json;
use crate::wire::attribute::{item_of_answer, write_item};
use crate::wire::json::{write_json, write_string};
use crate::wire::raw::RawObject;
use crate::wire::request::{GetItem, ReturnConsumedCapacity, item_key_bytes, item_partition_bytes};

use super::checks::Comparing;
use super::known_table::{KnownTable, SampleRate};
use super::reading::{Fetched, Found, Looked, Missed, Reading};
use super::view::{Attributes, write_nothing_consumed};
use super::{BypassReason, Engine, Served, Source, failed, unread};

/// A read of one item that is understood: where the item is, and how to ask the upstream for it.
pub(super) struct ItemRead {
    pub(super) table: Arc<KnownTable>,
    /// How items of the table are cached.
    pub(super) policy: ReadPolicy,
    /// The table's name or ARN as the client wrote it.
    pub(super) spelling: Box<str>,
    /// The key's canonical bytes.
    pub(super) key: Vec<u8>,
    /// The key as JSON.
    pub(super) key_json: Vec<u8>,
    /// Which part of the item the client wants.
    pub(super) attributes: Attributes,
    /// How the client wants it read.
    pub(super) consistency: Consistency,
    /// Whether the upstream should report what the read cost.
    pub(super) consumed: ReturnConsumedCapacity,
    /// Of the client who wants it.
    pub(super) attempt: Attempt,
    /// On whose behalf it is read.
    pub(super) on_behalf_of: Option<Arc<PrincipalRole>>,
    /// The trace that it is a part of.
    pub(super) trace: Option<Arc<Trace>>,
}

impl Engine {
    /// Looks into memory for the answer of a GetItem.
    pub(super) fn look_for_item(&self, request: &Request) -> Looked<Box<ItemRead>> {
        let Some(get) = GetItem::parse(&request.body) else { return Looked::Unread };
        let looked = self.tables.with(&get.table_name.0, |table| {
            let policy = table.policy?;
            let key = get.key.canonical_bytes(&table.schema.key)?;
            let attributes = wanted_attributes(&get, request, table)?;
            let address = table.cached.address(&key);
            let hit = match get.consistent_read {
                Some(true) => None,
                _ => self.hit(table, &address),
            };
            if let Some(hit) = hit {
                if table.verify_sample.picks() {
                    let read = ItemRead::new(&get, request, table, policy, key.clone(), Attributes::All);
                    self.verify(read, &hit);
                }
                let found = Found::from_memory(hit, Source::Hit);
                found.note(&address, &table.usage);
                let consumed = get.return_consumed_capacity.unwrap_or_default();
                return Some(Looked::Hit(show((table, &get.table_name.0), &attributes, consumed, found)));
            }
            Some(Looked::Miss(Box::new(ItemRead::new(&get, request, table, policy, key, attributes))))
        });
        looked.unwrap_or(Looked::Unread)
    }

    /// What memory has of a key for an eventual read, if reads of the table are answered from it.
    fn hit(&self, table: &KnownTable, address: &Address<'_>) -> Option<Hit<CachedItem>> {
        if table.is_in_shadow() {
            return None;
        }
        let hit = self.cache.lookup(address, Instant::now())?;
        // If the table is retired, the entry may be an item of another table under the same key.
        (!table.is_retired()).then_some(hit)
    }

    /// The item that memory has, as a GetItem of the whole item would give it, for who has no such request but a key. `write_key`
    /// appends the key's canonical bytes, by the key schema of the table. Nothing is counted of a read that is not so answered.
    ///
    /// `None` also if reads of the table are sampled to be verified: those are for a GetItem.
    pub fn item_at_once(
        &self,
        table: &str,
        write_key: impl FnOnce(&KeySchema, &mut Vec<u8>) -> Option<()>,
    ) -> Option<ItemAtOnce> {
        self.tables.with(table, |table| {
            if table.policy.is_none() || table.verify_sample != SampleRate::NONE {
                return None;
            }
            let mut key = Vec::with_capacity(64);
            write_key(&table.schema.key, &mut key)?;
            let address = table.cached.address(&key);
            let found = Found::from_memory(self.hit(table, &address)?, Source::Hit);
            found.note(&address, &table.usage);
            Some(ItemAtOnce {
                item: found.value,
                schema: Arc::clone(&table.schema),
                table: table.name_for_answer(),
                age_seconds: found.age_seconds,
            })
        })
    }

    /// GetItem. `understood` is what a first look made of the request.
    pub(super) async fn get_item(self: &Arc<Self>, request: Request, understood: Option<ItemRead>) -> Served {
        let read = match self.current_read(&request, understood).await {
            Ok(read) => read,
            Err(served) => return served,
        };
        if read.table.is_in_shadow() && read.consistency == Consistency::Eventual {
            return Box::pin(self.read_in_shadow(&request, read)).await;
        }
        if self.may_not_read_whole(&read.table, &read.attributes, &request) {
            note_unfilled(&read.table, &read.key);
            let answer = Box::pin(self.get_as_asked(&request, &read)).await;
            let source = Source::Bypass(BypassReason::NotPermitted);
            return Served { table: Some(Arc::clone(&read.table.name)), ..Served::plain(answer, source) };
        }
        let outcome = match read.consistency {
            Consistency::Strong => read.read_past_cache(self, BypassReason::Consistent).await,
            Consistency::Eventual => Box::pin(self.find(&read)).await,
        };
        match outcome {
            // The table's key may be another one: what memory or another reader gave may be of another item.
            Ok(found) if found.source != Source::Miss && read.table.is_retired() => {
                Box::pin(self.bypass(&request, BypassReason::UnknownTable)).await
            }
            Ok(found) => {
                found.note(&read.address(), &read.table.usage);
                show((&read.table, &read.spelling), &read.attributes, read.consumed, found)
            }
            Err(missed) => {
                let served = Box::pin(self.answer_missed(&request, &read, missed)).await;
                Served { table: Some(Arc::clone(&read.table.name)), ..served }
            }
        }
    }

    /// What is understood of a GetItem, by a description of its table that may be relied on.
    ///
    /// # Errors
    /// The answer, for a request that the cache has no part in.
    async fn current_read(
        self: &Arc<Self>,
        request: &Request,
        understood: Option<ItemRead>,
    ) -> Result<ItemRead, Served> {
        if let Some(read) = understood
            && let Some(table) = self.learn(&read.spelling).await
            && Arc::ptr_eq(&table, &read.table)
        {
            return Ok(read);
        }
        let Some(get) = GetItem::parse(&request.body) else {
            return Err(Box::pin(self.bypass(request, BypassReason::NotUnderstood)).await);
        };
        let Some(table) = self.learn(&get.table_name.0).await else {
            return Err(Box::pin(self.bypass_unknown(request, &get.table_name.0)).await);
        };
        let Some(policy) = table.policy else {
            if let Some(key) = get.key.canonical_bytes(&table.schema.key) {
                note_unfilled(&table, &key);
            }
            return Err(Box::pin(self.bypass(request, BypassReason::Disabled)).await);
        };
        let attributes = wanted_attributes(&get, request, &table);
        let (Some(key), Some(attributes)) = (get.key.canonical_bytes(&table.schema.key), attributes) else {
            return Err(Box::pin(self.bypass_misfit(request, BypassReason::NotUnderstood, &table)).await);
        };
        Ok(ItemRead::new(&get, request, &table, policy, key, attributes))
    }

    /// Sends a fill's read and gives what came to the cache and to everyone who waits for it.
    async fn fill_item(
        self: Arc<Self>,
        permit: FillPermit,
        table: Arc<KnownTable>,
        request: Request,
    ) -> Result<Fetched<CachedItem>, Answer> {
        let consistency = permit.consistency();
        let fetched = self.fetch_item(&table, permit.key_bytes(), &request, consistency).await;
        land(permit, &fetched, &request);
        fetched
    }

    /// Sends a GetItem for a whole item, which must be the one of this key.
    async fn fetch_item(
        self: &Arc<Self>,
        table: &KnownTable,
        key: &[u8],
        request: &Request,
        consistency: Consistency,
    ) -> Result<Fetched<CachedItem>, Answer> {
        let mut answer = self.upstream.call(request).await.map_err(unread)?;
        let read = self.read_item(table, key, &answer);
        match &read {
            // The size of the item that was read gives the charge.
            ItemAnswer::Item(item, None) if answer.charges.is_empty() => {
                table.usage.item_fetched(item.size_bytes, consistency == Consistency::Strong);
            }
            _ => self.meter(request, &mut answer),
        }
        read.fetched(answer)
    }

    /// What the answer to a GetItem for a whole item is, which must be the one of this key.
    fn read_item(self: &Arc<Self>, table: &KnownTable, key: &[u8], answer: &Answer) -> ItemAnswer {
        if !answer.is_success() {
            return ItemAnswer::Failed;
        }
        // The body is read only if it has more to say than the item.
        let handed_over = answer.item.as_ref().filter(|_| self.gets_items);
        if let Some(item) = handed_over.filter(|item| answer.body.len() == item.answer_bytes()) {
            let image = CachedItem::present(&item.json, item.size_bytes);
            return ItemAnswer::Item(SizedItem { image, size_bytes: Some(item.size_bytes) }, None);
        }
        let Ok(body) = Json::parse(&answer.body) else {
            let is_object = RawObject::parse(&answer.body).is_some();
            return if is_object { ItemAnswer::Opaque } else { ItemAnswer::Unreadable };
        };
        if body.members().is_none() {
            return ItemAnswer::Unreadable;
        }
        let Some(item) = self.sized_item_of_key(table, key, body.get("Item")) else {
            return ItemAnswer::Opaque;
        };
        let consumed = body.get("ConsumedCapacity").map(|capacity| {
            let mut out = Vec::with_capacity(64);
            write_json(capacity, &mut out);
            out
        });
        ItemAnswer::Item(item, consumed)
    }

    /// What the cache has of an item, be it expired.
    pub(super) fn stale_item(
        &self,
        table: &KnownTable,
        key: &[u8],
        key_json: &[u8],
        policy: &ReadPolicy,
        now: Instant,
    ) -> Option<Hit<CachedItem>> {
        let partition = item_partition_bytes(&table.schema.key, &Json::parse(key_json).ok()?)?;
        self.cache.lookup_stale(&table.cached.address(key), &partition, policy, now)
    }

    /// The cached form of an `Item` member; `None` when it is not wholly understood, or has another key than this.
    pub(super) fn item_of_key(
        self: &Arc<Self>,
        table: &KnownTable,
        key: &[u8],
        item: Option<&Json<'_>>,
    ) -> Option<CachedItem> {
        self.sized_item_of_key(table, key, item).map(|item| item.image)
    }

    fn sized_item_of_key(
        self: &Arc<Self>,
        table: &KnownTable,
        key: &[u8],
        item: Option<&Json<'_>>,
    ) -> Option<SizedItem> {
        if item.is_some_and(|item| item_key_bytes(&table.schema.key, item).as_deref() != Some(key)) {
            self.note_foreign_key(table);
            return None;
        }
        sized_item_of(item)
    }
}

/// What memory has under a key.
#[derive(Clone, Debug)]
pub struct ItemAtOnce {
    /// The item, or the fact that there is none.
    pub item: CachedItem,
    /// The table's schema, by which the key was read.
    pub schema: Arc<TableSchema>,
    /// The table's name.
    pub table: Arc<str>,
    /// Whole seconds since the item was read from the upstream.
    pub age_seconds: Option<u64>,
}

/// An item, or that there is none, and how large it is.
struct SizedItem {
    image: CachedItem,
    /// `None` if there is no item.
    size_bytes: Option<usize>,
}

/// What the answer to a GetItem is.
enum ItemAnswer {
    /// The item, and the upstream's `ConsumedCapacity` as JSON.
    Item(SizedItem, Option<Vec<u8>>),
    /// It is not wholly understood, or of another key.
    Opaque,
    /// It is no success.
    Failed,
    /// It is no JSON object.
    Unreadable,
}

impl ItemAnswer {
    /// What it is to the cache and to the reader.
    fn fetched(self, answer: Answer) -> Result<Fetched<CachedItem>, Answer> {
        match self {
            Self::Item(item, consumed) => Ok(Fetched::Read { value: item.image, consumed }),
            Self::Opaque => Ok(Fetched::Opaque(answer)),
            Self::Failed => Err(answer),
            Self::Unreadable => Err(failed("The upstream's answer to a GetItem cannot be read.")),
        }
    }
}

impl Found<CachedItem> {
    /// Takes note of the read that found this.
    pub(super) fn note(&self, address: &Address<'_>, usage: &TableUsage) {
        usage.item_read(&ReadOfItem {
            key: address.key(),
            hash: address.hash(),
            outcome: self.source.into(),
            price: self.value.price(),
            age_seconds: self.age_seconds,
        });
    }
}

impl Reading for ItemRead {
    type Value = CachedItem;
    type Permit = FillPermit;

    fn table(&self) -> &Arc<KnownTable> {
        &self.table
    }

    fn on_behalf_of(&self) -> Option<&PrincipalRole> {
        self.on_behalf_of.as_deref()
    }

    fn look_up(&self, engine: &Engine, now: Instant) -> Lookup<CachedItem, FillPermit> {
        engine.cache.read(&self.address(), &self.policy, now)
    }

    fn look_up_stale(&self, engine: &Engine, now: Instant) -> Option<Hit<CachedItem>> {
        engine.stale_item(&self.table, &self.key, &self.key_json, &self.policy, now)
    }

    fn fill(
        &self,
        engine: Arc<Engine>,
        permit: FillPermit,
    ) -> impl Future<Output = Result<Fetched<CachedItem>, Answer>> + Send + 'static {
        let request = self.request(permit.consistency());
        engine.fill_item(permit, Arc::clone(&self.table), request)
    }

    async fn read_past_cache(
        &self,
        engine: &Arc<Engine>,
        reason: BypassReason,
    ) -> Result<Found<CachedItem>, Missed> {
        let source = Source::Bypass(reason);
        let sent = engine.cache.sending(&self.address(), fill_of(&self.table));
        let fetched = match self.item_now(engine) {
            Some(value) => Fetched::Read { value, consumed: None },
            None => {
                let strong = Consistency::Strong;
                let request = self.request(strong);
                let fetched = Box::pin(engine.fetch_item(&self.table, &self.key, &request, strong)).await;
                fetched.map_err(|answer| Missed::Failed(Box::new(answer), source))?
            }
        };
        match &fetched {
            Fetched::Read { value, .. } => {
                engine.cache.observe(&self.address(), value, sent, Instant::now());
            }
            Fetched::Opaque(_) => engine.cache.observe_opaque(&self.address(), Instant::now()),
        }
        fetched.found(source)
    }
}

impl Comparing for ItemRead {
    const KIND: &'static str = "item";

    type Sent = SentRead;

    fn sending(&self, engine: &Engine) -> SentRead {
        engine.cache.sending(&self.address(), self.policy.fill)
    }

    fn may_have_changed(&self, engine: &Engine, sent: SentRead, now: Instant) -> bool {
        engine.cache.may_have_changed(&self.address(), sent, now)
    }

    fn is_cached(&self, engine: &Engine, value: &CachedItem) -> bool {
        engine.cache.still_has(&self.address(), value)
    }

    fn can_be_strong(&self) -> bool {
        true
    }

    async fn fetch_strongly(&self, engine: &Arc<Engine>) -> Option<CachedItem> {
        let request = self.request(Consistency::Strong);
        match engine.fetch_item(&self.table, &self.key, &request, Consistency::Strong).await {
            Ok(Fetched::Read { value, .. }) => Some(value),
            Ok(Fetched::Opaque(_)) | Err(_) => None,
        }
    }

    fn observe(&self, engine: &Engine, value: &CachedItem, sent: SentRead, now: Instant) {
        engine.cache.observe(&self.address(), value, sent, now);
    }

    fn note_read(&self) {
        note_unfilled(&self.table, &self.key);
    }

    fn wants_part(&self) -> bool {
        matches!(self.attributes, Attributes::Of(_))
    }

    fn price(&self, value: &CachedItem) -> Units {
        value.price()
    }

    fn is_same(left: &CachedItem, right: &CachedItem) -> bool {
        left == right
    }

    fn is_shown_by(&self, cached: &CachedItem, answer: &Answer) -> Option<bool> {
        let body = Json::parse(&answer.body).ok().filter(|_| answer.is_success())?;
        Some(self.attributes.image_of(cached) == cached_item_of(body.get("Item"))?)
    }

    fn complete(&self, engine: &Arc<Engine>, permit: FillPermit, answer: &Answer) -> Option<FillPermit> {
        let is_whole = matches!(self.attributes, Attributes::All);
        if !is_whole || permit.consistency() == Consistency::Strong {
            return Some(permit);
        }
        let fetched = engine.read_item(&self.table, &self.key, answer).fetched(answer.clone());
        land(permit, &fetched, &self.request(Consistency::Eventual));
        None
    }
}

impl ItemRead {
    fn new(
        get: &GetItem<'_>,
        request: &Request,
        table: &Arc<KnownTable>,
        policy: ReadPolicy,
        key: Vec<u8>,
        attributes: Attributes,
    ) -> Self {
        let mut key_json = Vec::with_capacity(64);
        get.key.write_json(&mut key_json);
        Self {
            table: Arc::clone(table),
            policy,
            spelling: get.table_name.0.as_ref().into(),
            key,
            key_json,
            attributes,
            consistency: match get.consistent_read {
                Some(true) => Consistency::Strong,
                _ => Consistency::Eventual,
            },
            consumed: get.return_consumed_capacity.unwrap_or_default(),
            attempt: request.attempt,
            on_behalf_of: request.on_behalf_of.clone(),
            trace: request.trace.clone(),
        }
    }

    /// Where the item is cached.
    pub(super) fn address(&self) -> Address<'_> {
        self.table.cached.address(&self.key)
    }

    /// The item as a strong read finds it, if the upstream is one that can be asked without a request. A table that is named by its
    /// ARN is asked for in the client's words: some ARNs mean no table to such an upstream.
    fn item_now(&self, engine: &Engine) -> Option<CachedItem> {
        let asks_no_more =
            self.consumed == ReturnConsumedCapacity::None && *self.spelling == *self.table.name;
        if !engine.gets_items || !asks_no_more {
            return None;
        }
        let (image, size_bytes) = match engine.upstream.item_now(&self.table.schema, &self.key)? {
            ItemNow::Item(item) => (CachedItem::present(&item.json, item.size_bytes), item.size_bytes),
            ItemNow::Missing => (CachedItem::absent(), 0),
        };
        self.table.usage.charged_for_read(Units::strong_read(size_bytes));
        Some(image)
    }

    /// The GetItem that fetches the whole item.
    fn request(&self, consistency: Consistency) -> Request {
        let mut body = Vec::with_capacity(128);
        body.extend_from_slice(b"{\"TableName\":");
        write_string(&self.spelling, &mut body);
        body.extend_from_slice(b",\"Key\":");
        body.extend_from_slice(&self.key_json);
        if consistency == Consistency::Strong {
            body.extend_from_slice(b",\"ConsistentRead\":true");
        }
        if self.consumed != ReturnConsumedCapacity::None {
            body.extend_from_slice(b",\"ReturnConsumedCapacity\":\"");
            body.extend_from_slice(self.consumed.name().as_bytes());
            body.push(b'"');
        }
        body.push(b'}');
        Request {
            attempt: self.attempt,
            on_behalf_of: self.on_behalf_of.clone(),
            trace: self.trace.clone(),
            ..Request::new(Operation::GetItem, body)
        }
    }
}

/// Takes note of a read whose item the cache does not get to see.
pub(super) fn note_unfilled(table: &Arc<KnownTable>, key: &[u8]) {
    let (hash, outcome) = (table.cached.address(key).hash(), Outcome::Bypass);
    let price = Units::default();
    table.usage.item_read(&ReadOfItem { key, hash, outcome, price, age_seconds: None });
}

/// Gives what came of a fill's read to the cache.
fn land(permit: FillPermit, fetched: &Result<Fetched<CachedItem>, Answer>, request: &Request) {
    match fetched {
        Ok(Fetched::Read { value, .. }) => permit.complete(value.clone(), Instant::now()),
        Ok(Fetched::Opaque(_)) => permit.complete_opaque(Instant::now()),
        Err(answer) => permit.fail(FailedFetch::of(answer, request)),
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

/// How items of the table are fetched. Where they are not cached it makes no difference.
pub(super) fn fill_of(table: &KnownTable) -> FillMode {
    table.policy.map_or(FillMode::Strong, |policy| policy.fill)
}

/// The image of an `Item` member, in canonical form; `None` when it is there but is not wholly understood.
pub(super) fn cached_item_of(item: Option<&Json<'_>>) -> Option<CachedItem> {
    sized_item_of(item).map(|item| item.image)
}

fn sized_item_of(item: Option<&Json<'_>>) -> Option<SizedItem> {
    let Some(item) = item else { return Some(SizedItem { image: CachedItem::absent(), size_bytes: None }) };
    let item = item_of_answer(item)?;
    let mut json = Vec::with_capacity(512);
    write_item(&item, &mut json);
    let size_bytes = item_size_bytes(&item);
    Some(SizedItem { image: CachedItem::present(&json, size_bytes), size_bytes: Some(size_bytes) })
}

/// The answer that shows the client its part of the item.
fn show(
    (table, spelling): (&KnownTable, &str),
    attributes: &Attributes,
    kind: ReturnConsumedCapacity,
    found: Found<CachedItem>,
) -> Served {
    let (body, crc32) = match (attributes, kind) {
        (Attributes::All, ReturnConsumedCapacity::None) => {
            (Bytes::clone(found.value.body()), Some(found.value.crc32()))
        }
        _ => (Bytes::from(compose(spelling, attributes, kind, &found)), None),
    };
    Served {
        answer: Answer::ok(body),
        crc32,
        source: found.source,
        age_seconds: found.age_seconds,
        table: Some(table.name_for_answer()),
    }
}

/// `spelling` is the table's name as the client wrote it, which is how the service names it in what was consumed.
fn compose(
    spelling: &str,
    attributes: &Attributes,
    kind: ReturnConsumedCapacity,
    found: &Found<CachedItem>,
) -> Vec<u8> {
    let item = attributes.item_json(&found.value);
    let mut body = Vec::with_capacity(128 + item.as_ref().map_or(0, |item| item.len()));
    body.push(b'{');
    if kind != ReturnConsumedCapacity::None {
        body.extend_from_slice(b"\"ConsumedCapacity\":");
        match &found.consumed {
            Some(consumed) => body.extend_from_slice(consumed),
            None => write_nothing_consumed(spelling, kind, &mut body),
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
