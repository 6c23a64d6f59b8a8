//! A TCP proxy that is a bad network: it delays, stops, cuts, loses answers, and holds a request back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::client::PATIENCE;

/// Whether bytes, as they were sent together, are those that are meant.
pub(crate) type Meant = fn(&[u8]) -> bool;

/// A direction of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

const WAYS: [Way; 2] = [Way::ToServer, Way::ToClient];

/// The proxy. Its threads end when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    network: Mutex<Network>,
    changed: Condvar,
}

/// What the network does now.
#[derive(Default)]
struct Network {
    target: Option<SocketAddr>,
    delays: [Duration; 2],
    stopped: [bool; 2],
    is_refusing: bool,
    is_closed: bool,
    /// Grows with each cut: connections of before end.
    cuts: u64,
    streams: Vec<TcpStream>,
    /// The next request like this is held back.
    hold: Option<Meant>,
    held: Option<(Vec<u8>, TcpStream)>,
    /// The next request like this is delivered, and its answer is lost with its connection.
    lose_answer: Option<Meant>,
    lost: u64,
}

impl Proxy {
    /// A network that is fine so far.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        proxy.lock().target = Some(target);
        let shared = Arc::clone(&proxy.shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.lock().is_closed {
                    return;
                }
                // A target that is down is a connection that ends at once.
                shared.connect(client).ok();
            }
        });
        proxy
    }

    /// New connections go elsewhere, and those of before are cut.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.lock().target = Some(target);
        self.cut();
    }

    /// What is sent from now on takes this much longer in that direction.
    pub(crate) fn delay(&self, way: Way, delay: Duration) {
        self.lock().delays[way as usize] = delay;
    }

    /// Nothing gets through in that direction any more. What is sent meanwhile arrives when [`Proxy::heal`] is called.
    pub(crate) fn stop(&self, way: Way) {
        self.lock().stopped[way as usize] = true;
    }

    /// Nothing gets through in either direction.
    pub(crate) fn black_hole(&self) {
        WAYS.iter().for_each(|way| self.stop(*way));
    }

    /// Ends every connection. New ones are accepted.
    pub(crate) fn cut(&self) {
        let mut network = self.lock();
        network.cuts += 1;
        network.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        drop(network);
        self.shared.changed.notify_all();
    }

    /// Ends each new connection, until [`Proxy::heal`] is called. Nothing gets through on those that are there.
    pub(crate) fn refuse_new(&self) {
        self.black_hole();
        self.lock().is_refusing = true;
    }

    /// Ends every connection and each new one, until [`Proxy::heal`] is called.
    pub(crate) fn refuse(&self) {
        self.lock().is_refusing = true;
        self.cut();
    }

    /// The network is fine again.
    pub(crate) fn heal(&self) {
        let mut network = self.lock();
        network.is_refusing = false;
        network.stopped = [false; 2];
        network.delays = [Duration::ZERO; 2];
        drop(network);
        self.shared.changed.notify_all();
    }

    /// The next such request does not arrive until [`Proxy::deliver`] is called, even if its client is gone then.
    pub(crate) fn hold_next(&self, meant: Meant) {
        self.lock().hold = Some(meant);
    }

    /// Waits until a request is held back.
    pub(crate) fn wait_for_held(&self) {
        self.wait("the request to be held", |network| network.held.is_some());
    }

    /// The request that was held back arrives.
    pub(crate) fn deliver(&self) {
        let (bytes, mut server) = self.lock().held.take().expect("a request is held");
        server.write_all(&bytes).unwrap();
    }

    /// The next such request arrives, and is carried out, and its client never hears of it: its connection is cut.
    pub(crate) fn lose_next_answer(&self, meant: Meant) {
        self.lock().lose_answer = Some(meant);
    }

    /// Waits until that many answers were lost.
    pub(crate) fn wait_for_lost(&self, answers: u64) {
        self.wait("the answer to be lost", |network| network.lost >= answers);
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Network) -> bool) {
        let waited = self.shared.changed.wait_timeout_while(self.lock(), PATIENCE, |network| !is_so(network));
        assert!(!waited.unwrap().1.timed_out(), "{what} takes too long");
    }

    fn lock(&self) -> MutexGuard<'_, Network> {
        self.shared.lock()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.lock().is_closed = true;
        self.cut();
        // Wakes the thread that accepts.
        TcpStream::connect(self.address).ok();
    }
}

/// Bytes in flight, and when they arrive at the earliest. `None`: no more come.
type Chunk = Option<(Instant, Vec<u8>)>;

/// One direction of one connection.
struct Pipe {
    way: Way,
    from: TcpStream,
    to: TcpStream,
    /// How often connections had been cut when this one was made.
    cuts: u64,
    /// The connection's next answer is lost, and the connection with it.
    is_doomed: Arc<Mutex<bool>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap()
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let (target, cuts) = {
            let network = self.lock();
            (network.target.filter(|_| !network.is_refusing), network.cuts)
        };
        let Some(target) = target else { return client.shutdown(Shutdown::Both) };
        let server = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let is_doomed = Arc::new(Mutex::new(false));
        for (way, from, to) in [(Way::ToServer, &client, &server), (Way::ToClient, &server, &client)] {
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            let pipe = Pipe { way, from, to, cuts, is_doomed: Arc::clone(&is_doomed) };
            self.carry(pipe)?;
        }
        self.lock().streams.extend([client, server]);
        Ok(())
    }

    /// Carries the bytes of a pipe in two threads: one must go on reading while the other waits.
    fn carry(self: &Arc<Self>, mut pipe: Pipe) -> std::io::Result<()> {
        let (sender, receiver) = channel();
        let (way, cuts, mut to) = (pipe.way, pipe.cuts, pipe.to.try_clone()?);
        let (reading, writing) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || while reading.read(&mut pipe, &sender).is_some() {});
        std::thread::spawn(move || {
            while let Ok(Some((due, bytes))) = receiver.recv() {
                if !writing.wait_for(way, cuts, due) || to.write_all(&bytes).is_err() {
                    to.shutdown(Shutdown::Both).ok();
                    return;
                }
            }
            // A request that is held back arrives after its client has gone.
            if way == Way::ToClient || writing.lock().held.is_none() {
                to.shutdown(Shutdown::Write).ok();
            }
        });
        Ok(())
    }

    /// Reads once; `None` if nothing more comes.
    fn read(&self, pipe: &mut Pipe, sender: &Sender<Chunk>) -> Option<()> {
        let mut bytes = vec![0; 64 << 10];
        let Some(read) = pipe.from.read(&mut bytes).ok().filter(|read| *read > 0) else {
            sender.send(None).ok();
            return None;
        };
        bytes.truncate(read);
        let mut network = self.lock();
        let is_meant = |meant: &Option<Meant>| meant.is_some_and(|meant| meant(&bytes));
        if pipe.way == Way::ToServer && is_meant(&network.hold) {
            network.hold = None;
            network.held = Some((bytes, pipe.to.try_clone().ok()?));
            self.changed.notify_all();
            return Some(());
        }
        if pipe.way == Way::ToServer && is_meant(&network.lose_answer) {
            network.lose_answer = None;
            *pipe.is_doomed.lock().unwrap() = true;
        }
        if pipe.way == Way::ToClient && *pipe.is_doomed.lock().unwrap() {
            network.lost += 1;
            pipe.from.shutdown(Shutdown::Both).ok();
            pipe.to.shutdown(Shutdown::Both).ok();
            self.changed.notify_all();
            return None;
        }
        let due = Instant::now() + network.delays[pipe.way as usize];
        sender.send(Some((due, bytes))).ok()
    }

    /// Waits until something may arrive; false if its connection was cut meanwhile.
    fn wait_for(&self, way: Way, cuts: u64, due: Instant) -> bool {
        let mut network = self.lock();
        loop {
            if network.cuts != cuts || network.is_closed {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            network = match (network.stopped[way as usize], left) {
                (false, Duration::ZERO) => return true,
                (false, left) => self.changed.wait_timeout(network, left).unwrap().0,
                (true, _) => self.changed.wait(network).unwrap(),
            };
        }
    }
}

#[test]
fn the_network_is_as_bad_as_it_is_told() {
    let bus = crate::bus::Bus::start();
    let network = Proxy::start(bus.address);
    let counter = || bus.call(&["GET", "n"]);
    let connect = || {
        let stream = TcpStream::connect(network.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let incr: Meant = |bytes| bytes.starts_with(b"INCR");
    let send = |stream: &mut TcpStream| stream.write_all(b"INCR n\r\n").unwrap();
    let answer = |stream: &mut TcpStream| {
        let mut bytes = [0; 64];
        let read = stream.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    let mut client = connect();
    send(&mut client);
    assert_eq!(answer(&mut client), ":1\r\n");

    network.delay(Way::ToClient, Duration::from_millis(50));
    let begun = Instant::now();
    send(&mut client);
    assert_eq!(answer(&mut client), ":2\r\n");
    assert!(begun.elapsed() >= Duration::from_millis(50));
    network.heal();

    network.lose_next_answer(incr);
    send(&mut client);
    network.wait_for_lost(1);
    assert_eq!(
        (answer(&mut client).as_str(), counter().as_str()),
        ("", "3"),
        "carried out, and not answered"
    );

    let mut client = connect();
    network.hold_next(incr);
    send(&mut client);
    network.wait_for_held();
    drop(client);
    assert_eq!(counter(), "3");
    network.deliver();
    crate::nodes::wait_until("the delivery", || counter() == "4");

    let mut client = connect();
    network.stop(Way::ToServer);
    send(&mut client);
    let mut other = connect();
    send(&mut other);
    assert_eq!(counter(), "4");
    network.heal();
    assert_eq!((answer(&mut client) + &answer(&mut other)).len(), 8, "both arrive after all");
    assert_eq!(counter(), "6");

    network.refuse();
    assert_eq!((answer(&mut client), answer(&mut connect())), (String::new(), String::new()));
    network.heal();
    let replacement = crate::bus::Bus::start();
    network.lead_to(replacement.address);
    let mut client = connect();
    send(&mut client);
    assert_eq!(answer(&mut client), ":1\r\n", "another server");
}
