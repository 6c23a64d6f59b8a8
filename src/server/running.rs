//! A node that runs: what its admin listener shows and does is made of this.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::AdminToken;
use crate::config::{Fixed, Resolved};
use crate::dax::attribute_lists::AttributeLists;
use crate::telemetry::Metrics;
use crate::tls::TlsServer;

use super::caches::Caches;
use super::edge::Edge;
use super::engines::Engines;
use super::fleet::FleetPart;
use super::reload::ReloadAsks;
use super::warming::WarmUps;

/// When a process began to serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// By the clock that people read.
    pub(super) at: SystemTime,
    /// By one that only goes on.
    pub(super) instant: Instant,
}

impl Started {
    pub(super) fn now() -> Self {
        Self { at: SystemTime::now(), instant: Instant::now() }
    }

    /// In seconds since 1970.
    pub(super) fn unix_seconds(self) -> f64 {
        self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }
}

/// A node that runs, with all that its admin listener shows and does.
pub(super) struct RunningNode {
    pub(super) started: Started,
    /// Where clients connect, as a person writes it.
    pub(super) listen: String,
    pub(super) tls_listen: Option<String>,
    /// Where DAX clients connect, as they write it.
    pub(super) dax: Vec<String>,
    /// Their lists of attribute names, if they have a listener.
    pub(super) dax_lists: Option<Arc<AttributeLists>>,
    /// What stands behind it, as a person reads it.
    pub(super) upstream: String,
    pub(super) fixed: Fixed,
    pub(super) in_force: Arc<Mutex<Resolved>>,
    pub(super) caches: Caches,
    pub(super) engines: Engines,
    pub(super) fleet: Option<FleetPart>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) admin_token: Arc<AdminToken>,
    pub(super) tls: Option<Arc<TlsServer>>,
    pub(super) reload_asks: ReloadAsks,
    pub(super) warm_ups: WarmUps,
    /// Where calls over the admin listener are recorded.
    pub(super) edge: Arc<Edge>,
    /// Asks for the end.
    pub(super) shutdown: CancellationToken,
}

impl RunningNode {
    /// The config in force.
    pub(super) fn in_force(&self) -> Resolved {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
