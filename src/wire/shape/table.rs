//! The table: which members each operation takes, of which kinds, within which limits.
//!
//! Members stand in the order in which the service judges them, where that is known, and fixed sets in the order in which
//! it prints them. What the service judges later and in other words (tags, backup ARNs, the presence of a
//! statement's table) has no limits here.

use crate::model::Operation;

use super::kind::*;

/// The members of an operation's input; `None` for one whose input is not known here.
pub(super) fn members(operation: Operation) -> Option<&'static [Member]> {
    Some(match operation {
        Operation::GetItem => GET_ITEM,
        Operation::BatchGetItem => BATCH_GET_ITEM,
        Operation::Query => QUERY,
        Operation::Scan => SCAN,
        Operation::TransactGetItems => TRANSACT_GET_ITEMS,
        Operation::PutItem => PUT_ITEM,
        Operation::UpdateItem => UPDATE_ITEM,
        Operation::DeleteItem => DELETE_ITEM,
        Operation::BatchWriteItem => BATCH_WRITE_ITEM,
        Operation::TransactWriteItems => TRANSACT_WRITE_ITEMS,
        Operation::ExecuteStatement => EXECUTE_STATEMENT,
        Operation::BatchExecuteStatement => BATCH_EXECUTE_STATEMENT,
        Operation::ExecuteTransaction => EXECUTE_TRANSACTION,
        Operation::CreateTable => CREATE_TABLE,
        Operation::UpdateTable => UPDATE_TABLE,
        Operation::DeleteTable | Operation::DescribeTable | Operation::DescribeTimeToLive => NAMED_TABLE,
        Operation::ListTables => LIST_TABLES,
        Operation::UpdateTimeToLive => UPDATE_TIME_TO_LIVE,
        Operation::DescribeEndpoints | Operation::DescribeLimits => &[],
        Operation::TagResource => TAG_RESOURCE,
        Operation::UntagResource => UNTAG_RESOURCE,
        Operation::ListTagsOfResource => LIST_TAGS_OF_RESOURCE,
        Operation::CreateBackup => CREATE_BACKUP,
        Operation::DeleteBackup | Operation::DescribeBackup => NAMED_BACKUP,
        Operation::ListBackups => LIST_BACKUPS,
        Operation::RestoreTableFromBackup => RESTORE_TABLE_FROM_BACKUP,
        Operation::RestoreTableToPointInTime => RESTORE_TABLE_TO_POINT_IN_TIME,
        Operation::DescribeContinuousBackups => REQUIRED_TABLE,
        Operation::DescribeKinesisStreamingDestination => REQUIRED_TABLE,
        Operation::DescribeTableReplicaAutoScaling => REQUIRED_TABLE,
        Operation::UpdateContinuousBackups => UPDATE_CONTINUOUS_BACKUPS,
        Operation::DescribeContributorInsights => DESCRIBE_CONTRIBUTOR_INSIGHTS,
        Operation::ListContributorInsights => LIST_CONTRIBUTOR_INSIGHTS,
        Operation::UpdateContributorInsights => UPDATE_CONTRIBUTOR_INSIGHTS,
        Operation::ExportTableToPointInTime => EXPORT_TABLE_TO_POINT_IN_TIME,
        Operation::DescribeExport => DESCRIBE_EXPORT,
        Operation::ListExports => LIST_EXPORTS,
        Operation::ImportTable => IMPORT_TABLE,
        Operation::DescribeImport => DESCRIBE_IMPORT,
        Operation::ListImports => LIST_IMPORTS,
        Operation::EnableKinesisStreamingDestination => KINESIS_STREAMING_DESTINATION,
        Operation::DisableKinesisStreamingDestination => KINESIS_STREAMING_DESTINATION,
        Operation::UpdateKinesisStreamingDestination => UPDATE_KINESIS_STREAMING_DESTINATION,
        Operation::GetResourcePolicy => GET_RESOURCE_POLICY,
        Operation::PutResourcePolicy => PUT_RESOURCE_POLICY,
        Operation::DeleteResourcePolicy => DELETE_RESOURCE_POLICY,
        Operation::DescribeGlobalTable | Operation::DescribeGlobalTableSettings => NAMED_GLOBAL_TABLE,
        Operation::ListStreams => LIST_STREAMS,
        Operation::DescribeStream => DESCRIBE_STREAM,
        Operation::GetShardIterator => GET_SHARD_ITERATOR,
        Operation::GetRecords => GET_RECORDS,
        Operation::StartBulkPutItems
        | Operation::CreateGlobalTable
        | Operation::UpdateGlobalTable
        | Operation::ListGlobalTables
        | Operation::UpdateGlobalTableSettings
        | Operation::UpdateTableReplicaAutoScaling
        | Operation::DescribeBulkOperation
        | Operation::ListBulkOperations
        | Operation::CancelBulkOperation
        | Operation::SearchVectors
        | Operation::Unknown => return None,
    })
}

// Names and other strings.

/// Names of tables, indexes and backups.
pub(super) const NAME_PATTERN: Pattern = Pattern {
    words: "[a-zA-Z0-9_.-]+",
    matches: |text| all(text, |byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)),
};

const ITEM_TABLE: Kind = Kind::TableName(TableNaming::Item);
const UPDATED_TABLE: Kind = Kind::TableName(TableNaming::Update);
const TRANSACTION_TABLE: Kind = Kind::TableName(TableNaming::Transaction);
const TABLE: Kind = Kind::TableName(TableNaming::Table);
const TARGET_TABLE: Kind = Kind::TableName(TableNaming::Sentence);
const NAME: Kind = like(3, 255, NAME_PATTERN);
const KEY_ATTRIBUTE_NAME: Kind = sized(1, 255);
const LONG_ARN: Kind = sized(37, 1024);
const CLIENT_REQUEST_TOKEN: Kind = sized(1, 36);
const CLIENT_TOKEN: Kind =
    like(0, usize::MAX, Pattern { words: "^[^\\$]+$", matches: |text| all(text, |byte| byte != b'$') });
const REVISION_ID: Kind = sized(1, 255);
const REGION: Kind = TEXT;

/// True for a text that is not empty and whose every byte is in the class.
fn all(text: &str, class: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(class)
}

// Fixed sets.

const RETURN_CONSUMED_CAPACITY: Kind = one_of(&["INDEXES", "TOTAL", "NONE"]);
const RETURN_ITEM_COLLECTION_METRICS: Kind = one_of(&["SIZE", "NONE"]);
const RETURN_VALUES_SET: &[&str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
/// The service's own words, its slip in the last but one included.
const RETURN_VALUES_REFUSAL: &str = "Failed to satisfy constraint: Member must satisfy enum value set: \
     [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]";
const RETURN_VALUES: Kind = refused_one_of(RETURN_VALUES_SET, RETURN_VALUES_REFUSAL, None);
/// A PutItem tells of one that it does not take only once it has judged its item.
const DELETE_RETURN_VALUES: Kind = refused_one_of(
    RETURN_VALUES_SET,
    RETURN_VALUES_REFUSAL,
    Some((&["ALL_OLD", "NONE"], "ReturnValues can only be ALL_OLD or NONE")),
);
const RETURN_VALUES_ON_FAILURE: Kind = one_of(&["ALL_OLD", "NONE"]);
const CONDITIONAL_OPERATOR: Kind = one_of(&["OR", "AND"]);
const COMPARISON_OPERATOR: Kind = one_of(&[
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
]);
const SELECT: Kind = one_of(&["SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"]);
const BILLING_MODE: Kind = one_of(&["PROVISIONED", "PAY_PER_REQUEST"]);
const TABLE_CLASS: Kind = one_of(&["STANDARD", "STANDARD_INFREQUENT_ACCESS"]);

// Items, keys and the parameters of expressions, old and new.

const VALUES: Kind = map(&VALUE);
const VALUE_LIST: Kind = list(&VALUE);
const ATTRIBUTE_NAME: Kind = sized(0, 65535);
const NAMES: Kind = map(&ATTRIBUTE_NAME);
const ATTRIBUTES_TO_GET: Kind = list_of(1, 255, &ATTRIBUTE_NAME);
const EXPECTED: Kind = map(&structure(
    "ExpectedAttributeValue",
    &[
        optional("AttributeValueList", VALUE_LIST),
        optional("ComparisonOperator", COMPARISON_OPERATOR),
        optional("Exists", BOOLEAN),
        optional("Value", VALUE),
    ],
));
const CONDITIONS: Kind = map(&structure(
    "Condition",
    &[optional("AttributeValueList", VALUE_LIST), required("ComparisonOperator", COMPARISON_OPERATOR)],
));
const ATTRIBUTE_UPDATES: Kind =
    map(&structure("AttributeValueUpdate", &[optional("Action", TEXT), optional("Value", VALUE)]));

// Operations on one item.

const GET_ITEM: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("AttributesToGet", ATTRIBUTES_TO_GET),
    required("TableName", ITEM_TABLE),
    required("Key", VALUES),
    optional("ConsistentRead", BOOLEAN),
    optional("ProjectionExpression", TEXT),
    optional("ExpressionAttributeNames", NAMES),
];

const PUT_ITEM: &[Member] = &[
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

const UPDATE_ITEM: &[Member] = &[
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required("TableName", UPDATED_TABLE),
    optional("ReturnValues", RETURN_VALUES),
    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
    optional("ReturnItemCollectionMetrics", RETURN_ITEM_COLLECTION_METRICS),
    required("Key", VALUES),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    optional("Expected", EXPECTED),
    optional("AttributeUpdates", ATTRIBUTE_UPDATES),
    optional("ConditionExpression", TEXT),
    optional("UpdateExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

const DELETE_ITEM: &[Member] = &[
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

const QUERY: &[Member] = &[
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

const SCAN: &[Member] = &[
    optional("Select", SELECT),
    optional("IndexName", NAME),
    optional("TotalSegments", bare_integer(1, 1_000_000)),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    required("TableName", ITEM_TABLE),
    optional("ConditionalOperator", CONDITIONAL_OPERATOR),
    optional("ScanFilter", CONDITIONS),
    optional("Segment", bare_integer(0, 999_999)),
    optional("Limit", bare_integer(1, i64::MAX)),
    optional("AttributesToGet", ATTRIBUTES_TO_GET),
    optional("ExclusiveStartKey", VALUES),
    optional("ConsistentRead", BOOLEAN),
    optional("FilterExpression", TEXT),
    optional("ProjectionExpression", TEXT),
    optional("ExpressionAttributeValues", VALUES),
    optional("ExpressionAttributeNames", NAMES),
];

/// A member that no documentation tells of and nothing here reads; the service prints it with the others.
const WORKLOAD_PROFILE: Member = optional("WorkloadProfileName", TEXT);

// Batches.

const BATCH_GET_ITEM: &[Member] = &[
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

const BATCH_WRITE_ITEM: &[Member] = &[
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

const TRANSACT_GET_ITEMS: &[Member] = &[
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

const TRANSACT_WRITE_ITEMS: &[Member] = &[
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

const STATEMENT: Kind = sized(1, 8192);
const PARAMETERS: Kind = list_of(1, usize::MAX, &VALUE);

const EXECUTE_STATEMENT: &[Member] = &[
    optional("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
    optional("Limit", integer(1, i64::MAX)),
    required("Statement", STATEMENT),
    optional("ReturnConsumedCapacity", RETURN_CONSUMED_CAPACITY),
    optional("Parameters", PARAMETERS),
    optional("ConsistentRead", BOOLEAN),
    optional("NextToken", sized(1, 32768)),
];

const BATCH_EXECUTE_STATEMENT: &[Member] = &[
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

const EXECUTE_TRANSACTION: &[Member] = &[
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

// Tables and indexes.

const CAPACITY_UNITS: Kind = number("Long", 1, i64::MAX);
const PROVISIONED_THROUGHPUT: Kind = structure(
    "ProvisionedThroughput",
    &[required("WriteCapacityUnits", CAPACITY_UNITS), required("ReadCapacityUnits", CAPACITY_UNITS)],
);
const ON_DEMAND_THROUGHPUT: Kind = structure(
    "OnDemandThroughput",
    &[optional("MaxReadRequestUnits", LONG), optional("MaxWriteRequestUnits", LONG)],
);
const WARM_THROUGHPUT: Kind = structure(
    "WarmThroughput",
    &[optional("ReadUnitsPerSecond", LONG), optional("WriteUnitsPerSecond", LONG)],
);
const ATTRIBUTE_DEFINITIONS: Kind = list(&structure(
    "AttributeDefinition",
    &[required("AttributeType", one_of(&["B", "N", "S"])), required("AttributeName", KEY_ATTRIBUTE_NAME)],
));
const KEY_SCHEMA_ELEMENT: Kind = structure(
    "KeySchemaElement",
    &[required("AttributeName", KEY_ATTRIBUTE_NAME), required("KeyType", one_of(&["HASH", "RANGE"]))],
);
const KEY_SCHEMA: Kind = list_named_alone(1, 2, &KEY_SCHEMA_ELEMENT);
/// A global index may have several partition and sort attributes; how many of each is judged with the index.
const INDEX_KEY_SCHEMA: Kind = list_named_alone(1, 8, &KEY_SCHEMA_ELEMENT);
const PROJECTION: Kind = structure(
    "Projection",
    &[
        optional("ProjectionType", one_of(&["ALL", "INCLUDE", "KEYS_ONLY"])),
        optional("NonKeyAttributes", list_of(1, usize::MAX, &KEY_ATTRIBUTE_NAME)),
    ],
);
const LOCAL_SECONDARY_INDEXES: Kind = list(&structure(
    "LocalSecondaryIndex",
    &[required("IndexName", NAME), required("KeySchema", KEY_SCHEMA), required("Projection", PROJECTION)],
));
const GLOBAL_SECONDARY_INDEXES: Kind = list(&structure(
    "GlobalSecondaryIndex",
    &[
        required("IndexName", NAME),
        required("KeySchema", INDEX_KEY_SCHEMA),
        required("Projection", PROJECTION),
        optional("ProvisionedThroughput", PROVISIONED_THROUGHPUT),
        optional("OnDemandThroughput", ON_DEMAND_THROUGHPUT),
        optional("WarmThroughput", WARM_THROUGHPUT),
    ],
));
const STREAM_SPECIFICATION: Kind = structure(
    "StreamSpecification",
    &[
        required("StreamEnabled", BOOLEAN),
        optional("StreamViewType", one_of(&["OLD_IMAGE", "KEYS_ONLY", "NEW_AND_OLD_IMAGES", "NEW_IMAGE"])),
    ],
);
const SSE_SPECIFICATION: Kind = structure(
    "SSESpecification",
    &[
        optional("Enabled", BOOLEAN),
        optional("SSEType", one_of(&["AES256", "KMS"])),
        optional("KMSMasterKeyId", sized(1, usize::MAX)),
    ],
);
const TAGS: Kind =
    list(&structure("Tag", &[optional("Key", sized(0, 128)), optional("Value", sized(0, 256))]));
const SETTINGS_REPLICATION_MODE: Kind = one_of(&["ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"]);

const CREATE_TABLE: &[Member] = &[
    required("AttributeDefinitions", ATTRIBUTE_DEFINITIONS),
    parameter("TableName", TABLE),
    optional("BillingMode", BILLING_MODE),
    optional("ProvisionedThroughput", PROVISIONED_THROUGHPUT),
    required("KeySchema", KEY_SCHEMA),
    optional("GlobalSecondaryIndexes", GLOBAL_SECONDARY_INDEXES),
    optional("LocalSecondaryIndexes", LOCAL_SECONDARY_INDEXES),
    optional("StreamSpecification", STREAM_SPECIFICATION),
    optional("SSESpecification", SSE_SPECIFICATION),
    optional("Tags", TAGS),
    optional("TableClass", TABLE_CLASS),
    optional("DeletionProtectionEnabled", BOOLEAN),
    optional("WarmThroughput", WARM_THROUGHPUT),
    optional("ResourcePolicy", TEXT),
    optional("OnDemandThroughput", ON_DEMAND_THROUGHPUT),
    optional("GlobalTableSourceArn", TEXT),
    optional("GlobalTableSettingsReplicationMode", SETTINGS_REPLICATION_MODE),
];

const UPDATE_TABLE: &[Member] = &[
    parameter("TableName", TABLE),
    optional("ProvisionedThroughput", PROVISIONED_THROUGHPUT),
    optional("BillingMode", BILLING_MODE),
    optional("AttributeDefinitions", ATTRIBUTE_DEFINITIONS),
    optional("GlobalSecondaryIndexUpdates", list(&GLOBAL_SECONDARY_INDEX_UPDATE)),
    optional("StreamSpecification", STREAM_SPECIFICATION),
    optional("SSESpecification", SSE_SPECIFICATION),
    optional("ReplicaUpdates", list_of(1, usize::MAX, &REPLICA_UPDATE)),
    optional("TableClass", TABLE_CLASS),
    optional("DeletionProtectionEnabled", BOOLEAN),
    optional("MultiRegionConsistency", one_of(&["EVENTUAL", "STRONG"])),
    optional("GlobalTableWitnessUpdates", list_of(1, 1, &WITNESS_UPDATE)),
    optional("OnDemandThroughput", ON_DEMAND_THROUGHPUT),
    optional("WarmThroughput", WARM_THROUGHPUT),
    optional("GlobalTableSettingsReplicationMode", SETTINGS_REPLICATION_MODE),
];

const GLOBAL_SECONDARY_INDEX_UPDATE: Kind = structure(
    "GlobalSecondaryIndexUpdate",
    &[
        optional(
            "Update",
            structure(
                "UpdateGlobalSecondaryIndexAction",
                &[
                    required("IndexName", NAME),
                    required_without(
                        &["OnDemandThroughput", "WarmThroughput"],
                        "ProvisionedThroughput",
                        PROVISIONED_THROUGHPUT,
                    ),
                    optional("OnDemandThroughput", ON_DEMAND_THROUGHPUT),
                    optional("WarmThroughput", WARM_THROUGHPUT),
                ],
            ),
        ),
        optional(
            "Create",
            structure(
                "CreateGlobalSecondaryIndexAction",
                &[
                    required("Projection", PROJECTION),
                    required("IndexName", NAME),
                    optional("ProvisionedThroughput", PROVISIONED_THROUGHPUT),
                    required("KeySchema", INDEX_KEY_SCHEMA),
                    optional("OnDemandThroughput", ON_DEMAND_THROUGHPUT),
                    optional("WarmThroughput", WARM_THROUGHPUT),
                ],
            ),
        ),
        optional("Delete", structure("DeleteGlobalSecondaryIndexAction", &[required("IndexName", NAME)])),
    ],
);

const REPLICA_MEMBERS: &[Member] = &[
    required("RegionName", REGION),
    optional("KMSMasterKeyId", TEXT),
    optional("ProvisionedThroughputOverride", THROUGHPUT_OVERRIDE),
    optional("OnDemandThroughputOverride", ON_DEMAND_OVERRIDE),
    optional(
        "GlobalSecondaryIndexes",
        list_of(
            1,
            usize::MAX,
            &structure(
                "ReplicaGlobalSecondaryIndex",
                &[
                    required("IndexName", NAME),
                    optional("ProvisionedThroughputOverride", THROUGHPUT_OVERRIDE),
                    optional("OnDemandThroughputOverride", ON_DEMAND_OVERRIDE),
                ],
            ),
        ),
    ),
    optional("TableClassOverride", TABLE_CLASS),
];
const THROUGHPUT_OVERRIDE: Kind =
    structure("ProvisionedThroughputOverride", &[optional("ReadCapacityUnits", CAPACITY_UNITS)]);
const ON_DEMAND_OVERRIDE: Kind =
    structure("OnDemandThroughputOverride", &[optional("MaxReadRequestUnits", LONG)]);
const REPLICA_UPDATE: Kind = structure(
    "ReplicationGroupUpdate",
    &[
        optional("Create", structure("CreateReplicationGroupMemberAction", REPLICA_MEMBERS)),
        optional("Update", structure("UpdateReplicationGroupMemberAction", REPLICA_MEMBERS)),
        optional(
            "Delete",
            structure("DeleteReplicationGroupMemberAction", &[required("RegionName", REGION)]),
        ),
    ],
);
const WITNESS_UPDATE: Kind = structure(
    "GlobalTableWitnessGroupUpdate",
    &[
        optional(
            "Create",
            structure("CreateGlobalTableWitnessGroupMemberAction", &[required("RegionName", REGION)]),
        ),
        optional(
            "Delete",
            structure("DeleteGlobalTableWitnessGroupMemberAction", &[required("RegionName", REGION)]),
        ),
    ],
);

const NAMED_TABLE: &[Member] = &[parameter("TableName", TABLE)];
const REQUIRED_TABLE: &[Member] = &[required("TableName", TABLE)];
const NAMED_GLOBAL_TABLE: &[Member] = &[required("GlobalTableName", TARGET_TABLE)];
const LIST_TABLES: &[Member] =
    &[optional("ExclusiveStartTableName", NAME), optional("Limit", integer(1, 100))];

const UPDATE_TIME_TO_LIVE: &[Member] = &[
    parameter("TableName", TABLE),
    required(
        "TimeToLiveSpecification",
        structure(
            "TimeToLiveSpecification",
            &[required("AttributeName", sized(1, 255)), required("Enabled", BOOLEAN)],
        ),
    ),
];

// Tags and policies. A resource that is missing or strange is refused in sentences of the operations' own.

const TAG_RESOURCE: &[Member] = &[optional("ResourceArn", TEXT), optional("Tags", TAGS)];
const UNTAG_RESOURCE: &[Member] = &[optional("ResourceArn", TEXT), optional("TagKeys", list(&sized(0, 128)))];
const LIST_TAGS_OF_RESOURCE: &[Member] = &[optional("ResourceArn", TEXT), optional("NextToken", TEXT)];

const GET_RESOURCE_POLICY: &[Member] = &[required("ResourceArn", sized(1, 1283))];
const PUT_RESOURCE_POLICY: &[Member] = &[
    required("ResourceArn", sized(1, 1283)),
    required("Policy", TEXT),
    optional("ExpectedRevisionId", REVISION_ID),
    optional("ConfirmRemoveSelfResourceAccess", BOOLEAN),
];
const DELETE_RESOURCE_POLICY: &[Member] =
    &[required("ResourceArn", sized(1, 1283)), optional("ExpectedRevisionId", REVISION_ID)];

// Backups. A backup's ARN is refused in the operations' own words.

const CREATE_BACKUP: &[Member] = &[required("TableName", TABLE), required("BackupName", NAME)];
const NAMED_BACKUP: &[Member] = &[required("BackupArn", TEXT)];
const LIST_BACKUPS: &[Member] = &[
    optional("TableName", TABLE),
    optional("Limit", integer(1, 100)),
    optional("TimeRangeLowerBound", DATE),
    optional("TimeRangeUpperBound", DATE),
    optional("ExclusiveStartBackupArn", LONG_ARN),
    optional("BackupType", one_of(&["USER", "SYSTEM", "AWS_BACKUP", "ALL"])),
];
const RESTORE_TABLE_FROM_BACKUP: &[Member] = &[
    required("TargetTableName", TARGET_TABLE),
    required("BackupArn", TEXT),
    optional("BillingModeOverride", BILLING_MODE),
    optional("GlobalSecondaryIndexOverride", GLOBAL_SECONDARY_INDEXES),
    optional("LocalSecondaryIndexOverride", LOCAL_SECONDARY_INDEXES),
    optional("ProvisionedThroughputOverride", PROVISIONED_THROUGHPUT),
    optional("OnDemandThroughputOverride", ON_DEMAND_THROUGHPUT),
    optional("SSESpecificationOverride", SSE_SPECIFICATION),
];
const RESTORE_TABLE_TO_POINT_IN_TIME: &[Member] = &[
    optional("SourceTableArn", TEXT),
    optional("SourceTableName", TARGET_TABLE),
    required("TargetTableName", TARGET_TABLE),
    optional("UseLatestRestorableTime", BOOLEAN),
    optional("RestoreDateTime", DATE),
    optional("BillingModeOverride", BILLING_MODE),
    optional("GlobalSecondaryIndexOverride", GLOBAL_SECONDARY_INDEXES),
    optional("LocalSecondaryIndexOverride", LOCAL_SECONDARY_INDEXES),
    optional("ProvisionedThroughputOverride", PROVISIONED_THROUGHPUT),
    optional("OnDemandThroughputOverride", ON_DEMAND_THROUGHPUT),
    optional("SSESpecificationOverride", SSE_SPECIFICATION),
];
const UPDATE_CONTINUOUS_BACKUPS: &[Member] = &[
    required("TableName", TABLE),
    required(
        "PointInTimeRecoverySpecification",
        structure(
            "PointInTimeRecoverySpecification",
            &[
                required("PointInTimeRecoveryEnabled", BOOLEAN),
                optional("RecoveryPeriodInDays", integer(1, 35)),
            ],
        ),
    ),
];

// Contributor insights, exports, imports and streams into Kinesis.

const DESCRIBE_CONTRIBUTOR_INSIGHTS: &[Member] = &[required("TableName", TABLE), optional("IndexName", NAME)];
const LIST_CONTRIBUTOR_INSIGHTS: &[Member] = &[
    optional("TableName", TABLE),
    optional("NextToken", TEXT),
    optional("MaxResults", integer(i64::MIN, 100)),
];
const UPDATE_CONTRIBUTOR_INSIGHTS: &[Member] = &[
    required("TableName", TABLE),
    optional("IndexName", NAME),
    required("ContributorInsightsAction", one_of(&["ENABLE", "DISABLE"])),
    optional("ContributorInsightsMode", one_of(&["THROTTLED_KEYS", "ACCESSED_AND_THROTTLED_KEYS"])),
];

const S3_BUCKET: Kind = like(
    0,
    255,
    Pattern {
        words: "^[a-z0-9A-Z]+[\\.\\-\\w]*[a-z0-9A-Z]+$",
        matches: |text| {
            let bytes = text.as_bytes();
            let end_is_plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            bytes.len() >= 2
                && end_is_plain(bytes.first())
                && end_is_plain(bytes.last())
                && all(text, |byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        },
    },
);
const S3_BUCKET_OWNER: Kind = like(
    0,
    usize::MAX,
    Pattern {
        words: "[0-9]{12}",
        matches: |text| text.len() == 12 && all(text, |byte| byte.is_ascii_digit()),
    },
);
const S3_PREFIX: Kind = sized(0, 1024);

const EXPORT_TABLE_TO_POINT_IN_TIME: &[Member] = &[
    required("TableArn", TEXT),
    required("S3Bucket", S3_BUCKET),
    optional("ExportTime", DATE),
    optional("ClientToken", CLIENT_TOKEN),
    optional("S3BucketOwner", S3_BUCKET_OWNER),
    optional("S3Prefix", S3_PREFIX),
    optional("S3SseAlgorithm", one_of(&["AES256", "KMS"])),
    optional("S3SseKmsKeyId", sized(1, 2048)),
    optional("ExportFormat", one_of(&["DYNAMODB_JSON", "ION"])),
    optional("ExportType", one_of(&["FULL_EXPORT", "INCREMENTAL_EXPORT"])),
    optional(
        "IncrementalExportSpecification",
        structure(
            "IncrementalExportSpecification",
            &[
                optional("ExportFromTime", DATE),
                optional("ExportToTime", DATE),
                optional("ExportViewType", one_of(&["NEW_IMAGE", "NEW_AND_OLD_IMAGES"])),
            ],
        ),
    ),
];
const DESCRIBE_EXPORT: &[Member] = &[required("ExportArn", LONG_ARN)];
const LIST_EXPORTS: &[Member] =
    &[optional("TableArn", TEXT), optional("MaxResults", integer(1, 25)), optional("NextToken", TEXT)];

const IMPORT_TABLE: &[Member] = &[
    optional("ClientToken", CLIENT_TOKEN),
    required(
        "S3BucketSource",
        structure(
            "S3BucketSource",
            &[
                optional("S3BucketOwner", S3_BUCKET_OWNER),
                required("S3Bucket", S3_BUCKET),
                optional("S3KeyPrefix", S3_PREFIX),
            ],
        ),
    ),
    required("InputFormat", one_of(&["DYNAMODB_JSON", "ION", "CSV"])),
    optional(
        "InputFormatOptions",
        structure(
            "InputFormatOptions",
            &[optional(
                "Csv",
                structure(
                    "CsvOptions",
                    &[
                        optional("Delimiter", sized(1, 1)),
                        optional("HeaderList", list_of(1, 255, &sized(1, 65536))),
                    ],
                ),
            )],
        ),
    ),
    optional("InputCompressionType", one_of(&["GZIP", "ZSTD", "NONE"])),
    required(
        "TableCreationParameters",
        structure(
            "TableCreationParameters",
            &[
                required("TableName", TABLE),
                required("AttributeDefinitions", ATTRIBUTE_DEFINITIONS),
                required("KeySchema", KEY_SCHEMA),
                optional("BillingMode", BILLING_MODE),
                optional("ProvisionedThroughput", PROVISIONED_THROUGHPUT),
                optional("OnDemandThroughput", ON_DEMAND_THROUGHPUT),
                optional("SSESpecification", SSE_SPECIFICATION),
                optional("GlobalSecondaryIndexes", GLOBAL_SECONDARY_INDEXES),
            ],
        ),
    ),
];
const DESCRIBE_IMPORT: &[Member] = &[required("ImportArn", LONG_ARN)];
const LIST_IMPORTS: &[Member] = &[
    optional("TableArn", TEXT),
    optional("PageSize", integer(1, 25)),
    optional("NextToken", sized(112, 1024)),
];

const TIME_PRECISION: &[Member] =
    &[optional("ApproximateCreationDateTimePrecision", one_of(&["MILLISECOND", "MICROSECOND"]))];
const KINESIS_STREAMING_DESTINATION: &[Member] = &[
    required("TableName", TABLE),
    required("StreamArn", LONG_ARN),
    optional(
        "EnableKinesisStreamingConfiguration",
        structure("EnableKinesisStreamingConfiguration", TIME_PRECISION),
    ),
];
const UPDATE_KINESIS_STREAMING_DESTINATION: &[Member] = &[
    required("TableName", TABLE),
    required("StreamArn", LONG_ARN),
    optional(
        "UpdateKinesisStreamingConfiguration",
        structure("UpdateKinesisStreamingConfiguration", TIME_PRECISION),
    ),
];

// DynamoDB Streams.

const SHARD_ID: Kind = sized(28, 65);

const LIST_STREAMS: &[Member] = &[
    optional("TableName", TABLE),
    optional("Limit", integer(1, 100)),
    optional("ExclusiveStartStreamArn", LONG_ARN),
];
const DESCRIBE_STREAM: &[Member] = &[
    required("StreamArn", LONG_ARN),
    optional("Limit", integer(1, 100)),
    optional("ExclusiveStartShardId", SHARD_ID),
    optional(
        "ShardFilter",
        structure(
            "ShardFilter",
            &[optional("Type", one_of(&["CHILD_SHARDS"])), optional("ShardId", SHARD_ID)],
        ),
    ),
];
const GET_SHARD_ITERATOR: &[Member] = &[
    required("StreamArn", LONG_ARN),
    required("ShardId", SHARD_ID),
    required(
        "ShardIteratorType",
        one_of(&["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"]),
    ),
    optional("SequenceNumber", sized(21, 40)),
];
const GET_RECORDS: &[Member] =
    &[required("ShardIterator", sized(1, 2048)), optional("Limit", integer(1, 1000))];
