//! What the backend answers by itself, and the backend that the tests of its parts share.

pub(crate) mod backend;

use super::*;

#[tokio::test]
async fn an_unknown_operation_is_told_so_and_no_more_whatever_json_it_brings() {
    let local = Local::in_memory(Settings::default());
    for body in ["", "{}", "[]", "null", "7"] {
        let answer = local.call(&Request::new(Operation::Unknown, body)).await.unwrap();
        assert_eq!(answer.body, r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#);
    }
    let answer = local.call(&Request::new(Operation::Unknown, "{")).await.unwrap();
    assert_eq!(answer.body, r#"{"__type":"com.amazon.coral.service#SerializationException"}"#);
}
