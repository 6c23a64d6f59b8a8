//! Callers whose signature of Version 4 is verified: `auth.mode = "sigv4"`.
//!
//! The checks and their order are the service's, with its words; the order was recorded by the authors of dynalite in 2013. It is
//! stricter than the service in a few points, each of which no SDK meets:
//! - the time, the target and the session token must be signed, since each changes what a request means;
//! - a signed header stands in the request exactly once, and the list of them is sorted;
//! - the payload is always signed: `UNSIGNED-PAYLOAD` is rejected, and so is a signature in the query string.
//!
//! Within the fifteen minutes a request that someone has recorded can be sent again. TLS keeps others from recording it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::header;

use super::connection_credential::ConnectionCredential;
use super::credentials::{Credential, CredentialScope, split};
use super::head::{Head, Header, first_of, is_same_name};
use super::key_ring::{HeldKey, KeyRing, TokenMatch};
use super::{Authenticator, AuthorizedConnection, Caller, Presented, Unverified};
use crate::call::DenialReason;
use crate::model::{ApiError, ErrorCode, Timestamp};
use crate::rights::Principal;
use crate::tls::Certificate;
use crate::wire::sigv4::{ALGORITHM, KeyScope, Location, SignedRequest, TERM, hex, string_to_sign};

/// What the service is called in signatures. Its streams are called so too.
const SERVICE: &str = "dynamodb";

/// How far the time of a signature may be from ours, in both directions.
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);
const SKEW_WORDS: &str = "15 min.";

/// The most headers that a signature may cover. hyper accepts no request with more than 100.
const SIGNED_HEADERS_MAX: usize = 100;

const AMZ_DATE: &str = "x-amz-date";
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const SECURITY_TOKEN: &str = "x-amz-security-token";
const TARGET: &str = "x-amz-target";

/// For which regions callers may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedRegions {
    /// This one.
    Only(Box<str>),
    /// Any: each is served apart.
    Any,
}

/// Verifies callers by the keys of a ring, which may change while requests run.
#[derive(Clone, Debug)]
pub struct SignedCallers {
    pub(super) ring: Arc<ArcSwap<KeyRing>>,
    pub(super) regions: SignedRegions,
    /// The region of the node.
    region: Arc<str>,
}

impl Authenticator for SignedCallers {
    const HASHES_BODIES: bool = true;
    const TAKES_ANYONE: bool = false;

    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, Unverified> {
        let principal = self.identify(presented, SystemTime::now().into())?;
        Ok(Caller::verified(presented.credential, principal))
    }

    fn recognize(&self, certificate: &Certificate) -> Result<Option<Caller<'static>>, Unverified> {
        let holder = self.holder(certificate, SystemTime::now().into())?;
        Ok(holder.map(|principal| Caller::certified(principal, Arc::clone(&self.region))))
    }

    fn authorize(
        &self,
        credential: ConnectionCredential,
        certificate: Option<&Certificate>,
    ) -> Result<AuthorizedConnection, Unverified> {
        self.authorize_at(credential, certificate, SystemTime::now().into())
    }

    fn confirm(
        &self,
        connection: &mut AuthorizedConnection,
        certificate: Option<&Certificate>,
    ) -> Result<(), Unverified> {
        self.confirm_at(connection, certificate, SystemTime::now().into())
    }
}

impl SignedCallers {
    /// Callers that sign with the keys of the ring that is in force when their request comes, or have a certificate that is in it.
    /// The latter do not say for which region; it is `region`.
    pub fn new(ring: Arc<ArcSwap<KeyRing>>, regions: SignedRegions, region: &str) -> Self {
        Self { ring, regions, region: region.into() }
    }

    /// Who sends a request that is signed: the principal of the signature, which must be that of the certificate if it is somebody's.
    ///
    /// # Errors
    /// As [`Self::verify`] and [`Self::holder`], and if they are of different principals.
    pub(super) fn identify(
        &self,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, Unverified> {
        let principal = self.verify(presented, now)?;
        self.check_certificate(presented.certificate, &principal, now)?;
        Ok(principal)
    }

    /// Checks that a certificate is not somebody's else.
    ///
    /// # Errors
    /// As [`Self::holder`], and if it is of another principal.
    pub(super) fn check_certificate(
        &self,
        certificate: Option<&Certificate>,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<(), Unverified> {
        if let Some(certificate) = certificate
            && let Some(holder) = self.holder(certificate, now)?
            && holder.name != principal.name
        {
            let words = "The client certificate and the signature of the request are of different principals";
            return Err(ApiError::new(ErrorCode::AccessDenied, words).into());
        }
        Ok(())
    }

    /// Whose certificate this is, if it is somebody's.
    ///
    /// # Errors
    /// The service's own, if it has names of several, or has expired while its connection lasts.
    pub(super) fn holder(
        &self,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<Option<Arc<Principal>>, ApiError> {
        let ring = self.ring.load();
        let mut holders = ring.holders(&certificate.names);
        let Some(holder) = holders.next() else { return Ok(None) };
        if holders.any(|other| other.name != holder.name) {
            return Err(ApiError::new(
                ErrorCode::AccessDenied,
                "The client certificate has names of several principals",
            ));
        }
        if certificate.not_after < now {
            return Err(ApiError::new(ErrorCode::UnrecognizedClient, "The client certificate has expired"));
        }
        Ok(Some(Arc::clone(holder)))
    }

    /// Verifies by other keys from now on.
    #[cfg(test)]
    pub(super) fn replace_keys(&self, ring: KeyRing) {
        self.ring.store(Arc::new(ring));
    }

    /// Who has signed the request.
    ///
    /// # Errors
    /// [`Unverified`], for a request that nobody has signed, or not so, or not now.
    fn verify(&self, presented: &Presented<'_>, now: Timestamp) -> Result<Arc<Principal>, Unverified> {
        let credential = presented.credential;
        let head = credential.head();
        let headers = Headers::of(head);
        check_form(credential, &headers)?;
        let written = credential.time();
        let time = SignedTime::read(&written)?;
        time.check_skew(now)?;
        let names = credential.signed_headers();
        let signed = SignedHeaders::read(&names, &headers)?;
        check_algorithm(credential)?;
        let scope = credential.scope().map_err(|error| Unverified::new(DenialReason::Scope, error))?;
        self.check_scope(&scope, &time)?;
        let body_sha256 = presented.body_sha256.ok_or_else(unhashed)?;
        check_payload(&headers, body_sha256)?;
        let request = SignedRequest {
            location: Location::Header,
            method: head.method(),
            path: head.path(),
            query: head.query().unwrap_or_default(),
            headers: signed.values,
            body_sha256,
        };
        let key_scope = KeyScope { date: &scope.date, region: &scope.region, service: SERVICE };
        let text = string_to_sign(&request.canonical(), &time.text, &key_scope);
        let ring = self.ring.load();
        let key = ring.find(&scope.access_key);
        // Before the key is looked at, so that an unknown one takes the same time.
        let is_signed = key.verify(&key_scope, &text, &credential.signature());
        admit(key, is_signed, headers.first(SECURITY_TOKEN), now)
    }

    /// Checks all that a key is derived for. The service reports everything that is wrong at once.
    fn check_scope(&self, scope: &CredentialScope<'_>, time: &SignedTime<'_>) -> Result<(), Unverified> {
        let is_region = match &self.regions {
            SignedRegions::Only(region) => **region == *scope.region,
            SignedRegions::Any => true,
        };
        let date = time.text.get(..8).unwrap_or_default();
        if is_region && scope.service == SERVICE && scope.term == TERM && scope.date == date {
            return Ok(());
        }
        let mut message = String::new();
        if !is_region {
            message.push_str(&format!(
                "Credential should be scoped to a valid region, not '{}'. ",
                scope.region
            ));
        }
        if scope.service != SERVICE {
            message.push_str(&format!("Credential should be scoped to correct service: '{SERVICE}'. "));
        }
        if scope.term != TERM {
            message.push_str(&format!(
                "Credential should be scoped with a valid terminator: '{TERM}', not '{}'. ",
                scope.term
            ));
        }
        if scope.date != date {
            message.push_str(&format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{date}', from '{}'.",
                scope.date, time.text
            ));
        }
        Err(invalid(DenialReason::Scope, message))
    }
}

/// Decides whether the owner of a key may come in. In the service's order: the key, the signature, the token.
pub(super) fn admit(
    key: &HeldKey,
    is_signed: bool,
    token: Option<&[u8]>,
    now: Timestamp,
) -> Result<Arc<Principal>, Unverified> {
    let is_expired = key.is_expired(now);
    let Some(principal) = key.principal().filter(|_| !is_expired || key.is_temporary()) else {
        let is_known = key.principal().is_some();
        return Err(unrecognized(if is_known { DenialReason::ExpiredKey } else { DenialReason::UnknownKey }));
    };
    if !is_signed {
        return Err(mismatch());
    }
    match key.compare_token(token) {
        TokenMatch::Other => Err(unrecognized(DenialReason::Token)),
        TokenMatch::Same if is_expired => Err(Unverified::new(
            DenialReason::ExpiredKey,
            ApiError::new(ErrorCode::ExpiredToken, "The security token included in the request is expired"),
        )),
        TokenMatch::Same => Ok(Arc::clone(principal)),
    }
}

/// The signature must stand where others cannot add a second one.
fn check_form(credential: Credential<'_>, headers: &Headers<'_>) -> Result<(), Unverified> {
    match credential.location() {
        Location::Query => Err(invalid(
            DenialReason::Form,
            "Presigned requests are not accepted here; sign in the Authorization header.",
        )),
        Location::Header if headers.only(header::AUTHORIZATION.as_str()).is_none() => {
            Err(invalid(DenialReason::Form, "The Authorization header stands in the request more than once."))
        }
        Location::Header => Ok(()),
    }
}

fn check_algorithm(credential: Credential<'_>) -> Result<(), Unverified> {
    let algorithm = credential.algorithm();
    match algorithm == ALGORITHM {
        true => Ok(()),
        false => Err(incomplete(format!(
            "Unsupported AWS 'algorithm': '{algorithm}' (only {ALGORITHM} for now). "
        ))),
    }
}

/// A request may say what it believes its body's hash to be. The body is always the one that was sent.
fn check_payload(headers: &Headers<'_>, body_sha256: [u8; 32]) -> Result<(), Unverified> {
    if headers.first(CONTENT_SHA256).is_none() {
        return Ok(());
    }
    match headers.only(CONTENT_SHA256).is_some_and(|said| said == hex(body_sha256)) {
        true => Ok(()),
        false => Err(invalid(
            DenialReason::Form,
            "The value of 'x-amz-content-sha256' is not the SHA-256 of the body; unsigned payloads are not accepted.",
        )),
    }
}

/// When a request was signed.
struct SignedTime<'a> {
    time: Timestamp,
    /// As it is signed: `20261121T080910Z`.
    text: Cow<'a, str>,
}

impl<'a> SignedTime<'a> {
    /// Reads `X-Amz-Date`, or `Date` where there is none, which may be in the form of HTTP.
    fn read(written: &'a str) -> Result<Self, Unverified> {
        let of_http = || httpdate::parse_http_date(written).ok().map(Timestamp::from);
        match Timestamp::parse(written) {
            Some(time) => Ok(Self { time, text: written.into() }),
            None => match of_http() {
                Some(time) => Ok(Self { time, text: time.to_string().into() }),
                None => Err(incomplete(format!(
                    "Date must be in ISO-8601 'basic format'. Got '{written}'. See http://en.wikipedia.org/wiki/ISO_8601"
                ))),
            },
        }
    }

    fn check_skew(&self, now: Timestamp) -> Result<(), Unverified> {
        let (earliest, latest) = (now.minus(SKEW_MAX), now.plus(SKEW_MAX));
        if self.time < earliest {
            return Err(invalid(
                DenialReason::Clock,
                format!(
                    "Signature expired: {} is now earlier than {earliest} ({now} - {SKEW_WORDS})",
                    self.text
                ),
            ));
        }
        if self.time > latest {
            return Err(invalid(
                DenialReason::Clock,
                format!(
                    "Signature not yet current: {} is still later than {latest} ({now} + {SKEW_WORDS})",
                    self.text
                ),
            ));
        }
        Ok(())
    }
}

/// The headers that a signature covers.
struct SignedHeaders<'a> {
    values: Vec<(&'a str, &'a [u8])>,
}

impl<'a> SignedHeaders<'a> {
    /// The value of each of the names. Whoever is between could change what is not signed, and could choose between two values.
    fn read(names: &'a str, headers: &Headers<'a>) -> Result<Self, Unverified> {
        let mut values: Vec<(&str, &[u8])> = Vec::with_capacity(headers.0.len());
        let (mut fault, mut last) = (None, "");
        // One more than there can be is wrong in any case: each is looked for among all headers.
        for name in split(names, b';').take(SIGNED_HEADERS_MAX + 1) {
            match headers.only(name) {
                Some(value) if last < name && values.len() < SIGNED_HEADERS_MAX => values.push((name, value)),
                Some(_) => {
                    fault = Some(invalid(
                        DenialReason::Form,
                        "'SignedHeaders' must be sorted, and name each header once.",
                    ));
                    break;
                }
                None if fault.is_none() => {
                    let words = format!("The signed header '{name}' must stand in the request exactly once.");
                    fault = Some(invalid(DenialReason::Form, words));
                }
                None => {}
            }
            last = name;
        }
        let is_signed = |name: &str| values.iter().any(|(signed, _)| *signed == name);
        if !is_signed("host") && !split(names, b';').any(|name| name == "host") {
            return Err(invalid(
                DenialReason::Form,
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        let date = if headers.first(AMZ_DATE).is_some() { AMZ_DATE } else { header::DATE.as_str() };
        let required = [(date, true), (TARGET, false), (SECURITY_TOKEN, false)];
        for (name, is_there) in required {
            if (is_there || headers.first(name).is_some()) && !is_signed(name) {
                return Err(invalid(
                    DenialReason::Form,
                    format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."),
                ));
            }
        }
        Ok(Self { values })
    }
}

/// Every header of a request, one after the other. A request has a dozen, and each is asked for about once: to compare lengths takes
/// half of the time that it takes to hash the names.
struct Headers<'a>(Cow<'a, [Header<'a>]>);

impl<'a> Headers<'a> {
    fn of(head: Head<'a>) -> Self {
        Self(head.headers())
    }

    /// The first value of a header.
    fn first(&self, name: &str) -> Option<&'a [u8]> {
        first_of(&self.0, name)
    }

    /// The value of a header that stands in the request exactly once.
    fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = None;
        for (other, value) in &*self.0 {
            let is_it = other.len() == name.len() && is_same_name(other, name);
            if is_it && found.replace(*value).is_some() {
                return None;
            }
        }
        found
    }
}

pub(super) fn invalid(reason: DenialReason, message: impl Into<Cow<'static, str>>) -> Unverified {
    Unverified::new(reason, ApiError::new(ErrorCode::InvalidSignature, message))
}

fn incomplete(message: String) -> Unverified {
    ApiError::new(ErrorCode::IncompleteSignature, message).into()
}

fn unrecognized(reason: DenialReason) -> Unverified {
    let words = "The security token included in the request is invalid.";
    Unverified::new(reason, ApiError::new(ErrorCode::UnrecognizedClient, words))
}

/// The service says no more: its canonical request would help who guesses, too.
fn mismatch() -> Unverified {
    invalid(
        DenialReason::Signature,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
         signing method. Consult the service documentation for details.",
    )
}

/// Bodies are hashed wherever this authenticator is asked, so this is a fault of ours.
fn unhashed() -> Unverified {
    ApiError::new(ErrorCode::InternalServerError, "Internal server error").into()
}
