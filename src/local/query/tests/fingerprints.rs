//! That pages of one fingerprint are one page.

use std::collections::HashMap;

use fastrand::Rng;

use crate::local::tests::backend::{Backend, seed};
use crate::model::Operation;
use crate::wire::Json;
use crate::wire::page::PageRequest;
use crate::wire::page::tests::meaning::{CREATE_TABLE, Meaning, item, schema};

const CASES: &str = "NEARSIDE_CASES";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn parsed(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// What a body means in the fingerprint, or nothing when it is refused.
fn fingerprint(meaning: &Meaning, body: &str) -> Option<Vec<u8>> {
    let schema = schema();
    let request = PageRequest::read(meaning.kind, &Json::parse(body.as_bytes()).unwrap(), &schema).ok()?;
    let mut out = Vec::new();
    request.write_fingerprint(&schema, &mut out);
    Some(out)
}

#[tokio::test]
async fn requests_of_one_fingerprint_have_one_answer() {
    let mut rng = Rng::with_seed(seed());
    let backend = Backend::new();
    backend.ok(Operation::CreateTable, parsed(CREATE_TABLE)).await;
    for _ in 0..30 {
        let item = parsed(&item(&mut rng));
        backend.ok(Operation::PutItem, serde_json::json!({"TableName": "pages", "Item": item})).await;
    }
    let mut answers: HashMap<Vec<u8>, (String, serde_json::Value)> = HashMap::new();
    let mut repeated = 0;
    for _ in 0..number(CASES).unwrap_or(2000) {
        let meaning = Meaning::random(&mut rng);
        for body in [meaning.write(&mut rng), meaning.write(&mut rng)] {
            let answer = backend.send(meaning.kind.operation(), parsed(&body)).await;
            let Some(fingerprint) = fingerprint(&meaning, &body) else {
                assert!(answer.is_err(), "answered, but not understood: {body}");
                continue;
            };
            let answer = answer.unwrap_or_else(|error| panic!("understood, but refused: {body} {error:?}"));
            match answers.get(&fingerprint) {
                Some((other, known)) => {
                    assert_eq!(&answer, known, "{body}\n{other}");
                    repeated += usize::from(*other != body);
                }
                None => drop(answers.insert(fingerprint, (body, answer))),
            }
        }
    }
    assert!(repeated > 500, "only {repeated} requests had a twin");
}
