//! A process that has run out of file descriptors: it waits for some to come free, and does not spin.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use crate::client::{Nearside, program, sealed};

/// Descriptors that the process may have.
const DESCRIPTORS: usize = 64;

/// More connections than it can accept, and few enough for any kernel's queue.
const CONNECTIONS: usize = 120;

/// Processor time that the process has used, in ticks of ten milliseconds.
fn used_ticks(nearside: &Nearside) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", nearside.child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let nearside = Nearside::from_command(sealed("sh").args([
        "-c",
        &format!(
            "ulimit -Sn 64; ulimit -Hn 4096; exec {} --in-memory --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
            program().display()
        ),
    ]));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", nearside.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft_and_hard: Vec<&str> = line["Max open files".len()..].split_whitespace().take(2).collect();
    assert_eq!(soft_and_hard, ["4096", "4096"]);
}

#[test]
fn without_descriptors_it_serves_who_is_there_and_does_not_spin() {
    let nearside = Nearside::from_command(sealed("sh").args([
        "-c",
        &format!(
            "ulimit -n {DESCRIPTORS}; exec {} --in-memory --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
            program().display()
        ),
    ]));
    let mut early = nearside.connect();
    early.must("ListTables", "{}");
    // Clients do not get the last descriptors; monitors may.
    let listeners = [nearside.address, nearside.admin];
    let connect = |position: usize| TcpStream::connect(listeners[position % listeners.len()]).unwrap();
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    early.must("ListTables", "{}");

    let before = used_ticks(&nearside);
    // Nobody answers: this passes a second.
    let last = idle.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(last.read(&mut [0]).is_err());
    let used = used_ticks(&nearside) - before;
    assert!(used < 20, "{used} ticks of a hundred");

    early.must("ListTables", "{}");
    drop(idle);
    nearside.connect().must("ListTables", "{}");
}
