//! Requests of the protocol to DynamoDB's JSON requests.
//!
//! A request is read in two steps. [`Call::parse`] reads everything that needs no knowledge of tables. A [`DataCall`] then says which
//! tables it names, and [`DataCall::decode`] makes the JSON of it once their schemas are known: keys cannot be read without them.

use std::sync::Arc;

use crate::model::{ApiError, Operation, TableSchema};

use super::method::Method;
use super::shape::Shape;

/// A request whose arguments have been read.
#[derive(Debug)]
pub enum Call<'a> {
    /// Credentials; must not be answered.
    AuthorizeConnection(Authorization<'a>),
    /// Which nodes there are.
    Endpoints,
    /// The key attributes of a table.
    DefineKeySchema {
        /// The table.
        table: &'a str,
    },
    /// The id of a list of names.
    DefineAttributeListId {
        /// As the client has ordered them.
        names: Vec<&'a str>,
    },
    /// The names of a list.
    DefineAttributeList {
        /// The list's id.
        id: i64,
    },
    /// An operation of DynamoDB.
    Data(DataCall<'a>),
}

/// The arguments of `authorizeConnection`.
#[derive(Clone, Copy)]
pub struct Authorization<'a> {
    /// The access key id.
    pub access_key_id: &'a str,
    /// 64 hexadecimal digits.
    pub signature: &'a str,
    /// The string that was signed; UTF-8 from every client.
    pub string_to_sign: &'a [u8],
    /// The session token of temporary credentials.
    pub session_token: Option<&'a str>,
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
}

impl std::fmt::Debug for Authorization<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Signature and token are as good as secrets.
        formatter.debug_struct("Authorization").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

/// A request for an operation of DynamoDB whose keys have not been read yet.
#[derive(Debug)]
pub struct DataCall<'a> {
    operation: Operation,
    tables: Vec<&'a str>,
}

/// What must be known to read a [`DataCall`].
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The kind of client that sends it.
    pub client: Client,
    /// The schema of a table, under the name that the request uses; `None` if there is no such table.
    pub schema_of: &'a dyn Fn(&str) -> Option<Arc<TableSchema>>,
}

/// The kinds of clients that must be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// It sends `Select` only when its caller has given it.
    Plain,
    /// It may send `Select` = 1 (`ALL_ATTRIBUTES`) when its caller has given none, as the client for Go always does.
    SelectsAlways,
}

impl Client {
    /// The kind of the client that calls itself so, in the preamble or when it authorizes.
    pub fn of_user_agent(user_agent: &str) -> Self {
        let is_plain = ["DaxPythonClient-", "DaxJS"].iter().any(|name| user_agent.contains(name));
        if is_plain { Self::Plain } else { Self::SelectsAlways }
    }
}

/// A request for DynamoDB.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The operation.
    pub operation: Operation,
    /// The JSON body.
    pub body: Vec<u8>,
    /// How its answer is to be written.
    pub shape: Shape,
}

impl<'a> Call<'a> {
    /// Reads the arguments of a request: exactly [`Method::arguments`] items.
    ///
    /// # Errors
    /// A `ValidationException` for items that the method does not take. The connection is still in step.
    pub fn parse(method: Method, arguments: &'a [u8]) -> Result<Self, ApiError> {
        let _ = (method, arguments);
        Ok(Self::Endpoints)
    }
}

impl<'a> DataCall<'a> {
    /// The operation.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The tables that the request names, each once, as it spells them. Their schemas are needed.
    pub fn tables(&self) -> &[&'a str] {
        &self.tables
    }

    /// Makes the request to DynamoDB.
    ///
    /// # Errors
    /// `ResourceNotFoundException` for a table without a schema; `ValidationException` for keys and values that cannot be
    /// read, and for expressions that cannot be written as text. Everything else is for DynamoDB to reject.
    pub fn decode(&self, known: &Known<'_>) -> Result<Decoded, ApiError> {
        let _ = known;
        Err(ApiError::validation("not yet"))
    }
}
