//! Requests of the protocol to DynamoDB's JSON requests.
//!
//! A request is read in two steps. [`Call::parse`] reads everything that needs no knowledge of tables. A [`DataCall`] then says which
//! tables it names, and [`DataCall::decode`] makes the JSON of it once their schemas are known: keys cannot be read without them.
//!
//! What a request must be is for DynamoDB to check, so that clients hear its own words. Only what cannot be written as JSON is
//! rejected here.

mod batch;
mod options;
mod single;
mod transaction;

use std::sync::Arc;

use crate::model::{ApiError, ErrorCode, Operation, TableSchema};

use super::attribute_lists::AttributeLists;
use super::cbor::{Kind, Malformed, Reader};
use super::error;
use super::expression::Expressions;
use super::method::Method;
use super::object::Object;
use super::shape::{Part, Shape};
use super::value;

use batch::{GetBatch, WriteBatch};
use options::{Options, Parameter};
use single::{ItemCall, PageCall};
use transaction::{GetTransaction, WriteTransaction};

/// The most names of a list that are read: an item of 400 KB has fewer, each with a letter and a value.
const NAMES_MAX: usize = 200 * 1024;

/// The most elements of a list that are read. DynamoDB rejects fewer than this in its own words.
const LISTED_MAX: usize = 5000;

/// A request whose arguments have been read.
#[expect(clippy::large_enum_variant, reason = "it stays where it is read, and nearly all are data calls")]
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
    arguments: Arguments<'a>,
    options: Options<'a>,
}

/// What a request has before its options.
#[derive(Debug)]
enum Arguments<'a> {
    Item(ItemCall<'a>),
    Page(PageCall<'a>),
    GetBatch(GetBatch<'a>),
    WriteBatch(WriteBatch<'a>),
    GetTransaction(GetTransaction<'a>),
    WriteTransaction(WriteTransaction<'a>),
}

/// What must be known to read a [`DataCall`].
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The kind of client that sends it.
    pub client: Client,
    /// The schema of a table, under the name that the request uses; `None` if there is no such table.
    pub schema_of: &'a dyn Fn(&str) -> Option<Arc<TableSchema>>,
    /// The lists of attribute names.
    pub lists: &'a AttributeLists,
}

/// The kinds of clients that must be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The one for Python. It sends `Select` only when its caller has given it, and spoils a batch of writes when it repeats it.
    Python,
    /// The one for JavaScript. It sends `Select` only when its caller has given it.
    JavaScript,
    /// It may send `Select` = 1 (`ALL_ATTRIBUTES`) when its caller has given none, as the client for Go always does.
    SelectsAlways,
}

impl Client {
    /// The kind of the client that calls itself so, in the preamble or when it authorizes.
    pub fn of_user_agent(user_agent: &str) -> Self {
        match user_agent {
            python if python.contains("DaxPythonClient-") => Self::Python,
            javascript if javascript.contains("DaxJS") => Self::JavaScript,
            _ => Self::SelectsAlways,
        }
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

/// The table and the key bytes in the arguments of a GetItem without options: of the whole item, not strongly read. `None` for any
/// other, which is to be [parsed](Call::parse).
pub fn plain_item(arguments: &[u8]) -> Option<(&str, &[u8])> {
    let mut reader = Reader::new(arguments);
    let (table, key) = (reader.bytes().ok()?, reader.bytes().ok()?);
    let is_all = reader.take_null().ok()? && reader.is_at_end();
    is_all.then_some((str::from_utf8(table).ok()?, key))
}

impl<'a> Call<'a> {
    /// Reads the arguments of a request: exactly [`Method::arguments`] items.
    ///
    /// # Errors
    /// A `ValidationException` for items that the method does not take. The connection is still in step.
    pub fn parse(method: Method, arguments: &'a [u8]) -> Result<Self, ApiError> {
        let mut reader = Reader::new(arguments);
        let call = Self::read(method, &mut reader)?;
        reader.end().map_err(malformed)?;
        Ok(call)
    }

    fn read(method: Method, reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        let (operation, arguments) = match method {
            Method::AuthorizeConnection => {
                return Authorization::read(reader).map(Self::AuthorizeConnection).map_err(malformed);
            }
            Method::Endpoints => return Ok(Self::Endpoints),
            Method::DefineKeySchema => return Ok(Self::DefineKeySchema { table: table_name(reader)? }),
            Method::DefineAttributeListId => {
                return Ok(Self::DefineAttributeListId { names: names(reader).map_err(malformed)? });
            }
            Method::DefineAttributeList => {
                return Ok(Self::DefineAttributeList { id: reader.int_64().map_err(malformed)? });
            }
            Method::GetItem => (Operation::GetItem, Arguments::Item(ItemCall::read(reader)?)),
            Method::PutItem => (Operation::PutItem, Arguments::Item(ItemCall::read_put(reader)?)),
            Method::UpdateItem => (Operation::UpdateItem, Arguments::Item(ItemCall::read(reader)?)),
            Method::DeleteItem => (Operation::DeleteItem, Arguments::Item(ItemCall::read(reader)?)),
            Method::Query => (Operation::Query, Arguments::Page(PageCall::read_query(reader)?)),
            Method::Scan => (Operation::Scan, Arguments::Page(PageCall::read_scan(reader)?)),
            Method::BatchGetItem => (Operation::BatchGetItem, Arguments::GetBatch(GetBatch::read(reader)?)),
            Method::BatchWriteItem => {
                (Operation::BatchWriteItem, Arguments::WriteBatch(WriteBatch::read(reader)?))
            }
            Method::TransactGetItems => {
                (Operation::TransactGetItems, Arguments::GetTransaction(GetTransaction::read(reader)?))
            }
            Method::TransactWriteItems => {
                (Operation::TransactWriteItems, Arguments::WriteTransaction(WriteTransaction::read(reader)?))
            }
        };
        Ok(Self::Data(DataCall { operation, arguments, options: Options::read(reader)? }))
    }
}

impl<'a> Authorization<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            access_key_id: reader.text()?,
            signature: reader.text()?,
            string_to_sign: reader.bytes()?,
            session_token: nullable(reader, Reader::text)?,
            user_agent: nullable(reader, Reader::text)?,
        })
    }
}

impl<'a> DataCall<'a> {
    /// The operation.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The tables that the request names, each once, as it spells them. Their schemas are needed.
    pub fn tables(&self) -> Vec<&'a str> {
        let mut tables = match &self.arguments {
            Arguments::Item(call) => vec![call.table],
            Arguments::Page(call) => vec![call.table],
            Arguments::GetBatch(batch) => batch.tables(),
            Arguments::WriteBatch(batch) => batch.tables(),
            Arguments::GetTransaction(transaction) => transaction.tables(),
            Arguments::WriteTransaction(transaction) => transaction.tables(),
        };
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The table and the key bytes of a GetItem that asks for the whole item, not strongly read, and for nothing else.
    pub fn whole_item(&self) -> Option<(&'a str, &'a [u8])> {
        match &self.arguments {
            Arguments::Item(call)
                if self.operation == Operation::GetItem && self.options.are_of_a_plain_read() =>
            {
                Some((call.table, call.key))
            }
            _ => None,
        }
    }

    /// Makes the request to DynamoDB.
    ///
    /// # Errors
    /// `ResourceNotFoundException` for a table without a schema; `ValidationException` for keys and values that cannot be
    /// read, and for expressions that cannot be written as text. Everything else is for DynamoDB to reject.
    pub fn decode(&self, known: &Known<'_>) -> Result<Decoded, ApiError> {
        let mut body = Vec::with_capacity(512);
        let form = match &self.arguments {
            Arguments::Item(call) => call.write(self.operation, &self.options, known, &mut body)?,
            Arguments::Page(call) => call.write(self.operation, &self.options, known, &mut body)?,
            Arguments::GetBatch(batch) => batch.write(&self.options, known, &mut body)?,
            Arguments::WriteBatch(batch) => batch.write(&self.options, known, &mut body)?,
            Arguments::GetTransaction(transaction) => transaction.write(&self.options, known, &mut body)?,
            Arguments::WriteTransaction(transaction) => transaction.write(&self.options, known, &mut body)?,
        };
        check_size(&body)?;
        let (shows_capacity, shows_metrics) = (self.options.shows_capacity()?, self.options.shows_metrics()?);
        Ok(Decoded { operation: self.operation, body, shape: Shape { form, shows_capacity, shows_metrics } })
    }
}

impl Known<'_> {
    fn schema(&self, table: &str) -> Result<Arc<TableSchema>, ApiError> {
        (self.schema_of)(table)
            .ok_or_else(|| ApiError::new(ErrorCode::ResourceNotFound, "Requested resource not found"))
    }

    /// The part of a table's items that a projection leaves; the projection is added to the expressions.
    fn part<'a>(
        &self,
        table: &str,
        projection: Option<&'a [u8]>,
        expressions: &mut Expressions<'a>,
    ) -> Result<Part, ApiError> {
        let projection = projection.map(|code| expressions.add_projection(code)).transpose()?;
        Ok(Part { schema: self.schema(table)?, projection })
    }
}

/// Writes expressions with their names and values.
fn write_expressions(expressions: &Expressions<'_>, request: &mut Object<'_>) -> Result<(), ApiError> {
    expressions.write(request, |encoded, out| {
        value::write_json(&mut Reader::new(encoded), out).map_err(malformed)?;
        check_size(out)
    })
}

/// Checks that the JSON is not larger than any request may be.
fn check_size(body: &[u8]) -> Result<(), ApiError> {
    if body.len() <= value::JSON_BYTES_MAX { Ok(()) } else { Err(malformed(Malformed::TooLarge)) }
}

fn malformed(fault: Malformed) -> ApiError {
    error::of_request("request", fault)
}

fn table_name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ApiError> {
    let name = reader.bytes().map_err(malformed)?;
    str::from_utf8(name).map_err(|_| malformed(Malformed::Invalid("a table's name is not UTF-8")))
}

/// An item that may be `null` instead.
fn nullable<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if reader.take_null()? { Ok(None) } else { read(reader).map(Some) }
}

/// A truth value, or a number that is 0 or not: clients send either, depending on the method.
fn truth(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.peek()? {
        Kind::Int => Ok(reader.int()? != 0),
        _ => reader.bool(),
    }
}

/// The names of a list. Which of them are a list is checked when they get an id.
fn names<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, Malformed> {
    let mut elements = reader.array()?;
    let mut names = Vec::new();
    while elements.next(reader)? {
        if names.len() == NAMES_MAX {
            return Err(Malformed::Invalid("more names than an item has"));
        }
        names.push(reader.text()?);
    }
    Ok(names)
}
