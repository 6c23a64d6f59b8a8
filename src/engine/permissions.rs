//! Which of our own additions to requests a role is known not to be allowed.
//!
//! The cache asks for whole items where a client asks for a part, and for the attributes of a written item where a client asks
//! for none. A role may be denied that, by the conditions `dynamodb:Attributes`, `dynamodb:Select` and
//! `dynamodb:ReturnValues` of IAM. Then requests go upstream as their clients wrote them. A policy may change, so after a
//! while one request finds out again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::Answer;
use crate::model::ErrorCode;

/// How long what was denied is taken to be denied still.
const DENIED_FOR: Duration = Duration::from_secs(10 * 60);

/// The most tables that are remembered; beyond that all are forgotten, and found out again.
const TABLES_MAX: usize = 10_000;

/// What the cache asks for in addition to what the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Addition {
    /// The whole item, where a client wants a part of it.
    WholeItems,
    /// `ReturnValues` of a write, where the client wants none.
    ReturnValues,
}

impl Addition {
    fn name(self) -> &'static str {
        match self {
            Self::WholeItems => "whole items",
            Self::ReturnValues => "ReturnValues",
        }
    }
}

/// What was denied lately, by table.
#[derive(Default)]
pub(super) struct Permissions {
    denied: Mutex<HashMap<(Box<str>, Addition), Instant>>,
}

impl Permissions {
    /// True if the addition was denied for the table a short while ago.
    pub(super) fn is_denied(&self, table: &str, addition: Addition, now: Instant) -> bool {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < DENIED_FOR;
        // Most roles are denied nothing, and then no name is copied.
        !denied.is_empty() && denied.get(&(table.into(), addition)).is_some_and(is_recent)
    }

    /// The addition was denied, and the client's own request was not. Logged once for each table.
    pub(super) fn note_denied(&self, table: &str, addition: Addition, now: Instant) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() >= TABLES_MAX {
            denied.clear();
        }
        if denied.insert((table.into(), addition), now).is_none() {
            tracing::warn!(
                table,
                "The role may not ask for {}; requests are sent as clients write them, and are cached less.",
                addition.name()
            );
        }
    }
}

/// True for an answer that refuses a request because of who sent it.
pub(super) fn is_denied(answer: &Answer) -> bool {
    answer.rejection() == Some(ErrorCode::AccessDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_denied_is_remembered_by_table_and_kind_and_not_for_ever() {
        let (permissions, now) = (Permissions::default(), Instant::now());
        permissions.note_denied("a", Addition::WholeItems, now);
        let is_denied = |table, addition, later| permissions.is_denied(table, addition, now + later);
        assert!(is_denied("a", Addition::WholeItems, DENIED_FOR - Duration::from_secs(1)));
        assert!(!is_denied("a", Addition::WholeItems, DENIED_FOR));
        assert!(!is_denied("a", Addition::ReturnValues, Duration::ZERO));
        assert!(!is_denied("b", Addition::WholeItems, Duration::ZERO));
    }
}
