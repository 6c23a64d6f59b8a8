//! One door for changes: whatever makes cached data invalid comes through here.
//!
//! - A write of this node is a [`WriteInProgress`] from before its first byte is sent until its verdict.
//! - A scope that may have changed is invalidated ([`Engine::invalidate`]): DDL, tables seen changed, new policies.
//! - Some upstreams report their changes ([`ChangeListener`]). Such an upstream reports each change exactly, before it answers the
//!   writer. So everything that a write did not change stays cached, also for rejected writes and for statements. Items that a
//!   request names by their keys are left to that request's [`WriteInProgress`], which stores the written item.
//!
//! Reads make the cache fresher too: they do so in the cache itself, where they are compared.

use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use crate::cache::{
    BumpReason, CachedTable, Changed, ChangedItem, IndexTouch, PageCache, PageChange, PageWriteGuard,
    RemovalGuard, Report, WriteGuard,
};
use crate::call::{Answer, Attempt, ChangeListener, Request};
use crate::insight::WriteOfItem;
use crate::model::operation::OperationClass;
use crate::model::{Cause, Change, ErrorCode, KeyValue};
use crate::wire::Json;
use crate::wire::request::{item_key_bytes, item_partition_bytes};

use super::Engine;
use super::images::Outcome;
use super::known_table::{KnownTable, PolicyChange};
use super::peers::{Affected, Settled};
use super::scope::Scope;

/// An item that a write may change.
pub(super) struct WrittenKey {
    pub(super) table: Arc<KnownTable>,
    /// The canonical bytes of its key.
    pub(super) key: Vec<u8>,
    /// How many of them are those of the partition values, with which they begin.
    partition_bytes: usize,
}

impl WrittenKey {
    /// An item of a table, by the canonical bytes of its key. `None` if they are those of no key of the table.
    pub(super) fn new(table: &Arc<KnownTable>, key: Vec<u8>) -> Option<Self> {
        let mut partition = table.schema.key.partition.iter();
        let behind = partition
            .try_fold(&*key, |rest, attribute| KeyValue::skip_sortable(attribute.scalar_type, rest))?;
        let partition_bytes = key.len() - behind.len();
        Some(Self { table: Arc::clone(table), key, partition_bytes })
    }

    /// The canonical bytes of the partition values.
    fn partition(&self) -> &[u8] {
        &self.key[..self.partition_bytes]
    }

    /// What the others hear of the write of this key. If the table may have another key by now, nobody knows which item it was.
    fn changed(&self, item: ChangedItem) -> Changed {
        match self.table.is_retired() {
            true => Changed::Table(item.table),
            false => Changed::Item(item),
        }
    }
}

/// How a change ended.
pub(super) enum Verdict<'a> {
    /// The upstream has made it, or may have made some of it: what is known of the item before and after.
    Applied(&'a Outcome),
    /// The upstream rejected it.
    Rejected(Execution),
    /// Nobody knows whether it happened, or whether it will.
    Unknown,
    /// Not a byte of it was sent: it has not happened, and will not.
    NotSent,
}

/// Whether a rejected change may have happened all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Execution {
    /// It was rejected by validation, whatever keys we could not read.
    Never,
    /// An earlier attempt of the same write may have been executed.
    MayBeEarlier,
}

/// What the upstream has reported of a change by the time it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    /// The pages that it changes. Its items are left to the request.
    Pages,
    Everything,
}

/// Why nothing was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlushFailure {
    /// The upstream has no such table, or does not describe it now.
    Missing,
    /// It is no key of the table. Names its key attributes with their types.
    Key(String),
}

/// A change that this node sends, from before its first byte is sent until its verdict. Dropped without one, the outcome is
/// unknown: that is the way of a panic and of a cancelled task.
#[must_use = "a change without a verdict counts as unknown"]
pub(super) struct WriteInProgress {
    items: WriteGuard,
    pages: PageWriteGuard,
    // Behind the guards: what the other nodes hear of is unusable here before.
    duty: Duty,
    attempt: Attempt,
    reported: Reported,
}

impl WriteInProgress {
    /// Makes both caches right, before the client hears of the verdict, and reports to the other nodes.
    pub(super) fn settle(self, verdict: &Verdict<'_>) -> Settled {
        let now = Instant::now();
        let Self { items, pages, mut duty, attempt, reported } = self;
        duty.keys.iter().for_each(|written| duty.engine.check_current(&written.table));
        match (verdict, reported) {
            (Verdict::NotSent, _) => {
                pages.not_sent(now);
                items.not_sent(now);
                duty.nothing_more()
            }
            // An upstream that reports has no earlier attempt of this write that anybody could have missed.
            (Verdict::Rejected(_), Reported::Pages | Reported::Everything)
            | (Verdict::Applied(_), Reported::Everything) => {
                pages.reported(now);
                items.reported(now);
                duty.nothing_more()
            }
            (Verdict::Rejected(execution), Reported::Nothing) => {
                match execution {
                    Execution::Never => duty.spare_scope(),
                    Execution::MayBeEarlier => duty.invalidate_scope(),
                }
                let changed = pages.rejected(now);
                items.rejected(now);
                duty.report(changed)
            }
            (Verdict::Applied(outcome), Reported::Nothing | Reported::Pages) => {
                duty.invalidate_scope();
                let changed = match reported {
                    Reported::Pages => {
                        pages.reported(now);
                        Vec::new()
                    }
                    _ => pages.applied(&touches(&duty.keys, outcome, attempt), now),
                };
                let policy = match &*duty.keys {
                    [written] => written.table.policy,
                    _ => None,
                };
                items.applied(outcome.image.as_ref().zip(policy.as_ref()), now);
                duty.report(changed)
            }
            (Verdict::Unknown, _) => {
                pages.unknown(now);
                items.unknown(now);
                // Dropped, the duty holds the scope.
                Settled::UNREPORTED
            }
        }
    }

    /// The keys that are written.
    pub(super) fn keys(&self) -> &[WrittenKey] {
        &self.duty.keys
    }
}

/// Where in global indexes the written items were and are, as far as that is known.
fn touches(keys: &[WrittenKey], outcome: &Outcome, attempt: Attempt) -> Vec<IndexTouch> {
    match keys {
        // The upstream may have performed an earlier attempt, and then reports what that one left as the item before this
        // one: where the item was before both, nobody says.
        [_] if attempt == Attempt::Again => Vec::new(),
        [written] => vec![outcome.touches(&written.table)],
        _ => Vec::new(),
    }
}

/// What the guards of a change's keys leave to do: a scope besides, and what the other nodes hear. Dropped before everything is
/// reported, the outcome is unknown: then nothing of the scope is kept until the change can land no longer.
struct Duty {
    engine: Arc<Engine>,
    keys: Vec<WrittenKey>,
    scope: Scope,
    affected: Affected,
    /// The tables of the scope that were used before.
    tables: Vec<Arc<CachedTable>>,
}

impl Duty {
    /// The change of the scope has certainly not happened.
    fn spare_scope(&mut self) {
        self.scope = Scope::Nothing;
    }

    /// The change of the scope has happened or may have.
    fn invalidate_scope(&self) {
        self.engine.invalidate(&self.scope);
    }

    /// The change has certainly not happened, or all of it was reported by the upstream.
    fn nothing_more(mut self) -> Settled {
        self.discharge();
        Settled::UNREPORTED
    }

    /// Everything is invalidated here: reports it, with what the guards have invalidated for the keys, in their order.
    fn report(mut self, items: Vec<ChangedItem>) -> Settled {
        let settled = self.engine.report(|| {
            let scope = self.engine.changed(&self.scope, self.affected);
            let items = self.keys.iter().zip(items).map(|(written, item)| written.changed(item));
            scope.into_iter().chain(items).map(Report::Changed).collect()
        });
        self.discharge();
        settled
    }

    fn discharge(&mut self) {
        self.scope = Scope::Nothing;
        self.keys.clear();
    }

    /// What the others hear of the keys if the outcome is unknown.
    fn keys_may_change(&self) -> Vec<Report> {
        let window = self.engine.cache.unknown_write_window();
        let items = self.keys.iter().map(|written| {
            let address = written.table.cached.address(&written.key);
            written.changed(PageCache::changed_item(&address, written.partition(), &IndexTouch::Unknown))
        });
        items.map(|changed| Report::MayChange(changed, window)).collect()
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if self.scope != Scope::Nothing {
            self.engine.hold(&self.scope, self.affected);
        }
        // After everything is invalidated or held: whoever finds the change gone finds that too.
        self.tables.iter().for_each(|table| table.end_wide_change());
        self.engine.report(|| self.keys_may_change()).let_go();
    }
}

impl Engine {
    /// Begins a change of these items, and of a scope besides. To be called before the first byte of `request` is sent.
    pub(super) fn begin_change(
        self: &Arc<Self>,
        request: &Request,
        keys: Vec<WrittenKey>,
        scope: Scope,
    ) -> WriteInProgress {
        let now = Instant::now();
        let addresses: Vec<_> =
            keys.iter().map(|written| written.table.cached.address(&written.key)).collect();
        for (written, address) in keys.iter().zip(&addresses) {
            let (key, partition) = (&*written.key, written.partition());
            written.table.usage.item_written(&WriteOfItem { key, partition, hash: address.hash() });
        }
        let partitions = keys.iter().map(WrittenKey::partition);
        let pages: Vec<_> = addresses.iter().copied().zip(partitions).collect();
        let (items, pages) = (self.cache.begin_write(&addresses, now), self.pages.begin_write(&pages, now));
        keys.iter().for_each(|written| self.check_current(&written.table));
        if self.has_peers() {
            keys.iter().for_each(|written| written.table.note_written());
        }
        let class = request.operation.class();
        let duty = self.begin_duty(keys, scope, Affected::by(class));
        let reported = match class {
            _ if !self.hears_changes => Reported::Nothing,
            OperationClass::Statement => Reported::Everything,
            OperationClass::ItemWrite => Reported::Pages,
            _ => Reported::Nothing,
        };
        WriteInProgress { items, pages, duty, attempt: request.attempt, reported }
    }

    fn begin_duty(self: &Arc<Self>, keys: Vec<WrittenKey>, scope: Scope, affected: Affected) -> Duty {
        let tables = self.tables_of(&scope);
        tables.iter().for_each(|table| table.begin_wide_change());
        if !self.hears_changes {
            // Invalidated now as well: from here on a replica may show the change or not, so reads of the scope must be strong.
            self.invalidate(&scope);
            // Statements that nobody understands are mostly rejected. Other nodes then keep what they have.
            if affected == Affected::Definitions || scope != Scope::Everything {
                self.report_scope(&scope, affected).let_go();
            }
        }
        Duty { engine: Arc::clone(self), keys, scope, affected, tables }
    }

    fn tables_of(&self, scope: &Scope) -> Vec<Arc<CachedTable>> {
        match scope {
            Scope::Nothing => Vec::new(),
            Scope::Tables(names) => {
                names.iter().flat_map(|name| self.cache.tables_named(self.realm, name)).collect()
            }
            Scope::Everything => self.cache.tables_of(self.realm),
        }
    }

    /// Keeps nothing of a scope while a change of unknown outcome may still land in it, and invalidates it at the end.
    fn hold(self: &Arc<Self>, scope: &Scope, affected: Affected) {
        let now = Instant::now();
        match scope {
            Scope::Nothing => return,
            Scope::Tables(names) => {
                names.iter().for_each(|name| self.cache.hold_tables(self.realm, Some(name), now));
            }
            Scope::Everything => self.cache.hold_tables(self.realm, None, now),
        }
        self.report(|| self.may_change(scope, affected)).let_go();
        let (engine, scope) = (Arc::clone(self), scope.clone());
        let (window, closing) = (self.cache.unknown_write_window(), self.closing.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(window) => {
                    engine.invalidate(&scope);
                    engine.report_scope(&scope, affected).let_go();
                }
                () = closing.cancelled() => {}
            }
        });
    }

    /// Makes everything of a scope unusable, now.
    pub(super) fn invalidate(&self, scope: &Scope) {
        match scope {
            Scope::Nothing => {}
            Scope::Tables(names) => {
                names.iter().for_each(|name| self.cache.invalidate_named(self.realm, name, Instant::now()))
            }
            Scope::Everything => self.cache.invalidate_all(self.realm, Instant::now()),
        }
    }

    /// Drops everything that is cached, on this node only.
    pub fn flush(&self) {
        self.invalidate(&Scope::Everything);
    }

    /// Drops everything that is cached of a table, on this node only.
    ///
    /// # Errors
    /// [`FlushFailure`] for a table that is not known.
    pub async fn flush_table(self: &Arc<Self>, table: &str) -> Result<(), FlushFailure> {
        let known = self.learn_exactly(table).await.ok_or(FlushFailure::Missing)?;
        self.invalidate(&Scope::named(&known.name));
        Ok(())
    }

    /// Drops what is cached of an item, and the pages that may show it, on this node only. `key` is its whole key in DynamoDB's JSON.
    ///
    /// # Errors
    /// [`FlushFailure`] for a table that is not known, and a key that is none of its.
    pub async fn flush_item(self: &Arc<Self>, table: &str, key: &str) -> Result<(), FlushFailure> {
        let known = self.learn_exactly(table).await.ok_or(FlushFailure::Missing)?;
        let schema = &known.schema.key;
        let unfit = || {
            let attributes =
                schema.attributes().map(|key| format!("{} ({})", key.name, key.scalar_type.name()));
            FlushFailure::Key(attributes.collect::<Vec<_>>().join(" and "))
        };
        let key = Json::parse(key.as_bytes()).map_err(|_| unfit())?;
        let is_whole = key.members().is_some_and(|members| members.len() == schema.attributes().count());
        let bytes = item_key_bytes(schema, &key).filter(|_| is_whole).ok_or_else(unfit)?;
        let partition = item_partition_bytes(schema, &key).ok_or_else(unfit)?;
        self.pages.flush_item(&known.cached.address(&bytes), &partition, Instant::now());
        Ok(())
    }

    /// Asks for the policy of each table again, and invalidates what was stored under the old ones if the change says so. To be
    /// called when the new policies are there to be asked for. Requests in flight end by the policy that they began with;
    /// what they bring is not stored if the change invalidates.
    pub fn renew_policies(&self, change: PolicyChange) {
        self.tables.renew_policies(change, &*self.upstream);
        if change == PolicyChange::Invalidates {
            self.invalidate(&Scope::Everything);
        }
    }

    /// To be called when the words of a table were captured for something that is to be kept by what `table` says, and again
    /// before a write is acknowledged that was planned by it.
    ///
    /// The request may know its table from before a change of the policies or of the table itself. Whoever makes such a change
    /// known first moves the policies' number or retires the table, and then invalidates everything. If neither has happened by
    /// now, that invalidation is still to come, and makes what was captured worthless. If one has, the invalidation may have
    /// been before the capture, and the table is invalidated once more. So nothing that is kept by an old policy or
    /// under an old schema can be used, and a write that landed in a table with another key is seen.
    pub(super) fn check_current(&self, table: &KnownTable) {
        if self.tables.has_old_policy(table) || table.is_retired() {
            self.cache.invalidate_table(&table.cached, Instant::now());
        }
    }

    /// What a rejection says of a known table. One that the upstream does not find any more was deleted by someone: what is known
    /// of it is invalid. A validation error about a request that fits the table's schema may mean that it has another one.
    pub(super) fn check_rejection(self: &Arc<Self>, answer: &Answer, table: &KnownTable) {
        match answer.rejection() {
            Some(ErrorCode::ResourceNotFound) => {
                self.tables.forget(&table.name);
                self.invalidate(&Scope::named(&table.name));
            }
            Some(ErrorCode::Validation) => self.doubt(table),
            _ => {}
        }
    }
}

impl ChangeListener for Engine {
    /// Changes of items that no request names by their keys. Some reader is the first to see them, and until
    /// [`ChangeListener::changed`] the cache must know that it may: no item that is read meanwhile is stored, and what differs
    /// is no alarm. No reader hears that an item has expired, so from the moment before that nothing shows it.
    fn changing(&self, changes: &[Change]) {
        let unnamed: Vec<_> = changes.iter().filter(|change| change.cause != Cause::Keyed).collect();
        if unnamed.is_empty() {
            return;
        }
        let now = Instant::now();
        let places: Vec<_> = unnamed.into_iter().flat_map(|change| Place::all(change, self)).collect();
        let addresses: Vec<_> = places.iter().map(|(_, place)| place.table.address(&place.key)).collect();
        for ((change, place), address) in places.iter().zip(&addresses) {
            // A statement is a write of a client's that did not say which item it is.
            if change.cause == Cause::Statement
                && let Some(table) = self.tables.get(&change.table.name)
            {
                let (key, partition) = (&*place.key, place.partition());
                table.usage.item_written(&WriteOfItem { key, partition, hash: address.hash() });
            }
        }
        let partitions = places.iter().map(|(_, place)| place.partition());
        let written: Vec<_> = addresses.iter().copied().zip(partitions).collect();
        let items = self.cache.begin_write(&addresses, now);
        let pages = self.pages.begin_write(&written, now);
        let mut removals = Vec::new();
        for ((change, place), address) in places.iter().zip(&addresses) {
            if change.cause == Cause::Expiry {
                removals.push(self.pages.begin_removal(&place.pages(change), now));
                self.cache.invalidate(address, now);
            }
        }
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ReportedChanges { items, pages, _removals: removals });
    }

    fn changed(&self, changes: &[Change]) {
        let now = Instant::now();
        for (change, place) in changes.iter().flat_map(|change| Place::all(change, self)) {
            let pages = place.pages(change);
            let reason = if change.cause == Cause::Keyed { BumpReason::Write } else { BumpReason::Reported };
            // Pages first: an item out of a page is stored only while the page is good.
            self.pages.invalidate(&pages, reason, now);
            if change.cause != Cause::Keyed {
                self.cache.invalidate(&place.table.address(&place.key), now);
            }
        }
        if let Some(reported) = self.reported.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reported.pages.reported(now);
            reported.items.reported(now);
        }
    }
}

/// Changes that the upstream makes and that no request names by their keys, from before the first reader sees them until every
/// reader does.
pub(super) struct ReportedChanges {
    items: WriteGuard,
    pages: PageWriteGuard,
    /// Of items that have expired.
    _removals: Vec<RemovalGuard>,
}

/// Where in the cache a changed item is.
struct Place {
    table: Arc<CachedTable>,
    /// The canonical bytes of its key.
    key: Vec<u8>,
    /// Those of the partition values, with which the key begins.
    partition_bytes: usize,
}

impl Place {
    /// The places of a change: one in each table of the name, and none if none was used yet.
    fn all<'a>(change: &'a Change, engine: &Engine) -> Vec<(&'a Change, Self)> {
        let tables = engine.cache.tables_named(engine.realm, &change.table.name);
        tables.into_iter().map(|table| (change, Self::of(change, table))).collect()
    }

    fn of(change: &Change, table: Arc<CachedTable>) -> Self {
        let mut key = Vec::with_capacity(64);
        change.key.write_partition(&mut key);
        let partition_bytes = key.len();
        change.key.write_sort(&mut key);
        Self { table, key, partition_bytes }
    }

    fn partition(&self) -> &[u8] {
        &self.key[..self.partition_bytes]
    }

    fn pages<'a>(&'a self, change: &'a Change) -> PageChange<'a> {
        let moves = change.moves.iter().filter_map(|moved| {
            let index = self.table.used_index(&change.table.indexes[moved.index].name)?;
            Some((index, moved.partitions.as_slice()))
        });
        PageChange { table: &self.table, partition: self.partition(), moves: moves.collect() }
    }
}
