//! A node that starts before its role is there: it stays, says what it waits for, and is ready when the role is.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{Nearside, command, wait_until};

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// An upstream that must be signed for: one that is reached by TLS.
fn upstream(directory: &Path) -> (Nearside, String) {
    let config = directory.join("upstream.toml");
    let [cert, key] = ["server.pem", "server.key"].map(certificate);
    let text = format!("[server.tls]\nlisten = \"127.0.0.1:0\"\ncert = {cert:?}\nkey = {key:?}\n");
    std::fs::write(&config, text).unwrap();
    let node = Nearside::start(&["--in-memory", "--config", config.to_str().unwrap()]);
    let address = node.greeting.split("with TLS on ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    (node, address)
}

/// A program before that upstream, without an access key in its environment.
fn without_keys(upstream: &str) -> Command {
    let mut program = command(&["--upstream", upstream, "--region", "eu-west-1"]);
    program.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    program.env("AWS_CA_BUNDLE", certificate("authority.pem"));
    program
}

/// Gives a key to everybody who asks at that address, as the agent of a pod or a task does.
fn serve_credentials(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
            let body = r#"{"AccessKeyId":"late","SecretAccessKey":"s","Token":"t","Expiration":"2126-01-01T00:00:00Z"}"#;
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(format!("{head}{body}").as_bytes()).ok();
        }
    });
}

/// Lives, is not ready, and says why: to monitors, to clients, and in its log once it has ended.
fn assert_waits(node: &Nearside, words: &str) {
    assert!(node.get("/livez").starts_with("HTTP/1.1 200"));
    wait_until("saying what it waits for", || node.get("/readyz").contains(words));
    let readiness = node.get("/readyz");
    assert!(readiness.starts_with("HTTP/1.1 503") && readiness.contains("no credentials"), "{readiness}");
    let (status, answer) = node.connect().call("ListTables", "{}").unwrap();
    assert!(
        status >= 400 && answer.contains("__type") && answer.contains("credentials"),
        "{status} {answer}"
    );
}

#[test]
fn an_agent_of_credentials_that_comes_late_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (_upstream, address) = upstream(directory.path());
    let agent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let uri = format!("http://{agent}/role");
    let mut node =
        Nearside::from_command(without_keys(&address).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri));
    assert_waits(&node, "the last source tried failed");
    serve_credentials(agent);
    wait_until("getting ready", || node.is_ready());
    assert_eq!(node.connect().must("ListTables", "{}"), r#"{"TableNames":[]}"#);
    node.terminate();
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
    let log = node.log();
    for words in
        ["The upstream cannot be used yet.", "no credentials", "Credentials for the upstream were found."]
    {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn a_token_that_is_not_mounted_yet_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let mut program = without_keys("https://127.0.0.1:9");
    program.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    program.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/shop");
    let node = Nearside::from_command(&mut program);
    assert_waits(&node, token.to_str().unwrap());
}

#[test]
fn where_no_source_has_any_credentials_it_says_which_there_are() {
    let mut node = Nearside::from_command(&mut without_keys("https://127.0.0.1:9"));
    assert_waits(&node, "there are none in the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    node.terminate();
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
}
