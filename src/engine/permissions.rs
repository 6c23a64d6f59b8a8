//! Which of our own additions to requests a role is known not to be allowed.
//!
//! The cache asks for whole items where a client asks for a part, and for the attributes of a written item where a client asks
//! for none. A role may be denied that, by the conditions `dynamodb:Attributes`, `dynamodb:Select` and
//! `dynamodb:ReturnValues` of IAM. Then requests on its behalf go upstream as their clients wrote them; those on behalf of other roles
//! do not change. A policy may change, so after a while one request finds out again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::{Answer, PrincipalRole, Request};
use crate::model::ErrorCode;

/// How long what was denied is taken to be denied still.
const DENIED_FOR: Duration = Duration::from_secs(10 * 60);

/// The most tables that are remembered, each once for each role; beyond that all are forgotten, and found out again.
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

/// What was denied lately, by table and role.
#[derive(Default)]
pub(super) struct Permissions {
    denied: Mutex<HashMap<Denied, Instant>>,
}

/// The table, what was denied for it, and on whose behalf it was asked for.
type Denied = (Box<str>, Addition, Option<Arc<PrincipalRole>>);

impl Permissions {
    /// True if the addition was denied a short while ago, for the table and on whose behalf the request is.
    pub(super) fn is_denied(&self, table: &str, addition: Addition, request: &Request, now: Instant) -> bool {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < DENIED_FOR;
        // Most roles are denied nothing, and then no name is copied.
        !denied.is_empty()
            && denied.get(&(table.into(), addition, request.on_behalf_of.clone())).is_some_and(is_recent)
    }

    /// The addition was denied, and the client's own request was not. Logged once for each table and role.
    pub(super) fn note_denied(&self, table: &str, addition: Addition, request: &Request, now: Instant) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() >= TABLES_MAX {
            denied.clear();
        }
        let on_behalf_of = request.on_behalf_of.clone();
        let principal = on_behalf_of.as_ref().map(|role| role.principal.to_string());
        if denied.insert((table.into(), addition, on_behalf_of), now).is_none() {
            tracing::warn!(
                table,
                principal,
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

/// True for an answer that is about who sent the request, and not about the request: another one may hear something else.
pub(super) fn is_about_sender(answer: &Answer) -> bool {
    matches!(
        answer.rejection(),
        Some(ErrorCode::AccessDenied | ErrorCode::UnrecognizedClient | ErrorCode::ExpiredToken)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;

    fn request(principal: Option<&str>) -> Request {
        let role = |principal: &str| {
            let arn = "arn:aws:iam::123456789012:role/shop".into();
            Arc::new(PrincipalRole { principal: principal.into(), arn, external_id: None })
        };
        Request { on_behalf_of: principal.map(role), ..Request::new(Operation::GetItem, "{}") }
    }

    #[test]
    fn what_was_denied_is_remembered_by_table_kind_and_role_and_not_for_ever() {
        let (permissions, now) = (Permissions::default(), Instant::now());
        permissions.note_denied("a", Addition::WholeItems, &request(Some("shop")), now);
        let is_denied = |table, addition, later| {
            permissions.is_denied(table, addition, &request(Some("shop")), now + later)
        };
        for other in [None, Some("other")] {
            assert!(!permissions.is_denied("a", Addition::WholeItems, &request(other), now));
        }
        assert!(is_denied("a", Addition::WholeItems, DENIED_FOR - Duration::from_secs(1)));
        assert!(!is_denied("a", Addition::WholeItems, DENIED_FOR));
        assert!(!is_denied("a", Addition::ReturnValues, Duration::ZERO));
        assert!(!is_denied("b", Addition::WholeItems, Duration::ZERO));
    }
}
