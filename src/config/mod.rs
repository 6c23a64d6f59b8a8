//! The configuration: as written in a file, in variables and in flags; resolved into what the program runs with.
//!
//! A flag beats an environment variable, which beats the file, which beats the default. Every key is defined once, in `table`:
//! how it is read, how it is printed, its flag, and whether a reload can change it. Reading reports everything that is wrong at once,
//! each fault with its place and an example. [`Fixed`] needs a restart to change; [`Live`] may change while requests run, and one
//! request sees one of it.

mod prices;
mod units;
mod web;

mod address;

mod bus_url;
mod secret;
mod tls;

mod callers;
mod dax;
mod fixed;
mod fleet;
mod list_places;
mod live;
mod role;

mod error;
mod value;

mod draft;
mod key;
pub(crate) mod nearest;
mod table;

mod environment;
mod file;
mod rules;

mod printing;
mod resolve;

pub use address::{ListenAddress, ListenHost};
pub use bus_url::BusUrl;
pub use callers::{
    CallerKey, CallerPrincipal, Callers, LoadedCallers, LoadedKey, Principal, Rights, SecretPlace,
    ShortRights, WrittenRights,
};
pub use dax::{AdvertisedAddress, AdvertisedHost, Dax};
pub use environment::UnknownVariable;
pub use error::{ConfigError, Fault, Origin};
pub use file::File;
pub use fixed::{AuthMode, Durability, Fixed, LocalStore, LogFormat, RemoteLimits, UpstreamKind};
pub use fleet::{Ack, CutOff, Fleet, FleetSecrets, WhenStale};
pub use key::{Flag, Key, Repeats, Section};
pub use list_places::ListPlaces;
pub use live::{Audit, CachePolicy, Fill, Images, IndexPolicy, Live, Mode, ScanPages};
pub use prices::{Billing, Price, Prices};
pub use printing::KeyInForce;
pub use resolve::{HOST_NAME, PROFILE_REGION, Resolved, Sources};
pub use role::WrittenRole;
pub use secret::{SecretBytes, read_password, read_private_key, read_secret};
pub use table::SECTIONS;
pub use tls::{CertificateName, TlsFiles};
pub use units::{ByteSize, Share, TimeToLive};
pub use web::{HostPattern, OriginPattern};

/// Everything that can be configured, resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// What a running process keeps.
    pub fixed: Fixed,
    /// What may change while it runs.
    pub live: Live,
}

impl Config {
    /// Reads a config file's text, without variables and flags.
    ///
    /// # Errors
    /// [`ConfigError`] for everything that is wrong, each with its line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = Some(File { name: "", text });
        Resolved::of(&Sources { file, ..Sources::default() }).map(|resolved| resolved.config)
    }
}

#[cfg(test)]
mod tests;
