//! The keys that callers sign with, each with the keys that are derived from its secret.
//!
//! A ring never changes: the next config makes another one. A key that is not on the ring is looked up and derived as any other, so
//! that a request signed with it takes the time of one with a wrong signature.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::call::PrincipalRole;
use crate::config::{self, CertificateName, LoadedCallers, LoadedKey, SecretBytes};
use crate::model::Timestamp;
use crate::rights::Principal;
use crate::wire::sigv4::{KeyScope, SigningKey};

/// How many derived keys are kept of each key. Two days are enough where callers sign for one region.
const DERIVED_MAX: usize = 8;

/// How many rings this process has had.
static RINGS: AtomicU64 = AtomicU64::new(0);

/// The keys of a config.
pub struct KeyRing {
    /// No other ring of the process has it.
    number: u64,
    keys: HashMap<Box<str>, HeldKey>,
    /// Whose client certificates have that name.
    certificates: HashMap<CertificateName, Arc<Principal>>,
    /// Stands for every key that is not there.
    unknown: HeldKey,
}

/// A key, or what stands for one that is not there.
pub(super) struct HeldKey {
    secret: SecretBytes,
    session_token: Option<SecretBytes>,
    not_after: Option<Timestamp>,
    /// `None` for a key that is not there.
    principal: Option<Arc<Principal>>,
    derived: ArcSwap<Vec<Derived>>,
}

/// A key derived for a day, a region and a service.
#[derive(Clone)]
struct Derived {
    service: Box<str>,
    date: Box<str>,
    region: Box<str>,
    key: SigningKey,
}

/// What a request's session token is to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenMatch {
    /// The one that the key has, or none where it has none.
    Same,
    /// Another one, or one too many, or none.
    Other,
}

impl KeyRing {
    /// The ring of these keys, and the rights of their principals.
    ///
    /// # Errors
    /// What is wrong with the rights, a line for each principal.
    pub fn new(callers: LoadedCallers) -> Result<Self, String> {
        let LoadedCallers { keys: loaded, certificates: named, .. } = callers;
        let (mut principals, mut faults) = (HashMap::new(), Vec::new());
        let mut compiled = |written: &Arc<config::Principal>| {
            let principal = principals.entry(written.name.clone()).or_insert_with(|| {
                Principal::of(written).map(Arc::new).map_err(|fault| faults.push(fault)).ok()
            });
            principal.clone()
        };
        let held = loaded.into_iter().filter_map(|key| {
            let principal = compiled(&key.principal)?;
            Some((key.access_key_id.clone().into(), HeldKey::new(key, principal)))
        });
        let keys = held.collect();
        let of_names = named.into_iter().filter_map(|(name, written)| Some((name, compiled(&written)?)));
        let certificates = of_names.collect();
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        let unknown = HeldKey {
            secret: SecretBytes::from("the secret of no key, as long as others are".to_owned()),
            session_token: None,
            not_after: None,
            principal: None,
            derived: ArcSwap::default(),
        };
        let number = RINGS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { number, keys, certificates, unknown })
    }

    /// The roles of the principals, each once or more often.
    pub fn roles(&self) -> impl Iterator<Item = Arc<PrincipalRole>> {
        let of_keys = self.keys.values().filter_map(|key| key.principal.as_ref());
        of_keys.chain(self.certificates.values()).filter_map(|principal| principal.role.clone())
    }

    /// Whose client certificates have a name: one for each of these names that is somebody's.
    pub(super) fn holders<'a>(
        &'a self,
        names: &'a [CertificateName],
    ) -> impl Iterator<Item = &'a Arc<Principal>> {
        names.iter().filter_map(|name| self.certificates.get(name))
    }

    /// The number of the ring, which no other one has.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The key with that public part, or what stands for one that is not there.
    pub(super) fn find(&self, access_key_id: &str) -> &HeldKey {
        self.keys.get(access_key_id).unwrap_or(&self.unknown)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyRing({} keys)", self.keys.len())
    }
}

impl HeldKey {
    fn new(key: LoadedKey, principal: Arc<Principal>) -> Self {
        let LoadedKey { secret, session_token, not_after, .. } = key;
        Self { secret, session_token, not_after, principal: Some(principal), derived: ArcSwap::default() }
    }

    /// Whose key it is; `None` if there is no such key.
    pub(super) fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// When the key stops to be valid, if it does.
    pub(super) fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// True from the moment on at which the key stops to be valid.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|not_after| not_after <= now)
    }

    /// True for a key whose requests carry a session token.
    pub(super) fn is_temporary(&self) -> bool {
        self.session_token.is_some()
    }

    /// Compares a request's session token with that of the key, in a time that does not depend on their bytes.
    pub(super) fn compare_token(&self, sent: Option<&[u8]>) -> TokenMatch {
        let is_same = match (&self.session_token, sent) {
            (None, None) => true,
            (Some(token), Some(sent)) => verify_slices_are_equal(token.expose(), sent).is_ok(),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if is_same { TokenMatch::Same } else { TokenMatch::Other }
    }

    /// True if the signature is that of the text by this key, derived for the scope.
    pub(super) fn verify(&self, scope: &KeyScope<'_>, string_to_sign: &[u8], signature: &str) -> bool {
        let derived = self.derived.load();
        let is_of_scope = |derived: &&Derived| {
            *derived.date == *scope.date
                && *derived.region == *scope.region
                && *derived.service == *scope.service
        };
        match derived.iter().find(is_of_scope) {
            Some(derived) => derived.key.verify(string_to_sign, signature),
            None => self.derive(scope).verify(string_to_sign, signature),
        }
    }

    /// Derives the key of a scope and keeps it, whoever has asked: a key that is not there must not be found faster or slower.
    fn derive(&self, scope: &KeyScope<'_>) -> SigningKey {
        let key = SigningKey::derive(self.secret.expose(), scope);
        let KeyScope { date, region, service } = scope;
        let [service, date, region] = [service, date, region].map(|part| Box::from(*part));
        let derived = Derived { service, date, region, key: key.clone() };
        self.derived.rcu(|kept| {
            let others = kept.iter().take(DERIVED_MAX - 1).cloned();
            std::iter::once(derived.clone()).chain(others).collect::<Vec<_>>()
        });
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Principal, Rights};

    fn ring() -> KeyRing {
        let principal = Arc::new(Principal { name: "shop".to_owned(), rights: Rights::Nothing, role: None });
        let key = LoadedKey {
            access_key_id: "AKID".to_owned(),
            secret: SecretBytes::from("secret".to_owned()),
            session_token: Some(SecretBytes::from("token".to_owned())),
            not_after: Timestamp::parse("20261121T080910Z"),
            principal,
        };
        KeyRing::new(LoadedCallers { keys: vec![key], ..LoadedCallers::default() }).unwrap()
    }

    #[test]
    fn few_derived_keys_are_kept_and_each_verifies() {
        let ring = ring();
        let key = ring.find("AKID");
        for nth in (0..20).chain(0..20) {
            let region = format!("region-{nth}");
            let scope = KeyScope { date: "20261121", region: &region, service: "dynamodb" };
            let signature = SigningKey::derive(b"secret", &scope).sign(b"text");
            let signature = std::str::from_utf8(&signature).unwrap();
            for _ in 0..2 {
                assert!(key.verify(&scope, b"text", signature));
                assert!(!key.verify(&scope, b"texts", signature));
                assert!(!ring.find("other").verify(&scope, b"text", signature));
            }
            assert!(key.derived.load().len() <= DERIVED_MAX);
            assert_eq!(key.derived.load().len(), ring.unknown.derived.load().len());
        }
        assert_eq!(key.derived.load().len(), DERIVED_MAX);
    }

    #[test]
    fn a_key_ends_at_its_time_and_wants_its_own_token() {
        let ring = ring();
        let key = ring.find("AKID");
        let at = |text: &str| key.is_expired(Timestamp::parse(text).unwrap());
        assert!(!at("20261121T080909Z") && at("20261121T080910Z"));
        assert_eq!(key.compare_token(Some(b"token")), TokenMatch::Same);
        for other in [None, Some(&b"tokem"[..]), Some(b""), Some(b"tokens")] {
            assert_eq!(key.compare_token(other), TokenMatch::Other);
        }
        assert_eq!(ring.unknown.compare_token(None), TokenMatch::Same);
        assert_eq!(ring.unknown.compare_token(Some(b"token")), TokenMatch::Other);
        assert_eq!(format!("{ring:?}"), "KeyRing(1 keys)");
    }
}
