//! `nearside local verify`: whether what is on a disk agrees.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nearside::local::{self, OpenError};
use nearside::telemetry::announce_failure;

use super::CANNOT_START;
use super::output::print_visibly;

/// What came of looking at a store, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Agrees,
    NotLookedAt,
    Damaged,
}

/// Looks at a data directory that no server uses, and at the stores below it.
pub(super) fn verify(directory: &Path) -> ExitCode {
    // The report names the damage; a panic inside redb must not be logged besides.
    std::panic::set_hook(Box::new(|_| {}));
    let verdict = match local::stores_below(directory) {
        Ok(below) if below.is_empty() => verify_store(directory, ""),
        Ok(below) => verify_all(directory, &below),
        Err(error) => {
            announce_failure(&format!("stores below {}: {error}", directory.display()));
            verify_store(directory, "").max(Verdict::NotLookedAt)
        }
    };
    match verdict {
        Verdict::Agrees => ExitCode::SUCCESS,
        Verdict::NotLookedAt => ExitCode::from(CANNOT_START),
        Verdict::Damaged => ExitCode::FAILURE,
    }
}

/// Looks at the store in a directory, if there is one, and at those of regions and access keys below it, and says which is
/// which.
fn verify_all(directory: &Path, below: &[PathBuf]) -> Verdict {
    let own = match local::has_store(directory) {
        Ok(false) => Verdict::Agrees,
        Ok(true) | Err(_) => verify_store(directory, ".: "),
    };
    // A server may have any of them open at any time.
    let _lock = match local::DirectoryLock::take_existing(directory) {
        Ok(lock) => lock,
        Err(error) => {
            announce_failure(&error.to_string());
            return own.max(Verdict::NotLookedAt);
        }
    };
    let verdicts = below.iter().map(|store| {
        let name = store.strip_prefix(directory).unwrap_or(store);
        verify_store(store, &format!("{}: ", name.display()))
    });
    verdicts.fold(own, Verdict::max)
}

/// Looks at one store; every line that is said of it begins with `prefix`.
fn verify_store(directory: &Path, prefix: &str) -> Verdict {
    let verified = catch_unwind(|| local::verify(directory)).unwrap_or_else(|_| {
        let (path, reason) = (directory.to_owned(), "reading it breaks the checks".to_owned());
        Err(OpenError::Damaged { path, reason })
    });
    match verified {
        Ok(report) => {
            let lines: Vec<_> = report.to_string().lines().map(|line| format!("{prefix}{line}\n")).collect();
            show(&lines.concat()).max(if report.is_clean() { Verdict::Agrees } else { Verdict::Damaged })
        }
        Err(OpenError::Damaged { reason, .. }) => {
            show(&format!("{prefix}damaged: {reason}\n")).max(Verdict::Damaged)
        }
        Err(error) => {
            announce_failure(&error.to_string());
            Verdict::NotLookedAt
        }
    }
}

/// Prints a report. One that nobody can read is as good as none.
fn show(report: &str) -> Verdict {
    match print_visibly(report) {
        Ok(()) => Verdict::Agrees,
        Err(message) => {
            announce_failure(&message);
            Verdict::NotLookedAt
        }
    }
}
