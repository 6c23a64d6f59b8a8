//! Whether a verified caller may do what it asks. Every request passes here, before the cache and before the upstream.

use std::sync::Arc;

use crate::call::Request;
use crate::config::{Principal, Rights, ShortRights};
use crate::engine::Served;
use crate::frontend::{Caller, Service};
use crate::model::{ApiError, ErrorCode};

/// A service that hears only what its callers have a right to.
pub(super) struct Gate<S> {
    service: Arc<S>,
}

impl<S> Gate<S> {
    pub(super) fn before(service: Arc<S>) -> Arc<Self> {
        Arc::new(Self { service })
    }
}

impl<S: Service> Service for Gate<S> {
    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        match caller.principal() {
            Some(principal) => judge(principal, &request)?,
            None => return Err(ApiError::new(ErrorCode::InternalServerError, "Internal server error")),
        }
        self.service.execute(caller, request).await
    }
}

/// Decides by the principal's rights. What cannot be judged is denied: rights to some tables or actions only, and policies.
fn judge(principal: &Principal, request: &Request) -> Result<(), ApiError> {
    let is_allowed = match &principal.rights {
        Rights::Short(rights) => allows_everything(rights),
        Rights::Nothing | Rights::Policy { .. } => false,
    };
    if is_allowed {
        return Ok(());
    }
    let action = format!("dynamodb:{}", request.operation);
    let why = match &principal.rights {
        Rights::Nothing => "it has no rights in [auth] of this node",
        Rights::Short(_) | Rights::Policy { .. } => {
            "rights other than to everything are not judged by this version"
        }
    };
    Err(ApiError::new(
        ErrorCode::AccessDenied,
        format!(
            "User: {} is not authorized to perform: {action} because no identity-based policy allows the {action} action ({why})",
            principal.name
        ),
    ))
}

/// True for rights to all actions on all tables.
pub(super) fn allows_everything(rights: &ShortRights) -> bool {
    let ShortRights { tables, actions, leading_keys, attributes } = rights;
    let names_all = tables.iter().any(|table| table == "*");
    let does_all = actions.iter().any(|action| action == "*" || action == "dynamodb:*");
    names_all && does_all && leading_keys.is_none() && attributes.is_none()
}
