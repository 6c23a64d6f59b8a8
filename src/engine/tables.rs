//! The tables that the engine knows: schema, cache handle and policy of each, learned with the first request that names it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::cache::{CachedTable, ItemCache, ReadPolicy};
use crate::model::TableSchema;
use crate::telemetry::Spread;
use crate::upstream::Upstream;
use crate::upstream::schemas::fetch_schema;

/// How many spellings of table names are remembered. A table has two or three (its name, its ARN); beyond this many, all are
/// forgotten and learned again, so that a client cannot grow the map without bound.
const SPELLINGS_MAX: usize = 20_000;

/// Gives a table's policy for item reads; `None` when its item cache is off.
pub type PolicyOf = Box<dyn Fn(&str) -> Option<ReadPolicy> + Send + Sync>;

/// A table that the upstream has described.
pub(crate) struct KnownTable {
    /// The table's name, whatever spelling a request used.
    pub(crate) name: Arc<str>,
    /// Its schema, as last described.
    pub(crate) schema: Arc<TableSchema>,
    /// Its part of the item cache.
    pub(crate) cached: Arc<CachedTable>,
    /// How its items are cached; `None` when they are not.
    pub(crate) policy: Option<ReadPolicy>,
    /// The name again, to be given out with every hit: each thread clones one of its own, whose count it alone changes.
    names: Spread<Arc<str>>,
}

impl KnownTable {
    /// The name, for an answer.
    pub(crate) fn name_for_answer(&self) -> Arc<str> {
        Arc::clone(self.names.mine())
    }
}

type KnownTables = HashMap<Box<str>, Arc<KnownTable>>;

/// All known tables, by every spelling that requests have used.
pub(crate) struct Tables {
    /// Read with every request and seldom changed, so that reading must take no lock and raise no shared count.
    known: ArcSwap<KnownTables>,
    /// Held to change `known`.
    changing: Mutex<()>,
    /// Grows whenever something is forgotten: a description asked for before that is not remembered after it.
    forgotten: AtomicU64,
    policy_of: PolicyOf,
}

impl Tables {
    pub(crate) fn new(policy_of: PolicyOf) -> Self {
        Self {
            known: ArcSwap::default(),
            changing: Mutex::default(),
            forgotten: AtomicU64::new(0),
            policy_of,
        }
    }

    /// The table that a spelling names, when it is known.
    pub(crate) fn get(&self, spelling: &str) -> Option<Arc<KnownTable>> {
        self.known.load().get(spelling).cloned()
    }

    /// Looks at the table that a spelling names. `None` when it is not known, too.
    pub(crate) fn with<T>(&self, spelling: &str, look: impl FnOnce(&KnownTable) -> Option<T>) -> Option<T> {
        look(self.known.load().get(spelling)?)
    }

    /// The table that a spelling names, asking the upstream when it is not known. `None` when the upstream does not know it
    /// either, or cannot say.
    pub(crate) async fn learn(
        &self,
        spelling: &str,
        upstream: &dyn Upstream,
        cache: &ItemCache,
    ) -> Option<Arc<KnownTable>> {
        if let Some(known) = self.get(spelling) {
            return Some(known);
        }
        let forgotten = self.forgotten.load(Ordering::Acquire);
        let schema = fetch_schema(upstream, spelling).await?;
        let table = Arc::new(KnownTable {
            name: schema.name.as_str().into(),
            names: Spread::from_fn(|| schema.name.as_str().into()),
            cached: cache.table(&schema.name),
            policy: (self.policy_of)(&schema.name),
            schema,
        });
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
