//! The configuration as operators meet it: what is read, what wins, what is printed, and in which words faults are reported.

mod callers;
mod dax;
mod reference;
mod tls;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const SAMPLE: &str = include_str!("../../../config/nearside.toml");

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn resolve(
    text: &str,
    of_environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Resolved, ConfigError> {
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let variables = variables(of_environment);
    Resolved::of(&Sources { file: Some(File { name: "", text }), variables: &variables, flags: &flags })
}

/// What is wrong with a file.
fn error(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

/// The line of a section of the sample that sets a key, taken out of its comment if it stands in one.
fn sample_line(section: &str, key: &str) -> Option<&'static str> {
    let plain = |line: &'static str| line.trim_start_matches(['#', ' ']);
    let is_header = |line: &str| line.trim_matches(['[', ']', ' ']) == section && line.starts_with('[');
    let below = SAMPLE.lines().skip_while(|line| !is_header(plain(line).split(" #").next().unwrap())).skip(1);
    let mut own = below.map(plain).take_while(|line| !line.starts_with('['));
    own.find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")))
}

#[test]
fn the_sample_file_is_the_default_and_lists_every_key_with_its_effect() {
    assert_eq!(Config::parse(SAMPLE).unwrap(), Config::default());
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
        for key in section.keys {
            let line = sample_line(section.name, key.name);
            let line = line.unwrap_or_else(|| panic!("[{}] {} is not in the sample", section.name, key.name));
            assert!(line.contains('#'), "the sample says nothing of {line:?}");
        }
    }
}

/// The section `[fleet]` of the sample, taken out of its comment.
fn sample_fleet() -> String {
    let lines = SAMPLE.lines().skip_while(|line| !line.starts_with("# [fleet]"));
    let lines = lines.take_while(|line| line.starts_with("# ")).map(|line| format!("{}\n", &line[2..]));
    lines.collect()
}

#[test]
fn the_sample_has_a_fleet_at_its_defaults() {
    let resolve = |text: &str| {
        let variables = [("NEARSIDE_UPSTREAM", "http://127.0.0.1:9"), (HOST_NAME, "here")];
        resolve(text, &variables, &[]).unwrap_or_else(|error| panic!("{error}")).config.fixed.fleet.unwrap()
    };
    let least = "[fleet]\nurl = \"rediss://nearside@bus.example\"\npassword_file = \"/run/secrets/bus\"\nsecret_file = \"/run/secrets/fleet\"";
    assert_eq!(resolve(&sample_fleet()), resolve(least));
    assert!(sample_fleet().lines().count() > 12);
}

/// The sections whose keys have variables.
fn with_variables() -> impl Iterator<Item = &'static Section> {
    SECTIONS.iter().filter(|section| !section.name.is_empty() && section.repeats == Repeats::Once)
}

#[test]
fn every_key_is_set_by_a_variable_of_its_own() {
    let mut names = BTreeSet::new();
    for section in with_variables() {
        for key in section.keys {
            let variable = key.variables(section.name).pop().unwrap();
            assert!(names.insert(variable.clone()), "{variable} sets two keys");
            let Some(default) = key.default_text().filter(|text| text != "[]") else { continue };
            let resolved = resolve("", &[(&variable, &default)], &[]).unwrap();
            assert_eq!(resolved.config, Config::default(), "{variable}={default}");
            let is_there = resolved.to_string().contains(&format!(" # {variable}\n"));
            assert!(is_there, "{variable} is not named where it is in force:\n{resolved}");
            assert!(resolved.unknown_variables.is_empty());
        }
    }
    assert!(names.contains("NEARSIDE_CACHE_MAX_BYTES") && names.contains("NEARSIDE_SERVER_LISTEN"));
}

#[test]
fn commas_separate_the_members_of_a_list_in_a_variable() {
    let config = resolve("", &[("NEARSIDE_SERVER_HOSTS", "a, *.b")], &[]).unwrap().config;
    assert_eq!(config.fixed.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "*.b"]);
}

#[test]
fn a_variable_with_a_wrong_value_is_named() {
    for section in with_variables() {
        for key in section.keys {
            let variable = key.variables(section.name).pop().unwrap();
            let error = resolve("", &[(&variable, "~")], &[]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{variable}: ")), "{error}");
        }
    }
}

#[test]
fn a_flag_beats_a_variable_which_beats_the_file() {
    let file = "[cache]\nmax_bytes = \"1MiB\"\n[server]\nlisten = \"127.0.0.1:1\"";
    let environment = [("NEARSIDE_LISTEN", "127.0.0.1:2"), ("NEARSIDE_MAX_BYTES", "2MiB")];
    let of_file = resolve(file, &[], &[]).unwrap().config;
    let of_variables = resolve(file, &environment, &[]).unwrap().config;
    let of_flags = resolve(file, &environment, &[("listen", "127.0.0.1:3"), ("max-bytes", "3MiB")]).unwrap();
    for (config, number) in [(of_file, 1), (of_variables, 2), (of_flags.config, 3)] {
        assert_eq!(config.fixed.listen.to_string(), format!("127.0.0.1:{number}"));
        assert_eq!(config.live.cache_bytes_max, ByteSize(number << 20));
    }
    // The name of section and key is the exact one; an empty variable counts as none.
    let both = [("NEARSIDE_SERVER_LISTEN", "127.0.0.1:4"), ("NEARSIDE_LISTEN", "127.0.0.1:2")];
    assert_eq!(resolve(file, &both, &[]).unwrap().config.fixed.listen.port(), 4);
    assert_eq!(resolve(file, &[("NEARSIDE_LISTEN", "")], &[]).unwrap().config.fixed.listen.port(), 1);
}

#[test]
fn tables_inherit_what_variables_say_of_the_cache() {
    let resolved = resolve("[tables.Orders]\nfill = \"strong\"", &[("NEARSIDE_CACHE_ITEM_TTL", "1s")], &[]);
    let config = resolved.unwrap().config;
    assert_eq!(config.live.policy("Orders").item_ttl, TimeToLive::For(Duration::from_secs(1)));
}

#[test]
fn a_directory_that_is_named_later_beats_memory() {
    let file = "[local]\nin_memory = true\ndata_dir = \"a\"";
    let store = |environment: &[(&str, &str)], flags: &[(&'static str, &str)]| {
        resolve(file, environment, flags).unwrap().config.fixed.store
    };
    let directory = LocalStore::Directory("b".into());
    assert_eq!(store(&[], &[]), LocalStore::Memory);
    assert_eq!(store(&[("NEARSIDE_DATA_DIR", "b")], &[]), directory);
    assert_eq!(store(&[("NEARSIDE_IN_MEMORY", "yes")], &[("data-dir", "b")]), directory);
    assert_eq!(store(&[("NEARSIDE_DATA_DIR", "b")], &[("in-memory", "true")]), LocalStore::Memory);
    assert_eq!(store(&[], &[("data-dir", "b"), ("in-memory", "true")]), LocalStore::Memory);
}

#[test]
fn an_upstream_that_is_named_later_beats_an_earlier_one() {
    let file = "[upstream]\nendpoint = \"http://127.0.0.1:1\"";
    let upstream = |environment: &[(&str, &str)], flags: &[(&'static str, &str)]| {
        resolve(file, environment, flags).map(|resolved| resolved.config.fixed.upstream)
    };
    assert_eq!(upstream(&[("NEARSIDE_UPSTREAM", "local")], &[]), Ok(UpstreamKind::Local));
    let endpoint = UpstreamKind::Endpoint("http://127.0.0.1:2".parse().unwrap());
    assert_eq!(upstream(&[("NEARSIDE_UPSTREAM", "http://127.0.0.1:2")], &[]), Ok(endpoint.clone()));
    let flags = [("upstream", "http://127.0.0.1:2")];
    assert_eq!(upstream(&[("NEARSIDE_UPSTREAM_KIND", "local")], &flags), Ok(endpoint));
    let both = [("NEARSIDE_UPSTREAM", "local"), ("NEARSIDE_UPSTREAM_ENDPOINT", "http://127.0.0.1:2")];
    let contradiction = upstream(&both, &[]).unwrap_err().to_string();
    assert!(contradiction.starts_with("NEARSIDE_UPSTREAM: contradicts upstream.endpoint"), "{contradiction}");
    let both =
        [("NEARSIDE_UPSTREAM", "http://127.0.0.1:2"), ("NEARSIDE_UPSTREAM_ENDPOINT", "http://127.0.0.1:3")];
    let exact = UpstreamKind::Endpoint("http://127.0.0.1:3".parse().unwrap());
    assert_eq!(upstream(&both, &[]), Ok(exact), "the name of section and key is the exact one");
}

#[test]
fn a_remote_upstream_has_a_region_and_is_not_the_node_itself() {
    let with = |upstream: &str, environment: &[(&str, &str)]| {
        resolve("", environment, &[("upstream", upstream)]).map(|resolved| resolved.config.fixed)
    };
    let message = |outcome: Result<Fixed, ConfigError>| outcome.unwrap_err().to_string();
    assert!(message(with("aws", &[])).contains("AWS_REGION"));
    assert_eq!(with("aws", &[("AWS_REGION", "eu-west-1")]).unwrap().region(), "eu-west-1");
    assert_eq!(with("aws", &[("AWS_DEFAULT_REGION", "eu-west-1")]).unwrap().region(), "eu-west-1");
    assert_eq!(with("local", &[("AWS_REGION", "eu-west-1")]).unwrap().region(), "us-east-1");
    assert!(message(with("http://localhost:8000", &[])).contains("this node itself"));
    assert!(message(with("dynamodb.local", &[])).contains("write local, aws, or http(s)://HOST:PORT"));
    assert!(with("http://127.0.0.1:8001", &[]).is_ok());
    for bad in
        ["eu central", "REPLACE-WITH-YOUR-REGION", "eu-central", "central-1", "eu-Central-1", "eu--central-1"]
    {
        let message = message(with("aws", &[("AWS_REGION", bad)]));
        let expected = format!("AWS_REGION: {bad:?} is not a region; write one such as");
        assert!(message.starts_with(&expected), "{message}");
    }
    for good in ["us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-10"] {
        assert_eq!(with("aws", &[("AWS_REGION", good)]).unwrap().region(), good);
    }
    // An emulator may have names of its own.
    assert_eq!(with("http://127.0.0.1:8001", &[("AWS_REGION", "localhost")]).unwrap().region(), "localhost");
}

#[test]
fn flags_of_the_local_backend_are_reported_with_a_remote_upstream() {
    let remote = ("upstream", "http://127.0.0.1:9");
    let warnings = |flags: &[(&'static str, &str)]| {
        // The image sets this variable, and a file may have every key.
        resolve("[local]\nin_memory = false", &[("NEARSIDE_DATA_DIR", "/data")], flags).unwrap().warnings()
    };
    assert!(warnings(&[remote]).is_empty());
    assert!(warnings(&[("in-memory", "true")]).is_empty());
    assert_eq!(
        warnings(&[remote, ("in-memory", "true")]),
        ["--in-memory has no effect with a remote upstream"]
    );
    assert_eq!(
        warnings(&[remote, ("share", "false"), ("data-dir", "x")]),
        ["--data-dir and --share have no effect with a remote upstream"]
    );
}

#[test]
fn unknown_variables_are_named_with_the_nearest_known_one() {
    let unknown = |name: &str| resolve("", &[(name, "1")], &[]).unwrap().unknown_variables;
    let [typo] = &unknown("NEARSIDE_CACHE_MAX_BYTE")[..] else { panic!("one is unknown") };
    assert_eq!(
        typo.to_string(),
        "unknown variable NEARSIDE_CACHE_MAX_BYTE; the nearest known one is NEARSIDE_CACHE_MAX_BYTES"
    );
    assert_eq!(unknown("NEARSIDE_UPSTEAM")[0].nearest.as_deref(), Some("NEARSIDE_UPSTREAM"));
    assert_eq!(unknown("NEARSIDE_URL")[0].nearest, None);
    let of_table = unknown("NEARSIDE_TABLES_ORDERS_ITEM_TTL")[0].to_string();
    assert!(of_table.contains("keys of a single table have no variables"), "{of_table}");
    // Kubernetes puts these into containers beside services called nearside and nearside-admin.
    for name in [
        "NEARSIDE_SERVICE_HOST",
        "NEARSIDE_SERVICE_PORT",
        "NEARSIDE_SERVICE_PORT_DYNAMODB",
        "NEARSIDE_PORT",
        "NEARSIDE_PORT_8000_TCP",
        "NEARSIDE_PORT_8000_TCP_ADDR",
        "NEARSIDE_ADMIN_PORT_8100_TCP_PROTO",
        "NEARSIDE_CONFIG",
        "NEARSIDE_I_ACCEPT_UNAUTHENTICATED",
        "OTHER_LISTEN",
    ] {
        assert_eq!(unknown(name), [], "{name}");
    }
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_with_its_place() {
    let file = "[server]\nlisten = 8000\nmax_conections = 5\nidle_timeout = 5m\n[cahce]\nitem_ttl = \"1s\"\n\
                [tables.Orders]\nitem_ttl = 5\nmax_bytes = \"1MiB\"\n[log]\nlevel = \"loud\"";
    let environment = [("NEARSIDE_CACHE_MAX_BYTES", "lots"), ("NEARSIDE_SERVER_BODIES_BYTES_MAX", "1MiB")];
    let error = resolve(file, &environment, &[("data-dir", "~/data")]).unwrap_err();
    let places: Vec<String> = error.faults().iter().map(|fault| fault.origin.to_string()).collect();
    let of_file = [2, 3, 4, 5, 8, 9, 11].map(|line| format!("line {line}"));
    let others =
        ["NEARSIDE_CACHE_MAX_BYTES", "NEARSIDE_SERVER_BODIES_BYTES_MAX", "--data-dir"].map(str::to_owned);
    assert_eq!(places, [&of_file[..], &others[..]].concat(), "{error}");
    assert_eq!(error.to_string().lines().count(), places.len());
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
    assert_eq!(
        error("[cache]\nmax_bytes = \"1MiB\"\nitem_tll = \"5m\""),
        "line 3: unknown key \"item_tll\"; the nearest known one is \"item_ttl\""
    );
    assert_eq!(error("[cach]"), "line 1: unknown section \"cach\"; the nearest known one is \"cache\"");
    assert_eq!(
        error("[tables.Orders]\n\nmax_bytes = \"1MiB\""),
        "line 3: [tables.Orders] has no key \"max_bytes\"; it is one of [cache]"
    );
    let far = error("[log]\ncolour = true");
    assert!(far.starts_with("line 2: unknown key \"colour\"; known are level, "), "{far}");
    assert_eq!(
        error("listen = \"127.0.0.1:1\""),
        "line 1: \"listen\" stands outside of its section, [server] or [server.tls] or [dax] or [admin]"
    );
}

#[test]
fn a_wrong_value_names_its_line_and_key_and_what_to_write() {
    for (text, expected) in [
        (
            "[server]\nlisten = 8000",
            "line 2: server.listen: \"8000\" is not an address to listen on; write HOST:PORT, such as",
        ),
        ("[server]\nlisten = \"localhost\"", "such as \"127.0.0.1:8000\""),
        (
            "[server]\nhosts = \"a\"",
            "server.hosts: \"a\" is not a list of texts; write [\"host.docker.internal\"]",
        ),
        ("[server]\nhosts = [\"a\",\n5]", "server.hosts: [\"a\", is not a list of texts"),
        ("[server]\nhosts = [\"a:1\"]", "server.hosts: \"a:1\" is not a host"),
        ("[server]\ncors_origins = [\"a\"]", "server.cors_origins: \"a\" is not an origin"),
        ("[server]\nmax_connections = 0", "max_connections: 0 is not a whole number above zero"),
        (
            "[server]\nmax_connections = \"5\"",
            "\"5\" is not a whole number above zero; write one without quotes",
        ),
        ("[cache]\nitem_ttl = \"5\"", "cache.item_ttl: \"5\" is not a duration"),
        (
            "[cache]\nitem_ttl = 300",
            "\"300\" is not a duration; write a whole number and a unit (ms, s, m, h, d)",
        ),
        ("[cache]\nmax_bytes = \"256Mi\"", "(B, KB, KiB, MB, MiB, GB, GiB), such as \"256MiB\""),
        ("[cache]\nmax_bytes = 268435456", "\"268435456\" is not a size"),
        (
            "[cache]\nfill = \"fast\"",
            "\"fast\" is not a choice; write one of \"adaptive\", \"strong\", \"eventual\"",
        ),
        ("[cache]\nquery_share = \"100%\"", "\"100%\" is not a share"),
        ("[cache]\nscan_pages = \"third\"", "cache.scan_pages: \"third\" is not a choice"),
        ("[tables.a.indexes]\nb = 1", "tables.a.indexes.b is a section; write [tables.a.indexes.b]"),
        ("[tables.a.indexes.b]\nitem_ttl = \"1s\"", "[tables.a.indexes.b] has no key \"item_ttl\""),
        ("[tables.a.indexes.b]\nquery_ttl = \"1\"", "tables.a.indexes.b.query_ttl: \"1\" is not a duration"),
        ("[cache]\nindexes = 1", "[cache] has no key \"indexes\"; it is one of [auth.keys]"),
        ("[cache]\nindizes = 1", "unknown key \"indizes\""),
        ("[local]\nin_memory = \"yes\"", "\"yes\" is not a truth value; write true or false without quotes"),
        ("[local]\nstream_shards = 17", "17 is not a whole number from 1 to 16"),
        ("[local]\ndata_dir = \"~/data\"", "\"~/data\" is not expanded as a shell would do it"),
        ("[local]\ndata_dir = \"$HOME/data\"", "is not expanded as a shell would do it"),
        ("[local]\ndata_dir = \"\"", "\"\" is empty"),
        ("cache = 5", "line 1: cache is a section"),
        ("[cache", "line 1: unclosed table, expected `]`: [cache"),
        (
            "[cache]\nitem_ttl = 5m",
            "line 2: string values must be quoted, expected literal string: item_ttl = 5m",
        ),
        ("[cache]\nmax_bytes = \"1B\"", "\"1B\" is too small; write at least \"1MiB\""),
        ("[server]\nidle_timeout = \"0s\"", "\"0s\" is too short; write at least \"1s\""),
        ("[log]\nlevel = \"infoo\"", "log.level: \"infoo\" is not a choice"),
        ("[upstream]\nkind = \"remote\"", "upstream.kind: \"remote\" is not a choice"),
        ("[upstream]\nkind = \"endpoint\"", "line 2: upstream.kind: \"endpoint\" needs upstream.endpoint"),
        ("[upstream]\nendpoint = \"here\"", "upstream.endpoint: \"here\" is not an endpoint"),
        ("[upstream]\nendpoint = \"http://a\"\nkind = \"aws\"", "line 3: upstream.kind: contradicts"),
        ("[upstream]\nread_timeout = \"0s\"", "\"0s\" is too short; write at least \"1ms\""),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn bodies_in_memory_hold_two_of_the_largest_request() {
    assert_eq!(
        error("[server]\nrequest_bytes_max = \"25MiB\"\nbodies_bytes_max = \"49MiB\""),
        "line 3: bodies_bytes_max = \"49MiB\" must be at least twice request_bytes_max = \"25MiB\"; write at least \"50MiB\""
    );
    assert!(error("[server]\nrequest_bytes_max = \"1GiB\"").starts_with("line 2: bodies_bytes_max"));
    assert!(Config::parse("[server]\nrequest_bytes_max = \"25MiB\"\nbodies_bytes_max = \"50MiB\"").is_ok());
}

#[test]
fn an_address_off_loopback_needs_a_word_of_consent() {
    let consent = [("NEARSIDE_I_ACCEPT_UNAUTHENTICATED", "true")];
    for flag in ["listen", "admin-listen"] {
        for address in ["0.0.0.0:8001", "[::]:8001", "192.168.1.1:8001", ":8001", "myhost:8001"] {
            let error = resolve("", &[], &[(flag, address)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--{flag}: {address} is off loopback")), "{error}");
            assert!(resolve("", &consent, &[(flag, address)]).is_ok());
        }
        for address in ["[::ffff:127.0.0.1]:8001", "localhost:8001"] {
            assert!(resolve("", &[], &[(flag, address)]).is_ok());
        }
    }
}

#[test]
fn the_listeners_have_ports_of_their_own() {
    let error = resolve("[server]\nlisten = \"localhost:8100\"", &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("line 2: server.listen = \"localhost:8100\" and admin.listen"), "{error}");
    let flags = [("admin-listen", "127.0.0.1:8000")];
    assert!(resolve("", &[], &flags).unwrap_err().to_string().starts_with("--admin-listen: "));
    assert!(resolve("", &[], &[("listen", "127.0.0.1:0"), ("admin-listen", "127.0.0.1:0")]).is_ok());
}

#[test]
fn what_this_version_lacks_is_reported_and_not_ignored() {
    let error = error("[fleet]\nfence = true");
    assert!(error.contains("fleet.fence: is not offered by this version yet"), "{error}");
}

#[test]
fn what_is_printed_reads_back_the_same() {
    for text in [
        "",
        "[cache]\nitem_ttl = \"never\"\nquery_share = \"40%\"\n[tables.\"a \\\"b\"]\nnegative_ttl = \"1500ms\"\nfill = \"strong\"",
        "[local]\nin_memory = true\nshare = false\nttl_sweep = \"0s\"\nstatus_delay = \"2s\"\nstream_shards = 4\nstream_shard_records_max = 10",
        "[local]\ndata_dir = \"a\\u0007\\\"b\"\ndurability = \"process\"\n[log]\nformat = \"json\"\nlevel = \"off\"",
        "[server]\nhosts = [\"a\", \"*.b\"]\ncors_origins = [\"https://a\"]",
        "[upstream]\nkind = \"aws\"\nregion = \"cn-north-1\"\nfips = true",
        "[upstream]\nread_timeout = \"1500ms\"\nconcurrency_max = 7\nendpoint = \"https://[::1]:8443\"",
        "[tables.Orders.indexes.byDate]\nquery_ttl = \"0s\"\n[tables.Orders]\ngsi_quarantine = \"1s\"",
        &with_fleet("ack = \"all\"\nlease = \"200ms\"\npassword_file = \"p\"\nname = \"prod\""),
        &with_fleet(
            "cut_off = \"accept\"\nwhen_stale = \"bypass\"\nreplay = 1000000\nshards = 1\nclock_step = \"0s\"",
        ),
    ] {
        let config = Config::parse(text).unwrap();
        assert_eq!(Config::parse(&config.to_string()).unwrap(), config, "{text}");
        let with_places = resolve(text, &[("NEARSIDE_CACHE_IMAGES", "never")], &[]).unwrap();
        assert_eq!(Config::parse(&with_places.to_string()).unwrap(), with_places.config, "{with_places}");
    }
}

#[test]
fn keys_that_need_a_restart_are_named_when_they_differ() {
    let before = Config::parse("[server]\nlisten = \"127.0.0.1:1\"\n[cache]\nitem_ttl = \"1s\"").unwrap();
    let after =
        Config::parse("[local]\nin_memory = true\n[log]\nlevel = \"warn\"\nformat = \"json\"").unwrap();
    let named = before.needing_restart(&after);
    assert_eq!(named, ["server.listen", "local.data_dir", "local.in_memory", "log.format"]);
    let [one, other] =
        ["1s", "2s"].map(|lease| Config::parse(&with_fleet(&format!("lease = \"{lease}\""))).unwrap());
    assert_eq!(one.needing_restart(&other), ["fleet.lease"]);
    assert_eq!(before.needing_restart(&before), <[String; 0]>::default());
}

#[test]
fn a_table_inherits_what_it_does_not_say() {
    let config = Config::parse("[tables.Orders]\nitem_ttl = \"1s\"\n[cache]\nfill = \"strong\"").unwrap();
    let policy = config.live.policy("Orders");
    assert_eq!((policy.item_ttl, policy.fill), (TimeToLive::For(Duration::from_secs(1)), Fill::Strong));
    assert_eq!(config.live.policy("Others"), &config.live.cache);
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
}

/// A config with a fleet, and whatever else `[fleet]` says.
fn with_fleet(more: &str) -> String {
    format!(
        "[upstream]\nendpoint = \"http://127.0.0.1:9\"\n[fleet]\nurl = \"redis://localhost\"\nsecret_file = \"s\"\nnode = \"a\"\n{more}"
    )
}

#[test]
fn without_its_section_there_is_no_fleet() {
    assert_eq!(Config::default().fixed.fleet, None);
    assert!(!Config::default().to_string().contains("fleet"));
    // An empty section is an intention, and so is a variable.
    let intended =
        [("[upstream]\nkind = \"local\"\n[fleet]", None), ("", Some(("NEARSIDE_FLEET_LEASE", "2s")))];
    for (text, variable) in intended {
        let variables: Vec<_> = variable.into_iter().chain([(HOST_NAME, "here")]).collect();
        let error = resolve(text, &variables, &[]).unwrap_err();
        let place = variable.map_or("line 3", |(name, _)| name);
        let said = error.to_string();
        for word in ["fleet.url is missing", "fleet.secret_file is missing", "shares one upstream"] {
            assert!(said.contains(&format!("{place}: ")) && said.contains(word), "{said}");
        }
        assert_eq!(error.faults().len(), 3, "{said}");
    }
}

#[test]
fn a_fleet_is_set_by_variables_alone() {
    let variables = [
        ("NEARSIDE_UPSTREAM", "http://127.0.0.1:9"),
        ("NEARSIDE_FLEET_URL", "rediss://bus"),
        ("NEARSIDE_FLEET_SECRET_FILE", "s"),
        ("NEARSIDE_FLEET_NODE", "$ZONE-1"),
        ("NEARSIDE_FLEET_ACK", "all"),
        ("NEARSIDE_FLEET_REPLAY", "100"),
        ("ZONE", "b"),
    ];
    let resolved = resolve("", &variables, &[]).unwrap();
    let fleet = resolved.config.fixed.fleet.as_ref().unwrap();
    assert_eq!((fleet.node.as_str(), fleet.replay, fleet.ack), ("b-1", 100, Ack::All));
    assert_eq!(
        (fleet.when_stale, fleet.cut_off),
        (WhenStale::Bypass, CutOff::Refuse),
        "they follow from ack"
    );
    let printed = resolved.to_string();
    assert!(printed.contains("node = \"b-1\" # NEARSIDE_FLEET_NODE\n"), "{printed}");
    assert!(printed.contains("cut_off = \"refuse\"\n"), "{printed}");
}

#[test]
fn a_node_has_the_name_of_its_host_unless_it_is_named() {
    let text = with_fleet("").replace("node = \"a\"\n", "");
    let of = |text: &str, variables: &[(&str, &str)]| resolve(text, variables, &[]);
    let resolved = of(&text, &[(HOST_NAME, "web-1.internal")]).unwrap();
    assert!(
        resolved.to_string().contains("node = \"web-1.internal\" # the name of the host\n"),
        "{resolved}"
    );
    let by_shell = with_fleet("").replace("\"a\"", "\"${HOSTNAME}-2\"");
    for (name, value) in [(HOST_NAME, "web"), ("HOSTNAME", "web")] {
        assert_eq!(of(&by_shell, &[(name, value)]).unwrap().config.fixed.fleet.unwrap().node, "web-2");
    }
    let unnamed = of(&text, &[]).unwrap_err().to_string();
    assert_eq!(unnamed, "line 3: fleet.node: this host has no name; name the node with node = \"…\"");
    let unset = of(&with_fleet("").replace("\"a\"", "\"$POD\""), &[]).unwrap_err().to_string();
    assert_eq!(unset, "line 6: fleet.node: \"$POD\" names the variable POD, which is not set");
}

#[test]
fn what_contradicts_itself_in_a_fleet_is_one_clear_line() {
    for (more, expected) in [
        ("ack = \"all\"\nwhen_stale = \"young\"", "line 8: when_stale = \"young\" contradicts ack = \"all\""),
        ("cut_off = \"degrade\"\nack = \"all\"", "line 8: cut_off = \"degrade\" contradicts ack = \"all\""),
        ("ack = \"all\"\ncut_off = \"accept\"", "write cut_off = \"refuse\", or leave it out"),
        ("lease = \"199ms\"", "line 7: fleet.lease: \"199ms\" is not from \"200ms\" to \"10s\""),
        ("lease = \"11s\"", "\"11s\" is not from \"200ms\" to \"10s\""),
        (
            "lease = \"5s\"\ncut_off = \"refuse\"",
            "line 7: ack_timeout = \"5s\" of [fleet] must be longer than lease = \"5s\"",
        ),
        (
            "lease = \"4s\"",
            "must be longer than twice lease and clock_step together, and a little more: \"8900ms\"",
        ),
        ("clock_step = \"1h\"", "line 7: ack_timeout = \"5s\" of [fleet] must be longer than twice lease"),
        (
            "silence_grace = \"900ms\"",
            "line 7: silence_grace = \"900ms\" of [fleet] must be at least lease = \"1s\"",
        ),
        ("replay = 99", "fleet.replay: 99 is not a whole number from 100 to 1000000"),
        ("replay = 1000001", "1000001 is not a whole number from 100 to 1000000"),
        ("shards = 2", "fleet.shards: 2 is not offered by this version yet; write 1"),
        ("fence = true", "fleet.fence: is not offered by this version yet; leave it out"),
        ("name = \"a b\"", "fleet.name: \"a b\" is not a name"),
        ("ack = \"none\"", "\"none\" is not a choice; write one of \"receipt\", \"all\""),
    ] {
        let error = error(&with_fleet(more));
        assert!(error.contains(expected), "{more:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let with_url = |url: &str| error(&with_fleet("").replace("redis://localhost", url));
    assert_eq!(
        with_url("redis://bus"),
        "line 4: redis://bus:6379 is off loopback and not encrypted; write rediss://"
    );
    assert_eq!(
        with_url("redis://user@localhost"),
        "line 4: fleet.url names the user \"user\", who needs a password; write password_file, or leave the user out"
    );
    let with_password = with_url("rediss://user:hunter2@bus");
    assert!(
        with_password.starts_with("line 4: fleet.url: has a password; write it into a file"),
        "{with_password}"
    );
    assert!(!with_password.contains("hunter2"));
    let of_local = error(&with_fleet("").replace("endpoint = \"http://127.0.0.1:9\"", "kind = \"local\""));
    assert!(of_local.starts_with("line 3: a fleet shares one upstream"), "{of_local}");
    let strict = "ack = \"all\"\nwhen_stale = \"bypass\"\ncut_off = \"refuse\"\nlease = \"10s\"\nack_timeout = \"11s\"";
    assert!(Config::parse(&with_fleet(strict)).is_ok());
}

#[test]
fn eventual_fills_in_a_strict_fleet_are_a_warning() {
    let warnings = |text: &str| resolve(text, &[], &[]).unwrap().warnings();
    let eventual = "[cache]\nfill = \"eventual\"\n[tables.Orders]\nitem_ttl = \"1s\"";
    let [warning] = &warnings(&with_fleet(&format!("ack = \"all\"\n{eventual}")))[..] else { panic!("one") };
    assert!(
        warning.starts_with("fill = \"eventual\" in [cache], [tables.Orders] weakens ack = \"all\""),
        "{warning}"
    );
    assert!(warnings(&with_fleet(eventual)).is_empty());
    assert!(warnings(&with_fleet("ack = \"all\"")).is_empty());
}
