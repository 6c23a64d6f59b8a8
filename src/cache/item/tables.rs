//! The tables of the cache by realm and name: found or created, invalidated whole, and held after a write of unknown outcome.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::ItemCache;
use super::Rule;
use crate::cache::elsewhere::TableDigest;
use crate::cache::stats::BumpReason;
use crate::cache::table::{CachedTable, Realm, TableIdentity};
use crate::cache::words::LAG_SECONDS_MAX;
use crate::key_hasher::Hashed;

/// The most names of tables that are held apart. Beyond them the whole realm is held.
const HELD_NAMES_MAX: usize = 100;

/// Every table that was ever asked for.
#[derive(Default)]
pub(super) struct Tables {
    /// The tables of each name: one account's, and those of others.
    realms: HashMap<Realm, HashMap<Box<str>, Vec<NamedTable>>>,
    /// The same tables by their digests.
    digests: HashMap<TableDigest, Vec<Arc<CachedTable>>, Hashed>,
    count: u32,
    /// Writes of unknown outcome to whole tables; those that are used for the first time may be among them.
    held: Vec<HeldName>,
}

/// A table, or a whole realm, that a write of unknown outcome may still change.
struct HeldName {
    realm: Realm,
    /// Of its name; `None` for all tables of the realm.
    digest: Option<TableDigest>,
    until_ms: u64,
}

/// A table under its name, with what else the service last said of its identity.
struct NamedTable {
    arn: Box<str>,
    id: Box<str>,
    table: Arc<CachedTable>,
}

impl NamedTable {
    /// True for the place of that identity, whatever was created there meanwhile. An emulator may repeat any ARN that it is asked
    /// about, but gives one table one id.
    fn is_place_of(&self, identity: &TableIdentity<'_>) -> bool {
        *self.arn == *identity.arn || (!self.id.is_empty() && *self.id == *identity.id)
    }

    fn is(&self, identity: &TableIdentity<'_>) -> bool {
        self.is_place_of(identity) && *self.id == *identity.id
    }
}

impl Tables {
    /// Until when a table that is used for the first time is held; 0 if it is not.
    fn held_until_ms(&self, realm: Realm, digest: TableDigest) -> u64 {
        let is_it = |held: &&HeldName| held.realm == realm && held.digest.is_none_or(|held| held == digest);
        self.held.iter().filter(is_it).map(|held| held.until_ms).max().unwrap_or(0)
    }

    fn hold(&mut self, held: HeldName, now_ms: u64) {
        self.held.retain(|other| {
            other.until_ms > now_ms && !(other.realm == held.realm && other.digest == held.digest)
        });
        let digest = if self.held.len() < HELD_NAMES_MAX { held.digest } else { None };
        self.held.push(HeldName { digest, ..held });
    }

    fn named(&self, realm: Realm, name: &str) -> &[NamedTable] {
        self.realms.get(&realm).and_then(|tables| tables.get(name)).map_or(&[], Vec::as_slice)
    }
}

impl ItemCache {
    /// The table of that identity in a realm, created on first use. Names must be canonical, and known to exist: a table is
    /// never forgotten. If the id is another one than before, the table was deleted and created again, and everything that is
    /// cached of the former one is invalidated.
    pub fn table<'a>(
        &self,
        realm: Realm,
        identity: impl Into<TableIdentity<'a>>,
        now: Instant,
    ) -> Arc<CachedTable> {
        let identity = identity.into();
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.named(realm, identity.name).iter().find(|known| known.is(&identity)) {
            return Arc::clone(&known.table);
        }
        drop(known);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let held_until_ms = tables.held_until_ms(realm, self.digest_of(identity.name));
        let count = tables.count;
        let named = tables.realms.entry(realm).or_default().entry(identity.name.into()).or_default();
        if let Some(known) = named.iter_mut().find(|known| known.is_place_of(&identity)) {
            if *known.id != *identity.id {
                known.id = identity.id.into();
                self.invalidate_table(&known.table, now);
            }
            return Arc::clone(&known.table);
        }
        let invalidated = self.last_invalidation.load(Ordering::Acquire);
        let table = Arc::new(CachedTable::new(count, identity.name, self.secrets, invalidated));
        table.hold_until(held_until_ms);
        let (arn, id) = (identity.arn.into(), identity.id.into());
        named.push(NamedTable { arn, id, table: Arc::clone(&table) });
        tables.digests.entry(table.digest()).or_default().push(Arc::clone(&table));
        tables.count = count.checked_add(1).expect("there are fewer than 2^32 tables");
        table
    }

    /// Makes everything of the table unusable. For DDL and for writes whose keys are not known: call it before the
    /// request is sent, again before the client hears the answer, and if the outcome is unknown once more when the change
    /// can no longer land.
    pub fn invalidate_table(&self, table: &CachedTable, now: Instant) {
        self.invalidate_for(table, BumpReason::TableInvalidated, now);
    }

    pub(super) fn invalidate_for(&self, table: &CachedTable, reason: BumpReason, now: Instant) {
        if self.obeys(Rule::TouchOnInvalidation) {
            // Before the word moves, or a fill with the new word might still be read from a replica that lags.
            table.touch(self.seconds(now));
        }
        table.bump();
        self.counters.bumped(reason);
    }

    /// As [`ItemCache::invalidate_table`], by name: the tables of that name of all accounts. A table need not have been used yet: what
    /// is read of it first will be read strongly.
    pub fn invalidate_named(&self, realm: Realm, name: &str, now: Instant) {
        self.last_invalidation.fetch_max(self.seconds(now), Ordering::AcqRel);
        self.tables_named(realm, name).iter().for_each(|table| self.invalidate_table(table, now));
    }

    /// A write of unknown outcome may change the tables of that name, or all tables of the realm: invalidates them, and keeps
    /// nothing of them until the write can land no longer. They must be invalidated once more then.
    pub fn hold_tables(&self, realm: Realm, name: Option<&str>, now: Instant) {
        let (now_ms, until_ms) = (self.running_ms(now), self.running_ms(now + self.unknown_write_window()));
        let held = HeldName { realm, digest: name.map(|name| self.digest_of(name)), until_ms };
        self.tables.write().unwrap_or_else(PoisonError::into_inner).hold(held, now_ms);
        let tables = match name {
            Some(name) => self.tables_named(realm, name),
            None => self.tables_of(realm),
        };
        // Held before the word moves, or a fill with the new word might still be stored.
        tables.iter().for_each(|table| table.hold_until(until_ms));
        match name {
            Some(name) => self.invalidate_named(realm, name, now),
            None => self.invalidate_all(realm, now),
        }
    }

    /// Keeps nothing of the tables of that digest, or of all tables, until then, whether they are in use or not.
    pub(super) fn hold_digest(&self, digest: Option<TableDigest>, until: Instant, now: Instant) {
        let (now_ms, until_ms) = (self.running_ms(now), self.running_ms(until));
        let held = HeldName { realm: Realm::SOLE, digest, until_ms };
        self.tables.write().unwrap_or_else(PoisonError::into_inner).hold(held, now_ms);
        let tables = digest.map_or_else(|| self.known_tables(), |digest| self.tables_by_digest(digest));
        tables.iter().for_each(|table| table.hold_until(until_ms));
    }

    /// True if something was invalidated by name, or everything, within the time that a replica may lag; and for as long after the
    /// start, since the process before this one may have acknowledged a write. True also without a lease.
    pub fn has_invalidated_lately(&self, now: Instant) -> bool {
        let has_lease = self.has_lease(now) || !self.obeys(Rule::LapsedReadsStrongly);
        !has_lease
            || self.seconds(now)
                <= self.last_invalidation.load(Ordering::Acquire) + u64::from(LAG_SECONDS_MAX)
    }

    /// The tables of that name that were used in the realm, of all accounts.
    pub fn tables_named(&self, realm: Realm, name: &str) -> Vec<Arc<CachedTable>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.named(realm, name).iter().map(|named| Arc::clone(&named.table)).collect()
    }

    /// By what the nodes of a fleet call the tables of that name in their reports, be they used here or not.
    pub fn digest_of(&self, name: &str) -> TableDigest {
        self.secrets.table_digest(name)
    }

    /// The tables of that digest that were used, of all accounts.
    pub fn tables_by_digest(&self, digest: TableDigest) -> Vec<Arc<CachedTable>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.digests.get(&digest).cloned().unwrap_or_default()
    }

    /// Makes everything of a realm unusable: something may have changed, and nobody can say where.
    pub fn invalidate_all(&self, realm: Realm, now: Instant) {
        self.last_invalidation.fetch_max(self.seconds(now), Ordering::AcqRel);
        self.tables_of(realm).iter().for_each(|table| self.invalidate_table(table, now));
    }

    /// All tables that were used in the realm.
    pub fn tables_of(&self, realm: Realm) -> Vec<Arc<CachedTable>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let of_realm = tables.realms.get(&realm).into_iter().flat_map(HashMap::values).flatten();
        of_realm.map(|named| Arc::clone(&named.table)).collect()
    }

    pub(in crate::cache) fn known_tables(&self) -> Vec<Arc<CachedTable>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let named = tables.realms.values().flat_map(HashMap::values).flatten();
        named.map(|named| Arc::clone(&named.table)).collect()
    }
}
