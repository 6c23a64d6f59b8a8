//! The canonical bytes of conditions, key intervals and projections.
//!
//! Whatever may be written in several ways without meaning anything else is written here in one: the order and nesting of what
//! `AND` and `OR` join, the sides of a comparison, the order of `IN` lists and projected paths. That two conditions of equal
//! bytes hold for the same items is what callers rely on; that two of different bytes differ in meaning is not promised
//! (`NOT a = b` is `a <> b`, and we do not prove theorems).

use super::condition::{Operand, Test};
use super::parser::Comparator;
use super::{Condition, KeyInterval, Path, Paths, SortInterval, Step};
use crate::model::canonical::{
    sorted_parts, write_key_value, write_length, write_list, write_set, write_text, write_value,
};

impl Condition {
    /// Appends canonical bytes: conditions of equal bytes hold for the same items.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        write_test(self.test(), out);
    }
}

impl Paths {
    /// Appends canonical bytes: equal for the same set of paths only.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        write_set(self.as_slice(), out, write_path);
    }
}

impl KeyInterval {
    /// Appends canonical bytes: equal for equal intervals only.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let Self { partition, sort_equal, sort } = self;
        write_list(partition, out, write_key_value);
        write_list(sort_equal, out, write_key_value);
        let (name, bounds): (&str, &[_]) = match sort {
            SortInterval::All => ("", &[]),
            SortInterval::Equal(bound) => ("=", &[bound]),
            SortInterval::Less(bound) => ("<", &[bound]),
            SortInterval::LessOrEqual(bound) => ("<=", &[bound]),
            SortInterval::Greater(bound) => (">", &[bound]),
            SortInterval::GreaterOrEqual(bound) => (">=", &[bound]),
            SortInterval::Between(low, high) => ("BETWEEN", &[low, high]),
            SortInterval::BeginsWith(prefix) => ("begins_with", &[prefix]),
        };
        write_text(name, out);
        bounds.iter().for_each(|bound| write_key_value(bound, out));
    }
}

fn write_test(test: &Test, out: &mut Vec<u8>) {
    match test {
        Test::And(_) | Test::Or(_) => write_joined(test, out),
        Test::Not(test) => {
            out.push(b'!');
            write_test(test, out);
        }
        Test::Compare { operator, left, right } => write_comparison(*operator, left, right, out),
        Test::Between { value, low, high } => {
            out.push(b'-');
            [value, low, high].into_iter().for_each(|operand| write_operand(operand, out));
        }
        Test::In { value, choices } => {
            out.push(b'i');
            write_operand(value, out);
            write_set(choices, out, write_operand);
        }
        Test::Exists(path) => {
            out.push(b'e');
            write_path(path, out);
        }
        Test::NotExists(path) => {
            out.push(b'n');
            write_path(path, out);
        }
        Test::HasType { value, type_name } => {
            out.push(b't');
            write_operand(value, out);
            write_text(type_name, out);
        }
        Test::BeginsWith { text, prefix } => {
            out.push(b'b');
            write_operand(text, out);
            write_operand(prefix, out);
        }
        Test::Contains { container, element } => {
            out.push(b'c');
            write_operand(container, out);
            write_operand(element, out);
        }
    }
}

/// `a AND (b AND a)` is `b AND a`, and `a AND a` is `a`.
fn write_joined(test: &Test, out: &mut Vec<u8>) {
    let is_all = matches!(test, Test::And(_));
    let mut joined = Vec::new();
    collect_joined(test, is_all, &mut joined);
    let parts = sorted_parts(&joined, |test, out| write_test(test, out));
    if let [only] = parts.as_slice() {
        out.extend_from_slice(only);
        return;
    }
    out.push(if is_all { b'&' } else { b'|' });
    write_length(parts.len(), out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// What a test joins, through all tests within that join in the same way.
fn collect_joined<'t>(test: &'t Test, is_all: bool, joined: &mut Vec<&'t Test>) {
    match test {
        Test::And(tests) if is_all => tests.iter().for_each(|test| collect_joined(test, is_all, joined)),
        Test::Or(tests) if !is_all => tests.iter().for_each(|test| collect_joined(test, is_all, joined)),
        _ => joined.push(test),
    }
}

/// The side that comes first in bytes stands first.
fn write_comparison(operator: Comparator, left: &Operand, right: &Operand, out: &mut Vec<u8>) {
    out.push(b'=');
    let start = out.len();
    write_operand(left, out);
    let middle = out.len();
    write_operand(right, out);
    let is_turned = out[start..middle] > out[middle..];
    if is_turned {
        out[start..].rotate_left(middle - start);
    }
    write_text(if is_turned { operator.turned() } else { operator }.symbol(), out);
}

fn write_operand(operand: &Operand, out: &mut Vec<u8>) {
    match operand {
        Operand::Path(path) => {
            out.push(b'p');
            write_path(path, out);
        }
        Operand::Value(value) => {
            out.push(b'v');
            write_value(value, out);
        }
        Operand::Size(operand) => {
            out.push(b's');
            write_operand(operand, out);
        }
        Operand::Truth(test) => {
            out.push(b't');
            write_test(test, out);
        }
    }
}

fn write_path(path: &Path, out: &mut Vec<u8>) {
    let Path { root, steps } = path;
    write_text(root, out);
    write_list(steps, out, |step, out| match step {
        Step::Member(name) => {
            out.push(b'.');
            write_text(name, out);
        }
        Step::Element(index) => {
            out.push(b'[');
            write_length(*index, out);
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::expr::tests::values::{item, list, n, s, ss, with_bindings};
    use crate::model::expr::{Context, KeyCondition};
    use crate::model::key_attribute::{KeyAttribute, ScalarType};
    use crate::model::schema::KeySchema;
    use crate::model::{Item, KeyValue};

    fn condition(text: &str) -> Vec<u8> {
        with_bindings(|bindings| {
            let mut out = Vec::new();
            let condition = Condition::parse(text, Context::Filter, bindings);
            condition.unwrap_or_else(|error| panic!("{text}: {error}")).write_canonical(&mut out);
            out
        })
    }

    fn projection(text: &str) -> Vec<u8> {
        with_bindings(|bindings| {
            let mut out = Vec::new();
            Paths::parse_projection(text, bindings).unwrap().write_canonical(&mut out);
            out
        })
    }

    #[test]
    fn spellings_of_one_meaning_have_the_same_bytes() {
        for (one, other) in [
            ("a = :s", ":s = #a"),
            ("a < :1", ":1 > a"),
            ("a >= b", "b <= a"),
            ("a <> size(b)", "size(b) <> a"),
            ("a = :s and b = :1", "b = :1 AND (a = :s)"),
            ("a = :s and b = :1 and c = :5", "c = :5 and (b = :1 and a = :s)"),
            ("a = :s or (b = :1 or c = :5)", "(c = :5 or a = :s) or b = :1"),
            ("a = :s and a = :s", "a = :s"),
            ("a in (:1, :5)", "a in (:5, :1, :5)"),
            ("not (a = :s and b = :1)", "not (b = :1 and a = :s)"),
        ] {
            assert_eq!(condition(one), condition(other), "{one} / {other}");
        }
        assert_eq!(projection("a, b.c[1], b.d"), projection("b.d, #a, b.c[1]"));
    }

    #[test]
    fn every_difference_in_meaning_shows() {
        let conditions = [
            "a = :s",
            "a = :1",
            "b = :s",
            "a.b = :s",
            "a[0] = :s",
            "a[1] = :s",
            "a <> :s",
            "a < :s",
            "a <= :s",
            "a > :s",
            "a >= :s",
            "size(a) = :1",
            "a = b",
            "a < b",
            "a > b",
            "a between :1 and :5",
            "a in (:1, :5)",
            "a in (:1)",
            "attribute_exists(a)",
            "attribute_not_exists(a)",
            "attribute_type(a, :S)",
            "begins_with(a, :s)",
            "contains(a, :s)",
            "contains(:s, a)",
            "not a = :s",
            "a = :s and b = :1",
            "a = :s or b = :1",
            "a = :s and (b = :1 or c = :5)",
            "(a = :s and b = :1) or c = :5",
            "a = :null",
            "a = :true",
            "a = :ss",
            "a = :l",
            "a = :m",
            "a = :b",
            "a = :empty",
        ];
        let forms: std::collections::BTreeSet<Vec<u8>> =
            conditions.iter().map(|text| condition(text)).collect();
        assert_eq!(forms.len(), conditions.len());
        let projections = ["a", "b", "a, b", "a.b", "a[1]", "a[0]", "a[1][0]", "a.b.c"];
        let forms: std::collections::BTreeSet<Vec<u8>> =
            projections.iter().map(|text| projection(text)).collect();
        assert_eq!(forms.len(), projections.len());
    }

    fn schema() -> KeySchema {
        let attribute = |name: &str| KeyAttribute { name: name.to_owned(), scalar_type: ScalarType::S };
        KeySchema { partition: vec![attribute("p")], sort: vec![attribute("r")] }
    }

    fn interval(text: &str) -> KeyInterval {
        with_bindings(|bindings| {
            KeyCondition::parse(text, bindings).unwrap().check().unwrap().resolve(&schema()).unwrap()
        })
    }

    #[test]
    fn every_key_interval_has_bytes_of_its_own() {
        let texts = [
            "p = :s",
            "p = :h",
            "p = :s and r = :s",
            "p = :s and r < :s",
            "p = :s and r <= :s",
            "p = :s and r > :s",
            "p = :s and r >= :s",
            "p = :s and r between :h and :s",
            "p = :s and r between :s and :s",
            "p = :s and begins_with(r, :s)",
            "p = :h and r = :s",
        ];
        let form = |text: &&str| {
            let mut out = Vec::new();
            interval(text).write_canonical(&mut out);
            out
        };
        let forms: std::collections::BTreeSet<Vec<u8>> = texts.iter().map(form).collect();
        assert_eq!(forms.len(), texts.len());
        assert_eq!(form(&"r > :s and p = :s"), form(&":s = p and :s < r"));
    }

    fn some_item() -> impl Strategy<Value = Item> {
        let value = prop_oneof![
            prop_oneof![Just("x"), Just("he"), Just("")].prop_map(s),
            prop_oneof![Just("1"), Just("3"), Just("5")].prop_map(n),
            Just(ss(&["x"])),
            Just(list([s("z"), n("1")])),
        ];
        proptest::collection::btree_map("[abc]", value, 0..3)
    }

    /// Conditions over few attributes and values, so that chance finds equal ones.
    fn some_condition() -> impl Strategy<Value = String> {
        let test = "[abc] (=|<>|<|>=) (:s|:1|[def])|(:5|:h) (=|<|<=) [abc]|[ab] in \\((:1|:s), (:s|:5|:1)\\)|contains\\([ab], :s\\)|attribute_exists\\([ab]\\)";
        test.prop_recursive(3, 8, 3, |inner| {
            (proptest::collection::vec(inner, 2..4), "and|or").prop_map(|(parts, joint)| {
                let parts: Vec<String> = parts
                    .into_iter()
                    .map(|part| {
                        if part.contains(" and ") || part.contains(" or ") {
                            format!("({part})")
                        } else {
                            part
                        }
                    })
                    .collect();
                parts.join(&format!(" {joint} "))
            })
        })
    }

    proptest! {
        #[test]
        fn conditions_of_equal_bytes_hold_for_the_same_items(
            texts in proptest::collection::vec(some_condition(), 12), items in proptest::collection::vec(some_item(), 6)
        ) {
            let mut known: std::collections::BTreeMap<Vec<u8>, (String, Vec<bool>)> = std::collections::BTreeMap::new();
            for text in texts {
                let Ok(parsed) = with_bindings(|bindings| Condition::parse(&text, Context::Filter, bindings)) else { continue };
                let holds: Vec<bool> = items.iter().map(|item| parsed.holds(Some(item))).collect();
                let (other, expected) = known.entry(condition(&text)).or_insert_with(|| (text.clone(), holds.clone()));
                prop_assert_eq!(&holds, expected, "{} / {}", text, other);
            }
        }

        #[test]
        fn an_interval_admits_what_lies_within_it(text in "(<|<=|>|>=|=) :h|between :empty and :h|begins_with", sort in "[a-i]{0,3}") {
            let text = match text.as_str() {
                "begins_with" => "begins_with(r, :h)".to_owned(),
                other => format!("r {}", other.replace(":empty", ":S")),
            };
            let admitted = interval(&format!("p = :s and {text}")).admits_sort(&[KeyValue::S(sort.clone())]);
            let expected = with_bindings(|bindings| {
                Condition::parse(&text, Context::Filter, bindings).unwrap().holds(Some(&item([("r", s(&sort))])))
            });
            prop_assert_eq!(admitted, expected, "{} {}", text, sort);
        }
    }
}
