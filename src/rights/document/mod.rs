//! Policy documents: the JSON of IAM's identity-based policies.

mod idle;
mod node;

use super::action::{self, Actions, UnknownAction};
use super::condition::{ConditionTemplate, Effect, Operator};
use super::context::ConditionKey;
use super::pattern::Template;
use super::resource::ResourcePattern;
use crate::config::nearest;

pub(super) use idle::number as idle_number;
pub use node::PolicyError;

use node::{Member, Node};

/// The version that has policy variables.
const VERSION: &str = "2012-10-17";
/// The version of documents without one.
const VERSION_OLD: &str = "2008-10-17";

/// The largest document: far more than the 6,144 characters of a managed policy.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// A policy: what a document allows and denies, for whoever has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub(super) statements: Vec<StatementTemplate>,
    /// What can match nothing, each with its place.
    pub(super) warnings: Vec<PolicyError>,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatementTemplate {
    pub(super) effect: Effect,
    pub(super) actions: Actions,
    pub(super) resources: ResourceTemplates,
    /// All must hold.
    pub(super) conditions: Vec<ConditionTemplate>,
}

/// The resources of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ResourceTemplates {
    /// As written.
    Written { templates: Vec<Template>, is_complement: bool },
    /// Known already.
    Patterns(Vec<ResourcePattern>),
}

impl Policy {
    /// Reads a document. Statements about other services are checked for their form and have no effect.
    ///
    /// # Errors
    /// [`PolicyError`] for the first fault, with its place. An unknown action, condition key or policy variable is a fault: a policy
    /// that cannot be understood wholly must not be taken for a weaker one.
    pub fn parse(document: &str) -> Result<Self, PolicyError> {
        // Editors of some systems begin a file with a byte order mark.
        let document = document.strip_prefix('\u{feff}').unwrap_or(document);
        let root = Node::of_document(document)?;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(root.error(format!("a policy document has at most {DOCUMENT_BYTES_MAX} bytes")));
        }
        let (mut statements, mut has_variables) = (None, false);
        for Member { name, value } in root.members()? {
            match &*name {
                "Version" => match &*value.text()? {
                    VERSION => has_variables = true,
                    VERSION_OLD => {}
                    version => {
                        let message =
                            format!("unknown version {version:?}; known are {VERSION} and {VERSION_OLD}");
                        return Err(value.error(message));
                    }
                },
                "Id" => drop(value.text()?),
                "Statement" => statements = Some(value),
                name => return Err(value.error(unknown("element", name, &["Version", "Id", "Statement"]))),
            }
        }
        let statements = statements.ok_or_else(|| root.error("the document has no Statement"))?;
        let mut reader = Reader { has_variables, warnings: Vec::new() };
        let elements = statements.some_elements()?;
        let statements = elements.iter().map(|node| reader.statement(node)).collect::<Result<_, _>>()?;
        Ok(Self { statements, warnings: reader.warnings })
    }

    /// What in the document can match nothing, each with its place.
    pub fn warnings(&self) -> &[PolicyError] {
        &self.warnings
    }
}

/// The words for a name that is none of those known.
fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    nearest::unknown(kind, name, known)
}

/// Reads the elements of a document of one version.
struct Reader {
    has_variables: bool,
    warnings: Vec<PolicyError>,
}

/// The elements of a statement.
#[derive(Default)]
struct Elements<'a> {
    effect: Option<Effect>,
    actions: Option<Actions>,
    resources: Option<ResourceTemplates>,
    conditions: Option<Node<'a>>,
    /// True if an action is named as one of DynamoDB.
    names_actions: bool,
    /// The resources, if they are all of other services.
    foreign: Option<Node<'a>>,
}

impl Reader {
    fn statement(&mut self, node: &Node<'_>) -> Result<StatementTemplate, PolicyError> {
        const ELEMENTS: [&str; 7] =
            ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        let mut found = Elements::default();
        for Member { name, value } in node.members()? {
            match &*name {
                "Sid" => drop(value.text()?),
                "Effect" => found.effect = Some(effect(&value)?),
                "Action" | "NotAction" => {
                    let (actions, are_named) = self.actions(&value)?;
                    found.names_actions = are_named;
                    let actions = if name == "Action" { actions } else { actions.complement() };
                    if found.actions.replace(actions).is_some() {
                        return Err(value.error("a statement has either Action or NotAction"));
                    }
                }
                "Resource" | "NotResource" => {
                    let (resources, are_foreign) = self.resources(&value, name == "NotResource")?;
                    found.foreign = are_foreign.then(|| value.clone());
                    if found.resources.replace(resources).is_some() {
                        return Err(value.error("a statement has either Resource or NotResource"));
                    }
                }
                "Condition" => found.conditions = Some(value),
                "Principal" | "NotPrincipal" => {
                    return Err(value.error("a policy of a principal names no other: it has no Principal"));
                }
                name => return Err(value.error(unknown("element", name, &ELEMENTS))),
            }
        }
        let missing = |element: &str| node.error(format!("the statement has no {element}"));
        let actions = found.actions.ok_or_else(|| missing("Action"))?;
        let conditions = match &found.conditions {
            // Conditions on requests to other services have keys of theirs.
            Some(_) if actions.is_empty() => Vec::new(),
            Some(node) => self.conditions(node)?,
            None => Vec::new(),
        };
        if let Some(resources) = found.foreign.filter(|_| found.names_actions) {
            self.warn(&resources, idle::FOREIGN_RESOURCES);
        }
        Ok(StatementTemplate {
            effect: found.effect.ok_or_else(|| missing("Effect"))?,
            actions,
            resources: found.resources.ok_or_else(|| missing("Resource"))?,
            conditions,
        })
    }

    fn warn(&mut self, node: &Node<'_>, words: impl Into<String>) {
        self.warnings.push(node.error(words));
    }

    /// The actions, and whether any is named as one of DynamoDB.
    fn actions(&mut self, node: &Node<'_>) -> Result<(Actions, bool), PolicyError> {
        let (mut actions, mut are_named) = (Actions::default(), false);
        for element in node.some_elements()? {
            let written = element.text()?;
            let added = actions.add(&written);
            added.map_err(|UnknownAction(words)| element.error(words))?;
            are_named |= written.to_ascii_lowercase().starts_with(action::PREFIX);
            if let Some(words) = idle::action(&written) {
                self.warn(&element, words);
            }
        }
        Ok((actions, are_named))
    }

    fn template(&self, node: &Node<'_>, text: &str) -> Result<Template, PolicyError> {
        if !self.has_variables {
            return match Template::has_variable(text) {
                true => Err(node.error(format!("policy variables need \"Version\": \"{VERSION}\""))),
                false => Ok(Template::plain(text)),
            };
        }
        Template::parse(text).map_err(|unknown| node.error(unknown.to_string()))
    }

    /// The resources, and whether they name none of DynamoDB.
    fn resources(
        &mut self,
        node: &Node<'_>,
        is_complement: bool,
    ) -> Result<(ResourceTemplates, bool), PolicyError> {
        let (mut templates, mut are_foreign) = (Vec::new(), !is_complement);
        for element in node.some_elements()? {
            let text = element.text()?;
            let template = self.template(&element, &text)?;
            let Some(pattern) = ResourcePattern::of(&template, "name") else {
                let example = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders";
                return Err(
                    element.error(format!("{text:?} is neither \"*\" nor an ARN such as {example:?}"))
                );
            };
            are_foreign &= pattern == ResourcePattern::Foreign;
            if let Some(words) = idle::resource(&pattern, &text) {
                self.warn(&element, words);
            }
            templates.push(template);
        }
        Ok((ResourceTemplates::Written { templates, is_complement }, are_foreign))
    }

    fn conditions(&mut self, node: &Node<'_>) -> Result<Vec<ConditionTemplate>, PolicyError> {
        let mut conditions = Vec::new();
        for Member { name, value } in node.members()? {
            let operator = Operator::named(&name).ok_or_else(|| value.error(unknown_operator(&name)))?;
            for Member { name, value } in value.members()? {
                let key = ConditionKey::named(&name).ok_or_else(|| value.error(unknown_key(&name)))?;
                let elements = value.some_elements()?;
                let values = elements.iter().map(|element| self.template(element, &element.scalar()?));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                for (element, template) in elements.iter().zip(&values) {
                    if let Some(words) = idle::value(operator, key, template, &values) {
                        self.warn(element, words);
                    }
                }
                conditions.push(ConditionTemplate { operator, key, values });
            }
        }
        Ok(conditions)
    }
}

fn effect(node: &Node<'_>) -> Result<Effect, PolicyError> {
    match &*node.text()? {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(node.error(format!("the effect is \"Allow\" or \"Deny\", and not {other:?}"))),
    }
}

fn unknown_operator(name: &str) -> String {
    let (prefix, bare) = match name.split_once(':') {
        Some((prefix, bare)) => (format!("{prefix}:"), bare),
        None => (String::new(), name),
    };
    if !prefix.is_empty() && !["ForAllValues:", "ForAnyValue:"].contains(&prefix.as_str()) {
        return unknown("set operator", prefix.trim_end_matches(':'), &["ForAllValues", "ForAnyValue"]);
    }
    let bare = bare.strip_suffix("IfExists").unwrap_or(bare);
    let known: Vec<&str> = Operator::names().collect();
    match known.contains(&bare) {
        true => format!("{name:?} is no condition operator: Null has neither a prefix nor a suffix"),
        false => unknown("condition operator", bare, &known),
    }
}

fn unknown_key(name: &str) -> String {
    let known: Vec<&str> = ConditionKey::names().collect();
    let is_of_dynamodb = name.to_ascii_lowercase().starts_with("dynamodb:");
    match is_of_dynamodb {
        true => unknown("condition key", name, &known),
        // The nearest known one would be nearest by its letters only.
        false => format!("the condition key {name:?} has no value here; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(document: &str) -> String {
        Policy::parse(document).unwrap_err().to_string()
    }

    fn statement(elements: &str) -> String {
        format!("{{\"Version\":\"2012-10-17\",\n \"Statement\":[{{\n  {elements}\n}}]}}")
    }

    fn warnings(document: &str) -> Vec<String> {
        Policy::parse(document).unwrap().warnings().iter().map(ToString::to_string).collect()
    }

    const REST: &str = r#""Effect":"Allow","Action":"dynamodb:*","Resource":"*""#;

    #[test]
    fn faults_have_a_place_and_name_what_may_have_been_meant() {
        for (document, expected) in [
            ("{", "line 1, column 1: this is not JSON: EOF while parsing an object"),
            ("[]", "line 1, column 1: an object is expected here"),
            (
                "{\"Version\":\"2012\"}",
                "line 1, column 12, Version: unknown version \"2012\"; known are 2012-10-17 and 2008-10-17",
            ),
            ("{\"Version\":\"2012-10-17\"}", "line 1, column 1: the document has no Statement"),
            (
                "{\"Statment\":[]}",
                "line 1, column 13, Statment: unknown element \"Statment\"; the nearest known one is \"Statement\"",
            ),
            (
                &statement(
                    r#""Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:GetItm"],"Resource":"*""#,
                ),
                "line 3, column 49, Statement[0].Action[1]: unknown action \"dynamodb:GetItm\"; the nearest known one is \"dynamodb:GetItem\"",
            ),
            (
                &statement(&format!(
                    "{REST},\n  \"Condition\":{{\"StringEquals\":{{\"dynamodb:LeadingKey\":\"a\"}}}}"
                )),
                "line 4, column 54, Statement[0].Condition.StringEquals.dynamodb:LeadingKey: \
                 unknown condition key \"dynamodb:LeadingKey\"; the nearest known one is \"dynamodb:LeadingKeys\"",
            ),
            (
                &statement(&format!("{REST},\"Condition\":{{\"StringEqual\":{{}}}}")),
                "line 3, column 84, Statement[0].Condition.StringEqual: unknown condition operator \"StringEqual\"; \
                 the nearest known one is \"StringEquals\"",
            ),
            (
                &statement(&format!("{REST},\"Condition\":{{\"ForAll:StringEquals\":{{}}}}")),
                "line 3, column 92, Statement[0].Condition.ForAll:StringEquals: unknown set operator \"ForAll\"; \
                 the nearest known one is \"ForAllValues\"",
            ),
            (
                &statement(r#""Effect":"allow","Action":"*","Resource":"*""#),
                "line 3, column 12, Statement[0].Effect: the effect is \"Allow\" or \"Deny\", and not \"allow\"",
            ),
            (
                &statement(r#""Effect":"Deny","Action":"*","Resource":"Orders""#),
                "line 3, column 43, Statement[0].Resource: \"Orders\" is neither \"*\" nor an ARN such as \
                 \"arn:aws:dynamodb:us-east-1:123456789012:table/Orders\"",
            ),
            (
                &statement(&format!("{REST},\"NotAction\":\"*\"")),
                "line 3, column 69, Statement[0].NotAction: a statement has either Action or NotAction",
            ),
            (
                &statement(&format!("{REST},\"Effect\":\"Deny\"")),
                "line 3, column 66, Statement[0].Effect: \"Effect\" stands here twice",
            ),
            (
                &statement(r#""Effect":"Allow","Resource":"*""#),
                "line 2, column 15, Statement[0]: the statement has no Action",
            ),
        ] {
            assert_eq!(fault(document), expected, "{document}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_a_fault() {
        let of_condition = |condition: &str| fault(&statement(&format!("{REST},\"Condition\":{condition}")));
        let fault = of_condition(r#"{"StringEquals":{"aws:SourceVpce":"vpce-1"}}"#);
        assert!(
            fault.contains("the condition key \"aws:SourceVpce\" has no value here; known are dynamodb:"),
            "{fault}"
        );
        let fault =
            of_condition(r#"{"StringEquals":{"dynamodb:LeadingKeys":["a","${www.amazon.com:user_id}"]}}"#);
        assert!(
            fault.ends_with(
                "StringEquals.dynamodb:LeadingKeys[1]: the policy variable ${www.amazon.com:user_id} has no value here; \
                 only ${aws:username} has"
            ),
            "{fault}"
        );
        let fault = of_condition(r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#);
        assert!(
            fault.contains("unknown condition operator \"IpAddress\"; known are StringEquals,"),
            "{fault}"
        );
        let old = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:dynamodb:*:*:table/${aws:username}"}}"#;
        let fault = Policy::parse(old).unwrap_err();
        assert_eq!(fault.message, "policy variables need \"Version\": \"2012-10-17\"");
    }

    #[test]
    fn one_statement_needs_no_list_and_other_services_have_no_effect() {
        let document = r#"{"Id":"x","Version":"2012-10-17","Statement":{"Sid":"a","Effect":"Allow",
            "Action":["s3:GetObject"],"Resource":"arn:aws:s3:::bucket/*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.1"}}}}"#;
        let policy = Policy::parse(document).unwrap();
        assert!(policy.statements[0].actions.is_empty() && policy.statements[0].conditions.is_empty());
        let document = r#"{"Statement":[{"Effect":"Deny","NotAction":"dynamodb:Get*","NotResource":["*"],
            "Condition":{"Bool":{"dynamodb:FullTableScan":true},"Null":{"aws:UserName":false}}}]}"#;
        let policy = Policy::parse(document).unwrap();
        assert_eq!(policy.statements[0].conditions.len(), 2);
    }

    #[test]
    fn an_empty_list_is_a_fault_as_in_iam() {
        let empty = "the list is empty; a policy has at least one element here";
        for (document, path) in [
            (r#"{"Statement":[]}"#.to_owned(), "Statement"),
            (statement(r#""Effect":"Allow","Action":[],"Resource":"*""#), "Statement[0].Action"),
            (statement(r#""Effect":"Deny","NotAction":[],"Resource":"*""#), "Statement[0].NotAction"),
            (statement(r#""Effect":"Deny","Action":"*","Resource":[]"#), "Statement[0].Resource"),
            (statement(r#""Effect":"Allow","Action":"*","NotResource":[]"#), "Statement[0].NotResource"),
            (
                statement(&format!(r#"{REST},"Condition":{{"StringEquals":{{"dynamodb:Select":[]}}}}"#)),
                "Statement[0].Condition.StringEquals.dynamodb:Select",
            ),
        ] {
            assert!(fault(&document).ends_with(&format!(", {path}: {empty}")), "{}", fault(&document));
        }
    }

    #[test]
    fn what_can_match_nothing_is_a_warning_with_its_place() {
        let of_resource =
            |arn: &str| statement(&format!(r#""Effect":"Deny","Action":"dynamodb:*","Resource":["{arn}"]"#));
        let of_action = |action: &str| {
            statement(&format!(r#""Effect":"Deny","Action":["dynamodb:Query","{action}"],"Resource":"*""#))
        };
        let of_condition = |operator: &str, key: &str, value: &str| {
            statement(&format!(r#"{REST},"Condition":{{"{operator}":{{"{key}":{value}}}}}"#))
        };
        let account = "arn:aws:dynamodb:us-east-1:123456789012";
        for (document, words) in [
            (
                of_resource(&format!("{account}:Orders")),
                "Statement[0].Resource[0]: \"arn:aws:dynamodb:us-east-1:123456789012:Orders\" names nothing",
            ),
            (
                of_resource(&format!("{account}:tables/*")),
                "behind the account stands table/ or global-table/ and a name",
            ),
            (of_resource(&format!("{account}:table/")), "behind the account stands table/"),
            (of_resource(&format!("{account}:table/Or ders")), "a name has"),
            (of_resource(&format!("{account}:table/Orders/indexes/*")), "behind a table stands index/"),
            (of_resource(&format!("{account}:table/Orders/index")), "behind a table stands index/"),
            (of_action("dynamodb:Transact*"), "Statement[0].Action[1]: dynamodb:Transact* is no action"),
            (of_resource("arn:aws:dynamodb::123456789012:table/Orders"), "a table has a region"),
            (of_resource("arn:aws:dynamodb:us-east-1:1234:table/Orders"), "an account has 12 digits"),
            (
                of_resource("arn:asw:dynamodb:*:*:table/Orders"),
                "the partition is one of aws, aws-cn and aws-us-gov",
            ),
            (
                of_resource("arn:aws:dynamdb:*:*:table/Orders"),
                "Statement[0].Resource: all resources are of other services",
            ),
            (
                of_action("dynamodb:TransactWriteItems"),
                "Statement[0].Action[1]: dynamodb:TransactWriteItems is no action",
            ),
            (
                of_action("dynamdb:Scan"),
                "Statement[0].Action[1]: \"dynamdb:Scan\" is an action of another service",
            ),
            (
                of_condition("StringEquals", "dynamodb:Select", r#"["COUNT","SPECIFIC_ATTRIBUTE"]"#),
                "Statement[0].Condition.StringEquals.dynamodb:Select[1]: unknown value \"SPECIFIC_ATTRIBUTE\"; the nearest known one is \"SPECIFIC_ATTRIBUTES\"",
            ),
            (of_condition("StringLike", "dynamodb:ReturnValues", "\"OLD*\""), "unknown value \"OLD*\""),
            (of_condition("StringEquals", "dynamodb:FullTableScan", "\"True\""), "unknown value \"True\""),
            (
                of_condition("Null", "dynamodb:LeadingKeys", "\"no\""),
                "unknown value \"no\"; known are true, false",
            ),
            (of_condition("Bool", "dynamodb:FullTableScan", "1"), "unknown value \"1\""),
            (
                of_condition("StringEquals", "dynamodb:LeadingKeys", "\"a*\""),
                "\"a*\" has wildcards, and this operator has none; StringLike has",
            ),
            (
                of_condition("ForAllValues:StringEquals", "dynamodb:LeadingKeys", "\"1.0\""),
                "LeadingKeys: \"1.0\" is never the value of a number key: DynamoDB writes that number \"1\"",
            ),
        ] {
            let warnings = warnings(&document);
            assert!(warnings.len() == 1 && warnings[0].contains(words), "{words}\n{warnings:#?}");
        }
    }

    #[test]
    fn what_may_match_is_no_warning() {
        for document in [
            statement(r#""Effect":"Deny","Action":["s3:*","*"],"Resource":"arn:aws:s3:::bucket/*""#),
            statement(
                r#""Effect":"Allow","Action":["dynamodb:Get*","dax:*"],"Resource":["arn:aws:s3:::b","arn:aws*:dynamodb:*:*:*e/Ord?rs"]"#,
            ),
            statement(
                r#""Effect":"Allow","Action":"dynamodb:*","Resource":["arn:aws:dynamodb:*","arn:aws:dynamodb::*:global-table/G","arn:aws:dynamodb:eu-west-1:*:t*","arn:aws:dynamodb:*:*:table/T/i*","arn:aws:dynamodb:*:*:table/T/index/a?"]"#,
            ),
            statement(
                r#""Effect":"Allow","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:*:table/u-${aws:username}""#,
            ),
            statement(&format!(
                r#"{REST},"Condition":{{"StringLike":{{"dynamodb:Select":"*_ATTRIBUTES","dynamodb:LeadingKeys":["1.*","7"]}},
                    "StringEqualsIgnoreCase":{{"dynamodb:ReturnValues":"none"}},"Bool":{{"dynamodb:FullTableScan":false}},
                    "StringEquals":{{"dynamodb:LeadingKeys":["1.0","1","${{*}}","x","${{aws:username}}"]}}}}"#
            )),
        ] {
            assert_eq!(warnings(&document), Vec::<String>::new(), "{document}");
        }
    }

    #[test]
    fn a_byte_order_mark_before_a_document_is_passed_over() {
        let document = format!("\u{feff}{}", statement(REST));
        assert_eq!(Policy::parse(&document).unwrap(), Policy::parse(&document[3..]).unwrap());
        assert_eq!(fault("\u{feff}[]"), "line 1, column 1: an object is expected here");
    }
}
