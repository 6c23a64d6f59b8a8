//! What members of several operations are: names, fixed sets, items and the parameters of expressions.

use crate::wire::shape::kind::*;

// Names and other strings.

/// Names of tables, indexes and backups.
pub(in crate::wire::shape) const NAME_PATTERN: Pattern = Pattern {
    words: "[a-zA-Z0-9_.-]+",
    matches: |text| all(text, |byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)),
};

pub(super) const ITEM_TABLE: Kind = Kind::TableName(TableNaming::Item);
pub(super) const UPDATED_TABLE: Kind = Kind::TableName(TableNaming::Update);
pub(super) const TRANSACTION_TABLE: Kind = Kind::TableName(TableNaming::Transaction);
pub(super) const TABLE: Kind = Kind::TableName(TableNaming::Table);
pub(super) const TARGET_TABLE: Kind = Kind::TableName(TableNaming::Sentence);
pub(super) const NAME: Kind = like(3, 255, NAME_PATTERN);
pub(super) const KEY_ATTRIBUTE_NAME: Kind = sized(1, 255);
pub(super) const LONG_ARN: Kind = sized(37, 1024);
pub(super) const CLIENT_REQUEST_TOKEN: Kind = sized(1, 36);
pub(super) const CLIENT_TOKEN: Kind =
    like(0, usize::MAX, Pattern { words: "^[^\\$]+$", matches: |text| all(text, |byte| byte != b'$') });
pub(super) const REVISION_ID: Kind = sized(1, 255);
pub(super) const REGION: Kind = TEXT;

/// True for a text that is not empty and whose every byte is in the class.
pub(super) fn all(text: &str, class: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(class)
}

// Fixed sets.

pub(super) const RETURN_CONSUMED_CAPACITY: Kind = one_of(&["INDEXES", "TOTAL", "NONE"]);
pub(super) const RETURN_ITEM_COLLECTION_METRICS: Kind = one_of(&["SIZE", "NONE"]);
pub(super) const RETURN_VALUES_SET: &[&str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
/// The service's own words, its slip in the last but one included.
pub(super) const RETURN_VALUES_REFUSAL: &str = "Failed to satisfy constraint: Member must satisfy enum value set: \
     [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]";
pub(super) const RETURN_VALUES: Kind = refused_one_of(RETURN_VALUES_SET, RETURN_VALUES_REFUSAL, None);
/// A PutItem tells of one that it does not take only once it has judged its item.
pub(super) const DELETE_RETURN_VALUES: Kind = refused_one_of(
    RETURN_VALUES_SET,
    RETURN_VALUES_REFUSAL,
    Some((&["ALL_OLD", "NONE"], "ReturnValues can only be ALL_OLD or NONE")),
);
pub(super) const RETURN_VALUES_ON_FAILURE: Kind = one_of(&["ALL_OLD", "NONE"]);
pub(super) const CONDITIONAL_OPERATOR: Kind = one_of(&["OR", "AND"]);
pub(super) const COMPARISON_OPERATOR: Kind = one_of(&[
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
pub(super) const SELECT: Kind =
    one_of(&["SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"]);
pub(super) const BILLING_MODE: Kind = one_of(&["PROVISIONED", "PAY_PER_REQUEST"]);
pub(super) const TABLE_CLASS: Kind = one_of(&["STANDARD", "STANDARD_INFREQUENT_ACCESS"]);

// Items, keys and the parameters of expressions, old and new.

pub(super) const VALUES: Kind = map(&VALUE);
pub(super) const VALUE_LIST: Kind = list(&VALUE);
pub(super) const ATTRIBUTE_NAME: Kind = sized(0, 65535);
pub(super) const NAMES: Kind = map(&ATTRIBUTE_NAME);
pub(super) const ATTRIBUTES_TO_GET: Kind = list_of(1, 255, &ATTRIBUTE_NAME);
pub(super) const EXPECTED: Kind = map(&structure(
    "ExpectedAttributeValue",
    &[
        optional("AttributeValueList", VALUE_LIST),
        optional("ComparisonOperator", COMPARISON_OPERATOR),
        optional("Exists", BOOLEAN),
        optional("Value", VALUE),
    ],
));
pub(super) const CONDITIONS: Kind = map(&structure(
    "Condition",
    &[optional("AttributeValueList", VALUE_LIST), required("ComparisonOperator", COMPARISON_OPERATOR)],
));
pub(super) const ATTRIBUTE_UPDATES: Kind =
    map(&structure("AttributeValueUpdate", &[optional("Action", TEXT), optional("Value", VALUE)]));
