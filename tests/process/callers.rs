//! Verified callers: what each may hear at a real listener, and keys that change while requests run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use tempfile::TempDir;

use crate::client::{Nearside, PATIENCE, assert_faulty, run};

pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const OTHER_SECRET: &str = "AnotherSecretOfTheSameKeyAsLongAsItShouldBe";
const CREATE: &str = r#"{"TableName":"Kept","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
pub(crate) const EVERYTHING: &str = "tables = [\"*\"]\nactions = [\"dynamodb:*\"]";

/// Who signs a request, and when.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) access_key: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) token: Option<&'static str>,
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    pub(crate) time: SystemTime,
}

impl Signer {
    pub(crate) fn new(access_key: &'static str, secret: &'static str) -> Self {
        let (region, service) = ("us-east-1", "dynamodb");
        Self { access_key, secret, token: None, region, service, time: SystemTime::now() }
    }

    /// The bytes of a request, signed by the reference implementation.
    pub(crate) fn request(&self, operation: &str, body: &str) -> Vec<u8> {
        let token = self.token.map(str::to_owned);
        let identity = Credentials::new(self.access_key, self.secret, token, None, "test").into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("host", "localhost"),
            ("x-amz-target", &target),
            ("content-type", "application/x-amz-json-1.0"),
        ];
        let signable = SignableRequest::new(
            "POST",
            "http://localhost/",
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let (added, _) = sign(signable.unwrap(), &parameters).unwrap().into_parts();
        let lines = headers.into_iter().chain(added.headers());
        let lines: String = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("POST / HTTP/1.1\r\n{lines}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    pub(crate) fn ask(&self, nearside: &Nearside, operation: &str, body: &str) -> (u16, String) {
        nearside.connect().send(&self.request(operation, body)).expect("nearside answers")
    }
}

/// A directory with a config and secrets.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in the place of another at once.
    pub(crate) fn put(&self, name: &str, content: &str) -> PathBuf {
        let next = self.path("next");
        std::fs::write(&next, content).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&next, self.path(name)).unwrap();
        self.path(name)
    }

    pub(crate) fn config(&self, keys: &str) -> PathBuf {
        self.put("nearside.toml", &format!("[auth]\nmode = \"sigv4\"\n{keys}"))
    }
}

pub(crate) fn key(access_key_id: &str, secret_file: &Path, more: &str) -> String {
    format!("[[auth.keys]]\naccess_key_id = \"{access_key_id}\"\nsecret_file = {secret_file:?}\n{more}\n")
}

pub(crate) fn start(config: &Path) -> Nearside {
    Nearside::start(&["--in-memory", "--config", config.to_str().unwrap()])
}

pub(crate) fn reloads(nearside: &Nearside, outcome: &str) -> u64 {
    nearside.metric(&format!("nearside_config_reloads_total{{outcome=\"{outcome}\"}}"))
}

/// Waits for one more reload than there were.
pub(crate) fn wait_for_reload(nearside: &Nearside, outcome: &str, before: u64) {
    let begun = Instant::now();
    while reloads(nearside, outcome) <= before {
        assert!(begun.elapsed() < PATIENCE, "no reload is {outcome}");
        std::thread::yield_now();
    }
}

/// A node with keys of every kind, and a caller with rights to everything that has made a table.
fn start_with_every_kind(files: &Files) -> (Nearside, Signer) {
    let secret = files.put("secret", SECRET);
    let token = format!("session_token = \"TOKEN\"\n{EVERYTHING}");
    let keys = [
        key("AKIDALL", &secret, EVERYTHING),
        key("AKIDTOKEN", &secret, &token),
        key("AKIDOLD", &secret, &format!("not_after = 2020-01-01T00:00:00Z\n{token}")),
        key("AKIDNOTHING", &secret, ""),
    ];
    let nearside = start(&files.config(&keys.concat()));
    let caller = Signer::new("AKIDALL", SECRET);
    assert_eq!(caller.ask(&nearside, "CreateTable", CREATE).0, 200);
    (nearside, caller)
}

#[test]
fn each_fault_of_a_signature_has_the_services_error() {
    let files = Files::new();
    let (nearside, caller) = start_with_every_kind(&files);
    let with_token = Signer { access_key: "AKIDTOKEN", token: Some("TOKEN"), ..caller.clone() };
    let (past, future) = (caller.time - Duration::from_secs(1000), caller.time + Duration::from_secs(1000));
    for (signer, error, words) in [
        (
            Signer { secret: "other", ..caller.clone() },
            "InvalidSignature",
            "The request signature we calculated does not match",
        ),
        (
            Signer { access_key: "NONE", ..caller.clone() },
            "UnrecognizedClient",
            "The security token included in the request is invalid.",
        ),
        (Signer { token: Some("TOKEN"), ..caller.clone() }, "UnrecognizedClient", "is invalid."),
        (Signer { token: Some("TOKEM"), ..with_token.clone() }, "UnrecognizedClient", "is invalid."),
        (Signer { token: None, ..with_token.clone() }, "UnrecognizedClient", "is invalid."),
        (
            Signer { access_key: "AKIDOLD", ..with_token.clone() },
            "ExpiredToken",
            "included in the request is expired",
        ),
        (Signer { time: past, ..caller.clone() }, "InvalidSignature", "Signature expired: "),
        (Signer { time: future, ..caller.clone() }, "InvalidSignature", "Signature not yet current: "),
        (
            Signer { region: "eu-west-1", ..caller.clone() },
            "InvalidSignature",
            "scoped to a valid region, not 'eu-west-1'. ",
        ),
        (
            Signer { service: "s3", ..caller.clone() },
            "InvalidSignature",
            "scoped to correct service: 'dynamodb'. ",
        ),
        (
            Signer { access_key: "AKIDNOTHING", ..caller.clone() },
            "AccessDenied",
            "user/AKIDNOTHING is not authorized to perform: dynamodb:ListTables on resource: * because no identity-based policy allows",
        ),
    ] {
        let (status, body) = signer.ask(&nearside, "ListTables", "{}");
        assert!(body.contains(&format!("#{error}Exception\"")) && body.contains(words), "{words}: {body}");
        assert_eq!(status, 400, "{body}");
    }
    for (reason, count) in [
        ("signature", 1),
        ("unknown_key", 1),
        ("token", 3),
        ("expired_key", 1),
        ("clock", 2),
        ("scope", 2),
        ("rights", 1),
    ] {
        let name = format!("nearside_auth_denied_total{{reason=\"{reason}\"}}");
        assert_eq!(nearside.metric(&name), count, "{reason}");
    }
}

#[test]
fn a_request_is_served_as_it_was_signed_or_not_at_all() {
    let files = Files::new();
    let (nearside, caller) = start_with_every_kind(&files);
    let with_token = Signer { access_key: "AKIDTOKEN", token: Some("TOKEN"), ..caller.clone() };
    let (status, tables) = with_token.ask(&nearside, "ListTables", "{}");
    assert_eq!((status, tables.contains("Kept")), (200, true), "{tables}");
    let value = "x".repeat(300_000);
    let large = format!(r#"{{"TableName":"Kept","Item":{{"id":{{"S":"a"}},"b":{{"S":"{value}"}}}}}}"#);
    assert_eq!(caller.ask(&nearside, "PutItem", &large).0, 200);
    let text = String::from_utf8(caller.request("ListTables", "{}")).unwrap();
    let send = |text: String| nearside.connect().send(text.as_bytes()).expect("nearside answers").1;
    let unsigned: String =
        text.split_inclusive("\r\n").filter(|line| !line.starts_with("authorization")).collect();
    assert!(send(unsigned).contains("#MissingAuthenticationTokenException\""));
    assert!(send(text.replace(" SignedHeaders=", " Signed=")).contains("#IncompleteSignatureException\""));
    assert!(send(text.replace("ListTables", "DescribeLimits")).contains("#InvalidSignatureException\""));
    assert!(
        send(text.replace("host: localhost", "host: 127.0.0.1")).contains("#InvalidSignatureException\"")
    );
    assert!(send(text).contains("Kept"));
    // Whoever sends no signature may ask whether the listener is there.
    let health = nearside.connect().send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(health.1.starts_with("healthy: "), "{health:?}");
}

#[test]
fn a_swapped_secret_counts_at_once_and_a_broken_one_leaves_the_old_in_force() {
    let files = Files::new();
    for (version, secret) in [("1", SECRET), ("2", OTHER_SECRET)] {
        std::fs::create_dir(files.path(version)).unwrap();
        std::fs::write(files.path(version).join("shop"), secret).unwrap();
    }
    std::os::unix::fs::symlink("1", files.path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/shop", files.path("shop")).unwrap();
    let config = files.config(&key("AKIDSHOP", &files.path("shop"), EVERYTHING));
    let mut nearside = start(&config);
    let says = |nearside: &Nearside, secret: &'static str| {
        let (_, body) = Signer::new("AKIDSHOP", secret).ask(nearside, "ListTables", "{}");
        body
    };
    assert!(says(&nearside, SECRET).contains("TableNames"));
    let before = reloads(&nearside, "applied");
    std::os::unix::fs::symlink("2", files.path("..next")).unwrap();
    std::fs::rename(files.path("..next"), files.path("..data")).unwrap();
    wait_for_reload(&nearside, "applied", before);
    assert!(says(&nearside, OTHER_SECRET).contains("TableNames"));
    assert!(says(&nearside, SECRET).contains("#InvalidSignatureException\""));
    // A secret that is empty is a fault, and nothing changes.
    let before = reloads(&nearside, "refused");
    std::fs::write(files.path("2").join("shop"), "").unwrap();
    wait_for_reload(&nearside, "refused", before);
    assert!(says(&nearside, OTHER_SECRET).contains("TableNames"));
    // So is a new key whose secret is missing, until its file comes.
    std::fs::write(files.path("2").join("shop"), OTHER_SECRET).unwrap();
    let late = files.path("late");
    let before = reloads(&nearside, "refused");
    files.config(
        &[key("AKIDSHOP", &files.path("shop"), EVERYTHING), key("AKIDLATE", &late, EVERYTHING)].concat(),
    );
    wait_for_reload(&nearside, "refused", before);
    let of_late = |nearside: &Nearside| Signer::new("AKIDLATE", SECRET).ask(nearside, "ListTables", "{}").1;
    assert!(of_late(&nearside).contains("#UnrecognizedClientException\""));
    let before = reloads(&nearside, "applied");
    files.put("late", SECRET);
    wait_for_reload(&nearside, "applied", before);
    assert!(of_late(&nearside).contains("TableNames"));
    // A key that is withdrawn is unknown.
    let before = reloads(&nearside, "applied");
    files.config(&key("AKIDLATE", &late, EVERYTHING));
    nearside.signal("-HUP");
    wait_for_reload(&nearside, "applied", before);
    assert!(says(&nearside, OTHER_SECRET).contains("#UnrecognizedClientException\""));
    // Without the mode, which needs a restart, the keys in force stay.
    let before = reloads(&nearside, "applied");
    files.put("nearside.toml", "");
    nearside.signal("-HUP");
    wait_for_reload(&nearside, "applied", before);
    assert!(of_late(&nearside).contains("TableNames"));
    nearside.terminate();
    let log = nearside.log();
    let empty = log
        .lines()
        .filter(|line| line.contains("/shop is empty; write the secret access key of \"AKIDSHOP\""));
    assert!(empty.count() >= 1 && log.contains("auth.keys.secret_file: cannot read"), "{log}");
    assert!(log.contains("These keys change with a restart: auth.mode"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(OTHER_SECRET), "{log}");
}

#[test]
fn a_key_with_a_fault_is_one_clear_line_at_the_start_and_in_the_check() {
    let files = Files::new();
    let config = files.config(&key("AKIDSHOP", &files.path("none"), ""));
    let words = "nearside.toml:3: auth.keys.secret_file: cannot read";
    assert_faulty(&config, words);
}

#[test]
fn rights_that_cannot_be_used_are_one_clear_line_at_the_start_and_in_the_check() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let policy = files.put(
        "shop.json",
        "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\",\n\"Action\": \"dynamodb:GetItm\", \"Resource\": \"*\"}]}",
    );
    let of_file = format!("[[auth.principals]]\nname = \"shop\"\npolicy_file = {policy:?}\n");
    let with = |rights: &str| key("AKIDSHOP", &secret, &format!("principal = \"shop\"\n{rights}"));
    for (rights, words) in [
        (of_file.as_str(), "shop.json: line 2, column 11, Statement[0].Action: unknown action"),
        (
            "tables = [\"Orders\"]\nactions = [\"GetItems\"]",
            "nearside.toml:8: auth.keys.actions: unknown action \"dynamodb:GetItems\"; the nearest",
        ),
        (
            "tables = [\"a/b\"]\nactions = [\"read-only\"]",
            "nearside.toml:7: auth.keys.tables: \"a/b\" is no name",
        ),
        (
            "tables = [\"a\"]\nactions = [\"read-only\"]\nleading_keys = []",
            "leading_keys = [] allows nothing",
        ),
    ] {
        let config = files.config(&with(rights));
        assert_faulty(&config, words);
    }
}

#[test]
fn rights_that_can_match_nothing_are_warnings_of_the_check() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let policy = files.put(
        "shop.json",
        "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Deny\",\n\"Action\": \"dynamodb:*\", \
         \"Resource\": \"arn:aws:dynamodb:us-east-1:123456789012:Orders\"}]}",
    );
    let keys = [
        key("AKIDSHOP", &secret, "principal = \"shop\""),
        key("AKIDLIST", &secret, "tables = [\"a\"]\nactions = [\"Query\"]\nleading_keys = [\"1.0\"]"),
        format!("[[auth.principals]]\nname = \"shop\"\npolicy_file = {policy:?}\n"),
    ];
    let output = run(&["check", files.config(&keys.concat()).to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let of_policy = format!(
        "warning: auth.principals.policy_file: {}: line 2, column 37, Statement[0].Resource: ",
        policy.display()
    );
    assert!(said.contains(&of_policy), "{said}");
    assert!(
        said.contains("nearside.toml:12: auth.keys.leading_keys: \"1.0\" is never the value of a number key"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_principal_may_do_what_its_rights_say_until_they_change_and_a_hit_is_judged_as_a_miss() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let policy = |key: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:PutItem"],
                "Resource": "arn:aws:dynamodb:us-east-1:123456789012:table/Kept",
                "Condition": {{"ForAllValues:StringEquals": {{"dynamodb:LeadingKeys": ["{key}"]}}}}}}]}}"#
        )
    };
    let file = files.put("one.json", &policy("one"));
    let keys = [
        key("AKIDALL", &secret, EVERYTHING),
        key("AKIDONE", &secret, "principal = \"one\""),
        key("AKIDREAD", &secret, "tables = [\"Ke*\"]\nactions = [\"read-only\"]"),
        format!("[[auth.principals]]\nname = \"one\"\npolicy_file = {file:?}\n"),
    ];
    let nearside = start(&files.config(&keys.concat()));
    let [all, one, reader] = ["AKIDALL", "AKIDONE", "AKIDREAD"].map(|name| Signer::new(name, SECRET));
    assert_eq!(all.ask(&nearside, "CreateTable", CREATE).0, 200);
    let get = |id: &str| format!(r#"{{"TableName":"Kept","Key":{{"id":{{"S":"{id}"}}}}}}"#);
    let put = |id: &str| format!(r#"{{"TableName":"Kept","Item":{{"id":{{"S":"{id}"}}}}}}"#);
    for id in ["one", "two"] {
        assert_eq!(all.ask(&nearside, "PutItem", &put(id)).0, 200);
        // From now on it is a hit.
        assert_eq!(all.ask(&nearside, "GetItem", &get(id)).0, 200);
    }
    let is_denied = |signer: &Signer, operation: &str, body: &str| {
        let (status, answer) = signer.ask(&nearside, operation, body);
        assert_eq!(status == 400, answer.contains("#AccessDeniedException\""), "{answer}");
        assert!(!answer.contains("two"), "no key in an error: {answer}");
        status == 400
    };
    assert!(!is_denied(&one, "GetItem", &get("one")) && is_denied(&one, "GetItem", &get("two")));
    assert!(!is_denied(&one, "PutItem", &put("one")) && is_denied(&one, "PutItem", &put("two")));
    assert!(is_denied(&one, "Scan", r#"{"TableName":"Kept"}"#));
    assert!(!is_denied(&reader, "Scan", r#"{"TableName":"Kept","ProjectionExpression":"nothing"}"#));
    assert!(
        is_denied(&reader, "PutItem", &put("one"))
            && is_denied(&reader, "DeleteTable", r#"{"TableName":"Kept"}"#)
    );
    // What is withdrawn is denied from the next request on, though it is cached.
    let before = reloads(&nearside, "applied");
    files.put("one.json", &policy("none"));
    wait_for_reload(&nearside, "applied", before);
    assert!(is_denied(&one, "GetItem", &get("one")));
    // A policy with a fault changes nothing.
    let before = reloads(&nearside, "refused");
    files.put("one.json", &policy("one").replace("Allow", "Alow"));
    wait_for_reload(&nearside, "refused", before);
    assert!(is_denied(&one, "GetItem", &get("one")) && !is_denied(&all, "GetItem", &get("one")));
}

#[test]
fn the_check_shows_the_keys_without_secrets_and_what_is_unsafe() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = files.config(&key("AKIDSHOP", &secret, "session_token = \"TOKEN\""));
    let output = run(&["check", config.to_str().unwrap()]);
    let (said, warned) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{warned}");
    assert!(
        said.contains("[[auth.keys]]\naccess_key_id = \"AKIDSHOP\"")
            && said.contains("# session_token is set"),
        "{said}"
    );
    assert!(!said.contains("TOKEN") && !said.contains(SECRET), "{said}");
    assert!(
        warned.contains("is open to other users (mode 0644); run: chmod 600")
            && warned.contains("has no rights"),
        "{warned}"
    );
}

#[test]
fn a_principal_finds_its_own_tables_with_each_of_its_keys() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let principal = format!("[[auth.principals]]\nname = \"shop\"\n{EVERYTHING}\n");
    let keys = [
        key("AKIDONE", &secret, "principal = \"shop\""),
        key("AKIDTWO", &secret, "principal = \"shop\""),
        key("AKIDTHREE", &secret, EVERYTHING),
    ];
    let config = files.config(&format!("{}{principal}", keys.concat()));
    let nearside =
        Nearside::start(&["--in-memory", "--share", "false", "--config", config.to_str().unwrap()]);
    let tables = |access_key: &'static str, region: &'static str| {
        Signer { region, ..Signer::new(access_key, SECRET) }.ask(&nearside, "ListTables", "{}").1
    };
    assert_eq!(Signer::new("AKIDONE", SECRET).ask(&nearside, "CreateTable", CREATE).0, 200);
    assert!(tables("AKIDTWO", "us-east-1").contains("Kept"));
    // Regions are apart, and so are principals.
    for (access_key, region) in [("AKIDTWO", "eu-west-1"), ("AKIDTHREE", "us-east-1")] {
        assert_eq!(tables(access_key, region), r#"{"TableNames":[]}"#);
    }
}

#[test]
fn verified_callers_may_come_from_beyond_this_machine_without_a_word_of_consent() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let config = files.config(&key("AKIDSHOP", &secret, EVERYTHING));
    let listening = crate::client::sealed(crate::client::program())
        .args(["--in-memory", "--config", config.to_str().unwrap()])
        .args(["--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut child = listening.unwrap();
    let mut greeting = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.take().unwrap()), &mut greeting)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let port = greeting.split("listens on http://0.0.0.0:").nth(1).unwrap_or_else(|| panic!("{greeting}"));
    assert!(port.starts_with(|c: char| c.is_ascii_digit()), "{greeting}");
}
