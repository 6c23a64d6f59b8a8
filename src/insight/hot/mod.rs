//! Which keys and partitions are read and written most, in the last minute and in the last ten.
//!
//! In flow the accesses of the engine; out flow the heaviest keys, for the administrator who asks with the token. **Keys are
//! users' data**: they appear in [`HotKeys::heaviest`] and nowhere else. No type in here shows a key to a log line or a metric.
//!
//! Each access costs a count down of its thread. Up to [`SAMPLES_PER_SECOND`] accesses a second, every access is noted, so a
//! quiet node's counts are exact. Above, one in 2^n is, after skips of random length, and counts as 2^n. What is noted waits in
//! a buffer of its thread until the next [`HotKeys::drain`], a few times a second, which counts it in sketches.
//!
//! The crates `heavykeeper` and `streaming_algorithms` were considered, and not tried. As far as we know neither has sliding windows,
//! a second count for a key, or a bound for the bytes of keys. A bounded heap and a map are what is needed.

mod sketch;
mod windows;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::time::Instant;

use super::ages::Ages;
use crate::locks::{lock, try_lock};
use crate::model::{KeySchema, KeyValue, TableSchema};
use crate::spread::Spread;

use sketch::Name;
use windows::{Direction, Heavy, Kind, Windows};

pub(crate) use windows::{Order, Window};

/// Up to that many accesses a second are all noted.
const SAMPLES_PER_SECOND: f64 = 8192.0;

/// What a thread notes until it is counted.
const BUFFER_BYTES: usize = 64 << 10;

/// The shortest time in which accesses make a rate.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// How often a thread tries to note an access when others that share its buffer are about to.
const TRIES: usize = 64;

/// The rarest sampling: one in 2^16.
const SAMPLING_MAX: u32 = 16;

/// Tables that are told apart at a time. Keys of further ones are not counted.
const TABLES_MAX: usize = 4096;

/// Indexes of a table that are told apart.
const INDEXES_MAX: usize = 128;

/// The bounds of the ages at which hits are counted.
pub(crate) const AGES_SECONDS: [u16; 7] = [1, 10, 60, 300, 900, 3600, 14_400];

/// How old the answers of a table's hits were.
pub(crate) type HitAges = Ages<{ AGES_SECONDS.len() }>;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A read answered from memory.
    Hit,
    /// A read that had to wait for the upstream.
    Miss,
    /// A write.
    Write,
}

/// A table as this module calls it. Get it from [`HotKeys::table`], once, and keep it until [`HotKeys::forget`]. No number is given
/// twice: the windows may still have keys of a table that is gone, which must not be shown as another one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HotTable(u32);

/// See the module. After a panic under one of its locks, a key is counted wrong at worst.
pub(crate) struct HotKeys {
    shares: Spread<Share>,
    /// One access in two to the power of it is noted.
    sampling: AtomicU32,
    windows: Mutex<Windows>,
    tables: Mutex<Tables>,
    /// What keys that have no hash yet are hashed with.
    secret: (u64, u64),
    drain: Mutex<Drain>,
    /// Accesses that were counted since the last drain, because a buffer was full.
    counted_early: AtomicU64,
    dropped: AtomicU64,
}

/// The tables that are told apart.
#[derive(Default)]
struct Tables {
    by_number: HashMap<u32, Known>,
    /// The number of the next one.
    next: u32,
    /// How many were rejected, because there were too many.
    rejected: u64,
}

/// What is known of a table.
#[derive(Default)]
struct Known {
    /// As it was last described.
    schema: Option<Arc<TableSchema>>,
    /// The names of its indexes, by their numbers.
    indexes: Vec<Box<str>>,
    /// Hits, sampled or not, by how old what they answered was: see [`AGES_SECONDS`].
    ages: HitAges,
}

/// What one thread has noted.
#[derive(Default)]
struct Share {
    /// Accesses that are still to be skipped.
    skip: AtomicU32,
    /// Noted accesses, one after the other: see [`Note`].
    notes: Mutex<Vec<u8>>,
}

/// What is kept between two drains.
struct Drain {
    last: Instant,
    /// An empty buffer, which goes to the thread whose full one is taken.
    spare: Vec<u8>,
}

/// A key or a partition, and what happened to it.
struct Note<'a> {
    access: Access,
    kind: Kind,
    sampling: u8,
    table: u32,
    index: Option<u16>,
    hash: u64,
    age_seconds: u16,
    key: &'a [u8],
}

/// One of the heaviest keys.
pub(crate) struct HotKey {
    /// The table's name.
    pub(crate) table: String,
    /// The index's name; `None` for the table itself, and for items.
    pub(crate) index: Option<String>,
    /// Its key attributes as DynamoDB's JSON.
    pub(crate) key: serde_json::Value,
    /// Reads, at least.
    pub(crate) reads: u64,
    /// Reads that were answered from memory.
    pub(crate) hits: u64,
    /// Writes, at least.
    pub(crate) writes: u64,
}

/// The heaviest items and partitions of a window.
pub(crate) struct Heaviest {
    /// The heaviest first.
    pub(crate) items: Vec<HotKey>,
    /// The heaviest first.
    pub(crate) partitions: Vec<HotKey>,
}

impl Share {
    /// True if an access is to be noted.
    #[inline]
    fn is_turn(&self) -> bool {
        let skip = self.skip.load(Ordering::Relaxed);
        // Threads that share it may lose a step, which only makes a skip longer.
        self.skip.store(skip.saturating_sub(1), Ordering::Relaxed);
        skip == 0
    }
}

impl HotKeys {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            shares: Spread::default(),
            sampling: AtomicU32::new(0),
            windows: Mutex::new(Windows::new(now)),
            tables: Mutex::default(),
            secret: (fastrand::u64(..), fastrand::u64(..)),
            drain: Mutex::new(Drain { last: now, spare: Vec::new() }),
            counted_early: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// A new table, whose keys are counted when it is described; `None` if there are too many.
    pub(crate) fn table(&self) -> Option<HotTable> {
        let mut tables = lock(&self.tables);
        if tables.by_number.len() >= TABLES_MAX || tables.next == u32::MAX {
            tables.rejected += 1;
            return None;
        }
        let number = tables.next;
        tables.next += 1;
        tables.by_number.insert(number, Known::default());
        Some(HotTable(number))
    }

    /// The table is gone: its keys are not shown any more, and another one has its place.
    pub(crate) fn forget(&self, table: HotTable) {
        lock(&self.tables).by_number.remove(&table.0);
    }

    /// What a table is, now.
    pub(crate) fn describe(&self, table: HotTable, schema: &Arc<TableSchema>) {
        if let Some(known) = lock(&self.tables).by_number.get_mut(&table.0) {
            known.schema = Some(Arc::clone(schema));
        }
    }

    /// The number of an index, for [`HotKeys::query`]; `None` if there are too many.
    pub(crate) fn index(&self, table: HotTable, name: &str) -> Option<u16> {
        let mut tables = lock(&self.tables);
        let indexes = &mut tables.by_number.get_mut(&table.0)?.indexes;
        let number = indexes.iter().position(|known| **known == *name).or_else(|| {
            (indexes.len() < INDEXES_MAX).then(|| {
                indexes.push(name.into());
                indexes.len() - 1
            })
        })?;
        u16::try_from(number).ok()
    }

    /// At which ages the hits of a table's items were, since the node began.
    pub(crate) fn ages(&self, table: HotTable) -> HitAges {
        lock(&self.tables).by_number.get(&table.0).map_or_else(HitAges::default, |known| known.ages)
    }

    /// An item was accessed, given by the canonical bytes of its key and the hash of its address. A hit has an age.
    #[inline]
    pub(crate) fn item(&self, access: Access, table: HotTable, hash: u64, key: &[u8], age_seconds: u64) {
        let share = self.shares.mine();
        if share.is_turn() {
            self.note_item(share, access, table, hash, key, age_seconds);
        }
    }

    /// A partition of a table, or of the index of that number, was queried, given by its canonical bytes.
    #[inline]
    pub(crate) fn query(&self, access: Access, table: HotTable, index: Option<u16>, partition: &[u8]) {
        let share = self.shares.mine();
        if share.is_turn() {
            self.note_query(share, access, table, index, partition);
        }
    }

    /// Counts what was noted, and fits the sampling to how much that was. To be called a few times a second.
    pub(crate) fn drain(&self, now: Instant) {
        let mut drain = lock(&self.drain);
        let mut windows = lock(&self.windows);
        windows.turn(now);
        let mut accesses = self.counted_early.swap(0, Ordering::Relaxed);
        for share in self.shares.iter() {
            // The thread goes on in another buffer meanwhile.
            std::mem::swap(&mut *lock(&share.notes), &mut drain.spare);
            accesses += self.count(&mut windows, &mut drain.spare);
        }
        drop(windows);
        let seconds = now.saturating_duration_since(drain.last);
        if seconds >= INTERVAL_MIN {
            drain.last = now;
            let excess = accesses as f64 / seconds.as_secs_f64() / SAMPLES_PER_SECOND;
            let sampling = excess.max(1.0).log2().ceil() as u32;
            self.sampling.store(sampling.min(SAMPLING_MAX), Ordering::Relaxed);
        }
    }

    /// The heaviest items and partitions of a window, at most `limit` of each.
    pub(crate) fn heaviest(&self, window: Window, order: Order, limit: usize, now: Instant) -> Heaviest {
        self.drain(now);
        let windows = lock(&self.windows);
        let tables = lock(&self.tables);
        let of = |kind| {
            let heaviest = windows.heaviest(kind, window, order, limit);
            heaviest.into_iter().filter_map(|heavy| shown(&tables.by_number, kind, heavy)).collect()
        };
        Heaviest { items: of(Kind::Item), partitions: of(Kind::Partition) }
    }

    /// Accesses that were to be noted and were not, because their thread's buffer was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tables whose keys are not counted, because there were too many.
    pub(crate) fn tables_rejected(&self) -> u64 {
        lock(&self.tables).rejected
    }

    /// What everything occupies.
    pub(crate) fn bytes(&self) -> usize {
        let buffers = self.shares.iter().map(|share| lock(&share.notes).capacity());
        buffers.sum::<usize>() + lock(&self.windows).bytes()
    }

    // Neither is inlined: `benches/instructions/dump.py` knows them by their names, because how often it is an access's turn
    // depends on the time that passes.
    #[inline(never)]
    fn note_item(
        &self,
        share: &Share,
        access: Access,
        HotTable(table): HotTable,
        hash: u64,
        key: &[u8],
        age_seconds: u64,
    ) {
        let (kind, sampling, index) = (Kind::Item, self.begin_skip(share), None);
        let age_seconds = u16::try_from(age_seconds).unwrap_or(u16::MAX);
        self.note(share, &Note { access, kind, sampling, table, index, hash, age_seconds, key });
    }

    #[inline(never)]
    fn note_query(
        &self,
        share: &Share,
        access: Access,
        HotTable(table): HotTable,
        index: Option<u16>,
        key: &[u8],
    ) {
        let (kind, sampling, hash, age_seconds) = (Kind::Partition, self.begin_skip(share), 0, 0);
        self.note(share, &Note { access, kind, sampling, table, index, hash, age_seconds, key });
    }

    /// Says how many accesses this one stands for, as a power of two, and how many are skipped from now on.
    fn begin_skip(&self, share: &Share) -> u8 {
        let sampling = self.sampling.load(Ordering::Relaxed);
        share.skip.store(skip_length(sampling), Ordering::Relaxed);
        sampling as u8
    }

    fn note(&self, share: &Share, note: &Note<'_>) {
        let Some(mut notes) = (0..TRIES).find_map(|_| try_lock(&share.notes)) else {
            return self.drop_note();
        };
        if notes.len() + note.bytes() > BUFFER_BYTES {
            // A burst that the sampling is not fit for yet.
            let Some(mut windows) = try_lock(&self.windows) else { return self.drop_note() };
            let accesses = self.count(&mut windows, &mut notes);
            self.counted_early.fetch_add(accesses, Ordering::Relaxed);
        }
        note.write(&mut notes);
    }

    fn drop_note(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts notes, and how many accesses they stand for.
    fn count(&self, windows: &mut Windows, notes: &mut Vec<u8>) -> u64 {
        let mut tables = lock(&self.tables);
        let (mut rest, mut accesses) = (notes.as_slice(), 0);
        while let Some((note, others)) = Note::read(rest) {
            rest = others;
            accesses += note.weight();
            let Some(known) = tables.by_number.get_mut(&note.table) else { continue };
            if note.kind == Kind::Partition {
                note.count(windows, self.hash(&note));
                continue;
            }
            note.count(windows, note.hash);
            if note.access == Access::Hit {
                let age = Duration::from_secs(note.age_seconds.into());
                known.ages.note(&AGES_SECONDS, age, note.weight());
            }
            if let Some(partition) = known.schema.as_ref().and_then(|schema| partition_of(schema, note.key)) {
                let note = Note { kind: Kind::Partition, key: partition, ..note };
                note.count(windows, self.hash(&note));
            }
        }
        notes.clear();
        accesses
    }

    fn hash(&self, note: &Note<'_>) -> u64 {
        let place = u64::from(note.table) << 32 | note.index.map_or(0, |index| u64::from(index) + 1);
        SipHasher13::new_with_keys(self.secret.0 ^ place, self.secret.1).hash(note.key)
    }
}

impl std::fmt::Debug for HotKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the keys.
        formatter.debug_struct("HotKeys").finish_non_exhaustive()
    }
}

/// How many accesses are skipped until the next one is noted: none in steady turn, so that no rhythm of the accesses can escape.
fn skip_length(sampling: u32) -> u32 {
    if sampling == 0 {
        return 0;
    }
    let kept = 0.5_f64.powi(sampling as i32);
    let skip = (1.0 - fastrand::f64()).ln() / (-kept).ln_1p();
    skip as u32
}

/// Where a note's fixed part ends.
const NOTE_BYTES: usize = 1 + 1 + 1 + 4 + 3 + 8 + 2 + 2;

impl<'a> Note<'a> {
    fn bytes(&self) -> usize {
        NOTE_BYTES + self.key.len()
    }

    fn weight(&self) -> u64 {
        1 << self.sampling
    }

    fn write(&self, out: &mut Vec<u8>) {
        // No key is longer than 2^16 bytes.
        let Ok(key_bytes) = u16::try_from(self.key.len()) else { return };
        out.reserve_exact(BUFFER_BYTES - out.len());
        out.extend_from_slice(&[self.access as u8, self.kind as u8, self.sampling]);
        out.extend_from_slice(&self.table.to_le_bytes());
        out.push(u8::from(self.index.is_some()));
        out.extend_from_slice(&self.index.unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.age_seconds.to_le_bytes());
        out.extend_from_slice(&key_bytes.to_le_bytes());
        out.extend_from_slice(self.key);
    }

    /// The first note of some, and the others.
    fn read(notes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) = notes.split_first_chunk::<NOTE_BYTES>()?;
        let number = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let (key, rest) = rest.split_at_checked(usize::from(number(20)))?;
        let note = Self {
            access: match fixed[0] {
                0 => Access::Hit,
                1 => Access::Miss,
                _ => Access::Write,
            },
            kind: if fixed[1] == 0 { Kind::Item } else { Kind::Partition },
            sampling: fixed[2],
            table: u32::from(number(3)) | u32::from(number(5)) << 16,
            index: (fixed[7] != 0).then(|| number(8)),
            hash: u64::from_le_bytes(fixed[10..18].try_into().expect("eight bytes are eight bytes")),
            age_seconds: number(18),
            key,
        };
        Some((note, rest))
    }

    fn count(&self, windows: &mut Windows, hash: u64) {
        let (direction, hits) = match self.access {
            Access::Hit => (Direction::Read, self.weight()),
            Access::Miss => (Direction::Read, 0),
            Access::Write => (Direction::Write, 0),
        };
        let name = || Name { table: self.table, index: self.index, bytes: self.key.into() };
        windows.current(self.kind, direction).count(hash, self.weight(), hits, &name, self.key.len());
    }
}

/// The partition that an item of that key is in.
fn partition_of<'a>(schema: &TableSchema, key: &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = key;
    for attribute in &schema.key.partition {
        rest = KeyValue::skip_sortable(attribute.scalar_type, rest)?;
    }
    Some(&key[..key.len() - rest.len()])
}

/// A heavy key for who may see it. `None` if its table or index has another key by now.
fn shown(tables: &HashMap<u32, Known>, kind: Kind, heavy: Heavy) -> Option<HotKey> {
    let Heavy { name, reads, hits, writes } = heavy;
    let known = tables.get(&name.table)?;
    let schema = known.schema.as_ref()?;
    let index = match name.index {
        Some(number) => Some(schema.index(known.indexes.get(usize::from(number))?)?),
        None => None,
    };
    let key_schema: &KeySchema = index.map_or(&schema.key, |index| &index.key);
    let sort = key_schema.sort.iter().filter(|_| kind == Kind::Item);
    let mut rest = &*name.bytes;
    let mut key = serde_json::Map::new();
    for attribute in key_schema.partition.iter().chain(sort) {
        let (value, others) = KeyValue::read_sortable(attribute.scalar_type, rest)?;
        rest = others;
        key.insert(attribute.name.clone(), attribute_json(&value));
    }
    let table = schema.name.clone();
    Some(HotKey { table, index: index.map(|index| index.name.clone()), key: key.into(), reads, hits, writes })
}

fn attribute_json(value: &KeyValue) -> serde_json::Value {
    use base64::Engine as _;
    match value {
        KeyValue::S(text) => serde_json::json!({ "S": text }),
        KeyValue::N(number) => serde_json::json!({ "N": number.to_string() }),
        KeyValue::B(bytes) => {
            serde_json::json!({ "B": base64::engine::general_purpose::STANDARD.encode(bytes) })
        }
    }
}

#[cfg(test)]
mod tests;
