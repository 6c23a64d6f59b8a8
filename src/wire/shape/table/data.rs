//! The operations that read and write items.

use crate::wire::shape::kind::*;

use super::parts::*;

// Operations on one item.

pub(super) const GET_ITEM: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("AttributesToGet", ATTRIBUTES_TO_GET),
    required("TableName", ITEM_TABLE),
    required("Key", VALUES),
    optional("ConsistentRead", BOOLEAN),
    optional("ProjectionExpression", TEXT),
    optional("ExpressionAttributeNames", NAMES),
];

pub(super) const PUT_ITEM: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required("TableName", ITEM_TABLE),
    required("Item", VALUES),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    optional("Expected", EXPECTED),
    optional("ReturnValues", RETURN_VALUES),
    optional("ReturnItemCollectionMetrics", RETURN_ITEM_COLLECTION_METRICS),
    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
    optional("ConditionExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

pub(super) const UPDATE_ITEM: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required("TableName", UPDATED_TABLE),
    optional("ReturnValues", RETURN_VALUES),
    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
    optional("ReturnItemCollectionMetrics", RETURN_ITEM_COLLECTION_METRICS),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    required("Key", VALUES),
    optional("Expected", EXPECTED),
    optional("AttributeUpdates", ATTRIBUTE_UPDATES),
    optional("ConditionExpression", TEXT),
    optional("UpdateExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

pub(super) const DELETE_ITEM: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required("TableName", ITEM_TABLE),
    optional("ReturnValues", DELETE_RETURN_VALUES),
    optional("ReturnItemCollectionMetrics", RETURN_ITEM_COLLECTION_METRICS),
    required("Key", VALUES),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    optional("Expected", EXPECTED),
    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
    optional("ConditionExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

// Operations on pages.

pub(super) const QUERY: &[Member] = &[
    optional("Select", SELECT),
    optional("IndexName", NAME),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("QueryFilter", CONDITIONS),
    required("TableName", ITEM_TABLE),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    optional("AttributesToGet", ATTRIBUTES_TO_GET),
    optional("Limit", bare_integer(1, i64::MAX)),
    optional("KeyConditions", CONDITIONS),
    optional("ExclusiveStartKey", VALUES),
    optional("ConsistentRead", BOOLEAN),
    optional("ScanIndexForward", BOOLEAN),
    optional("KeyConditionExpression", TEXT),
    optional("FilterExpression", TEXT),
    optional("ProjectionExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

pub(super) const SCAN: &[Member] = &[
    optional("Select", SELECT),
    optional("IndexName", NAME),
    optional("TotalSegments", integer(1, 1_000_000)),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required("TableName", ITEM_TABLE),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    optional("ScanFilter", CONDITIONS),
    optional("Segment", integer(0, 999_999)),
    optional("Limit", integer(1, i64::MAX)),
    optional("AttributesToGet", ATTRIBUTES_TO_GET),
    optional("ExclusiveStartKey", VALUES),
    optional("ConsistentRead", BOOLEAN),
    optional("FilterExpression", TEXT),
    optional("ProjectionExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

/// A member that no documentation tells of and nothing here reads; the service prints it with the others.
pub(super) const WORKLOAD_PROFILE: Member = optional("WorkloadProfileName", TEXT);

// Batches.

pub(super) const BATCH_GET_ITEM: &[Member] = &[
    required(
        "RequestItems",
        map_by_table(
            &structure(
                "KeysAndAttributes",
                &[
                    required("Keys", bare_list_of(1, 100, &VALUES)),
                    optional("AttributesToGet", ATTRIBUTES_TO_GET),
                    optional("ConsistentRead", BOOLEAN),
                    optional("ProjectionExpression", TEXT),
                    optional("ExpressionAttributeNames", NAMES),
                ],
            ),
            Tables { empty: Empty::TooShort, echo: Echo::Json, entry_max: None },
        ),
    ),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
];

pub(super) const BATCH_WRITE_ITEM: &[Member] = &[
    required(
        "RequestItems",
        map_by_table(
            &list(&structure(
                "WriteRequest",
                &[
                    optional(
                        "PutRequest",
                        structure("PutRequest", &[required("Item", VALUES), WORKLOAD_PROFILE]),
                    ),
                    optional(
                        "DeleteRequest",
                        structure("DeleteRequest", &[required("Key", VALUES), WORKLOAD_PROFILE]),
                    ),
                ],
            )),
            Tables {
                empty: Empty::Sentence("The requestItems parameter is required for BatchWriteItem"),
                echo: Echo::Java,
                entry_max: Some(25),
            },
        ),
    ),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("ReturnItemCollectionMetrics", RETURN_ITEM_COLLECTION_METRICS),
];

// Transactions.

pub(super) const TRANSACT_GET_ITEMS: &[Member] = &[
    required(
        "TransactItems",
        list_of(
            1,
            100,
            &structure(
                "TransactGetItem",
                &[required(
                    "Get",
                    structure(
                        "Get",
                        &[
                            required("Key", VALUES),
                            required("TableName", TRANSACTION_TABLE),
                            optional("ProjectionExpression", TEXT),
                            optional("ExpressionAttributeNames", NAMES),
                            WORKLOAD_PROFILE,
                        ],
                    ),
                )],
            ),
        ),
    ),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
];

pub(super) const TRANSACT_WRITE_ITEMS: &[Member] = &[
    required(
        "TransactItems",
        list_of(
            1,
            100,
            &structure_of_one(
                "TransactWriteItem",
                &[
                    optional(
                        "ConditionCheck",
                        structure(
                            "ConditionCheck",
                            &[
                                required("Key", VALUES),
                                required("TableName", TRANSACTION_TABLE),
                                required("ConditionExpression", TEXT),
                                optional("ExpressionAttributeNames", NAMES),
                                optional("ExpressionAttributeValues", VALUES),
                                optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
                                WORKLOAD_PROFILE,
                            ],
                        ),
                    ),
                    optional(
                        "Put",
                        structure(
                            "Put",
                            &[
                                required("Item", VALUES),
                                required("TableName", TRANSACTION_TABLE),
                                optional("ConditionExpression", TEXT),
                                optional("ExpressionAttributeNames", NAMES),
                                optional("ExpressionAttributeValues", VALUES),
                                optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
                                WORKLOAD_PROFILE,
                            ],
                        ),
                    ),
                    optional(
                        "Delete",
                        structure(
                            "Delete",
                            &[
                                required("Key", VALUES),
                                required("TableName", TRANSACTION_TABLE),
                                optional("ConditionExpression", TEXT),
                                optional("ExpressionAttributeNames", NAMES),
                                optional("ExpressionAttributeValues", VALUES),
                                optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
                                WORKLOAD_PROFILE,
                            ],
                        ),
                    ),
                    optional(
                        "Update",
                        structure(
                            "Update",
                            &[
                                required("Key", VALUES),
                                required("UpdateExpression", TEXT),
                                required("TableName", TRANSACTION_TABLE),
                                optional("ConditionExpression", TEXT),
                                optional("ExpressionAttributeNames", NAMES),
                                optional("ExpressionAttributeValues", VALUES),
                                optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
                                WORKLOAD_PROFILE,
                            ],
                        ),
                    ),
                ],
                Alternatives {
                    none: "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
                    several: "TransactItems can only contain one of Check, Put, Update or Delete",
                },
            ),
        ),
    ),
    optional("ClientRequestToken", CLIENT_REQUEST_TOKEN),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("ReturnItemCollectionMetrics", RETURN_ITEM_COLLECTION_METRICS),
];

// PartiQL.

pub(super) const STATEMENT: Kind = sized(1, 8192);
pub(super) const PARAMETERS: Kind = list_of(1, usize::MAX, &VALUE);

pub(super) const EXECUTE_STATEMENT: &[Member] = &[
    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
    optional("Limit", integer(1, i64::MAX)),
    required("Statement", STATEMENT),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("Parameters", PARAMETERS),
    optional("ConsistentRead", BOOLEAN),
    optional("NextToken", sized(1, 32768)),
];

pub(super) const BATCH_EXECUTE_STATEMENT: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required(
        "Statements",
        list_of(
            1,
            25,
            &structure_printed(
                "BatchStatementRequest",
                &[
                    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
                    required("Statement", STATEMENT),
                    optional("Parameters", PARAMETERS),
                    optional("ConsistentRead", BOOLEAN),
                ],
                &["Statement", "Parameters", "ConsistentRead", "ReturnValuesOnConditionCheckFailure"],
            ),
        ),
    ),
];

pub(super) const EXECUTE_TRANSACTION: &[Member] = &[
    optional("ClientRequestToken", CLIENT_REQUEST_TOKEN),
    required(
        "TransactStatements",
        list_of(
            1,
            100,
            &structure_printed(
                "ParameterizedStatement",
                &[
                    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
                    required("Statement", STATEMENT),
                    optional("Parameters", PARAMETERS),
                ],
                &["Statement", "Parameters", "ReturnValuesOnConditionCheckFailure"],
            ),
        ),
    ),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
];
