//! What the grammar takes, and its limits.

use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> String {
    parse_condition(text).err().unwrap_or_default()
}

#[test]
fn a_syntax_error_names_the_token_and_what_stands_around_it() {
    for (text, token, near) in [
        ("a b", "b", "a b"),
        ("a = ", "<EOF>", "= "),
        ("= a", "=", "= a"),
        (" = a", "=", " = a"),
        ("  ", "<EOF>", "  "),
        ("a b   ", "b", "a b   "),
        ("a = :a   b c", "b", ":a   b c"),
        ("(a = :a", "<EOF>", ":a"),
        ("a = :a)", ")", ":a)"),
        ("a = 4", "4", "= 4"),
        ("a[x] = :a", "x", "[x]"),
        ("a[01] = :a", "1", "01]"),
        ("a[-1] = :a", "-", "[-1"),
        ("a..b = :a", ".", "..b"),
        ("a.in = :a", "in", ".in ="),
        ("# = :a", "#", "# ="),
        ("_a = :a", "_", "_a"),
        ("a = \"x\"", "\"", "= \"x"),
        ("a in :a", ":a", "in :a"),
        ("a in ()", ")", "()"),
        ("a between :a or :b", "or", ":a or :b"),
        ("a between not b and c", "not", "between not b"),
        ("a and b", "and", "a and b"),
        ("(a) and b = c", "and", ") and b"),
        ("a = b = c", "=", "b = c"),
        ("(a = b) = c", "=", ") = c"),
        ("a = (b = c)", "=", "b = c"),
        ("(not a) = b", ")", "a) ="),
        ("(a, b)", ",", "a, b"),
        ("size(a = b) = c", "=", "a = b"),
        ("size(a)[0] > a", "[", ")[0"),
        ("(a = b) (c = d)", "(", ") (c"),
        ("attribute_exists()", ")", "()"),
        ("é = :a", "é", "é ="),
    ] {
        assert_eq!(fault(text), format!("Syntax error; token: \"{token}\", near: \"{near}\""), "{text:?}");
    }
}

#[test]
fn parentheses_around_parentheses_are_redundant_and_all_others_are_not() {
    for text in [
        "((a = b))",
        "a = b and a > ((c))",
        "(((a = b) and (c = d)))",
        "((size(a))) = b",
        "attribute_exists(((a)))",
        "(a)between(((b.c)).d)and(c)",
        "a=b AND ((a=b AND (a=b AND a=b)))",
    ] {
        assert_eq!(fault(text), "The expression has redundant parentheses;", "{text}");
    }
    for text in [
        "((a) = b)",
        "(a) = (:b)",
        "((a = b) and (c = d))",
        "(size((a))) = b",
        "a in ((b), c)",
        "not (not (a = b))",
    ] {
        assert_eq!(fault(text), "", "{text}");
    }
}

#[test]
fn no_nesting_is_too_deep_to_be_refused() {
    assert!(fault(&"(".repeat(4096)).contains("token: \"<EOF>\""));
    assert!(fault(&"f(".repeat(2048)).contains("token: \"<EOF>\""));
    assert!(fault(&"not ".repeat(1024)).contains("token: \"<EOF>\""));
    assert_eq!(fault(&"(".repeat(100_000)), SIZE_EXCEEDED);
    let nested = format!("{}a = b{}", "(".repeat(2000), ")".repeat(2000));
    assert_eq!(fault(&nested), "The expression has redundant parentheses;");
    // What is too deep to keep is cut off, so that nothing that follows can run out of stack.
    for text in [format!("{}a=b", "not ".repeat(1000)), "(a=b or ".repeat(450) + "a=b" + &")".repeat(450)] {
        let tree = format!("{:?}", parse_condition(&text).unwrap());
        assert!(tree.contains("TooDeep"));
    }
}

#[test]
fn an_update_is_sections_of_actions() {
    let fault = |text| parse_update(text).err().unwrap_or_default();
    for (text, token, near) in [
        ("set a", "<EOF>", "a"),
        ("a = :a", "a", "a ="),
        ("set a = :n + :n + :n", "+", ":n + :n"),
        ("set a = :n + (:n + :n)", "+", ":n + :n"),
        ("set a = (:n + :n) + :n", "+", ") + :n"),
        ("set (a) = :n", "(", "set (a"),
        ("add a b", "b", "a b"),
        ("add a :n b :n", "b", ":n b :n"),
        ("remove :a", ":a", "remove :a"),
        ("set set = :a", "set", "set set ="),
        ("set a = if_not_exists(b, c + :n)", "+", "c + :n"),
        ("REMOVE a ADD", "<EOF>", "ADD"),
    ] {
        assert_eq!(fault(text), format!("Syntax error; token: \"{token}\", near: \"{near}\""), "{text:?}");
    }
    for text in ["set a = ((b))", "set a = ((:n + :n))", "set a = ((b)) + c"] {
        assert_eq!(fault(text), "The expression has redundant parentheses;", "{text}");
    }
    for text in ["set a = ((b) + (c)) remove d", "SET a=(b), c = (d)-e ADD f :g,h.i :j", "delete a :b"] {
        assert_eq!(fault(text), "", "{text}");
    }
    assert!(fault(&format!("set a={}", "(".repeat(4000))).contains("token: \"<EOF>\""));
}

/// Pieces of which expressions are made, so that random texts come close to being right.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just(".b"),
        Just("[0]"),
        Just("#a"),
        Just(":a"),
        Just(" and "),
        Just(" or "),
        Just("not "),
        Just("("),
        Just(")"),
        Just(","),
        Just("="),
        Just("<>"),
        Just(" between "),
        Just(" in ("),
        Just("size("),
        Just("attribute_exists("),
        Just("set "),
        Just("remove "),
        Just("+"),
        Just("é"),
        Just(" "),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![".{0,60}", pieces()]) {
        let _ = parse_condition(&text);
        let _ = parse_paths(&text);
        let _ = parse_update(&text);
    }
}
