//! Who calls: the one question between the envelope of a request and the service behind.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::connection_credential::ConnectionCredential;
use super::credentials::{Credential, CredentialScope, DetachedCredential, missing};
use crate::call::DenialReason;
use crate::model::{ApiError, ErrorCode, Timestamp};
use crate::rights::Principal;
use crate::tls::Certificate;

/// A request with its credentials, as a verifier needs it: all that a signature covers.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The credentials, not verified, with the head of the request.
    pub credential: Credential<'a>,
    /// The client's certificate, if its connection has shown one.
    pub certificate: Option<&'a Certificate>,
    /// The SHA-256 of the body as sent, where the authenticator [asks for it](Authenticator::HASHES_BODIES).
    pub body_sha256: Option<[u8; 32]>,
}

/// Decides who sends a request, before anything is done for it.
pub trait Authenticator: Send + Sync + 'static {
    /// Whether bodies are hashed while they are read.
    const HASHES_BODIES: bool;

    /// Whether every request with whole credentials passes, and nothing else about its caller matters.
    const TAKES_ANYONE: bool;

    /// The caller of a request. It must not wait: it runs on the thread of the connection, for every request. It may be asked about
    /// one request twice, so it counts and logs nothing.
    ///
    /// # Errors
    /// [`Unverified`], for a caller that is not who it says it is.
    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, Unverified>;

    /// The caller of a request without credentials, by its client's certificate; `None` if that is nobody's. As
    /// [`Self::authenticate`], it must not wait.
    ///
    /// # Errors
    /// [`Unverified`], if the certificate is of several, or has expired.
    fn recognize(&self, certificate: &Certificate) -> Result<Option<Caller<'static>>, Unverified>;

    /// The caller of a DAX connection, by what it has shown for all requests that follow, and by its certificate if it has shown one,
    /// too. As [`Self::authenticate`], it must not wait.
    ///
    /// # Errors
    /// [`Unverified`], for a caller that is not who it says it is.
    fn authorize(
        &self,
        credential: ConnectionCredential,
        certificate: Option<&Certificate>,
    ) -> Result<AuthorizedConnection, Unverified>;

    /// Makes sure, before a request, that a connection is as good as when it was authorized. The keys may be others by now.
    ///
    /// # Errors
    /// [`Unverified`], for one that has to be authorized again.
    fn confirm(
        &self,
        connection: &mut AuthorizedConnection,
        certificate: Option<&Certificate>,
    ) -> Result<(), Unverified>;
}

/// A DAX connection whose client has shown who it is.
#[derive(Clone)]
pub struct AuthorizedConnection {
    pub(super) credential: Arc<ConnectionCredential>,
    /// Who that is, where callers are verified.
    pub(super) verified: Option<VerifiedConnection>,
}

/// Who a connection's client is, and how long that holds.
#[derive(Clone)]
pub(super) struct VerifiedConnection {
    pub(super) principal: Arc<Principal>,
    /// The number of the ring that it was verified by.
    pub(super) ring: u64,
    /// When its key stops to be valid, if it does.
    pub(super) not_after: Option<Timestamp>,
    /// When it has to be authorized again in any case.
    pub(super) until: Instant,
}

impl AuthorizedConnection {
    /// Who sends the requests of the connection.
    pub fn caller(&self) -> Caller<'static> {
        let principal = self.verified.as_ref().map(|verified| Arc::clone(&verified.principal));
        Caller { proof: Proof::Connection(Arc::clone(&self.credential)), principal }
    }
}

/// A caller that is not who it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// What the caller hears: the service's own error.
    pub error: ApiError,
    /// What is counted and logged.
    pub reason: DenialReason,
}

impl Unverified {
    pub(super) fn new(reason: DenialReason, error: ApiError) -> Self {
        Self { error, reason }
    }
}

/// As far as the code of the error tells.
impl From<ApiError> for Unverified {
    fn from(error: ApiError) -> Self {
        let reason = match error.code {
            ErrorCode::MissingAuthenticationToken => DenialReason::Missing,
            ErrorCode::IncompleteSignature => DenialReason::Incomplete,
            ErrorCode::UnrecognizedClient => DenialReason::UnknownKey,
            ErrorCode::ExpiredToken => DenialReason::ExpiredKey,
            ErrorCode::AccessDenied => DenialReason::Rights,
            _ => DenialReason::Form,
        };
        Self { error, reason }
    }
}

/// Takes every caller at its word: `auth.mode = "none"`.
#[derive(Clone, Copy, Debug)]
pub struct AnyCaller;

impl Authenticator for AnyCaller {
    const HASHES_BODIES: bool = false;
    const TAKES_ANYONE: bool = true;

    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, Unverified> {
        Ok(Caller::new(presented.credential))
    }

    fn recognize(&self, _: &Certificate) -> Result<Option<Caller<'static>>, Unverified> {
        Ok(None)
    }

    fn authorize(
        &self,
        credential: ConnectionCredential,
        _: Option<&Certificate>,
    ) -> Result<AuthorizedConnection, Unverified> {
        Ok(AuthorizedConnection { credential: Arc::new(credential.without_proof()), verified: None })
    }

    fn confirm(&self, _: &mut AuthorizedConnection, _: Option<&Certificate>) -> Result<(), Unverified> {
        Ok(())
    }
}

/// Who sends a request, as the authenticator has found.
#[derive(Clone)]
pub struct Caller<'a> {
    proof: Proof<Credential<'a>>,
    principal: Option<Arc<Principal>>,
}

/// What a caller has shown.
#[derive(Clone)]
enum Proof<C> {
    /// A credential in the request.
    Credential(C),
    /// A credential for all requests of a DAX connection.
    Connection(Arc<ConnectionCredential>),
    /// A certificate, with the region of the node.
    Certificate(Arc<str>),
    /// Something at which nobody looks.
    Unread,
}

impl<'a> Caller<'a> {
    /// The caller that presented this credential, which nobody has verified.
    pub fn new(credential: Credential<'a>) -> Self {
        Self { proof: Proof::Credential(credential), principal: None }
    }

    /// The caller that presented this credential and is verified to be that principal.
    pub(super) fn verified(credential: Credential<'a>, principal: Arc<Principal>) -> Self {
        Self::found(credential, Some(principal))
    }

    /// The caller that presented this credential, by which the authenticator has found that principal, or none.
    pub(super) fn found(credential: Credential<'a>, principal: Option<Arc<Principal>>) -> Self {
        Self { proof: Proof::Credential(credential), principal }
    }

    /// A caller whose credential is whole, for a service to which it does not matter who that is.
    pub(super) fn unnamed() -> Self {
        Self { proof: Proof::Unread, principal: None }
    }

    /// The caller whose certificate is that principal's, at a node of that region.
    pub(super) fn certified(principal: Arc<Principal>, region: Arc<str>) -> Self {
        Self { proof: Proof::Certificate(region), principal: Some(principal) }
    }

    /// A copy for work that outlives the exchange's turn on its thread.
    pub(super) fn detach(self) -> DetachedCaller {
        let proof = match self.proof {
            Proof::Credential(credential) => Proof::Credential(credential.detach()),
            Proof::Connection(credential) => Proof::Connection(credential),
            Proof::Certificate(region) => Proof::Certificate(region),
            Proof::Unread => Proof::Unread,
        };
        DetachedCaller { proof, principal: self.principal }
    }

    /// Who the caller is, if callers are verified.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// Whose tables the request is about, by the access key and the region of its credential. A caller that has shown a certificate
    /// has an empty access key, and the region of the node.
    ///
    /// # Errors
    /// The service's own for a credential that is not in five parts, or names no region, and for a caller without one.
    pub fn scope(&self) -> Result<CredentialScope<'a>, ApiError> {
        match &self.proof {
            Proof::Credential(credential) => credential.scope(),
            Proof::Connection(credential) => credential.scope(),
            Proof::Certificate(region) => Ok(CredentialScope {
                access_key: Cow::Borrowed(""),
                date: Cow::Borrowed(""),
                region: Cow::Owned(region.to_string()),
                service: Cow::Borrowed("dynamodb"),
                term: Cow::Borrowed("aws4_request"),
            }),
            Proof::Unread => Err(missing()),
        }
    }
}

/// A caller that borrows nothing.
pub(super) struct DetachedCaller {
    proof: Proof<DetachedCredential>,
    principal: Option<Arc<Principal>>,
}

impl DetachedCaller {
    pub(super) fn attached(&self) -> Caller<'_> {
        let proof = match &self.proof {
            Proof::Credential(credential) => Proof::Credential(credential.attached()),
            Proof::Connection(credential) => Proof::Connection(Arc::clone(credential)),
            Proof::Certificate(region) => Proof::Certificate(Arc::clone(region)),
            Proof::Unread => Proof::Unread,
        };
        Caller { proof, principal: self.principal.clone() }
    }
}
