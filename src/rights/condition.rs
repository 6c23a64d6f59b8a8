//! Conditions of statements: operators as IAM evaluates them.
//!
//! Source: "IAM JSON policy elements: Condition operators" and "Multivalued context keys" in the IAM user guide. A key with several
//! values needs `ForAllValues` or `ForAnyValue`; an operator without either is read the way that grants less.

use super::context::{ConditionKey, Context, Values};
use super::pattern::{Pattern, Template};
use super::truth::Truth;

/// How a value is compared with those of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Bool,
}

/// How the values of a request are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    /// No prefix: a key with one value.
    Single,
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// An operator, as a policy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Compare {
        quantifier: Quantifier,
        comparison: Comparison,
        is_negated: bool,
        if_exists: bool,
    },
    /// `Null`: `true` asks for a key that is absent.
    Null,
}

/// The operators without prefix and suffix.
const COMPARISONS: [(&str, Comparison, bool); 7] = [
    ("StringEquals", Comparison::Equals, false),
    ("StringNotEquals", Comparison::Equals, true),
    ("StringEqualsIgnoreCase", Comparison::EqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Comparison::EqualsIgnoreCase, true),
    ("StringLike", Comparison::Like, false),
    ("StringNotLike", Comparison::Like, true),
    ("Bool", Comparison::Bool, false),
];

impl Operator {
    /// The operator of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "Null" {
            return Some(Self::Null);
        }
        let (quantifier, name) = match name.split_once(':') {
            None => (Quantifier::Single, name),
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(_) => return None,
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (_, comparison, is_negated) = *COMPARISONS.iter().find(|(known, ..)| *known == name)?;
        Some(Self::Compare { quantifier, comparison, is_negated, if_exists })
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        COMPARISONS.iter().map(|(name, ..)| *name).chain(["Null"])
    }
}

/// One key under one operator, as a document has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ConditionTemplate {
    pub(super) operator: Operator,
    pub(super) key: ConditionKey,
    pub(super) values: Vec<Template>,
}

/// The same for whoever has the policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    operator: Operator,
    key: ConditionKey,
    wanted: Vec<Wanted>,
}

/// A value of a policy.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Text(String),
    /// A text in lower case.
    AnyCase(String),
    Pattern(Pattern),
}

impl Wanted {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::AnyCase(text) => *text == value.to_lowercase(),
            Self::Pattern(pattern) => pattern.matches(value),
        }
    }
}

/// What a statement does if its conditions hold. It decides how a condition is read that has two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

impl Condition {
    pub(super) fn of(template: &ConditionTemplate, user_name: &str) -> Self {
        let wanted = template.values.iter().map(|value| match template.operator {
            Operator::Compare { comparison: Comparison::Equals, .. } => Wanted::Text(value.text(user_name)),
            Operator::Compare { comparison: Comparison::Like, .. } => {
                Wanted::Pattern(value.pattern(user_name))
            }
            Operator::Compare { comparison: Comparison::EqualsIgnoreCase | Comparison::Bool, .. }
            | Operator::Null => Wanted::AnyCase(value.text(user_name).to_lowercase()),
        });
        Self { operator: template.operator, key: template.key, wanted: wanted.collect() }
    }

    pub(super) fn key(&self) -> ConditionKey {
        self.key
    }

    /// True if that is one of its values.
    pub(super) fn wants(&self, value: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted.matches(value))
    }

    /// Whether it holds.
    pub(super) fn holds(&self, context: &Context, effect: Effect, user_name: &str) -> Truth {
        let of_user;
        let values = match self.key {
            ConditionKey::UserName => {
                of_user = Values::one(user_name);
                &of_user
            }
            key => context.get(key),
        };
        match self.operator {
            Operator::Null => match values {
                Values::Unknown if self.wants("true") && self.wants("false") => Truth::Yes,
                Values::Unknown => Truth::Unknown,
                Values::Absent => self.wants("true").into(),
                Values::Known(_) => self.wants("false").into(),
            },
            Operator::Compare { quantifier, is_negated, if_exists, .. } => match values {
                Values::Unknown => Truth::Unknown,
                Values::Absent => match quantifier {
                    Quantifier::All => Truth::Yes,
                    Quantifier::Any => if_exists.into(),
                    Quantifier::Single => (if_exists || is_negated).into(),
                },
                Values::Known(values) => {
                    let fits = |value: &String| self.wants(value) != is_negated;
                    match (quantifier, effect) {
                        (Quantifier::All, _) | (Quantifier::Single, Effect::Allow) => {
                            values.iter().all(fits).into()
                        }
                        (Quantifier::Any, _) | (Quantifier::Single, Effect::Deny) => {
                            values.iter().any(fits).into()
                        }
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(operator: &str, wanted: &[&str], values: Values, effect: Effect) -> Truth {
        let template = ConditionTemplate {
            operator: Operator::named(operator).unwrap(),
            key: ConditionKey::LeadingKeys,
            values: wanted.iter().map(|text| Template::plain(text)).collect(),
        };
        let mut context = Context::default();
        context.set(ConditionKey::LeadingKeys, values);
        Condition::of(&template, "").holds(&context, effect, "")
    }

    fn known(values: &[&str]) -> Values {
        Values::Known(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn operators_hold_as_the_user_guide_says() {
        let (a, ab, none) = (&["a"][..], &["a", "b"][..], &[][..]);
        for (operator, wanted, values, expected) in [
            ("StringEquals", ab, a, true),
            ("StringEquals", a, none, false),
            ("StringEqualsIfExists", a, none, true),
            ("StringNotEquals", ab, a, false),
            ("StringNotEquals", a, none, true),
            ("StringNotEquals", &["A"], a, true),
            ("StringEqualsIgnoreCase", &["A"], a, true),
            ("StringNotEqualsIgnoreCase", &["A"], a, false),
            ("StringLike", &["?"], a, true),
            ("StringLike", &["b*"], a, false),
            ("StringNotLike", &["b*"], a, true),
            ("ForAllValues:StringEquals", a, ab, false),
            ("ForAllValues:StringEquals", ab, ab, true),
            ("ForAllValues:StringEquals", a, none, true),
            ("ForAllValues:StringNotEquals", a, &["b", "c"], true),
            ("ForAllValues:StringNotEquals", a, ab, false),
            ("ForAnyValue:StringEquals", a, ab, true),
            ("ForAnyValue:StringEquals", a, none, false),
            ("ForAnyValue:StringEqualsIfExists", a, none, true),
            ("ForAnyValue:StringNotEquals", a, ab, true),
            ("ForAnyValue:StringNotEquals", a, none, false),
            ("Null", &["true"], none, true),
            ("Null", &["false"], none, false),
            ("Null", &["False"], a, true),
            ("Bool", &["TRUE"], &["true"], true),
            ("Bool", &["true"], none, false),
            ("BoolIfExists", &["true"], none, true),
        ] {
            for effect in [Effect::Allow, Effect::Deny] {
                let found = holds(operator, wanted, known(values), effect);
                assert_eq!(found, expected.into(), "{operator} {wanted:?} {values:?}");
            }
        }
    }

    #[test]
    fn an_operator_for_one_value_grants_less_if_there_are_several() {
        let ab = || known(&["a", "b"]);
        assert_eq!(holds("StringEquals", &["a"], ab(), Effect::Allow), Truth::No);
        assert_eq!(holds("StringEquals", &["a"], ab(), Effect::Deny), Truth::Yes);
        assert_eq!(holds("StringNotEquals", &["a"], ab(), Effect::Allow), Truth::No);
        assert_eq!(holds("StringNotEquals", &["a"], ab(), Effect::Deny), Truth::Yes);
    }

    #[test]
    fn what_is_not_known_is_never_compared() {
        for name in Operator::names().filter(|name| *name != "Null") {
            for prefix in ["", "ForAllValues:", "ForAnyValue:"] {
                for suffix in ["", "IfExists"] {
                    let operator = format!("{prefix}{name}{suffix}");
                    let found = holds(&operator, &["a"], Values::Unknown, Effect::Allow);
                    assert_eq!(found, Truth::Unknown, "{operator}");
                }
            }
        }
        for name in
            ["stringequals", "ForSomeValues:StringEquals", "NullIfExists", "ForAllValues:Null", "ArnLike"]
        {
            assert_eq!(Operator::named(name), None, "{name}");
        }
    }
}
