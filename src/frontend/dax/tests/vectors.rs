//! Conversations of the clients for Python and JavaScript with a stub, recorded and replayed to an engine with a database.
//!
//! The recorded ids of lists are put into the table of lists, so items must come back as they came from the stub, byte for byte.

use serde_json::Value;

use super::*;
use crate::cache::{
    CacheLimits, FillMode, ItemCache, PageCache, PageLimits, PagePolicy, ReadPolicy, ScanAdmission,
};
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::Kind;
use crate::engine::{Engine, TablePolicy};
use crate::local::{Local, Settings as LocalSettings};
use crate::model::Operation;

const VECTORS: &str = include_str!("../../../dax/tests/vectors.json");

/// Cases whose recorded answers are the stub's and not DynamoDB's.
const OF_THE_STUB: [&str; 28] = [
    // It left something of a batch undone, on purpose.
    "batchwrite_unprocessed",
    "batchwrite_delete_unprocessed",
    "batchget_unprocessed",
    // The capacity that it told was made up, and so were metrics of item collections of tables without a local index.
    "get_missing_cc",
    "get_consistent_cc_indexes",
    "put_condition_ok",
    "batchwrite_two_tables",
    "query_full",
    "batchget_two",
    "txwrite_all",
    "txget_all",
    // DynamoDB rejects the first of these, because two of its paths overlap; the others find another item for that.
    "update_add_delete_remove",
    "update_all_new",
    "update_condition_ok",
    "update_condition_fail",
    "update_attribute_updates",
    "cond_functions",
    // DynamoDB rejects a comparison of an attribute with itself.
    "cond_compare",
    // Deleted by a condition of those before.
    "delete_expected",
    // Its scans had another order, and other segments.
    "scan_plain",
    "scan_segment",
    "key_scan_tab_n_322e35",
    // It ended a page that was full at the last item, where DynamoDB gives a key to go on from.
    "key_scan_tab_n_35",
    "key_scan_tab_b_41514944",
    "key_scan_tab_ss_686b76",
    "key_scan_tab_sb_686b76",
    "key_scan_tab_nn_35",
    "key_scan_tab_bn_42415547",
];

/// A call and what came of it.
struct Recorded {
    operation: String,
    case: String,
    request: Vec<u8>,
    response: Vec<u8>,
}

fn bytes_of_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Everything that a client has sent, in its order.
fn conversation(client: &str) -> Vec<Recorded> {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let is_call = |vector: &&Value| !vector["operation"].as_str().unwrap().starts_with("error answer");
    let of_client = vectors.iter().filter(|vector| vector["client"] == client).filter(is_call);
    let text = |vector: &Value, name: &str| vector[name].as_str().unwrap_or_default().to_owned();
    let recorded = of_client.map(|vector| Recorded {
        operation: text(vector, "operation"),
        case: text(vector, "case"),
        request: bytes_of_hex(&text(vector, "request_hex")),
        response: bytes_of_hex(&text(vector, "response_hex")),
    });
    recorded.collect()
}

/// The lists whose ids the stub has given out or explained.
fn recorded_lists(calls: &[Recorded]) -> AttributeLists {
    let names = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        let mut elements = reader.array().unwrap();
        let mut names = Vec::new();
        while elements.next(&mut reader).unwrap() {
            names.push(reader.text().unwrap().to_owned());
        }
        names
    };
    let id = |bytes: &[u8]| Reader::new(bytes).int_64().unwrap() as u64;
    let lists = calls.iter().filter_map(|call| match call.operation.as_str() {
        // One byte for the service and five for the method; one for the empty array of an answer.
        "defineAttributeListId" => Some((id(&call.response[1..]), names(&call.request[6..]))),
        "defineAttributeList" => Some((id(&call.request[6..]), names(&call.response[1..]))),
        _ => None,
    });
    AttributeLists::with_ids(lists)
}

/// Items and pages are cached, so that some answers are there at once.
fn policy() -> TablePolicy {
    let (ttl, stale_if_error) = (Some(Duration::from_secs(300)), Duration::ZERO);
    let (item_bytes_max, page_bytes_max, fill) = (100_000, 100_000, FillMode::Eventual);
    let items = ReadPolicy { ttl, negative_ttl: ttl, fill, item_bytes_max, stale_if_error };
    let (gsi_quarantine, scan_admission, fill_items) = (Duration::ZERO, ScanAdmission::First, false);
    let pages =
        PagePolicy { ttl, fill, gsi_quarantine, page_bytes_max, scan_admission, stale_if_error, fill_items };
    TablePolicy { pages: Some(pages), ..TablePolicy::items_only(items) }
}

/// An engine over a database with the tables of the stub.
pub(super) async fn engine() -> Arc<Engine> {
    engine_and_pages().await.0
}

/// The same, with what it caches.
pub(super) async fn engine_and_pages() -> (Arc<Engine>, Arc<PageCache>) {
    let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(8 << 20), Arc::clone(&items));
    let local = Arc::new(Local::in_memory(LocalSettings::default()));
    let engine = Engine::new(local, items, Arc::clone(&pages), Box::new(|_| policy()));
    let tables = [
        ("tab_s", "S", None),
        ("tab_n", "N", None),
        ("tab_b", "B", None),
        ("tab_ss", "S", Some("S")),
        ("tab_sn", "S", Some("N")),
        ("tab_sb", "S", Some("B")),
        ("tab_nn", "N", Some("N")),
        ("tab_bn", "B", Some("N")),
    ];
    for (name, partition, sort) in tables {
        let mut types = format!(r#"{{"AttributeName":"pk","AttributeType":"{partition}"}}"#);
        let mut key = r#"{"AttributeName":"pk","KeyType":"HASH"}"#.to_owned();
        if let Some(sort) = sort {
            types += &format!(r#",{{"AttributeName":"sk","AttributeType":"{sort}"}}"#);
            key += r#",{"AttributeName":"sk","KeyType":"RANGE"}"#;
        }
        let mut index = String::new();
        if name == "tab_sn" {
            types +=
                r#",{"AttributeName":"gpk","AttributeType":"S"},{"AttributeName":"gsk","AttributeType":"N"}"#;
            index = r#","GlobalSecondaryIndexes":[{"IndexName":"gsi1","Projection":{"ProjectionType":"ALL"},"KeySchema":[
                {"AttributeName":"gpk","KeyType":"HASH"},{"AttributeName":"gsk","KeyType":"RANGE"}]}]"#
                .to_owned();
        }
        let body = format!(
            r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{types}],"KeySchema":[{key}]{index}}}"#
        );
        let served = engine.execute(Request::new(Operation::CreateTable, body)).await;
        assert!(served.answer.is_success(), "{:?}", served.answer);
    }
    (engine, pages)
}

/// An item of CBOR in one form: members of maps, and rows of what has no order, are sorted.
fn shown(reader: &mut Reader<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match reader.peek().unwrap() {
        Kind::Array => {
            let mut elements = reader.array().unwrap();
            let mut all = Vec::new();
            while elements.next(reader).unwrap() {
                all.push(shown(reader));
            }
            format!("[{}]", all.join(", "))
        }
        Kind::Map => {
            let mut members = reader.map().unwrap();
            let mut all = Vec::new();
            while members.next(reader).unwrap() {
                let key = shown(reader);
                all.push(format!("{key}: {}", shown(reader)));
            }
            all.sort();
            format!("{{{}}}", all.join(", "))
        }
        Kind::Bytes => format!("h'{}'", hex(reader.bytes().unwrap())),
        Kind::Text => format!("{:?}", reader.text().unwrap()),
        _ => hex(reader.item(20).unwrap()),
    }
}

/// An answer in one form. Of an error, the codes and the name: words and ids are the stub's own.
fn shown_answer(bytes: &[u8]) -> String {
    let mut reader = Reader::new(bytes);
    let codes = shown(&mut reader);
    if codes != "[]" {
        let _message = shown(&mut reader);
        let facts = shown(&mut reader);
        return format!("{codes} {}", facts.split_once(", ").unwrap().1);
    }
    let mut items = vec![codes];
    while !reader.is_at_end() {
        items.push(shown(&mut reader));
    }
    items.join(" ")
}

/// The next answer of a connection, to a call of that operation.
async fn next_answer(client: &mut DuplexStream, operation: &str) -> Vec<u8> {
    let of_success = match operation {
        "batchGetItem" => 3,
        "batchWriteItem" => 4,
        _ => 2,
    };
    let mut bytes = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::from_secs(60), client.read_buf(&mut bytes)).await;
        let read = read.unwrap_or_else(|_| panic!("{operation}: no more than {bytes:x?}"));
        assert_ne!(read.unwrap(), 0, "closed before an answer");
        let items = if bytes[0] == 0x80 { of_success } else { 3 };
        if Measure::new(items, 30).advance(&bytes).unwrap().is_some() {
            return bytes;
        }
    }
}

async fn replay(client: &str) {
    let calls = conversation(client);
    let lists = Arc::new(recorded_lists(&calls));
    let settings = Settings { dax: DaxSettings { lists, ..DaxSettings::default() }, ..Settings::default() };
    let mut wire = Wire::asking(engine().await, AnyCaller, settings);
    let mut compared = 0;
    let mut differing = Vec::new();
    for call in &calls {
        wire.send(&call.request).await;
        if call.response.is_empty() {
            continue;
        }
        let answer = next_answer(&mut wire.client, &call.operation).await;
        if call.operation == "endpoints" || OF_THE_STUB.contains(&&*call.case) {
            continue;
        }
        let (expected, got) = (shown_answer(&call.response), shown_answer(&answer));
        compared += 1;
        if expected != got {
            differing
                .push(format!("{} {}\n  recorded {expected}\n  answered {got}", call.operation, call.case));
        }
    }
    assert!(differing.is_empty(), "{} of {compared} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(compared > 80, "only {compared} answers were compared");
}

// The clock runs: the database works on a thread of its own.
#[tokio::test]
async fn the_client_for_python_gets_what_it_got_from_the_stub() {
    replay("python 2.1.0").await;
}

// The clock runs: the database works on a thread of its own.
#[tokio::test]
async fn the_client_for_javascript_gets_what_it_got_from_the_stub() {
    replay("javascript 3.1.0").await;
}
