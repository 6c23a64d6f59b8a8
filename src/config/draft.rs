//! The configuration while it is read: each key as it was written, before keys that belong together are resolved.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::address::ListenAddress;
use super::callers::CallerPlaces;
use super::error::Origin;
use super::fixed::{Fixed, LocalStore, UpstreamKind};
use super::fleet::FleetDraft;
use super::live::Live;
use crate::endpoint::Endpoint;

/// Where TLS is spoken, if the config has a certificate and does not say.
const TLS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// What `upstream.kind` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindName {
    Local,
    Aws,
    Endpoint,
}

/// A key by its section and name.
pub(super) type KeyName = (&'static str, &'static str);

/// Where each key was written that somebody wrote.
pub(super) type Origins = BTreeMap<KeyName, Origin>;

/// The configuration while it is read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What needs a restart; its upstream and store are resolved last.
    pub(super) fixed: Fixed,
    /// What a reload changes.
    pub(super) live: Live,
    /// `server.tls.listen`, if somebody wrote it.
    pub(super) tls_listen: Option<ListenAddress>,
    /// `upstream.kind`, if somebody wrote it.
    pub(super) kind: Option<KindName>,
    /// `upstream.endpoint`.
    pub(super) endpoint: Option<Endpoint>,
    /// `local.data_dir`.
    pub(super) data_dir: Option<PathBuf>,
    /// `local.in_memory`.
    pub(super) in_memory: bool,
    /// The keys of `[fleet]`, which count if anybody wrote the section or one of them.
    pub(super) fleet: FleetDraft,
    /// Where each of the keys and principals of `live.callers` was written.
    pub(super) caller_places: CallerPlaces,
    /// Where each section begins in the file.
    pub(super) sections: BTreeMap<&'static str, Origin>,
    /// Where each key was written.
    pub(super) origins: Origins,
}

impl Draft {
    /// Where a key was written.
    pub(super) fn origin(&self, section: &'static str, name: &'static str) -> Origin {
        self.origins.get(&(section, name)).cloned().unwrap_or_default()
    }

    /// Where `[fleet]` begins, or where the first of its keys was written; `None` if nobody wrote anything of it.
    pub(super) fn fleet_origin(&self) -> Option<Origin> {
        self.section_origin("fleet")
    }

    /// Where `[server.tls]` begins, or where the first of its keys was written; `None` if nobody wrote anything of it.
    pub(super) fn tls_origin(&self) -> Option<Origin> {
        self.section_origin("server.tls")
    }

    fn section_origin(&self, name: &str) -> Option<Origin> {
        let of_key = || self.origins.iter().find(|((section, _), _)| *section == name);
        self.sections.get(name).or_else(|| of_key().map(|(_, origin)| origin)).cloned()
    }

    /// Chooses the upstream and the store from the keys that name them. Between keys that contradict each other, the later layer
    /// decides.
    ///
    /// # Errors
    /// What is wrong, and where, if they stand in one layer.
    pub(super) fn resolve(&mut self) -> Result<(), (Origin, String)> {
        if self.in_memory && !self.is_later(("local", "data_dir"), ("local", "in_memory")) {
            self.fixed.store = LocalStore::Memory;
        } else if let Some(directory) = self.data_dir.take() {
            self.fixed.store = LocalStore::Directory(directory);
        }
        if self.tls_origin().is_some() {
            self.fixed.tls_listen = Some(self.tls_listen.take().unwrap_or_else(|| TLS_LISTEN.into()));
        }
        self.fixed.upstream = self.upstream()?;
        Ok(())
    }

    fn upstream(&self) -> Result<UpstreamKind, (Origin, String)> {
        let (kind, endpoint) = (("upstream", "kind"), ("upstream", "endpoint"));
        let wrong = |message: &str| Err((self.origin(kind.0, kind.1), message.to_owned()));
        let named = |kind| match kind {
            KindName::Aws => UpstreamKind::Aws,
            KindName::Local | KindName::Endpoint => UpstreamKind::Local,
        };
        match (self.kind, &self.endpoint) {
            (None, None) => Ok(UpstreamKind::Local),
            (Some(KindName::Endpoint), None) => {
                wrong("\"endpoint\" needs upstream.endpoint, such as endpoint = \"http://127.0.0.1:8001\"")
            }
            (Some(kind), None) => Ok(named(kind)),
            (None | Some(KindName::Endpoint), Some(there)) => Ok(UpstreamKind::Endpoint(there.clone())),
            (Some(_), Some(there)) if self.is_later(endpoint, kind) => {
                Ok(UpstreamKind::Endpoint(there.clone()))
            }
            (Some(named_kind), Some(_)) if self.is_later(kind, endpoint) => Ok(named(named_kind)),
            (Some(_), Some(_)) => {
                wrong("contradicts upstream.endpoint; write kind = \"endpoint\", or leave the endpoint out")
            }
        }
    }

    /// True if the first key was written in a later layer than the second.
    fn is_later(&self, key: KeyName, than: KeyName) -> bool {
        self.origin(key.0, key.1).layer() > self.origin(than.0, than.1).layer()
    }
}
