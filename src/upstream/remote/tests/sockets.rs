//! The remote upstream over TCP.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::super::*;
use super::server::{Reaction, Server};
use super::{Network, UpstreamError, call, get, put, settings};

/// The answer to one request, after which the server closes.
const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

async fn start() -> (Arc<Server>, Remote) {
    let server = Server::start().await;
    let remote = Remote::new(settings(&server.url(), Network::default())).unwrap();
    (server, remote)
}

/// Moves the clock on, which runs otherwise: sockets and a stopped clock do not go together.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_request_is_signed_and_asks_for_no_compression() {
    let (server, remote) = start().await;
    let mut request = Request::new(Operation::Unknown, r#"{"TableName":"Orders"}"#);
    request.unknown_target = Some("DynamoDB_20120810.FrobnicateItems".into());
    assert_eq!(remote.call(&request).await.unwrap(), Answer::ok("{}"));
    let head = server.received()[0].head.clone();
    let host = format!("\r\nhost: 127.0.0.1:{}\r\n", server.port);
    for line in [
        "POST / HTTP/1.1\r\n",
        &host,
        "\r\nx-amz-target: DynamoDB_20120810.FrobnicateItems\r\n",
        "\r\ncontent-type: application/x-amz-json-1.0\r\n",
        "\r\naccept-encoding: identity\r\n",
        "\r\ncontent-length: 22\r\n",
        "\r\nx-amz-security-token: token\r\n",
        "\r\nauthorization: AWS4-HMAC-SHA256 Credential=nearside/",
    ] {
        assert!(head.contains(line), "{line:?} is not in {head}");
    }
}

#[tokio::test]
async fn one_connection_serves_request_after_request_until_it_is_idle_for_long() {
    let (server, remote) = start().await;
    for _ in 0..3 {
        get(&remote).await.unwrap();
    }
    assert_eq!((server.received()[2].connection, remote.stats().connections_opened), (0, 1));
    pass(Duration::from_secs(21)).await;
    get(&remote).await.unwrap();
    assert_eq!((server.received()[3].connection, remote.stats().connections_opened), (1, 2));
}

#[tokio::test]
async fn no_connection_is_used_for_longer_than_five_minutes() {
    let seed = fastrand::u64(..);
    fastrand::seed(seed);
    let (server, remote) = start().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1000) {
        get(&remote).await.unwrap();
        remote.hosts[0].transport.renew_connections(Instant::now());
        pass(Duration::from_secs(5)).await;
    }
    let received = server.received();
    let opened = received.iter().map(|request| request.connection).max().unwrap() + 1;
    for connection in 0..opened {
        let used: Vec<_> = received.iter().filter(|request| request.connection == connection).collect();
        let age = used.last().unwrap().at.duration_since(used[0].at);
        assert!(age <= Duration::from_secs(300), "seed {seed}: connection {connection}, {age:?}");
    }
    // Between two handovers there is one client, whose connection stays.
    let longest =
        (0..opened).map(|connection| received.iter().filter(|r| r.connection == connection).count());
    assert!(longest.max().unwrap() >= 36, "seed {seed}: connections are replaced too early");
    assert!(opened >= 4, "seed {seed}: {opened} connections");
}

#[tokio::test]
async fn a_closed_idle_connection_is_replaced_without_a_word() {
    let (server, remote) = start().await;
    server.will(Reaction::Write(LAST));
    put(&remote).await.unwrap();
    server.closed.notified().await;
    put(&remote).await.unwrap();
    assert_eq!(server.received()[1].connection, 1);
}

#[tokio::test]
async fn idle_connections_are_not_used_any_more_once_forgotten() {
    let (server, remote) = start().await;
    put(&remote).await.unwrap();
    remote.hosts[0].transport.forget_connections();
    put(&remote).await.unwrap();
    assert_eq!(server.received()[1].connection, 1);
}

#[tokio::test]
async fn a_write_whose_connection_closes_is_unknown_and_a_read_is_sent_again() {
    for broken in [Reaction::Close, Reaction::Write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}")] {
        let (server, remote) = start().await;
        server.will(broken);
        let outcome = put(&remote).await;
        assert!(matches!(outcome, Err(UpstreamError::OutcomeUnknown(_))), "{outcome:?}");
        assert_eq!(server.received().len(), 1);
        server.will(Reaction::Close);
        assert_eq!(get(&remote).await.unwrap(), Answer::ok("{}"));
        assert_eq!((server.received().len(), remote.stats().retries), (3, 1));
    }
}

#[tokio::test]
async fn a_write_is_not_sent_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let remote = Remote::new(settings(&format!("http://{free}"), Network::default())).unwrap();
    let Err(UpstreamError::NotSent(reason)) = put(&remote).await else { panic!("it was not sent") };
    assert!(reason.contains("Connection refused") && !reason.contains("http"), "{reason}");
}

#[tokio::test]
async fn a_write_is_not_sent_while_no_connection_is_made_in_time() {
    // The handshake of TLS is never answered.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let network = Network::from_variables(|name| {
        (name == "AWS_CA_BUNDLE")
            .then(|| super::server::certificate_file("authority.pem").display().to_string())
    });
    let settings = Settings { connect_timeout: Duration::from_millis(20), ..settings(&url, network) };
    let outcome = put(&Remote::new(settings).unwrap()).await;
    assert!(matches!(outcome, Err(UpstreamError::NotSent(_))), "{outcome:?}");
}

#[tokio::test]
async fn each_read_of_a_burst_is_served_and_sets_up_one_connection_at_most() {
    let (server, remote) = start().await;
    let remote = Arc::new(remote);
    for _ in 0..2 {
        let reads: Vec<_> = (0..200)
            .map(|_| {
                let remote = Arc::clone(&remote);
                tokio::spawn(async move { get(&remote).await.unwrap().status })
            })
            .collect();
        for read in reads {
            assert_eq!(read.await.unwrap(), 200);
        }
    }
    assert_eq!((server.received().len(), remote.stats().queue_waits), (400, 0));
    assert!(remote.stats().connections_opened <= 400, "{}", remote.stats().connections_opened);
}

#[tokio::test]
async fn what_cannot_be_an_answer_is_a_clean_error() {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 26214401\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-amz-crc32: 7\r\n\r\n{}",
        "HTTP/1.1 301 Moved\r\nlocation: http://other/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 307 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\n<html>",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ] {
        let (server, remote) = start().await;
        server.will(Reaction::Write(broken));
        let outcome = put(&remote).await;
        assert!(matches!(outcome, Err(UpstreamError::OutcomeUnknown(_))), "{broken}: {outcome:?}");
        assert_eq!(server.received().len(), 1, "{broken}");
    }
    let (server, remote) = start().await;
    server.will(Reaction::Write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"));
    assert_eq!(put(&remote).await.unwrap(), Answer::ok("{}"));
}

#[tokio::test]
async fn an_answer_in_chunks_ends_at_the_limit_of_its_length() {
    let (server, remote) = start().await;
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer: &'static str = Box::leak(format!("{head}{}", chunk.repeat(26)).into_boxed_str());
    server.will(Reaction::Write(answer));
    let Err(UpstreamError::OutcomeUnknown(reason)) = call(&remote, Operation::Scan).await else {
        panic!("it was answered")
    };
    assert!(reason.contains("larger than 25 MiB"), "{reason}");
}
