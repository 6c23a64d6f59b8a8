//! The boto3 smoke test, on the program that this build made.

#[test]
fn boto3_works_against_the_program() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smoke/run");
    let status = std::process::Command::new(script).arg(env!("CARGO_BIN_EXE_nearside")).status();
    assert!(status.expect("bash runs the script").success(), "see the output above");
}
