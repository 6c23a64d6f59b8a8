//! Expressions as clients encode them, written as text and read again by the parser that the local backend and the cache use.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::{Expressions, Language};
use crate::dax::cbor::Writer;
use crate::dax::object::Object;
use crate::dax::tests::{bytes_of_hex as hex, vectors};
use crate::json::Json;
use crate::model::ApiError;
use crate::model::expr::{Condition, Context, Paths, Update};
use crate::wire::attribute::Reader;
use crate::wire::expressions::Placeholders;

/// A request with one expression, as JSON.
fn written(language: Language, code: &[u8], values: &HashMap<Vec<u8>, String>) -> Result<String, ApiError> {
    let mut expressions = Expressions::new();
    match language {
        Language::Projection => drop(expressions.add_projection(code)?),
        _ => expressions.add(language, code)?,
    }
    let mut out = Vec::new();
    let mut request = Object::begin(&mut out);
    expressions.write(&mut request, |value, out| {
        out.extend_from_slice(values[value].as_bytes());
        Ok(())
    })?;
    request.end();
    Ok(String::from_utf8(out).unwrap())
}

/// What the parser makes of an expression, with all placeholders used; or its words.
fn read(language: Language, body: &str) -> Result<String, String> {
    let body = Json::parse(body.as_bytes()).unwrap();
    let placeholders = Placeholders::parse(&body, Reader::Newer).map_err(|error| error.to_string())?;
    let mut bindings = placeholders.bindings();
    let text = body.get(language.parameter()).and_then(Json::text).unwrap();
    let read = match language {
        Language::Projection => Paths::parse_projection(text, &mut bindings).map(|read| format!("{read:?}")),
        Language::Update => Update::parse(text, &mut bindings).map(|read| format!("{read:?}")),
        Language::Condition | Language::Filter | Language::KeyCondition => {
            Condition::parse(text, Context::Condition, &mut bindings).map(|read| format!("{read:?}"))
        }
    };
    let read = read.map_err(|error| error.to_string())?;
    bindings.finish().map_err(|error| error.to_string())?;
    Ok(read)
}

fn text_of(language: Language, body: &str) -> String {
    let body = Json::parse(body.as_bytes()).unwrap();
    body.get(language.parameter()).and_then(Json::text).unwrap().to_owned()
}

/// The text of an expression whose values are small integers.
fn text(language: Language, code: &str) -> Result<String, String> {
    let values = (0..24).map(|value| (vec![value], format!("{{\"N\":\"{value}\"}}"))).collect();
    written(language, &hex(code), &values)
        .map(|body| text_of(language, &body))
        .map_err(|error| error.message.unwrap_or_default().into_owned())
}

#[test]
fn the_clients_expressions_mean_what_their_text_means() {
    let values = (0..24).map(|value| (vec![value], format!("{{\"N\":\"{value}\"}}"))).collect();
    let vectors = vectors(None).into_iter().filter(|vector| vector.operation.ends_with("Expression"));
    for vector in vectors {
        let language = match vector.operation.as_str() {
            "ConditionExpression" => Language::Condition,
            "FilterExpression" => Language::Filter,
            "ProjectionExpression" => Language::Projection,
            _ => Language::Update,
        };
        let mut original = Vec::new();
        let mut request = Object::begin(&mut original);
        request.text(language.parameter(), &vector.expression);
        for (meanings, member) in [
            (&vector.names, "ExpressionAttributeNames"),
            (&vector.number_values, "ExpressionAttributeValues"),
        ] {
            let meanings = meanings.as_object().unwrap();
            if meanings.is_empty() {
                continue;
            }
            let mut members = request.object(member);
            for (placeholder, meaning) in meanings {
                let meaning = meaning.as_str().unwrap();
                if placeholder.starts_with('#') {
                    members.text(placeholder, meaning);
                } else {
                    let mut value = members.object(placeholder);
                    value.text("N", meaning);
                    value.end();
                }
            }
            members.end();
        }
        request.end();
        // The clients take functions in any case, and DynamoDB does not.
        let original = String::from_utf8(original).unwrap();
        let original = ["attribute_type", "begins_with", "contains"].iter().fold(original, |text, name| {
            match text.to_ascii_lowercase().find(name) {
                Some(at) => format!("{}{name}{}", &text[..at], &text[at + name.len()..]),
                None => text,
            }
        });
        for code in [&vector.hex, &vector.python_hex, &vector.javascript_hex] {
            let written = written(language, &hex(code), &values).unwrap();
            assert_eq!(read(language, &written), read(language, &original), "{original} {written}");
        }
    }
}

#[test]
fn chains_are_flat_and_parentheses_are_only_where_they_must_be() {
    let a = "83 00 82126161 821100";
    for (code, expected) in [
        ("8307 A 8307 B C", "#0=:0 OR #0=:0 OR #0=:0"),
        ("8307 8307 A B C", "#0=:0 OR #0=:0 OR #0=:0"),
        ("8306 8306 A B 8306 C 8306 A B", "#0=:0 AND #0=:0 AND #0=:0 AND #0=:0 AND #0=:0"),
        ("8306 8307 A B C", "(#0=:0 OR #0=:0) AND #0=:0"),
        ("8307 8306 A B C", "#0=:0 AND #0=:0 OR #0=:0"),
        ("8208 A", "NOT #0=:0"),
        ("8208 8208 A", "NOT NOT #0=:0"),
        ("8306 8208 8306 A B C", "NOT (#0=:0 AND #0=:0) AND #0=:0"),
        ("8208 8307 A B", "NOT (#0=:0 OR #0=:0)"),
    ] {
        let tree = code.replace(['A', 'B', 'C'], a);
        assert_eq!(text(Language::Filter, &format!("8301 {tree} 8105")).as_deref(), Ok(expected), "{code}");
    }
}

#[test]
fn an_update_has_its_actions_section_by_section() {
    let path = "82126161";
    for (actions, expected) in [
        ("80", ""),
        ("81 8216 PATH", "REMOVE #0"),
        ("83 8313 PATH 821100 8216 PATH 8313 PATH 83181a PATH 821100", "SET #0=:0,#0=#0-:0 REMOVE #0"),
        ("82 8314 PATH 821100 8315 PATH 821100", "ADD #0 :0 DELETE #0 :0"),
        (
            "81 8313 PATH 831819 8317 PATH 821100 831818 821100 PATH",
            "SET #0=if_not_exists(#0,:0)+list_append(:0,#0)",
        ),
    ] {
        let code = format!("8301 {} 8105", actions.replace("PATH", path));
        assert_eq!(text(Language::Update, &code).as_deref(), Ok(expected), "{actions}");
    }
}

#[test]
fn what_dynamodb_would_reject_as_text_is_left_to_it() {
    for (code, expected) in [
        // A function with too few and too many operands, in the wrong place, of a value instead of a path.
        ("8301 810e 80", "begins_with()"),
        ("8301 850f 82126161 82126161 82126161 82126161 80", "contains(#0,#0,#0,#0)"),
        ("8301 8210 82126161 80", "size(#0)"),
        ("8301 820b 821100 8105", "attribute_exists(:0)"),
        ("8301 820b 830f 82126161 821100 8105", "attribute_exists(contains(#0,:0))"),
        ("8301 830a 82126161 80 80", "#0 IN ()"),
        ("8301 820b 831261 61 d90cfc 1b00000001ffffffff 80", "attribute_exists(#0[8589934591])"),
    ] {
        assert_eq!(text(Language::Condition, code).as_deref(), Ok(expected), "{code}");
    }
    assert_eq!(text(Language::Projection, "82 01 80").as_deref(), Ok(""));
}

#[test]
fn what_cannot_be_text_is_rejected_in_words_of_dynamodb() {
    let syntax = "Syntax error; token:";
    for (code, expected) in [
        ("8301 82126161 80", &*format!("{syntax} \"<EOF>\"")),
        ("8301 8300 8300 82126161 82126161 82126161 80", &format!("{syntax} \"=\"")),
        ("8301 831819 82126161 82126161 80", &format!("{syntax} \"+\"")),
        ("8301 8300 8208 82126161 82126161 80", &format!("{syntax} \"NOT\"")),
        (
            "8301 8300 82126161 821101 8105",
            "An expression attribute value used in expression is not defined; attribute value: :1",
        ),
        ("8302 820b 82126161 80", "the format of the encoded expression is not supported"),
        ("8301 8200 82126161 80", "Syntax error; the encoded expression is malformed"),
        ("8301 8400 82126161 82126161 82126161 80", "Syntax error; the encoded expression is malformed"),
        ("8301 82181b 82126161 80", "Syntax error; the encoded expression is malformed"),
        ("8301 820b 8112 80", "Syntax error; the encoded expression is malformed"),
        ("8301 820b 8212 d90cfc00 80", "Syntax error; the encoded expression is malformed"),
        ("8301 820b 831261 61 d90cfc20 80", "Syntax error; the encoded expression is malformed"),
        ("8301 820b 82126161 80 00", "Syntax error; the encoded expression is malformed"),
        ("8301 820b", "Syntax error; the encoded expression is malformed"),
        // The raw text that Python sends before the code.
        ("78203d203a6f", "Syntax error; the encoded expression is malformed"),
        ("", "Syntax error; the encoded expression is malformed"),
    ] {
        let expected = format!("Invalid ConditionExpression: {expected}");
        assert_eq!(text(Language::Condition, code), Err(expected), "{code}");
    }
    let expected = format!("Invalid UpdateExpression: {syntax} \"=\"");
    assert_eq!(text(Language::Update, "8301 81 8300 82126161 821100 8105"), Err(expected));
    let expected = format!("Invalid ProjectionExpression: {syntax} \"size\"");
    assert_eq!(text(Language::Projection, "8201 81 8210 82126161"), Err(expected));
}

#[test]
fn what_is_larger_than_any_text_is_rejected_while_it_is_read() {
    let deep = [&hex("8301")[..], &[0x82, 0x08].repeat(1_000_000)].concat();
    let wide = [&hex("8301 830a 82126161 9f")[..], &hex("821100").repeat(100_000)].concat();
    let long = [&hex("8301 820b 9f12 6161")[..], &hex("6161").repeat(100_000)].concat();
    let many = [&hex("8301 820b 82126161 9f")[..], &[0].repeat(1_000_000)].concat();
    let size = "Expression size has exceeded the maximum allowed size;";
    for (code, expected) in [
        (deep, "The expression contains too many operators; operator count: 301"),
        (wide, size),
        (long, size),
        (many, size),
    ] {
        let error = written(Language::Filter, &code, &HashMap::new()).unwrap_err();
        assert_eq!(error.message.as_deref(), Some(&*format!("Invalid FilterExpression: {expected}")));
    }
}

#[test]
fn a_text_that_the_caller_could_write_in_4096_bytes_has_no_more() {
    // 300 names and values in lists of 100, each used once but for the last; and paths of single letters.
    let list = |from: usize| {
        let operands =
            (from..from + 100).map(|place| format!("8211 19{place:04x} 8212 64{}", digits_of(place)));
        format!("830a 82126161 98c8 {}", operands.collect::<String>())
    };
    let values: String = (0..300).map(|value| format!("19{:04x}", value + 1000)).collect();
    let code = format!("8301 8307 {} 8307 {} {} 99012c {values}", list(0), list(100), list(200));
    let known = (0..300_u16).map(|value| {
        let number = value + 1000;
        ([&[0x19][..], &number.to_be_bytes()].concat(), format!("{{\"N\":\"{number}\"}}"))
    });
    let text = text_of(Language::Filter, &written(Language::Filter, &hex(&code), &known.collect()).unwrap());
    // `:` or `#` with one letter for 63 of each, and with two for the rest.
    assert!(text.len() <= 600 * 5 + 100, "{}", text.len());

    let path = format!("8c12{}", hex_of("abcdefghijk"));
    let paths = format!("8201 9901 00{}", path.repeat(256)).replace("9901 00", "990100");
    let text = super::tests::text(Language::Projection, &paths).unwrap();
    assert_eq!(text.len(), 256 * 22 - 1);
    assert!(text.starts_with("a.b.c.d.e.f.g.h.i.j.k,a.b."), "{text}");
}

/// A name of four characters.
fn digits_of(place: usize) -> String {
    format!("n{place:03}").bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Each letter as a text string.
fn hex_of(letters: &str) -> String {
    letters.bytes().fold(String::new(), |mut out, letter| {
        write!(out, "61{letter:02x}").unwrap();
        out
    })
}

#[test]
fn reserved_words_and_dots_hide_behind_placeholders_even_in_long_texts() {
    let paths = format!("8201 99 0800 {}", "8212 61 61 8212 62 6f72 8212 63 612e62 8212 62 6162".repeat(512));
    let text = text(Language::Projection, &paths).unwrap();
    assert!(text.starts_with("a,#0,#1,ab,a,"), "{text}");
}

/// An operand with its text and its code.
#[derive(Clone, Debug)]
enum Operand {
    Path(Vec<Segment>),
    Value(u8),
    Call(u8, Vec<Operand>),
}

#[derive(Clone, Debug)]
enum Segment {
    Name(&'static str),
    Index(u16),
}

#[derive(Clone, Debug)]
enum Test {
    Compare(u8, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Call(u8, Vec<Operand>),
    Not(Box<Test>),
    /// `AND` or `OR` of at least two, and which of them are joined first.
    Joined(u8, Vec<Test>, Nesting),
}

#[derive(Clone, Copy, Debug)]
enum Nesting {
    Left,
    Right,
}

const NAMES: [&str; 8] = ["a", "b.c", "size", "Ünïcode", "and", "x y", "_", "#p"];
/// Values as JSON and as CBOR: scalars, sets, a list, a number that is written twice.
const VALUES: [(&str, &str); 8] = [
    (r#"{"S":"x"}"#, "6178"),
    (r#"{"S":"N"}"#, "614e"),
    (r#"{"N":"5"}"#, "05"),
    (r#"{"N":"5"}"#, "05"),
    (r#"{"N":"7"}"#, "07"),
    (r#"{"SS":["x"]}"#, "d90cf9816178"),
    (r#"{"L":[]}"#, "80"),
    (r#"{"BOOL":true}"#, "f5"),
];
const FUNCTIONS: [&str; 14] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
    "",
    "",
    "",
    "",
    "",
    "",
    "if_not_exists",
    "list_append",
];
const OPERATORS: [&str; 6] = ["=", "<>", "<", ">=", ">", "<="];

/// An expression's text in its caller's words, and its code.
#[derive(Default)]
struct Both {
    text: String,
    code: Vec<u8>,
}

impl Both {
    fn head(&mut self, elements: usize, code: u8) {
        let mut writer = Writer::new(&mut self.code);
        writer.array(elements);
        writer.int(code.into());
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Path(segments) => {
                self.head(1 + segments.len(), 18);
                for (place, segment) in segments.iter().enumerate() {
                    let mut writer = Writer::new(&mut self.code);
                    match segment {
                        Segment::Name(name) => {
                            let known = NAMES.iter().position(|known| known == name).unwrap();
                            let dot = if place == 0 { "" } else { " . " };
                            write!(self.text, "{dot}#n{known}").unwrap();
                            writer.text(name);
                        }
                        Segment::Index(index) => {
                            write!(self.text, "[{index}]").unwrap();
                            writer.tag(3324);
                            writer.int((*index).into());
                        }
                    }
                }
            }
            Operand::Value(value) => {
                write!(self.text, ":v{value}").unwrap();
                self.head(2, 17);
                Writer::new(&mut self.code).int((*value).into());
            }
            Operand::Call(function, operands) => self.call(*function, operands),
        }
    }

    fn operands<'o>(&mut self, operands: impl IntoIterator<Item = &'o Operand>, separator: &str) {
        for (place, operand) in operands.into_iter().enumerate() {
            self.text.push_str(if place == 0 { "" } else { separator });
            self.operand(operand);
        }
    }

    fn call(&mut self, function: u8, operands: &[Operand]) {
        self.head(1 + operands.len(), function);
        write!(self.text, "{} (", FUNCTIONS[usize::from(function) - 11]).unwrap();
        self.operands(operands, " , ");
        self.text.push(')');
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::Compare(operator, left, right) => {
                self.head(3, *operator);
                let operator = format!(" {} ", OPERATORS[usize::from(*operator)]);
                self.operands([left, right], &operator);
            }
            Test::Between(value, low, high) => {
                self.head(4, 9);
                self.operand(value);
                self.text.push_str(" between ");
                self.operands([low, high], " and ");
            }
            Test::In(value, choices) => {
                self.head(3, 10);
                self.operand(value);
                self.text.push_str(" in ( ");
                Writer::new(&mut self.code).array(choices.len());
                self.operands(choices, " , ");
                self.text.push_str(" )");
            }
            Test::Call(function, operands) => self.call(*function, operands),
            Test::Not(test) => {
                self.head(2, 8);
                self.text.push_str("not ");
                self.part(test, None);
            }
            Test::Joined(operator, tests, nesting) => self.joined(*operator, tests, *nesting),
        }
    }

    /// A test in parentheses, unless it has no parts, or they are joined like those of the test around it: then the parentheses
    /// would mean nothing, and the text that is written again has none.
    fn part(&mut self, test: &Test, outer: Option<u8>) {
        let has_parentheses = match test {
            Test::Joined(operator, ..) => Some(*operator) != outer,
            Test::Not(_) => true,
            Test::Compare(..) | Test::Between(..) | Test::In(..) | Test::Call(..) => false,
        };
        self.text.push_str(if has_parentheses { "( " } else { "" });
        self.test(test);
        self.text.push_str(if has_parentheses { " )" } else { "" });
    }

    fn joined(&mut self, operator: u8, tests: &[Test], nesting: Nesting) {
        if let [only] = tests {
            return self.part(only, Some(operator));
        }
        self.head(3, operator);
        let word = if operator == 6 { " And " } else { " Or " };
        let (first, rest) = match nesting {
            Nesting::Left => tests.split_at(tests.len() - 1),
            Nesting::Right => tests.split_at(1),
        };
        self.joined(operator, first, nesting);
        self.text.push_str(word);
        self.joined(operator, rest, nesting);
    }

    /// The request in its caller's words, and the code in its envelope.
    fn finished(self, language: Language) -> (String, Vec<u8>) {
        let mut out = Vec::new();
        let mut request = Object::begin(&mut out);
        request.text(language.parameter(), &self.text);
        let uses = |placeholder: &str| self.text.contains(placeholder);
        if NAMES.iter().enumerate().any(|(place, _)| uses(&format!("#n{place}"))) {
            let mut names = request.object("ExpressionAttributeNames");
            for (place, name) in NAMES.iter().enumerate().filter(|(place, _)| uses(&format!("#n{place}"))) {
                names.text(&format!("#n{place}"), name);
            }
            names.end();
        }
        if VALUES.iter().enumerate().any(|(place, _)| uses(&format!(":v{place}"))) {
            let mut values = request.object("ExpressionAttributeValues");
            for (place, (json, _)) in
                VALUES.iter().enumerate().filter(|(place, _)| uses(&format!(":v{place}")))
            {
                values.member(&format!(":v{place}")).extend_from_slice(json.as_bytes());
            }
            values.end();
        }
        request.end();
        let mut code = Vec::new();
        let mut writer = Writer::new(&mut code);
        writer.array(if language == Language::Projection { 2 } else { 3 });
        writer.int(1);
        writer.raw(&self.code);
        if language != Language::Projection {
            writer.array(VALUES.len());
            VALUES.iter().for_each(|(_, value)| writer.raw(&hex(value)));
        }
        (String::from_utf8(out).unwrap(), code)
    }
}

fn any_path() -> impl Strategy<Value = Vec<Segment>> {
    let name = || prop::sample::select(&NAMES[..]).prop_map(Segment::Name);
    let step = prop_oneof![name(), (0..300_u16).prop_map(Segment::Index)];
    (name(), prop::collection::vec(step, 0..4)).prop_map(|(name, steps)| [vec![name], steps].concat())
}

fn any_value() -> impl Strategy<Value = Operand> {
    (0..VALUES.len() as u8).prop_map(Operand::Value)
}

/// Operands of conditions, or of updates.
fn any_operand(functions: &'static [u8]) -> impl Strategy<Value = Operand> + Clone {
    let leaf = prop_oneof![any_path().prop_map(Operand::Path), any_value()];
    leaf.prop_recursive(2, 4, 2, move |inner| {
        (prop::sample::select(functions), prop::collection::vec(inner, 1..3))
            .prop_map(|(function, operands)| Operand::Call(function, operands))
    })
}

fn any_test() -> impl Strategy<Value = Test> {
    let operand = any_operand(&[16, 16, 16, 16, 11, 23]);
    let one = operand.clone();
    let operands = move |count| prop::collection::vec(one.clone(), count);
    let leaf = prop_oneof![
        3 => (0..6_u8, operand.clone(), operand.clone()).prop_map(|(operator, a, b)| Test::Compare(operator, a, b)),
        1 => (operand.clone(), operand.clone(), operand.clone()).prop_map(|(a, b, c)| Test::Between(a, b, c)),
        1 => (operand.clone(), operands(1..4)).prop_map(|(a, choices)| Test::In(a, choices)),
        2 => (11..16_u8, operands(1..3)).prop_map(|(function, operands)| Test::Call(function, operands)),
        2 => any_path().prop_map(|path| Test::Call(11, vec![Operand::Path(path)])),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let nesting = prop_oneof![Just(Nesting::Left), Just(Nesting::Right)];
        prop_oneof![
            inner.clone().prop_map(|test| Test::Not(Box::new(test))),
            (6..8_u8, prop::collection::vec(inner, 2..6), nesting)
                .prop_map(|(operator, tests, nesting)| Test::Joined(operator, tests, nesting)),
        ]
    })
}

/// The right side of a `SET`.
#[derive(Clone, Debug)]
enum NewValue {
    Plain(Operand),
    Signed(u8, Operand, Operand),
}

/// The actions of one update, section by section: `SET`, `ADD`, `DELETE`, `REMOVE`.
#[derive(Clone, Debug)]
struct Actions {
    set: Vec<(Vec<Segment>, NewValue)>,
    of_sets: [Vec<(Vec<Segment>, Operand)>; 2],
    removed: Vec<Vec<Segment>>,
}

fn any_actions() -> impl Strategy<Value = Actions> {
    let operand = || any_operand(&[23, 23, 24, 16]);
    let value = prop_oneof![
        operand().prop_map(NewValue::Plain),
        (25..27_u8, operand(), operand()).prop_map(|(sign, a, b)| NewValue::Signed(sign, a, b)),
    ];
    let section = || prop::collection::vec((any_path(), any_value()), 0..3);
    (
        prop::collection::vec((any_path(), value), 1..4),
        section(),
        section(),
        prop::collection::vec(any_path(), 0..3),
    )
        .prop_map(|(set, add, delete, removed)| Actions { set, of_sets: [add, delete], removed })
}

impl Both {
    fn update(&mut self, actions: &Actions) {
        let Actions { set, of_sets: [add, delete], removed } = actions;
        Writer::new(&mut self.code).array(set.len() + add.len() + delete.len() + removed.len());
        for (place, (path, value)) in set.iter().enumerate() {
            self.text.push_str(if place == 0 { "set " } else { " , " });
            self.head(3, 19);
            self.operand(&Operand::Path(path.clone()));
            self.text.push_str(" = ");
            match value {
                NewValue::Plain(operand) => self.operand(operand),
                NewValue::Signed(sign, left, right) => {
                    self.head(3, *sign);
                    self.operands([left, right], if *sign == 25 { " + " } else { " - " });
                }
            }
        }
        for (word, code, section) in [(" add ", 20, add), (" delete ", 21, delete)] {
            for (place, (path, value)) in section.iter().enumerate() {
                self.text.push_str(if place == 0 { word } else { " , " });
                self.head(3, code);
                self.operands([&Operand::Path(path.clone()), value], " ");
            }
        }
        for (place, path) in removed.iter().enumerate() {
            self.text.push_str(if place == 0 { " remove " } else { " , " });
            self.head(2, 22);
            self.operand(&Operand::Path(path.clone()));
        }
    }
}

/// Checks that an expression written again is read as its caller's own text is, or rejected in the same words.
fn check(language: Language, both: Both) -> Result<(), TestCaseError> {
    let (original, code) = both.finished(language);
    let values = VALUES.iter().map(|(json, cbor)| (hex(cbor), (*json).to_owned())).collect();
    let written =
        written(language, &code, &values).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(read(language, &written), read(language, &original), "{} {}", written, original);
    prop_assert!(text_of(language, &written).len() <= text_of(language, &original).len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_condition_written_again_is_the_same_tree(test in any_test()) {
        let mut both = Both::default();
        both.test(&test);
        check(Language::Condition, both)?;
    }

    #[test]
    fn an_update_written_again_is_the_same_tree(actions in any_actions()) {
        let mut both = Both::default();
        both.update(&actions);
        check(Language::Update, both)?;
    }

    #[test]
    fn a_projection_written_again_has_the_same_paths(paths in prop::collection::vec(any_path(), 1..20)) {
        let mut both = Both::default();
        Writer::new(&mut both.code).array(paths.len());
        both.operands(&paths.into_iter().map(Operand::Path).collect::<Vec<_>>(), " , ");
        check(Language::Projection, both)?;
    }
}
