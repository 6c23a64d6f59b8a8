//! The tables that the engine knows, each learned with the first request that names it, and refreshed while it is in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::cache::{CachedTable, Changed, ItemCache, Realm, Report, TableDigest, TableIdentity};
use crate::call::Upstream;
use crate::insight::Insight;
use crate::upstream::schemas::{DescribeFailure, TableDescription, TimeToLive, fetch_description};

use super::known_table::{KnownTable, Place, PolicyChange, TablePolicy};
use super::peers::Peers;
use super::questions::{Question, Questions};
use super::recent_requests::{Generation, RecentRequests};

/// How many spellings of table names are remembered. A table has two or three (its name, its ARN); beyond this many, all are
/// forgotten and learned again, so that a client cannot grow the map without bound.
const SPELLINGS_MAX: usize = 20_000;

/// How often a table is described again because it changed meanwhile. One that changes faster is not known.
const DESCRIPTIONS_MAX: usize = 3;

/// Gives the policy of a table.
pub type PolicyOf = Box<dyn Fn(&str) -> TablePolicy + Send + Sync>;

type KnownTables = HashMap<Box<str>, Arc<KnownTable>>;

/// All known tables, by every spelling that requests have used.
pub(crate) struct Tables {
    /// Read with every request and seldom changed, so that reading must take no lock and raise no shared count.
    known: ArcSwap<KnownTables>,
    /// Held to change `known`.
    changing: Mutex<()>,
    pub(super) questions: Questions,
    /// Grows when what was forgotten cannot be found any more.
    generation: AtomicU64,
    /// Grows when every table may have another policy, and what is kept by the old one must not be used.
    policies: AtomicU64,
    /// Grows whenever the policies were asked for again.
    renewals: AtomicU64,
    /// Where generations come from.
    recent: Arc<RecentRequests>,
    policy_of: PolicyOf,
}

/// Where tables are described, and where they are cached.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) upstream: &'a dyn Upstream,
    pub(super) cache: &'a ItemCache,
    pub(super) insight: &'a Insight,
    pub(super) realm: Realm,
    /// The other nodes in front of the same tables.
    pub(super) peers: Option<&'a dyn Peers>,
}

impl Tables {
    pub(crate) fn new(policy_of: PolicyOf, recent: Arc<RecentRequests>) -> Self {
        Self {
            known: ArcSwap::default(),
            changing: Mutex::default(),
            questions: Questions::default(),
            generation: AtomicU64::new(recent.new_generation()),
            policies: AtomicU64::new(0),
            renewals: AtomicU64::new(0),
            recent,
            policy_of,
        }
    }

    /// The table that a spelling names, when it is known.
    pub(crate) fn get(&self, spelling: &str) -> Option<Arc<KnownTable>> {
        self.known.load().get(spelling).cloned()
    }

    /// Looks at the table that a spelling names. `None` when it is not known, too.
    pub(crate) fn with<T>(
        &self,
        spelling: &str,
        look: impl FnOnce(&Arc<KnownTable>) -> Option<T>,
    ) -> Option<T> {
        look(self.known.load().get(spelling)?)
    }

    /// Asks the upstream to describe the table that a spelling names, or waits for the answer to the same question in flight.
    /// `None` when the upstream does not know the table, cannot say, or failed to a short while ago; what was known of the table
    /// before stays known, unless the upstream has it no more.
    pub(super) async fn ask(&self, spelling: &str, around: Surroundings<'_>) -> Option<Arc<KnownTable>> {
        let question = self.questions.open(spelling, Instant::now())?;
        let answer = question.answer(self.describe(spelling, &question, around)).await;
        self.questions.close(spelling, &question);
        answer
    }

    async fn describe(
        &self,
        spelling: &str,
        question: &Question,
        around: Surroundings<'_>,
    ) -> Option<Arc<KnownTable>> {
        for _ in 0..DESCRIPTIONS_MAX {
            let changes = question.changes();
            let stopped_ms = around.cache.stopped_ms(Instant::now());
            let described = fetch_description(around.upstream, spelling).await;
            match described {
                // The machine stood still, so this was said nobody knows how long ago.
                Ok(_) if around.cache.stopped_ms(Instant::now()) != stopped_ms => {}
                Ok(description) => {
                    if let Some(known) = self.remember(spelling, description, (question, changes), around) {
                        self.questions.succeeded(spelling);
                        return Some(known);
                    }
                }
                Err(failure) if question.changes() == changes => {
                    self.questions.failed(spelling, failure, Instant::now());
                    if failure == DescribeFailure::Missing {
                        self.lose(spelling, around);
                    }
                    return None;
                }
                Err(_) => {}
            }
        }
        None
    }

    /// Makes a description known under its spelling. If another one was known of the same table, it is replaced under every
    /// spelling, and what is cached of the table is invalidated unless keys and indexes are the same. `None` if the
    /// table may have changed since the description was asked for.
    fn remember(
        &self,
        spelling: &str,
        description: TableDescription,
        (question, changes): (&Question, u64),
        around: Surroundings<'_>,
    ) -> Option<Arc<KnownTable>> {
        let now = Instant::now();
        // Before the policy is asked for, or an old one could pass for a new one.
        let renewals = self.renewals.load(Ordering::Acquire);
        let policies = self.policies.load(Ordering::Acquire);
        let policy = self.policy(&description.schema.name, around.upstream);
        let TableDescription { schema, arn, .. } = &description;
        let identity = TableIdentity { name: &schema.name, arn, id: &schema.id };
        let cached = around.cache.table(around.realm, identity, now);
        let usage = around.insight.table(around.realm.number(), &schema.name);
        usage.describe_sizes(&description.sizes);
        let ages = !around.upstream.never_lags();
        let time_to_live = description.time_to_live.clone();
        let (mut table, mut replaced) = (None, Vec::new());
        self.change(|known| {
            if question.changes() != changes {
                return;
            }
            let is_it = |known: &KnownTable| Arc::ptr_eq(&known.cached, &cached);
            let same =
                known.values().find(|known| is_it(known) && known.is_described_by(&description)).cloned();
            let learned = same.unwrap_or_else(|| {
                let former = known.values().find(|known| is_it(known) && known.has_schema_of(&description));
                let place = Place { cached: Arc::clone(&cached), usage };
                let learned = KnownTable::new(spelling, description, policy, policies, place, ages);
                Arc::new(match former {
                    Some(former) => learned.succeeding(former),
                    None => learned,
                })
            });
            learned.confirm(around.cache.aged(now));
            table = Some(Arc::clone(&learned));
            if self.renewals.load(Ordering::Acquire) != renewals {
                // Its policy may be an old one: it ends with the requests that wait for it.
                return;
            }
            if known.len() >= SPELLINGS_MAX {
                known.drain().for_each(|(_, former)| former.retire());
            }
            for (of, former) in &mut *known {
                if (is_it(former) || **of == *spelling) && !Arc::ptr_eq(former, &learned) {
                    replaced.push(std::mem::replace(former, Arc::clone(&learned)));
                }
            }
            known.insert(spelling.into(), learned);
        });
        if table.is_some() {
            match &time_to_live {
                TimeToLive::By(attribute) => cached.set_time_to_live(Some(attribute)),
                TimeToLive::Off => cached.set_time_to_live(None),
                TimeToLive::Unknown => {}
            }
        }
        if !replaced.is_empty() {
            // Requests that were understood by the former description would go on reporting to it what is asked for.
            self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
        }
        if let Some(table) = &table {
            replaced.retain(|former| !former.shares_fate_with(table));
            self.retire(&replaced, around);
        }
        table
    }

    /// The upstream has the table no more.
    fn lose(&self, spelling: &str, around: Surroundings<'_>) {
        let mut lost = None;
        self.change(|known| {
            lost = known.get(spelling).cloned();
            if let Some(lost) = &lost {
                known.retain(|_, table| !Arc::ptr_eq(&table.cached, &lost.cached));
            }
        });
        self.retire(lost.as_slice(), around);
    }

    /// Retires tables that are not known any more, and invalidates what is cached of them: in this order, see
    /// [`KnownTable::is_retired`].
    fn retire(&self, tables: &[Arc<KnownTable>], around: Surroundings<'_>) {
        let now = Instant::now();
        for table in tables {
            table.retire();
            around.cache.invalidate_table(&table.cached, now);
        }
        if let Some(peers) = around.peers {
            let misnamed = misnamed(tables);
            if !misnamed.is_empty() {
                // No client waits for this.
                drop(peers.report(misnamed));
            }
        }
        if !tables.is_empty() {
            self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
        }
    }

    /// Forgets a table under every spelling, because it may have another schema now. What is cached of it must be invalidated
    /// after that.
    pub(crate) fn forget(&self, name: &str) {
        self.forget_all(|known| known == name);
    }

    /// The same for all tables whose names are such. Returns those that were known, under each spelling.
    pub(super) fn forget_all(&self, is_named: impl Fn(&str) -> bool) -> Vec<Arc<KnownTable>> {
        let mut forgotten = Vec::new();
        self.change(|known| {
            self.questions.tables_changed(&is_named);
            let named = known.extract_if(|_, table| is_named(&table.name)).map(|(_, table)| table);
            forgotten.extend(named);
            forgotten.iter().for_each(|table| table.retire());
        });
        self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
        forgotten
    }

    /// Takes note that pages of the global indexes of a table are asked for at another node.
    pub(super) fn note_index_pages_elsewhere(&self, digest: TableDigest, now: Instant) {
        let known = self.known.load();
        let named = known.values().filter(|table| table.cached.digest() == digest);
        named.for_each(|table| table.note_index_page_elsewhere(now));
    }

    /// Asks for the policy of every table again. What the upstream has said of them stays, since it may not be there to say
    /// it again.
    pub(crate) fn renew_policies(&self, change: PolicyChange, upstream: &dyn Upstream) {
        if change == PolicyChange::Invalidates {
            // Before any policy is asked for, so that no table with an old number is remembered after it.
            self.policies.fetch_add(1, Ordering::AcqRel);
        }
        self.change(|known| {
            // What is being learned by an older policy is not remembered.
            self.renewals.fetch_add(1, Ordering::AcqRel);
            let policies = self.policies.load(Ordering::Acquire);
            let mut renewed: HashMap<*const CachedTable, Arc<KnownTable>> = HashMap::new();
            for table in known.values_mut() {
                let renewed = renewed.entry(Arc::as_ptr(&table.cached)).or_insert_with(|| {
                    Arc::new(table.with_policy(self.policy(&table.name, upstream), policies))
                });
                *table = Arc::clone(renewed);
            }
        });
        self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
    }

    fn policy(&self, name: &str, upstream: &dyn Upstream) -> TablePolicy {
        let policy = (self.policy_of)(name);
        if upstream.never_lags() { policy.for_upstream_without_lag() } else { policy }
    }

    /// True if the table may have another policy by now.
    pub(crate) fn has_old_policy(&self, table: &KnownTable) -> bool {
        table.policies != self.policies.load(Ordering::Acquire)
    }

    /// The generation now: whatever is looked up later, and as long as it lasts, belongs to it.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    fn change(&self, change: impl FnOnce(&mut KnownTables)) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = KnownTables::clone(&self.known.load());
        change(&mut known);
        self.known.store(Arc::new(known));
    }
}

/// What other nodes must hear of tables that were retired here: writes that were planned by a wrong description were reported
/// under keys that the items may not have.
pub(super) fn misnamed(retired: &[Arc<KnownTable>]) -> Vec<Report> {
    let written = retired.iter().filter(|table| table.take_written());
    written.map(|table| Report::Changed(Changed::Table(table.cached.digest()))).collect()
}
