//! The methods of the protocol: their ids, and how many items follow each.

use crate::model::Operation;

/// The id of the one service, which comes before the id of the method in every request.
pub const SERVICE: i64 = 1;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Credentials for the connection; never answered.
    AuthorizeConnection,
    /// Which nodes there are; also the clients' health check.
    Endpoints,
    /// The key attributes of a table.
    DefineKeySchema,
    /// The id of a list of attribute names.
    DefineAttributeListId,
    /// The list of attribute names of an id.
    DefineAttributeList,
    /// DynamoDB's GetItem.
    GetItem,
    /// DynamoDB's PutItem.
    PutItem,
    /// DynamoDB's UpdateItem.
    UpdateItem,
    /// DynamoDB's DeleteItem.
    DeleteItem,
    /// DynamoDB's Query.
    Query,
    /// DynamoDB's Scan.
    Scan,
    /// DynamoDB's BatchGetItem.
    BatchGetItem,
    /// DynamoDB's BatchWriteItem.
    BatchWriteItem,
    /// DynamoDB's TransactGetItems.
    TransactGetItems,
    /// DynamoDB's TransactWriteItems.
    TransactWriteItems,
}

/// Each method with its id and the number of items behind the id.
///
/// The clients know eight ids more, of operations on tables and of two lists. None of them ever sends one, and how many items would
/// follow is not known.
const TABLE: [(Method, i64, u64); 15] = {
    use Method::*;
    [
        (AuthorizeConnection, 1_489_122_155, 5),
        (Endpoints, 455_855_874, 0),
        (DefineKeySchema, -742_646_399, 1),
        (DefineAttributeListId, -1_230_579_644, 1),
        (DefineAttributeList, 670_678_385, 1),
        (GetItem, 263_244_906, 3),
        (PutItem, -2_106_490_455, 4),
        (UpdateItem, 1_425_579_023, 3),
        (DeleteItem, 1_013_539_361, 3),
        (Query, -931_250_863, 3),
        (Scan, -1_875_390_620, 2),
        (BatchGetItem, -697_851_100, 2),
        (BatchWriteItem, 116_217_951, 2),
        (TransactGetItems, 1_866_287_579, 4),
        (TransactWriteItems, -1_160_037_738, 9),
    ]
};

impl Method {
    /// The method of that id; `None` for an id that no client sends, after which the length of the request is unknown.
    pub fn of_id(id: i64) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    /// How many CBOR items follow the id.
    pub fn arguments(self) -> u64 {
        TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.2)
    }

    /// The operation of DynamoDB that it is; `None` for what concerns only the protocol.
    pub fn operation(self) -> Option<Operation> {
        match self {
            Self::AuthorizeConnection
            | Self::Endpoints
            | Self::DefineKeySchema
            | Self::DefineAttributeListId
            | Self::DefineAttributeList => None,
            Self::GetItem => Some(Operation::GetItem),
            Self::PutItem => Some(Operation::PutItem),
            Self::UpdateItem => Some(Operation::UpdateItem),
            Self::DeleteItem => Some(Operation::DeleteItem),
            Self::Query => Some(Operation::Query),
            Self::Scan => Some(Operation::Scan),
            Self::BatchGetItem => Some(Operation::BatchGetItem),
            Self::BatchWriteItem => Some(Operation::BatchWriteItem),
            Self::TransactGetItems => Some(Operation::TransactGetItems),
            Self::TransactWriteItems => Some(Operation::TransactWriteItems),
        }
    }

    /// The name, for logs and metrics: that of the operation, or the protocol's own.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizeConnection => "authorizeConnection",
            Self::Endpoints => "endpoints",
            Self::DefineKeySchema => "defineKeySchema",
            Self::DefineAttributeListId => "defineAttributeListId",
            Self::DefineAttributeList => "defineAttributeList",
            Self::GetItem
            | Self::PutItem
            | Self::UpdateItem
            | Self::DeleteItem
            | Self::Query
            | Self::Scan
            | Self::BatchGetItem
            | Self::BatchWriteItem
            | Self::TransactGetItems
            | Self::TransactWriteItems => self.operation().map_or("", Operation::name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_id_and_named() {
        for (method, id, arguments) in TABLE {
            assert_eq!(Method::of_id(id), Some(method));
            assert_eq!(method.arguments(), arguments);
            assert!(!method.name().is_empty());
        }
        assert_eq!(Method::of_id(1), None);
        // createTable, which the clients refuse to send.
        assert_eq!(Method::of_id(-313_431_286), None);
    }
}
