//! What other nodes have changed, applied to pages, and to items after them.
//!
//! Reports may come in any order and more than once: each one names what it has changed, and invalidates no less than that.

use std::time::Duration;

use tokio::time::Instant;

use super::super::elsewhere::{Changed, ChangedIndex, ChangedIndexes, ChangedItem, Report};
use super::super::stats::BumpReason;
use super::super::table::CachedTable;
use super::cache::PageCache;
use super::rules::PageRule;

/// What may still change is held for so much longer than the reporting node says: its clock may be slower than ours.
const HOLD_MARGIN: Duration = Duration::from_secs(1);

/// The two caches that a report is applied to, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Half {
    Pages,
    Items,
}

impl PageCache {
    /// Makes unusable what another node has changed, in this cache and in that of the items. When it returns, no reader can be given
    /// anything older. What may still change is kept out of the cache for so long and a little longer; [`PageCache::sweep`] and
    /// [`super::super::ItemCache::sweep`] end that. Reports that change nothing are left to the caller.
    pub fn apply(&self, report: &Report, now: Instant) {
        for half in self.halves() {
            self.apply_half(half, report, now);
        }
    }

    /// Pages come first: a page in flight whose words stand still may store its items, by their present words.
    pub(in super::super) fn halves(&self) -> [Half; 2] {
        match self.obeys(PageRule::PagesFirst) {
            true => [Half::Pages, Half::Items],
            false => [Half::Items, Half::Pages],
        }
    }

    pub(in super::super) fn apply_half(&self, half: Half, report: &Report, now: Instant) {
        let (changed, held_until) = match report {
            Report::Changed(changed) => (changed, None),
            Report::MayChange(changed, left) => (changed, Some(now + *left + HOLD_MARGIN)),
            Report::IndexesRead(_) => return,
        };
        match half {
            Half::Pages => self.apply_to_pages(changed, held_until, now),
            Half::Items => self.items.apply(changed, held_until, now),
        }
    }

    fn apply_to_pages(&self, changed: &Changed, held_until: Option<Instant>, now: Instant) {
        let due = held_until.filter(|_| self.obeys(PageRule::HoldElsewhere));
        match changed {
            Changed::Item(item) => self.apply_item(item, due, now),
            // Their pages have the word of the table, which is bumped with the items.
            Changed::Table(digest) | Changed::Definition(digest) => {
                due.into_iter().for_each(|due| self.late_bumps.expect_tables(Some(*digest), due));
            }
            Changed::Everything => {
                due.into_iter().for_each(|due| self.late_bumps.expect_tables(None, due));
            }
        }
    }

    fn apply_item(&self, item: &ChangedItem, due: Option<Instant>, now: Instant) {
        let stripe = self.words.stripe(item.partition);
        if let Some(due) = due {
            self.late_bumps.expect_item(stripe, item.table, due);
        }
        if !self.obeys(PageRule::BumpOnElsewhere) {
            return;
        }
        self.invalidate_partition(stripe, BumpReason::Elsewhere, now);
        for table in self.items.tables_reported(item.table, now) {
            self.invalidate_scans(&table, BumpReason::Elsewhere, now);
            self.apply_to_indexes(&table, &item.indexes, now);
        }
    }

    fn apply_to_indexes(&self, table: &CachedTable, changed: &ChangedIndexes, now: Instant) {
        let now_ms = self.items.running_ms(now);
        table.pages.note_write(now_ms);
        let known: &[ChangedIndex] = match changed {
            ChangedIndexes::All => &[],
            ChangedIndexes::Known(known) => known,
        };
        for index in table.pages.indexes() {
            match known.iter().find(|changed| changed.index == index.digest()) {
                Some(changed) => {
                    let partitions = changed.partitions.iter().copied();
                    self.invalidate_positions(&index, partitions, BumpReason::Elsewhere, now_ms);
                }
                None => self.invalidate_index(&index, BumpReason::Elsewhere, now_ms),
            }
        }
    }
}
