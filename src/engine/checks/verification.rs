//! Sampled verification: after some hits, a strong read in the background compares what was served with what the upstream has.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{Hit, VerifiedResult};

use super::Comparing;
use crate::engine::Engine;

impl Engine {
    /// Compares what a hit has just served with the upstream, in a task of its own. A difference that nothing explains is counted and
    /// reported, and invalidates what is cached, as every strong read does that contradicts the cache.
    pub(in crate::engine) fn verify<R: Comparing>(&self, read: R, hit: &Hit<R::Value>) {
        let count = |result| read.table().cached.comparisons().verified(result);
        let Some(engine) = self.itself.upgrade() else { return };
        if !read.can_be_strong() {
            return count(VerifiedResult::Skipped);
        }
        let now = Instant::now();
        let sent = read.sending(self);
        // After the words were captured: what is still cached has just these, so whatever moves them later is noticed.
        if !read.is_cached(self, &hit.value) {
            return count(VerifiedResult::Explained);
        }
        let Some(room) = self.checks.check(now) else { return count(VerifiedResult::OverBudget) };
        let hit = hit.clone();
        self.tasks.spawn(async move {
            let fetched = engine.closing.run_until_cancelled(read.fetch_strongly(&engine)).await;
            let result = match fetched {
                None => VerifiedResult::Skipped,
                Some(None) => VerifiedResult::Failed,
                Some(Some(fresh)) if R::is_same(&hit.value, &fresh) => VerifiedResult::Same,
                // Asked when the answer is there, and before the cache hears of it.
                Some(Some(_)) if read.may_have_changed(&engine, sent, Instant::now()) => {
                    VerifiedResult::Explained
                }
                Some(Some(fresh)) => {
                    read.observe(&engine, &fresh, sent, Instant::now());
                    let age = hit.age + now.elapsed();
                    read.table().cached.comparisons().found_different(age);
                    engine.warn_of_difference(
                        &read,
                        age,
                        "A verified hit differs from what the upstream has.",
                    );
                    VerifiedResult::Different
                }
            };
            read.table().cached.comparisons().verified(result);
            drop(room);
        });
    }

    /// Writes a line, at most one in a while for each table.
    pub(super) fn warn_of_difference<R: Comparing>(&self, read: &R, age: Duration, words: &'static str) {
        let table = &read.table().name;
        if let Some(count) = self.checks.lines.note((table.clone(), R::KIND), Instant::now()) {
            tracing::warn!(
                table = &**table,
                kind = R::KIND,
                age_seconds = age.as_secs_f64(),
                count,
                "{words}"
            );
        }
    }
}
