//! A request that is not allowed, and what its client hears.

use crate::model::{ApiError, ErrorCode};

/// A request that its principal may not send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub(super) user_arn: String,
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) is_explicit: bool,
    pub(super) unknown_table: Option<String>,
}

impl Denial {
    /// The table whose key must be known to judge the request, as the request spells it, if that is why it was denied. When the table
    /// has been described, the request may be judged once more.
    pub fn unknown_table(&self) -> Option<&str> {
        self.unknown_table.as_deref()
    }

    /// The action that is not allowed, such as `dynamodb:GetItem`.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The ARN that it is not allowed on; `*` for none, and for one that cannot be told.
    pub fn resource(&self) -> &str {
        &self.resource
    }
}

/// In the service's words. They name action and resource, and never a key or a value.
impl From<&Denial> for ApiError {
    fn from(denial: &Denial) -> Self {
        let Denial { user_arn, action, resource, is_explicit, .. } = denial;
        let reason = match is_explicit {
            true => "with an explicit deny in an identity-based policy".to_owned(),
            false => format!("because no identity-based policy allows the {action} action"),
        };
        Self::new(
            ErrorCode::AccessDenied,
            format!(
                "User: {user_arn} is not authorized to perform: {action} on resource: {resource} {reason}"
            ),
        )
    }
}
