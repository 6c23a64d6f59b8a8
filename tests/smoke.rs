//! The boto3 smoke test, on the program that this build made.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The script may make itself a Python environment, which two must not do at one time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn smoke(mode: &[&str]) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smoke/run");
    let status = Command::new(script).arg(env!("CARGO_BIN_EXE_nearside")).args(mode).status();
    assert!(status.expect("bash runs the script").success(), "see the output above");
}

#[test]
fn boto3_works_against_the_program() {
    smoke(&[]);
}

#[test]
fn boto3_works_through_one_program_against_another() {
    smoke(&["--through"]);
}
