//! A request's words about tables and indexes, read into the catalog's own, with the rules that span several members.
//!
//! Rules are tried in the order in which the service tries them, so that a request with two faults hears of the same one.

use std::collections::BTreeSet;

use crate::local::clock;
use crate::local::members::text;
use crate::local::table_record::{
    AttributeDefinition, BillingMode, Definition, IndexDefinition, KeyElement, KeyType, OnDemandThroughput,
    ProjectionDefinition, ProjectionType, Stream, TableClass, Throughput,
};
use crate::model::ApiError;
use crate::model::java_order::{Buckets, sort_as_java};
use crate::wire::Json;

use super::limits::Limits;
use super::unsupported::{CREATE_TABLE, reject_unsupported};
use super::{Names, invalid, policies, tag_rules, warmth};

/// The most local indexes of a table.
const LOCAL_INDEXES_MAX: usize = 5;
/// The most global indexes of a table, until the service's owner is asked for more.
pub(super) const GLOBAL_INDEXES_MAX: usize = 20;
/// The most partition attributes of a global index's key, and the most sort attributes.
const KEY_ROLE_ATTRIBUTES_MAX: usize = 4;
/// The most indexes of a request that are looked at one by one, each beside the others: many more than a table may have, few
/// enough to cost no time.
pub(super) const INDEXES_JUDGED_MAX: usize = 100;
const UNDEFINED_KEY: &str = "Invalid KeySchema: Some index key attribute have no definition";
const CAPACITY_UNITS_MAX: i64 = 1_000_000_000_000;

/// Reads a CreateTable request into a table that lacks nothing but its spaces.
///
/// # Errors
/// `ValidationException` for the first rule that is broken.
pub(super) fn read_table(body: &Json<'_>, names: &Names, now: f64) -> Result<Definition, ApiError> {
    reject_unsupported(body, CREATE_TABLE)?;
    let billing_mode = billing_mode(body).unwrap_or(BillingMode::Provisioned);
    let throughput = table_throughput(body, billing_mode)?;
    let mut attributes = attribute_definitions(body);
    refuse_repeated_attributes(&attributes)?;
    let key_schema = key_elements(body);
    check_table_key(&key_schema, &attributes)?;
    let local = body.get("LocalSecondaryIndexes").and_then(Json::elements);
    let global = body.get("GlobalSecondaryIndexes").and_then(Json::elements);
    check_attributes_used(&attributes, &key_schema, local, global)?;
    let mut indexes = local_indexes(local, &key_schema, &attributes)?;
    global_indexes(global, &attributes, billing_mode, &mut indexes)?;
    let warm_throughput = warmth::asked(body);
    warmth::check_new(warm_throughput.as_ref(), billing_mode, &throughput, None)?;
    attributes.sort_by(|a, b| a.attribute_name.cmp(&b.attribute_name));
    Ok(Definition {
        table_name: names.table_name(body).to_owned(),
        table_id: Names::new_table_id(),
        creation_date_time: now,
        attribute_definitions: attributes,
        key_schema,
        items_space: 0,
        indexes,
        billing_mode,
        on_demand_since: (billing_mode == BillingMode::PayPerRequest).then_some(now),
        throughput,
        on_demand_throughput: on_demand_throughput(body, billing_mode, None)?,
        warm_throughput,
        stream: new_stream(body, now)?,
        kms_master_key_arn: encryption(body, names)?.unwrap_or_default(),
        table_class: new_table_class(body),
        deletion_protection_enabled: body
            .get("DeletionProtectionEnabled")
            .and_then(Json::boolean)
            .unwrap_or(false),
        tags: tag_rules::tags(body)?,
        time_to_live_attribute: None,
        policies: policies::new_policies(body, names, now)?,
        point_in_time_recovery: None,
        expiry_space: None,
    })
}

/// A global index that UpdateTable is to make, as far as it can be judged without the table.
#[derive(Clone, Debug)]
pub(super) struct NewIndex {
    index: IndexDefinition,
    throughput: Option<Throughput>,
    limits: Option<Limits>,
}

impl NewIndex {
    /// Reads the index. `attributes` are those that the request defines.
    ///
    /// # Errors
    /// `ValidationException` for the first rule that is broken.
    pub(super) fn read(index: &Json<'_>, attributes: &[AttributeDefinition]) -> Result<Self, ApiError> {
        let name = text(index, "IndexName");
        let key_schema = key_elements(index);
        if attributes.is_empty() {
            return Err(invalid(format!("AttributeDefinitions is not specified for index: {name}")));
        }
        check_defined(&key_schema, attributes)?;
        check_global_key(&key_schema)?;
        let index_definition = IndexDefinition {
            index_name: name.to_owned(),
            global: true,
            space: 0,
            key_schema,
            projection: projection(index)?,
            throughput: Throughput::default(),
            on_demand_throughput: None,
            warm_throughput: warmth::asked(index),
        };
        Ok(Self { index: index_definition, throughput: throughput(index), limits: Limits::read(index) })
    }

    /// The index as one of a table with that billing mode; it still lacks its space.
    ///
    /// # Errors
    /// `ValidationException` for throughput where there is none, or none where there must be.
    pub(super) fn of_table(self, billing_mode: BillingMode) -> Result<IndexDefinition, ApiError> {
        let name = &self.index.index_name;
        let throughput = match (billing_mode, self.throughput) {
            (BillingMode::PayPerRequest, Some(_)) => Err(invalid(format!(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name} when \
                 BillingMode is PAY_PER_REQUEST"
            ))),
            (BillingMode::Provisioned, None) => Err(invalid(format!(
                "Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: {name}"
            ))),
            (_, throughput) => Ok(throughput.unwrap_or_default()),
        }?;
        let limits = self.limits.map(|limits| limits.of_new(billing_mode, Some(name))).transpose()?;
        warmth::check_new(self.index.warm_throughput.as_ref(), billing_mode, &throughput, Some(name))?;
        Ok(IndexDefinition { throughput, on_demand_throughput: limits, ..self.index })
    }
}

/// The billing mode that a request asks for.
pub(super) fn billing_mode(body: &Json<'_>) -> Option<BillingMode> {
    match body.get("BillingMode").and_then(Json::text)? {
        "PAY_PER_REQUEST" => Some(BillingMode::PayPerRequest),
        _ => Some(BillingMode::Provisioned),
    }
}

/// The attributes that a request defines, in its order.
pub(super) fn attribute_definitions(body: &Json<'_>) -> Vec<AttributeDefinition> {
    let elements = body.get("AttributeDefinitions").and_then(Json::elements).unwrap_or_default();
    elements
        .iter()
        .map(|element| AttributeDefinition {
            attribute_name: text(element, "AttributeName").to_owned(),
            attribute_type: text(element, "AttributeType").to_owned(),
        })
        .collect()
}

/// The throughput that a table or an index is to have.
pub(super) fn throughput(object: &Json<'_>) -> Option<Throughput> {
    let throughput = object.get("ProvisionedThroughput")?;
    let units = |member| throughput.get(member).and_then(Json::integer).unwrap_or_default();
    Some(Throughput {
        read_capacity_units: units("ReadCapacityUnits"),
        write_capacity_units: units("WriteCapacityUnits"),
        ..Throughput::default()
    })
}

/// True when no table may have as much.
pub(super) fn is_out_of_bounds(throughput: &Throughput) -> bool {
    throughput.read_capacity_units > CAPACITY_UNITS_MAX
        || throughput.write_capacity_units > CAPACITY_UNITS_MAX
}

/// Refuses a table throughput that no table may have.
///
/// # Errors
/// `ValidationException`.
pub(super) fn check_bounds(throughput: &Throughput) -> Result<(), ApiError> {
    let members = [
        ("ReadCapacityUnits", throughput.read_capacity_units),
        ("WriteCapacityUnits", throughput.write_capacity_units),
    ];
    match members.into_iter().find(|(_, units)| *units > CAPACITY_UNITS_MAX) {
        Some((member, units)) => {
            Err(ApiError::validation(format!("Given value {units} for {member} is out of bounds")))
        }
        None => Ok(()),
    }
}

/// The limits in a request for a new table or index.
fn on_demand_throughput(
    object: &Json<'_>,
    billing_mode: BillingMode,
    index: Option<&str>,
) -> Result<Option<OnDemandThroughput>, ApiError> {
    Limits::read(object).map(|limits| limits.of_new(billing_mode, index)).transpose()
}

/// What a request says of encryption: nothing, the key that belongs to the service (`Some(None)`), or another key's ARN.
///
/// # Errors
/// `ValidationException` for members that contradict each other.
pub(super) fn encryption(body: &Json<'_>, names: &Names) -> Result<Option<Option<String>>, ApiError> {
    let Some(specification) = body.get("SSESpecification") else { return Ok(None) };
    let enabled = specification.get("Enabled").and_then(Json::boolean);
    let kind = specification.get("SSEType").and_then(Json::text);
    let key = specification.get("KMSMasterKeyId").and_then(Json::text);
    if enabled == Some(false) && kind.is_some() {
        return Err(invalid("SSEType can not be specified if Enabled is false"));
    }
    if enabled == Some(false) && key.is_some() {
        return Err(invalid("KMSMasterKeyId can not be specified if Enabled is false"));
    }
    if kind == Some("AES256") {
        return Err(invalid("SSEType AES256 is not supported"));
    }
    if key.is_some() && kind.is_none() {
        return Err(invalid("SSEType KMS is required if KMSMasterKeyId is specified"));
    }
    let is_on = enabled == Some(true) || kind == Some("KMS");
    Ok(Some(is_on.then(|| names.kms_key_arn(key))))
}

fn table_throughput(body: &Json<'_>, billing_mode: BillingMode) -> Result<Throughput, ApiError> {
    match (billing_mode, throughput(body)) {
        (BillingMode::PayPerRequest, Some(_)) => Err(invalid(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (BillingMode::PayPerRequest, None) => Ok(Throughput::default()),
        (BillingMode::Provisioned, None) => Err(invalid(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (BillingMode::Provisioned, Some(throughput)) => {
            check_bounds(&throughput)?;
            Ok(throughput)
        }
    }
}

fn key_elements(object: &Json<'_>) -> Vec<KeyElement> {
    let elements = object.get("KeySchema").and_then(Json::elements).unwrap_or_default();
    elements
        .iter()
        .map(|element| KeyElement {
            attribute_name: text(element, "AttributeName").to_owned(),
            key_type: if text(element, "KeyType") == "RANGE" { KeyType::Range } else { KeyType::Hash },
        })
        .collect()
}

fn refuse_repeated_attributes(attributes: &[AttributeDefinition]) -> Result<(), ApiError> {
    let mut names = BTreeSet::new();
    match attributes.iter().find(|attribute| !names.insert(&attribute.attribute_name)) {
        Some(repeated) => {
            Err(ApiError::validation(format!("Attribute Name is duplicated: {}", repeated.attribute_name)))
        }
        None => Ok(()),
    }
}

fn check_table_key(key: &[KeyElement], attributes: &[AttributeDefinition]) -> Result<(), ApiError> {
    if key.len() > attributes.len() {
        return Err(ApiError::validation(UNDEFINED_KEY));
    }
    check_defined(key, attributes)?;
    check_simple_key(key)
}

/// Every key attribute needs a definition. Which ones lack theirs is told only when there are enough of them.
fn check_defined(key: &[KeyElement], attributes: &[AttributeDefinition]) -> Result<(), ApiError> {
    let is_defined = |element: &KeyElement| {
        attributes.iter().any(|attribute| attribute.attribute_name == element.attribute_name)
    };
    if key.iter().all(is_defined) {
        return Ok(());
    }
    let keys = distinct(key.iter().map(|element| element.attribute_name.as_str()));
    if attributes.len() < keys.len() {
        return Err(ApiError::validation(UNDEFINED_KEY));
    }
    let defined = attributes.iter().map(|attribute| attribute.attribute_name.as_str()).collect();
    Err(invalid(format!(
        "Some index key attributes are not defined in AttributeDefinitions. Keys: {}, AttributeDefinitions: {}",
        list(keys, Buckets::ForCount),
        list(defined, Buckets::ForCount)
    )))
}

/// The names in their order, each once.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// The shape of a table's or a local index's key: one partition attribute, perhaps one sort attribute.
fn check_simple_key(key: &[KeyElement]) -> Result<(), ApiError> {
    reject_same_names(key)?;
    check_first_is_hash(key)?;
    if key.get(1).is_some_and(|second| second.key_type != KeyType::Range) {
        return Err(ApiError::validation(
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ));
    }
    Ok(())
}

fn reject_same_names(key: &[KeyElement]) -> Result<(), ApiError> {
    match key {
        [first, second, ..] if first.attribute_name == second.attribute_name => Err(ApiError::validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        )),
        _ => Ok(()),
    }
}

/// As [`reject_same_names`], for the key of a global index, which may have more than two attributes.
fn reject_repeated_names(key: &[KeyElement]) -> Result<(), ApiError> {
    if let [_, second] = key
        && second.key_type == KeyType::Range
    {
        return reject_same_names(key);
    }
    let mut names = BTreeSet::new();
    if key.iter().all(|element| names.insert(&element.attribute_name)) {
        return Ok(());
    }
    Err(ApiError::validation("The KeySchema contains multiple key attributes with the same name"))
}

/// The shape of a global index's key: up to four attributes of each role, partition first.
fn check_global_key(key: &[KeyElement]) -> Result<(), ApiError> {
    if matches!(key, [_, second] if second.key_type == KeyType::Range) {
        reject_same_names(key)?;
    }
    check_first_is_hash(key)?;
    reject_repeated_names(key)?;
    let partition_attributes = key.iter().take_while(|element| element.key_type == KeyType::Hash).count();
    let sort_attributes = key.len() - partition_attributes;
    if key[partition_attributes..].iter().any(|element| element.key_type == KeyType::Hash) {
        return Err(invalid("All HASH key attributes must precede RANGE key attributes in the KeySchema"));
    }
    for (role, attributes) in [("HASH", partition_attributes), ("RANGE", sort_attributes)] {
        if attributes > KEY_ROLE_ATTRIBUTES_MAX {
            return Err(invalid(format!(
                "The KeySchema exceeds the maximum allowed number of {role} key attributes"
            )));
        }
    }
    Ok(())
}

fn check_first_is_hash(key: &[KeyElement]) -> Result<(), ApiError> {
    if key.first().is_some_and(|first| first.key_type == KeyType::Hash) {
        return Ok(());
    }
    Err(ApiError::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"))
}

/// Nothing but key attributes may be defined; and a list of indexes, if there is one, holds some.
fn check_attributes_used(
    attributes: &[AttributeDefinition],
    key: &[KeyElement],
    local: Option<&[Json<'_>]>,
    global: Option<&[Json<'_>]>,
) -> Result<(), ApiError> {
    if local.is_none() && global.is_none() {
        if key.len() == attributes.len() {
            return Ok(());
        }
        return Err(invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    for (member, indexes) in [("LocalSecondaryIndexes", local), ("GlobalSecondaryIndexes", global)] {
        if indexes.is_some_and(<[Json<'_>]>::is_empty) {
            return Err(invalid(format!("List of {member} is empty")));
        }
    }
    let index_keys: Vec<KeyElement> =
        local.into_iter().chain(global).flatten().flat_map(key_elements).collect();
    let used = distinct(key.iter().chain(&index_keys).map(|element| element.attribute_name.as_str()));
    if attributes.len() <= used.len() {
        return Ok(());
    }
    for index in local.unwrap_or_default().iter().take(INDEXES_JUDGED_MAX) {
        reject_same_names(&key_elements(index))?;
    }
    for index in global.unwrap_or_default().iter().take(INDEXES_JUDGED_MAX) {
        reject_repeated_names(&key_elements(index))?;
    }
    let defined = attributes.iter().map(|attribute| attribute.attribute_name.as_str()).collect();
    Err(invalid(format!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: {}, keys used: {}",
        list(defined, Buckets::ForCount),
        list(used, Buckets::Sixteen)
    )))
}

fn local_indexes(
    requested: Option<&[Json<'_>]>,
    table_key: &[KeyElement],
    attributes: &[AttributeDefinition],
) -> Result<Vec<IndexDefinition>, ApiError> {
    let Some(requested) = requested else { return Ok(Vec::new()) };
    if table_key.len() != 2 {
        return Err(invalid(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    }
    let mut indexes: Vec<IndexDefinition> = Vec::with_capacity(LOCAL_INDEXES_MAX);
    for index in requested.iter().take(INDEXES_JUDGED_MAX) {
        let name = text(index, "IndexName");
        let key_schema = key_elements(index);
        check_defined(&key_schema, attributes)?;
        check_simple_key(&key_schema)?;
        check_local_key(name, &key_schema, table_key)?;
        let projection = projection(index)?;
        refuse_repeated_name(name, &indexes)?;
        indexes.push(IndexDefinition {
            index_name: name.to_owned(),
            global: false,
            space: 0,
            key_schema,
            projection,
            throughput: Throughput::default(),
            on_demand_throughput: None,
            warm_throughput: None,
        });
    }
    if requested.len() > LOCAL_INDEXES_MAX {
        return Err(invalid(format!(
            "Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_INDEXES_MAX}"
        )));
    }
    Ok(indexes)
}

fn check_local_key(name: &str, key: &[KeyElement], table_key: &[KeyElement]) -> Result<(), ApiError> {
    if key.len() != 2 {
        return Err(invalid(format!("Index KeySchema does not have a range key for index: {name}")));
    }
    let (index_hash, table_hash) = (&key[0].attribute_name, &table_key[0].attribute_name);
    if index_hash != table_hash {
        return Err(invalid(format!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. index \
             hash key: {index_hash}, table hash key: {table_hash}"
        )));
    }
    Ok(())
}

fn global_indexes(
    requested: Option<&[Json<'_>]>,
    attributes: &[AttributeDefinition],
    billing_mode: BillingMode,
    indexes: &mut Vec<IndexDefinition>,
) -> Result<(), ApiError> {
    let Some(requested) = requested else { return Ok(()) };
    for index in requested.iter().take(INDEXES_JUDGED_MAX) {
        let name = text(index, "IndexName");
        let key_schema = key_elements(index);
        check_defined(&key_schema, attributes)?;
        check_global_key(&key_schema)?;
        let projection = projection(index)?;
        let throughput = index_throughput(index, name, billing_mode)?;
        refuse_repeated_name(name, indexes)?;
        let on_demand_throughput = on_demand_throughput(index, billing_mode, Some(name))?;
        let warm_throughput = warmth::asked(index);
        warmth::check_new(warm_throughput.as_ref(), billing_mode, &throughput, Some(name))?;
        indexes.push(IndexDefinition {
            index_name: name.to_owned(),
            global: true,
            space: 0,
            key_schema,
            projection,
            throughput,
            on_demand_throughput,
            warm_throughput,
        });
    }
    if requested.len() > GLOBAL_INDEXES_MAX {
        return Err(invalid(format!(
            "GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )));
    }
    Ok(())
}

fn index_throughput(index: &Json<'_>, name: &str, billing_mode: BillingMode) -> Result<Throughput, ApiError> {
    match (billing_mode, throughput(index)) {
        (BillingMode::PayPerRequest, Some(_)) => Err(invalid(format!(
            "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
        ))),
        (BillingMode::PayPerRequest, None) => Ok(Throughput::default()),
        (BillingMode::Provisioned, None) => {
            Err(invalid(format!("ProvisionedThroughput is not specified for index: {name}")))
        }
        (BillingMode::Provisioned, Some(throughput)) => {
            check_bounds(&throughput).map_err(|error| {
                let words = error.message.unwrap_or_default();
                ApiError::validation(format!("{words} for index {name}"))
            })?;
            Ok(throughput)
        }
    }
}

fn refuse_repeated_name(name: &str, indexes: &[IndexDefinition]) -> Result<(), ApiError> {
    if indexes.iter().any(|index| index.index_name == name) {
        return Err(invalid(format!("Duplicate index name: {name}")));
    }
    Ok(())
}

fn projection(index: &Json<'_>) -> Result<ProjectionDefinition, ApiError> {
    let projection = index.get("Projection");
    let named = projection.and_then(|projection| projection.get("NonKeyAttributes")).and_then(Json::elements);
    let kind = projection.and_then(|projection| projection.get("ProjectionType")).and_then(Json::text);
    let projection_type = match kind {
        Some("ALL") => ProjectionType::All,
        Some("KEYS_ONLY") => ProjectionType::KeysOnly,
        Some("INCLUDE") => ProjectionType::Include,
        other => {
            return Err(invalid(format!("Unknown ProjectionType: {}", other.unwrap_or("null"))));
        }
    };
    match (projection_type, named) {
        (ProjectionType::Include, None) => {
            Err(invalid("ProjectionType is INCLUDE, but NonKeyAttributes is not specified"))
        }
        (ProjectionType::All | ProjectionType::KeysOnly, Some(_)) => Err(invalid(format!(
            "ProjectionType is {}, but NonKeyAttributes is specified",
            kind.unwrap_or_default()
        ))),
        (ProjectionType::All | ProjectionType::KeysOnly, None) => {
            Ok(ProjectionDefinition { projection_type, non_key_attributes: None })
        }
        (ProjectionType::Include, Some(named)) => {
            Ok(ProjectionDefinition { projection_type, non_key_attributes: Some(included(named)?) })
        }
    }
}

/// The attributes that an index includes, in the order in which the service tells them.
fn included(named: &[Json<'_>]) -> Result<Vec<String>, ApiError> {
    let mut names = BTreeSet::new();
    for name in named.iter().filter_map(Json::text) {
        if !names.insert(name.to_owned()) {
            return Err(invalid(format!("Duplicate element in NonKeyAttributes: {name}")));
        }
    }
    Ok(names.into_iter().collect())
}

fn new_stream(body: &Json<'_>, now: f64) -> Result<Option<Stream>, ApiError> {
    let Some(specification) = body.get("StreamSpecification") else { return Ok(None) };
    let enabled = specification.get("StreamEnabled").and_then(Json::boolean).unwrap_or(false);
    let view_type = specification.get("StreamViewType").and_then(Json::text);
    match (enabled, view_type) {
        (true, None) => {
            Err(invalid("Table is being created with a stream enabled, UpdateViewType is required"))
        }
        (false, Some(_)) => Err(invalid(
            "Table is being created with a stream disabled, UpdateViewType should not be specified",
        )),
        (false, None) => Ok(None),
        (true, Some(view_type)) => Ok(Some(Stream {
            enabled,
            view_type: view_type.to_owned(),
            label: clock::timestamp((now * 1000.0).round() as u64),
        })),
    }
}

/// The class of a new table; the ordinary one is not told.
fn new_table_class(body: &Json<'_>) -> Option<TableClass> {
    let class = body.get("TableClass").and_then(Json::text).filter(|class| *class != "STANDARD")?;
    Some(TableClass { table_class: class.to_owned(), last_update_date_time: None })
}

/// A list of different names as the messages of the service write it.
fn list(mut names: Vec<&str>, buckets: Buckets) -> String {
    sort_as_java(&mut names, buckets, |name| name);
    format!("[{}]", names.join(", "))
}
