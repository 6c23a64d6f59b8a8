//! How the program starts, refuses to start, and stops.

use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use crate::client::{Nearside, command, program, run, sealed};

/// The program must have ended by itself with this code and one clear line that names `word`.
fn assert_refused(output: &Output, code: i32, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(word), "{said:?} does not say {word:?}");
    assert_eq!(said.trim().lines().count(), 1, "more than one line: {said}");
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--in-memory", "--listen", &address, "--admin-listen", "127.0.0.1:0"]);
    assert_refused(&output, 2, &address);
}

#[test]
fn an_address_off_loopback_needs_a_word_of_consent() {
    let output = run(&["--in-memory", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0"]);
    assert_refused(&output, 2, "--i-accept-unauthenticated");
}

#[test]
fn localhost_is_served_on_both_families() {
    use std::io::{BufRead, BufReader};
    let mut program = sealed(program());
    program
        .args(["--in-memory", "--listen", "localhost:0", "--admin-listen", "localhost:0"])
        .stderr(std::process::Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut greeting = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut greeting).unwrap();
    let port_after = |words: &str| -> u16 {
        let rest = greeting.split(words).nth(1).unwrap_or_else(|| panic!("{greeting}"));
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    for port in ["listens on http://localhost:", "metrics on http://localhost:"].map(port_after) {
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
        assert_eq!(std::net::TcpStream::connect(("::1", port)).is_ok(), has_ipv6);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_data_directory_serves_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Nearside::on_disk(directory.path());
    let mut second = command(&["--data-dir", directory.path().to_str().unwrap()]);
    assert_refused(&second.output().unwrap(), 2, "in use");
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut program = command(&["--data-dir", file.path().to_str().unwrap()]);
    assert_refused(&program.output().unwrap(), 2, file.path().to_str().unwrap());
}

#[test]
fn a_fleet_without_its_secret_is_one_clear_line() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let fleet =
        format!("[fleet]\nurl = \"redis://localhost\"\nsecret_file = {:?}\n", secret.to_str().unwrap());
    let file = directory.path().join("nearside.toml");
    let file_name = file.to_str().unwrap();
    std::fs::write(&file, format!("{fleet}[upstream]\nendpoint = \"http://127.0.0.1:9\"\n")).unwrap();
    let check = |mode| {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        run(&["check", file_name])
    };
    assert_refused(&check(0o644), 1, &format!("chmod 600 {}", secret.display()));
    let output = check(0o600);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("# the name of the host\n"), "{said}");
    assert!(!said.contains("0123456789abcdef"), "{said}");
    // Before anything is opened or read, the config must hold.
    std::fs::write(&file, fleet).unwrap();
    assert_refused(&command(&["--config", file_name]).output().unwrap(), 2, "a fleet shares one upstream");
}

#[test]
fn check_connects_to_the_bus_only_when_asked() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    // A port that was free a moment ago refuses connections.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "[upstream]\nendpoint = \"http://127.0.0.1:9\"\n[fleet]\nurl = \"redis://{free}\"\nsecret_file = {secret:?}\n"
    );
    let file = directory.path().join("nearside.toml");
    std::fs::write(&file, text).unwrap();
    let file_name = file.to_str().unwrap();
    assert!(run(&["check", file_name]).status.success());
    assert_refused(&run(&["check", "--connect", file_name]), 1, "error: the bus cannot be reached");
    let alone = run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.success() && said.contains("ok: there is no [fleet] in the config"), "{said}");
    assert!(!alone.stdout.is_empty(), "what is in force is printed all the same");
}

#[test]
fn a_broken_config_names_line_key_and_the_nearest_known_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nearside.toml");
    std::fs::write(&file, "[cache]\nmax_bytes = \"1MiB\"\nitem_tll = \"5m\"\n").unwrap();
    let mut program = command(&["--in-memory", "--config", file.to_str().unwrap()]);
    let output = program.output().unwrap();
    assert_refused(&output, 2, "item_tll");
    assert_refused(&output, 2, "item_ttl");
    assert_refused(&output, 2, "3");
    assert_eq!(run(&["check", file.to_str().unwrap()]).status.code(), Some(1));
}

#[test]
fn check_reports_every_fault_and_otherwise_what_is_in_force() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let check = |text: &str, variables: &[(&str, &str)], flags: &[&str]| {
        std::fs::write(file.path(), text).unwrap();
        let mut program = sealed(program());
        program.args(["check", path]).args(flags).envs(variables.iter().copied());
        let Output { status, stdout, stderr } = program.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    };
    let variables = [("NEARSIDE_CACHE_ITEM_TTL", "90s"), ("NEARSIDE_CACHE_ITEM_TLL", "1s")];
    let (code, in_force, warning) =
        check("[cache]\nmax_bytes = \"1MiB\"", &variables, &["--in-memory", "--max-bytes=2MiB"]);
    assert_eq!(code, Some(0), "{warning}");
    for line in [
        "max_bytes = \"2MiB\" # --max-bytes\n",
        "item_ttl = \"90s\" # NEARSIDE_CACHE_ITEM_TTL\n",
        "\nquery_ttl = \"5m\"\n",
    ] {
        assert!(in_force.contains(line), "{line:?} is not in {in_force}");
    }
    assert!(warning.contains("the nearest known one is NEARSIDE_CACHE_ITEM_TTL"), "{warning}");

    let (code, in_force, faults) =
        check("[cache]\nitem_ttl = 5m\nfill = \"fast\"", &[("NEARSIDE_LISTEN", "here")], &["--max-bytes=1"]);
    assert_eq!((code, in_force.as_str()), (Some(1), ""));
    let places =
        [format!("{path}:2: "), format!("{path}:3: "), "NEARSIDE_LISTEN: ".into(), "--max-bytes: ".into()];
    assert_eq!(faults.lines().count(), places.len(), "{faults}");
    for (line, place) in faults.lines().zip(places) {
        assert!(line.starts_with(&format!("nearside: {place}")), "{line:?} does not begin with {place:?}");
    }
}

#[test]
fn check_ends_well_if_nobody_reads_what_is_in_force() {
    let mut program = sealed(program());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program.arg("check").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_health_check_finds_the_admin_listener_by_variable_and_file() {
    let nearside = Nearside::start(&["--in-memory"]);
    let ask = |variables: &[(&str, &str)]| {
        let mut program = sealed(program());
        let output = program.arg("healthcheck").envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let healthy = (Some(0), String::new());
    let admin = nearside.admin.to_string();
    assert_eq!(ask(&[("NEARSIDE_ADMIN_LISTEN", &admin)]), healthy);
    // The server was given its region by a flag, which the health check lacks.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[upstream]\nkind = \"aws\"\n[admin]\nlisten = \"{admin}\"\n"))
        .unwrap();
    assert_eq!(ask(&[("NEARSIDE_CONFIG", file.path().to_str().unwrap())]), healthy);
    let (code, reason) = ask(&[("NEARSIDE_ADMIN_LISTEN", &nearside.address.to_string())]);
    assert_eq!(code, Some(1));
    assert!(reason.contains("is not an admin listener; it answers with status 404"), "{reason}");
    drop(nearside);
    let (code, reason) = ask(&[("NEARSIDE_ADMIN_LISTEN", &admin)]);
    assert_eq!(code, Some(1));
    assert!(reason.contains(&format!("no answer from the admin listener at {admin}: ")), "{reason}");
}

#[test]
fn a_health_check_takes_the_flags_by_which_a_server_has_its_admin_listener() {
    let nearside = Nearside::start(&["--in-memory"]);
    let admin = nearside.admin.to_string();
    assert_eq!(run(&["healthcheck", "--admin-listen", &admin]).status.code(), Some(0));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[admin]\nlisten = \"{admin}\"\n")).unwrap();
    assert_eq!(run(&["healthcheck", "--config", file.path().to_str().unwrap()]).status.code(), Some(0));
    let wrong = run(&["healthcheck", "--admin", "8973"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("\"127.0.0.1:8100\"") && !said.contains("8000"), "{said}");
}

/// The pages of a data file come after these.
const HEADER_BYTES: usize = 4096;

#[test]
fn a_directory_that_cannot_be_served_is_one_line_with_a_remedy() {
    let refusal = |directory: &Path| {
        let output = command(&["--data-dir", directory.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said.trim_end().to_owned()
    };
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let mut nearside = Nearside::on_disk(directory.path());
    nearside.connect().must(
        "CreateTable",
        r#"{"TableName":"Kept","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"N"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#,
    );
    let said = refusal(directory.path());
    assert!(
        said.ends_with("is in use by another process; stop it, or give --data-dir or --in-memory"),
        "{said}"
    );
    nearside.terminate();
    nearside.child.wait().unwrap();
    let data = directory.path().join("nearside.redb");
    let said = refusal(&data);
    let words =
        "cannot be used: it is a file, not a directory; choose another with --data-dir, or use --in-memory";
    assert!(said.ends_with(words), "{said}");
    // redb takes the states on such pages for impossible, and panics.
    let pages = vec![0xa5; usize::try_from(data.metadata().unwrap().len()).unwrap() - HEADER_BYTES];
    let file = std::fs::OpenOptions::new().write(true).open(&data).unwrap();
    file.write_all_at(&pages, HEADER_BYTES as u64).unwrap();
    let said = refusal(directory.path());
    assert!(said.ends_with(&format!("; restore a copy, or run `nearside local verify {place}`")), "{said}");
}

#[test]
fn a_health_check_says_why() {
    let check = |admin: &str| {
        let output = run(&["healthcheck", "--admin", admin]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nearside = Nearside::start(&["--in-memory"]);
    assert_eq!(check(&nearside.admin.to_string()), (Some(0), String::new()));
    let (code, said) = check(&nearside.address.to_string());
    assert!(code == Some(1) && said.contains("is not an admin listener"), "{said}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, said) = check(&free);
    assert!(code == Some(1) && said.contains("no answer from the admin listener"), "{said}");
    let waiting = Nearside::start(&["--upstream", &format!("http://{free}")]);
    let (code, said) = check(&waiting.admin.to_string());
    assert!(code == Some(1) && said.contains("is not ready: the upstream"), "{said}");
}

#[test]
fn sigterm_drains_and_ends_well() {
    let mut nearside = Nearside::start(&["--in-memory"]);
    let mut client = nearside.connect();
    client.must("ListTables", "{}");
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_was_written_is_there_after_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Nearside::on_disk(directory.path());
    let mut client = first.connect();
    client.must(
        "CreateTable",
        r#"{"TableName":"Kept","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"N"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#,
    );
    client.must("PutItem", r#"{"TableName":"Kept","Item":{"id":{"N":"1.0"}}}"#);
    first.terminate();
    first.child.wait().unwrap();
    let second = Nearside::on_disk(directory.path());
    let answer = second.connect().must("GetItem", r#"{"TableName":"Kept","Key":{"id":{"N":"1"}}}"#);
    assert_eq!(answer, r#"{"Item":{"id":{"N":"1"}}}"#);
}

#[test]
fn hostile_bodies_leave_the_process_alive() {
    let nearside = Nearside::start(&["--in-memory"]);
    let mut client = nearside.connect();
    client.must(
        "CreateTable",
        r#"{"TableName":"Host","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#,
    );
    let parentheses = format!("{}id = :v{}", "(".repeat(4096), ")".repeat(4096));
    let deep = format!("{}{}", r#"{"L":["#.repeat(5000), "]}".repeat(5000));
    let bodies = [
        ("PutItem", "null".to_owned()),
        ("PutItem", "[]".to_owned()),
        ("PutItem", "\"\"".to_owned()),
        ("PutItem", String::new()),
        ("PutItem", "{\"TableName\":".to_owned()),
        ("PutItem", format!(r#"{{"TableName":"Host","Item":{{"id":{{"S":"a"}},"deep":{deep}}}}}"#)),
        (
            "PutItem",
            format!(
                r#"{{"TableName":"Host","Item":{{"id":{{"S":"a"}},"big":{{"S":"{}"}}}}}}"#,
                "x".repeat(409_600)
            ),
        ),
        (
            "Scan",
            format!(
                r#"{{"TableName":"Host","FilterExpression":"{parentheses}","ExpressionAttributeValues":{{":v":{{"S":"a"}}}}}}"#
            ),
        ),
        ("GetItem", r#"{"TableName":"Host","Key":{"id":{"S":"a"},"id":{"S":"b"}}}"#.to_owned()),
        ("BatchWriteItem", {
            let puts: Vec<_> =
                (0..26).map(|n| format!(r#"{{"PutRequest":{{"Item":{{"id":{{"S":"{n}"}}}}}}}}"#)).collect();
            format!(r#"{{"RequestItems":{{"Host":[{}]}}}}"#, puts.join(","))
        }),
    ];
    for (operation, body) in &bodies {
        let (status, answer) = nearside.connect().call(operation, body).expect("an answer");
        assert!((400..500).contains(&status), "{operation} {:.80}: {status} {answer}", body);
        assert!(answer.contains("__type"), "{answer}");
        client.must("GetItem", r#"{"TableName":"Host","Key":{"id":{"S":"a"}}}"#);
    }
    let lying = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello";
    if let Some((status, _)) = nearside.connect().send(lying) {
        assert!((400..500).contains(&status), "{status}");
    }
    client.must("ListTables", "{}");
}

#[test]
fn verify_tells_by_its_exit_code_what_it_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    assert_eq!(run(&["local", "verify", path]).status.code(), Some(2), "there is nothing");
    let nearside = Nearside::on_disk(directory.path());
    let refused = run(&["local", "verify", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another process"));
    drop(nearside);
    let clean = run(&["local", "verify", path]);
    assert_eq!(clean.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&clean.stdout).ends_with("all agree\n"));
    std::fs::write(directory.path().join("nearside.redb"), b"no data file").unwrap();
    assert_eq!(run(&["local", "verify", path]).status.code(), Some(1), "damaged");
}
