//! What the tree of a body takes of memory, known before it is parsed: a few kilobytes of compressed text may become a tree of
//! a gigabyte.

use std::borrow::Cow;

use memchr::memchr2;

use super::json::Json;

/// What an allocation takes beside its contents: an allocator rounds up to its size classes.
const ALLOCATION_BYTES: usize = 16;

/// At least the bytes that [`Json::parse`] allocates for a body at its worst moment. Takes a pass over the bytes and no memory.
pub fn tree_bytes(body: &[u8]) -> usize {
    let (mut members, mut elements, mut containers, mut escaped) = (0, 0, 0, 0);
    let mut position = 0;
    while let Some(byte) = body.get(position) {
        position += 1;
        match byte {
            b'"' => {
                let end = string_end(&body[position..]);
                escaped += end.escaped;
                position += end.bytes;
            }
            b':' => members += 1,
            b',' => elements += 1,
            b'{' | b'[' => {
                containers += 1;
                elements += 1;
            }
            _ => {}
        }
    }
    let member_bytes = size_of::<(Cow<'_, str>, Json<'_>)>();
    // A list that grows is copied, so that for a moment it is there one and a half times; so are the members of an object. A
    // comma stands between members too, so it counts as an element beside them.
    let growing = members * member_bytes + elements * size_of::<Json<'_>>();
    growing + growing / 2 + containers * ALLOCATION_BYTES + escaped
}

/// Where a string ends.
struct StringEnd {
    /// Its bytes, with the quote at its end.
    bytes: usize,
    /// As many of them are copied: all, where one is escaped.
    escaped: usize,
}

fn string_end(text: &[u8]) -> StringEnd {
    let (mut position, mut is_escaped) = (0, false);
    loop {
        match memchr2(b'"', b'\\', &text[position..]) {
            None => return StringEnd { bytes: text.len(), escaped: 0 },
            Some(at) if text[position + at] == b'"' => {
                let bytes = position + at + 1;
                return StringEnd { bytes, escaped: if is_escaped { bytes + ALLOCATION_BYTES } else { 0 } };
            }
            Some(at) => {
                is_escaped = true;
                position = (position + at + 2).min(text.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tree holds on the heap.
    fn heap_bytes(json: &Json<'_>) -> usize {
        let owned = |text: &Cow<'_, str>| match text {
            Cow::Owned(text) => text.capacity() + ALLOCATION_BYTES,
            Cow::Borrowed(_) => 0,
        };
        match json {
            Json::String(text) => owned(text),
            Json::Array(elements) => {
                ALLOCATION_BYTES
                    + elements.len() * size_of::<Json<'_>>()
                    + elements.iter().map(heap_bytes).sum::<usize>()
            }
            Json::Object(members) => {
                ALLOCATION_BYTES
                    + members.len() * size_of::<(Cow<'_, str>, Json<'_>)>()
                    + members.iter().map(|(name, value)| owned(name) + heap_bytes(value)).sum::<usize>()
            }
            _ => 0,
        }
    }

    fn ratio(element: &str) -> f64 {
        let body = format!(r#"{{"Item":{{"l":{{"L":[{}]}}}}}}"#, vec![element; 10_000].join(","));
        let tree = Json::parse(body.as_bytes()).unwrap();
        let (held, weight) = (heap_bytes(&tree), tree_bytes(body.as_bytes()));
        assert!(held <= weight, "{element}: {held} held, {weight} expected");
        assert!(weight <= 4 * held, "{element}: {held} held, {weight} expected");
        held as f64 / body.len() as f64
    }

    #[test]
    fn a_node_is_small() {
        assert_eq!((size_of::<Json<'_>>(), size_of::<(Cow<'_, str>, Json<'_>)>()), (24, 48));
    }

    #[test]
    fn a_tree_holds_no_room_that_it_does_not_use() {
        for (element, most) in [
            (r#"{"S":""}"#, 9.8),
            (r#"{"N":"1"}"#, 8.9),
            (r#"{"S":"a usual value of thirty bytes"}"#, 2.4),
            ("[]", 13.4),
            (r#"{"a":{"S":""},"b":{"S":""},"c":{"S":""},"d":{"S":""},"e":{"S":""}}"#, 10.2),
        ] {
            let ratio = ratio(element);
            assert!(ratio <= most, "{element}: {ratio:.1} times the body");
        }
    }

    /// A random value of about that many bytes.
    fn random(random: &mut fastrand::Rng, depth: usize) -> String {
        let inner = |rng: &mut fastrand::Rng| -> Vec<String> {
            (0..rng.usize(0..6)).map(|_| self::random(rng, depth + 1)).collect()
        };
        match random.u8(if depth > 6 { 0..5 } else { 0..9 }) {
            0 => r#""plain""#.to_owned(),
            1 => r#""with \"escapes\" \\ and \u00e9, [{:""#.to_owned(),
            2 => "17".to_owned(),
            3 => "null".to_owned(),
            4 => "{}".to_owned(),
            5 | 6 => format!("[{}]", inner(random).join(" , ")),
            _ => {
                let members = inner(random).into_iter().enumerate();
                let members: Vec<String> =
                    members.map(|(position, value)| format!("\"n\\u0061{position}\" : {value}")).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    #[test]
    fn no_tree_takes_more_than_was_expected_of_it() {
        let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let body = random(&mut rng, 0);
            let tree = Json::parse(body.as_bytes()).unwrap();
            let (held, weight) = (heap_bytes(&tree), tree_bytes(body.as_bytes()));
            assert!(held <= weight, "NEARSIDE_SEED={seed}: {held} held, {weight} expected of {body}");
        }
    }

    #[test]
    fn what_is_no_json_has_a_weight_too() {
        for body in ["", "\"", "\"\\", "[\"a\\\"", "}{", "\u{e9}"] {
            assert!(tree_bytes(body.as_bytes()) < 200, "{body:?}");
        }
    }
}
