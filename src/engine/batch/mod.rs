//! BatchGetItem: hits are taken out, what is missing is fetched in one call, and the answer is put together again.
//!
//! Every key is its own read for the cache. Keys that lead a fill, and all keys of strongly read tables, go upstream in one
//! request for whole items; keys that another request is fetching are waited for. A key that the upstream leaves unprocessed
//! is no answer, and neither is one whose fill failed: both come back to the client under `UnprocessedKeys`.
//!
//! An item that is not understood is shown as it came. Where it cannot be, because the client wants a part of it, and where an
//! answer is not one to this request, the client's own request is sent instead.

mod answer;
mod asked;
mod at_once;
mod shadow;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::{
    Address, CachedItem, Consistency, FailedFetch, FillPermit, JoinOutcome, Joiner, Lookup, Moment,
    ReadPolicy, SentRead,
};
use crate::call::{Answer, Attempt, Request};
use crate::insight::Outcome;
use crate::wire::Json;
use crate::wire::json::{write_json, write_string};
use crate::wire::raw::RawObject;
use crate::wire::request::{ReturnConsumedCapacity, item_key_bytes, key_bytes};

use super::items::{ItemRead, cached_item_of, fill_of};
use super::known_table::KnownTable;
use super::reading::{Missed, is_about_another};
use super::view::Attributes;
use super::{BypassReason, Engine, Served, Source, failed, is_failure};
use answer::{compose, has_name, write_list};
use asked::{Asked, KeySpelling, NotStrict, Parts};

/// The most keys of one request; the upstream refuses more.
const KEYS_MAX: usize = 100;

/// A request, understood.
pub(super) struct BatchRead<'b> {
    parts: Vec<Part<'b>>,
    consumed: ReturnConsumedCapacity,
}

/// One table's part of a batch.
pub(super) struct Part<'b> {
    pub(super) table: Arc<KnownTable>,
    /// The table's name or ARN as the client wrote it.
    pub(super) spelling: String,
    pub(super) attributes: Attributes,
    strong: bool,
    pub(super) keys: Vec<WantedKey<'b>>,
    /// The canonical bytes of all keys, one behind the other: a vector for each would be most of what a batch of hits allocates.
    key_bytes: Vec<u8>,
    /// The part's members but `Keys`, as JSON members with a comma behind each, for `UnprocessedKeys`.
    pub(super) other_members: Vec<u8>,
}

pub(super) struct WantedKey<'b> {
    /// Where among the bytes of its part its own are.
    place: Range<usize>,
    /// That of its address.
    hash: u64,
    text: KeySpelling<'b>,
    pub(super) state: State,
    /// How it was read and how old that is in seconds, to be noted if the answer shows it.
    read: Option<(Outcome, Option<u64>)>,
}

/// What is known of one key so far.
pub(super) enum State {
    /// Nothing yet, or no answer.
    Open,
    /// Another request is fetching it.
    Joined(Joiner),
    /// Its image, ready to be shown.
    Found(CachedItem),
    /// Its item as JSON, which is not understood.
    Opaque(Vec<u8>),
}

/// What an answer has of one key.
enum Brought {
    Item(CachedItem),
    /// An item that is not understood, as JSON.
    Opaque(Vec<u8>),
}

/// Something of the answer cannot be shown: the client's own request must be sent.
struct CannotShow;

/// A table's share of the one upstream call, owned by the task that makes the call.
struct Fetch {
    table: Arc<KnownTable>,
    spelling: String,
    /// No other part of the request is spelled as this table's name: an answer under that name is this table's.
    has_name: bool,
    strong: bool,
    keys: Vec<(Vec<u8>, Vec<u8>, KeyRead)>,
}

/// How a key is read.
enum KeyRead {
    Fill(FillPermit),
    /// Strongly, because the client wants it so.
    Strong(SentRead),
}

/// Where how many keys came from.
#[derive(Default)]
struct Counts {
    hit: u32,
    miss: u32,
    stale: u32,
}

impl Counts {
    /// A key that had been counted as one to fetch is served past its time.
    fn note_stale(&mut self) {
        self.miss = self.miss.saturating_sub(1);
        self.stale += 1;
    }

    fn source(&self) -> Source {
        Source::Batch { hit: self.hit, miss: self.miss, stale: self.stale }
    }
}

/// What the upstream call gave: images by table (as spelled) and canonical key, and each table's consumed capacity.
#[derive(Default)]
pub(super) struct Fetched {
    brought: BTreeMap<String, BTreeMap<Vec<u8>, Brought>>,
    pub(super) consumed: Vec<Vec<u8>>,
    pub(super) consumed_tables: Vec<String>,
    /// A part of the answer is not one to what was asked.
    is_foreign: bool,
}

impl Engine {
    /// Answers a BatchGetItem, of which a first look may have understood everything.
    pub(super) async fn batch_get_item(
        self: &Arc<Self>,
        request: Request,
        understood: Option<BatchRead<'static>>,
    ) -> Served {
        // A table that was changed meanwhile may have another key, or belong to another engine: the request is read again then.
        if let Some(read) = understood.filter(|read| read.parts.iter().all(|part| self.knows(part))) {
            return self.read_batch(request, read).await;
        }
        let bytes = request.body.clone();
        let mut tree = Json::Null;
        let asked = match Asked::read(&bytes, &mut tree) {
            Ok(asked) => asked,
            Err(NotStrict) => return self.bypass(&request, BypassReason::NotUnderstood).await,
        };
        match self.understand(asked).await {
            Ok(read) => self.read_batch(request, read).await,
            Err(reason) => {
                let served = self.bypass(&request, reason).await;
                if served.answer.is_success() {
                    self.doubt_tables_of(&bytes);
                }
                served
            }
        }
    }

    async fn read_batch(self: &Arc<Self>, request: Request, read: BatchRead<'_>) -> Served {
        let BatchRead { mut parts, consumed: kind } = read;
        if parts.iter().any(|part| part.table.is_in_shadow()) {
            return self.batch_in_shadow(&request, &parts).await;
        }
        if parts.iter().any(|part| self.may_not_read_whole(&part.table, &part.attributes, &request)) {
            return self.batch_as_asked(&request, &parts, BypassReason::NotPermitted).await;
        }
        let (fetches, mut counts) = self.begin(&mut parts, &request);
        let fetched = if fetches.is_empty() {
            Ok(Fetched::default())
        } else {
            let own = request.with_body(batch_body(&fetches, kind));
            let fetch = Arc::clone(self).fetch_batch(fetches, own);
            // A task of its own: readers that joined its fills must not lose their answers with this client.
            self.tasks.spawn(fetch).await.unwrap_or_else(|_| Err(failed("The batch's task ended early.")))
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(answer) if is_failure(answer.status) && self.settle_stale(&mut parts, &mut counts) => {
                Fetched::default()
            }
            Err(answer) => {
                let served = self.batch_denied(&request, &parts, &answer).await;
                return served.unwrap_or_else(|| Served::plain(answer, counts.source()));
            }
        };
        if fetched.is_foreign || self.settle_keys(&request, &mut parts, &fetched, &mut counts).await.is_err()
        {
            return self.batch_as_asked(&request, &parts, BypassReason::OpaqueAnswer).await;
        }
        if parts.iter().any(|part| part.table.is_retired()) {
            // A table's key may be another one: what memory or another reader gave may be of another item.
            return self.bypass(&request, BypassReason::UnknownTable).await;
        }
        let source = match parts.iter().all(|part| part.strong) {
            true => Source::Bypass(BypassReason::Consistent),
            false => counts.source(),
        };
        let table = match &*parts {
            [part] => Some(Arc::clone(&part.table.name)),
            _ => None,
        };
        Served { table, ..Served::plain(Answer::ok(compose(&parts, kind, &fetched)), source) }
    }

    /// Whether a part was read by what is known of its table now.
    fn knows(&self, part: &Part<'_>) -> bool {
        let is_same = |table: &Arc<KnownTable>| Arc::ptr_eq(table, &part.table).then_some(());
        self.tables.with(&part.spelling, is_same).is_some()
    }

    /// The upstream has taken a request that is not understood: its tables may be other ones than those that are known, or exist
    /// where none is known.
    fn doubt_tables_of(self: &Arc<Self>, body: &[u8]) {
        let body = Json::parse_request(body).unwrap_or(Json::Null);
        let requests = body.get("RequestItems").and_then(Json::members).unwrap_or_default();
        for (spelling, _) in requests.iter().take(KEYS_MAX) {
            match self.tables.get(spelling) {
                Some(table) => self.doubt(&table),
                None => self.tables.questions.table_exists(spelling),
            }
        }
    }

    /// Reads the request; an error is the reason why the upstream must.
    async fn understand<'b>(
        self: &Arc<Self>,
        asked: Option<Asked<'b>>,
    ) -> Result<BatchRead<'b>, BypassReason> {
        let Asked { tables, return_consumed_capacity: consumed } =
            asked.ok_or(BypassReason::NotUnderstood)?;
        let mut parts = Parts::of(&tables)?;
        for asked in tables {
            let table = self.learn(&asked.spelling).await.ok_or(BypassReason::UnknownTable)?;
            parts.add(table, asked)?;
        }
        Ok(BatchRead { parts: parts.finish()?, consumed })
    }

    /// Asks the cache for every key, and gathers what must be fetched.
    fn begin(self: &Arc<Self>, parts: &mut [Part], request: &Request) -> (Vec<Fetch>, Counts) {
        let now = Instant::now();
        let moment = self.cache.moment(now);
        let (mut fetches, mut counts) = (Vec::new(), Counts::default());
        let spellings: Vec<_> = parts.iter().map(|part| part.spelling.clone()).collect();
        for part in parts {
            let mut fetch = Fetch {
                table: Arc::clone(&part.table),
                spelling: part.spelling.clone(),
                has_name: has_name(&part.table, &part.spelling, spellings.iter()),
                strong: part.strong,
                keys: Vec::new(),
            };
            for wanted in &mut part.keys {
                let key = wanted.key(&part.key_bytes);
                let address = part.table.cached.address_with_hash(key, wanted.hash);
                let permit = match &part.table.policy {
                    Some(policy) if !part.strong => match self.look_up(&address, policy, now, moment) {
                        Lookup::Hit(found) => {
                            if part.table.verify_sample.picks() {
                                let place = (&part.table, &*part.spelling);
                                self.verify(ItemRead::of_key(place, (key, wanted), *policy, request), &found);
                            }
                            wanted.read = Some((Outcome::Hit, Some(found.age.as_secs())));
                            wanted.state = State::Found(found.value);
                            counts.hit += 1;
                            continue;
                        }
                        Lookup::Join(joiner) => {
                            wanted.state = State::Joined(joiner);
                            counts.miss += 1;
                            continue;
                        }
                        Lookup::Lead(permit) => {
                            self.check_current(&part.table);
                            Some(permit)
                        }
                    },
                    _ => None,
                };
                counts.miss += 1;
                fetch.strong |=
                    permit.as_ref().is_some_and(|permit| permit.consistency() == Consistency::Strong);
                let strong = || KeyRead::Strong(self.cache.sending(&address, fill_of(&part.table)));
                let read = permit.map_or_else(strong, KeyRead::Fill);
                fetch.keys.push((key.to_vec(), wanted.text.to_json(), read));
            }
            if !fetch.keys.is_empty() {
                fetches.push(fetch);
            }
        }
        (fetches, counts)
    }

    /// As [`crate::cache::ItemCache::read`], with the clocks read once for all hits of a batch.
    fn look_up(
        &self,
        address: &Address<'_>,
        policy: &ReadPolicy,
        now: Instant,
        moment: Moment,
    ) -> Lookup<CachedItem, FillPermit> {
        let hit = self.cache.lookup_at(address, moment);
        hit.map_or_else(|| self.cache.read(address, policy, now), Lookup::Hit)
    }

    /// Makes the one upstream call and hands the cache what came. Permits that get no answer are dropped, which abandons
    /// their fills.
    async fn fetch_batch(self: Arc<Self>, fetches: Vec<Fetch>, request: Request) -> Result<Fetched, Answer> {
        let answer = self.forward(&request).await;
        if !answer.is_success() {
            for (_, _, read) in fetches.into_iter().flat_map(|fetch| fetch.keys) {
                if let KeyRead::Fill(permit) = read {
                    permit.fail(FailedFetch::of(&answer, &request));
                }
            }
            return Err(answer);
        }
        if RawObject::parse(&answer.body).is_none() {
            return Err(failed("The upstream's answer to a BatchGetItem cannot be read."));
        }
        // What is not strict JSON is no answer to any key.
        let body = Json::parse(&answer.body).unwrap_or(Json::Null);
        let mut fetched = Fetched::default();
        for fetch in fetches {
            let brought = if body == Json::Null { None } else { self.read_part(&body, &fetch) };
            fetched.is_foreign |= brought.is_none();
            let brought = brought.unwrap_or_default();
            self.keep(fetch.keys, &fetch.table, &brought, fetched.is_foreign);
            fetched.brought.insert(fetch.spelling, brought);
        }
        for capacity in body.get("ConsumedCapacity").and_then(Json::elements).unwrap_or_default() {
            let mut out = Vec::with_capacity(64);
            write_json(capacity, &mut out);
            fetched.consumed.push(out);
            fetched.consumed_tables.extend(capacity.get("TableName").and_then(Json::text).map(str::to_owned));
        }
        Ok(fetched)
    }

    /// Hands the cache what came for the keys of one table.
    fn keep(
        &self,
        keys: Vec<(Vec<u8>, Vec<u8>, KeyRead)>,
        table: &KnownTable,
        brought: &BTreeMap<Vec<u8>, Brought>,
        is_foreign: bool,
    ) {
        let now = Instant::now();
        for (key, _, read) in keys {
            let address = table.cached.address(&key);
            match (brought.get(&key), read) {
                (Some(Brought::Item(image)), KeyRead::Fill(permit)) => permit.complete(image.clone(), now),
                (Some(Brought::Item(image)), KeyRead::Strong(sent)) => {
                    self.cache.observe(&address, image, sent, now);
                }
                (Some(Brought::Opaque(_)), KeyRead::Fill(permit)) => permit.complete_opaque(now),
                (Some(Brought::Opaque(_)), KeyRead::Strong(_)) => self.cache.observe_opaque(&address, now),
                (None, KeyRead::Fill(permit)) if is_foreign => permit.complete_opaque(now),
                // Unprocessed: a permit that is dropped abandons its fill.
                (None, _) => {}
            }
        }
    }

    /// What an answer has for one table's keys: one that is neither among its items nor unprocessed is absent. `None` when the
    /// part has an item that was not asked for.
    fn read_part(self: &Arc<Self>, body: &Json<'_>, fetch: &Fetch) -> Option<BTreeMap<Vec<u8>, Brought>> {
        let brought = read_part(body, fetch);
        if brought.is_none() {
            self.note_foreign_key(&fetch.table);
        }
        brought
    }

    /// The upstream call has failed: brings every key that it was for to an image past its time. False if one has none.
    fn settle_stale(&self, parts: &mut [Part], counts: &mut Counts) -> bool {
        for part in parts {
            for wanted in part.keys.iter_mut().filter(|wanted| matches!(wanted.state, State::Open)) {
                let key = wanted.key(&part.key_bytes);
                match self.stale_key((&part.table, part.strong), key, wanted) {
                    Some(image) => wanted.state = State::Found(image),
                    None => return false,
                }
                counts.note_stale();
            }
        }
        true
    }

    fn stale_key(
        &self,
        (table, strong): (&KnownTable, bool),
        key: &[u8],
        wanted: &WantedKey,
    ) -> Option<CachedItem> {
        let policy = table.policy.as_ref().filter(|_| !strong)?;
        Some(self.stale_item(table, key, &wanted.text.to_json(), policy, Instant::now())?.value)
    }

    /// Brings every key to what is shown of it, or leaves it open.
    async fn settle_keys(
        self: &Arc<Self>,
        request: &Request,
        parts: &mut [Part<'_>],
        fetched: &Fetched,
        counts: &mut Counts,
    ) -> Result<(), CannotShow> {
        for part in parts {
            let place = (&part.table, &*part.spelling);
            for wanted in &mut part.keys {
                let key = wanted.key(&part.key_bytes);
                wanted.state = match std::mem::replace(&mut wanted.state, State::Open) {
                    State::Open => {
                        let brought = fetched.brought.get(&part.spelling);
                        match brought.and_then(|brought| brought.get(key)) {
                            Some(Brought::Item(image)) => {
                                let outcome = if part.strong { Outcome::Bypass } else { Outcome::Miss };
                                wanted.read = Some((outcome, None));
                                State::Found(image.clone())
                            }
                            Some(Brought::Opaque(item)) => match part.attributes {
                                Attributes::All => State::Opaque(item.clone()),
                                Attributes::Of(_) => return Err(CannotShow),
                            },
                            None => State::Open,
                        }
                    }
                    State::Joined(joiner) => match joiner.wait().await {
                        JoinOutcome::Landed(image) => {
                            wanted.read = Some((Outcome::Joined, None));
                            State::Found(image)
                        }
                        JoinOutcome::Failed(failure)
                            if is_about_another(&failure, request.on_behalf_of.as_deref()) =>
                        {
                            self.look_again(request, place, (key, &mut *wanted), counts).await?
                        }
                        JoinOutcome::Failed(failure) => {
                            let stale = is_failure(failure.answer.status)
                                .then(|| self.stale_key((&part.table, part.strong), key, wanted))
                                .flatten();
                            stale.map_or(State::Open, |image| {
                                counts.note_stale();
                                State::Found(image)
                            })
                        }
                        JoinOutcome::Opaque => return Err(CannotShow),
                        JoinOutcome::LookAgain => {
                            self.look_again(request, place, (key, &mut *wanted), counts).await?
                        }
                    },
                    settled => settled,
                };
            }
        }
        Ok(())
    }

    async fn look_again(
        self: &Arc<Self>,
        request: &Request,
        (table, spelling): (&Arc<KnownTable>, &str),
        (key, wanted): (&[u8], &mut WantedKey<'_>),
        counts: &mut Counts,
    ) -> Result<State, CannotShow> {
        let Some(policy) = table.policy else { return Ok(State::Open) };
        let single = ItemRead::of_key((table, spelling), (key, wanted), policy, request);
        match self.find(&single).await {
            Ok(found) => {
                wanted.read = Some((found.source.into(), found.age_seconds));
                if found.source == Source::Stale {
                    counts.note_stale();
                }
                Ok(State::Found(found.value))
            }
            Err(Missed::Failed(..)) => Ok(State::Open),
            Err(Missed::Opaque(_)) => Err(CannotShow),
        }
    }
}

impl ItemRead {
    /// A read of one key of a batch by itself, of the whole item.
    fn of_key(
        (table, spelling): (&Arc<KnownTable>, &str),
        (key, wanted): (&[u8], &WantedKey),
        policy: ReadPolicy,
        request: &Request,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            policy,
            spelling: spelling.into(),
            key: key.to_vec(),
            key_json: wanted.text.to_json(),
            attributes: Attributes::All,
            consistency: Consistency::Eventual,
            consumed: ReturnConsumedCapacity::None,
            attempt: Attempt::First,
            on_behalf_of: request.on_behalf_of.clone(),
            trace: request.trace.clone(),
        }
    }
}

impl BatchRead<'_> {
    /// The same, with nothing of the request's body in it.
    fn into_owned(self) -> BatchRead<'static> {
        let parts = self.parts.into_iter().map(Part::into_owned).collect();
        BatchRead { parts, consumed: self.consumed }
    }
}

impl Part<'_> {
    fn into_owned(self) -> Part<'static> {
        let keys = self
            .keys
            .into_iter()
            .map(|wanted| WantedKey { text: KeySpelling::Written(wanted.text.to_json()), ..wanted });
        Part { keys: keys.collect(), ..self }
    }

    /// The canonical bytes of its keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|wanted| wanted.key(&self.key_bytes))
    }
}

impl WantedKey<'_> {
    /// Its canonical bytes, in those of its part.
    fn key<'k>(&self, key_bytes: &'k [u8]) -> &'k [u8] {
        &key_bytes[self.place.clone()]
    }
}

/// The body of the upstream's request for whole items.
fn batch_body(fetches: &[Fetch], kind: ReturnConsumedCapacity) -> Vec<u8> {
    let mut body = b"{\"RequestItems\":{".to_vec();
    write_list(&mut body, fetches, |fetch, body| {
        write_string(&fetch.spelling, body);
        body.extend_from_slice(b":{\"Keys\":[");
        write_list(body, &fetch.keys, |(_, json, _), body| body.extend_from_slice(json));
        body.extend_from_slice(b"]");
        if fetch.strong {
            body.extend_from_slice(b",\"ConsistentRead\":true");
        }
        body.push(b'}');
    });
    body.push(b'}');
    if kind != ReturnConsumedCapacity::None {
        body.extend_from_slice(b",\"ReturnConsumedCapacity\":\"");
        body.extend_from_slice(kind.name().as_bytes());
        body.push(b'"');
    }
    body.push(b'}');
    body
}

fn read_part(body: &Json<'_>, fetch: &Fetch) -> Option<BTreeMap<Vec<u8>, Brought>> {
    let asked: Vec<&[u8]> = fetch.keys.iter().map(|(key, _, _)| &**key).collect();
    read_keys(body, &fetch.table, (&fetch.spelling, fetch.has_name), &asked)
}

/// What an answer has for these keys of a table, under its spelling, or under its name if that means no other table.
fn read_keys(
    body: &Json<'_>,
    table: &KnownTable,
    (spelling, has_name): (&str, bool),
    asked: &[&[u8]],
) -> Option<BTreeMap<Vec<u8>, Brought>> {
    let schema = &table.schema.key;
    let of_table = |member: &str| {
        let tables = body.get(member)?;
        tables.get(spelling).or_else(|| tables.get(&table.name).filter(|_| has_name))
    };
    let was_asked = |key: &Vec<u8>| asked.contains(&&**key);
    let mut brought = BTreeMap::new();
    for item in of_table("Responses").and_then(Json::elements).unwrap_or_default() {
        let key = item_key_bytes(schema, item).filter(was_asked)?;
        let opaque = || {
            let mut json = Vec::with_capacity(512);
            write_json(item, &mut json);
            Brought::Opaque(json)
        };
        brought.insert(key, cached_item_of(Some(item)).map_or_else(opaque, Brought::Item));
    }
    let mut unprocessed = Vec::new();
    for key in of_table("UnprocessedKeys").and_then(|part| part.get("Keys")?.elements()).unwrap_or_default() {
        unprocessed.push(key_bytes(schema, key).filter(was_asked)?);
    }
    for key in asked {
        if !brought.contains_key(*key) && !unprocessed.iter().any(|open| open == key) {
            brought.insert(key.to_vec(), Brought::Item(CachedItem::absent()));
        }
    }
    Some(brought)
}
