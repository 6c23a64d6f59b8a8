//! The role under which a principal's requests go to the upstream, as `[[auth.keys]]` or `[[auth.principals]]` have it.

use super::error::{Fault, Origin};
use crate::call::PrincipalRole;
use crate::model::arn::Arn;

/// The fewest and the most characters of an external id.
const EXTERNAL_ID_CHARS: std::ops::RangeInclusive<usize> = 2..=1224;

/// The most characters of a role's ARN.
const ARN_CHARS_MAX: usize = 2048;

/// A role as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRole {
    /// Its ARN.
    pub arn: String,
    /// The external id that its trust policy asks for.
    pub external_id: Option<String>,
}

impl WrittenRole {
    /// The role as that of a principal.
    pub(super) fn of(&self, principal: &str) -> PrincipalRole {
        let external_id = self.external_id.as_deref().map(Into::into);
        PrincipalRole { principal: principal.into(), arn: self.arn.as_str().into(), external_id }
    }

    /// The number of its account.
    pub fn account(&self) -> &str {
        Arn::parse(&self.arn).map_or("", |arn| arn.account)
    }
}

/// A role while it is read.
#[derive(Debug, Default)]
pub(super) struct RoleDraft {
    pub(super) arn: Option<String>,
    pub(super) external_id: Option<String>,
}

impl RoleDraft {
    /// # Errors
    /// An external id of no role.
    pub(super) fn resolve(self) -> Result<Option<WrittenRole>, String> {
        match (self.arn, self.external_id) {
            (Some(arn), external_id) => Ok(Some(WrittenRole { arn, external_id })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err("external_id stands without role_arn".to_owned()),
        }
    }
}

/// The name of a principal, its role, and the place of the section that this stands in.
pub(super) type PlacedRole<'c> = (&'c str, &'c WrittenRole, &'c Origin);

/// Roles that stand twice for one principal, and such as are of different accounts.
pub(super) fn contradictions(roles: &[PlacedRole<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (nth, (principal, role, place)) in roles.iter().enumerate() {
        let earlier = &roles[..nth];
        if let Some((_, _, other)) = earlier.iter().find(|(name, ..)| name == principal) {
            let message =
                format!("the role of the principal {principal:?} stands already at {other}; write it once");
            faults.push(Fault { origin: (*place).clone(), message });
        } else if let Some((_, first, other)) = roles.first()
            && first.account() != role.account()
        {
            let message = format!(
                "role_arn: the account {:?} is not that of the role at {other}, {:?}; all roles are of the account whose tables are \
                 cached, since a name means another table in another account",
                role.account(),
                first.account()
            );
            faults.push(Fault { origin: (*place).clone(), message });
        }
    }
    faults
}

/// The ARN of a role.
///
/// # Errors
/// Words that say what one is, or that this build cannot assume it.
pub(super) fn role_arn(text: &str) -> Result<String, String> {
    if !cfg!(feature = "aws-credentials") {
        return Err("this build assumes no roles; build with --features aws-credentials".to_owned());
    }
    let is_number = |account: &str| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_role = |arn: Arn<'_>| {
        let path = arn.resource.strip_prefix("role/");
        let is_path =
            path.is_some_and(|path| !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_graphic()));
        arn.service == "iam" && arn.region.is_empty() && is_number(arn.account) && is_path
    };
    match text.len() <= ARN_CHARS_MAX && Arn::parse(text).is_some_and(is_role) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not the ARN of a role; write one such as \"arn:aws:iam::123456789012:role/shop\""
        )),
    }
}

/// An external id.
///
/// # Errors
/// Words that say what one is.
pub(super) fn external_id(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    match EXTERNAL_ID_CHARS.contains(&text.len()) && text.bytes().all(is_fit) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not an external id; write {} to {} of A-Z, a-z, 0-9, \"_+=,.@:/-\"",
            EXTERNAL_ID_CHARS.start(),
            EXTERNAL_ID_CHARS.end()
        )),
    }
}
