//! Random tables: keys, indexes and items of a few small values, so that everything meets.

use fastrand::Rng;

/// Attributes that may be of a key, with their types.
const ATTRIBUTES: [(&str, &str); 5] = [("p", "S"), ("r", "N"), ("g", "S"), ("h", "N"), ("n", "N")];

/// A table named `Tab`.
pub(crate) struct Schema {
    pub(crate) has_sort: bool,
    pub(crate) indexes: Vec<Index>,
}

pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) is_global: bool,
    pub(crate) partition: &'static str,
    pub(crate) sort: Option<&'static str>,
    projection: &'static str,
}

impl Schema {
    pub(crate) fn random(random: &mut Rng) -> Self {
        let mut schema = Self { has_sort: random.u8(..4) > 0, indexes: Vec::new() };
        for number in 0..random.usize(1..4) {
            let partition = ATTRIBUTES[random.usize(..5)].0;
            let sort =
                Some(ATTRIBUTES[random.usize(..5)].0).filter(|sort| *sort != partition && random.bool());
            schema.add(format!("global{number}"), true, partition, sort, random);
        }
        for number in 0..if schema.has_sort { random.usize(..3) } else { 0 } {
            let sort = ["g", "h", "n"][random.usize(..3)];
            schema.add(format!("local{number}"), false, "p", Some(sort), random);
        }
        schema
    }

    fn add(
        &mut self,
        name: String,
        is_global: bool,
        partition: &'static str,
        sort: Option<&'static str>,
        random: &mut Rng,
    ) {
        let projections = [
            r#"{"ProjectionType":"ALL"}"#,
            r#"{"ProjectionType":"KEYS_ONLY"}"#,
            r#"{"ProjectionType":"INCLUDE","NonKeyAttributes":["x"]}"#,
        ];
        let projection = projections[random.usize(..3)];
        self.indexes.push(Index { name, is_global, partition, sort, projection });
    }

    fn key(&self) -> (&'static str, Option<&'static str>) {
        ("p", self.has_sort.then_some("r"))
    }

    /// The body of the CreateTable request.
    pub(crate) fn create_table(&self) -> String {
        let keys = self.indexes.iter().map(|index| (index.partition, index.sort)).chain([self.key()]);
        let mut used: Vec<&str> =
            keys.flat_map(|(partition, sort)| [Some(partition), sort]).flatten().collect();
        used.sort_unstable();
        used.dedup();
        let definitions: Vec<_> = used
            .iter()
            .map(|name| format!(r#"{{"AttributeName":"{name}","AttributeType":"{}"}}"#, type_of(name)))
            .collect();
        let list = |member: &str, is_global: bool| {
            let indexes: Vec<_> = self
                .indexes
                .iter()
                .filter(|index| index.is_global == is_global)
                .map(|index| {
                    format!(
                        r#"{{"IndexName":"{}","KeySchema":{},"Projection":{}}}"#,
                        index.name,
                        key_schema(index.partition, index.sort),
                        index.projection
                    )
                })
                .collect();
            match indexes.is_empty() {
                true => String::new(),
                false => format!(r#","{member}":[{}]"#, indexes.join(",")),
            }
        };
        format!(
            r#"{{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{}],"KeySchema":{}{}{}}}"#,
            definitions.join(","),
            key_schema("p", self.key().1),
            list("GlobalSecondaryIndexes", true),
            list("LocalSecondaryIndexes", false)
        )
    }

    /// The members of a random item's key.
    pub(crate) fn item_key(&self, random: &mut Rng) -> String {
        let partition = member("p", random);
        match self.has_sort {
            true => format!("{partition},{}", member("r", random)),
            false => partition,
        }
    }

    /// The members of a random item.
    pub(crate) fn item(&self, random: &mut Rng) -> String {
        let mut item = self.item_key(random);
        for name in ["r", "g", "h", "n", "x", "y"] {
            let is_key = name == "r" && self.has_sort;
            if !is_key && random.u8(..3) > 0 {
                item.push(',');
                item.push_str(&member(name, random));
            }
        }
        item
    }
}

fn key_schema(partition: &str, sort: Option<&str>) -> String {
    let sort =
        sort.map_or(String::new(), |sort| format!(r#",{{"AttributeName":"{sort}","KeyType":"RANGE"}}"#));
    format!(r#"[{{"AttributeName":"{partition}","KeyType":"HASH"}}{sort}]"#)
}

fn type_of(name: &str) -> &'static str {
    ATTRIBUTES.iter().find(|(attribute, _)| *attribute == name).map_or("S", |(_, scalar_type)| scalar_type)
}

/// A random value for an attribute.
pub(crate) fn value(name: &str, random: &mut Rng) -> String {
    match type_of(name) {
        "N" => format!(r#"{{"N":"{}"}}"#, ["1", "2", "3", "1.0", "20e-1"][random.usize(..5)]),
        _ => format!(r#"{{"S":"{}"}}"#, ["a", "b", "c"][random.usize(..3)]),
    }
}

/// An attribute with a random value.
pub(crate) fn member(name: &str, random: &mut Rng) -> String {
    format!(r#""{name}":{}"#, value(name, random))
}
