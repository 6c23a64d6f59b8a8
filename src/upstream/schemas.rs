//! What the proxy knows of each table's schema, learned by asking the upstream's DescribeTable.

use crate::model::Operation;
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, IndexSchema, KeySchema, Projection, TableSchema};
use crate::wire::Json;
use crate::wire::json::write_string;

use super::{Request, Upstream};

/// What an upstream says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// Keys and indexes.
    pub schema: TableSchema,
    /// The table's ARN, which tells tables of several accounts apart; empty if the upstream reports none.
    pub arn: String,
    /// The global indexes that are being made or removed, by name: what they answer changes without a write.
    pub unsettled_indexes: Vec<String>,
}

/// Asks the upstream for the description of a table, named or by ARN. `None` when it has no such table, does not say, or cannot
/// be reached: the caller then goes without, and asks again with the next request.
pub async fn fetch_description(upstream: &dyn Upstream, table_name: &str) -> Option<TableDescription> {
    let mut body = b"{\"TableName\":".to_vec();
    write_string(table_name, &mut body);
    body.push(b'}');
    let answer = upstream.call(&Request::new(Operation::DescribeTable, body)).await.ok()?;
    if !answer.is_success() {
        return None;
    }
    let description = Json::parse(&answer.body).ok()?;
    let table = description.get("Table")?;
    Some(TableDescription {
        schema: read_schema(table)?,
        arn: table.get("TableArn").and_then(Json::text).unwrap_or_default().to_owned(),
        unsettled_indexes: read_unsettled_indexes(table),
    })
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
    unsettled.filter_map(|index| index.get("IndexName")?.text().map(str::to_owned)).collect()
}

/// The schema in a `TableDescription`; `None` when a part of it is missing or strange, or when the table is on its way into
/// being or out of it: what is known then does not last.
fn read_schema(table: &Json<'_>) -> Option<TableSchema> {
    if !matches!(table.get("TableStatus").and_then(Json::text), None | Some("ACTIVE" | "UPDATING")) {
        return None;
    }
    let types = read_types(table.get("AttributeDefinitions")?)?;
    let indexes_of = |member: &str, kind: IndexKind| match table.get(member) {
        None => Some(Vec::new()),
        Some(indexes) => {
            // An index that is going away is none any more.
            let lasting =
                |index: &&Json<'_>| index.get("IndexStatus").and_then(Json::text) != Some("DELETING");
            indexes.elements()?.iter().filter(lasting).map(|index| read_index(index, kind, &types)).collect()
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
                Projection::Include(
                    names.iter().map(|name| name.text().map(str::to_owned)).collect::<Option<_>>()?,
                )
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
    fn an_index_that_is_being_made_or_removed_is_not_settled() {
        let text = r#"{"GlobalSecondaryIndexes":[{"IndexName":"a","IndexStatus":"ACTIVE"},{"IndexName":"b","IndexStatus":"CREATING"},
            {"IndexName":"c","IndexStatus":"DELETING"},{"IndexName":"d"},{"IndexName":"e","IndexStatus":"UPDATING"},
            {"IndexName":"f","IndexStatus":"ACTIVE","Backfilling":true}]}"#;
        assert_eq!(read_unsettled_indexes(&Json::parse(text.as_bytes()).unwrap()), ["b", "c", "f"]);
        assert!(read_unsettled_indexes(&Json::parse(b"{}").unwrap()).is_empty());
    }

    #[test]
    fn a_strange_description_is_no_schema() {
        for text in [
            "{}",
            r#"{"TableName":"t","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#,
            r#"{"TableName":"t","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[]}"#,
            r#"{"TableName":"t","TableStatus":"CREATING","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
                "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#,
        ] {
            assert_eq!(read_schema(&Json::parse(text.as_bytes()).unwrap()), None, "{text}");
        }
    }
}
