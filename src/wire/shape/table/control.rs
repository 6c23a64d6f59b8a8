//! The operations on tables themselves and on what belongs to them: tags, policies, backups, exports, streams.

use crate::wire::shape::kind::*;

use super::parts::*;

// Tables and indexes.

pub(super) const CAPACITY_UNITS: Kind = number("Long", 1, i64::MAX);
pub(super) const PROVISIONED_THROUGHPUT: Kind = structure(
    "ProvisionedThroughput",
    &[required("WriteCapacityUnits", CAPACITY_UNITS), required("ReadCapacityUnits", CAPACITY_UNITS)],
);
pub(super) const ON_DEMAND_THROUGHPUT: Kind = structure(
    "OnDemandThroughput",
    &[optional("MaxReadRequestUnits", LONG), optional("MaxWriteRequestUnits", LONG)],
);
pub(super) const WARM_THROUGHPUT: Kind = structure(
    "WarmThroughput",
    &[optional("ReadUnitsPerSecond", LONG), optional("WriteUnitsPerSecond", LONG)],
);
pub(super) const ATTRIBUTE_DEFINITIONS: Kind = list(&structure(
    "AttributeDefinition",
    &[required("AttributeType", one_of(&["B", "N", "S"])), required("AttributeName", KEY_ATTRIBUTE_NAME)],
));
pub(super) const KEY_SCHEMA_ELEMENT: Kind = structure(
    "KeySchemaElement",
    &[required("AttributeName", KEY_ATTRIBUTE_NAME), required("KeyType", one_of(&["HASH", "RANGE"]))],
);
pub(super) const KEY_SCHEMA: Kind = list_named_alone(1, 2, &KEY_SCHEMA_ELEMENT);
/// A global index may have several partition and sort attributes; how many of each is judged with the index.
pub(super) const INDEX_KEY_SCHEMA: Kind = list_named_alone(1, 8, &KEY_SCHEMA_ELEMENT);
pub(super) const PROJECTION: Kind = structure(
    "Projection",
    &[
        optional("ProjectionType", one_of(&["ALL", "INCLUDE", "KEYS_ONLY"])),
        optional("NonKeyAttributes", list_of(1, usize::MAX, &KEY_ATTRIBUTE_NAME)),
    ],
);
pub(super) const LOCAL_SECONDARY_INDEXES: Kind = list(&structure(
    "LocalSecondaryIndex",
    &[required("IndexName", NAME), required("KeySchema", KEY_SCHEMA), required("Projection", PROJECTION)],
));
pub(super) const GLOBAL_SECONDARY_INDEXES: Kind = list(&structure(
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
pub(super) const STREAM_SPECIFICATION: Kind = structure(
    "StreamSpecification",
    &[
        required("StreamEnabled", BOOLEAN),
        optional("StreamViewType", one_of(&["OLD_IMAGE", "KEYS_ONLY", "NEW_AND_OLD_IMAGES", "NEW_IMAGE"])),
    ],
);
pub(super) const SSE_SPECIFICATION: Kind = structure(
    "SSESpecification",
    &[
        optional("Enabled", BOOLEAN),
        optional("SSEType", one_of(&["AES256", "KMS"])),
        optional("KMSMasterKeyId", sized(1, usize::MAX)),
    ],
);
/// What a tag may hold, the operations check in sentences of their own.
pub(super) const TAGS: Kind = list(&structure("Tag", &[optional("Key", TEXT), optional("Value", TEXT)]));
pub(super) const SETTINGS_REPLICATION_MODE: Kind = one_of(&["ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES"]);

pub(super) const CREATE_TABLE: &[Member] = &[
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

pub(super) const UPDATE_TABLE: &[Member] = &[
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

pub(super) const GLOBAL_SECONDARY_INDEX_UPDATE: Kind = structure(
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

pub(super) const REPLICA_MEMBERS: &[Member] = &[
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
pub(super) const THROUGHPUT_OVERRIDE: Kind =
    structure("ProvisionedThroughputOverride", &[optional("ReadCapacityUnits", CAPACITY_UNITS)]);
pub(super) const ON_DEMAND_OVERRIDE: Kind =
    structure("OnDemandThroughputOverride", &[optional("MaxReadRequestUnits", LONG)]);
pub(super) const REPLICA_UPDATE: Kind = structure(
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
pub(super) const WITNESS_UPDATE: Kind = structure(
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

pub(super) const NAMED_TABLE: &[Member] = &[parameter("TableName", TABLE)];
pub(super) const REQUIRED_TABLE: &[Member] = &[required("TableName", TABLE)];
pub(super) const NAMED_GLOBAL_TABLE: &[Member] = &[required("GlobalTableName", TARGET_TABLE)];
pub(super) const LIST_TABLES: &[Member] =
    &[optional("ExclusiveStartTableName", NAME), optional("Limit", integer(1, 100))];

pub(super) const UPDATE_TIME_TO_LIVE: &[Member] = &[
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

pub(super) const TAG_RESOURCE: &[Member] = &[optional("ResourceArn", TEXT), optional("Tags", TAGS)];
pub(super) const UNTAG_RESOURCE: &[Member] =
    &[optional("ResourceArn", TEXT), optional("TagKeys", list(&TEXT))];
pub(super) const LIST_TAGS_OF_RESOURCE: &[Member] =
    &[optional("ResourceArn", TEXT), optional("NextToken", TEXT)];

pub(super) const GET_RESOURCE_POLICY: &[Member] = &[required("ResourceArn", sized(1, 1283))];
pub(super) const PUT_RESOURCE_POLICY: &[Member] = &[
    required("ResourceArn", sized(1, 1283)),
    required("Policy", TEXT),
    optional("ExpectedRevisionId", REVISION_ID),
    optional("ConfirmRemoveSelfResourceAccess", BOOLEAN),
];
pub(super) const DELETE_RESOURCE_POLICY: &[Member] =
    &[required("ResourceArn", sized(1, 1283)), optional("ExpectedRevisionId", REVISION_ID)];

// Backups. A backup's ARN is refused in the operations' own words.

pub(super) const CREATE_BACKUP: &[Member] = &[required("TableName", TABLE), required("BackupName", NAME)];
pub(super) const NAMED_BACKUP: &[Member] = &[required("BackupArn", TEXT)];
pub(super) const LIST_BACKUPS: &[Member] = &[
    optional("TableName", TABLE),
    optional("Limit", integer(1, 100)),
    optional("TimeRangeLowerBound", DATE),
    optional("TimeRangeUpperBound", DATE),
    optional("ExclusiveStartBackupArn", LONG_ARN),
    optional("BackupType", one_of(&["USER", "SYSTEM", "AWS_BACKUP", "ALL"])),
];
pub(super) const RESTORE_TABLE_FROM_BACKUP: &[Member] = &[
    required("TargetTableName", TARGET_TABLE),
    required("BackupArn", TEXT),
    optional("BillingModeOverride", BILLING_MODE),
    optional("GlobalSecondaryIndexOverride", GLOBAL_SECONDARY_INDEXES),
    optional("LocalSecondaryIndexOverride", LOCAL_SECONDARY_INDEXES),
    optional("ProvisionedThroughputOverride", PROVISIONED_THROUGHPUT),
    optional("OnDemandThroughputOverride", ON_DEMAND_THROUGHPUT),
    optional("SSESpecificationOverride", SSE_SPECIFICATION),
];
pub(super) const RESTORE_TABLE_TO_POINT_IN_TIME: &[Member] = &[
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
pub(super) const UPDATE_CONTINUOUS_BACKUPS: &[Member] = &[
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

pub(super) const DESCRIBE_CONTRIBUTOR_INSIGHTS: &[Member] =
    &[required("TableName", TABLE), optional("IndexName", NAME)];
pub(super) const LIST_CONTRIBUTOR_INSIGHTS: &[Member] = &[
    optional("TableName", TABLE),
    optional("NextToken", TEXT),
    optional("MaxResults", integer(i64::MIN, 100)),
];
pub(super) const UPDATE_CONTRIBUTOR_INSIGHTS: &[Member] = &[
    required("TableName", TABLE),
    optional("IndexName", NAME),
    required("ContributorInsightsAction", one_of(&["ENABLE", "DISABLE"])),
    optional("ContributorInsightsMode", one_of(&["THROTTLED_KEYS", "ACCESSED_AND_THROTTLED_KEYS"])),
];

pub(super) const S3_BUCKET: Kind = like(
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
pub(super) const S3_BUCKET_OWNER: Kind = like(
    0,
    usize::MAX,
    Pattern {
        words: "[0-9]{12}",
        matches: |text| text.len() == 12 && all(text, |byte| byte.is_ascii_digit()),
    },
);
pub(super) const S3_PREFIX: Kind = sized(0, 1024);

pub(super) const EXPORT_TABLE_TO_POINT_IN_TIME: &[Member] = &[
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
pub(super) const DESCRIBE_EXPORT: &[Member] = &[required("ExportArn", LONG_ARN)];
pub(super) const LIST_EXPORTS: &[Member] =
    &[optional("TableArn", TEXT), optional("MaxResults", integer(1, 25)), optional("NextToken", TEXT)];

pub(super) const IMPORT_TABLE: &[Member] = &[
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
pub(super) const DESCRIBE_IMPORT: &[Member] = &[required("ImportArn", LONG_ARN)];
pub(super) const LIST_IMPORTS: &[Member] = &[
    optional("TableArn", TEXT),
    optional("PageSize", integer(1, 25)),
    optional("NextToken", sized(112, 1024)),
];

pub(super) const TIME_PRECISION: &[Member] =
    &[optional("ApproximateCreationDateTimePrecision", one_of(&["MILLISECOND", "MICROSECOND"]))];
pub(super) const KINESIS_STREAMING_DESTINATION: &[Member] = &[
    required("TableName", TABLE),
    required("StreamArn", LONG_ARN),
    optional(
        "EnableKinesisStreamingConfiguration",
        structure("EnableKinesisStreamingConfiguration", TIME_PRECISION),
    ),
];
pub(super) const UPDATE_KINESIS_STREAMING_DESTINATION: &[Member] = &[
    required("TableName", TABLE),
    required("StreamArn", LONG_ARN),
    optional(
        "UpdateKinesisStreamingConfiguration",
        structure("UpdateKinesisStreamingConfiguration", TIME_PRECISION),
    ),
];

// DynamoDB Streams.

pub(super) const SHARD_ID: Kind = sized(28, 65);

pub(super) const LIST_STREAMS: &[Member] = &[
    optional("TableName", TABLE),
    optional("Limit", integer(1, 100)),
    optional("ExclusiveStartStreamArn", LONG_ARN),
];
pub(super) const DESCRIBE_STREAM: &[Member] = &[
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
pub(super) const GET_SHARD_ITERATOR: &[Member] = &[
    required("StreamArn", LONG_ARN),
    required("ShardId", SHARD_ID),
    required(
        "ShardIteratorType",
        one_of(&["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"]),
    ),
    optional("SequenceNumber", sized(21, 40)),
];
pub(super) const GET_RECORDS: &[Member] =
    &[required("ShardIterator", sized(1, 2048)), optional("Limit", integer(1, 1000))];
