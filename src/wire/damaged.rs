//! Requests for tests in which two readers are compared: keys in all spellings, and bytes that are damaged.

use fastrand::Rng;

/// How many bodies are tried.
pub(super) const BODIES: usize = 20_000;

/// A key that is mostly sound.
pub(super) fn key(random: &mut Rng) -> String {
    let names = ["p", "r", "\\u0070", "x", ""];
    let values = [
        r#""S":"a""#,
        r#""S":"\"\\\u00e9\n""#,
        r#""S":"""#,
        r#""N":"1""#,
        r#""N":"1.0e3""#,
        r#""N":"x""#,
        r#""N":1"#,
        r#""B":"AAEC""#,
        r#""B":"AAE""#,
        r#""SS":["a"]"#,
        r#""S":null"#,
        r#""S":"\ud800""#,
        r#""S":"a","N":"1""#,
        r#""S":"a","S":"a""#,
    ];
    let rarely = |random: &mut Rng, all: usize, usual: usize| match random.u8(..8) {
        0 => random.usize(..all),
        _ => random.usize(..usual),
    };
    let attributes = (0..rarely(random, 4, 2) + 1).map(|place| {
        let name = names[if random.u8(..8) == 0 { random.usize(..names.len()) } else { place % 2 }];
        format!("\"{name}\":{{{}}}", values[rarely(random, values.len(), 5)])
    });
    format!("{{{}}}", attributes.collect::<Vec<_>>().join(","))
}

/// Changes, removes, repeats or inserts a few bytes.
pub(super) fn damage(body: &mut Vec<u8>, random: &mut Rng) {
    if body.is_empty() {
        return;
    }
    let from = random.usize(..body.len());
    let to = (from + random.usize(1..12)).min(body.len());
    match random.u8(..6) {
        0 => body[from] = random.u8(..),
        1 => drop(body.drain(from..to)),
        2 => {
            let piece = body[from..to].to_vec();
            let place = random.usize(..=body.len());
            body.splice(place..place, piece);
        }
        3 => body.insert(from, b"{}[]\",:\\ n0"[random.usize(..11)]),
        4 => body[from] = b"{}[]\",:\\ n0"[random.usize(..11)],
        _ => {
            let deep = [b"[".repeat(130), b"]".repeat(130)].concat();
            body.splice(from..from, deep);
        }
    }
}
