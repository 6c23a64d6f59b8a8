//! What the node says of itself in its fleet, so that the others tell DAX clients of it, and what it tells them of the others.

use std::net::SocketAddr;

use super::fleet::FleetPart;
use crate::config::{AdvertisedAddress, Fixed};
use crate::frontend::{DaxDoors, DaxFleet, introduction};
use crate::listen::Listeners;

/// Introduces the node to its fleet. `None` where clients are told of this node alone: without a fleet, and if nobody elsewhere would
/// know where it is.
pub(super) fn join(fixed: &Fixed, doors: &DaxDoors, fleet: Option<&FleetPart>) -> Option<DaxFleet> {
    let (section, fleet) = (fixed.fleet.as_ref()?, fleet?);
    let plain = doors.plain.as_ref().map(Listeners::addresses);
    let tls = doors.tls.as_ref().map(|door| door.listeners.addresses());
    if plain.is_none() && tls.is_none() {
        return None;
    }
    match words(&fixed.dax.advertise, plain.as_deref(), tls.as_deref()) {
        Some(words) => {
            Some(DaxFleet { node: section.node.as_str().into(), members: fleet.introduce_as(&words) })
        }
        None => {
            tracing::info!(
                "DAX clients are told of this node alone, and by the other nodes of its fleet not of it: set dax.advertise to change that."
            );
            None
        }
    }
}

/// What the node says that listens there; what is advertised counts first.
fn words(
    advertised: &[AdvertisedAddress],
    plain: Option<&[SocketAddr]>,
    tls: Option<&[SocketAddr]>,
) -> Option<String> {
    let places = |listeners: Option<&[SocketAddr]>| match listeners {
        None => Vec::new(),
        Some(_) if !advertised.is_empty() => advertised.to_vec(),
        Some(addresses) => addresses.iter().filter_map(reached_from_elsewhere).collect(),
    };
    introduction(&places(plain), &places(tls))
}

/// An address that means the same on other machines, as far as anybody can see.
fn reached_from_elsewhere(address: &SocketAddr) -> Option<AdvertisedAddress> {
    let ip = address.ip().to_canonical();
    let is_here_only = ip.is_unspecified() || ip.is_loopback();
    (!is_here_only).then(|| SocketAddr::new(ip, address.port()).to_string().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(advertised: &[&str], plain: Option<&str>, tls: Option<&str>) -> Option<String> {
        let advertised: Vec<_> = advertised.iter().map(|text| text.parse().unwrap()).collect();
        let [plain, tls] = [plain, tls].map(|address| address.map(|address| vec![address.parse().unwrap()]));
        words(&advertised, plain.as_deref(), tls.as_deref())
    }

    #[test]
    fn the_others_hear_what_is_advertised_or_where_it_is_reached_from_elsewhere() {
        let (plain, tls) = (Some("10.0.0.7:8111"), Some("10.0.0.7:9111"));
        assert_eq!(said(&[], plain, tls).unwrap(), "dax=10.0.0.7:8111 daxs=10.0.0.7:9111");
        assert_eq!(said(&["127.0.0.1:1"], Some("0.0.0.0:8111"), None).unwrap(), "dax=127.0.0.1:1");
        assert_eq!(said(&["node-1:1"], None, tls).unwrap(), "daxs=node-1:1");
        for nowhere in
            ["127.0.0.1:8111", "[::1]:8111", "0.0.0.0:8111", "[::]:8111", "[::ffff:127.0.0.1]:8111"]
        {
            assert_eq!(said(&[], Some(nowhere), None), None, "{nowhere}");
        }
    }
}
