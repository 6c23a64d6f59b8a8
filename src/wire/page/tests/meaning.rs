//! Random meanings of page requests, and the many ways to write each.

use fastrand::Rng;

use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, KeySchema, Projection};
use crate::model::{IndexSchema, TableSchema};

use crate::wire::page::PageKind;

/// The indexes of [`schema`]: name, kind, partition attribute, sort attribute.
const INDEXES: [(&str, IndexKind, &str, Option<&str>); 4] = [
    ("local", IndexKind::Local, "p", Some("n")),
    ("local-all", IndexKind::Local, "p", Some("g")),
    ("global", IndexKind::Global, "g", Some("n")),
    ("global-keys", IndexKind::Global, "g", None),
];

/// The table `pages`: key `p` (number), `r` (string); `n` is a number, `g` a string. [`CREATE_TABLE`] makes it.
pub(crate) fn schema() -> TableSchema {
    let attribute = |name: &str| KeyAttribute {
        name: name.to_owned(),
        scalar_type: if matches!(name, "p" | "n") { ScalarType::N } else { ScalarType::S },
    };
    let key = |partition: &str, sort: Option<&str>| KeySchema {
        partition: vec![attribute(partition)],
        sort: sort.into_iter().map(attribute).collect(),
    };
    let index = |(name, kind, partition, sort): (&str, IndexKind, &str, Option<&str>)| IndexSchema {
        name: name.to_owned(),
        kind,
        key: key(partition, sort),
        projection: match name {
            "local" => Projection::Include(vec!["x".to_owned()]),
            "global-keys" => Projection::KeysOnly,
            _ => Projection::All,
        },
    };
    TableSchema {
        name: "pages".to_owned(),
        id: "1".to_owned(),
        key: key("p", Some("r")),
        indexes: INDEXES.into_iter().map(index).collect(),
    }
}

/// The body of the CreateTable request for [`schema`].
pub(crate) const CREATE_TABLE: &str = r#"{
    "TableName": "pages", "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "p", "AttributeType": "N"}, {"AttributeName": "r", "AttributeType": "S"},
        {"AttributeName": "n", "AttributeType": "N"}, {"AttributeName": "g", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
    "LocalSecondaryIndexes": [
        {"IndexName": "local", "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
         "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}]},
        {"IndexName": "local-all", "Projection": {"ProjectionType": "ALL"},
         "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "g", "KeyType": "RANGE"}]}],
    "GlobalSecondaryIndexes": [
        {"IndexName": "global", "Projection": {"ProjectionType": "ALL"},
         "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}]},
        {"IndexName": "global-keys", "Projection": {"ProjectionType": "KEYS_ONLY"},
         "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}]}"#;

/// A random item of the table, as JSON; most lack something.
pub(crate) fn item(rng: &mut Rng) -> String {
    let mut members = vec![member("p", &Value::of("p", rng), rng), member("r", &Value::of("r", rng), rng)];
    for name in ["n", "g", "x", "y", "z"] {
        if rng.u8(..4) > 0 {
            let value = Value::of(name, rng);
            members.push(member(name, &value, rng));
        }
    }
    format!("{{{}}}", members.join(","))
}

/// A value, before it is decided how to write it.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(&'static str),
    Number(i64),
}

/// A test of one attribute: the legacy name of its operator, and values as many as that takes.
#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    attribute: &'static str,
    operator: &'static str,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Select {
    Default,
    Count,
    All,
}

/// What one page request means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Meaning {
    pub(crate) kind: PageKind,
    index: Option<usize>,
    partition: Option<Comparison>,
    sort: Option<Comparison>,
    filters: Vec<Comparison>,
    /// One filter is enough; only with several.
    any_filter: bool,
    select: Select,
    projection: Vec<&'static str>,
    limit: Option<u32>,
    backward: bool,
    segment: Option<(u32, u32)>,
    start: Option<Vec<(&'static str, Value)>>,
}

impl Value {
    fn of(attribute: &str, rng: &mut Rng) -> Self {
        let number = rng.choice([1, 2, 10]).unwrap();
        let text = rng.choice(["a", "ab", "b"]).unwrap();
        match attribute {
            "p" => Self::Number(rng.i64(1..3)),
            "n" | "x" => Self::Number(number),
            _ => Self::Text(text),
        }
    }

    fn write(&self, rng: &mut Rng) -> String {
        match self {
            Self::Text(text) => format!(r#"{{"S":"{text}"}}"#),
            Self::Number(number) => {
                let text = match rng.u8(..4) {
                    0 => format!("{number}"),
                    1 => format!("{number}.00"),
                    2 => format!("+0{number}e0"),
                    _ => format!("{number}0E-1"),
                };
                format!(r#"{{"N":"{text}"}}"#)
            }
        }
    }

    fn sort_rank(&self) -> (i64, &'static str) {
        match self {
            Self::Number(number) => (*number, ""),
            Self::Text(text) => (0, text),
        }
    }
}

impl Comparison {
    fn of(attribute: &'static str, operators: &[&'static str], rng: &mut Rng) -> Self {
        let is_number = matches!(Value::of(attribute, rng), Value::Number(_));
        let operators = operators.iter().copied();
        let fitting: Vec<_> = operators.filter(|operator| !is_number || *operator != "BEGINS_WITH").collect();
        let operator = rng.choice(fitting).unwrap();
        let count = match operator {
            "NULL" | "NOT_NULL" => 0,
            "BETWEEN" | "IN" => 2,
            _ => 1,
        };
        let mut values: Vec<Value> = (0..count).map(|_| Value::of(attribute, rng)).collect();
        values.sort_by_key(Value::sort_rank);
        Self { attribute, operator, values }
    }
}

const KEY_OPERATORS: [&str; 7] = ["EQ", "LT", "LE", "GT", "GE", "BETWEEN", "BEGINS_WITH"];
const FILTER_OPERATORS: [&str; 13] = [
    "EQ",
    "NE",
    "LT",
    "LE",
    "GT",
    "GE",
    "BETWEEN",
    "IN",
    "BEGINS_WITH",
    "CONTAINS",
    "NOT_CONTAINS",
    "NULL",
    "NOT_NULL",
];

impl Meaning {
    /// A random one; the service may refuse it.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let kind = if rng.bool() { PageKind::Query } else { PageKind::Scan };
        let mut meaning = Self {
            kind,
            index: None,
            partition: None,
            sort: None,
            filters: Vec::new(),
            any_filter: false,
            select: Select::Default,
            projection: Vec::new(),
            limit: None,
            backward: false,
            segment: None,
            start: None,
        };
        if rng.bool() {
            meaning.change_index(rng);
        }
        meaning.change_condition(rng);
        for change in [Self::change_filter, Self::change_output, Self::change_limit, Self::change_start] {
            if rng.u8(..3) == 0 {
                change(&mut meaning, rng);
            }
        }
        match kind {
            PageKind::Query => meaning.backward = rng.bool(),
            PageKind::Scan if rng.u8(..4) == 0 => meaning.change_segment(rng),
            PageKind::Scan => {}
        }
        meaning
    }

    /// Another meaning, which differs from this one in one member.
    pub(crate) fn changed(&self, rng: &mut Rng) -> Self {
        loop {
            let mut other = self.clone();
            match rng.u8(..7) {
                0 => other.change_condition(rng),
                1 => other.change_filter(rng),
                2 => other.change_output(rng),
                3 => other.change_limit(rng),
                4 => other.change_start(rng),
                5 if self.kind == PageKind::Query => other.backward = !self.backward,
                5 => other.change_segment(rng),
                _ if self.kind == PageKind::Scan => other.change_index(rng),
                _ => continue,
            }
            if other != *self {
                return other;
            }
        }
    }

    fn change_index(&mut self, rng: &mut Rng) {
        self.index = Some(rng.usize(..INDEXES.len()));
        // What else depends on the index would not fit any more.
        self.start = None;
    }

    fn change_condition(&mut self, rng: &mut Rng) {
        if self.kind == PageKind::Scan {
            return;
        }
        let (_, _, partition, sort) =
            self.index.map_or(("", IndexKind::Local, "p", Some("r")), |position| INDEXES[position]);
        self.partition = Some(Comparison::of(partition, &["EQ"], rng));
        self.sort = sort.filter(|_| rng.bool()).map(|sort| Comparison::of(sort, &KEY_OPERATORS, rng));
    }

    fn change_filter(&mut self, rng: &mut Rng) {
        let names = ["x", "y", "z"].into_iter().filter(|_| rng.bool()).collect::<Vec<_>>();
        self.filters = names.into_iter().map(|name| Comparison::of(name, &FILTER_OPERATORS, rng)).collect();
        self.any_filter = self.filters.len() > 1 && rng.bool();
    }

    fn change_output(&mut self, rng: &mut Rng) {
        self.projection = ["p", "x", "y"].into_iter().filter(|_| rng.u8(..4) == 0).collect();
        self.select = match self.projection.is_empty() {
            true if rng.bool() => Select::Count,
            // Elsewhere, this is the default by another name.
            true if self.index == Some(0) && rng.bool() => Select::All,
            _ => Select::Default,
        };
    }

    fn change_limit(&mut self, rng: &mut Rng) {
        self.limit = Some(rng.u32(1..5));
    }

    fn change_segment(&mut self, rng: &mut Rng) {
        let total = rng.u32(1..4);
        self.segment = Some((rng.u32(..total), total));
    }

    fn change_start(&mut self, rng: &mut Rng) {
        let mut names = vec!["p", "r"];
        if let Some((_, _, partition, sort)) = self.index.map(|position| INDEXES[position]) {
            names.extend([partition].into_iter().chain(sort).filter(|name| *name != "p"));
        }
        let mut start: Vec<(&str, Value)> =
            names.into_iter().map(|name| (name, Value::of(name, rng))).collect();
        // A start in another partition would be refused.
        if let Some(partition) = &self.partition {
            let own = start.iter_mut().filter(|(name, _)| *name == partition.attribute);
            own.for_each(|(_, value)| *value = partition.values[0].clone());
        }
        self.start = Some(start);
    }

    /// The body of a request with this meaning, written in one of many ways.
    pub(crate) fn write(&self, rng: &mut Rng) -> String {
        let mut writer = Writer { rng, members: Vec::new(), names: Vec::new(), values: Vec::new() };
        writer.text("TableName", "pages");
        if writer.rng.bool() {
            self.write_expressions(&mut writer);
        } else {
            self.write_legacy(&mut writer);
        }
        self.write_rest(&mut writer);
        writer.finish()
    }

    fn write_expressions(&self, writer: &mut Writer<'_>) {
        let mut keys: Vec<&Comparison> = self.partition.iter().chain(&self.sort).collect();
        writer.rng.shuffle(&mut keys);
        let keys: Vec<String> = keys.into_iter().map(|test| writer.test(test)).collect();
        if !keys.is_empty() {
            writer.text("KeyConditionExpression", &keys.join(" AND "));
        }
        let mut filters: Vec<&Comparison> = self.filters.iter().collect();
        writer.rng.shuffle(&mut filters);
        let mut tests: Vec<String> = filters.into_iter().map(|test| writer.test(test)).collect();
        let joint = if self.any_filter { " or " } else { " AND " };
        if tests.len() == 3 && writer.rng.bool() {
            let last = tests.split_off(1).join(joint);
            tests.push(format!("({last})"));
        }
        if !tests.is_empty() {
            writer.text("FilterExpression", &tests.join(joint));
        }
        let mut projection = self.projection.clone();
        writer.rng.shuffle(&mut projection);
        let projection: Vec<String> = projection.into_iter().map(|name| writer.name(name)).collect();
        if !projection.is_empty() {
            writer.text("ProjectionExpression", &projection.join(" , "));
        }
    }

    fn write_legacy(&self, writer: &mut Writer<'_>) {
        let keys: Vec<&Comparison> = self.partition.iter().chain(&self.sort).collect();
        writer.legacy_tests("KeyConditions", keys);
        let member = if self.kind == PageKind::Query { "QueryFilter" } else { "ScanFilter" };
        writer.legacy_tests(member, self.filters.iter().collect());
        if self.any_filter {
            writer.text("ConditionalOperator", "OR");
        } else if self.filters.len() > 1 && writer.rng.bool() {
            writer.text("ConditionalOperator", "AND");
        }
        let mut projection = self.projection.clone();
        writer.rng.shuffle(&mut projection);
        if !projection.is_empty() {
            writer.raw("AttributesToGet", format!("{projection:?}"));
        }
    }

    fn write_rest(&self, writer: &mut Writer<'_>) {
        if let Some(position) = self.index {
            writer.text("IndexName", INDEXES[position].0);
        }
        let default = match (self.projection.is_empty(), self.index) {
            (false, _) => "SPECIFIC_ATTRIBUTES",
            (true, None) => "ALL_ATTRIBUTES",
            (true, Some(1 | 2)) if writer.rng.bool() => "ALL_ATTRIBUTES",
            (true, Some(_)) => "ALL_PROJECTED_ATTRIBUTES",
        };
        match self.select {
            Select::Count => writer.text("Select", "COUNT"),
            Select::All => writer.text("Select", "ALL_ATTRIBUTES"),
            Select::Default if writer.rng.bool() => writer.text("Select", default),
            Select::Default => {}
        }
        if let Some(limit) = self.limit {
            writer.raw("Limit", limit.to_string());
        }
        if self.backward {
            writer.raw("ScanIndexForward", "false".to_owned());
        } else if self.kind == PageKind::Query && writer.rng.bool() {
            writer.raw("ScanIndexForward", "true".to_owned());
        }
        if let Some((segment, total)) = self.segment {
            writer.raw("Segment", segment.to_string());
            writer.raw("TotalSegments", total.to_string());
        }
        if let Some(start) = &self.start {
            let mut members: Vec<String> =
                start.iter().map(|(name, value)| member(name, value, writer.rng)).collect();
            writer.rng.shuffle(&mut members);
            writer.raw("ExclusiveStartKey", format!("{{{}}}", members.join(",")));
        }
        if writer.rng.bool() {
            writer.raw("ConsistentRead", "false".to_owned());
        }
        if writer.rng.u8(..4) == 0 {
            writer.raw("FilterExpression", "null".to_owned());
        }
    }
}

fn member(name: &str, value: &Value, rng: &mut Rng) -> String {
    format!(r#""{name}":{}"#, value.write(rng))
}

/// A body under way.
struct Writer<'r> {
    rng: &'r mut Rng,
    members: Vec<(&'static str, String)>,
    names: Vec<String>,
    values: Vec<String>,
}

impl Writer<'_> {
    fn raw(&mut self, name: &'static str, json: String) {
        if !self.members.iter().any(|(member, _)| *member == name) {
            self.members.push((name, json));
        }
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.raw(name, format!("{text:?}"));
    }

    /// The attribute in an expression, plainly or by a name for it.
    fn name(&mut self, attribute: &str) -> String {
        if self.rng.bool() {
            return attribute.to_owned();
        }
        let placeholder = format!("#{}{}", self.rng.alphabetic(), self.names.len());
        self.names.push(format!(r#""{placeholder}":"{attribute}""#));
        placeholder
    }

    fn value(&mut self, value: &Value) -> String {
        let placeholder = format!(":{}{}", self.rng.alphabetic(), self.values.len());
        let json = value.write(self.rng);
        self.values.push(format!(r#""{placeholder}":{json}"#));
        placeholder
    }

    fn test(&mut self, test: &Comparison) -> String {
        let name = self.name(test.attribute);
        let mut values: Vec<String> = test.values.iter().map(|value| self.value(value)).collect();
        let (operator, turned) = match test.operator {
            "EQ" => ("=", "="),
            "NE" => ("<>", "<>"),
            "LT" => ("<", ">"),
            "LE" => ("<=", ">="),
            "GT" => (">", "<"),
            "GE" => (">=", "<="),
            "BETWEEN" => return format!("{name} BETWEEN {} AND {}", values[0], values[1]),
            "IN" => {
                self.rng.shuffle(&mut values);
                return format!("{name} in ({})", values.join(","));
            }
            "BEGINS_WITH" => return format!("begins_with({name}, {})", values[0]),
            "CONTAINS" => return format!("contains({name}, {})", values[0]),
            "NOT_CONTAINS" => {
                let again = self.name(test.attribute);
                return format!("(not contains({name}, {}) and attribute_exists({again}))", values[0]);
            }
            "NULL" => return format!("attribute_not_exists({name})"),
            "NOT_NULL" => return format!("attribute_exists({name})"),
            other => panic!("{other} has no expression"),
        };
        if self.rng.bool() {
            format!("{name} {operator} {}", values[0])
        } else {
            format!("{} {turned} {name}", values[0])
        }
    }

    fn legacy_tests(&mut self, name: &'static str, mut tests: Vec<&Comparison>) {
        if tests.is_empty() {
            return;
        }
        self.rng.shuffle(&mut tests);
        let mut members = Vec::new();
        for test in tests {
            let mut values: Vec<String> = test.values.iter().map(|value| value.write(self.rng)).collect();
            if test.operator == "IN" {
                self.rng.shuffle(&mut values);
            }
            let list = match values.is_empty() {
                true => String::new(),
                false => format!(r#","AttributeValueList":[{}]"#, values.join(",")),
            };
            let (attribute, operator) = (test.attribute, test.operator);
            members.push(format!(r#""{attribute}":{{"ComparisonOperator":"{operator}"{list}}}"#));
        }
        self.raw(name, format!("{{{}}}", members.join(",")));
    }

    fn finish(mut self) -> String {
        for (name, pairs) in [
            ("ExpressionAttributeNames", std::mem::take(&mut self.names)),
            ("ExpressionAttributeValues", std::mem::take(&mut self.values)),
        ] {
            if !pairs.is_empty() {
                self.raw(name, format!("{{{}}}", pairs.join(",")));
            }
        }
        self.rng.shuffle(&mut self.members);
        let members: Vec<String> =
            self.members.iter().map(|(name, json)| format!(r#""{name}":{json}"#)).collect();
        format!("{{{}}}", members.join(","))
    }
}
