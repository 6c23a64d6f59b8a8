//! What statements do by their text alone, and that no text does harm.

use proptest::prelude::*;

use super::*;

#[test]
fn the_effect_of_a_statement_is_known_by_its_text_alone() {
    let writes = |table: &str| Some(Effect::Writes(table.to_owned()));
    for (text, effect) in [
        ("-- a note\n select * from t", Some(Effect::None)),
        ("EXISTS(SELECT * FROM t WHERE a = 1)", Some(Effect::None)),
        (r#"INSERT INTO "my-table" VALUE {'a': ?}"#, writes("my-table")),
        ("UPDATE t SET a = 'DELETE FROM u' WHERE b = 1", writes("t")),
        ("FROM t WHERE b = 1 SET a = 2", writes("t")),
        ("/* x */ DELETE FROM t WHERE a = ?;", writes("t")),
        (
            r#"DELETE FROM "arn:aws:dynamodb:us-east-1:0:table/t""#,
            writes("arn:aws:dynamodb:us-east-1:0:table/t"),
        ),
        ("DELETE FROM t.i WHERE a = 1", None),
        ("FROM t, u WHERE b = 1 SET a = 2", None),
        ("UPDATE t INSERT INTO u VALUE {'a': 1}", None),
        ("UPDATE t SET a = 1 WHERE b = 1; DELETE FROM u", None),
        ("t", None),
        ("SELECT", None),
        ("", None),
    ] {
        assert_eq!(Effect::of(text), effect, "{text}");
    }
}

/// Words of the language, in an order that is often grammatical.
fn statement_like() -> impl Strategy<Value = String> {
    let piece = "SELECT |\\* |FROM |t |WHERE |a |= |1 |'x' |AND |OR |NOT |\\( ?|\\) ?|\\[|\\]|<<|>> ?|\\{|\\}|'k': |, |\\? |IN |IS |MISSING |                 BETWEEN |UPDATE |SET |REMOVE |INSERT INTO |VALUE |DELETE |RETURNING |ALL |OLD |ORDER BY |\\.m|- |\\+ |size\\(|                 attribute_exists\\(|set_add\\(|list_append\\(|EXISTS\\(|-- |/\\*|\"|;";
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()).prop_flat_map(|text| {
        let start = prop_oneof![Just("SELECT * FROM t WHERE a = "), Just("UPDATE t SET a = "), Just("")];
        start.prop_map(move |start| format!("{start}{text}"))
    })
}

proptest! {
    #[test]
    fn any_text_is_a_statement_or_a_refusal(text in statement_like()) {
        let parameters = vec![AttributeValue::Null; text.matches('?').count()];
        let parsed = Statement::parse(&text, &parameters);
        if let Ok(statement) = parsed {
            let effect = Effect::of(&text).expect("what is understood whole has a known effect");
            let writes = !matches!(statement, Statement::Select(_) | Statement::Exists(_));
            prop_assert_eq!(effect, if writes { Effect::Writes(statement.table().to_owned()) } else { Effect::None });
        }
    }
}
