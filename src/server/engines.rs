//! The engines that answer requests, and what stands behind them: one for all callers, or one for each realm.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::backend::{self, Backend, unopened};
use super::gate::Gate;
use super::maker::EngineMaker;
use super::realms::{Realms, Stores};
use super::warming::missing;
use crate::admin::{Call, Fault, Flush};
use crate::cache::Realm;
use crate::call::{PrincipalRole, Request};
use crate::config::{Fixed, LocalStore, UpstreamKind};
use crate::engine::{Engine, FlushFailure, PolicyChange, Served};
use crate::frontend::{
    AnyCaller, Doors, Frontend, GivenUp, Observer, Settings, SignedCallers, SignedRegions,
};
use crate::local;
use crate::model::ApiError;
use crate::telemetry::CacheSample;
use crate::upstream::remote::RemoteStats;

/// Who may call where callers are verified, and by which place the ARNs in their policies are read.
pub(super) struct VerifiedCallers {
    pub(super) callers: SignedCallers,
    pub(super) region: Box<str>,
    pub(super) account: Option<Box<str>>,
}

/// What answers requests.
#[derive(Clone)]
pub(super) enum Engines {
    /// All callers see the same tables.
    Sole(Backend, Arc<Engine>),
    /// Callers see the tables of their region and access key.
    Apart(Arc<Realms>),
}

impl Engines {
    /// Opens the store, or prepares the remote upstream, which need not be there yet. Stores of realms are opened by their
    /// first requests.
    ///
    /// # Errors
    /// [`StartError`] for a data directory that cannot be served, and for a remote upstream without credentials.
    pub(super) async fn open(fixed: &Fixed, authority: &str, maker: EngineMaker) -> Result<Self, StartError> {
        if fixed.upstream == UpstreamKind::Local && !fixed.share {
            let stores = match &fixed.store {
                LocalStore::Memory => Stores::InMemory,
                LocalStore::Directory(directory) => {
                    let stores = Stores::below(directory, backend::durability(fixed));
                    stores.map_err(unopened)?
                }
            };
            let settings = backend::local_settings(fixed, authority);
            return Ok(Self::Apart(Realms::new(maker, stores, settings)));
        }
        let backend = Backend::open(fixed, authority)?;
        backend.load_credentials().await?;
        let engine = match &backend {
            Backend::Local(local) => maker.local_engine(Realm::SOLE, local),
            Backend::Remote(remote) => maker.engine(Realm::SOLE, Arc::clone(remote) as _),
        };
        Ok(Self::Sole(backend, engine))
    }

    /// The engine, where all callers see the same tables.
    pub(super) fn sole(&self) -> Option<&Arc<Engine>> {
        match self {
            Self::Sole(_, engine) => Some(engine),
            Self::Apart(_) => None,
        }
    }

    /// Answers a call that comes past the front end, as that of a client which nobody verifies; or says why the store that it
    /// means is not open.
    ///
    /// # Errors
    /// [`Fault`] where the local backend is not behind it, and where the call does not say whose tables it means.
    pub(super) async fn call(&self, call: Call) -> Result<Result<Served, ApiError>, Fault> {
        let Call { operation, body, region, access_key, client: _ } = call;
        let request = Request::new(operation, body);
        match self {
            Self::Sole(Backend::Local(_), engine) => Ok(Ok(engine.execute(request).await)),
            Self::Sole(Backend::Remote(_), _) => Err(Fault::missing(
                "Calls over the admin listener are for the local backend: ask a remote upstream with your own credentials.",
            )),
            Self::Apart(realms) => {
                let (Some(region), Some(access_key)) = (region, access_key) else {
                    let sentence = "With share = false each region and access key has tables of its own: \
                                    name them, as region=us-east-1&access_key=KEY.";
                    return Err(Fault::invalid(sentence));
                };
                Ok(realms.execute_of(&region, &access_key, request).await)
            }
        }
    }

    /// Drops what is cached, in every realm that is open.
    ///
    /// # Errors
    /// [`Fault`] for a table that is not there, and a key that is none of its.
    pub(super) async fn flush(&self, flush: Flush) -> Result<(), Fault> {
        let engines = match self {
            Self::Sole(_, engine) => vec![Arc::clone(engine)],
            Self::Apart(realms) => realms.engines(),
        };
        let mut outcome = Err(FlushFailure::Missing);
        for engine in &engines {
            let flushed = match &flush {
                Flush::Everything => {
                    engine.flush();
                    Ok(())
                }
                Flush::Table(table) => engine.flush_table(table).await,
                Flush::Item { table, key } => engine.flush_item(table, key).await,
            };
            // One that has the table speaks for all.
            if flushed.is_ok() || outcome == Err(FlushFailure::Missing) {
                outcome = flushed;
            }
        }
        match (outcome, flush) {
            (Ok(()), _) | (_, Flush::Everything) => Ok(()),
            (Err(FlushFailure::Missing), Flush::Table(table) | Flush::Item { table, .. }) => {
                Err(missing(&table))
            }
            (Err(FlushFailure::Key(attributes)), _) => Err(Fault::invalid(format!(
                "The key must have exactly {attributes}, as DynamoDB JSON; one of two parts is such as {{\"pk\":{{\"S\":\"a\"}},\"sk\":{{\"N\":\"1\"}}}}."
            ))),
        }
    }

    /// Puts the roles in force under which requests of principals go to a remote upstream, and no others.
    pub(super) fn put_roles(&self, roles: impl IntoIterator<Item = Arc<PrincipalRole>>) {
        if let Self::Sole(backend, _) = self {
            backend.put_roles(roles);
        }
    }

    /// What stands behind them, for the line that a person reads at the start.
    pub(super) fn describe(&self, fixed: &Fixed) -> String {
        let (described, elsewhere) = match self {
            Self::Sole(backend, _) => (backend.describe(fixed), stores_not_served(fixed)),
            Self::Apart(_) => {
                let data = match &fixed.store {
                    LocalStore::Directory(directory) => format!("data below {}", directory.display()),
                    LocalStore::Memory => "data in memory".to_owned(),
                };
                let described = format!("local backend, {data}, each region and access key apart");
                (described, stores_not_served(fixed))
            }
        };
        match elsewhere {
            Some(elsewhere) => format!("{described} ({elsewhere})"),
            None => described,
        }
    }

    /// Serves clients until `shutdown`, and those that are there to their end. Without `callers`, whoever comes is served.
    pub(super) async fn serve<O: Observer>(
        self,
        observer: Arc<O>,
        settings: Settings,
        callers: Option<VerifiedCallers>,
        doors: Doors,
        shutdown: CancellationToken,
    ) -> GivenUp {
        // A front end for each, so that where all callers are one, nothing is looked up for a request.
        match (self, callers) {
            (Self::Sole(_, engine), None) => {
                Frontend::new(engine, observer, AnyCaller, settings).serve(doors, shutdown).await
            }
            (Self::Apart(realms), None) => {
                Frontend::new(realms, observer, AnyCaller, settings).serve(doors, shutdown).await
            }
            (Self::Sole(_, engine), Some(VerifiedCallers { callers, region, account })) => {
                let gate = Gate::before(engine, &region, account.as_deref());
                Frontend::new(gate, observer, callers, settings).serve(doors, shutdown).await
            }
            (Self::Apart(realms), Some(VerifiedCallers { callers, region, account })) => {
                let gate = Gate::before(realms, &region, account.as_deref());
                Frontend::new(gate, observer, callers, settings).serve(doors, shutdown).await
            }
        }
    }

    /// For which regions requests may be signed.
    pub(super) fn signed_regions(&self, fixed: &Fixed) -> SignedRegions {
        match self {
            Self::Sole(..) => SignedRegions::Only(fixed.region().into()),
            Self::Apart(_) => SignedRegions::Any,
        }
    }

    /// Asks for the policy of each table again, and invalidates what was stored under the old ones if the change says so.
    pub(super) fn renew_policies(&self, change: PolicyChange) {
        match self {
            Self::Sole(_, engine) => engine.renew_policies(change),
            Self::Apart(realms) => realms.renew_policies(change),
        }
    }

    /// Why requests should not be sent to this process, if they should not.
    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::Sole(backend, _) => backend.failure(),
            Self::Apart(realms) => realms.failure(),
        }
    }

    /// What a remote upstream has counted.
    pub(super) fn remote_stats(&self) -> Option<RemoteStats> {
        match self {
            Self::Sole(backend, _) => backend.stats(),
            Self::Apart(_) => None,
        }
    }

    /// What stands behind counted by itself, under the names of the metrics.
    pub(super) fn samples(&self) -> Vec<CacheSample> {
        match self {
            Self::Sole(backend, _) => backend.samples(),
            Self::Apart(realms) => realms.samples(),
        }
    }

    /// Does what must be done beside requests, until `closing`. Realms see to that by themselves.
    pub(super) async fn tend(self, closing: CancellationToken) {
        match self {
            Self::Sole(backend, _) => backend.tend(closing).await,
            Self::Apart(_) => {}
        }
    }

    /// Waits for every write and fill, until `deadline`, and gives the number of those that have not ended by then.
    pub(super) async fn drain(&self, deadline: Instant) -> usize {
        match self {
            Self::Sole(_, engine) => engine.drain(deadline).await,
            Self::Apart(realms) => realms.drain(deadline).await,
        }
    }

    /// Ends what stands behind when nothing more comes.
    pub(super) async fn close(&self) {
        match self {
            Self::Sole(backend, _) => backend.close().await,
            Self::Apart(realms) => realms.close().await,
        }
    }
}

/// What a data directory holds that only the other value of `share` shows.
fn stores_not_served(fixed: &Fixed) -> Option<String> {
    let (UpstreamKind::Local, LocalStore::Directory(directory)) = (&fixed.upstream, &fixed.store) else {
        return None;
    };
    if fixed.share {
        // What cannot be read is no reason not to serve what can be.
        let stores = local::stores_below(directory).unwrap_or_default();
        let count = stores.len();
        (count > 0).then(|| format!("it also holds stores of share = false ({count}), kept and not shown"))
    } else {
        let has_store = local::has_store(directory).unwrap_or(false);
        has_store.then(|| "it also holds the tables of share = true, kept and not shown".to_owned())
    }
}
