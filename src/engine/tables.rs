//! The tables that the engine knows, each learned with the first request that names it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::cache::{ItemCache, Realm, TableIdentity};
use crate::upstream::Upstream;
use crate::upstream::schemas::{TableDescription, fetch_description};

use super::known::{KnownTable, PolicyChange, TablePolicy};
use super::recent::{Generation, RecentRequests};

/// How many spellings of table names are remembered. A table has two or three (its name, its ARN); beyond this many, all are
/// forgotten and learned again, so that a client cannot grow the map without bound.
const SPELLINGS_MAX: usize = 20_000;

/// Gives the policy of a table.
pub type PolicyOf = Box<dyn Fn(&str) -> TablePolicy + Send + Sync>;

type KnownTables = HashMap<Box<str>, Arc<KnownTable>>;

/// All known tables, by every spelling that requests have used.
pub(crate) struct Tables {
    /// Read with every request and seldom changed, so that reading must take no lock and raise no shared count.
    known: ArcSwap<KnownTables>,
    /// Held to change `known`.
    changing: Mutex<()>,
    /// Grows whenever something is forgotten: a description asked for before that is not remembered after it.
    forgotten: AtomicU64,
    /// Grows behind that, when what was forgotten cannot be found any more.
    generation: AtomicU64,
    /// Grows when every table may have another policy.
    policies: AtomicU64,
    /// Where generations come from.
    recent: Arc<RecentRequests>,
    policy_of: PolicyOf,
}

impl Tables {
    pub(crate) fn new(policy_of: PolicyOf, recent: Arc<RecentRequests>) -> Self {
        Self {
            known: ArcSwap::default(),
            changing: Mutex::default(),
            forgotten: AtomicU64::new(0),
            generation: AtomicU64::new(recent.new_generation()),
            policies: AtomicU64::new(0),
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

    /// The table that a spelling names, asking the upstream when it is not known. `None` when the upstream does not know it
    /// either, or cannot say.
    pub(crate) async fn learn(
        &self,
        spelling: &str,
        upstream: &dyn Upstream,
        cache: &ItemCache,
        realm: Realm,
    ) -> Option<Arc<KnownTable>> {
        if let Some(known) = self.get(spelling) {
            return Some(known);
        }
        let forgotten = self.forgotten.load(Ordering::Acquire);
        let description = fetch_description(upstream, spelling).await?;
        // Before the policy is asked for, or an old one could pass for a new one.
        let policies = self.policies.load(Ordering::Acquire);
        let policy = self.policy(&description.schema.name, upstream);
        let TableDescription { schema, arn, .. } = &description;
        let identity = TableIdentity { name: &schema.name, arn, id: &schema.id };
        let cached = cache.table(realm, identity, Instant::now());
        let table = Arc::new(KnownTable::new(description, policy, policies, cached));
        self.change(|known| {
            if self.forgotten.load(Ordering::Acquire) == forgotten {
                if known.len() >= SPELLINGS_MAX {
                    known.clear();
                }
                known.insert(spelling.into(), Arc::clone(&table));
            }
        });
        Some(table)
    }

    /// Forgets a table under every spelling, because it may have another schema now.
    pub(crate) fn forget(&self, name: &str) {
        self.change(|known| {
            self.forgotten.fetch_add(1, Ordering::AcqRel);
            known.retain(|_, table| &*table.name != name);
        });
        self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
    }

    /// Asks for the policy of every table again. What the upstream has said of them stays, since it may not be there to say
    /// it again.
    pub(crate) fn renew_policies(&self, change: PolicyChange, upstream: &dyn Upstream) {
        if change == PolicyChange::Voids {
            // Before any policy is asked for, so that no table with an old number is remembered after it.
            self.policies.fetch_add(1, Ordering::AcqRel);
        }
        self.change(|known| {
            // What is being learned by an older policy is not remembered.
            self.forgotten.fetch_add(1, Ordering::AcqRel);
            let policies = self.policies.load(Ordering::Acquire);
            let mut renewed: HashMap<Arc<str>, Arc<KnownTable>> = HashMap::new();
            for table in known.values_mut() {
                let renewed = renewed.entry(Arc::clone(&table.name)).or_insert_with(|| {
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

/// The table's name in a name or an ARN, when the text has the form of either.
pub(crate) fn name_in(spelling: &str) -> &str {
    match spelling.strip_prefix("arn:").and_then(|arn| arn.split_once(":table/")) {
        Some((_, resource)) => resource.split('/').next().unwrap_or(resource),
        None => spelling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_arn_name_the_same_table() {
        assert_eq!(name_in("Orders"), "Orders");
        assert_eq!(name_in("arn:aws:dynamodb:us-east-1:000000000000:table/Orders"), "Orders");
        assert_eq!(name_in("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/index/byTime"), "Orders");
    }
}
