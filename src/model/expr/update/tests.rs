//! What updates do to items, and the words for those that are not understood.

use super::*;
use crate::model::expr::tests::values::*;

fn parse(text: &str) -> Result<Update, ApiError> {
    with_bindings(|bindings| Update::parse(text, bindings))
}

fn sample() -> Item {
    item([
        ("n", n("5")),
        ("s", s("x")),
        ("l", list([s("0"), s("1"), s("2")])),
        ("m", map([("k", s("v")), ("o", n("2"))])),
        ("ss", ss(&["x", "y"])),
    ])
}

fn updated(text: &str) -> Item {
    let mut changed = sample();
    parse(text).unwrap().apply(&mut changed).unwrap_or_else(|error| panic!("{text}: {error}"));
    changed
}

/// The attribute after the update.
fn after(text: &str, name: &str) -> Option<AttributeValue> {
    updated(text).remove(name)
}

#[test]
fn set_copies_computes_and_falls_back() {
    for (text, expected) in [
        ("set z = :5", n("5")),
        ("set z = m.k", s("v")),
        ("set z = n + :3", n("8")),
        ("set z = :3 - m.o", n("1")),
        ("set z = if_not_exists(n, :1)", n("5")),
        ("set z = if_not_exists(q.r, :1) + n", n("6")),
        ("set z = list_append(l, :l)", list([s("0"), s("1"), s("2"), s("z")])),
        ("set z = list_append(if_not_exists(q, :l), :l)", list([s("z"), s("z")])),
        ("add z :5", n("5")),
        ("add z :ss", ss(&["x"])),
    ] {
        assert_eq!(after(text, "z"), Some(expected), "{text}");
    }
}

#[test]
fn operands_mean_the_item_as_it_was() {
    let swapped = updated("set m.k = m.o, m.o = m.k, z = s remove s");
    assert_eq!(swapped.get("m"), Some(&map([("k", n("2")), ("o", s("v"))])));
    assert_eq!((swapped.get("z"), swapped.get("s")), (Some(&s("x")), None));
}

#[test]
fn list_indexes_mean_the_list_as_it_was() {
    let l = |text| after(text, "l").unwrap();
    assert_eq!(l("remove l[0], l[1]"), list([s("2")]));
    assert_eq!(l("remove l[1], l[0]"), list([s("2")]));
    assert_eq!(l("remove l[0] set l[1] = :s"), list([s("x"), s("2")]));
    assert_eq!(l("set l[9] = :s, l[7] = :h"), list([s("0"), s("1"), s("2"), s("he"), s("x")]));
    assert_eq!(l("remove l[0] set l[9] = :s"), list([s("1"), s("2"), s("x")]));
    assert_eq!(l("remove l[3] set l[9] = :s"), list([s("0"), s("1"), s("2"), s("x")]));
    assert_eq!(l("remove l[9]"), list([s("0"), s("1"), s("2")]));
    assert_eq!(l("add l[4] :1"), list([s("0"), s("1"), s("2"), n("1")]));
}

#[test]
fn sets_grow_and_shrink_and_vanish_when_empty() {
    assert_eq!(after("add ss :ss", "ss"), Some(ss(&["x", "y"])));
    assert_eq!(after("delete ss :ss", "ss"), Some(ss(&["y"])));
    assert_eq!(after("delete zz :ss", "zz"), None);
    let mut one = item([("ss", ss(&["x"]))]);
    parse("delete ss :ss").unwrap().apply(&mut one).unwrap();
    assert_eq!(one, item([]));
}

#[test]
fn an_item_that_does_not_fit_is_refused_unchanged() {
    let path = "The document path provided in the update expression is invalid for update";
    let missing = "The provided expression refers to an attribute that does not exist in the item";
    let operand = "An operand in the update expression has an incorrect data type";
    let overflow = "Number overflow. Attempting to store a number with magnitude larger than supported range";
    for (text, expected) in [
        ("set z.a = :s", path),
        ("set m[0] = :s", path),
        ("set l.a = :s", path),
        ("set s.a = zz", missing),
        ("remove z.a", path),
        ("remove l[9].a", path),
        ("add z.a :1", path),
        ("delete l[9][0] :ss", path),
        ("set z = zz", missing),
        ("set z = n + zz", missing),
        ("set z = list_append(l, m.zz)", missing),
        ("set z = if_not_exists(n, zz)", missing),
        ("set z = :5, y = z", missing),
        ("set z = n + s", operand),
        ("set z = list_append(l, s)", operand),
        ("set z = if_not_exists(zz, :s) + :1", operand),
        ("add s :1", operand),
        ("add l[0] :ss", operand),
        ("delete n :ss", operand),
        ("set z.a = :s, y = n + s", operand),
        ("set z.a = :s add s :1", operand),
        ("set y = zz delete n :ss", operand),
        ("remove z.a set y = zz", missing),
        ("set z.a = :s add big :1", path),
        ("set n = big + big", overflow),
        ("add big :1", overflow),
    ] {
        let mut changed = sample();
        changed.insert("big".to_owned(), n("9.9e125"));
        let before = changed.clone();
        assert_eq!(words(parse(text).unwrap().apply(&mut changed)), expected, "{text}");
        assert_eq!(changed, before, "{text}");
    }
}

#[test]
fn faults_are_told_in_the_service_s_order() {
    for (text, expected) in [
        ("set a = foo(b) set name = :s", "Invalid function name; function: foo"),
        ("set name = :s set b = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("set a = size(b)", "The function is not allowed in an update expression; function: size"),
        (
            "set a = list_append(list_append(:l, :l), :l)",
            "The function is not allowed to be used this way in an expression; function: list_append",
        ),
        (
            "set a = list_append(:l, :l) + :1",
            "The function is not allowed to be used this way in an expression; function: list_append",
        ),
        (
            "set a = :s remove b set c = :zz",
            "The \"SET\" section can only be used once in an update expression;",
        ),
        (
            "set a = :zz, #zz = :s",
            "An expression attribute name used in the document path is not defined; attribute name: #zz",
        ),
        (
            "set a = :s, a = :zz",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
        ),
        (
            "remove a.b set a[1] = :s",
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [1]]",
        ),
        (
            "set a = :zz",
            "An expression attribute value used in expression is not defined; attribute value: :zz",
        ),
        (
            "set a = if_not_exists(b)",
            "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
        ),
        (
            "set a = if_not_exists(:s, b)",
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        (
            "set a = if_not_exists(b, b)",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: if_not_exists, first operand: [b]",
        ),
        (
            "set a = list_append(b, :s)",
            "Incorrect operand type for operator or function; operator or function: list_append, operand type: S",
        ),
        (
            "set a = b - :l",
            "Incorrect operand type for operator or function; operator or function: -, operand type: L",
        ),
        (
            "set b = list_append(:s, a), c = if_not_exists(a) add a.b :s",
            "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
        (
            "delete a :1",
            "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
    ] {
        assert_eq!(words(parse(text)), format!("Invalid UpdateExpression: {expected}"), "{text}");
    }
}

#[test]
fn an_update_has_at_most_300_operators() {
    let sums = |count: usize| {
        let sums: Vec<String> = (0..count).map(|index| format!("a{index}=:1+:1")).collect();
        words(parse(&format!("set {}", sums.join(","))))
    };
    assert_eq!(sums(300), "");
    assert_eq!(
        sums(301),
        "Invalid UpdateExpression: The expression contains too many operators; operator count: 301"
    );
}

#[test]
fn an_update_tells_what_it_touches() {
    let update = parse("set a.b = c[0], d = e + :1, f = if_not_exists(g, :s) remove h add #b :ss").unwrap();
    assert_eq!(update.roots().collect::<Vec<_>>(), ["a", "b", "d", "f", "h"]);
    assert_eq!(update.nested_roots().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(update.known_types().collect::<Vec<_>>(), [("d", "N"), ("f", "S"), ("b", "SS")]);
    assert_eq!(
        update.paths().iter().map(|path| path.root.as_str()).collect::<Vec<_>>(),
        ["a", "d", "f", "h", "b"]
    );
}
