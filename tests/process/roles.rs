//! Principals with roles of their own, before a fake STS and a fake DynamoDB that remember who has signed what.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nearside::model::Timestamp;

use crate::callers::{EVERYTHING, Files, SECRET, Signer, key, reloads, wait_for_reload};
use crate::client::{Nearside, command, wait_until};

const DESCRIPTION: &str = r#"{"Table":{"TableName":"Kept","TableId":"1","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}}"#;

/// How long the keys of most roles live.
const HOUR: Duration = Duration::from_secs(3600);

/// One request as it came.
struct Received {
    operation: String,
    access_key: String,
    body: String,
}

/// STS and DynamoDB at one address.
#[derive(Clone)]
struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The account of whoever asks STS.
    account: &'static str,
    /// How often each session was opened, with the parameters of the last time.
    sessions: HashMap<String, (usize, String)>,
    /// Sessions that are denied, and those whose keys live for a few seconds.
    denied_sessions: BTreeSet<&'static str>,
    short_sessions: BTreeSet<&'static str>,
    /// Access keys without rights, by how they begin.
    denied_keys: BTreeSet<&'static str>,
    /// The operations of DynamoDB that came, with their access keys.
    calls: Vec<(String, String)>,
}

impl Fake {
    fn start(account: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { account, ..State::default() };
        let fake = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let serving = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        fake
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(received) = read(&mut reader) {
            let (status, kind, body) = match received.operation.is_empty() {
                true => self.sts(&received.body),
                false => self.dynamodb(&received),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if reader.get_mut().write_all(format!("{head}{body}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn sts(&self, body: &str) -> (u16, &'static str, String) {
        let parameter = |name: &str| {
            let found = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().to_owned()
        };
        let mut state = self.state();
        if parameter("Action") == "GetCallerIdentity" {
            let account = state.account;
            let result =
                format!("<GetCallerIdentityResult><Account>{account}</Account></GetCallerIdentityResult>");
            return (
                200,
                "text/xml",
                format!("<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"),
            );
        }
        let session = parameter("RoleSessionName");
        let (times, _) = state.sessions.get(&session).cloned().unwrap_or_default();
        let asked = format!("{} {}", parameter("RoleArn"), parameter("ExternalId"));
        state.sessions.insert(session.clone(), (times + 1, asked));
        if state.denied_sessions.contains(&*session) {
            let error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/hush is not authorized</Message></Error>";
            let body = format!("<ErrorResponse>{error}<RequestId>{times}</RequestId></ErrorResponse>");
            return (403, "text/xml", body);
        }
        let life = if state.short_sessions.contains(&*session) { Duration::from_secs(4) } else { HOUR };
        let expiration = Timestamp::from(SystemTime::now() + life).rfc3339();
        let key = format!("ASIA{}{times}", session.to_uppercase());
        (
            200,
            "text/xml",
            format!(
                "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>A:{session}</AssumedRoleId>\
                 <Arn>arn:aws:sts::123456789012:assumed-role/x/{session}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{key}</AccessKeyId>\
                 <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
                 </AssumeRoleResult></AssumeRoleResponse>"
            ),
        )
    }

    fn dynamodb(&self, received: &Received) -> (u16, &'static str, String) {
        let mut state = self.state();
        let Received { operation, access_key, body } = received;
        state.calls.push((operation.clone(), access_key.clone()));
        let is_denied = state.denied_keys.iter().any(|denied| access_key.starts_with(denied));
        let body = match &**operation {
            "DescribeTable" => DESCRIPTION.to_owned(),
            _ if is_denied => {
                let error = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not authorized"}"#;
                return (400, "application/x-amz-json-1.0", error.to_owned());
            }
            "GetItem" => {
                let key = body.split("\"id\":").nth(1).unwrap().split('}').next().unwrap();
                format!(r#"{{"Item":{{"id":{key}}}}}}}"#)
            }
            _ => "{}".to_owned(),
        };
        (200, "application/x-amz-json-1.0", body)
    }

    /// The access keys of the calls of an operation since the last look.
    fn take_keys(&self, operation: &str) -> Vec<String> {
        let calls = std::mem::take(&mut self.state().calls);
        calls.into_iter().filter(|(called, _)| called == operation).map(|(_, key)| key).collect()
    }

    fn sessions(&self, name: &str) -> usize {
        self.state().sessions.get(name).map_or(0, |(times, _)| *times)
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let (mut operation, mut access_key, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line == "\r\n" {
                break;
            }
            continue;
        };
        match &*name.to_ascii_lowercase() {
            "x-amz-target" => operation = value.split('.').nth(1)?.to_owned(),
            "authorization" => access_key = value.split("Credential=").nth(1)?.split('/').next()?.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { operation, access_key, body: String::from_utf8(body).ok()? })
}

fn role(name: &str) -> String {
    format!("role_arn = \"arn:aws:iam::123456789012:role/team/{name}\"")
}

fn principal(name: &str, role: &str) -> String {
    format!("[[auth.principals]]\nname = \"{name}\"\n{EVERYTHING}\n{role}\n")
}

fn start(fake: &Fake, config: &Path) -> Nearside {
    let upstream = format!("http://{}", fake.address);
    let mut program = command(&["--upstream", &upstream, "--config", config.to_str().unwrap()]);
    Nearside::from_command(program.env("AWS_ENDPOINT_URL_STS", &upstream))
}

/// How often roles were to be assumed with that outcome.
fn role_requests(nearside: &Nearside, outcome: &str) -> u64 {
    nearside.metric(&format!("nearside_upstream_role_requests_total{{outcome=\"{outcome}\"}}"))
}

fn get(id: &str) -> String {
    format!(r#"{{"TableName":"Kept","Key":{{"id":{{"S":"{id}"}}}}}}"#)
}

#[test]
fn each_principal_is_seen_upstream_under_its_role_until_that_is_withdrawn() {
    let (files, fake) = (Files::new(), Fake::start("123456789012"));
    let secret = files.put("secret", SECRET);
    let of = |name: &str| format!("principal = \"{name}\"");
    let keys = [
        key("AKIDSHOP", &secret, &of("shop")),
        key("AKIDBANK", &secret, &format!("{EVERYTHING}\nprincipal = \"bank\"\n{}", role("bank"))),
        key("AKIDTHIRD", &secret, &format!("{EVERYTHING}\nprincipal = \"third\"\n{}", role("third"))),
        key("AKIDNONE", &secret, EVERYTHING),
    ];
    let shop = principal("shop", &format!("{}\nexternal_id = \"id-1\"", role("shop")));
    fake.state().short_sessions.extend(["shop", "third"]);
    let nearside = start(&fake, &files.config(&format!("{}{shop}", keys.concat())));
    let [shop, bank, none] = ["AKIDSHOP", "AKIDBANK", "AKIDNONE"].map(|name| Signer::new(name, SECRET));
    for (nth, (signer, expected)) in
        [(&shop, "ASIASHOP"), (&bank, "ASIABANK0"), (&none, "test")].into_iter().enumerate()
    {
        let id = format!("item-{nth}");
        assert_eq!(signer.ask(&nearside, "GetItem", &get(&id)).0, 200);
        let keys = fake.take_keys("GetItem");
        assert!(keys.len() == 1 && keys[0].starts_with(expected), "{keys:?}");
        let put = get(&id).replace("\"Key\"", "\"Item\"");
        assert_eq!(signer.ask(&nearside, "PutItem", &put).0, 200);
        let keys = fake.take_keys("PutItem");
        assert!(keys.len() == 1 && keys[0].starts_with(expected), "{keys:?}");
    }
    let described = fake.state().sessions["shop"].1.clone();
    assert!(described.contains("role%2Fteam%2Fshop") && described.ends_with(" id-1"), "{described}");
    // A hit asks nobody.
    for signer in [&shop, &bank, &none] {
        assert_eq!(signer.ask(&nearside, "GetItem", &get("item-0")).1, r#"{"Item":{"id":{"S":"item-0"}}}"#);
    }
    assert!(fake.take_keys("GetItem").is_empty());
    // Keys of four seconds are renewed when two are over.
    let mut nth = 0;
    wait_until("the renewal", || {
        nth += 1;
        assert_eq!(shop.ask(&nearside, "GetItem", &get(&format!("more-{nth}"))).0, 200);
        !fake.take_keys("GetItem").contains(&"ASIASHOP0".to_owned())
    });
    // Withdrawn, with the principal that had it: nothing goes under it any more, and it is not renewed.
    let before = reloads(&nearside, "applied");
    files.config(&keys[1..].concat());
    wait_for_reload(&nearside, "applied", before);
    assert!(shop.ask(&nearside, "GetItem", &get("item-0")).1.contains("#UnrecognizedClientException\""));
    assert_eq!(bank.ask(&nearside, "GetItem", &get("item-9")).0, 200);
    assert_eq!((fake.take_keys("GetItem"), fake.sessions("bank")), (vec!["ASIABANK0".to_owned()], 1));
    let sessions = fake.sessions("shop");
    // Its session would have been renewed as often as one that is as short.
    let of_third = fake.sessions("third");
    wait_until("two renewals of the third", || fake.sessions("third") >= of_third + 2);
    assert!(fake.sessions("shop") <= sessions + 1, "at most one was on its way");
}

#[test]
fn a_role_that_sts_denies_keeps_its_principal_out_and_nobody_else() {
    let (files, fake) = (Files::new(), Fake::start("123456789012"));
    let secret = files.put("secret", SECRET);
    let keys = [
        key("AKIDSHOP", &secret, &format!("{EVERYTHING}\nprincipal = \"shop\"\n{}", role("shop"))),
        key("AKIDNONE", &secret, EVERYTHING),
    ];
    fake.state().denied_sessions.insert("shop");
    let mut nearside = start(&fake, &files.config(&keys.concat()));
    let [shop, none] = ["AKIDSHOP", "AKIDNONE"].map(|name| Signer::new(name, SECRET));
    for (operation, body) in [("GetItem", get("a")), ("PutItem", get("a").replace("\"Key\"", "\"Item\""))] {
        let (status, answer) = shop.ask(&nearside, operation, &body);
        assert!(status == 400 && answer.contains("#AccessDeniedException\""), "{status} {answer}");
        assert!(!answer.contains("hush"), "{answer}");
        assert!(fake.take_keys(operation).is_empty());
    }
    assert_eq!(none.ask(&nearside, "GetItem", &get("a")).0, 200);
    wait_until("the second try", || fake.sessions("shop") > 1);
    // Once somebody has changed the role's trust, nothing need be restarted.
    fake.state().denied_sessions.clear();
    wait_until("the role", || shop.ask(&nearside, "GetItem", &get("b")).0 == 200);
    assert!(role_requests(&nearside, "denied") >= 2);
    assert_eq!((role_requests(&nearside, "assumed"), role_requests(&nearside, "unavailable")), (1, 0));
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    assert_eq!(log.matches("The role cannot be assumed.").count(), 1, "{log}");
    assert!(
        log.contains("AccessDenied: User: arn:aws:iam::1:user/hush")
            && log.contains("The role is assumed again."),
        "{log}"
    );
}

#[test]
fn a_role_of_another_account_is_not_assumed() {
    let (files, fake) = (Files::new(), Fake::start("210987654321"));
    let secret = files.put("secret", SECRET);
    let config = files.config(&key("AKIDSHOP", &secret, &format!("{EVERYTHING}\n{}", role("shop"))));
    let mut nearside = start(&fake, &config);
    let (status, answer) = Signer::new("AKIDSHOP", SECRET).ask(&nearside, "GetItem", &get("a"));
    assert!(status == 400 && answer.contains("#AccessDeniedException\""), "{status} {answer}");
    assert!(fake.state().sessions.is_empty() && fake.take_keys("GetItem").is_empty());
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    assert!(log.contains("\\\"123456789012\\\"") && log.contains("\\\"210987654321\\\""), "{log}");
}

#[test]
fn what_one_role_is_denied_upstream_another_one_reads_at_the_same_time() {
    let (files, fake) = (Files::new(), Fake::start("123456789012"));
    let secret = files.put("secret", SECRET);
    let of = |name: &str| format!("{EVERYTHING}\nprincipal = \"{name}\"\n{}", role(name));
    let keys = [key("AKIDSHOP", &secret, &of("shop")), key("AKIDBANK", &secret, &of("bank"))];
    fake.state().denied_keys.insert("ASIASHOP");
    let nearside = start(&fake, &files.config(&keys.concat()));
    let ask = |access_key: &'static str| {
        let signer = Signer::new(access_key, SECRET);
        (0..100).map(|nth| signer.ask(&nearside, "GetItem", &get(&format!("{nth}")))).collect::<Vec<_>>()
    };
    let (shop, bank) = std::thread::scope(|scope| {
        let shop = scope.spawn(|| ask("AKIDSHOP"));
        let bank = ask("AKIDBANK");
        (shop.join().unwrap(), bank)
    });
    assert!(bank.iter().all(|(status, _)| *status == 200), "{bank:?}");
    // What the other one has cached it may read: it has the right here.
    assert!(shop.iter().all(|(status, body)| *status == 200 || body.contains("AccessDenied")), "{shop:?}");
    assert!(!fake.take_keys("GetItem").is_empty());
    assert_eq!(Signer::new("AKIDSHOP", SECRET).ask(&nearside, "GetItem", &get("never read")).0, 400);
}
