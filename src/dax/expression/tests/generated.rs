//! Generated expressions: written again, they are read as their callers' own text is.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{read, text_of, written};
use crate::dax::cbor::Writer;
use crate::dax::expression::Language;
use crate::dax::object::Object;
use crate::dax::tests::bytes_of_hex as hex;

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
