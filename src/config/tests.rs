//! The configuration as operators meet it: what is read, what wins, what is printed, and in which words faults are reported.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const SAMPLE: &str = include_str!("../../config/nearside.toml");

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
            if section.is_offered() {
                assert!(line.contains('#'), "the sample says nothing of {line:?}");
            }
        }
    }
}

#[test]
fn every_key_is_set_by_a_variable_of_its_own() {
    let mut names = BTreeSet::new();
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
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
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
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
    let bad_region = message(with("aws", &[("AWS_REGION", "eu central")]));
    assert!(
        bad_region.starts_with("AWS_REGION: \"eu central\" is not a region; write one such as"),
        "{bad_region}"
    );
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
        "line 1: \"listen\" stands outside of its section, [server] or [admin]"
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
        ("[cache]\nindexes = 1", "unknown key \"indexes\""),
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
    for text in [
        "[auth]\nmode = \"sigv4\"",
        "[server.tls]\ncert = \"a\"",
        "[[auth.keys]]\naccess_key_id = \"a\"",
        "[admin]\ntoken_file = \"a\"",
    ] {
        assert!(error(text).contains("not offered by this version yet"), "{text:?}: {}", error(text));
    }
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
