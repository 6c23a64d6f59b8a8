//! What a web page in a browser of the same machine gets from the program, by what stands behind it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::client::{Nearside, command, program, request, sealed};
use crate::fake::Fake;

/// Sends bytes on a connection of their own and gives the whole answer.
fn ask(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A DescribeLimits that a page of that origin sends, as the last request of its connection.
fn from_page(origin: &str) -> String {
    let request = String::from_utf8(request("DescribeLimits", "{}")).unwrap();
    request.replace("Host: localhost", &format!("Host: localhost\r\nOrigin: {origin}\r\nConnection: close"))
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
}

#[test]
fn pages_of_the_same_machine_may_use_the_local_backend_and_no_others() {
    let nearside = Nearside::start(&["--in-memory"]);
    // An alert sees the first event only if the series was there before.
    for reason in ["foreign_host", "foreign_origin"] {
        assert!(nearside.metrics().contains(&format!("nearside_refused_total{{reason=\"{reason}\"}} 0\n")));
    }
    let answer = ask(nearside.address, &from_page("http://localhost:3000"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: http://localhost:3000\r\n"), "{answer}");
    for origin in ["https://evil.example", "null"] {
        let answer = ask(nearside.address, &from_page(origin));
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("cors_origins") && !answer.contains("access-control"), "{answer}");
    }
    assert!(nearside.metrics().contains(r#"nearside_refused_total{reason="foreign_origin"} 2"#));
}

#[test]
fn in_front_of_a_remote_upstream_a_page_must_be_listed() {
    let upstream = Fake::start();
    upstream.let_go();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nearside.toml");
    std::fs::write(&file, "[server]\ncors_origins = [\"https://app.example\"]\n").unwrap();
    let arguments = ["--upstream", &upstream.url(), "--region", "r", "--config", file.to_str().unwrap()];
    let nearside = Nearside::from_command(&mut command(&arguments));
    for origin in ["http://localhost:3000", "http://127.0.0.1:8000", "https://evil.example"] {
        let answer = ask(nearside.address, &from_page(origin));
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}: {answer}");
    }
    assert_eq!(upstream.answered("DescribeLimits"), 0);
    let answer = ask(nearside.address, &from_page("https://app.example"));
    assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"), "{answer}");
    assert_eq!(upstream.answered("DescribeLimits"), 1);
}

#[test]
fn both_listeners_know_their_names_on_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nearside.toml");
    std::fs::write(&file, "[server]\nhosts = [\"host.docker.internal\"]\n").unwrap();
    let nearside = Nearside::start(&["--in-memory", "--config", file.to_str().unwrap()]);
    for (address, path) in [(nearside.address, "/"), (nearside.admin, "/metrics")] {
        for host in ["localhost", "127.0.0.1:1", "[::1]", "host.docker.internal:8000"] {
            let answer = ask(address, &get(path, &format!("Host: {host}\r\n")));
            assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        }
        for (headers, status) in [
            ("Host: evil.example\r\n", "403"),
            ("Host: 192.168.0.1\r\n", "403"),
            ("", "400"),
            ("Host: localhost\r\nHost: localhost\r\n", "400"),
            ("Host: localhost\r\nOrigin: https://evil.example\r\n", "403"),
            ("Host: localhost\r\nOrigin: null\r\n", "403"),
            ("Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.example\r\n", "403"),
        ] {
            let answer = ask(address, &get(path, headers));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
            assert!(!answer.contains("access-control-"), "{headers}: {answer}");
        }
        // A page that its own name leads here, and one that asks first whether it may ask.
        let whole = get(&format!("http://evil.example{path}"), "Host: localhost\r\n");
        let preflight = get(
            path,
            "Host: localhost\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
        );
        for request in [whole, preflight.replacen("GET", "OPTIONS", 1)] {
            let answer = ask(address, &request);
            assert!(answer.starts_with("HTTP/1.1 403"), "{request}: {answer}");
            assert!(!answer.contains("access-control-"), "{answer}");
        }
    }
}

#[test]
fn off_loopback_any_name_is_taken() {
    let everywhere = ["--in-memory", "--listen", "0.0.0.0:0", "--i-accept-unauthenticated"];
    let mut program = sealed(program());
    let nearside = Nearside::from_command(program.args(everywhere).args(["--admin-listen", "127.0.0.1:0"]));
    let address = SocketAddr::from(([127, 0, 0, 1], nearside.address.port()));
    let answer = ask(address, &get("/", "Host: nearside.svc.cluster.local\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(address, &from_page("https://evil.example"));
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
