//! What holds of every expression, and the values that the tests of each kind share.

pub(super) mod values;

use proptest::prelude::*;

use super::*;
use values::{item, list, map, n, s, ss, with_bindings};

/// Operands, operators and what holds them together: texts that are often grammatical and sometimes valid.
fn expression_like() -> impl Strategy<Value = String> {
    let operand = "n|s|l\\[[0-4]\\]|m\\.k|ss|zz|#a|:s|:1|:5|:l|:ss|:zz|size\\(s\\)|if_not_exists\\(zz,:1\\)";
    let joint = " (=|<>|<|and|or|in|between|\\+|-|,|not|set|remove|add|delete|\\(|\\)|,) ";
    proptest::collection::vec((operand, joint), 1..8)
        .prop_map(|pairs| pairs.into_iter().map(|(operand, joint)| operand + &joint).collect::<String>())
        .prop_flat_map(|text| {
            let trimmed = text.rsplit_once(' ').map_or(text.clone(), |(left, _)| left.to_owned());
            let start = prop_oneof![Just("set "), Just("remove "), Just("add "), Just("not "), Just("")];
            (start, prop_oneof![Just(text), Just(trimmed)]).prop_map(|(start, text)| format!("{start}{text}"))
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
