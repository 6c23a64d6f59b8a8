//! The token of the admin listener.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::callers::{Files, reloads, start, wait_for_reload};
use crate::client::{Nearside, assert_faulty, run};

const TOKEN: &str = "0123456789abcdef-the-first";
const OTHER: &str = "0123456789abcdef-the-second";

/// The first line of what comes for a path, and all of it.
fn get(nearside: &Nearside, path: &str, token: Option<&str>) -> (String, String) {
    let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let answer = nearside.get_with(path, &header);
    (answer.lines().next().unwrap().to_owned(), answer)
}

#[test]
fn names_of_nodes_need_the_token_and_health_and_figures_do_not() {
    let files = Files::new();
    let token = files.put("token", &format!("{TOKEN}\n"));
    let config = files.put("nearside.toml", &format!("[admin]\ntoken_file = {token:?}\n"));
    let mut nearside = start(&config);
    let status = |path: &str, token| get(&nearside, path, token).0;
    for path in ["/", "/metrics", "/livez", "/readyz"] {
        assert_eq!(status(path, None), "HTTP/1.1 200 OK", "{path}");
        assert_eq!(status(path, Some(OTHER)), "HTTP/1.1 200 OK", "{path}");
    }
    // There is no fleet, which only those with the token learn.
    assert_eq!(status("/api/fleet", Some(TOKEN)), "HTTP/1.1 404 Not Found");
    for wrong in [None, Some(OTHER), Some("")] {
        let (status, answer) = get(&nearside, "/api/fleet", wrong);
        assert_eq!(status, "HTTP/1.1 401 Unauthorized");
        assert!(
            answer.contains("\r\nwww-authenticate: Bearer\r\n") && answer.contains("This needs the token"),
            "{answer}"
        );
    }
    // Another token counts without a restart, and one that is none leaves the one in force.
    let before = reloads(&nearside, "applied");
    files.put("token", OTHER);
    wait_for_reload(&nearside, "applied", before);
    assert_eq!(status("/api/fleet", Some(OTHER)), "HTTP/1.1 404 Not Found");
    assert_eq!(status("/api/fleet", Some(TOKEN)), "HTTP/1.1 401 Unauthorized");
    let before = reloads(&nearside, "refused");
    files.put("token", "short");
    wait_for_reload(&nearside, "refused", before);
    assert_eq!(status("/api/fleet", Some(OTHER)), "HTTP/1.1 404 Not Found");
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    assert!(log.contains("nearside.toml:2: admin.token_file: ") && log.contains("has 5 characters"), "{log}");
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "{log}");
}

#[test]
fn a_token_file_with_a_fault_is_one_clear_line_and_an_open_one_a_warning() {
    let files = Files::new();
    let token = files.path("token");
    let config = files.put("nearside.toml", &format!("[admin]\ntoken_file = {token:?}\n"));
    assert_faulty(&config, "nearside.toml:2: admin.token_file: cannot read");
    files.put("token", TOKEN);
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = run(&["check", config.to_str().unwrap()]);
    let (said, warned) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(
        output.status.success() && warned.contains("admin.token_file: ") && warned.contains("run: chmod 600"),
        "{warned}"
    );
    assert!(said.contains("token_file = ") && !said.contains(TOKEN), "{said}");
}

#[test]
fn who_has_the_token_ends_the_node_as_a_signal_does() {
    let files = Files::new();
    let token = files.put("token", &format!("{TOKEN}\n"));
    let config = files.put("nearside.toml", &format!("[admin]\ntoken_file = {token:?}\n"));
    let mut nearside = start(&config);
    let quit = |nearside: &Nearside, token: &str| {
        let mut stream = TcpStream::connect(nearside.admin).unwrap();
        let request = format!(
            "POST /api/quit HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(quit(&nearside, OTHER).starts_with("HTTP/1.1 401"));
    assert!(get(&nearside, "/livez", None).0.contains("200"));
    let answer = quit(&nearside, TOKEN);
    assert!(answer.starts_with("HTTP/1.1 202") && answer.ends_with("{\"quitting\":true}\n"), "{answer}");
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    assert!(nearside.log().contains("Shutdown ended."));
}
