//! A BatchGetItem that may be all hits, read in one borrowed pass, as [`GetItem`](super::request::GetItem) is.
//!
//! The pass builds no tree of the keys. It reads the plain form only: any other body is `None`, and the caller reads the tree.
//! If it reads a body, the tree is acceptable too and says the same.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::Json;
use crate::wire::json::Text;
use crate::wire::request::{KeyText, ReturnConsumedCapacity};

/// The most tables of a batch that is read here. Their names are compared one by one.
const TABLES_MAX: usize = 16;

/// A BatchGetItem, borrowed from its body.
#[derive(Debug)]
pub struct BatchGetItem<'a> {
    /// Each table's part, in the order of the body. No two have one spelling.
    pub tables: Vec<TableKeys<'a>>,
    /// What to say of consumed capacity.
    pub return_consumed_capacity: ReturnConsumedCapacity,
}

/// One table's part of it.
#[derive(Debug)]
pub struct TableKeys<'a> {
    /// The table's name or ARN, as written.
    pub spelling: Text<'a>,
    /// The elements of `Keys`, as written.
    pub keys: Vec<KeyText<'a>>,
    /// An object of the other members, in their order.
    pub others: Json<'a>,
}

impl<'a> BatchGetItem<'a> {
    /// Reads a body; `None` when it is not plainly a BatchGetItem, or when it asks for more than `keys_max` keys.
    pub fn parse(body: &'a [u8], keys_max: usize) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
        let batch = Batch { keys_max }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| batch)
    }
}

/// The whole body.
struct Batch {
    keys_max: usize,
}

impl<'de> DeserializeSeed<'de> for Batch {
    type Value = BatchGetItem<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Batch {
    type Value = BatchGetItem<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a BatchGetItem")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut tables, mut consumed) = (None, None);
        while let Some(name) = members.next_key::<Text<'de>>()? {
            match &*name.0 {
                "RequestItems" if tables.is_none() => {
                    tables = Some(members.next_value_seed(Tables { keys_left: self.keys_max })?);
                }
                "ReturnConsumedCapacity" if consumed.is_none() => {
                    let kind = ReturnConsumedCapacity::from_name(&members.next_value::<Text<'de>>()?.0);
                    consumed = Some(kind.ok_or_else(|| A::Error::custom("an unknown kind"))?);
                }
                _ => return Err(A::Error::custom("a member that is unknown, or named twice")),
            }
        }
        Ok(BatchGetItem {
            tables: tables.ok_or_else(|| A::Error::custom("no RequestItems"))?,
            return_consumed_capacity: consumed.unwrap_or_default(),
        })
    }
}

/// `RequestItems`.
struct Tables {
    keys_left: usize,
}

impl<'de> DeserializeSeed<'de> for Tables {
    type Value = Vec<TableKeys<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tables {
    type Value = Vec<TableKeys<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the parts of tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut tables, mut keys_left): (Vec<TableKeys<'de>>, _) = (Vec::new(), self.keys_left);
        while let Some(spelling) = members.next_key::<Text<'de>>()? {
            if tables.len() == TABLES_MAX || tables.iter().any(|table| table.spelling == spelling) {
                return Err(A::Error::custom("too many tables, or one that is named twice"));
            }
            let Part { keys, others } = members.next_value_seed(PartSeed { keys_left })?;
            keys_left -= keys.len();
            tables.push(TableKeys { spelling, keys, others });
        }
        Ok(tables)
    }
}

/// A table's part without its name.
struct Part<'a> {
    keys: Vec<KeyText<'a>>,
    others: Json<'a>,
}

struct PartSeed {
    keys_left: usize,
}

impl<'de> DeserializeSeed<'de> for PartSeed {
    type Value = Part<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PartSeed {
    type Value = Part<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table's part")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut keys, mut others) = (None, Vec::new());
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            match &*name {
                "Keys" if keys.is_none() => {
                    keys = Some(members.next_value_seed(Keys { keys_left: self.keys_left })?);
                }
                "ConsistentRead"
                | "ProjectionExpression"
                | "ExpressionAttributeNames"
                | "AttributesToGet"
                    if others.iter().all(|(other, _)| *other != name) =>
                {
                    let text: &'de RawValue = members.next_value()?;
                    others.push((name, shallow_value(text.get()).ok_or_else(|| A::Error::custom("deep"))?));
                }
                _ => return Err(A::Error::custom("a member that is unknown, or named twice")),
            }
        }
        let keys = keys.ok_or_else(|| A::Error::custom("no Keys"))?;
        Ok(Part { keys, others: Json::Object(others.into()) })
    }
}

/// A value of two levels at most: no member beside `Keys` has more, and a tree has its limit of levels from the whole body.
fn shallow_value(text: &str) -> Option<Json<'_>> {
    let value = Json::parse_request(text.as_bytes()).ok()?;
    let is_scalar = |value: &Json<'_>| !matches!(value, Json::Array(_) | Json::Object(_));
    let is_shallow = match &value {
        Json::Array(elements) => elements.iter().all(is_scalar),
        Json::Object(members) => members.iter().all(|(_, value)| is_scalar(value)),
        _ => true,
    };
    is_shallow.then_some(value)
}

/// `Keys`.
struct Keys {
    keys_left: usize,
}

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Vec<KeyText<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<KeyText<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::with_capacity(self.keys_left.min(16));
        while let Some(key) = elements.next_element::<KeyText<'de>>()? {
            if keys.len() == self.keys_left {
                return Err(A::Error::custom("too many keys"));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::model::KeySchema;
    use crate::model::key_attribute::{KeyAttribute, ScalarType};
    use crate::wire::json::write_json;
    use crate::wire::request::key_bytes;

    const KEYS_MAX: usize = 5;
    const BODIES: usize = 20_000;

    /// Sound bodies in random spellings, and such with random damage. `NEARSIDE_SEED` replays a run.
    #[test]
    fn what_the_pass_reads_is_what_the_tree_says() {
        let given = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        println!("replay with NEARSIDE_SEED={seed}");
        let mut random = Rng::with_seed(seed);
        let (mut sound, mut damaged) = (0, 0);
        for _ in 0..BODIES {
            let mut body = body(&mut random).into_bytes();
            sound += usize::from(compare(&body));
            for _ in 0..random.usize(1..3) {
                damage(&mut body, &mut random);
            }
            damaged += usize::from(compare(&body));
        }
        println!("{sound} and {damaged} of {BODIES} read");
        assert!(sound > BODIES / 10 && damaged > BODIES / 200, "the pass had no part in this");
    }

    /// True if the pass reads the body.
    fn compare(body: &[u8]) -> bool {
        let Some(batch) = BatchGetItem::parse(body, KEYS_MAX) else { return false };
        let shown = String::from_utf8_lossy(body);
        let tree = Json::parse_request(body).unwrap_or_else(|error| panic!("{error}: {shown}"));
        let members = tree.members().unwrap();
        assert!(members.iter().all(|(name, _)| name == "RequestItems" || name == "ReturnConsumedCapacity"));
        let consumed = tree.get("ReturnConsumedCapacity");
        let consumed = consumed.map(|name| ReturnConsumedCapacity::from_name(name.text().unwrap()).unwrap());
        assert_eq!(batch.return_consumed_capacity, consumed.unwrap_or_default(), "{shown}");
        let tables = tree.get("RequestItems").and_then(Json::members).unwrap();
        assert_eq!(batch.tables.len(), tables.len(), "{shown}");
        for (read, (spelling, part)) in batch.tables.iter().zip(tables) {
            assert_eq!(read.spelling.0, *spelling, "{shown}");
            let others = part.members().unwrap().iter().filter(|(name, _)| name != "Keys");
            assert_eq!(read.others.members().unwrap(), others.cloned().collect::<Vec<_>>(), "{shown}");
            let keys = part.get("Keys").and_then(Json::elements).unwrap();
            assert_eq!(read.keys.len(), keys.len(), "{shown}");
            for (read, key) in read.keys.iter().zip(keys) {
                for schema in schemas() {
                    assert_eq!(read.canonical_bytes(&schema), key_bytes(&schema, key), "{shown}");
                }
                let (mut of_pass, mut of_tree) = (Vec::new(), Vec::new());
                read.write_json(&mut of_pass);
                write_json(key, &mut of_tree);
                assert_eq!(of_pass, of_tree, "{shown}");
            }
        }
        true
    }

    fn schemas() -> [KeySchema; 3] {
        let attribute = |name: &str, scalar_type| vec![KeyAttribute { name: name.to_owned(), scalar_type }];
        [
            KeySchema { partition: attribute("p", ScalarType::S), sort: Vec::new() },
            KeySchema { partition: attribute("p", ScalarType::S), sort: attribute("r", ScalarType::N) },
            KeySchema { partition: attribute("r", ScalarType::B), sort: attribute("p", ScalarType::N) },
        ]
    }

    /// A body that is mostly sound.
    fn body(random: &mut Rng) -> String {
        let tables: Vec<String> = (0..random.usize(..3)).map(|_| table(random)).collect();
        let mut members = vec![format!("\"RequestItems\":{{{}}}", tables.join(","))];
        if random.u8(..4) == 0 {
            let kind = ["\"TOTAL\"", "\"NONE\"", "\"INDEXES\"", "\"SOME\"", "null", "{\"TOTAL\":null}"];
            members.push(format!("\"ReturnConsumedCapacity\":{}", kind[random.usize(..kind.len())]));
        }
        if random.u8(..16) == 0 {
            members.push(members[0].clone());
        }
        random.shuffle(&mut members);
        let space = ["", " ", "\n\t"][random.usize(..3)];
        format!("{space}{{{}{space}}}{space}", members.join(","))
    }

    fn table(random: &mut Rng) -> String {
        let keys: Vec<String> = (0..random.usize(..7)).map(|_| key(random)).collect();
        let mut members = vec![format!("\"Keys\" : [{}]", keys.join(" ,"))];
        let others = [
            r#""ConsistentRead":true"#,
            r#""ConsistentRead":null"#,
            r#""ConsistentRead":"yes""#,
            r##""ProjectionExpression":"#n, p""##,
            r##""ExpressionAttributeNames":{"#n":"n\u00e9"}"##,
            r#""AttributesToGet":["p",1.50,1e400]"#,
            r#""AttributesToGet":["p","x"]"#,
            r#""AttributesToGet":[[{"a":1}]]"#,
            r#""Unknown":1"#,
        ];
        while random.u8(..3) == 0 {
            members.push(others[random.usize(..others.len())].to_owned());
        }
        random.shuffle(&mut members);
        let name = ["Tab", "Other", "T\\u0061b", "arn:aws:dynamodb:eu-west-1:1:table/Tab"];
        format!("\"{}\":{{{}}}", name[random.usize(..name.len())], members.join(","))
    }

    fn key(random: &mut Rng) -> String {
        let names = ["p", "r", "\\u0070", "x", ""];
        let values = [
            r#""S":"a""#,
            r#""S":"\"\\\u00e9\n""#,
            r#""S":"""#,
            r#""N":"1""#,
            r#""N":"1.0e3""#,
            r#""N":"x""#,
            r#""N":1"#,
            r#""B":"AAEC""#,
            r#""B":"AAE""#,
            r#""SS":["a"]"#,
            r#""S":null"#,
            r#""S":"\ud800""#,
            r#""S":"a","N":"1""#,
            r#""S":"a","S":"a""#,
        ];
        let rarely = |random: &mut Rng, all: usize, usual: usize| match random.u8(..8) {
            0 => random.usize(..all),
            _ => random.usize(..usual),
        };
        let attributes = (0..rarely(random, 4, 2) + 1).map(|place| {
            let name = names[if random.u8(..8) == 0 { random.usize(..names.len()) } else { place % 2 }];
            format!("\"{name}\":{{{}}}", values[rarely(random, values.len(), 5)])
        });
        format!("{{{}}}", attributes.collect::<Vec<_>>().join(","))
    }

    /// Changes, removes, repeats or inserts a few bytes.
    fn damage(body: &mut Vec<u8>, random: &mut Rng) {
        if body.is_empty() {
            return;
        }
        let from = random.usize(..body.len());
        let to = (from + random.usize(1..12)).min(body.len());
        match random.u8(..6) {
            0 => body[from] = random.u8(..),
            1 => drop(body.drain(from..to)),
            2 => {
                let piece = body[from..to].to_vec();
                let place = random.usize(..=body.len());
                body.splice(place..place, piece);
            }
            3 => body.insert(from, b"{}[]\",:\\ n0"[random.usize(..11)]),
            4 => body[from] = b"{}[]\",:\\ n0"[random.usize(..11)],
            _ => {
                let deep = [b"[".repeat(130), b"]".repeat(130)].concat();
                body.splice(from..from, deep);
            }
        }
    }

    #[test]
    fn a_plain_body_needs_no_tree() {
        let body = |keys: &str| format!(r#"{{"RequestItems":{{"Tab":{{"Keys":[{keys}]}}}}}}"#);
        let keys = [r#"{"p":{"S":"a"},"r":{"N":"1"}}"#; KEYS_MAX].join(",");
        assert_eq!(
            BatchGetItem::parse(body(&keys).as_bytes(), KEYS_MAX).unwrap().tables[0].keys.len(),
            KEYS_MAX
        );
        let more = format!(r#"{keys},{{"p":{{"S":"b"}}}}"#);
        assert!(BatchGetItem::parse(body(&more).as_bytes(), KEYS_MAX).is_none());
    }
}
