//! What the proxy knows of each table's schema, learned by asking the upstream's DescribeTable.

use crate::model::capacity::MeanSizes;
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, IndexSchema, KeySchema, Projection, TableSchema};
use crate::model::{ErrorCode, Operation};
use crate::wire::Json;
use crate::wire::json::write_string;

use crate::call::{Request, Upstream};

/// What an upstream reports of a table. Two descriptions of the same table are equal, in whatever order it lists indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// Keys and indexes; indexes of a kind in the order of their names.
    pub schema: TableSchema,
    /// The table's ARN, which tells tables of several accounts apart; empty if the upstream reports none.
    pub arn: String,
    /// The global indexes that are being created or removed, by name: what they answer changes without a write.
    pub unsettled_indexes: Vec<String>,
    /// Whether items expire.
    pub time_to_live: TimeToLive,
    /// How large items and index entries are. DynamoDB counts them every six hours.
    pub sizes: MeanSizes,
}

/// Whether the upstream removes items by itself when they have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeToLive {
    /// By the second since 1970 in this attribute.
    By(String),
    /// It does not.
    Off,
    /// It does not say: DescribeTimeToLive failed, or is not permitted.
    Unknown,
}

/// Why there is no description of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescribeFailure {
    /// The upstream has no such table.
    Missing,
    /// The table is being created or removed: a description would not last.
    NotReady,
    /// The upstream does not permit DescribeTable.
    Denied,
    /// The answer is no description that can be read.
    Unreadable,
    /// The upstream cannot be reached, fails, or throttles.
    Unavailable,
}

/// Asks the upstream for the description of a table, by name or by ARN.
///
/// # Errors
/// [`DescribeFailure`]: the caller then goes without.
pub async fn fetch_description(
    upstream: &dyn Upstream,
    table_name: &str,
) -> Result<TableDescription, DescribeFailure> {
    let mut body = b"{\"TableName\":".to_vec();
    write_string(table_name, &mut body);
    body.push(b'}');
    let request = Request::new(Operation::DescribeTable, body);
    let answer = upstream.call(&request).await.map_err(|_| DescribeFailure::Unavailable)?;
    if !answer.is_success() {
        return Err(match answer.rejection() {
            Some(ErrorCode::ResourceNotFound) => DescribeFailure::Missing,
            Some(ErrorCode::AccessDenied) => DescribeFailure::Denied,
            _ => DescribeFailure::Unavailable,
        });
    }
    let description = Json::parse(&answer.body).map_err(|_| DescribeFailure::Unreadable)?;
    let table = description.get("Table").ok_or(DescribeFailure::Unreadable)?;
    if !matches!(table.get("TableStatus").and_then(Json::text), None | Some("ACTIVE" | "UPDATING")) {
        return Err(DescribeFailure::NotReady);
    }
    let described = read_description(table).ok_or(DescribeFailure::Unreadable)?;
    let time_to_live = fetch_time_to_live(upstream, &request).await;
    Ok(TableDescription { time_to_live, ..described })
}

/// The schema in an answer to DescribeTable; `None` when a part of it is missing or unknown.
pub fn read_description_schema(body: &[u8]) -> Option<TableSchema> {
    Json::parse(body).ok().and_then(|description| read_schema(description.get("Table")?))
}

async fn fetch_time_to_live(upstream: &dyn Upstream, described: &Request) -> TimeToLive {
    let request = Request::new(Operation::DescribeTimeToLive, described.body.clone());
    let Ok(answer) = upstream.call(&request).await else { return TimeToLive::Unknown };
    let body = if answer.is_success() { Json::parse(&answer.body).ok() } else { None };
    body.and_then(|body| read_time_to_live(body.get("TimeToLiveDescription")?)).unwrap_or(TimeToLive::Unknown)
}

fn read_time_to_live(description: &Json<'_>) -> Option<TimeToLive> {
    Some(match description.get("TimeToLiveStatus")?.text()? {
        "ENABLED" | "ENABLING" => TimeToLive::By(description.get("AttributeName")?.text()?.to_owned()),
        _ => TimeToLive::Off,
    })
}

fn read_description(table: &Json<'_>) -> Option<TableDescription> {
    Some(TableDescription {
        schema: read_schema(table)?,
        arn: table.get("TableArn").and_then(Json::text).unwrap_or_default().to_owned(),
        unsettled_indexes: read_unsettled_indexes(table),
        time_to_live: TimeToLive::Unknown,
        sizes: read_sizes(table),
    })
}

/// The mean sizes of what the table and its indexes hold, where they hold something.
fn read_sizes(table: &Json<'_>) -> MeanSizes {
    let mean = |part: &Json<'_>, bytes: &str| {
        let number = |member: &str| usize::try_from(part.get(member)?.integer()?).ok();
        number(bytes)?.checked_div(number("ItemCount")?).filter(|mean| *mean > 0)
    };
    let lists = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
    let indexes = lists.iter().flat_map(|list| table.get(list).and_then(Json::elements).unwrap_or_default());
    let of_index =
        |index: &Json<'_>| Some((index.get("IndexName")?.text()?.to_owned(), mean(index, "IndexSizeBytes")?));
    MeanSizes { item: mean(table, "TableSizeBytes"), entries: indexes.filter_map(of_index).collect() }
}

/// The global indexes that are neither ready nor, as far as readers see, ready with another throughput. One without a status
/// is ready.
fn read_unsettled_indexes(table: &Json<'_>) -> Vec<String> {
    let indexes = table.get("GlobalSecondaryIndexes").and_then(Json::elements).unwrap_or_default();
    let is_settled = |index: &&Json<'_>| {
        let status = index.get("IndexStatus").and_then(Json::text).unwrap_or("ACTIVE");
        matches!(status, "ACTIVE" | "UPDATING")
            && index.get("Backfilling").and_then(Json::boolean) != Some(true)
    };
    let unsettled = indexes.iter().filter(|index| !is_settled(index));
    let mut names: Vec<_> =
        unsettled.filter_map(|index| index.get("IndexName")?.text().map(str::to_owned)).collect();
    names.sort_unstable();
    names
}

/// The schema in a `TableDescription`; `None` when a part of it is missing or unknown.
fn read_schema(table: &Json<'_>) -> Option<TableSchema> {
    let types = read_types(table.get("AttributeDefinitions")?)?;
    let indexes_of = |member: &str, kind: IndexKind| match table.get(member) {
        None => Some(Vec::new()),
        Some(indexes) => {
            // An index that is going away is none any more.
            let lasting =
                |index: &&Json<'_>| index.get("IndexStatus").and_then(Json::text) != Some("DELETING");
            let read =
                indexes.elements()?.iter().filter(lasting).map(|index| read_index(index, kind, &types));
            let mut indexes = read.collect::<Option<Vec<_>>>()?;
            indexes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            Some(indexes)
        }
    };
    let mut indexes: Vec<IndexSchema> = indexes_of("GlobalSecondaryIndexes", IndexKind::Global)?;
    indexes.extend(indexes_of("LocalSecondaryIndexes", IndexKind::Local)?);
    Some(TableSchema {
        name: table.get("TableName")?.text()?.to_owned(),
        id: table.get("TableId").and_then(Json::text).unwrap_or_default().to_owned(),
        key: read_key(table.get("KeySchema")?, &types)?,
        indexes,
    })
}

/// Attribute names with their declared types.
type Types<'a> = Vec<(&'a str, ScalarType)>;

fn read_types<'a>(definitions: &'a Json<'_>) -> Option<Types<'a>> {
    let read = |definition: &'a Json<'_>| {
        let name = definition.get("AttributeName")?.text()?;
        Some((name, ScalarType::from_name(definition.get("AttributeType")?.text()?)?))
    };
    definitions.elements()?.iter().map(read).collect()
}

fn read_key(elements: &Json<'_>, types: &Types<'_>) -> Option<KeySchema> {
    let mut key = KeySchema { partition: Vec::new(), sort: Vec::new() };
    for element in elements.elements()? {
        let name = element.get("AttributeName")?.text()?;
        let scalar_type = types.iter().find(|(defined, _)| *defined == name)?.1;
        let attribute = KeyAttribute { name: name.to_owned(), scalar_type };
        match element.get("KeyType")?.text()? {
            "HASH" => key.partition.push(attribute),
            "RANGE" => key.sort.push(attribute),
            _ => return None,
        }
    }
    (!key.partition.is_empty()).then_some(key)
}

fn read_index(index: &Json<'_>, kind: IndexKind, types: &Types<'_>) -> Option<IndexSchema> {
    let projection = index.get("Projection")?;
    Some(IndexSchema {
        name: index.get("IndexName")?.text()?.to_owned(),
        kind,
        key: read_key(index.get("KeySchema")?, types)?,
        projection: match projection.get("ProjectionType")?.text()? {
            "ALL" => Projection::All,
            "KEYS_ONLY" => Projection::KeysOnly,
            "INCLUDE" => {
                let names = projection.get("NonKeyAttributes")?.elements()?;
                let mut names =
                    names.iter().map(|name| name.text().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
                names.sort_unstable();
                Projection::Include(names)
            }
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_becomes_a_schema() {
        let text = r#"{"TableName":"Orders","TableId":"1-2","TableStatus":"ACTIVE",
            "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"at","AttributeType":"N"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"at","KeyType":"RANGE"}],
            "GlobalSecondaryIndexes":[{"IndexName":"byTime","KeySchema":[{"AttributeName":"at","KeyType":"HASH"}],
                "Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["x"]}}]}"#;
        let schema = read_schema(&Json::parse(text.as_bytes()).unwrap()).unwrap();
        assert_eq!((schema.name.as_str(), schema.id.as_str()), ("Orders", "1-2"));
        assert_eq!(schema.key.sort[0].scalar_type, ScalarType::N);
        let index = schema.index("byTime").unwrap();
        assert_eq!(
            (index.kind, &index.projection),
            (IndexKind::Global, &Projection::Include(vec!["x".to_owned()]))
        );
    }

    #[test]
    fn the_order_of_indexes_and_of_projected_names_makes_no_difference() {
        let index = |name: &str, names: &str| {
            format!(
                r#"{{"IndexName":"{name}","KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}],
                "Projection":{{"ProjectionType":"INCLUDE","NonKeyAttributes":[{names}]}}}}"#
            )
        };
        let table = |indexes: [String; 2]| {
            let text = format!(
                r#"{{"TableName":"t","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],
                "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}],"GlobalSecondaryIndexes":[{}]}}"#,
                indexes.join(",")
            );
            read_description(&Json::parse(text.as_bytes()).unwrap()).unwrap()
        };
        let one = table([index("a", r#""x","y""#), index("b", r#""z""#)]);
        assert_eq!(one, table([index("b", r#""z""#), index("a", r#""y","x""#)]));
        assert_ne!(one, table([index("b", r#""z""#), index("a", r#""y""#)]));
    }

    #[test]
    fn an_index_that_is_being_made_or_removed_is_not_settled() {
        let text = r#"{"GlobalSecondaryIndexes":[{"IndexName":"a","IndexStatus":"ACTIVE"},{"IndexName":"b","IndexStatus":"CREATING"},
            {"IndexName":"c","IndexStatus":"DELETING"},{"IndexName":"d"},{"IndexName":"e","IndexStatus":"UPDATING"},
            {"IndexName":"f","IndexStatus":"ACTIVE","Backfilling":true}]}"#;
        assert_eq!(read_unsettled_indexes(&Json::parse(text.as_bytes()).unwrap()), ["b", "c", "f"]);
        assert!(read_unsettled_indexes(&Json::parse(b"{}").unwrap()).is_empty());
    }

    #[test]
    fn a_description_says_how_large_items_and_entries_are_where_there_are_some() {
        let text = r#"{"TableSizeBytes":10001,"ItemCount":10,
            "GlobalSecondaryIndexes":[{"IndexName":"g","IndexSizeBytes":0,"ItemCount":0}],
            "LocalSecondaryIndexes":[{"IndexName":"l","IndexSizeBytes":300,"ItemCount":3},{"IndexName":"m"}]}"#;
        let sizes = read_sizes(&Json::parse(text.as_bytes()).unwrap());
        assert_eq!(sizes, MeanSizes { item: Some(1000), entries: vec![("l".to_owned(), 100)] });
        assert_eq!(read_sizes(&Json::parse(b"{}").unwrap()), MeanSizes::default());
    }

    #[test]
    fn a_strange_description_is_no_schema() {
        for text in [
            "{}",
            r#"{"TableName":"t","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#,
            r#"{"TableName":"t","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[]}"#,
        ] {
            assert_eq!(read_schema(&Json::parse(text.as_bytes()).unwrap()), None, "{text}");
        }
    }
}
