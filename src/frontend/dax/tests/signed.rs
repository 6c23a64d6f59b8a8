//! Connections whose clients are verified: by which signatures, for how long, and what they hear otherwise.

use arc_swap::ArcSwap;

use super::super::super::signed_callers::SignedRegions;
use super::super::super::{KeyRing, SignedCallers};
use super::*;
use crate::config::{LoadedCallers, LoadedKey, Principal, Rights, SecretBytes};
use crate::model::Timestamp;
use crate::wire::sigv4::{KeyScope, Location, SignedRequest, SigningKey, sha256, string_to_sign};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-west-1";

fn ring(secret: &str) -> KeyRing {
    let key = |access_key_id: &str, token: Option<&str>, not_after: Option<&str>| LoadedKey {
        access_key_id: access_key_id.to_owned(),
        secret: SecretBytes::from(secret.to_owned()),
        session_token: token.map(|token| SecretBytes::from(token.to_owned())),
        not_after: not_after.and_then(Timestamp::parse),
        principal: Arc::new(Principal { name: "shop".to_owned(), rights: Rights::Nothing, role: None }),
    };
    let past = Some("20200101T000000Z");
    let keys =
        vec![key("AKID", None, None), key("AKIDTOKEN", Some("token"), None), key("AKIDOLD", None, past)];
    KeyRing::new(LoadedCallers { keys, ..LoadedCallers::default() }).unwrap()
}

/// What a client shows of itself.
#[derive(Clone, Copy)]
struct Shown<'a> {
    access_key: &'a str,
    secret: &'a str,
    token: Option<&'a str>,
    region: &'a str,
    host: &'a str,
    /// Seconds from now to the time of the signature.
    offset: i64,
}

impl Default for Shown<'_> {
    fn default() -> Self {
        let (access_key, secret, region) = ("AKID", SECRET, REGION);
        Self { access_key, secret, token: None, region, host: "dax.amazonaws.com", offset: 0 }
    }
}

impl Shown<'_> {
    fn request(self) -> Vec<u8> {
        let now = Timestamp::from(std::time::SystemTime::now());
        let offset = Duration::from_secs(self.offset.unsigned_abs());
        let time = if self.offset < 0 { now.minus(offset) } else { now.plus(offset) };
        let (date, time) = (time.date(), time.to_string());
        let signed = SignedRequest {
            location: Location::Header,
            method: "POST",
            path: "/",
            query: "",
            headers: vec![("host", self.host.as_bytes()), ("x-amz-date", time.as_bytes())],
            body_sha256: sha256(b""),
        };
        let scope = KeyScope { date: &date, region: self.region, service: "dax" };
        let text = string_to_sign(&signed.canonical(), &time, &scope);
        let signature = SigningKey::derive(self.secret.as_bytes(), &scope).sign(&text);
        let [signature, text] = [&signature[..], &text].map(|bytes| std::str::from_utf8(bytes).unwrap());
        authorization(self.access_key, signature, text, self.token)
    }
}

type SignedWire = Wire<Fake, SignedCallers>;

fn wire() -> (SignedWire, Arc<ArcSwap<KeyRing>>) {
    let keys = Arc::new(ArcSwap::from_pointee(ring(SECRET)));
    let callers = SignedCallers::new(Arc::clone(&keys), SignedRegions::Only(REGION.into()), REGION);
    (Wire::asking(Arc::default(), callers, Settings::default()), keys)
}

#[tokio::test(start_paused = true)]
async fn signatures_of_known_keys_are_good_and_all_others_fail_in_silence_until_the_next_request() {
    let good = Shown::default();
    let go = Shown { host: "https://dax.amazonaws.com", ..good };
    let token = Shown { access_key: "AKIDTOKEN", token: Some("token"), ..good };
    for (shown, reason) in [
        (good, ""),
        (go, ""),
        (token, ""),
        (Shown { offset: 290, ..good }, ""),
        (Shown { offset: -290, ..good }, ""),
        (Shown { offset: 310, ..good }, "clock"),
        (Shown { offset: -310, ..good }, "clock"),
        (Shown { secret: "other", ..good }, "signature"),
        (Shown { access_key: "AKIDOTHER", ..good }, "unknown_key"),
        (Shown { access_key: "AKIDOLD", ..good }, "expired_key"),
        (Shown { region: "us-east-1", ..good }, "scope"),
        (Shown { host: "dynamodb.amazonaws.com", ..good }, "form"),
        (Shown { token: Some("token"), ..good }, "token"),
        (Shown { token: None, ..token }, "token"),
        (Shown { token: Some("tokem"), ..token }, "token"),
    ] {
        let (mut wire, _) = wire();
        wire.send(&[preamble(), shown.request()].concat()).await;
        let reply = wire.ask(&endpoints()).await;
        if reason.is_empty() {
            assert_eq!(reply.codes, NO_ERROR);
            continue;
        }
        assert_eq!(reply.codes, [4, 23, 31, 33], "{reason}");
        let told = wire.told();
        assert!(told[1].ends_with(reason), "{told:?} is not {reason}");
        // What is shown anew counts.
        wire.send(&good.request()).await;
        assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
        // And so does what is shown last.
        wire.send(&shown.request()).await;
        assert_eq!(wire.ask(&get_item("tab", "a")).await.codes, [4, 23, 31, 33], "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_good_for_six_minutes_and_longer_once_it_is_signed_anew() {
    let (mut wire, _) = wire();
    wire.send(&[preamble(), Shown::default().request()].concat()).await;
    tokio::time::sleep(Duration::from_secs(355)).await;
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(wire.ask(&endpoints()).await.codes, [4, 23, 31, 33]);
    assert!(wire.told().contains(&"Unknown 400 InvalidSignatureExceptionclock".to_owned()));
    wire.send(&Shown::default().request()).await;
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_withdrawn_ends_what_it_has_opened() {
    let (mut wire, keys) = wire();
    wire.send(&[preamble(), Shown::default().request()].concat()).await;
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
    // The same keys again are no news.
    keys.store(Arc::new(ring(SECRET)));
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
    keys.store(Arc::new(ring("another secret")));
    assert_eq!(wire.ask(&endpoints()).await.codes, [4, 23, 31, 33]);
    keys.store(Arc::new(KeyRing::new(LoadedCallers::default()).unwrap()));
    assert_eq!(wire.ask(&endpoints()).await.codes, [4, 23, 31, 33]);
    // A key that is back is good again, as long as its signature lasts.
    keys.store(Arc::new(ring(SECRET)));
    assert_eq!(wire.ask(&endpoints()).await.codes, NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn who_may_use_no_item_may_use_no_list_of_names() {
    let (mut wire, _) = wire();
    wire.send(&[preamble(), Shown::default().request()].concat()).await;
    let define = request(DEFINE_LIST_ID, |writer| {
        writer.array(1);
        writer.text("n");
    });
    assert_eq!(wire.ask(&define).await.error(), "AccessDeniedException");
    let names = request(DEFINE_LIST, |writer| writer.unsigned(1));
    assert_eq!(wire.ask(&names).await.error(), "AccessDeniedException");
}
