//! The configuration: as written in a file, in variables and in flags; resolved into what the program runs with.
//!
//! A flag beats an environment variable, which beats the file, which beats the default. Every key is known here, with its
//! section; an unknown one is an error that names its line and the nearest known key. [`Fixed`] needs a restart to change;
//! [`Live`] may change while requests run, and one request sees one of it.

mod endpoint;
mod units;
mod web;

mod fixed;
mod live;

mod error;
mod file;
mod keys;
mod overrides;
mod printed;

pub use endpoint::{Endpoint, Scheme};
pub use error::ConfigError;
pub use fixed::{Durability, Fixed, LocalStore, LogFormat, RemoteLimits, UpstreamKind};
pub use keys::KEYS;
pub use live::{CachePolicy, Fill, Images, IndexPolicy, Live, ScanPages};
pub use overrides::Overrides;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SAMPLE: &str = include_str!("../../config/nearside.toml");

    #[test]
    fn the_sample_file_is_the_default_and_lists_every_key() {
        assert_eq!(Config::parse(SAMPLE).unwrap(), Config::default());
        for (section, keys) in KEYS {
            let is_there = ["[", "."].iter().any(|before| SAMPLE.contains(&format!("{before}{section}")));
            assert!(is_there, "[{section}] is not in the sample");
            for key in keys.iter().filter(|key| **key != "indexes") {
                assert!(SAMPLE.contains(&format!("{key} =")), "{section}.{key} is not in the sample");
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let text = "[cache]\nitem_ttl = \"never\"\n[tables.Orders]\nnegative_ttl = \"1500ms\"\nfill = \"strong\"\n[local]\nin_memory = true\nshare = false\nttl_sweep = \"0s\"\nstatus_delay = \"2s\"\nstream_shards = 4\nstream_shard_records_max = 10\n[server]\nhosts = [\"a\", \"*.b\"]\ncors_origins = [\"https://a\"]";
        let config = Config::parse(text).unwrap();
        assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
        assert_eq!(Config::parse(&Config::default().to_string()).unwrap(), Config::default());
    }

    #[test]
    fn a_table_inherits_what_it_does_not_say() {
        let config = Config::parse("[tables.Orders]\nitem_ttl = \"1s\"\n[cache]\nfill = \"strong\"").unwrap();
        let policy = config.live.policy("Orders");
        assert_eq!((policy.item_ttl, policy.fill), (TimeToLive::For(Duration::from_secs(1)), Fill::Strong));
        assert_eq!(config.live.policy("Others"), &config.live.cache);
    }

    #[test]
    fn a_remote_upstream_is_printed_as_it_is_read() {
        for upstream in
            ["kind = \"aws\"\nregion = \"cn-north-1\"\nfips = true", "endpoint = \"https://[::1]:8443\""]
        {
            let text = format!("[upstream]\nread_timeout = \"1500ms\"\nconcurrency_max = 7\n{upstream}");
            let config = Config::parse(&text).unwrap();
            assert_ne!(config.fixed.upstream, UpstreamKind::Local);
            assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
        }
    }

    #[test]
    fn a_remote_upstream_has_a_region_and_is_not_the_node_itself() {
        let with = |upstream: &str, aws_region: Option<&str>| {
            let upstream = Some(upstream.to_owned());
            let aws_region = aws_region.map(str::to_owned);
            Config::default().override_with(Overrides { upstream, aws_region, ..Overrides::default() })
        };
        let message = |outcome: Result<Config, ConfigError>| outcome.unwrap_err().message;
        assert!(message(with("aws", None)).contains("AWS_REGION"));
        assert_eq!(with("aws", Some("eu-west-1")).unwrap().fixed.region(), "eu-west-1");
        assert_eq!(with("local", Some("eu-west-1")).unwrap().fixed.region(), "us-east-1");
        assert!(message(with("http://localhost:8000", None)).contains("this node itself"));
        assert!(message(with("dynamodb.local", None)).contains("give local, aws, or http(s)://HOST:PORT"));
        assert!(with("http://127.0.0.1:8001", None).is_ok());
    }

    #[test]
    fn an_index_inherits_from_its_table() {
        let text = "[tables.Orders.indexes.byDate]\nquery_ttl = \"0s\"\n[tables.Orders]\ngsi_quarantine = \"1s\"\nimages = \"never\"\nscan_pages = \"first\"\nfill_items_from_pages = true\n[cache]\nquery_share = \"40%\"";
        let config = Config::parse(text).unwrap();
        let policy = config.live.policy("Orders");
        let seconds = |seconds| TimeToLive::For(Duration::from_secs(seconds));
        let gsi_quarantine = Duration::from_secs(1);
        assert_eq!(policy.index("byDate"), IndexPolicy { query_ttl: seconds(0), gsi_quarantine });
        assert_eq!(policy.index("byName"), IndexPolicy { query_ttl: seconds(300), gsi_quarantine });
        assert_eq!(config.live.query_share.of(1000), 400);
        assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    }

    #[test]
    fn a_flag_beats_the_file() {
        let config = Config::parse("[server]\nlisten = \"127.0.0.1:1\"").unwrap();
        let listen = "127.0.0.1:2".parse().unwrap();
        let overridden =
            config.override_with(Overrides { listen: Some(listen), ..Overrides::default() }).unwrap();
        assert_eq!(overridden.fixed.listen, listen);
    }
}
