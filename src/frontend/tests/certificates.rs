//! Client certificates as principals, with and without a signature.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::verified::{Unsigned, callers, noon};
use crate::config::{CertificateName, LoadedCallers, Principal, Rights};
use crate::frontend::{KeyRing, SignedCallers, SignedRegions};
use crate::model::Timestamp;
use crate::tls::Certificate;

fn certificate(names: &[&str]) -> Certificate {
    Certificate {
        not_before: Timestamp::from(noon()).minus(Duration::from_secs(60)),
        not_after: noon().into(),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

fn holders(pairs: &[(&str, &str)]) -> LoadedCallers {
    let principal =
        |name: &str| Arc::new(Principal { name: name.to_owned(), rights: Rights::Nothing, role: None });
    let pair = |(certificate, name): &(&str, &str)| -> (CertificateName, Arc<Principal>) {
        (certificate.parse().unwrap(), principal(name))
    };
    LoadedCallers { certificates: pairs.iter().map(pair).collect(), ..LoadedCallers::default() }
}

fn holder(callers: &SignedCallers, certificate: &Certificate) -> Result<Option<String>, String> {
    let holder = callers.holder(certificate, noon().into());
    holder.map(|found| found.map(|found| found.name.clone())).map_err(|error| error.to_string())
}

#[test]
fn a_certificate_is_the_principal_of_its_names_until_it_is_withdrawn_or_expires() {
    let pairs = [("URI:spiffe://a/shop", "shop"), ("CN=shop", "shop"), ("DNS:other", "other")];
    let ring = Arc::new(ArcSwap::from_pointee(KeyRing::new(holders(&pairs)).unwrap()));
    let callers = SignedCallers::new(ring, SignedRegions::Any, "eu-west-1");
    for names in [&["CN=shop"][..], &["URI:spiffe://a/shop", "CN=shop"], &["DNS:nobody", "CN=shop"]] {
        assert_eq!(holder(&callers, &certificate(names)), Ok(Some("shop".to_owned())));
    }
    // A name of one kind is none of another, and names are compared whole.
    for names in [&[][..], &["CN=Shop"], &["CN=spiffe://a/shop"], &["URI:spiffe://a/shop/x"], &["DNS:shop"]] {
        assert_eq!(holder(&callers, &certificate(names)), Ok(None), "{names:?}");
    }
    let of_two = holder(&callers, &certificate(&["DNS:other", "CN=shop"])).unwrap_err();
    assert!(of_two.contains("names of several principals"), "{of_two}");
    let shop = certificate(&["CN=shop"]);
    let late = Timestamp::from(noon()).plus(Duration::from_secs(1));
    let expired = callers.holder(&shop, late).unwrap_err().to_string();
    assert!(expired.contains("has expired"), "{expired}");
    callers.replace_keys(KeyRing::new(holders(&pairs[2..])).unwrap());
    assert_eq!(holder(&callers, &shop), Ok(None));
}

#[test]
fn a_signature_counts_and_must_be_of_the_principal_of_the_certificate() {
    let arrived = Unsigned::plain(noon()).signed();
    let verified = |owner: Option<&str>| {
        let callers = callers();
        let (mut loaded, of_certificate) =
            (super::verified::loaded(), owner.map(|owner| [("CN=shop", owner)]));
        loaded.certificates = holders(of_certificate.as_ref().map_or(&[], |pair| pair)).certificates;
        callers.replace_keys(KeyRing::new(loaded).unwrap());
        arrived.verified_with(Some(&certificate(&["CN=shop"])), &callers, noon())
    };
    let owner = "AKIDPLAIN-owner";
    assert_eq!(verified(None), Ok(owner.to_owned()), "the certificate is nobody's");
    assert_eq!(verified(Some(owner)), Ok(owner.to_owned()));
    let denied = verified(Some("AKIDTOKEN-owner")).unwrap_err();
    assert!(denied.contains("of different principals"), "{denied}");
    let mut forged = arrived.clone();
    forged.body = b"{ }".to_vec();
    let certificate = certificate(&["CN=shop"]);
    assert!(forged.verified_with(Some(&certificate), &callers(), noon()).is_err());
}
