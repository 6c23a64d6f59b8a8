//! Takes over another config while requests run.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::admin::AdminToken;
use crate::config::{AuthMode, Fixed, Live, Resolved};
use crate::engine::PolicyChange;
use crate::frontend::KeyRing;
use crate::telemetry::Metrics;
use crate::tls::{LoadedTls, TlsServer};

use super::audit::AuditLevel;
use super::caches::Caches;
use super::edge::SlowFrom;
use super::engines::Engines;
use super::files::LoadedFiles;

/// What came of reading the config again: the keys that need a restart, or everything that is wrong.
pub type Reloaded = Result<Vec<String>, String>;

/// A request to read the config again. Dropped without an answer, it says that nobody reads.
pub struct ReloadAsk(oneshot::Sender<Reloaded>);

impl ReloadAsk {
    /// Tells who asked what came of it.
    pub fn answer(self, reloaded: Reloaded) {
        // Who asked may have gone.
        self.0.send(reloaded).ok();
    }
}

/// The way of such requests from the admin listener to who watches the config. Clones are the same way.
#[derive(Clone, Default)]
pub(super) struct ReloadAsks(Arc<Mutex<Option<mpsc::Sender<ReloadAsk>>>>);

impl ReloadAsks {
    /// The end where they arrive from now on.
    pub(super) fn listen(&self) -> mpsc::Receiver<ReloadAsk> {
        let (sender, asked) = mpsc::channel(1);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        asked
    }

    /// Has the config read again; `None` if nobody watches it.
    pub(super) async fn ask(&self) -> Option<Reloaded> {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, answered) = oneshot::channel();
        sender.send(ReloadAsk(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// Changes what is live of a running server's config.
pub struct Reloader {
    /// What is in force.
    pub(super) config: Arc<Mutex<Resolved>>,
    pub(super) live: Arc<ArcSwap<Live>>,
    /// The keys of callers.
    pub(super) keys: Arc<ArcSwap<KeyRing>>,
    /// The certificate, if there is a TLS listener.
    pub(super) tls: Option<Arc<TlsServer>>,
    pub(super) caches: Caches,
    pub(super) engines: Engines,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slow: Arc<SlowFrom>,
    pub(super) audit: Arc<AuditLevel>,
    pub(super) admin_token: Arc<AdminToken>,
    pub(super) asked: mpsc::Receiver<ReloadAsk>,
}

impl Reloader {
    /// Waits until somebody asks for the config to be read again; `None` when nobody will.
    pub async fn asked(&mut self) -> Option<ReloadAsk> {
        self.asked.recv().await
    }

    /// Puts the live part of a config in force and returns the keys of the rest that differ, which need a restart. A
    /// changed policy invalidates everything that is cached, so that it holds for what was stored before, too. What may be served
    /// while the upstream fails is no such change: it is made when there is nothing to fill an empty cache from.
    ///
    /// `files` are those that the config names. Requests that come from now on are verified by their keys. A config that would
    /// not verify callers any more names none, and the keys in force stay until the restart that it needs. So does the certificate
    /// if the mode or the address of its listener waits for a restart: what clients must show may follow from these.
    pub fn apply(&self, resolved: Resolved, files: LoadedFiles) -> Vec<String> {
        let LoadedFiles { keys, admin_token, tls, .. } = files;
        let mut in_force = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, config) = (&in_force.config, &resolved.config);
        let mut needing_restart = current.needing_restart(config);
        if config.fixed.auth_mode == AuthMode::SigV4 {
            // First: a key that was withdrawn must not come in behind a config that says so. Before it
            // the roles: whoever has a new one must find it.
            self.engines.put_roles(keys.roles());
            self.keys.store(Arc::new(keys));
        } else if current.fixed.auth_mode == AuthMode::SigV4 && config.live.callers != current.live.callers {
            // Callers are verified until then, by the keys and rights of before.
            needing_restart.extend(["auth.keys", "auth.principals"].map(str::to_owned));
        }
        self.admin_token.replace(admin_token);
        let of_clients =
            |fixed: &Fixed| (fixed.auth_mode, fixed.tls_listen.clone(), fixed.dax.tls_listen.clone());
        let is_same = of_clients(&config.fixed) == of_clients(&current.fixed);
        if let (Some(server), Some(loaded), true) = (&self.tls, tls, is_same) {
            server.replace(loaded);
        }
        let before = in_force.replace_live(resolved);
        let after = &in_force.config.live;
        if (&before.cache, &before.tables) != (&after.cache, &after.tables) {
            // In this order, or a table could be remembered with its old policy.
            self.live.store(Arc::new(after.clone()));
            let keeps = before.keeps_as(after);
            self.engines.renew_policies(if keeps { PolicyChange::Keeps } else { PolicyChange::Invalidates });
        }
        self.caches.fit(&before, after);
        self.slow.set(after.log_slow);
        self.audit.set(after.audit);
        self.metrics.reloaded(true);
        needing_restart
    }

    /// The certificate in force, if there is a TLS listener.
    pub fn tls_in_force(&self) -> Option<Arc<LoadedTls>> {
        self.tls.as_ref().map(|tls| tls.in_force())
    }

    /// Takes note that a config could not be used; the one in force stays.
    pub fn refuse(&self) {
        self.metrics.reloaded(false);
    }
}
