//! The writing side of a stream: where the record of a change goes, and when shards close and open.
//!
//! Exactly one job runs at a time, and only jobs write, so what is kept here in memory follows the store; when a commit
//! fails, the log is read anew with the table that it belongs to.
//!
//! A stream begins with the configured number of shards, one by default: a small table has one in the service too, and much
//! of what is written against streams reads only the first. A shard closes after [`SHARD_MS_MAX`], as in the service, and is
//! followed by one child; a shard that has taken too many records before that splits, and each of its two children
//! takes half of its hashes. So a child's records are always later than its parent's, and whoever reads parents first
//! sees the changes of every item in order.

mod definition;
mod record;

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::{self, Clock};
use super::spaces;
use super::store::{Reads, Space, StoreError, Writes};
use super::table_record::{KeyElement, Stream};

use definition::ViewType;

pub(super) use definition::{
    HASH_END, KEPT_MS, SequenceNumber, ShardDefinition, StreamDefinition, all_streams,
};
pub(super) use record::{Actor, Change, Record};

/// How long a shard takes records.
pub(super) const SHARD_MS_MAX: u64 = 4 * 60 * 60 * 1000;
/// The most shards that are open at a time; a full shard beyond them is followed by one child.
const OPEN_SHARDS_MAX: usize = 16;

/// How a stream is cut into shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRules {
    /// How many a new stream has; 1 at least.
    pub initial: u32,
    /// How many records a shard takes before it splits; 1 at least.
    pub records_max: u64,
}

impl Default for ShardRules {
    fn default() -> Self {
        Self { initial: 1, records_max: 100_000 }
    }
}

/// A stream that records are written to.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    view: ViewType,
    clock: Clock,
    rules: ShardRules,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    definition: StreamDefinition,
    /// The open shards, by their hashes.
    open: Vec<OpenShard>,
    /// The last number given to anything.
    last: SequenceNumber,
}

#[derive(Clone, Copy, Debug)]
struct OpenShard {
    /// Its place in the definition.
    position: usize,
    end_hash: u32,
    space: Space,
    opened_ms: u64,
    records: u64,
}

impl ChangeLog {
    /// Makes a stream, with its first shards open. It gets another label when the table had a stream of this one.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(crate) fn create(
        writes: &mut dyn Writes,
        table: &str,
        stream: &mut Stream,
        key_schema: &[KeyElement],
        clock: &Clock,
        rules: ShardRules,
    ) -> Result<Self, StoreError> {
        let now = clock.now_ms();
        let mut labelled_ms = now;
        while StreamDefinition::load(&*writes, table, &stream.label)?.is_some() {
            labelled_ms += 1;
            stream.label = clock::timestamp(labelled_ms);
        }
        let definition = StreamDefinition {
            table_name: table.to_owned(),
            stream_label: stream.label.clone(),
            stream_view_type: ViewType::from_name(&stream.view_type),
            key_schema: key_schema.to_vec(),
            creation_request_date_time: now as f64 / 1000.0,
            disabled_ms: None,
            shards: Vec::new(),
        };
        let mut state = State { definition, open: Vec::new(), last: SequenceNumber::default() };
        let shards = rules.initial.clamp(1, OPEN_SHARDS_MAX as u32);
        let bound = |shard: u32| u32::try_from(u64::from(HASH_END) * u64::from(shard) / u64::from(shards));
        for shard in 0..shards {
            let (first, end) = (bound(shard).unwrap_or(HASH_END), bound(shard + 1).unwrap_or(HASH_END));
            state.open_shard(None, first, end, now, writes)?;
        }
        state.definition.store(writes)?;
        Ok(Self::over(state, clock, rules))
    }

    /// The stream of that table and label as it is stored; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke or the stream is unreadable.
    pub(crate) fn load(
        reads: &(impl Reads + ?Sized),
        table: &str,
        label: &str,
        clock: &Clock,
        rules: ShardRules,
    ) -> Result<Option<Self>, StoreError> {
        let Some(definition) = StreamDefinition::load(reads, table, label)? else { return Ok(None) };
        let mut state = State { definition, open: Vec::new(), last: SequenceNumber::default() };
        for (position, shard) in state.definition.shards.iter().enumerate() {
            let given = shard.ending_sequence_number.unwrap_or(shard.starting_sequence_number);
            state.last = state.last.max(given);
            if shard.is_open() {
                state.last = state.last.max(shard.last_record(reads)?.unwrap_or_default());
                state.open.push(OpenShard::new(position, shard, reads.len(shard.records())?));
            }
        }
        state.open.sort_by_key(|open| open.end_hash);
        Ok(Some(Self::over(state, clock, rules)))
    }

    fn over(state: State, clock: &Clock, rules: ShardRules) -> Self {
        let view = state.definition.stream_view_type;
        Self { view, clock: clock.clone(), rules, state: Mutex::new(state) }
    }

    /// Writes the record of a change, in the commit that the change is in. Constant time, however many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(crate) fn append(&self, change: &Change<'_>, writes: &mut dyn Writes) -> Result<(), StoreError> {
        let mut state = self.lock();
        let now = self.clock.now_ms();
        let hash = change.hash();
        let mut place = state.place_of(hash);
        if state.open[place].is_due(now, self.rules) {
            state.succeed(place, now, self.rules, writes)?;
            state.definition.store(writes)?;
            place = state.place_of(hash);
        }
        let number = state.next_number(now);
        let shard = &mut state.open[place];
        shard.records += 1;
        writes.put(shard.space, &number.key(), &change.encode(self.view))
    }

    /// Closes the shards whose time is over and opens their children, and drops one of the closed that are not kept any more.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn tidy(&self, writes: &mut dyn Writes) -> Result<(), StoreError> {
        let mut state = self.lock();
        let now = self.clock.now_ms();
        let mut is_changed = state.drop_outdated(now, writes)?;
        while let Some(place) = state.open.iter().position(|open| open.is_due(now, self.rules)) {
            state.succeed(place, now, self.rules, writes)?;
            is_changed = true;
        }
        if is_changed { state.definition.store(writes) } else { Ok(()) }
    }

    /// Closes all shards: the stream is switched off and stays readable for a day.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(crate) fn close(&self, writes: &mut dyn Writes) -> Result<(), StoreError> {
        let mut state = self.lock();
        let now = self.clock.now_ms();
        while let Some(open) = state.open.pop() {
            state.close_shard(open.position, now);
        }
        state.definition.disabled_ms = Some(now);
        state.definition.store(writes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenShard {
    fn new(position: usize, shard: &ShardDefinition, records: u64) -> Self {
        Self {
            position,
            end_hash: shard.end_hash,
            space: shard.records(),
            opened_ms: shard.opened_ms,
            records,
        }
    }

    fn is_due(&self, now: u64, rules: ShardRules) -> bool {
        self.records >= rules.records_max || now >= self.opened_ms + SHARD_MS_MAX
    }
}

impl State {
    /// The open shard that takes the changes of a hash.
    fn place_of(&self, hash: u32) -> usize {
        let place = self.open.partition_point(|open| open.end_hash <= hash);
        debug_assert!(place < self.open.len(), "the open shards take every hash");
        place.min(self.open.len() - 1)
    }

    fn next_number(&mut self, now: u64) -> SequenceNumber {
        self.last = self.last.following(now);
        self.last
    }

    /// Puts one child or two in the place of an open shard.
    fn succeed(
        &mut self,
        place: usize,
        now: u64,
        rules: ShardRules,
        writes: &mut dyn Writes,
    ) -> Result<(), StoreError> {
        let parent = self.open.remove(place);
        self.close_shard(parent.position, now);
        let shard = &self.definition.shards[parent.position];
        let (first, end, id) = (shard.first_hash, shard.end_hash, shard.shard_id.clone());
        let middle = first + (end - first) / 2;
        let splits = parent.records >= rules.records_max
            && now < parent.opened_ms + SHARD_MS_MAX
            && self.open.len() + 2 <= OPEN_SHARDS_MAX
            && middle > first;
        if splits {
            self.open_shard(Some(id.clone()), first, middle, now, writes)?;
            self.open_shard(Some(id), middle, end, now, writes)
        } else {
            self.open_shard(Some(id), first, end, now, writes)
        }
    }

    fn close_shard(&mut self, position: usize, now: u64) {
        let ending = self.next_number(now);
        let shard = &mut self.definition.shards[position];
        shard.closed_ms = Some(now);
        shard.ending_sequence_number = Some(ending);
    }

    fn open_shard(
        &mut self,
        parent_shard_id: Option<String>,
        first_hash: u32,
        end_hash: u32,
        now: u64,
        writes: &mut dyn Writes,
    ) -> Result<(), StoreError> {
        // Ids sort in the order of the shards' making, which is how DescribeStream pages through them.
        let last_id = self.definition.shards.last().map_or(0, ShardDefinition::id_ms);
        let shard_id = format!("shardId-{:020}-{:08x}", now.max(last_id + 1), fastrand::u32(..));
        let shard = ShardDefinition {
            shard_id,
            parent_shard_id,
            space: spaces::allocate_space(writes)?,
            first_hash,
            end_hash,
            opened_ms: now,
            closed_ms: None,
            starting_sequence_number: self.next_number(now),
            ending_sequence_number: None,
        };
        self.open.push(OpenShard::new(self.definition.shards.len(), &shard, 0));
        self.open.sort_by_key(|open| open.end_hash);
        self.definition.shards.push(shard);
        Ok(())
    }

    /// Drops one shard that is not kept any more; true when there was one.
    fn drop_outdated(&mut self, now: u64, writes: &mut dyn Writes) -> Result<bool, StoreError> {
        let is_changed = drop_outdated(&mut self.definition, now, writes)?;
        if is_changed {
            for (position, shard) in self.definition.shards.iter().enumerate() {
                let opened = self.open.iter_mut().find(|open| open.space == shard.records());
                opened.into_iter().for_each(|open| open.position = position);
            }
        }
        Ok(is_changed)
    }
}

/// Drops one shard of a stream that is not kept any more; true when there was one.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn drop_outdated(
    definition: &mut StreamDefinition,
    now: u64,
    writes: &mut dyn Writes,
) -> Result<bool, StoreError> {
    let Some(position) = definition.shards.iter().position(|shard| !shard.is_kept(now)) else {
        return Ok(false);
    };
    writes.clear(definition.shards.remove(position).records())?;
    Ok(true)
}

impl ShardDefinition {
    /// The time that its id begins with.
    fn id_ms(&self) -> u64 {
        let digits = self.shard_id.split('-').nth(1);
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(self.opened_ms)
    }
}
