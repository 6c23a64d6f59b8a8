//! What requests mean, and that fingerprints say it.

pub(crate) mod meaning;

use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;
use meaning::{Meaning, schema};

const REPLAY: &str = "NEARSIDE_TEST_SEED";
const CASES: &str = "NEARSIDE_CASES";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn rng() -> Rng {
    let seed = number(REPLAY).unwrap_or_else(|| fastrand::u64(..));
    println!("replay with {REPLAY}={seed}");
    Rng::with_seed(seed)
}

fn read(kind: PageKind, body: &str) -> Result<PageRequest, NotUnderstood> {
    PageRequest::read(kind, &Json::parse(body.as_bytes()).unwrap(), &schema())
}

fn fingerprint(kind: PageKind, body: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    read(kind, body).ok()?.write_fingerprint(&schema(), &mut out);
    Some(out)
}

#[test]
fn two_spellings_of_one_meaning_have_one_fingerprint_and_other_meanings_have_others() {
    let mut rng = rng();
    let mut understood = 0;
    let cases = number(CASES).unwrap_or(3000);
    for _ in 0..cases {
        let meaning = Meaning::random(&mut rng);
        let (one, other) = (meaning.write(&mut rng), meaning.write(&mut rng));
        let expected = fingerprint(meaning.kind, &one);
        assert_eq!(fingerprint(meaning.kind, &other), expected, "{one}\n{other}");
        let changed = meaning.changed(&mut rng);
        let text = changed.write(&mut rng);
        if let (Some(changed), Some(expected)) = (fingerprint(meaning.kind, &text), expected) {
            assert_ne!(changed, expected, "{one}\n{text}");
            understood += 1;
        }
    }
    assert!(understood > cases / 3, "only {understood} of {cases} could be compared");
}

#[test]
fn no_fingerprint_begins_another() {
    let mut rng = rng();
    let mut known = BTreeMap::new();
    for _ in 0..1000 {
        let meaning = Meaning::random(&mut rng);
        let text = meaning.write(&mut rng);
        if let Some(fingerprint) = fingerprint(meaning.kind, &text) {
            known.insert(fingerprint, text);
        }
    }
    // In byte order, what begins another stands right before it or before others that it begins too.
    let texts: Vec<_> = known.into_iter().collect();
    for pair in texts.windows(2) {
        assert!(!pair[1].0.starts_with(&pair[0].0), "{}\n{}", pair[0].1, pair[1].1);
    }
}

#[test]
fn consistency_and_capacity_do_not_belong_to_the_page() {
    let plain = fingerprint(PageKind::Scan, r#"{"TableName":"pages"}"#);
    for more in [r#""ConsistentRead":true"#, r#""ReturnConsumedCapacity":"INDEXES""#, r#""Limit":null"#] {
        let body = format!(r#"{{"TableName":"pages",{more}}}"#);
        assert_eq!(fingerprint(PageKind::Scan, &body), plain, "{more}");
    }
    let request = read(
        PageKind::Scan,
        r#"{"TableName":"pages","ConsistentRead":true,"ReturnConsumedCapacity":"TOTAL"}"#,
    );
    let request = request.unwrap();
    assert!(request.consistent);
    assert_eq!(request.consumed, ReturnConsumedCapacity::Total);
}

#[test]
fn query_and_scan_are_two_things_and_so_are_an_index_and_its_table() {
    let query = |index: &str, attribute: &str| {
        let body = format!(
            r#"{{"TableName":"pages",{index}"KeyConditionExpression":"{attribute} = :v","ExpressionAttributeValues":{{":v":{{"N":"1"}}}}}}"#
        );
        fingerprint(PageKind::Query, &body).unwrap()
    };
    let scan =
        |index: &str| fingerprint(PageKind::Scan, &format!(r#"{{{index}"TableName":"pages"}}"#)).unwrap();
    let local = r#""IndexName":"local","#;
    let all = [query("", "p"), query(local, "p"), scan(""), scan(local), scan(r#""IndexName":"global","#)];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_fingerprint_names_what_is_read_by_names_and_not_by_positions() {
    let mut later = schema();
    later.indexes.reverse();
    let body = Json::parse(br#"{"TableName":"pages","IndexName":"local"}"#).unwrap();
    let under = |schema: &TableSchema| {
        let mut out = Vec::new();
        PageRequest::read(PageKind::Scan, &body, schema).unwrap().write_fingerprint(schema, &mut out);
        out
    };
    assert_eq!(under(&schema()), under(&later));
    let local = later.indexes.iter_mut().find(|index| index.name == "local").unwrap();
    local.key.sort[0].name = "m".to_owned();
    assert_ne!(under(&schema()), under(&later), "made again with another key");
}

#[test]
fn what_is_refused_or_unknown_is_not_understood() {
    for (kind, body) in [
        (PageKind::Scan, r#"{"TableName":"pages","Limit":0}"#),
        (PageKind::Scan, r#"{"TableName":"pages","Limit":"1"}"#),
        (PageKind::Scan, r#"{"TableName":"pages","IndexName":"none"}"#),
        (PageKind::Scan, r#"{"TableName":"pages","IndexName":"global","ConsistentRead":true}"#),
        (PageKind::Scan, r#"{"TableName":"pages","FilterExpression":"a ="}"#),
        (PageKind::Query, r#"{"TableName":"pages"}"#),
        (
            PageKind::Query,
            r#"{"TableName":"pages","KeyConditionExpression":"p = :v","ExpressionAttributeValues":{":v":{"S":"1"}}}"#,
        ),
    ] {
        assert!(matches!(read(kind, body), Err(NotUnderstood::Refused(_))), "{body}");
    }
    for body in [
        r#"{"TableName":"pages","Surprise":1}"#,
        r#"{"TableName":"pages","Surprise":null}"#,
        r#"{"TableName":"pages","ScanIndexForward":false}"#,
    ] {
        assert!(matches!(read(PageKind::Scan, body), Err(NotUnderstood::UnknownMember)), "{body}");
    }
}

#[test]
fn the_partition_of_a_query_is_the_partition_of_its_items() {
    let body = r#"{"TableName":"pages","IndexName":"global","KeyConditions":{"g":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}}}"#;
    let PageRange::Query(interval) = read(PageKind::Query, body).unwrap().range else { panic!("a query") };
    let item = Json::parse(br#"{"p":{"N":"1"},"r":{"S":"x"},"g":{"S":"a"},"n":{"N":"7"}}"#).unwrap();
    let item = crate::wire::attribute::item_from_json(&item).unwrap();
    let key = schema().indexes[2].key.key_of(&item).unwrap();
    let (mut asked, mut written) = (Vec::new(), Vec::new());
    interval.write_partition(&mut asked);
    key.write_partition(&mut written);
    assert_eq!(asked, written);
}
