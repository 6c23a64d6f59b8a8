//! A BatchGetItem that may be all hits, read in one borrowed pass, as [`GetItem`](super::request::GetItem) is.
//!
//! The pass builds no tree of the keys. It is made by the [scanner](super::scan) if the body has the plainest form, and by
//! serde_json if not. It reads the plain form only: any other body is `None`, and the caller reads the tree. If it reads a body,
//! the tree is acceptable too and says the same.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::key_pattern::KeyReader;
use super::scan::Scanner;
use crate::wire::Json;
use crate::wire::json::Text;
use crate::wire::request::{KeyText, ReturnConsumedCapacity};

/// The most tables of a batch that is read here. Their names are compared one by one.
const TABLES_MAX: usize = 16;

/// For how many keys there is room at first.
const KEYS_EXPECTED: usize = 16;

/// The most names for expressions that are scanned.
const TEXTS_MAX: usize = 16;

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
        Self::scan(body, keys_max).or_else(|| Self::read(body, keys_max))
    }

    /// Reads a body of the plainest form.
    fn scan(body: &'a [u8], keys_max: usize) -> Option<Self> {
        let mut scanner = Scanner::new(body)?;
        let (mut tables, mut consumed) = (None, None);
        scanner.object(|scanner, name| {
            match name {
                "RequestItems" if tables.is_none() => tables = Some(scan_tables(scanner, keys_max)?),
                "ReturnConsumedCapacity" if consumed.is_none() => {
                    consumed = Some(ReturnConsumedCapacity::from_name(scanner.string()?)?);
                }
                _ => return None,
            }
            Some(())
        })?;
        let (tables, return_consumed_capacity) = (tables?, consumed.unwrap_or_default());
        scanner.is_at_end().then_some(Self { tables, return_consumed_capacity })
    }

    /// Reads a body of any spelling.
    fn read(body: &'a [u8], keys_max: usize) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
        let batch = Batch { keys_max }.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| batch)
    }
}

/// Reads the value of `RequestItems`.
fn scan_tables<'a>(scanner: &mut Scanner<'a>, keys_max: usize) -> Option<Vec<TableKeys<'a>>> {
    let (mut tables, mut keys_left): (Vec<TableKeys<'a>>, _) = (Vec::new(), keys_max);
    scanner.object(|scanner, spelling| {
        if tables.len() == TABLES_MAX || tables.iter().any(|table| table.spelling.0 == spelling) {
            return None;
        }
        let Part { keys, others } = scan_part(scanner, keys_left)?;
        keys_left -= keys.len();
        tables.push(TableKeys { spelling: Text(Cow::Borrowed(spelling)), keys, others });
        Some(())
    })?;
    Some(tables)
}

/// Reads the part of a table.
fn scan_part<'a>(scanner: &mut Scanner<'a>, keys_left: usize) -> Option<Part<'a>> {
    let (mut keys, mut others) = (None, Vec::new());
    scanner.object(|scanner, name| {
        let value = match name {
            "Keys" if keys.is_none() => {
                let (mut read, mut reader) =
                    (Vec::with_capacity(keys_left.min(KEYS_EXPECTED)), KeyReader::default());
                scanner.array(|scanner| {
                    let key = reader.read(scanner)?;
                    (read.len() < keys_left).then(|| read.push(key))
                })?;
                keys = Some(read);
                return Some(());
            }
            "ConsistentRead" => Json::Bool(scanner.boolean()?),
            "ProjectionExpression" => Json::String(Cow::Borrowed(scanner.string()?)),
            "ExpressionAttributeNames" => scan_texts(scanner)?,
            _ => return None,
        };
        let is_first = others.iter().all(|(other, _)| *other != name);
        is_first.then(|| others.push((Cow::Borrowed(name), value)))
    })?;
    Some(Part { keys: keys?, others: Json::Object(others.into()) })
}

/// Reads an object of a few texts.
fn scan_texts<'a>(scanner: &mut Scanner<'a>) -> Option<Json<'a>> {
    let mut texts: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
    scanner.object(|scanner, name| {
        let text = Json::String(Cow::Borrowed(scanner.string()?));
        // The names are compared one by one.
        let fits = texts.len() < TEXTS_MAX && texts.iter().all(|(other, _)| *other != name);
        fits.then(|| texts.push((Cow::Borrowed(name), text)))
    })?;
    Some(Json::Object(texts.into()))
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
    use crate::wire::damaged::{self, BODIES};
    use crate::wire::json::write_json;
    use crate::wire::request::key_bytes;

    const KEYS_MAX: usize = 5;

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
                damaged::damage(&mut body, &mut random);
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
        if let Some(scanned) = BatchGetItem::scan(body, KEYS_MAX) {
            let read =
                BatchGetItem::read(body, KEYS_MAX).unwrap_or_else(|| panic!("serde reads nothing: {shown}"));
            assert_eq!(format!("{scanned:?}"), format!("{read:?}"), "{shown}");
        }
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
        let keys: Vec<String> = (0..random.usize(..7)).map(|_| damaged::key(random)).collect();
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

    #[test]
    fn the_plainest_batches_are_scanned() {
        for body in [
            r#"{"RequestItems":{"Tab":{"Keys":[{"id":{"S":"a"}},{"id":{"S":"b"}}]}}}"#,
            r#"{"RequestItems": {"Tab": {"Keys": [{"id": {"S": "a"}, "at": {"N": "1"}}], "ConsistentRead": false}}}"#,
            r##"{"ReturnConsumedCapacity":"TOTAL","RequestItems":{"One":{"ExpressionAttributeNames":{"#a":"a"},"Keys":[
                {"id":{"S":"a"}}],"ProjectionExpression":"#a, b"},"Two":{"Keys":[]}}}"##,
        ] {
            assert!(BatchGetItem::scan(body.as_bytes(), KEYS_MAX).is_some(), "{body}");
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
