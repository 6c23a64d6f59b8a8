//! DAX clients are told of the nodes of a fleet that are there.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::client::PATIENCE;
use crate::nodes::{Fleet, Setup, wait_until};

/// A preamble, a key without a signature that counts, which nodes take that do not verify callers, and the question for the nodes.
const QUESTION: &[&[u8]] = &[
    b"\x67J7yne5G\x00\x41x\xa1\x69UserAgent\x64Test\x00",
    b"\x01\x1a\x58\xc2\x33\x6b\x64AKID\x610\x58\x48AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/us-east-1/dax/aws4_request\n00\xf6\xf6",
    b"\x01\x1a\x1b\x2b\xcf\x02",
];

/// What stands before the port of a node on loopback, and what follows it.
const BEFORE: &[u8] = &[0x02, 0x44, 127, 0, 0, 1, 0x03, 0x19];
const BEHIND: &[u8] = b"\x04\x01\x05\x68nearside\x06\x01";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The ports of the nodes that a node tells a client of, in its order.
fn told(port: u16) -> Vec<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&QUESTION.concat()).unwrap();
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    loop {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "closed after {answer:x?}");
        answer.extend_from_slice(&part[..read]);
        assert!(answer.len() < 2 || (answer[0] == 0x80 && answer[1] > 0x80), "{answer:x?}");
        let length = BEFORE.len() + 2 + BEHIND.len();
        let nodes = answer.windows(length).filter(|node| node.starts_with(BEFORE) && node.ends_with(BEHIND));
        let ports: Vec<_> = nodes.map(|node| u16::from_be_bytes([node[8], node[9]])).collect();
        if answer.len() >= 2 && ports.len() == usize::from(answer[1] - 0x80) {
            return ports;
        }
    }
}

#[test]
fn clients_are_told_of_the_nodes_that_say_where_they_are_while_they_are_there() {
    let mut fleet = Fleet::start(Setup { nodes: 0, ..Setup::default() });
    let [a, b, c] = [free_port(), free_port(), free_port()];
    let folder = fleet.directory.path().display().to_string();
    let listen =
        |port: u16| format!("[dax]\nlisten = \"127.0.0.1:{port}\"\nstate = \"{folder}/lists-{port}\"\n");
    for port in [a, b] {
        fleet.add_node(&format!("{}advertise = [\"127.0.0.1:{port}\"]", listen(port)), "secret");
    }
    // Loopback is here only, so without an address that is advertised nobody else is told of it.
    fleet.add_node(&listen(c), "secret");
    fleet.add_node("", "secret");
    fleet.wait_until_fresh();
    wait_until("the first tells of both", || told(a) == [a, b]);
    wait_until("the second tells the same", || told(b) == [a, b]);
    assert_eq!(told(c), [c]);
    let state = fleet.nodes[3].running().get("/api/fleet");
    assert!(
        state.contains("\"says\": null") && !state.contains("dax="),
        "who has no listener does not ask: {state}"
    );
    let state = fleet.nodes[0].running().get("/api/fleet");
    assert!(state.contains(&format!("\"says\": \"dax=127.0.0.1:{b}\"")), "{state}");
    fleet.nodes[1].terminate();
    wait_until("it has left", || told(a) == [a]);
    fleet.nodes[1].restart();
    wait_until("it is back", || told(a) == [a, b] && told(b) == [a, b]);
    fleet.nodes[1].kill();
    wait_until("it is lost", || told(a) == [a]);
    fleet.nodes[1].restart();
    wait_until("it is back again", || told(a) == [a, b]);
    // Another server: all join it, and say anew where they are.
    fleet.bus.call(&["FLUSHALL"]);
    fleet.nodes[0].terminate();
    wait_until("one is left", || told(b) == [b]);
    fleet.nodes[0].restart();
    wait_until("both are there", || told(a) == [a, b] && told(b) == [a, b]);
}
