//! The command line and the environment, put over the file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Config;
use super::error::ConfigError;
use super::fixed::{LocalStore, UpstreamKind};

/// What the command line and the environment say over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--admin-listen`
    pub admin_listen: Option<SocketAddr>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--region`
    pub region: Option<String>,
    /// `AWS_REGION`, which every SDK reads: the region of a remote upstream, when nothing above names another.
    pub aws_region: Option<String>,
    /// `--dual-stack`
    pub dual_stack: bool,
    /// `--fips`
    pub fips: bool,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--in-memory`
    pub in_memory: bool,
    /// `--share`
    pub share: Option<bool>,
}

impl Config {
    /// Puts the command line and the environment over the file.
    ///
    /// # Errors
    /// [`ConfigError`] for an upstream that is none, that lacks its region, or that is this node itself.
    pub fn override_with(mut self, overrides: Overrides) -> Result<Self, ConfigError> {
        let fixed = &mut self.fixed;
        if let Some(upstream) = overrides.upstream {
            fixed.upstream = upstream.parse().map_err(ConfigError::without_line)?;
        }
        fixed.remote.dual_stack |= overrides.dual_stack;
        fixed.remote.fips |= overrides.fips;
        fixed.listen = overrides.listen.unwrap_or(fixed.listen);
        fixed.admin_listen = overrides.admin_listen.unwrap_or(fixed.admin_listen);
        fixed.region = overrides.region.or_else(|| fixed.region.take());
        match &fixed.upstream {
            UpstreamKind::Local => {}
            UpstreamKind::Aws => {
                fixed.region = fixed.region.take().or(overrides.aws_region);
                if fixed.region.is_none() {
                    let message =
                        "the upstream \"aws\" needs a region; give --region or AWS_REGION".to_owned();
                    return Err(ConfigError::without_line(message));
                }
            }
            UpstreamKind::Endpoint(endpoint) => {
                fixed.region = fixed.region.take().or(overrides.aws_region);
                if endpoint.is_loopback() && fixed.listen.port() == endpoint.port {
                    let message =
                        format!("the upstream {endpoint} is this node itself; listen on another port");
                    return Err(ConfigError::without_line(message));
                }
            }
        }
        if let Some(directory) = overrides.data_dir {
            fixed.store = LocalStore::Directory(directory);
        }
        if overrides.in_memory {
            fixed.store = LocalStore::Memory;
        }
        fixed.share = overrides.share.unwrap_or(fixed.share);
        Ok(self)
    }
}
