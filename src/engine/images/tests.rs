//! Every kind of write, against every kind of index.

use bytes::Bytes;

use super::*;
use crate::model::AttributeValue;
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, KeySchema, Projection};

const POSITIONS: Wants = Wants { image: false, positions: true, may_ask: true, is_handed_over: false };
const ALL: Wants = Wants { image: true, positions: true, may_ask: true, is_handed_over: false };

fn key(partition: &str, sort: Option<&str>) -> KeySchema {
    let attribute = |name: &str| KeyAttribute { name: name.to_owned(), scalar_type: ScalarType::S };
    KeySchema { partition: vec![attribute(partition)], sort: sort.into_iter().map(attribute).collect() }
}

fn index(partition: &str, sort: Option<&str>, projection: Projection) -> IndexSchema {
    IndexSchema { name: "index".to_owned(), kind: IndexKind::Global, key: key(partition, sort), projection }
}

fn table() -> TableSchema {
    TableSchema { name: "t".to_owned(), id: String::new(), key: key("p", Some("r")), indexes: Vec::new() }
}

fn partition(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    partition_bytes(&[crate::model::KeyValue::S(value.to_owned())], &mut bytes);
    bytes
}

/// The partitions of an index that a write touches, by request and answer; and the request as it is sent.
fn touched(
    operation: Operation,
    body: &str,
    answer: &str,
    index: &IndexSchema,
) -> (String, Option<Vec<Vec<u8>>>) {
    let table = TableSchema { indexes: vec![index.clone()], ..table() };
    let (sent, outcome) = perform(operation, body, answer, POSITIONS, &table);
    (sent, outcome.touched_partitions(&table, index))
}

fn perform(
    operation: Operation,
    body: &str,
    answer: &str,
    wants: Wants,
    table: &TableSchema,
) -> (String, Outcome) {
    let json = Json::parse(body.as_bytes()).unwrap();
    let own = Request::new(operation, body.to_owned());
    let (asking, plan) = Plan::of(&own, &json, wants, table);
    let request = asking.unwrap_or(own);
    let (_, outcome) = plan.finish(Answer::ok(answer.to_owned())).unwrap();
    (String::from_utf8(request.body.to_vec()).unwrap(), outcome)
}

const PUT: &str = r#"{"TableName":"t","Item":{"p":{"S":"1"},"r":{"S":"2"},"g":{"S":"new"},"x":{"S":"y"}}}"#;

#[test]
fn a_put_touches_where_the_item_was_and_where_it_is() {
    let index = index("g", None, Projection::All);
    let old = |g: &str| format!(r#"{{"Attributes":{{"p":{{"S":"1"}},"r":{{"S":"2"}},{g}"x":{{"S":"y"}}}}}}"#);
    let cases = [
        (old(r#""g":{"S":"old"},"#), vec![partition("old"), partition("new")]),
        (old(""), vec![partition("new")]),
        ("{}".to_owned(), vec![partition("new")]),
        // The index holds the same as before.
        (old(r#""g":{"S":"new"},"#), vec![]),
    ];
    for (answer, expected) in cases {
        let (sent, touched) = touched(Operation::PutItem, PUT, &answer, &index);
        assert!(sent.contains(r#""ReturnValues":"ALL_OLD""#), "{sent}");
        assert_eq!(touched, Some(expected), "{answer}");
    }
    let other = old(r#""g":{"S":"new"},"#).replace(r#""x":{"S":"y"}"#, r#""x":{"S":"z"}"#);
    let (_, partitions) = touched(Operation::PutItem, PUT, &other, &index);
    assert_eq!(partitions, Some(vec![partition("new")]), "another projected attribute");
}

#[test]
fn a_change_of_what_an_index_does_not_hold_does_not_touch_it() {
    let index = index("g", None, Projection::KeysOnly);
    let answer = r#"{"Attributes":{"p":{"S":"1"},"r":{"S":"2"},"g":{"S":"new"},"x":{"S":"z"}}}"#;
    let (_, touched) = touched(Operation::PutItem, PUT, answer, &index);
    assert_eq!(touched, Some(vec![]));
}

#[test]
fn a_delete_touches_where_the_item_was() {
    let index = index("g", None, Projection::All);
    let body = r#"{"TableName":"t","Key":{"p":{"S":"1"},"r":{"S":"2"}}}"#;
    let old = r#"{"Attributes":{"p":{"S":"1"},"r":{"S":"2"},"g":{"S":"old"}}}"#;
    assert_eq!(touched(Operation::DeleteItem, body, old, &index).1, Some(vec![partition("old")]));
    assert_eq!(touched(Operation::DeleteItem, body, "{}", &index).1, Some(vec![]));
}

fn update(expression: &str) -> String {
    format!(
        r#"{{"TableName":"t","Key":{{"p":{{"S":"1"}},"r":{{"S":"2"}}}},"UpdateExpression":"{expression}","ExpressionAttributeValues":{{":v":{{"S":"z"}}}}}}"#
    )
}

const UPDATED: &str =
    r#"{"Attributes":{"p":{"S":"1"},"r":{"S":"2"},"g":{"S":"here"},"x":{"S":"z"},"y":{"S":"z"}}}"#;

#[test]
fn an_update_of_other_attributes_leaves_the_item_in_its_partition() {
    let all = index("g", None, Projection::All);
    let (sent, partitions) = touched(Operation::UpdateItem, &update("SET x = :v"), UPDATED, &all);
    assert!(sent.contains(r#""ReturnValues":"ALL_NEW""#), "{sent}");
    assert_eq!(partitions, Some(vec![partition("here")]));
    let some = index("g", None, Projection::Include(vec!["y".to_owned()]));
    let update_x = update("SET x = :v");
    assert_eq!(touched(Operation::UpdateItem, &update_x, UPDATED, &some).1, Some(vec![]), "x is not in it");
    let nested = update("SET y.a = :v");
    assert_eq!(touched(Operation::UpdateItem, &nested, UPDATED, &some).1, Some(vec![partition("here")]));
}

#[test]
fn an_update_of_the_indexs_key_touches_where_the_item_was_and_where_the_update_moves_it() {
    let index = index("g", Some("s"), Projection::All);
    let old =
        r#"{"Attributes":{"p":{"S":"1"},"r":{"S":"2"},"g":{"S":"old"},"s":{"S":"1"},"k":{"S":"kept"}}}"#;
    let legacy = r#"{"TableName":"t","Key":{"p":{"S":"1"},"r":{"S":"2"}},"AttributeUpdates":{"s":{"Action":"DELETE"}}}"#;
    for (body, expected) in [
        (update("SET g = :v"), vec!["old", "z"]),
        (update("SET g = if_not_exists(g, :v), s = :v"), vec!["old"]),
        (update("SET g = k"), vec!["old", "kept"]),
        (update("SET s = :v"), vec!["old"]),
        (update("REMOVE s"), vec!["old"]),
        (update("SET x = :v, g = :v"), vec!["old", "z"]),
        (legacy.to_owned(), vec!["old"]),
    ] {
        let (sent, touched) = touched(Operation::UpdateItem, &body, old, &index);
        assert!(sent.contains(r#""ReturnValues":"ALL_OLD""#), "{sent}");
        assert_eq!(touched, Some(expected.into_iter().map(partition).collect()), "{body}");
    }
    let created = touched(Operation::UpdateItem, &update("SET g = :v, s = :v"), "{}", &index);
    assert_eq!(created.1, Some(vec![partition("z")]));
    let made = touched(Operation::UpdateItem, &update("SET g = :v"), "{}", &index);
    assert_eq!(made.1, Some(vec![]), "without the sort key it is in no partition");
}

#[test]
fn an_update_of_the_indexs_key_that_does_not_tell_the_old_item_may_have_moved_it_from_anywhere() {
    let index = index("g", Some("s"), Projection::All);
    for asked in ["ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"] {
        let asked = format!("\"ReturnValues\":\"{asked}\",\"TableName\"");
        let body = update("SET g = :v").replace("\"TableName\"", &asked);
        assert_eq!(touched(Operation::UpdateItem, &body, UPDATED, &index).1, None, "{body}");
    }
    for expression in ["SET x = :w", "SET g = x + :v"] {
        let touched = touched(Operation::UpdateItem, &update(expression), UPDATED, &index);
        assert_eq!(touched.1, None, "{expression} cannot be read, or not computed");
    }
}

#[test]
fn a_computed_item_is_not_stored() {
    let table = TableSchema { indexes: vec![index("g", None, Projection::All)], ..table() };
    let (_, outcome) = perform(Operation::UpdateItem, &update("SET g = :v"), UPDATED, ALL, &table);
    assert!(outcome.image.is_none() && outcome.computed.is_some());
}

#[test]
fn an_update_that_may_make_its_item_may_put_it_into_an_index_of_the_tables_own_attributes() {
    let turned = index("r", Some("p"), Projection::KeysOnly);
    let body = update("SET x = :v");
    assert_eq!(touched(Operation::UpdateItem, &body, UPDATED, &turned).1, Some(vec![partition("2")]));
    let asks_less = body.replace("\"TableName\"", "\"ReturnValues\":\"UPDATED_NEW\",\"TableName\"");
    let answer = r#"{"Attributes":{"x":{"S":"z"}}}"#;
    assert_eq!(touched(Operation::UpdateItem, &asks_less, answer, &turned).1, None);
    let sparse = index("g", None, Projection::KeysOnly);
    assert_eq!(touched(Operation::UpdateItem, &asks_less, answer, &sparse).1, Some(vec![]));
}

#[test]
fn what_the_client_asks_for_is_read_and_stays_in_its_answer() {
    let index = index("g", None, Projection::All);
    let body = update("SET x = :v").replace("\"TableName\"", "\"ReturnValues\":\"ALL_OLD\",\"TableName\"");
    let (sent, partitions) = touched(Operation::UpdateItem, &body, UPDATED, &index);
    assert_eq!((sent, partitions), (body.clone(), Some(vec![partition("here")])));
    let json = Json::parse(body.as_bytes()).unwrap();
    let (_, plan) = Plan::of(&Request::new(Operation::UpdateItem, body.clone()), &json, ALL, &table());
    let (shown, outcome) = plan.finish(Answer::ok(UPDATED)).unwrap();
    assert_eq!((shown.body, outcome.image), (Bytes::from_static(UPDATED.as_bytes()), None));
}

#[test]
fn attributes_that_only_the_cache_asked_for_are_taken_out() {
    let answer = r#"{"Attributes":{"id":{"S":"a"},"n":{"N":"1"}},"ConsumedCapacity":{"CapacityUnits":1.0}}"#;
    for (operation, body) in
        [(Operation::UpdateItem, update("SET x = :v")), (Operation::PutItem, PUT.to_owned())]
    {
        let json = Json::parse(body.as_bytes()).unwrap();
        let (_, plan) = Plan::of(&Request::new(operation, body.clone()), &json, ALL, &table());
        let (shown, outcome) = plan.finish(Answer::ok(answer)).unwrap();
        assert_eq!(shown.body, r#"{"ConsumedCapacity":{"CapacityUnits":1.0}}"#);
        assert!(outcome.image.is_some());
    }
}

#[test]
fn a_request_that_must_not_ask_goes_as_it_came() {
    let quiet = Wants { may_ask: false, ..ALL };
    for (operation, body) in
        [(Operation::UpdateItem, update("SET x = :v")), (Operation::PutItem, PUT.to_owned())]
    {
        let (sent, outcome) = perform(operation, &body, "{}", quiet, &table());
        assert_eq!(sent, body);
        assert_eq!(
            outcome.image.is_some(),
            operation == Operation::PutItem,
            "the request tells the new item"
        );
        assert_eq!(outcome.touched_partitions(&table(), &index("x", None, Projection::All)), None);
    }
}

#[test]
fn a_put_that_is_too_long_for_an_item_goes_as_it_came_and_is_not_stored() {
    let table = TableSchema { indexes: vec![index("g", None, Projection::All)], ..table() };
    for (bytes, is_imaged) in [(PUT_BYTES_MAX, true), (PUT_BYTES_MAX + 1, false)] {
        let body = PUT.to_owned() + &" ".repeat(bytes - PUT.len());
        let (sent, outcome) = perform(Operation::PutItem, &body, "{}", ALL, &table);
        assert_eq!((sent == body, outcome.image.is_some()), (!is_imaged, is_imaged));
        assert_eq!(outcome.touched_partitions(&table, &table.indexes[0]).is_some(), is_imaged);
    }
}

#[test]
fn an_answer_that_cannot_be_read_tells_nothing() {
    let json = Json::parse(PUT.as_bytes()).unwrap();
    let plan = || Plan::of(&Request::new(Operation::PutItem, PUT), &json, ALL, &table()).1;
    assert!(plan().finish(Answer::ok("{\"Attributes\":")).is_err());
    let (_, outcome) = plan().finish(Answer::ok(r#"{"Attributes":{"g":{"S":7}}}"#)).unwrap();
    assert_eq!(outcome.touched_partitions(&table(), &index("g", None, Projection::All)), None);
}

#[test]
fn an_old_item_that_fits_no_index_is_not_judged() {
    let index = index("g", None, Projection::All);
    let old = r#"{"Attributes":{"p":{"S":"1"},"r":{"S":"2"},"g":{"N":"1"}}}"#;
    assert_eq!(touched(Operation::PutItem, PUT, old, &index).1, None);
    let item = Item::from([("g".to_owned(), AttributeValue::S(String::new()))]);
    assert_eq!(partition_in(&index, &item), None);
}
