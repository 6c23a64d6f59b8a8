//! Errors: DynamoDB's names and statuses as the protocol's lists of codes.
//!
//! The codes decide what clients do: which exception they raise, and whether they retry. A list begins with 4 for what DynamoDB
//! rejects, and with 1 where nothing has happened and the same request may succeed later. What the inner codes mean is known only by
//! the exceptions that clients make of them. JavaScript retries no write after `…,37,…,39,47`: its outcome is unknown.

use crate::dax::cbor::{Malformed, Writer};
use crate::model::{ApiError, ErrorCode, ErrorName, Operation};

use super::reply::Reply;

/// Why a request has failed, as a reply says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure<'a> {
    pub(super) name: &'a ErrorName,
    /// The HTTP status that DynamoDB has for it.
    pub(super) status: u16,
    pub(super) message: &'a str,
    /// `None` for what concerns only the protocol.
    pub(super) operation: Option<Operation>,
    pub(super) request_id: Option<&'a str>,
    /// Why a transaction was cancelled: the encoded array that says it.
    pub(super) reasons: Option<&'a [u8]>,
}

/// The answer to a request that was not sent to DynamoDB, or whose answer cannot be shown.
///
/// `operation` is `None` for what concerns only the protocol; it decides whether clients take an outcome for unknown.
pub fn reply(error: &ApiError, operation: Option<Operation>, request_id: Option<&str>) -> Reply {
    let name = error.code.into();
    let bytes = Failure {
        name: &name,
        status: error.code.status(),
        message: error.message.as_deref().unwrap_or_default(),
        operation,
        request_id,
        reasons: None,
    }
    .to_bytes();
    Reply { bytes, error: Some(name) }
}

/// Has the client for Python not repeat a batch of writes that is rejected: it would spoil its own arguments, fail in them, and so
/// hide this error. It repeats whatever does not begin with 3, or has a status of 5xx.
pub fn settle_batch_for_python(reply: &mut Reply) {
    // The head of the list, and its first codes. For bad credentials another code follows the 4, and the client has to sign again.
    if let [_, first @ 4, 0x18, 37, ..] = &mut *reply.bytes
        && reply.error.is_some()
    {
        *first = 3;
    }
}

/// The error of a request, or of a part of one, that cannot be made into JSON.
pub(super) fn of_request(part: &str, fault: Malformed) -> ApiError {
    match fault {
        Malformed::TooLarge => ApiError::new(ErrorCode::RequestEntityTooLarge, "The request is too large"),
        Malformed::Truncated | Malformed::Invalid(_) => {
            ApiError::validation(format!("The {part} cannot be read: {fault}"))
        }
    }
}

impl Failure<'_> {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.message.len());
        let mut writer = Writer::new(&mut bytes);
        let codes = codes(self.name, self.status, self.operation);
        writer.array(codes.len());
        codes.iter().for_each(|code| writer.int((*code).into()));
        writer.text(self.message);
        writer.array(if self.reasons.is_some() { 4 } else { 3 });
        match self.request_id {
            Some(id) => writer.text(id),
            None => writer.null(),
        }
        writer.text(self.name.text());
        writer.unsigned(self.status.into());
        if let Some(reasons) = self.reasons {
            writer.raw(reasons);
        }
        bytes
    }
}

/// The list of codes for an error. No list is shorter than two: Python's client fails on shorter ones.
fn codes(name: &ErrorName, status: u16, operation: Option<Operation>) -> &'static [u8] {
    /// Codes that no client knows: they raise the error's name.
    const OTHER: &[u8] = &[4, 37, 38, 39, 99];
    const UNAVAILABLE: &[u8] = &[1, 99];
    let failed: &[u8] = match operation {
        Some(operation) if !operation.only_reads() => &[4, 37, 38, 39, 47],
        _ => &[1, 37, 38, 39, 47],
    };
    let Some(code) = name.code() else {
        return match (name.text(), status) {
            ("TransactionInProgressException", _) => &[4, 37, 38, 39, 59],
            ("RequestLimitExceeded", _) => &[4, 37, 38, 39, 61],
            ("InternalServerErrorException" | "InternalFailure", _) => failed,
            // What an upstream means by it is not known, so a write may have happened.
            (_, 500..) => failed,
            _ => OTHER,
        };
    };
    match code {
        ErrorCode::Validation | ErrorCode::Serialization | ErrorCode::RequestEntityTooLarge => {
            &[4, 37, 38, 39, 46]
        }
        ErrorCode::UnknownOperation => &[4, 37, 38, 44],
        ErrorCode::MissingAuthenticationToken
        | ErrorCode::IncompleteSignature
        | ErrorCode::InvalidSignature
        | ErrorCode::UnrecognizedClient
        | ErrorCode::ExpiredToken => &[4, 23, 31, 33],
        ErrorCode::AccessDenied | ErrorCode::Forbidden => &[4, 37, 38, 42],
        ErrorCode::ResourceNotFound | ErrorCode::TableNotFound | ErrorCode::PolicyNotFound => {
            &[4, 37, 38, 39, 41]
        }
        ErrorCode::ResourceInUse => &[4, 37, 38, 39, 45],
        ErrorCode::LimitExceeded => &[4, 37, 38, 39, 49],
        ErrorCode::ConditionalCheckFailed | ErrorCode::StatementConditionFailed => &[4, 37, 38, 39, 43],
        ErrorCode::ItemCollectionSizeLimitExceeded => &[4, 37, 38, 39, 48],
        ErrorCode::ProvisionedThroughputExceeded => &[4, 37, 38, 39, 40],
        ErrorCode::TransactionCanceled => &[4, 37, 38, 39, 58],
        ErrorCode::TransactionConflict => &[4, 37, 38, 39, 57],
        ErrorCode::IdempotentParameterMismatch => &[4, 37, 38, 39, 60],
        ErrorCode::Throttling => &[4, 37, 38, 39, 50],
        ErrorCode::DuplicateItem | ErrorCode::ExpiredIterator | ErrorCode::TrimmedDataAccess => OTHER,
        ErrorCode::InternalServerError => failed,
        ErrorCode::ServiceUnavailable => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dax::cbor::Reader;
    use crate::dax::tests::{bytes_of_hex, vectors};

    fn codes_of(reply: &[u8]) -> Vec<i64> {
        let mut reader = Reader::new(reply);
        let mut elements = reader.array().unwrap();
        let mut codes = Vec::new();
        while elements.next(&mut reader).unwrap() {
            codes.push(reader.int_64().unwrap());
        }
        codes
    }

    #[test]
    fn the_client_for_python_does_not_repeat_a_batch_that_is_rejected() {
        let settled = |code: ErrorCode| {
            let mut reply = reply(&ApiError::new(code, "m"), Some(Operation::BatchWriteItem), None);
            settle_batch_for_python(&mut reply);
            codes_of(&reply.bytes)
        };
        assert_eq!(settled(ErrorCode::Validation), [3, 37, 38, 39, 46]);
        assert_eq!(settled(ErrorCode::AccessDenied), [3, 37, 38, 42]);
        assert_eq!(settled(ErrorCode::ExpiredToken), [4, 23, 31, 33], "it signs anew");
        assert_eq!(settled(ErrorCode::ServiceUnavailable), [1, 99]);
        let mut fine = Reply { bytes: vec![0x80, 4, 0x18, 37], error: None };
        settle_batch_for_python(&mut fine);
        assert_eq!(fine.bytes[1], 4);
    }

    fn sent(name: &str, status: u16, operation: Option<Operation>) -> Vec<i64> {
        codes(&ErrorName::of_type(name), status, operation).iter().map(|code| (*code).into()).collect()
    }

    #[test]
    fn an_error_is_three_items() {
        let error = ApiError::new(ErrorCode::ConditionalCheckFailed, "The conditional request failed");
        let bytes = reply(&error, Some(Operation::PutItem), Some("REQ-1")).bytes;
        let expected = "85 04 1825 1826 1827 182b 781e 54686520636f6e646974696f6e616c2072657175657374206661696c6564 \
                        83 65 5245512d31 781f 436f6e646974696f6e616c436865636b4661696c6564457863657074696f6e 190190";
        assert_eq!(bytes, bytes_of_hex(expected));
        let reply = reply(&ApiError { message: None, ..error }, None, None);
        assert!(reply.bytes.starts_with(&bytes_of_hex("85 04 1825 1826 1827 182b 60 83 f6")));
        assert_eq!(reply.error, Some(ErrorCode::ConditionalCheckFailed.into()));
    }

    #[test]
    fn every_list_of_codes_has_been_tried_with_real_clients() {
        let tried: BTreeSet<Vec<i64>> = vectors(None)
            .into_iter()
            .filter(|vector| vector.operation.starts_with("error answer"))
            .map(|vector| codes_of(&bytes_of_hex(&vector.response_hex)))
            .collect();
        assert_eq!(tried.len(), 35);
        let names = "ValidationException SerializationException UnknownOperationException \
            MissingAuthenticationTokenException IncompleteSignatureException InvalidSignatureException \
            UnrecognizedClientException ExpiredTokenException AccessDeniedException ResourceNotFoundException \
            TableNotFoundException PolicyNotFoundException ResourceInUseException LimitExceededException \
            ConditionalCheckFailedException DuplicateItemException ItemCollectionSizeLimitExceededException \
            ProvisionedThroughputExceededException TransactionCanceledException TransactionConflictException \
            IdempotentParameterMismatchException ExpiredIteratorException TrimmedDataAccessException \
            ThrottlingException RequestEntityTooLargeException InternalServerError ServiceUnavailableException \
            TransactionInProgressException RequestLimitExceeded InternalFailure Other";
        for name in names.split_whitespace() {
            for operation in [None, Some(Operation::GetItem), Some(Operation::PutItem)] {
                for status in [400, 500, 503] {
                    let codes = sent(name, status, operation);
                    assert!(tried.contains(&codes), "{name} {status} {operation:?}: {codes:?}");
                }
            }
        }
    }

    #[test]
    fn only_a_write_whose_outcome_is_unknown_is_said_to_be_one() {
        let (read, write) = (Some(Operation::Query), Some(Operation::UpdateItem));
        for (name, status, operation, expected) in [
            ("InternalServerError", 500, write, &[4, 37, 38, 39, 47][..]),
            ("InternalServerError", 500, read, &[1, 37, 38, 39, 47]),
            ("ServiceUnavailableException", 503, write, &[1, 99]),
            ("ServiceUnavailable", 503, write, &[4, 37, 38, 39, 47]),
            ("ServiceUnavailable", 503, read, &[1, 37, 38, 39, 47]),
            ("TransactionInProgressException", 400, write, &[4, 37, 38, 39, 59]),
            ("x#ValidationException", 400, write, &[4, 37, 38, 39, 46]),
            ("UnrecognizedClientException", 400, None, &[4, 23, 31, 33]),
        ] {
            assert_eq!(sent(name, status, operation), expected, "{name} {operation:?}");
        }
    }
}
