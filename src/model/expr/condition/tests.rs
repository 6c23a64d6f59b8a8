//! Which conditions are understood, what they hold for, and the words for the rest.

use proptest::prelude::*;

use super::*;
use crate::model::expr::tests::values::*;

fn parse(text: &str) -> Result<Condition, ApiError> {
    with_bindings(|bindings| Condition::parse(text, Context::Condition, bindings))
}

fn fault(text: &str) -> String {
    words(parse(text)).replacen("Invalid ConditionExpression: ", "", 1)
}

fn sample() -> Item {
    item([
        ("s", s("hello")),
        ("wide", s("é😀")),
        ("e", s("")),
        ("n", n("5")),
        ("b", b(&[1, 2, 3])),
        ("l", list([s("x"), n("1"), map([("k", s("v"))])])),
        ("m", map([("k", s("v")), ("o", n("2"))])),
        ("ss", ss(&["x", "y"])),
        ("ns", ns(&["5", "7"])),
        ("t", AttributeValue::Bool(true)),
        ("nul", AttributeValue::Null),
    ])
}

fn holds(text: &str) -> bool {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(Some(&sample()))
}

#[test]
fn comparisons_and_functions_hold_as_the_service_has_them_hold() {
    for text in [
        "s = s2 or s > :h",
        "n = :5 and n >= :5 and n <= :5 and not n < :5 and not n > :5",
        "n <> :s and zz <> :s and zz <> zy",
        "not zz = :s and not zz < :5 and not zz = zy",
        "n between :1 and :5",
        "n in (:1, zz, :5)",
        "attribute_exists(l[2].k) and attribute_exists(nul)",
        "attribute_not_exists(l[9]) and attribute_not_exists(m.z) and attribute_not_exists(s.k)",
        "attribute_type(s, :S) and not attribute_type(zz, :S) and attribute_type(:h, :S)",
        "begins_with(s, :h) and begins_with(s, :empty) and begins_with(b, :b) and not begins_with(n, :h)",
        "contains(s, :h) and contains(s, :empty) and contains(b, :b)",
        "contains(ss, :s) and contains(ns, :5) and contains(l, :1) and contains(l, :m)",
        "not contains(ss, :ss) and not contains(m, :s) and not contains(n, :5) and not contains(zz, :s)",
        "size(s) = :5 and size(wide) = :3 and size(b) = :3 and size(l) = :3 and size(e) < :1",
        "size(m) > :1 and size(ss) > :1 and size(ns) > :1 and size(n) <> :1 and not size(zz) < :5",
        "size(s) between :1 and n and size(s) in (:1, n)",
        "m.k <> :s and l[1] = :1 and l[0] = :s and nul = :null and t = :true",
        "e < s and e = :empty",
        "n = :1 and n = :1 or n = :5",
        "not n = :1 and n = :5",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn an_item_that_is_not_there_has_no_attributes() {
    let holds = |text| parse(text).unwrap().holds(None);
    assert!(holds("attribute_not_exists(a)") && holds("a <> :s") && holds(":1 < :5"));
    assert!(!holds("attribute_exists(a)") && !holds("a = :s") && !holds("size(a) = :1"));
}

#[test]
fn words_are_checked_from_left_to_right() {
    for (text, expected) in [
        ("foo(a)", "Invalid function name; function: foo"),
        ("SIZE(a) = :1", "Invalid function name; function: SIZE"),
        ("foo(a) and name = :s", "Invalid function name; function: foo"),
        ("name = :s and foo(a)", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("a = :s and b.Size > :1", "Attribute name is a reserved keyword; reserved keyword: Size"),
        ("size = :1", "Attribute name is a reserved keyword; reserved keyword: size"),
        ("size(a)", "The function is not allowed to be used this way in an expression; function: size"),
        (
            "contains(a, :s) = :true",
            "The function is not allowed to be used this way in an expression; function: contains",
        ),
        (
            "a = attribute_exists(b)",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        (
            "a = if_not_exists(a, :s)",
            "The function is not allowed in a condition expression; function: if_not_exists",
        ),
        ("a[99999999999] = :zz", "List index is not within the allowable range; index: [99999999999]"),
        ("foo(a) and ((a = b))", "The expression has redundant parentheses;"),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn operands_are_checked_from_the_inside_out() {
    for (text, expected) in [
        (
            "#zz = :s",
            "An expression attribute name used in the document path is not defined; attribute name: #zz",
        ),
        ("a = :zz", "An expression attribute value used in expression is not defined; attribute value: :zz"),
        (
            "begins_with(a, :zz, :1)",
            "An expression attribute value used in expression is not defined; attribute value: :zz",
        ),
        (
            "begins_with(a, :1) and b = :zz",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "size(:1) = :zz",
            "Incorrect operand type for operator or function; operator or function: size, operand type: N",
        ),
        (
            "size(size(a)) = :1",
            "Incorrect operand type for operator or function; operator or function: size, operand type: N",
        ),
        (
            "a > :l",
            "Incorrect operand type for operator or function; operator or function: >, operand type: L",
        ),
        (
            "a between a and :null",
            "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: NULL",
        ),
        (
            "attribute_type(a, :1)",
            "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N",
        ),
        (
            "attribute_type(a, b)",
            "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}",
        ),
        (
            "attribute_type(a, :s)",
            "Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "attribute_exists(:s)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "attribute_exists(a, b)",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
        ),
        (
            "size(a, b) = :1",
            "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2",
        ),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn operands_must_be_distinct_and_bounds_in_order() {
    for (text, expected) in [
        (
            "a.b[0] = #a.#b[0]",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a, b, [0]]",
        ),
        (
            "a in (b, a)",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: IN, first operand: [a]",
        ),
        (
            "contains(a, a)",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: [a]",
        ),
        (
            "a between :5 and :1",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:5}, upper bound operand: AttributeValue: {N:1}",
        ),
        (
            "a between :s and :1",
            "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {S:x}, upper bound operand: AttributeValue: {N:1}",
        ),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn an_expression_has_limits() {
    assert_eq!(fault(""), "The expression can not be empty;");
    assert_eq!(fault(&"a".repeat(4097)), "Expression size has exceeded the maximum allowed size;");
    let too_many = "The expression contains too many operators; operator count: 301";
    assert_eq!(fault(&vec!["a=:s"; 150].join(" and ")), "");
    assert_eq!(fault(&vec!["a=:s"; 151].join(" and ")), too_many);
    assert_eq!(fault(&vec!["attribute_exists(a)"; 151].join(" and ")), too_many);
    assert_eq!(fault(&format!("{}a=:s", "not ".repeat(299))), "");
    assert_eq!(fault(&format!("{}a=:s", "not ".repeat(1000))), too_many);
    assert_eq!(fault(&format!("a in ({})", vec![":s"; 100].join(","))), "");
    assert_eq!(
        fault(&format!("a in ({})", vec![":s"; 101].join(","))),
        "The IN operator is provided with too many operands; number of operands: 101"
    );
    assert_eq!(fault(&format!("attribute_exists(a{})", "[0]".repeat(31))), "");
    assert_eq!(
        fault(&format!("attribute_exists(a{})", ".b".repeat(32))),
        "The document path has too many nesting levels; nesting levels: 33"
    );
}

#[test]
fn only_scans_and_transactions_say_how_large_a_condition_is() {
    let told = |context: Context| {
        with_bindings(|bindings| words(Condition::parse(&"a".repeat(4097), context, bindings)))
    };
    let words = "Expression size has exceeded the maximum allowed size;";
    assert_eq!(told(Context::Filter), format!("Invalid FilterExpression: {words}"));
    for (context, parameter) in
        [(Context::ScanFilter, "FilterExpression"), (Context::TransactionCondition, "ConditionExpression")]
    {
        assert_eq!(told(context), format!("Invalid {parameter}: {words} expression size: 4097"));
    }
}

#[test]
fn one_meaning_is_one_tree() {
    assert_eq!(parse("#a = :5 AND (b[0] < :1)").unwrap(), parse("a=:5 and b[0]<:1").unwrap());
    assert_ne!(parse("a = :5").unwrap(), parse("a = :1").unwrap());
}

#[test]
fn a_condition_tells_which_attributes_it_reads() {
    let condition = parse("a.b = :s and (size(b[0]) > :1 or not begins_with(c, a)) and c in (d)").unwrap();
    assert_eq!(condition.roots().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(condition.nested_roots().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_filter_says_so_in_its_errors() {
    let refused = with_bindings(|bindings| Condition::parse("a b", Context::Filter, bindings));
    assert_eq!(words(refused), "Invalid FilterExpression: Syntax error; token: \"b\", near: \"a b\"");
}

proptest! {
    #[test]
    fn a_negation_holds_exactly_when_the_condition_does_not(
        left in "[a-d]|:1|:5|:s|size\\(s\\)|n|s", operator in "=|<>|<|<=|>|>=", right in "[e-g]|:3|:h|l\\[1\\]|ss"
    ) {
        let text = format!("{left} {operator} {right}");
        if let (Ok(plain), Ok(negated)) = (parse(&text), parse(&format!("not ({text})"))) {
            prop_assert_ne!(plain.holds(Some(&sample())), negated.holds(Some(&sample())));
        }
    }
}
