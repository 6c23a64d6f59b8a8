//! The role of a principal: on whose behalf a request goes to the upstream, if not on the node's own.

use crate::model::arn::Arn;

/// The fewest and the most characters of the name of a session.
const SESSION_CHARS: std::ops::RangeInclusive<usize> = 2..=64;

/// The role that an upstream assumes for a principal. Two principals with one role have sessions of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrincipalRole {
    /// The principal's name: 1 to 128 of `A-Z`, `a-z`, `0-9`, `._-+=@`.
    pub principal: Box<str>,
    /// The role's ARN.
    pub arn: Box<str>,
    /// The external id that the role's trust policy asks for, if it asks for one.
    pub external_id: Option<Box<str>>,
}

impl PrincipalRole {
    /// The name of its sessions, by which CloudTrail shows them: the principal's name, as far as a session may be called so. A
    /// longer name is cut and ends with a checksum of the whole.
    pub fn session_name(&self) -> String {
        let name = &*self.principal;
        if name.len() < *SESSION_CHARS.start() {
            return format!("{name}@nearside");
        }
        if name.len() <= *SESSION_CHARS.end() {
            return name.to_owned();
        }
        let checksum = format!("-{:08x}", crc32fast::hash(name.as_bytes()));
        let kept = SESSION_CHARS.end() - checksum.len();
        name.chars().take(kept).chain(checksum.chars()).collect()
    }

    /// The number of the account that the role belongs to.
    pub fn account(&self) -> &str {
        Arn::parse(&self.arn).map_or("", |arn| arn.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_name(principal: &str) -> String {
        let arn = "arn:aws:iam::123456789012:role/shop".into();
        PrincipalRole { principal: principal.into(), arn, external_id: None }.session_name()
    }

    #[test]
    fn a_session_is_called_as_its_principal_and_never_as_another_one() {
        assert_eq!(session_name("shop"), "shop");
        assert_eq!(session_name("a"), "a@nearside");
        let (fits, long) = ("x".repeat(64), "x".repeat(65));
        assert_eq!(session_name(&fits), fits);
        let longer = session_name(&"x".repeat(128));
        assert_eq!((session_name(&long).len(), longer.len()), (64, 64));
        assert!(session_name(&long).starts_with(&"x".repeat(55)) && session_name(&long) != longer);
    }
}
