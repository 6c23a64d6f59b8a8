//! The short form: what most principals need, without a document.

use super::action::{self, Actions, UnknownAction};
use super::condition::{ConditionTemplate, Effect, Operator};
use super::context::ConditionKey;
use super::document::{self, Policy, ResourceTemplates, StatementTemplate};
use super::pattern::Template;
use super::resource::ResourcePattern;
use crate::config::nearest;

/// The names of sets of actions.
const SETS: [&str; 2] = ["read-only", "read-write"];
/// What `read-only` stands for.
const READS: [&str; 8] =
    ["get*", "batchgetitem", "query", "scan", "conditioncheckitem", "partiqlselect", "describe*", "list*"];
/// What `read-write` has on top of that.
const WRITES: [&str; 7] = [
    "putitem",
    "updateitem",
    "deleteitem",
    "batchwriteitem",
    "partiqlinsert",
    "partiqlupdate",
    "partiqldelete",
];
/// What shows no items, and is left to who may see some of them only.
const METADATA: [&str; 4] =
    ["describetable", "describetimetolive", "describecontinuousbackups", "listtagsofresource"];

/// What belongs to a table besides its indexes.
const BELONGINGS: [&str; 4] = ["stream", "backup", "export", "import"];

/// What a principal may do with some tables. `*` and `?` are wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Names of tables; at least one. `*` is the account, too: operations that name no table.
    pub tables: Vec<String>,
    /// Names of indexes of these tables; all of them if it is `None`.
    pub indexes: Option<Vec<String>>,
    /// Actions (`GetItem`, `dynamodb:Query`, `dynamodb:*`), `read-only` and `read-write`; at least one.
    pub actions: Vec<String>,
    /// Values of the partition key; all of them if it is empty. `tenant-1*` is a prefix.
    pub leading_keys: Vec<String>,
    /// Names of attributes, those of keys included; all of them if it is empty.
    pub attributes: Vec<String>,
}

/// What is wrong with a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A list must not be empty.
    #[error("{0} lists nothing: a grant names at least one")]
    Empty(&'static str),
    /// An action is not known.
    #[error("{0}")]
    Action(String),
    /// A name of a table or an index that none has.
    #[error(
        "{name:?} is no name: names have the characters a-z, A-Z, 0-9, '_', '.' and '-', and '*' and '?' for any"
    )]
    Name {
        /// The list that it stands in.
        list: &'static str,
        /// The name.
        name: String,
    },
}

impl GrantError {
    /// The list that is wrong.
    pub fn list(&self) -> &'static str {
        match self {
            Self::Empty(list) | Self::Name { list, .. } => list,
            Self::Action(_) => "actions",
        }
    }
}

impl Grant {
    /// The same as a policy. With leading keys or attributes it allows reads and writes of items by their conditions, descriptions of
    /// tables, and nothing that shows or changes items in other ways: no streams, no backups, no changes of tables. With leading keys
    /// it allows no Scan.
    ///
    /// # Errors
    /// [`GrantError`] for the first fault.
    pub fn policy(&self) -> Result<Policy, GrantError> {
        let actions = self.actions()?;
        let resources = ResourceTemplates::Patterns(self.resources()?);
        let conditions = self.conditions();
        let statement = |actions: Actions, conditions| StatementTemplate {
            effect: Effect::Allow,
            actions,
            resources: resources.clone(),
            conditions,
        };
        if conditions.is_empty() {
            return Ok(Policy { statements: vec![statement(actions, conditions)], ..Policy::default() });
        }
        let (items, metadata) = (actions.and(&Actions::items()), actions.and(&named(&METADATA)));
        let statements = vec![statement(items, conditions), statement(metadata, Vec::new())];
        Ok(Policy { statements, ..Policy::default() })
    }

    /// What can match nothing, each with the list that it stands in.
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut warnings = Vec::new();
        for text in &self.leading_keys {
            if Template::has_variable(text) {
                let words = format!(
                    "{text:?} is that very text: lists have no variables; a policy document has them"
                );
                warnings.push(("leading_keys", words));
            }
            warnings
                .extend(document::idle_number(text, &self.leading_keys).map(|words| ("leading_keys", words)));
        }
        for text in self.attributes.iter().filter(|text| text.contains(['*', '?'])) {
            let words = format!("{text:?} is an attribute of that very name: attributes have no wildcards");
            warnings.push(("attributes", words));
        }
        let limit = match (self.leading_keys.is_empty(), self.attributes.is_empty()) {
            (true, true) => return warnings,
            (false, _) => "leading_keys",
            (true, false) => "attributes",
        };
        let Ok(actions) = self.actions() else { return warnings };
        let mut items = actions.and(&Actions::items());
        if limit == "leading_keys" {
            items = items.and(&named(&["scan"]).complement());
        }
        if items.is_empty() && actions.and(&named(&METADATA)).is_empty() {
            warnings.push(("actions", format!("with {limit} these allow nothing")));
        }
        warnings
    }

    fn actions(&self) -> Result<Actions, GrantError> {
        if self.actions.is_empty() {
            return Err(GrantError::Empty("actions"));
        }
        let mut actions = Actions::default();
        for written in &self.actions {
            let bare = written.split_once(':').map_or(written.as_str(), |(_, name)| name);
            if action::is_operation_only(bare) {
                return Err(GrantError::Action(format!(
                    "{bare} is no action: it is allowed by the actions of its parts, such as \
                     GetItem, PutItem, ConditionCheckItem or PartiQLSelect"
                )));
            }
            match written.as_str() {
                "read-only" => add_all(&mut actions, &READS),
                "read-write" => {
                    add_all(&mut actions, &READS);
                    add_all(&mut actions, &WRITES);
                }
                written => {
                    let prefixed = match written.contains(':') {
                        true => written.to_owned(),
                        false => format!("{}{written}", action::PREFIX),
                    };
                    actions.add(&prefixed).map_err(|UnknownAction(words)| {
                        let is_set = nearest::nearest(written, SETS.into_iter());
                        GrantError::Action(match is_set.filter(|_| !written.contains(':')) {
                            Some(set) => {
                                format!("unknown action {written:?}; the nearest known one is {set:?}")
                            }
                            None => words,
                        })
                    })?;
                }
            }
        }
        Ok(actions)
    }

    fn resources(&self) -> Result<Vec<ResourcePattern>, GrantError> {
        if self.tables.is_empty() {
            return Err(GrantError::Empty("tables"));
        }
        let mut patterns = Vec::new();
        let mut is_everything = false;
        for table in &self.tables {
            check_name("tables", table)?;
            is_everything |= table == "*" && self.indexes.is_none();
            patterns.push(ResourcePattern::of_names(table, None));
            let every_index = ["*".to_owned()];
            for index in self.indexes.as_deref().unwrap_or(&every_index) {
                check_name("indexes", index)?;
                patterns.push(ResourcePattern::of_names(table, Some(("index", index))));
            }
            patterns.extend(BELONGINGS.map(|kind| ResourcePattern::of_names(table, Some((kind, "*")))));
        }
        if is_everything {
            return Ok(vec![ResourcePattern::Any]);
        }
        Ok(patterns)
    }

    fn conditions(&self) -> Vec<ConditionTemplate> {
        let condition = |operator: &str, key, values: &[&str]| ConditionTemplate {
            operator: Operator::named(operator).expect("an operator of the table"),
            key,
            values: values.iter().map(|value| Template::plain(value)).collect(),
        };
        let texts = |values: &'_ [String]| values.iter().map(|value| Template::plain(value)).collect();
        let mut conditions = Vec::new();
        if !self.leading_keys.is_empty() {
            let key = ConditionKey::LeadingKeys;
            conditions.push(ConditionTemplate {
                values: texts(&self.leading_keys),
                ..condition("ForAllValues:StringLike", key, &[])
            });
            conditions.push(condition("Null", key, &["false"]));
        }
        if !self.attributes.is_empty() {
            conditions.push(ConditionTemplate {
                values: texts(&self.attributes),
                ..condition("ForAllValues:StringEquals", ConditionKey::Attributes, &[])
            });
            let selects = ["SPECIFIC_ATTRIBUTES", "COUNT"];
            conditions.push(condition("StringEqualsIfExists", ConditionKey::Select, &selects));
            let returned = ["NONE", "UPDATED_OLD", "UPDATED_NEW"];
            conditions.push(condition("StringEqualsIfExists", ConditionKey::ReturnValues, &returned));
        }
        conditions
    }
}

fn add_all(actions: &mut Actions, names: &[&str]) {
    names.iter().for_each(|name| actions.add_name(name).expect("an action of the table"));
}

fn named(names: &[&str]) -> Actions {
    let mut actions = Actions::default();
    add_all(&mut actions, names);
    actions
}

fn check_name(list: &'static str, name: &str) -> Result<(), GrantError> {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*?".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_of_names) {
        true => Ok(()),
        false => Err(GrantError::Name { list, name: name.to_owned() }),
    }
}
