//! Shadow mode: the upstream answers each read, and what the cache would have answered is compared with that.
//!
//! A read goes upstream in the client's own words, and the client hears the upstream's own answer. The cache is looked into as always,
//! and filled and invalidated by the same rules. Nothing is answered out of it, nor out of another read's fetch, nor when the
//! upstream fails. A difference changes nothing in the cache: it would have been served again, and is counted again.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::{Comparisons, Hit, Lookup, ShadowRead, ShadowResult};
use crate::call::{BypassReason, Request, Source};

use super::Comparing;
use crate::engine::permissions::is_denied;
use crate::engine::{Engine, Served};

impl Engine {
    /// Answers an eventual read of a table whose cache is in shadow mode.
    pub(in crate::engine) async fn read_in_shadow<R: Comparing>(
        self: &Arc<Self>,
        request: &Request,
        read: R,
    ) -> Served {
        read.note_read();
        let sent = read.sending(self);
        let lookup = read.look_up(self, Instant::now());
        if matches!(lookup, Lookup::Lead(_)) {
            self.check_current(read.table());
        }
        let answer = self.forward(request).await;
        self.check_rejection(&answer, read.table());
        let served = Served {
            table: Some(Arc::clone(&read.table().name)),
            ..Served::plain(answer.clone(), Source::Bypass(BypassReason::Shadow))
        };
        match lookup {
            Lookup::Join(_) => read.table().cached.comparisons().shadowed(ShadowResult::Join),
            Lookup::Lead(permit) => {
                read.table().cached.comparisons().shadowed(ShadowResult::Miss);
                // A fetch that failed has nothing to store, and an upstream that fails must not be asked twice.
                if answer.is_success()
                    && let Some(permit) = read.complete(self, permit, &answer)
                {
                    self.fill_beside(&read, permit, request);
                }
            }
            Lookup::Hit(hit) => {
                let is_shown = read.is_shown_by(&hit.value, &answer);
                self.compare(read, hit, is_shown, sent);
            }
        }
        served
    }

    /// Sends a fill that the client's own read cannot be: a strong one, or one of more than the client asked for. The client's role
    /// has just read what it asked for; if it may not read more, no other fill is sent on its behalf for a while.
    fn fill_beside<R: Comparing>(self: &Arc<Self>, read: &R, permit: R::Permit, request: &Request) {
        let wants_part = read.wants_part();
        if wants_part && self.is_whole_denied(read.table(), request) {
            return;
        }
        let fill = read.fill(Arc::clone(self), permit);
        let (engine, table, request) = (Arc::clone(self), Arc::clone(read.table()), request.clone());
        self.fill_apart(read.table().cached.comparisons(), async move {
            if let Err(answer) = fill.await
                && wants_part
                && is_denied(&answer)
            {
                engine.note_whole_denied(&table, &request);
            }
        });
    }

    /// Runs a fill in the background, at most so many at a time. One that is dropped instead wakes those who wait.
    pub(in crate::engine) fn fill_apart(
        &self,
        comparisons: &Comparisons,
        fill: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(room) = self.checks.fill() else { return comparisons.shadow_fill_dropped() };
        comparisons.read_for_shadow(ShadowRead::Fill);
        self.tasks.spawn(async move {
            fill.await;
            drop(room);
        });
    }

    /// Counts what a would-be hit and the upstream's answer are to each other. If they differ, a replica may lag: then the upstream is
    /// asked once more, strongly, in the background.
    pub(in crate::engine) fn compare<R: Comparing>(
        self: &Arc<Self>,
        read: R,
        hit: Hit<R::Value>,
        is_shown: Option<bool>,
        sent: R::Sent,
    ) {
        let now = Instant::now();
        if is_shown.is_some() {
            read.table().cached.comparisons().would_save(read.price(&hit.value));
        }
        let result = match is_shown {
            None => ShadowResult::NotCompared,
            Some(true) => ShadowResult::Equal,
            Some(false) if read.may_have_changed(self, sent, now) => ShadowResult::ChangedDuring,
            Some(false) if self.upstream.never_lags() => ShadowResult::CacheStale,
            Some(false) if !read.can_be_strong() => ShadowResult::Differs,
            Some(false) => {
                let Some(room) = self.checks.check(now) else {
                    return read.table().cached.comparisons().shadowed(ShadowResult::OverBudget);
                };
                read.table().cached.comparisons().read_for_shadow(ShadowRead::Check);
                let engine = Arc::clone(self);
                self.tasks.spawn(async move {
                    let result = engine.look_twice(&read, &hit, sent).await;
                    engine.count_in_shadow(&read, &hit, result);
                    drop(room);
                });
                return;
            }
        };
        self.count_in_shadow(&read, &hit, result);
    }

    async fn look_twice<R: Comparing>(
        self: &Arc<Self>,
        read: &R,
        hit: &Hit<R::Value>,
        sent: R::Sent,
    ) -> ShadowResult {
        match self.closing.run_until_cancelled(read.fetch_strongly(self)).await.flatten() {
            None => ShadowResult::Differs,
            Some(fresh) if R::is_same(&hit.value, &fresh) => ShadowResult::UpstreamStale,
            Some(_) if read.may_have_changed(self, sent, Instant::now()) => ShadowResult::ChangedDuring,
            Some(_) => ShadowResult::CacheStale,
        }
    }

    fn count_in_shadow<R: Comparing>(&self, read: &R, hit: &Hit<R::Value>, result: ShadowResult) {
        read.table().cached.comparisons().shadowed(result);
        if result == ShadowResult::CacheStale {
            let words = "A hit in shadow mode differs from what the upstream has.";
            self.warn_of_difference(read, hit.age, words);
        }
    }
}
