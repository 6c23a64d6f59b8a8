//! The remote upstream over TLS and through proxies.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::super::*;
use super::server::{Server, certificate_file, read_head};
use super::{Network, UpstreamError, put, settings};

/// A proxy for CONNECT and for plain requests. It leads every host to one port of this machine.
struct ForwardProxy {
    port: u16,
    /// The heads of the requests to it.
    heads: Mutex<Vec<String>>,
}

impl ForwardProxy {
    async fn start(target: u16) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Arc::new(Self { port, heads: Mutex::default() });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).serve(stream, target));
            }
        });
        proxy
    }

    async fn serve(self: Arc<Self>, mut client: TcpStream, target: u16) -> std::io::Result<()> {
        let head = read_head(&mut client).await?;
        self.heads.lock().unwrap().push(head.clone());
        let expected = format!("Basic {}", BASE64_STANDARD.encode("me:hush"));
        let is_named = |line: &str| line.to_ascii_lowercase().starts_with("proxy-authorization: ");
        if !head.lines().any(|line| is_named(line) && line.ends_with(&expected)) {
            let answer = "HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return client.write_all(answer.as_bytes()).await;
        }
        let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
        match head.starts_with("CONNECT ") {
            true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?,
            false => server.write_all(head.as_bytes()).await?,
        }
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The way that these variables name.
fn network(variables: &[(&str, &str)]) -> Network {
    let value = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Network::from_variables(value)
}

fn remote(url: &str, variables: &[(&str, &str)]) -> Remote {
    Remote::new(settings(url, network(variables))).unwrap()
}

fn bundle(name: &str) -> String {
    certificate_file(name).display().to_string()
}

/// Why a write was not sent.
async fn reason_not_sent(remote: &Remote) -> String {
    match put(remote).await {
        Err(UpstreamError::NotSent(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_is_trusted_for_its_name_and_by_the_authority_of_the_bundle() {
    let server = Server::start_tls().await;
    let url = format!("https://localhost:{}", server.port);
    let authority = bundle("authority.pem");
    let trusting = remote(&url, &[("AWS_CA_BUNDLE", &authority)]);
    for _ in 0..2 {
        assert_eq!(put(&trusting).await.unwrap(), Answer::ok("{}"));
    }
    assert_eq!((server.received().len(), trusting.stats().connections_opened), (2, 1));

    let other_name = format!("https://127.0.0.1:{}", server.port);
    let reason = reason_not_sent(&remote(&other_name, &[("AWS_CA_BUNDLE", &authority)])).await;
    assert!(reason.contains("certificate"), "{reason}");
    // That of the server itself is no authority.
    let reason = reason_not_sent(&remote(&url, &[("AWS_CA_BUNDLE", &bundle("certificate.pem"))])).await;
    assert!(reason.contains("UnknownIssuer"), "{reason}");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn an_endpoint_that_speaks_plain_http_is_recognized() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.read_exact(&mut [0; 100]).await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        // Closed only by the client: what it has sent besides must not cut the answer off.
        stream.read_to_end(&mut Vec::new()).await
    });
    let reason = reason_not_sent(&remote(&url, &[("AWS_CA_BUNDLE", &bundle("authority.pem"))])).await;
    assert!(reason.ends_with("; does the endpoint speak plain http://?"), "{reason}");
    serving.await.unwrap().ok();
}

#[test]
fn a_bundle_that_cannot_be_used_is_named() {
    for (name, words) in [("none.pem", "No such file"), ("key.pem", "no certificates")] {
        let network = network(&[("AWS_CA_BUNDLE", &bundle(name))]);
        let reason = Remote::new(settings("https://dynamodb.test", network.clone())).err().unwrap();
        assert!(reason.starts_with("AWS_CA_BUNDLE") && reason.contains(words), "{reason}");
        // Nothing is encrypted here, so it is not read.
        assert!(Remote::new(settings("http://dynamodb.test", network)).is_ok());
    }
}

#[tokio::test]
async fn an_encrypted_upstream_is_reached_through_a_tunnel_of_the_proxy() {
    let server = Server::start_tls().await;
    let proxy = ForwardProxy::start(server.port).await;
    let (address, authority) = (format!("http://me:hush@localhost:{}", proxy.port), bundle("authority.pem"));
    let remote = remote("https://dynamodb.test", &[("HTTPS_PROXY", &address), ("AWS_CA_BUNDLE", &authority)]);
    for _ in 0..2 {
        assert_eq!(put(&remote).await.unwrap(), Answer::ok("{}"));
    }
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("CONNECT dynamodb.test:443 HTTP/1.1\r\n"), "{}", heads[0]);
    // The server sees nothing of the proxy, and the proxy nothing of the request.
    let head = server.received()[0].head.clone();
    assert!(
        head.starts_with("POST / HTTP/1.1\r\n") && head.contains("\r\nhost: dynamodb.test\r\n"),
        "{head}"
    );
    assert!(!head.contains("proxy-authorization") && !heads[0].contains("x-amz"), "{head}");
}

#[tokio::test]
async fn a_plain_upstream_is_asked_through_the_proxy() {
    let server = Server::start().await;
    let proxy = ForwardProxy::start(server.port).await;
    let address = format!("http://me:hush@127.0.0.1:{}", proxy.port);
    let remote = remote("http://alternator.test:8000", &[("HTTP_PROXY", &address)]);
    assert_eq!(put(&remote).await.unwrap(), Answer::ok("{}"));
    let head = proxy.heads()[0].clone();
    assert!(head.starts_with("POST http://alternator.test:8000/ HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: alternator.test:8000\r\n"), "{head}");
}

#[tokio::test]
async fn a_host_of_no_proxy_is_reached_directly() {
    let server = Server::start_tls().await;
    let proxy = ForwardProxy::start(server.port).await;
    let (address, authority) = (format!("http://localhost:{}", proxy.port), bundle("authority.pem"));
    // This machine is one without being named.
    let remote = remote(
        &format!("https://localhost:{}", server.port),
        &[("HTTPS_PROXY", &address), ("AWS_CA_BUNDLE", &authority)],
    );
    assert_eq!(put(&remote).await.unwrap(), Answer::ok("{}"));
    assert_eq!(proxy.heads().len(), 0);
}

#[tokio::test]
async fn a_write_that_the_proxy_does_not_let_through_is_not_sent() {
    let server = Server::start_tls().await;
    let proxy = ForwardProxy::start(server.port).await;
    let (address, authority) =
        (format!("http://me:secret@localhost:{}", proxy.port), bundle("authority.pem"));
    let remote = remote("https://dynamodb.test", &[("HTTPS_PROXY", &address), ("AWS_CA_BUNDLE", &authority)]);
    let reason = reason_not_sent(&remote).await;
    assert!(reason.contains("proxy") && !reason.contains("secret"), "{reason}");
    assert_eq!((proxy.heads().len(), server.received().len()), (1, 0));
}
