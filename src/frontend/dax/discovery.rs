//! Where DAX clients are told to connect.
//!
//! Clients connect to the addresses that `endpoints` answers, and only once to the one that they were configured with. They ask every
//! few seconds. This node is always among the answers: as what the operator advertises, else as the address at which the question
//! came in. In a fleet, the members that say where they are reached stand beside it, each as one that takes writes, as all nodes do:
//! with a sole leader, clients would send it all of their writes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::Instant;

use super::DaxFleet;
use crate::config::{AdvertisedAddress, AdvertisedHost};
use crate::dax::cbor::Writer;
use crate::fleet::Introduced;
use crate::locks::lock;

/// How long the addresses of a name are used before it is looked up again.
const LOOKED_UP_FOR: Duration = Duration::from_secs(30);

/// How soon a name is looked up again that means nothing yet.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// The number of a node that is in no fleet. The others have numbers made from their places.
const NODE_ID: i64 = 1;

/// What nodes can be: one that takes writes, or one that passes them on.
const ROLE_LEADER: i64 = 1;

/// Clients want some text for a zone.
const ZONE: &str = "nearside";

/// Stays the same as long as the leader does.
const LEADER_SESSION: i64 = 1;

/// How a member says where DAX clients reach it without TLS and with it: each of these, and an address.
const PLAIN: &str = "dax=";
const TLS: &str = "daxs=";

/// What a node of a fleet says of itself to the others, so that they tell DAX clients of it: its addresses without TLS, and with it.
/// `None` for a node that has nothing to say.
pub fn introduction<'a>(
    plain: impl IntoIterator<Item = &'a AdvertisedAddress>,
    tls: impl IntoIterator<Item = &'a AdvertisedAddress>,
) -> Option<String> {
    let plain = plain.into_iter().map(|address| format!("{PLAIN}{address}"));
    let words: Vec<_> = plain.chain(tls.into_iter().map(|address| format!("{TLS}{address}"))).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The addresses of this node, and of the others of its fleet, as clients reach them.
#[derive(Debug)]
pub(in super::super) struct Discovery {
    advertised: Vec<Arc<Advertised>>,
    fleet: Option<Others>,
}

/// The nodes of a fleet.
#[derive(Debug)]
struct Others {
    /// The name of this node.
    node: Box<str>,
    members: watch::Receiver<Arc<[Introduced]>>,
    /// What was made of what the members said last.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    said: Arc<[Introduced]>,
    nodes: Arc<[Node]>,
}

/// A member that says where it is.
#[derive(Debug)]
struct Node {
    name: Box<str>,
    plain: Vec<Arc<Advertised>>,
    tls: Vec<Arc<Advertised>>,
}

#[derive(Debug)]
struct Advertised {
    address: AdvertisedAddress,
    /// What its host means: itself, or what a lookup has found last.
    ips: ArcSwapOption<Vec<IpAddr>>,
    /// When the next lookup is due; `None` for what needs none.
    lookup_due: Mutex<Option<Instant>>,
}

/// A node in an answer.
struct Listed {
    id: i64,
    place: SocketAddr,
    host: String,
}

impl Discovery {
    /// Tells clients these addresses; without any, where they are. And those of the fleet's other members.
    pub(in super::super) fn new(advertised: &[AdvertisedAddress], fleet: Option<DaxFleet>) -> Self {
        let fleet = fleet.map(|DaxFleet { node, members }| Others { node, members, known: Mutex::default() });
        Self { advertised: advertised.iter().cloned().map(Advertised::new).map(Arc::new).collect(), fleet }
    }

    /// Has names looked up, so that the first client hears what they mean.
    pub(in super::super) fn begin(&self) {
        for advertised in &self.advertised {
            advertised.places();
        }
    }

    /// The nodes and where they are, for a client that has connected to `local`; `None` if that cannot be told, as long as no name
    /// that is advertised means anything: clients ask again, and would stay at another address. It never waits: a name is looked up in
    /// the background, and means what it meant before until then.
    pub(super) fn answer(&self, local: Option<SocketAddr>, is_over_tls: bool) -> Option<Vec<u8>> {
        let local = local.map(|local| SocketAddr::new(local.ip().to_canonical(), local.port()));
        let wants_ipv4 = local.is_none_or(|local| local.is_ipv4());
        let (place, host) = match chosen(&self.advertised, wants_ipv4) {
            Some(advertised) => advertised,
            None => {
                local.filter(|_| self.advertised.is_empty()).map(|local| (local, local.ip().to_string()))?
            }
        };
        let Some(fleet) = &self.fleet else {
            return Some(written(&[Listed { id: NODE_ID, place, host }]));
        };
        // In the order of their names, so that the answers of all nodes are alike.
        let nodes = fleet.nodes();
        let mut listed: Vec<(&str, Listed)> = vec![(&fleet.node, Listed::at(place, host))];
        for node in nodes.iter().filter(|node| node.name != fleet.node) {
            let advertised = if is_over_tls { &node.tls } else { &node.plain };
            // A balancer in front of several nodes is one place.
            if let Some((place, host)) = chosen(advertised, wants_ipv4)
                && listed.iter().all(|(_, other)| other.place != place)
            {
                listed.push((&node.name, Listed::at(place, host)));
            }
        }
        listed.sort_by_key(|(name, _)| *name);
        let listed: Vec<_> = listed.into_iter().map(|(_, listed)| listed).collect();
        Some(written(&listed))
    }
}

/// Where to send a client of an address family, if that is known, and the host as written.
fn chosen(advertised: &[Arc<Advertised>], wants_ipv4: bool) -> Option<(SocketAddr, String)> {
    let mut places: Vec<_> = advertised.iter().flat_map(|advertised| advertised.places()).collect();
    let of_family = places.iter().position(|(place, _)| place.is_ipv4() == wants_ipv4);
    (!places.is_empty()).then(|| places.swap_remove(of_family.unwrap_or(0)))
}

impl Others {
    /// The members that say where they are. A name keeps what it was found to mean for as long as somebody has it.
    fn nodes(&self) -> Arc<[Node]> {
        let said = Arc::clone(&self.members.borrow());
        let mut known = lock(&self.known);
        if known.said != said {
            let nodes = said.iter().map(|introduced| Node::of(introduced, &known.nodes)).collect();
            *known = Known { said, nodes };
        }
        Arc::clone(&known.nodes)
    }
}

impl Node {
    /// What a member says; what this version does not understand of it is left out.
    fn of(introduced: &Introduced, known: &[Self]) -> Self {
        let addresses = |of: &str| {
            let words = introduced.words.split(' ').filter_map(|word| word.strip_prefix(of)?.parse().ok());
            words.map(|address| Self::advertised(address, known)).collect()
        };
        Self { name: introduced.node.clone(), plain: addresses(PLAIN), tls: addresses(TLS) }
    }

    fn advertised(address: AdvertisedAddress, known: &[Self]) -> Arc<Advertised> {
        let mut known = known.iter().flat_map(|node| node.plain.iter().chain(&node.tls));
        match known.find(|known| known.address == address) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Advertised::new(address)),
        }
    }
}

impl Listed {
    /// A member, with a number that any other one gives it, too: also behind a balancer, where each is at the same place.
    fn at(place: SocketAddr, host: String) -> Self {
        Self { id: i64::from(crc32fast::hash(place.to_string().as_bytes()) >> 1), place, host }
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
            *due = Some(now + if self.ips.load().is_some() { LOOKED_UP_FOR } else { UNKNOWN_FOR });
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

/// The answer that names nodes: exactly the keys that all clients know, each with the type that the strictest expects.
fn written(nodes: &[Listed]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + nodes.len() * 64);
    let mut writer = Writer::new(&mut bytes);
    // No error.
    writer.array(0);
    writer.array(nodes.len());
    for Listed { id, place, host } in nodes {
        writer.map(7);
        writer.int(0);
        writer.int(*id);
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
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(advertised: &[&str], local: &str) -> (Vec<u8>, i64) {
        let advertised: Vec<_> = advertised.iter().map(|text| text.parse().unwrap()).collect();
        read(&Discovery::new(&advertised, None).answer(Some(local.parse().unwrap()), false).unwrap())
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
        assert!(Discovery::new(&[], None).answer(None, false).is_none());
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
        let answer = Discovery::new(&[], None).answer(Some(([127, 0, 0, 1], 8111).into()), false).unwrap();
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
        let discovery = Discovery::new(&["localhost:18111".parse().unwrap()], None);
        let local = Some(SocketAddr::from(([127, 0, 0, 9], 8111)));
        // The lookup is on its way.
        assert_eq!(discovery.answer(local, false), None);
        discovery.advertised[0].take(vec![IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(read(&discovery.answer(local, false).unwrap()), (vec![127, 0, 0, 1], 18111));
        // A lookup that finds nothing changes nothing.
        discovery.advertised[0].take(Vec::new());
        assert_eq!(read(&discovery.answer(local, false).unwrap()), (vec![127, 0, 0, 1], 18111));
    }

    /// The ports of an answer, which names its nodes by IPv4.
    fn ports(answer: &[u8]) -> Vec<u16> {
        let marked =
            answer.windows(10).filter(|window| window[..2] == [2, 0x44] && window[6..8] == [3, 0x19]);
        let ports: Vec<_> = marked.map(|window| u16::from_be_bytes([window[8], window[9]])).collect();
        assert_eq!(usize::from(answer[1] - 0x80), ports.len());
        ports
    }

    fn said(words: &[(&str, &str)]) -> Arc<[Introduced]> {
        words
            .iter()
            .map(|(node, words)| Introduced { node: (*node).into(), words: (*words).into() })
            .collect()
    }

    #[test]
    fn in_a_fleet_all_members_are_told_that_say_where_they_are() {
        let (sender, members) = watch::channel(Arc::default());
        let own: AdvertisedAddress = "10.0.0.2:8112".parse().unwrap();
        let discovery = Discovery::new(&[own], Some(DaxFleet { node: "b".into(), members: members.clone() }));
        let local = Some(SocketAddr::from(([172, 17, 0, 2], 8111)));
        let told = |is_over_tls| ports(&discovery.answer(local, is_over_tls).unwrap());
        assert_eq!(told(false), [8112], "itself, before anything was heard");
        sender.send_replace(said(&[
            ("a", "dax=10.0.0.1:8113 dax=[2001:db8::1]:8119 daxs=10.0.0.1:9113 later=x"),
            ("b", "dax=10.0.0.2:1"),
            ("c", "dax=10.0.0.3:8111"),
            ("d", "of a later version dax=nowhere"),
        ]));
        assert_eq!(told(false), [8113, 8112, 8111], "by their names, and this node as it knows itself");
        assert_eq!(told(true), [9113, 8112], "no place without TLS to a client that has it");
        let by_ipv6 = discovery.answer(Some("[::1]:8111".parse().unwrap()), false).unwrap();
        assert!(
            by_ipv6.windows(4).any(|window| window == [3, 0x19, 0x1f, 0xb7]),
            "the address of its family"
        );
        sender.send_replace(said(&[("c", "dax=10.0.0.3:8111"), ("e", "dax=10.0.0.3:8111")]));
        assert_eq!(told(false), [8112, 8111], "a balancer once");
        sender.send_replace(Arc::default());
        assert_eq!(told(false), [8112]);
    }

    #[test]
    fn all_members_answer_alike() {
        let all = [("a", "dax=10.0.0.1:8111"), ("b", "dax=10.0.0.2:8111"), ("c", "dax=10.0.0.3:8111")];
        let answers = all.map(|(node, words)| {
            let own: AdvertisedAddress = words.strip_prefix(PLAIN).unwrap().parse().unwrap();
            let (_sender, members) = watch::channel(said(&all));
            let discovery = Discovery::new(&[own], Some(DaxFleet { node: node.into(), members }));
            discovery.answer(Some(([127, 0, 0, 1], 8111).into()), false).unwrap()
        });
        assert!(answers[0] == answers[1] && answers[1] == answers[2], "{answers:x?}");
        assert_eq!(ports(&answers[0]), [8111; 3]);
        // Behind a balancer, each is the one that is there.
        let behind = ["a", "b"].map(|node| {
            let (_sender, members) =
                watch::channel(said(&[("a", "dax=10.0.0.9:1"), ("b", "dax=10.0.0.9:1")]));
            let fleet = Some(DaxFleet { node: node.into(), members });
            Discovery::new(&["10.0.0.9:1".parse().unwrap()], fleet).answer(None, false).unwrap()
        });
        assert!(behind[0] == behind[1] && behind[0][1] == 0x81, "{behind:x?}");
    }

    #[test]
    fn a_node_says_where_it_is_reached_and_nothing_if_that_is_not_known() {
        let [one, two] = ["10.0.0.1:8111", "nearside.internal:9111"].map(|text| text.parse().unwrap());
        assert_eq!(introduction([&one, &two], []).unwrap(), "dax=10.0.0.1:8111 dax=nearside.internal:9111");
        assert_eq!(introduction([&one], [&two]).unwrap(), "dax=10.0.0.1:8111 daxs=nearside.internal:9111");
        assert_eq!(introduction([], []), None);
    }
}
