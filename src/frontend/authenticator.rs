//! Who calls: the one question between the envelope of a request and the service behind.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::credentials::{Credential, CredentialScope, DetachedCredential};
use crate::call::DenialReason;
use crate::model::{ApiError, ErrorCode};
use crate::rights::Principal;

/// A request with its credentials, as a verifier needs it: all that a signature covers.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The credentials; not verified.
    pub credential: Credential<'a>,
    /// The method.
    pub method: &'a Method,
    /// The path as sent.
    pub path: &'a str,
    /// The query string as sent, without the `?`.
    pub query: &'a str,
    /// The headers as sent.
    pub headers: &'a HeaderMap,
    /// The SHA-256 of the body as sent, where the authenticator [asks for it](Authenticator::HASHES_BODIES).
    pub body_sha256: Option<[u8; 32]>,
}

/// Decides who sends a request, before anything is done for it.
pub trait Authenticator: Send + Sync + 'static {
    /// Whether bodies are hashed while they are read.
    const HASHES_BODIES: bool;

    /// The caller of a request. It must not wait: it runs on the thread of the connection, for every request.
    ///
    /// # Errors
    /// [`Unverified`], for a caller that is not who it says it is.
    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, Unverified>;
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

    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, Unverified> {
        Ok(Caller::new(presented.credential))
    }
}

/// Who sends a request, as the authenticator has found.
#[derive(Clone)]
pub struct Caller<'a> {
    credential: Credential<'a>,
    principal: Option<Arc<Principal>>,
}

impl<'a> Caller<'a> {
    /// The caller that presented this credential, which nobody has verified.
    pub fn new(credential: Credential<'a>) -> Self {
        Self { credential, principal: None }
    }

    /// The caller that presented this credential and is verified to be that principal.
    pub(super) fn verified(credential: Credential<'a>, principal: Arc<Principal>) -> Self {
        Self { credential, principal: Some(principal) }
    }

    /// A copy for work that outlives the exchange's turn on its thread.
    pub(super) fn detach(self) -> DetachedCaller {
        DetachedCaller { credential: self.credential.detach(), principal: self.principal }
    }

    /// Who the caller is, if callers are verified.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// Whose tables the request is about, by the access key and the region of its credential.
    ///
    /// # Errors
    /// The service's own for a credential that is not in five parts, or names no region.
    pub fn scope(&self) -> Result<CredentialScope<'a>, ApiError> {
        self.credential.scope()
    }
}

/// A caller that borrows nothing.
pub(super) struct DetachedCaller {
    credential: DetachedCredential,
    principal: Option<Arc<Principal>>,
}

impl DetachedCaller {
    pub(super) fn attached(&self) -> Caller<'_> {
        Caller { credential: self.credential.attached(), principal: self.principal.clone() }
    }
}
