//! What must hold between keys, and of a key together with where it stands.

use std::collections::BTreeSet;

use super::address::{ListenAddress, ListenHost};
use super::draft::{Draft, KeyName};
use super::error::{Fault, Origin};
use super::fixed::{AuthMode, UpstreamKind};
use super::fleet::{Ack, CutOff, WhenStale};
use super::units::{ByteSize, TimeToLive};

/// A rule: the keys that it is about, and what is wrong if it is broken.
type Rule = (&'static [KeyName], fn(&Draft) -> Option<Fault>);

const RULES: &[Rule] = &[
    (&[("server", "request_bytes_max"), ("server", "bodies_bytes_max")], bodies_hold_two_requests),
    (&[("server", "listen"), ("auth", "mode")], listen_needs_consent),
    (&[("admin", "listen")], admin_needs_consent),
    (&[("auth", "mode")], verified_callers_have_keys),
    (&[("upstream", "kind"), ("upstream", "endpoint")], roles_have_a_remote_upstream),
    (&[("auth", "account")], roles_are_of_the_account),
    (&[("server.tls", "listen"), ("server.tls", "client_ca"), ("auth", "mode")], tls_needs_consent),
    (&[("server.tls", "cert"), ("server.tls", "key")], tls_has_a_pair),
    (&[("server.tls", "client_ca")], certificates_have_an_authority),
    (&[("server", "listen"), ("admin", "listen")], listeners_differ),
    (&[("server", "listen"), ("server.tls", "listen")], tls_listener_differs),
    (&[("admin", "listen"), ("server.tls", "listen")], tls_listener_differs_from_admin),
    (&[("dax", "listen"), ("auth", "mode")], dax_needs_consent),
    (&[("dax", "tls_listen"), ("server.tls", "client_ca"), ("auth", "mode")], dax_tls_needs_consent),
    (&[("dax", "tls_listen"), ("server.tls", "cert")], dax_tls_has_a_certificate),
    (&[("dax", "listen"), ("dax", "tls_listen")], dax_listens_on_tcp),
    (&[("dax", "listen"), ("dax", "tls_listen")], dax_listeners_have_ports_of_their_own),
    (&[("dax", "advertise")], one_address_of_each_family_is_advertised),
    (&[("upstream", "kind"), ("upstream", "region")], upstream_has_a_region),
    (&[("upstream", "region")], region_fits_a_host),
    (&[("upstream", "endpoint"), ("server", "listen"), ("server.tls", "listen")], upstream_is_another),
    (&[("tracing", "otlp_endpoint")], spans_can_be_exported),
    (&[("fleet", "url")], fleet_has_a_bus),
    (&[("fleet", "secret_file")], fleet_has_a_secret),
    (&[("upstream", "kind"), ("upstream", "endpoint")], fleet_has_a_remote_upstream),
    (&[("fleet", "url")], bus_off_loopback_is_encrypted),
    (&[("fleet", "url"), ("fleet", "password_file")], bus_user_has_a_password),
    (&[("fleet", "ack"), ("fleet", "when_stale")], strict_nodes_bypass),
    (&[("fleet", "ack"), ("fleet", "cut_off")], strict_nodes_refuse),
    (&[("fleet", "lease"), ("fleet", "silence_grace")], silence_outlasts_a_lease),
    (&[("fleet", "lease"), ("fleet", "ack_timeout")], writes_outwait_a_lease),
];

/// Every broken rule of a draft that is resolved, but for those about keys that could not be read: nothing can be said of them.
pub(super) fn broken(draft: &Draft, unread: &BTreeSet<KeyName>) -> Vec<Fault> {
    let applies = |(keys, _): &&Rule| !keys.iter().any(|key| unread.contains(key));
    RULES.iter().filter(applies).filter_map(|(_, rule)| rule(draft)).collect()
}

/// A body is in memory compressed and not, so one of the largest must fit twice, or no such request is ever served.
fn bodies_hold_two_requests(draft: &Draft) -> Option<Fault> {
    let (request, bodies) = (draft.fixed.request_bytes_max, draft.fixed.bodies_bytes_max);
    let least = ByteSize(request.0.saturating_mul(2));
    if bodies >= least {
        return None;
    }
    let message = format!(
        "bodies_bytes_max = \"{bodies}\" must be at least twice request_bytes_max = \"{request}\"; write at least \"{least}\""
    );
    let own = draft.origin("server", "bodies_bytes_max");
    let origin = if own == Origin::Default { draft.origin("server", "request_bytes_max") } else { own };
    Some(Fault { origin, message })
}

fn listen_needs_consent(draft: &Draft) -> Option<Fault> {
    match draft.fixed.auth_mode {
        AuthMode::None => needs_consent(draft, &draft.fixed.listen, ("server", "listen")),
        AuthMode::SigV4 => None,
    }
}

fn admin_needs_consent(draft: &Draft) -> Option<Fault> {
    needs_consent(draft, &draft.fixed.admin_listen, ("admin", "listen"))
}

/// With client certificates, nobody comes in who is not known to the authority that the operator named.
fn tls_needs_consent(draft: &Draft) -> Option<Fault> {
    let address = draft.fixed.tls_listen.as_ref()?;
    needs_consent_without_certificates(draft, address, ("server.tls", "listen"))
}

fn dax_needs_consent(draft: &Draft) -> Option<Fault> {
    let address = draft.fixed.dax.listen.as_ref()?;
    match draft.fixed.auth_mode {
        AuthMode::None => needs_consent(draft, address, ("dax", "listen")),
        AuthMode::SigV4 => None,
    }
}

fn dax_tls_needs_consent(draft: &Draft) -> Option<Fault> {
    let address = draft.fixed.dax.tls_listen.as_ref()?;
    needs_consent_without_certificates(draft, address, ("dax", "tls_listen"))
}

fn needs_consent_without_certificates(draft: &Draft, address: &ListenAddress, key: KeyName) -> Option<Fault> {
    match (draft.fixed.auth_mode, &draft.live.tls.client_ca) {
        (AuthMode::None, None) => needs_consent(draft, address, key),
        (AuthMode::None, Some(_)) | (AuthMode::SigV4, _) => None,
    }
}

fn dax_tls_has_a_certificate(draft: &Draft) -> Option<Fault> {
    let address = draft.fixed.dax.tls_listen.as_ref().filter(|_| draft.tls_origin().is_none())?;
    Some(Fault {
        origin: draft.origin("dax", "tls_listen"),
        message: format!(
            "dax.tls_listen = \"{address}\" needs the certificate of [server.tls]; write cert and key there"
        ),
    })
}

/// DAX clients know no other, and are told an address and a port.
fn dax_listens_on_tcp(draft: &Draft) -> Option<Fault> {
    let dax = &draft.fixed.dax;
    let listeners = [("listen", &dax.listen), ("tls_listen", &dax.tls_listen)];
    let is_unix = |address: &ListenAddress| matches!(address.host(), ListenHost::Unix(_));
    let mut found = listeners.into_iter().filter_map(|(key, address)| Some((key, address.as_ref()?)));
    let (key, address) = found.find(|(_, address)| is_unix(address))?;
    Some(Fault {
        origin: draft.origin("dax", key),
        message: format!(
            "dax.{key} = \"{address}\": DAX clients connect over TCP only; write HOST:PORT, such as \"127.0.0.1:8111\""
        ),
    })
}

fn dax_listeners_have_ports_of_their_own(draft: &Draft) -> Option<Fault> {
    let fixed = &draft.fixed;
    let all: [(KeyName, Option<&ListenAddress>); 5] = [
        (("server", "listen"), Some(&fixed.listen)),
        (("server.tls", "listen"), fixed.tls_listen.as_ref()),
        (("admin", "listen"), Some(&fixed.admin_listen)),
        (("dax", "listen"), fixed.dax.listen.as_ref()),
        (("dax", "tls_listen"), fixed.dax.tls_listen.as_ref()),
    ];
    let listeners: Vec<_> = all.into_iter().filter_map(|(key, address)| Some((key, address?))).collect();
    let pairs = listeners.iter().enumerate().flat_map(|(nth, one)| {
        listeners[nth + 1..].iter().filter(|(key, _)| key.0 == "dax").map(move |other| (one, other))
    });
    let mut colliding = pairs.filter(|((_, one), (_, other))| one.collides_with(other));
    let ((one_key, one), (other_key, other)) = colliding.next()?;
    Some(Fault {
        origin: draft.origin(one_key.0, one_key.1).max(draft.origin(other_key.0, other_key.1)),
        message: format!(
            "{}.{} = \"{one}\" and {}.{} = \"{other}\" need ports of their own",
            one_key.0, one_key.1, other_key.0, other_key.1
        ),
    })
}

/// A client takes one of the addresses that it is told, and cannot know which of two reaches the node.
fn one_address_of_each_family_is_advertised(draft: &Draft) -> Option<Fault> {
    let advertised = &draft.fixed.dax.advertise;
    let mut pairs = advertised
        .iter()
        .enumerate()
        .flat_map(|(nth, one)| advertised[nth + 1..].iter().map(move |other| (one, other)));
    let (one, other) = pairs.find(|(one, other)| one.is_of_family_of(other))?;
    Some(Fault {
        origin: draft.origin("dax", "advertise"),
        message: format!(
            "dax.advertise: \"{one}\" and \"{other}\" are of one family; write one IPv4 address, one IPv6 address, or one name"
        ),
    })
}

fn tls_has_a_pair(draft: &Draft) -> Option<Fault> {
    let origin = draft.tls_origin()?;
    let tls = &draft.live.tls;
    let (key, example) = match (&tls.cert, &tls.key) {
        (None, _) => ("cert", "server.pem"),
        (_, None) => ("key", "server.key"),
        (Some(_), Some(_)) => return None,
    };
    Some(Fault { origin, message: format!("server.tls.{key} is missing; write {key} = \"{example}\"") })
}

/// Without an authority no client is asked for a certificate, and nobody would be that principal.
fn certificates_have_an_authority(draft: &Draft) -> Option<Fault> {
    if draft.live.tls.client_ca.is_some() {
        return None;
    }
    let callers = &draft.live.callers;
    let nth = callers.principals.iter().position(|principal| principal.certificate.is_some())?;
    Some(Fault {
        // Where it stands is known unless another one could not be read.
        origin: draft.caller_places.principals.get(nth).cloned().unwrap_or_default(),
        message: format!(
            "auth.principals: the certificate of the principal {:?} needs client_ca of [server.tls], the authority that signs it",
            callers.principals[nth].name
        ),
    })
}

/// Callers are not verified, so an address that others can reach is the operator's explicit choice.
fn needs_consent(draft: &Draft, address: &ListenAddress, (section, key): KeyName) -> Option<Fault> {
    let is_safe = address.is_loopback() || draft.fixed.accepts_unauthenticated;
    (!is_safe).then(|| Fault {
        origin: draft.origin(section, key),
        message: format!(
            "{address} is off loopback and callers are not verified; give --i-accept-unauthenticated (or set NEARSIDE_I_ACCEPT_UNAUTHENTICATED=true) to listen there all the same"
        ),
    })
}

/// Without a key nobody could call, and a request would be the first to say so.
fn verified_callers_have_keys(draft: &Draft) -> Option<Fault> {
    // Keys that could not be read have places too.
    let has_certificates =
        draft.live.callers.principals.iter().any(|principal| principal.certificate.is_some());
    let lacks =
        draft.fixed.auth_mode == AuthMode::SigV4 && draft.caller_places.keys.is_empty() && !has_certificates;
    lacks.then(|| Fault {
        origin: draft.origin("auth", "mode"),
        message: "auth.mode = \"sigv4\" needs a key; write [[auth.keys]] with access_key_id and secret_file"
            .to_owned(),
    })
}

/// The local backend knows no roles: a principal would be served as if it had none.
fn roles_have_a_remote_upstream(draft: &Draft) -> Option<Fault> {
    let (_, _, place) = draft.live.callers.roles(&draft.caller_places).next()?;
    if draft.fixed.upstream != UpstreamKind::Local {
        return None;
    }
    let message = "role_arn needs a remote upstream, and the local backend knows no roles; name an upstream, or leave role_arn out";
    Some(Fault { origin: place.clone(), message: message.to_owned() })
}

/// In another account a name means another table, and the cache would show one for the other.
fn roles_are_of_the_account(draft: &Draft) -> Option<Fault> {
    let account = draft.fixed.auth_account.as_ref()?;
    let mut roles = draft.live.callers.roles(&draft.caller_places);
    let (_, role, place) = roles.find(|(_, role, _)| role.account() != account)?;
    let message = format!(
        "role_arn: the account {:?} is not auth.account = \"{account}\"; all roles are of the account whose tables are cached",
        role.account()
    );
    Some(Fault { origin: place.clone(), message })
}

fn listeners_differ(draft: &Draft) -> Option<Fault> {
    let (listen, admin) = (&draft.fixed.listen, &draft.fixed.admin_listen);
    listen.collides_with(admin).then(|| Fault {
        origin: draft.origin("server", "listen").max(draft.origin("admin", "listen")),
        message: format!(
            "server.listen = \"{listen}\" and admin.listen = \"{admin}\" need ports of their own"
        ),
    })
}

fn tls_listener_differs(draft: &Draft) -> Option<Fault> {
    differs_from_tls(draft, &draft.fixed.listen, "server")
}

fn tls_listener_differs_from_admin(draft: &Draft) -> Option<Fault> {
    differs_from_tls(draft, &draft.fixed.admin_listen, "admin")
}

fn differs_from_tls(draft: &Draft, other: &ListenAddress, section: &'static str) -> Option<Fault> {
    let tls = draft.fixed.tls_listen.as_ref().filter(|tls| tls.collides_with(other))?;
    Some(Fault {
        origin: draft.origin(section, "listen").max(draft.origin("server.tls", "listen")),
        message: format!(
            "{section}.listen = \"{other}\" and server.tls.listen = \"{tls}\" need ports of their own"
        ),
    })
}

fn upstream_has_a_region(draft: &Draft) -> Option<Fault> {
    let is_missing = draft.fixed.upstream == UpstreamKind::Aws && draft.fixed.region.is_none();
    is_missing.then(|| Fault {
        origin: draft.origin("upstream", "kind"),
        message: "the upstream \"aws\" needs a region; give --region or AWS_REGION, such as eu-central-1"
            .to_owned(),
    })
}

/// The region becomes part of a host's name, of ARNs, and of directories of the local backend. One that AWS cannot have, such as a
/// placeholder, would make a host that no lookup ever finds.
fn region_fits_a_host(draft: &Draft) -> Option<Fault> {
    let region = draft.fixed.region.as_deref()?;
    let fits = match draft.fixed.upstream {
        UpstreamKind::Aws => is_aws_region(region),
        UpstreamKind::Local | UpstreamKind::Endpoint(_) => {
            region.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        }
    };
    (!fits).then(|| Fault {
        origin: draft.origin("upstream", "region"),
        message: format!("{region:?} is not a region; write one such as \"eu-central-1\""),
    })
}

/// True for words of lower-case letters and a number, joined by hyphens, as are all regions of all partitions: `us-east-1`,
/// `us-gov-west-1`, `eusc-de-east-1`.
fn is_aws_region(region: &str) -> bool {
    let Some((words, number)) = region.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && words.contains('-') && words.split('-').all(is_word)
}

fn upstream_is_another(draft: &Draft) -> Option<Fault> {
    let UpstreamKind::Endpoint(endpoint) = &draft.fixed.upstream else { return None };
    let listeners = [Some(&draft.fixed.listen), draft.fixed.tls_listen.as_ref()];
    listeners.into_iter().flatten().any(|listener| listener.is_reached_by(endpoint)).then(|| Fault {
        origin: draft.origin("upstream", "endpoint"),
        message: format!("the upstream {endpoint} is this node itself; listen on another port"),
    })
}

fn spans_can_be_exported(draft: &Draft) -> Option<Fault> {
    let is_missing = draft.fixed.otlp_endpoint.is_some() && !cfg!(feature = "otlp");
    is_missing.then(|| Fault {
        origin: draft.origin("tracing", "otlp_endpoint"),
        message: "otlp_endpoint needs a build with --features otlp; leave it out in this one".to_owned(),
    })
}

fn fleet_has_a_bus(draft: &Draft) -> Option<Fault> {
    let origin = draft.fleet_origin().filter(|_| draft.fleet.url.is_none())?;
    let message = "fleet.url is missing; write url = \"rediss://USER@HOST:6379\"".to_owned();
    Some(Fault { origin, message })
}

fn fleet_has_a_secret(draft: &Draft) -> Option<Fault> {
    let origin = draft.fleet_origin().filter(|_| draft.fleet.secret_file.is_none())?;
    let message = "fleet.secret_file is missing; write 32 bytes or more into a file (openssl rand -hex 32), the same for all nodes";
    Some(Fault { origin, message: message.to_owned() })
}

fn fleet_has_a_remote_upstream(draft: &Draft) -> Option<Fault> {
    let origin = draft.fleet_origin().filter(|_| draft.fixed.upstream == UpstreamKind::Local)?;
    let message = "a fleet shares one upstream, and the local backend belongs to one process; name an upstream, or leave [fleet] out";
    Some(Fault { origin, message: message.to_owned() })
}

/// Whoever changes what is on the way could withhold what has changed.
fn bus_off_loopback_is_encrypted(draft: &Draft) -> Option<Fault> {
    let url = draft.fleet.url.as_ref().filter(|url| !url.tls && !url.is_loopback())?;
    let message = format!("{url} is off loopback and not encrypted; write rediss://");
    Some(Fault { origin: draft.origin("fleet", "url"), message })
}

/// Without a password nobody logs in: the node would silently be the server's default user.
fn bus_user_has_a_password(draft: &Draft) -> Option<Fault> {
    let user = draft.fleet.url.as_ref()?.user.as_ref().filter(|_| draft.fleet.password_file.is_none())?;
    let message = format!(
        "fleet.url names the user {user:?}, who needs a password; write password_file, or leave the user out"
    );
    Some(Fault { origin: draft.origin("fleet", "url"), message })
}

/// A node without a lease that serves anything from memory may serve what a strict write has overwritten.
fn strict_nodes_bypass(draft: &Draft) -> Option<Fault> {
    let is_young = draft.fleet.when_stale == Some(WhenStale::Young);
    (draft.fleet.ack == Ack::All && is_young).then(|| contradiction(draft, "when_stale", "young", "bypass"))
}

/// A node that is cut off must not write: nobody could confirm it.
fn strict_nodes_refuse(draft: &Draft) -> Option<Fault> {
    let written = match draft.fleet.cut_off? {
        CutOff::Degrade => "degrade",
        CutOff::Accept => "accept",
        CutOff::Refuse => return None,
    };
    (draft.fleet.ack == Ack::All).then(|| contradiction(draft, "cut_off", written, "refuse"))
}

/// A key that says something else than follows from `ack = "all"`.
fn contradiction(draft: &Draft, key: &'static str, written: &str, follows: &str) -> Fault {
    Fault {
        origin: draft.origin("fleet", key).max(draft.origin("fleet", "ack")),
        message: format!(
            "{key} = \"{written}\" contradicts ack = \"all\" in [fleet]; write {key} = \"{follows}\", or leave it out"
        ),
    }
}

/// The others distrust a silent node at least as long as it may believe itself to be heard.
fn silence_outlasts_a_lease(draft: &Draft) -> Option<Fault> {
    let (lease, grace) = (draft.fleet.lease, draft.fleet.silence_grace);
    (grace < lease).then(|| Fault {
        origin: draft.origin("fleet", "lease").max(draft.origin("fleet", "silence_grace")),
        message: format!(
            "silence_grace = \"{}\" of [fleet] must be at least lease = \"{}\"",
            TimeToLive::For(grace),
            TimeToLive::For(lease)
        ),
    })
}

/// A node that has stopped is known to have stopped only when its lease has ended, so a write must be able to wait for that. A
/// node that degrades waits twice as long, and for what the bus's clock may step back, before it answers without the bus.
fn writes_outwait_a_lease(draft: &Draft) -> Option<Fault> {
    let fleet = &draft.fleet;
    let degrades = fleet.ack == Ack::Receipt && fleet.cut_off.unwrap_or(CutOff::Degrade) == CutOff::Degrade;
    let (wait, words) = match degrades {
        // A twentieth for clocks that differ.
        true => (
            (fleet.lease + fleet.lease / 20) * 2 + fleet.clock_step,
            "twice lease and clock_step together, and a little more:",
        ),
        false => (fleet.lease, "lease ="),
    };
    (wait >= fleet.ack_timeout).then(|| Fault {
        origin: draft
            .origin("fleet", "lease")
            .max(draft.origin("fleet", "ack_timeout"))
            .max(draft.origin("fleet", "clock_step")),
        message: format!(
            "ack_timeout = \"{}\" of [fleet] must be longer than {words} \"{}\"",
            TimeToLive::For(fleet.ack_timeout),
            TimeToLive::For(wait)
        ),
    })
}
