//! A principal as it is in force: a name, and the rights that go with it.

use std::sync::Arc;

use super::document::Policy;
use super::grant::Grant;
use super::judgement::Rights;
use crate::call::PrincipalRole;
use crate::config;

/// Who a verified caller is, and what it may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// The role under which its requests go to a remote upstream; without one, under the node's own.
    pub role: Option<Arc<PrincipalRole>>,
}

impl Principal {
    /// The principal as the config has it, its policy or its lists compiled.
    ///
    /// # Errors
    /// A line that says what is wrong with them, and where in a document.
    pub fn of(written: &config::Principal) -> Result<Self, String> {
        let name = &written.name;
        let policy = match &written.rights {
            config::Rights::Nothing => None,
            config::Rights::Short { lists, places } => Some(
                grant(lists)
                    .policy()
                    .map_err(|error| places.fault(error.list(), &error.to_string()).to_string())?,
            ),
            config::Rights::Policy { file, text } => Some(
                Policy::parse(text)
                    .map_err(|error| format!("auth.principals.policy_file: {}: {error}", file.display()))?,
            ),
        };
        Ok(Self { name: name.clone(), rights: Rights::new(name, &policy), role: written.role.clone() })
    }

    /// What in the rights of a principal can match nothing, a line for each. None if they have a fault: [`Self::of`] reports it.
    pub fn warnings(written: &config::Principal) -> Vec<String> {
        match &written.rights {
            config::Rights::Nothing => Vec::new(),
            config::Rights::Short { lists, places } => {
                let warnings = grant(lists).warnings().into_iter();
                warnings.map(|(list, words)| places.fault(list, &words).to_string()).collect()
            }
            config::Rights::Policy { file, text } => {
                let policy = Policy::parse(text).unwrap_or_default();
                let place = format!("auth.principals.policy_file: {}", file.display());
                policy.warnings().iter().map(|warning| format!("{place}: {warning}")).collect()
            }
        }
    }
}

fn grant(short: &config::ShortRights) -> Grant {
    let config::ShortRights { tables, indexes, actions, leading_keys, attributes } = short;
    Grant {
        tables: tables.clone(),
        indexes: indexes.clone(),
        actions: actions.clone(),
        leading_keys: leading_keys.clone().unwrap_or_default(),
        attributes: attributes.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(rights: config::Rights) -> String {
        Principal::of(&config::Principal { name: "shop".to_owned(), rights, role: None }).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_rights_is_said_with_its_place() {
        let text = "{\"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"dynamodb:GetItm\", \
                    \"Resource\": \"*\"}]}";
        let policy = config::Rights::Policy { file: "shop.json".into(), text: text.to_owned() };
        let said = fault(policy);
        assert!(said.starts_with("auth.principals.policy_file: shop.json: line 2, "), "{said}");
        assert!(said.contains("Statement[0].Action") && said.contains("\"dynamodb:GetItem\""), "{said}");
        let short = config::ShortRights {
            tables: vec!["Orders/index/x".to_owned()],
            indexes: None,
            actions: vec!["read-only".to_owned()],
            leading_keys: None,
            attributes: None,
        };
        let said = fault(config::Rights::Short { lists: short, places: config::ListPlaces::default() });
        assert!(said.contains("tables: \"Orders/index/x\" is no name"), "{said}");
    }

    #[test]
    fn what_can_match_nothing_is_said_with_its_file() {
        let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "dynamodb:ExecuteStatement", "Resource": "*"}}"#;
        let rights = config::Rights::Policy { file: "shop.json".into(), text: text.to_owned() };
        let principal = config::Principal { name: "shop".to_owned(), rights, role: None };
        let said = Principal::warnings(&principal);
        assert!(
            said[0].starts_with(
                "auth.principals.policy_file: shop.json: line 1, column 69, Statement.Action: dynamodb:Ex"
            ),
            "{said:?}"
        );
        assert_eq!(said.len(), 1);
    }
}
