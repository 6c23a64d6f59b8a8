//! Expressions as clients encode them, written as text and read again by the parser that the local backend and the cache use.

mod generated;

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Expressions, Language};
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
        ("83 8313 PATH 821100 8216 PATH 8313 PATH 83181a PATH 821100", "SET #0=:0 REMOVE #0 SET #0=#0-:0"),
        ("83 8313 PATH 821100 8313 PATH 83181a PATH 821100 8216 PATH", "SET #0=:0,#0=#0-:0 REMOVE #0"),
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
