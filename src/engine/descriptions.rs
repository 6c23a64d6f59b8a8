//! How the engine learns what tables are, and keeps it true: descriptions are asked for, refreshed, doubted and forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Engine;
use super::known_table::{Freshness, KnownTable};
use super::scope::Scope;
use super::tables::Surroundings;

/// The longest ARN that the service takes for a table's name.
const SPELLING_BYTES_MAX: usize = 1024;

/// How long a request waits for another description of a table that it knows. Then it goes on with the one there is.
const REFRESH_WAIT_MAX: Duration = Duration::from_secs(1);

impl Engine {
    /// The table that a spelling names, as described at most a minute ago, as far as the upstream says. `None` when the upstream
    /// does not know it, or cannot say.
    pub(super) async fn learn(self: &Arc<Self>, spelling: &str) -> Option<Arc<KnownTable>> {
        // No table is spelled so: the upstream is not asked about megabytes of a name.
        if spelling.is_empty() || spelling.len() > SPELLING_BYTES_MAX {
            return None;
        }
        let Some(known) = self.tables.get(spelling) else {
            // Boxed, as is what follows: most requests keep and move this future, and few tables are described for them.
            return Box::pin(self.ask(spelling)).await;
        };
        let now = Instant::now();
        match known.freshness(self.cache.aged(now)) {
            Freshness::Fresh => Some(known),
            _ if self.tables.questions.has_failed_lately(spelling, now) => Some(known),
            Freshness::Aging => {
                if !self.tables.questions.is_open(spelling) {
                    self.refresh(spelling);
                }
                Some(known)
            }
            Freshness::Old => Box::pin(self.refreshed(spelling)).await,
        }
    }

    /// The same for an operator, whose ARN must be the one that the upstream reports: see [`KnownTable::is_spelled`].
    pub(super) async fn learn_exactly(self: &Arc<Self>, spelling: &str) -> Option<Arc<KnownTable>> {
        self.learn(spelling).await.filter(|known| known.is_spelled(spelling))
    }

    async fn ask(&self, spelling: &str) -> Option<Arc<KnownTable>> {
        let around = Surroundings {
            upstream: &*self.upstream,
            cache: &self.cache,
            insight: &self.insight,
            realm: self.realm,
            peers: self.peers.get().map(|peers| &**peers),
        };
        self.tables.ask(spelling, around).await
    }

    /// Has the upstream describe a known table again, in the background.
    fn refresh(self: &Arc<Self>, spelling: &str) -> JoinHandle<()> {
        let (engine, spelling) = (Arc::clone(self), spelling.to_owned());
        self.tasks.spawn(async move {
            engine.ask(&spelling).await;
        })
    }

    /// The table as the upstream describes it now. While it does not answer, what is known of the table stands; `None` if there is
    /// no such table any more.
    pub(super) async fn refreshed(self: &Arc<Self>, spelling: &str) -> Option<Arc<KnownTable>> {
        // A wait that ends early leaves the question in flight.
        let _ = tokio::time::timeout(REFRESH_WAIT_MAX, self.refresh(spelling)).await;
        self.tables.get(spelling)
    }

    /// An answer of the upstream contradicts what is known of the table: it may have been created again elsewhere, with another
    /// key or other indexes. It is described again, at once, unless that was in vain a short while ago.
    pub(super) fn doubt(self: &Arc<Self>, table: &KnownTable) {
        if table.doubt(Instant::now()) {
            self.refresh(&table.spelling);
        }
    }

    pub(super) fn forget(&self, scope: &Scope) {
        if let Scope::Tables(names) = scope {
            names.iter().for_each(|name| self.tables.forget(name));
        }
    }
}
