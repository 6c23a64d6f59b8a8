//! DynamoDB's expression languages: condition, filter, key condition, projection and update, with their legacy twins.
//!
//! Text flows in through `lexer` and `parser`, which know grammar only and give a tree as written. Each language then
//! resolves that tree against the request's [`Bindings`], checks it in the service's order and words, and keeps an owned
//! tree in which no placeholder is left: two requests of one meaning have equal trees, whatever they called their names.
//! Evaluation never fails on a missing attribute or a foreign type where the service does not. Legacy parameters arrive
//! as values already decoded ([`legacy`]) and become the same trees.

mod lexer;
mod parser;
mod reserved;

mod bindings;
mod path;
mod resolve;

mod condition;
mod key_condition;
mod projection;
mod update;

mod canonical;
mod charge;

pub mod compose;
pub mod legacy;

#[cfg(test)]
mod testing;

pub use bindings::{Bindings, Names, Values, check_placeholders};
pub use condition::{Condition, Context};
pub use key_condition::{KeyCondition, KeyInterval, KeyTest, SortInterval, UncheckedKeyCondition};
pub use parser::Comparator;
pub use path::{Path, Step};
pub use projection::Paths;
pub use update::Update;

/// The most bytes an expression may have.
const SIZE_BYTES_MAX: usize = 4096;
/// The most operators and functions an expression may have.
const OPERATORS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{item, list, map, n, s, ss, with_bindings};
    use super::*;

    /// Operands, operators and what holds them together: texts that are often grammatical and sometimes valid.
    fn expression_like() -> impl Strategy<Value = String> {
        let operand =
            "n|s|l\\[[0-4]\\]|m\\.k|ss|zz|#a|:s|:1|:5|:l|:ss|:zz|size\\(s\\)|if_not_exists\\(zz,:1\\)";
        let joint = " (=|<>|<|and|or|in|between|\\+|-|,|not|set|remove|add|delete|\\(|\\)|,) ";
        proptest::collection::vec((operand, joint), 1..8)
            .prop_map(|pairs| pairs.into_iter().map(|(operand, joint)| operand + &joint).collect::<String>())
            .prop_flat_map(|text| {
                let trimmed = text.rsplit_once(' ').map_or(text.clone(), |(left, _)| left.to_owned());
                let start = prop_oneof![Just("set "), Just("remove "), Just("add "), Just("not "), Just("")];
                (start, prop_oneof![Just(text), Just(trimmed)])
                    .prop_map(|(start, text)| format!("{start}{text}"))
            })
    }

    proptest! {
        #[test]
        fn whatever_parses_can_be_evaluated(text in expression_like()) {
            let before = item([
                ("n", n("5")), ("s", s("x")), ("l", list([s("0"), n("1")])), ("m", map([("k", s("v"))])), ("ss", ss(&["x"])),
            ]);
            with_bindings(|bindings| {
                if let Ok(condition) = Condition::parse(&text, Context::Filter, bindings) {
                    condition.holds(Some(&before));
                    condition.holds(None);
                }
                if let Ok(paths) = Paths::parse_projection(&text, bindings) {
                    paths.project(&before);
                }
                let _ = KeyCondition::parse(&text, bindings).and_then(UncheckedKeyCondition::check);
                if let Ok(update) = Update::parse(&text, bindings) {
                    let mut after = before.clone();
                    if update.apply(&mut after).is_err() {
                        assert_eq!(after, before, "a refused update changes nothing");
                    }
                }
            });
        }
    }
}
