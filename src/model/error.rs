//! The one error that a client sees, and the one table of its codes.

use std::borrow::Cow;

/// An error as DynamoDB answers it: a code from the table, the words, and for some codes members beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Type and status.
    pub code: ErrorCode,
    /// The words after the code. `None` leaves the member out, as the service does for malformed JSON.
    pub message: Option<Cow<'static, str>>,
    /// Further members of the error object as JSON text without braces, such as `"Item":{…}` of a failed condition.
    pub members: Option<String>,
}

impl ApiError {
    /// An error of that code with these words.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: Some(message.into()), members: None }
    }

    /// A `ValidationException`, by far the most frequent error.
    pub fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Validation, message)
    }

    /// The error in the envelope of broken constraints, `1 validation error detected: …`, if it is a `ValidationException`
    /// that is not in it yet.
    #[must_use]
    pub fn detected(self) -> Self {
        const ENVELOPE: &str = "1 validation error detected: ";
        match &self.message {
            Some(words) if self.code == ErrorCode::Validation && !words.starts_with(ENVELOPE) => {
                Self::validation(format!("{ENVELOPE}{words}"))
            }
            _ => self,
        }
    }

    /// The error object's JSON, exactly as sent.
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"__type\":\"{}\"", self.code.type_name());
        if let Some(message) = &self.message {
            let text = serde_json::to_string(message).expect("a string is always JSON");
            out.push_str(&format!(",\"{}\":{text}", self.code.message_member()));
        }
        if let Some(members) = &self.members {
            out.push(',');
            out.push_str(members);
        }
        out.push('}');
        out
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code.short_name(), self.message.as_deref().unwrap_or(""))
    }
}

impl std::error::Error for ApiError {}

/// The kinds of error. Each has its full type name, its HTTP status, and how the service spells its message member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request breaks a rule of the API.
    Validation,
    /// The body is not the JSON that the operation takes.
    Serialization,
    /// `X-Amz-Target` names no operation, or the content type no protocol.
    UnknownOperation,
    /// No credentials in the request.
    MissingAuthenticationToken,
    /// The `Authorization` header lacks a part.
    IncompleteSignature,
    /// The signature does not fit.
    InvalidSignature,
    /// The access key is not known.
    UnrecognizedClient,
    /// Temporary credentials are older than they may be.
    ExpiredToken,
    /// Not allowed.
    AccessDenied,
    /// Not allowed to whoever sends from there: Nearside's own, with the status that browsers and proxies understand.
    Forbidden,
    /// No such table or index.
    ResourceNotFound,
    /// No such table, in the words of backups.
    TableNotFound,
    /// A table or a stream has no policy, or another than was expected.
    PolicyNotFound,
    /// The table exists already, or is not in the state the operation needs.
    ResourceInUse,
    /// Too many control operations or tables.
    LimitExceeded,
    /// The condition of a write was false; may carry the item.
    ConditionalCheckFailed,
    /// The same of a PartiQL statement that is told of the item, too: its message is spelled otherwise.
    StatementConditionFailed,
    /// A PartiQL `INSERT` found an item with its key.
    DuplicateItem,
    /// A collection with a local secondary index would pass 10 GB.
    ItemCollectionSizeLimitExceeded,
    /// The table's provisioned throughput is used up.
    ProvisionedThroughputExceeded,
    /// A transaction was cancelled; carries the reasons.
    TransactionCanceled,
    /// A transaction is under way on the item.
    TransactionConflict,
    /// A token was used again with another request.
    IdempotentParameterMismatch,
    /// A shard iterator is older than 15 minutes.
    ExpiredIterator,
    /// A place in a stream before the oldest record that is kept.
    TrimmedDataAccess,
    /// Too many requests; clients back off and retry.
    Throttling,
    /// A request body over the limit.
    RequestEntityTooLarge,
    /// Something broke on our side.
    InternalServerError,
    /// The upstream cannot be reached for now; clients retry.
    ServiceUnavailable,
}

/// A row of the table: name space, name, HTTP status, message member.
type Row = (&'static str, &'static str, u16, &'static str);

const VALIDATE: &str = "com.amazon.coral.validate";
const SERVICE: &str = "com.amazon.coral.service";
const AVAILABILITY: &str = "com.amazon.coral.availability";
const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810";

impl ErrorCode {
    /// Every code, in the order of the declaration.
    const ALL: [Self; Self::ServiceUnavailable as usize + 1] = [
        Self::Validation,
        Self::Serialization,
        Self::UnknownOperation,
        Self::MissingAuthenticationToken,
        Self::IncompleteSignature,
        Self::InvalidSignature,
        Self::UnrecognizedClient,
        Self::ExpiredToken,
        Self::AccessDenied,
        Self::Forbidden,
        Self::ResourceNotFound,
        Self::TableNotFound,
        Self::PolicyNotFound,
        Self::ResourceInUse,
        Self::LimitExceeded,
        Self::ConditionalCheckFailed,
        Self::StatementConditionFailed,
        Self::DuplicateItem,
        Self::ItemCollectionSizeLimitExceeded,
        Self::ProvisionedThroughputExceeded,
        Self::TransactionCanceled,
        Self::TransactionConflict,
        Self::IdempotentParameterMismatch,
        Self::ExpiredIterator,
        Self::TrimmedDataAccess,
        Self::Throttling,
        Self::RequestEntityTooLarge,
        Self::InternalServerError,
        Self::ServiceUnavailable,
    ];

    fn row(self) -> Row {
        match self {
            Self::Validation => (VALIDATE, "ValidationException", 400, "message"),
            Self::Serialization => (SERVICE, "SerializationException", 400, "Message"),
            Self::UnknownOperation => (SERVICE, "UnknownOperationException", 400, "message"),
            Self::MissingAuthenticationToken => {
                (SERVICE, "MissingAuthenticationTokenException", 400, "message")
            }
            Self::IncompleteSignature => (SERVICE, "IncompleteSignatureException", 400, "message"),
            Self::InvalidSignature => (SERVICE, "InvalidSignatureException", 400, "message"),
            Self::UnrecognizedClient => (SERVICE, "UnrecognizedClientException", 400, "message"),
            Self::ExpiredToken => (SERVICE, "ExpiredTokenException", 400, "message"),
            Self::AccessDenied => (SERVICE, "AccessDeniedException", 400, "Message"),
            Self::Forbidden => (SERVICE, "AccessDeniedException", 403, "Message"),
            Self::ResourceNotFound => (DYNAMODB, "ResourceNotFoundException", 400, "message"),
            Self::TableNotFound => (DYNAMODB, "TableNotFoundException", 400, "message"),
            Self::PolicyNotFound => (DYNAMODB, "PolicyNotFoundException", 400, "message"),
            Self::ResourceInUse => (DYNAMODB, "ResourceInUseException", 400, "message"),
            Self::LimitExceeded => (DYNAMODB, "LimitExceededException", 400, "message"),
            Self::ConditionalCheckFailed => (DYNAMODB, "ConditionalCheckFailedException", 400, "message"),
            Self::StatementConditionFailed => (DYNAMODB, "ConditionalCheckFailedException", 400, "Message"),
            Self::DuplicateItem => (DYNAMODB, "DuplicateItemException", 400, "message"),
            Self::ItemCollectionSizeLimitExceeded => {
                (DYNAMODB, "ItemCollectionSizeLimitExceededException", 400, "message")
            }
            Self::ProvisionedThroughputExceeded => {
                (DYNAMODB, "ProvisionedThroughputExceededException", 400, "message")
            }
            Self::TransactionCanceled => (DYNAMODB, "TransactionCanceledException", 400, "Message"),
            Self::TransactionConflict => (DYNAMODB, "TransactionConflictException", 400, "message"),
            Self::IdempotentParameterMismatch => {
                (DYNAMODB, "IdempotentParameterMismatchException", 400, "Message")
            }
            Self::ExpiredIterator => (DYNAMODB, "ExpiredIteratorException", 400, "message"),
            Self::TrimmedDataAccess => (DYNAMODB, "TrimmedDataAccessException", 400, "message"),
            Self::Throttling => (AVAILABILITY, "ThrottlingException", 400, "message"),
            Self::RequestEntityTooLarge => (SERVICE, "RequestEntityTooLargeException", 413, "message"),
            Self::InternalServerError => (DYNAMODB, "InternalServerError", 500, "message"),
            Self::ServiceUnavailable => (AVAILABILITY, "ServiceUnavailableException", 503, "message"),
        }
    }

    /// The value of `__type`, such as `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException`.
    pub fn type_name(self) -> String {
        let (name_space, name, ..) = self.row();
        format!("{name_space}#{name}")
    }

    /// The part of the type after the `#`, for logs and metrics.
    pub fn short_name(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().2
    }

    /// `message`, or `Message` where the service writes it so.
    pub fn message_member(self) -> &'static str {
        self.row().3
    }
}

/// The name of an error: the part of its `__type` after the `#`. An upstream may send names that the table of codes lacks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorName(Name);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    /// The first code of that name in the table: some codes share one.
    Known(ErrorCode),
    Other(Box<str>),
}

impl ErrorName {
    /// The name in a `__type`, with or without a name space before it.
    pub fn of_type(type_name: &str) -> Self {
        let name = type_name.rsplit('#').next().unwrap_or(type_name);
        Self(match first_code(name) {
            Some(code) => Name::Known(code),
            None => Name::Other(name.into()),
        })
    }

    /// The first code in the table with this name.
    pub fn code(&self) -> Option<ErrorCode> {
        match self.0 {
            Name::Known(code) => Some(code),
            Name::Other(_) => None,
        }
    }

    /// The name, for logs and metrics.
    pub fn text(&self) -> &str {
        match &self.0 {
            Name::Known(code) => code.short_name(),
            Name::Other(name) => name,
        }
    }
}

impl From<ErrorCode> for ErrorName {
    fn from(code: ErrorCode) -> Self {
        Self(Name::Known(first_code(code.short_name()).unwrap_or(code)))
    }
}

fn first_code(name: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.into_iter().find(|code| code.short_name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_codes_is_whole_and_in_order() {
        for (place, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place, "{code:?}");
        }
    }

    #[test]
    fn a_name_is_found_with_and_without_a_name_space() {
        let missing = ErrorName::from(ErrorCode::ResourceNotFound);
        assert_eq!(missing.text(), "ResourceNotFoundException");
        for text in
            ["ResourceNotFoundException", "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"]
        {
            assert_eq!(ErrorName::of_type(text), missing);
        }
        let other = ErrorName::of_type("a.b#RequestLimitExceeded");
        assert_eq!((other.text(), other.code()), ("RequestLimitExceeded", None));
    }

    #[test]
    fn codes_that_share_a_name_are_one_name() {
        for code in ErrorCode::ALL {
            let name = ErrorName::from(code);
            assert_eq!(name, ErrorName::of_type(&code.type_name()));
            assert_eq!(name.text(), code.short_name());
        }
        assert_eq!(ErrorName::from(ErrorCode::Forbidden).code(), Some(ErrorCode::AccessDenied));
    }
}
