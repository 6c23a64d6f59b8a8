//! Requests on behalf of principals with roles: what they are signed with, with sources of credentials that give what the script says.

use std::collections::HashMap;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};

use super::super::credentials::{Missing, RoleFault};
use super::*;

/// Sources of credentials for roles, by principal: each gives, in turn, keys that live for so many seconds, or a fault.
#[derive(Clone, Default, Debug)]
struct Sources(Arc<Mutex<HashMap<String, Script>>>);

/// What a source gives, in turn: the seconds that a key lives, or why there is none.
type Script = VecDeque<Result<u64, Missing>>;

impl Sources {
    fn will(&self, principal: &str, gives: impl IntoIterator<Item = Result<u64, Missing>>) {
        self.0.lock().unwrap().entry(principal.to_owned()).or_default().extend(gives);
    }

    fn left(&self, principal: &str) -> usize {
        self.0.lock().unwrap().get(principal).map_or(0, VecDeque::len)
    }
}

/// The source of one role. Where the script says nothing, it is silent.
#[derive(Clone, Debug)]
struct Source(Sources, String);

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let (given, left) = {
                let mut sources = self.0.0.lock().unwrap();
                let script = sources.entry(self.1.clone()).or_default();
                (script.pop_front(), script.len())
            };
            match given {
                None => std::future::pending().await,
                Some(Ok(seconds)) => {
                    let expiry = Some(SystemTime::now() + Duration::from_secs(seconds));
                    let id = format!("ASIA-{}-{left}", self.1);
                    Ok(aws_credential_types::Credentials::new(
                        id,
                        "secret",
                        Some("token".to_owned()),
                        expiry,
                        "script",
                    ))
                }
                Some(Err(missing)) => Err(CredentialsError::provider_error(RoleFault(missing))),
            }
        })
    }
}

fn role(principal: &str) -> Arc<PrincipalRole> {
    let arn = "arn:aws:iam::123456789012:role/shop".into();
    Arc::new(PrincipalRole { principal: principal.into(), arn, external_id: None })
}

fn denied() -> Result<u64, Missing> {
    Err(Missing::Denied("AccessDenied: user/nearside is not authorized".to_owned()))
}

/// An upstream whose roles are kept from these sources until the test ends.
fn start_with_roles(principals: &[&str]) -> (Arc<Endpoint>, Arc<Remote>, Sources) {
    let (endpoint, remote) = start();
    let sources = Sources::default();
    remote.put_roles(principals.iter().map(|principal| role(principal)));
    let (kept, given) = (Arc::clone(&remote), sources.clone());
    tokio::spawn(async move {
        kept.roles.keep(|role| Source(given.clone(), role.principal.to_string())).await;
    });
    (endpoint, remote, sources)
}

async fn call_for(
    remote: &Remote,
    principal: Option<&str>,
    operation: Operation,
) -> Result<Answer, UpstreamError> {
    let request = Request { on_behalf_of: principal.map(role), ..Request::new(operation, "{}") };
    remote.call(&request).await
}

/// The access key of the last request.
fn signed_with(endpoint: &Endpoint) -> String {
    let heads = endpoint.heads.lock().unwrap();
    let authorization = heads.last().unwrap()["authorization"].to_str().unwrap().to_owned();
    authorization.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_request_is_signed_with_the_key_of_its_role_or_the_nodes_own() {
    let (endpoint, remote, sources) = start_with_roles(&["shop", "bank"]);
    sources.will("shop", [Ok(3600)]);
    sources.will("bank", [Ok(3600)]);
    for operation in [Operation::GetItem, Operation::PutItem] {
        for (principal, key) in
            [(Some("shop"), "ASIA-shop-0"), (None, "nearside"), (Some("bank"), "ASIA-bank-0")]
        {
            call_for(&remote, principal, operation).await.unwrap();
            assert_eq!(signed_with(&endpoint), key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_roles_are_renewed_ahead_of_their_end_and_when_the_upstream_rejects_one() {
    let (endpoint, remote, sources) = start_with_roles(&["shop"]);
    sources.will("shop", [Ok(3600), Ok(3600), Ok(3600)]);
    let mut keys = Vec::new();
    for seconds in [0, 3200, 200] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        call_for(&remote, Some("shop"), Operation::GetItem).await.unwrap();
        keys.push(signed_with(&endpoint));
    }
    assert_eq!(keys, ["ASIA-shop-2", "ASIA-shop-2", "ASIA-shop-1"]);
    endpoint.will(Reaction::Answer(400, &[], r#"{"__type":"x#ExpiredTokenException"}"#.to_owned()));
    call_for(&remote, Some("shop"), Operation::GetItem).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    call_for(&remote, Some("shop"), Operation::GetItem).await.unwrap();
    assert_eq!(signed_with(&endpoint), "ASIA-shop-0");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_denied_is_an_answer_to_its_principal_and_to_no_other() {
    let (endpoint, remote, sources) = start_with_roles(&["shop", "bank"]);
    sources.will("shop", [denied(), denied(), Ok(3600)]);
    sources.will("bank", [Ok(3600)]);
    for operation in [Operation::GetItem, Operation::PutItem] {
        let answer = call_for(&remote, Some("shop"), operation).await.unwrap();
        assert_eq!(answer.rejection(), Some(ErrorCode::AccessDenied));
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(body.contains("the principal \\\"shop\\\"") && !body.contains("user/nearside"), "{body}");
    }
    assert_eq!(endpoint.requests(), 0);
    call_for(&remote, Some("bank"), Operation::GetItem).await.unwrap();
    // It is tried again by itself: after one second and two more.
    tokio::time::sleep(Duration::from_secs(4)).await;
    call_for(&remote, Some("shop"), Operation::GetItem).await.unwrap();
    assert_eq!((signed_with(&endpoint).as_str(), sources.left("shop")), ("ASIA-shop-0", 0));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_nobody_can_be_asked_for_is_worth_another_try() {
    let (endpoint, remote, sources) = start_with_roles(&["shop", "bank"]);
    sources.will("shop", [Err(Missing::Unavailable("STS cannot be asked".to_owned()))]);
    let failed = call_for(&remote, Some("shop"), Operation::PutItem).await;
    assert!(matches!(failed, Err(UpstreamError::NotSent(_))), "{failed:?}");
    // The other source says nothing: its request waits no longer than it may take.
    let begun = Instant::now();
    let failed = call_for(&remote, Some("bank"), Operation::GetItem).await;
    assert!(matches!(failed, Err(UpstreamError::NotSent(_))), "{failed:?}");
    assert_eq!((begun.elapsed(), endpoint.requests()), (Duration::from_secs(5), 0));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_withdrawn_signs_nothing_more_and_the_others_keep_their_keys() {
    let (endpoint, remote, sources) = start_with_roles(&["shop", "bank"]);
    sources.will("shop", [Ok(3600)]);
    sources.will("bank", [Ok(3600)]);
    call_for(&remote, Some("shop"), Operation::GetItem).await.unwrap();
    call_for(&remote, Some("bank"), Operation::GetItem).await.unwrap();
    remote.put_roles([role("bank")]);
    let withdrawn = call_for(&remote, Some("shop"), Operation::GetItem).await;
    assert!(matches!(withdrawn, Err(UpstreamError::NotSent(_))), "{withdrawn:?}");
    call_for(&remote, Some("bank"), Operation::GetItem).await.unwrap();
    assert_eq!((signed_with(&endpoint).as_str(), endpoint.requests()), ("ASIA-bank-0", 3));
    // Put in force again, it is assumed anew.
    sources.will("shop", [Ok(3600)]);
    remote.put_roles([role("bank"), role("shop")]);
    call_for(&remote, Some("shop"), Operation::GetItem).await.unwrap();
    assert_eq!(signed_with(&endpoint), "ASIA-shop-0");
}

#[test]
fn keys_that_have_ended_are_none_once_the_role_cannot_be_assumed_again() {
    let keyring = Keyring::of_role(&role("shop"), &Arc::default());
    let ended = SystemTime::now() - Duration::from_secs(1);
    keyring.put(Credentials { expires: Some(ended), ..Credentials::placeholder() });
    assert!(keyring.current().is_ok(), "perhaps it is our clock that is wrong");
    keyring.failed(Missing::Denied("no".to_owned()));
    assert_eq!(keyring.current().unwrap_err(), Missing::Denied("no".to_owned()));
}
