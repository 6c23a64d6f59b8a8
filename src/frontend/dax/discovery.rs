//! Where DAX clients are told to connect.
//!
//! Clients connect to the addresses that `endpoints` answers, and only once to the one that they were configured with. They ask every
//! few seconds, and this node is always the one answer: what the operator advertises, else the address at which the question came in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::lookup_host;
use tokio::time::Instant;

use crate::config::{AdvertisedAddress, AdvertisedHost};
use crate::dax::cbor::Writer;
use crate::locks::lock;

/// How long the addresses of a name are used before it is looked up again.
const LOOKED_UP_FOR: Duration = Duration::from_secs(30);

/// The node's number among the nodes that are listed, of which it is the only one.
const NODE_ID: i64 = 1;

/// What nodes can be: one that takes writes, or one that passes them on.
const ROLE_LEADER: i64 = 1;

/// Clients want some text for a zone.
const ZONE: &str = "nearside";

/// Stays the same as long as the leader does.
const LEADER_SESSION: i64 = 1;

/// The addresses of this node as clients reach it.
#[derive(Debug)]
pub(in super::super) struct Discovery {
    advertised: Vec<Arc<Advertised>>,
}

#[derive(Debug)]
struct Advertised {
    address: AdvertisedAddress,
    /// What its host means: itself, or what a lookup has found last.
    ips: ArcSwapOption<Vec<IpAddr>>,
    /// When the next lookup is due; `None` for what needs none.
    lookup_due: Mutex<Option<Instant>>,
}

impl Discovery {
    /// Tells clients these addresses; without any, where they are.
    pub(in super::super) fn new(advertised: &[AdvertisedAddress]) -> Self {
        Self { advertised: advertised.iter().cloned().map(Advertised::new).map(Arc::new).collect() }
    }

    /// Has names looked up, so that the first client hears what they mean.
    pub(in super::super) fn begin(&self) {
        for advertised in &self.advertised {
            advertised.places();
        }
    }

    /// The one node and where it is, for a client that has connected to `local`; `None` if that cannot be told. It never waits: a
    /// name is looked up in the background, and means what it meant before until then.
    pub(super) fn answer(&self, local: Option<SocketAddr>) -> Option<Vec<u8>> {
        let local = local.map(|local| SocketAddr::new(local.ip().to_canonical(), local.port()));
        let wants_ipv4 = local.is_none_or(|local| local.is_ipv4());
        let places: Vec<(SocketAddr, String)> =
            self.advertised.iter().flat_map(|advertised| advertised.places()).collect();
        let advertised = places.iter().find(|(place, _)| place.is_ipv4() == wants_ipv4).or(places.first());
        let (place, host) = match advertised {
            Some((place, host)) => (*place, host.clone()),
            None => local.map(|local| (local, local.ip().to_string()))?,
        };
        Some(written(place, &host))
    }
}

impl Advertised {
    fn new(address: AdvertisedAddress) -> Self {
        let (ips, lookup_due) = match address.host() {
            AdvertisedHost::Address(ip) => (Some(Arc::new(vec![*ip])), None),
            AdvertisedHost::Name(_) => (None, Some(Instant::now())),
        };
        Self { address, ips: ArcSwapOption::new(ips), lookup_due: Mutex::new(lookup_due) }
    }

    /// What it means now, each with the host as written.
    fn places(self: &Arc<Self>) -> Vec<(SocketAddr, String)> {
        let host = match self.address.host() {
            AdvertisedHost::Address(ip) => ip.to_string(),
            AdvertisedHost::Name(name) => {
                self.refresh(name);
                name.clone()
            }
        };
        let ips = self.ips.load_full();
        let places = ips.iter().flat_map(|ips| ips.iter());
        places.map(|ip| (SocketAddr::new(*ip, self.address.port()), host.clone())).collect()
    }

    /// Has a name looked up, if that is due.
    fn refresh(self: &Arc<Self>, name: &str) {
        let now = Instant::now();
        {
            let mut due = lock(&self.lookup_due);
            if due.is_none_or(|due| now < due) {
                return;
            }
            *due = Some(now + LOOKED_UP_FOR);
        }
        let (advertised, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            match lookup_host((name.as_str(), advertised.address.port())).await {
                Ok(found) => advertised.take(found.map(|address| address.ip().to_canonical()).collect()),
                Err(error) => tracing::warn!(name, %error, "A name of dax.advertise cannot be looked up."),
            }
        });
    }

    /// Takes over what a lookup has found. The order of the answer says nothing, and clients drop a node whose address changes.
    fn take(&self, mut found: Vec<IpAddr>) {
        found.sort_unstable();
        if !found.is_empty() {
            self.ips.store(Some(Arc::new(found)));
        }
    }
}

/// The answer that names one node: exactly the keys that all clients know, each with the type that the strictest expects.
fn written(place: SocketAddr, host: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + host.len());
    let mut writer = Writer::new(&mut bytes);
    // No error.
    writer.array(0);
    writer.array(1);
    writer.map(7);
    writer.int(0);
    writer.int(NODE_ID);
    writer.int(1);
    writer.text(host);
    writer.int(2);
    match place.ip() {
        IpAddr::V4(ip) => writer.bytes(&Ipv4Addr::octets(&ip)),
        IpAddr::V6(ip) => writer.bytes(&ip.octets()),
    }
    writer.int(3);
    writer.int(i64::from(place.port()));
    writer.int(4);
    writer.int(ROLE_LEADER);
    writer.int(5);
    writer.text(ZONE);
    writer.int(6);
    writer.int(LEADER_SESSION);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(advertised: &[&str], local: &str) -> (Vec<u8>, i64) {
        let advertised: Vec<_> = advertised.iter().map(|text| text.parse().unwrap()).collect();
        read(&Discovery::new(&advertised).answer(Some(local.parse().unwrap())).unwrap())
    }

    /// The address and the port of an answer.
    fn read(answer: &[u8]) -> (Vec<u8>, i64) {
        assert_eq!(answer[..4], [0x80, 0x81, 0xa7, 0x00]);
        let at = |key: u8, kind: &[u8]| {
            let marked = [&[key], kind].concat();
            answer.windows(marked.len()).rposition(|window| window == marked).map(|at| at + marked.len())
        };
        let ip = at(2, &[0x44]).map(|at| answer[at..at + 4].to_vec());
        let ip = ip.unwrap_or_else(|| at(2, &[0x50]).map(|at| answer[at..at + 16].to_vec()).unwrap());
        let port = at(3, &[0x19]).unwrap();
        (ip, i64::from(u16::from_be_bytes([answer[port], answer[port + 1]])))
    }

    #[test]
    fn without_an_advertised_address_a_client_is_told_where_it_is() {
        assert_eq!(told(&[], "127.0.0.1:8111"), (vec![127, 0, 0, 1], 8111));
        assert_eq!(told(&[], "[::ffff:10.0.0.7]:8111"), (vec![10, 0, 0, 7], 8111));
        let ipv6 = told(&[], "[::1]:8111");
        assert_eq!((ipv6.0.len(), ipv6.0[15], ipv6.1), (16, 1, 8111));
        assert!(Discovery::new(&[]).answer(None).is_none());
    }

    #[test]
    fn an_advertised_address_is_that_of_the_clients_family_if_there_is_one() {
        let both = ["10.0.0.7:18111", "[2001:db8::7]:18112"];
        assert_eq!(told(&both, "172.17.0.2:8111"), (vec![10, 0, 0, 7], 18111));
        assert_eq!(told(&both, "[::1]:8111").1, 18112);
        assert_eq!(told(&both[..1], "[::1]:8111"), (vec![10, 0, 0, 7], 18111));
        assert_eq!(told(&both[1..], "127.0.0.1:8111").1, 18112);
    }

    #[test]
    fn the_answer_is_what_clients_were_seen_to_take() {
        let answer = Discovery::new(&[]).answer(Some(([127, 0, 0, 1], 8111).into())).unwrap();
        let expected = [
            &[0x80, 0x81, 0xa7, 0, 1, 1, 0x69][..],
            b"127.0.0.1",
            &[2, 0x44, 127, 0, 0, 1, 3, 0x19, 0x1f, 0xaf, 4, 1, 5, 0x68],
            b"nearside",
            &[6, 1],
        ];
        assert_eq!(answer, expected.concat());
    }

    #[tokio::test]
    async fn a_name_is_told_as_its_addresses_once_they_are_known() {
        let discovery = Discovery::new(&["localhost:18111".parse().unwrap()]);
        let local = Some(SocketAddr::from(([127, 0, 0, 9], 8111)));
        // The first client hears what it knows; the lookup is on its way.
        assert_eq!(read(&discovery.answer(local).unwrap()).1, 8111);
        discovery.advertised[0].take(vec![IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(read(&discovery.answer(local).unwrap()), (vec![127, 0, 0, 1], 18111));
        // A lookup that finds nothing changes nothing.
        discovery.advertised[0].take(Vec::new());
        assert_eq!(read(&discovery.answer(local).unwrap()), (vec![127, 0, 0, 1], 18111));
    }
}
