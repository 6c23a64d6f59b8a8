//! TLS and Unix sockets at a real listener: what clients see, and what keeps a node from starting.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, version};
use tempfile::TempDir;

use crate::client::{Nearside, PATIENCE, assert_faulty, program, request, run, sealed};

const EVERYTHING: &str = "tables = [\"*\"]\nactions = [\"dynamodb:*\"]";

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// A directory with a config, and a certificate below a link, as Kubernetes mounts a secret.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for name in ["server", "renewed"] {
            files.put_pair(name, &format!("{name}.pem"), &format!("{name}.key"));
        }
        files.put_pair("mismatched", "server.pem", "renewed.key");
        symlink("server", files.path("..data")).unwrap();
        symlink("..data/tls.crt", files.path("tls.crt")).unwrap();
        symlink("..data/tls.key", files.path("tls.key")).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put_pair(&self, directory: &str, cert: &str, key: &str) {
        let directory = self.path(directory);
        std::fs::create_dir(&directory).unwrap();
        std::fs::copy(certificate(cert), directory.join("tls.crt")).unwrap();
        std::fs::copy(certificate(key), directory.join("tls.key")).unwrap();
        std::fs::set_permissions(directory.join("tls.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Has the links lead to another pair at once.
    fn swap(&self, directory: &str) {
        symlink(directory, self.path("..next")).unwrap();
        std::fs::rename(self.path("..next"), self.path("..data")).unwrap();
    }

    /// Starts a node with TLS, and more in its config.
    fn start(&self, of_tls: &str, more: &str) -> (Nearside, SocketAddr) {
        self.start_with(of_tls, more, &[])
    }

    fn start_with(&self, of_tls: &str, more: &str, arguments: &[&str]) -> (Nearside, SocketAddr) {
        let (cert, key) = (self.path("tls.crt"), self.path("tls.key"));
        let text = format!(
            "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert = {cert:?}\nkey = {key:?}\n{of_tls}\n{more}\n"
        );
        let config = self.path("nearside.toml");
        std::fs::write(&config, text).unwrap();
        let mut all = vec!["--in-memory", "--config", config.to_str().unwrap()];
        all.extend(arguments);
        let nearside = Nearside::start(&all);
        let address =
            nearside.greeting.split("with TLS on https://").nth(1).expect("the greeting names the listener");
        let address = address.split(';').next().unwrap().parse().unwrap();
        (nearside, address)
    }
}

/// Who connects, and how.
struct Client {
    config: ClientConfig,
}

impl Client {
    fn new() -> Self {
        Self::with(&[&version::TLS12, &version::TLS13], None)
    }

    fn showing(name: &str) -> Self {
        Self::with(&[&version::TLS12, &version::TLS13], Some(name))
    }

    fn with(versions: &[&'static rustls::SupportedProtocolVersion], own: Option<&str>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate("authority.pem")).unwrap()).unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        Self { config }
    }

    fn connect(&self, address: SocketAddr) -> Encrypted {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        StreamOwned::new(connection, stream)
    }

    /// Sends a request over a connection of its own.
    fn ask(&self, address: SocketAddr, bytes: &[u8]) -> std::io::Result<String> {
        send(&mut self.connect(address), bytes)
    }
}

/// Sends a request and reads its answer. An error if the handshake fails, on this side or on the other.
fn send(stream: &mut (impl Read + Write), bytes: &[u8]) -> std::io::Result<String> {
    stream.write_all(bytes)?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                return Ok(text.into_owned());
            }
        }
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A call that carries no credentials, as of an SDK with anonymous ones.
fn unsigned() -> Vec<u8> {
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n\
                content-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}";
    head.as_bytes().to_vec()
}

fn list_tables() -> Vec<u8> {
    request("ListTables", "{}")
}

fn leaf(stream: &Encrypted) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn wait_for(what: &str, is_reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_reached() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn reloads(nearside: &Nearside, outcome: &str) -> u64 {
    nearside.metric(&format!("nearside_config_reloads_total{{outcome=\"{outcome}\"}}"))
}

const FAILED: &str = "nearside_refused_total{reason=\"tls_handshake\"}";

#[test]
fn both_listeners_serve_side_by_side_and_each_speaks_its_own_protocol() {
    let files = Files::new();
    let (nearside, address) = files.start("", "");
    for (version, spoken) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut stream = Client::with(&[version], None).connect(address);
        for _ in 0..2 {
            let answer = send(&mut stream, &list_tables()).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("TableNames"), "{answer}");
        }
        assert_eq!(stream.conn.protocol_version(), Some(spoken));
    }
    assert_eq!(nearside.connect().call("ListTables", "{}").unwrap().0, 200);
    assert_eq!(nearside.metric(FAILED), 0);
    // What is no TLS gets an alert and the end; so does a client that only speaks HTTP/2.
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(&list_tables()).unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(answer.len() <= 7 && answer.first().is_none_or(|first| *first == 0x15), "{answer:?}");
    let mut of_http2 = Client::new();
    of_http2.config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(of_http2.ask(address, &list_tables()).is_err());
    wait_for("failed handshakes are counted", || nearside.metric(FAILED) == 2);
    let not_after = nearside.metric("nearside_tls_certificate_not_after_timestamp_seconds");
    assert_eq!(not_after, 4_922_899_200, "2126-01-01");
}

#[test]
fn a_renewed_certificate_is_that_of_new_handshakes_and_connections_go_on() {
    let files = Files::new();
    let (mut nearside, address) = files.start("", "");
    let client = Client::new();
    let mut old = client.connect(address);
    send(&mut old, &list_tables()).unwrap();
    let before = reloads(&nearside, "applied");
    files.swap("renewed");
    wait_for("the config is read again", || reloads(&nearside, "applied") > before);
    let mut new = client.connect(address);
    send(&mut new, &list_tables()).unwrap();
    assert_ne!(leaf(&new), leaf(&old));
    send(&mut old, &list_tables()).unwrap();
    // A pair that does not fit leaves the last one in force.
    let before = reloads(&nearside, "refused");
    files.swap("mismatched");
    wait_for("the config is rejected", || reloads(&nearside, "refused") > before);
    let mut third = client.connect(address);
    send(&mut third, &list_tables()).unwrap();
    assert_eq!(leaf(&third), leaf(&new));
    send(&mut old, &list_tables()).unwrap();
    nearside.terminate();
    let log = nearside.log();
    let lines = log.lines().filter(|line| line.contains("nearside.toml:4: server.tls.key: "));
    let lines: Vec<_> = lines.collect();
    assert!(matches!(lines[..], [line] if line.contains("is not the key of the first certificate")), "{log}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_one_clear_line_at_the_start_and_in_the_check() {
    let files = Files::new();
    let config = files.path("nearside.toml");
    for (cert, key, words) in [
        ("server.pem", "renewed.key", "server.tls.key: "),
        ("expired.pem", "expired.key", "has expired at 2021-01-01T00:00:00Z"),
        ("early.pem", "early.key", "is not valid before 2125-01-01T00:00:00Z"),
        ("server.pem", "encrypted.key", "the key is encrypted"),
        ("server.pem", "none.key", "No such file"),
        ("server.key", "server.key", "has no certificate in PEM form"),
    ] {
        let (cert, key) = (certificate(cert), certificate(key));
        std::fs::write(&config, format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}\n")).unwrap();
        for said in assert_faulty(&config, words) {
            assert!(said.contains("nearside.toml:2: ") || said.contains("nearside.toml:3: "), "{said}");
        }
    }
}

#[test]
fn without_verified_callers_a_client_certificate_is_the_way_in() {
    let files = Files::new();
    let authority = format!("client_ca = {:?}", certificate("authority.pem"));
    let (_nearside, address) = files.start(&authority, "");
    assert!(Client::showing("client").ask(address, &list_tables()).unwrap().contains("TableNames"));
    assert!(Client::showing("nobody").ask(address, &list_tables()).unwrap().contains("TableNames"));
    assert!(Client::showing("stranger").ask(address, &list_tables()).is_err());
    assert!(Client::new().ask(address, &list_tables()).is_err());
}

#[test]
fn a_client_certificate_is_its_principal_without_a_signature() {
    let files = Files::new();
    let secret = files.path("secret");
    std::fs::write(&secret, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let authority = format!("client_ca = {:?}", certificate("authority.pem"));
    let principal = |name: &str, certificate: &str, rights: &str| {
        format!("[[auth.principals]]\nname = \"{name}\"\ncertificate = \"{certificate}\"\n{rights}\n")
    };
    let mode = "[auth]\nmode = \"sigv4\"\n";
    let shop = principal("shop", "spiffe://example/shop", EVERYTHING);
    let answer = |more: &str, client: &Client, bytes: &[u8]| {
        let (_nearside, address) = files.start(&authority, &format!("{mode}{more}"));
        client.ask(address, bytes).unwrap()
    };
    assert!(answer(&shop, &Client::showing("client"), &unsigned()).contains("TableNames"));
    // Without a certificate, or with one of nobody, there must be a signature.
    for client in [Client::new(), Client::showing("nobody")] {
        let answer = answer(&shop, &client, &unsigned());
        assert!(answer.contains("#MissingAuthenticationTokenException\""), "{answer}");
    }
    // A signature that is wrong is no better for a certificate that is right.
    let forged = String::from_utf8(list_tables()).unwrap().replace("Signature=0", "Signature=00");
    let refused = answer(&shop, &Client::showing("client"), forged.as_bytes());
    assert!(refused.contains("InvalidSignatureException\""), "{refused}");
    // Rights are those of the principal, and a certificate with names of two is nobody's.
    let denied = answer(&principal("shop", "CN=shop", ""), &Client::showing("client"), &unsigned());
    assert!(denied.contains("#AccessDeniedException\"") && denied.contains("shop"), "{denied}");
    let both = format!("{shop}{}", principal("other", "DNS:shop.internal", EVERYTHING));
    let denied = answer(&both, &Client::showing("client"), &unsigned());
    assert!(denied.contains("names of several principals"), "{denied}");
}

#[test]
fn idle_handshakes_keep_no_client_out() {
    let files = Files::new();
    let (nearside, address) = files.start("", "[server]\nmax_connections = 50\n");
    let idle: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..3 {
        assert!(Client::new().ask(address, &list_tables()).unwrap().contains("TableNames"));
        assert_eq!(nearside.connect().call("ListTables", "{}").unwrap().0, 200);
    }
    drop(idle);
}

#[test]
fn a_client_that_says_nothing_more_is_sent_away_as_without_tls() {
    let files = Files::new();
    let (nearside, address) = files.start("", "[server]\nidle_timeout = \"1s\"\n");
    let mut stream = Client::new().connect(address);
    send(&mut stream, &list_tables()).unwrap();
    stream.read_to_end(&mut Vec::new()).expect("a clean end");
    // Half of a head is no more.
    let mut slow = Client::new().connect(address);
    slow.write_all(&list_tables()[..40]).unwrap();
    slow.read_to_end(&mut Vec::new()).expect("a clean end");
    assert!(nearside.metric("nearside_refused_total{reason=\"timed_out\"}") >= 1);
}

#[test]
fn a_client_whose_answer_is_under_way_gets_it_at_the_end() {
    let files = Files::new();
    let (mut nearside, address) = files.start("", "");
    let mut stream = Client::new().connect(address);
    send(&mut stream, &list_tables()).unwrap();
    let _idle = TcpStream::connect(address).unwrap();
    nearside.terminate();
    let mut rest = Vec::new();
    // A clean end: the other side says that nothing follows.
    stream.read_to_end(&mut rest).unwrap();
    assert!(nearside.child.wait().unwrap().success());
}

/// Starts a node on a Unix socket and waits for its first line.
fn on_socket(socket: &Path) -> (std::process::Child, String) {
    let listen = format!("unix:{}", socket.display());
    let mut child = sealed(program())
        .args(["--in-memory", "--listen", &listen, "--admin-listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut greeting).unwrap();
    // What comes after it must have somewhere to go.
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    (child, greeting)
}

#[test]
fn a_unix_socket_is_for_its_owner_and_a_stale_one_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nearside.sock");
    let (mut first, greeting) = on_socket(&socket);
    assert!(greeting.contains(&format!("listens on unix:{};", socket.display())), "{greeting}");
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let ask = || send(&mut UnixStream::connect(&socket).unwrap(), &list_tables()).unwrap();
    assert!(ask().contains("TableNames"));
    // A socket counts as loopback: no page of another name may ask.
    let foreign = String::from_utf8(list_tables()).unwrap().replace("Host: localhost", "Host: evil.example");
    let refused = send(&mut UnixStream::connect(&socket).unwrap(), foreign.as_bytes()).unwrap();
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    // One that is served is not taken away.
    let (mut second, said) = on_socket(&socket);
    assert!(said.contains("another process listens there"), "{said}");
    assert_eq!(second.wait().unwrap().code(), Some(2));
    assert!(ask().contains("TableNames"));
    // One that was left behind is.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(socket.exists());
    let (mut third, greeting) = on_socket(&socket);
    assert!(greeting.contains("listens on unix:"), "{greeting}");
    assert!(ask().contains("TableNames"));
    let asked_to_end = Command::new("kill").args(["-TERM", &third.id().to_string()]).status().unwrap();
    assert!(asked_to_end.success() && third.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "the socket is removed");
}

#[test]
fn a_health_check_finds_an_admin_listener_on_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", directory.path().join("admin.sock").display());
    let mut child = sealed(program())
        .args(["--in-memory", "--listen", "127.0.0.1:0", "--admin-listen", &listen])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the node is ready", || run(&["healthcheck", "--admin", &listen]).status.success());
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = run(&["healthcheck", "--admin", &listen]);
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no answer from the admin listener at unix:"));
}
