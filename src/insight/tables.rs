//! All tables as requests use them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;

use super::hot::HotKeys;
use super::usage::TableUsage;

/// Tables that are told apart. Those that nobody knows any more make room for others, and what is beyond that is gathered in
/// one.
const TABLES_MAX: usize = 1000;

type Usages = HashMap<(u32, Box<str>), Arc<TableUsage>>;

/// The tables of all realms. There is one for all engines that share their memory.
#[derive(Debug)]
pub struct Insight {
    /// By the number of the realm and the table's name.
    tables: RwLock<Usages>,
    others: Arc<TableUsage>,
    hot: Arc<HotKeys>,
}

impl Default for Insight {
    fn default() -> Self {
        let hot = Arc::new(HotKeys::new(Instant::now()));
        Self { tables: RwLock::default(), others: Arc::new(TableUsage::unnamed()), hot }
    }
}

impl Insight {
    /// The table of that name: to be found once, and kept as long as the table is known.
    pub fn table(&self, realm: u32, name: &str) -> Arc<TableUsage> {
        let place = (realm, Box::from(name));
        if let Some(known) = self.tables.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Arc::clone(known);
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= TABLES_MAX && !tables.contains_key(&place) {
            // Nobody else can get hold of one meanwhile.
            tables
                .extract_if(|_, table| Arc::strong_count(table) == 1)
                .for_each(|(_, table)| self.others.inherit(&table));
            if tables.len() >= TABLES_MAX {
                return Arc::clone(&self.others);
            }
        }
        Arc::clone(
            tables.entry(place).or_insert_with_key(|(_, name)| Arc::new(TableUsage::new(name, &self.hot))),
        )
    }

    /// The keys that are read and written most.
    pub(crate) fn hot(&self) -> &HotKeys {
        &self.hot
    }

    /// Counts what was noted. To be called a few times a second.
    pub(crate) fn sweep(&self, now: Instant) {
        self.hot.drain(now);
    }

    /// Every table, those that are gathered in one without a name at the end.
    pub fn tables(&self) -> Vec<Arc<TableUsage>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.values().chain([&self.others]).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_nobody_knows_make_room_and_those_beyond_are_gathered() {
        let insight = Insight::default();
        let kept: Vec<_> = (0..TABLES_MAX - 1).map(|number| insight.table(0, &number.to_string())).collect();
        assert!(Arc::ptr_eq(&kept[7], &insight.table(0, "7")));
        assert!(!Arc::ptr_eq(&kept[7], &insight.table(1, "7")), "of another realm");
        let last = insight.table(2, "7");
        assert_eq!(last.name(), "7");
        assert_eq!(insight.table(3, "7").name(), "");
        drop(last);
        assert_eq!(insight.table(3, "7").name(), "7");
    }
}
