//! What the cache must read of a request: which item it names, and which part of it the client wants.
//!
//! A GetItem that may be a hit is read in one borrowed pass: by the [scanner](super::scan) if it has the plainest form, and by
//! serde_json if not. Whatever is not plainly of the known form is not understood here (`None`), and the caller sends it upstream,
//! which then says what is wrong with it or knows more than we do.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::scan::Scanner;
use crate::model::key::write_sortable_bytes;
use crate::model::key_attribute::{KeyAttribute, KeyRole, ScalarType};
use crate::model::{KeySchema, Number};
use crate::wire::Json;
use crate::wire::json::{Text, write_string};

/// A GetItem, borrowed from its body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetItem<'a> {
    /// The table's name or ARN, as written.
    #[serde(rename = "TableName", borrow)]
    pub table_name: Text<'a>,
    /// The key, as written.
    #[serde(rename = "Key", borrow)]
    pub key: KeyText<'a>,
    /// True for a strongly consistent read.
    #[serde(rename = "ConsistentRead", default)]
    pub consistent_read: Option<bool>,
    /// What to say of consumed capacity.
    #[serde(rename = "ReturnConsumedCapacity", default)]
    pub return_consumed_capacity: Option<ReturnConsumedCapacity>,
    /// Set when the client wants a part of the item, as an expression. Its text is read from the tree of the body.
    #[serde(rename = "ProjectionExpression", default)]
    pub projection_expression: Option<IgnoredAny>,
    /// Set when there are names for the expression.
    #[serde(rename = "ExpressionAttributeNames", default)]
    pub names: Option<IgnoredAny>,
    /// Set when the client wants a part of the item, in the legacy way.
    #[serde(rename = "AttributesToGet", default)]
    pub attributes_to_get: Option<IgnoredAny>,
}

impl<'a> GetItem<'a> {
    /// Reads a body; `None` when it is not plainly a GetItem.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        Self::scan(body).or_else(|| Self::read(body))
    }

    /// Reads a body of the plainest form, for a whole item.
    fn scan(body: &'a [u8]) -> Option<Self> {
        let mut scanner = Scanner::new(body)?;
        let (mut table_name, mut key, mut consistent_read, mut consumed) = (None, None, None, None);
        scanner.object(|scanner, name| {
            match name {
                "TableName" if table_name.is_none() => table_name = Some(scanner.string()?),
                "Key" if key.is_none() => key = Some(KeyText::scan(scanner)?),
                "ConsistentRead" if consistent_read.is_none() => consistent_read = Some(scanner.boolean()?),
                "ReturnConsumedCapacity" if consumed.is_none() => {
                    consumed = Some(ReturnConsumedCapacity::from_name(scanner.string()?)?);
                }
                _ => return None,
            }
            Some(())
        })?;
        scanner.is_at_end().then_some(Self {
            table_name: Text(Cow::Borrowed(table_name?)),
            key: key?,
            consistent_read,
            return_consumed_capacity: consumed,
            projection_expression: None,
            names: None,
            attributes_to_get: None,
        })
    }

    /// Reads a body of any spelling.
    fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
    }

    /// True when the client wants the whole item.
    pub fn is_whole(&self) -> bool {
        self.projection_expression.is_none() && self.names.is_none() && self.attributes_to_get.is_none()
    }
}

/// `ReturnConsumedCapacity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ReturnConsumedCapacity {
    /// Nothing is said.
    #[default]
    #[serde(rename = "NONE")]
    None,
    /// The total of each table.
    #[serde(rename = "TOTAL")]
    Total,
    /// The total, and each table's and index's part.
    #[serde(rename = "INDEXES")]
    Indexes,
}

impl ReturnConsumedCapacity {
    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "NONE" => Some(Self::None),
            "TOTAL" => Some(Self::Total),
            "INDEXES" => Some(Self::Indexes),
            _ => None,
        }
    }

    /// The name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Total => "TOTAL",
            Self::Indexes => "INDEXES",
        }
    }
}

/// A `Key` member as written: at most two attributes, each of one scalar type.
#[derive(Debug)]
pub struct KeyText<'a>([Option<KeyPart<'a>>; 2]);

/// One attribute of a key: its name and its value.
type KeyPart<'a> = (Text<'a>, Scalar<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for KeyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FewVisitor(std::marker::PhantomData)).map(Self)
    }
}

/// The text of one scalar attribute value.
#[derive(Debug)]
struct Scalar<'a> {
    scalar_type: ScalarType,
    text: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members: [Option<(Text<'de>, Text<'de>)>; 1] =
            deserializer.deserialize_map(FewVisitor(std::marker::PhantomData))?;
        let [Some((name, text))] = members else { return Err(D::Error::custom("no type")) };
        let scalar_type = ScalarType::from_name(&name.0).ok_or_else(|| D::Error::custom("not a scalar"))?;
        Ok(Self { scalar_type, text })
    }
}

/// Reads an object of at most `N` members, without allocating.
struct FewVisitor<T, const N: usize>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for FewVisitor<T, N> {
    type Value = [Option<(Text<'de>, T)>; N];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object of at most {N} members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut few: Self::Value = std::array::from_fn(|_| None);
        for index in 0..N {
            let Some(member) = members.next_entry::<Text<'de>, T>()? else { return Ok(few) };
            if few.iter().flatten().any(|(name, _)| *name == member.0) {
                return Err(A::Error::custom("a member is named twice"));
            }
            few[index] = Some(member);
        }
        match members.next_key::<IgnoredAny>()? {
            None => Ok(few),
            Some(_) => Err(A::Error::custom("too many members")),
        }
    }
}

impl<'a> Scalar<'a> {
    #[inline]
    fn scan(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut scalar = None;
        scanner.object(|scanner, name| {
            let text = Text(Cow::Borrowed(scanner.string()?));
            let read = Self { scalar_type: ScalarType::from_name(name)?, text };
            scalar.replace(read).is_none().then_some(())
        })?;
        scalar
    }
}

impl<'a> KeyText<'a> {
    /// Reads a key of the plainest form.
    #[inline]
    pub(super) fn scan(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut parts: [Option<KeyPart<'a>>; 2] = [None, None];
        scanner.object(|scanner, name| {
            let scalar = Scalar::scan(scanner)?;
            let is_other = parts.iter().flatten().all(|(other, _)| other.0 != name);
            let place = parts.iter_mut().find(|part| part.is_none()).filter(|_| is_other)?;
            *place = Some((Text(Cow::Borrowed(name)), scalar));
            Some(())
        })?;
        Some(Self(parts))
    }

    /// The key of these attributes, of which the first is there if the second is: names, types and values.
    pub(super) fn of_parts(parts: [Option<(&'a str, ScalarType, &'a str)>; 2]) -> Self {
        let part = |(name, scalar_type, text)| {
            let scalar = Scalar { scalar_type, text: Text(Cow::Borrowed(text)) };
            (Text(Cow::Borrowed(name)), scalar)
        };
        Self(parts.map(|attribute| attribute.map(part)))
    }

    /// The names, types and values of its attributes, where they are borrowed.
    pub(super) fn borrowed_parts(&self) -> [Option<(&'a str, ScalarType, &'a str)>; 2] {
        let part = |(name, scalar): &KeyPart<'a>| match (&name.0, &scalar.text.0) {
            (Cow::Borrowed(name), Cow::Borrowed(text)) => Some((*name, scalar.scalar_type, *text)),
            _ => None,
        };
        [0, 1].map(|position| self.0[position].as_ref().and_then(part))
    }

    fn parts(&self) -> impl Iterator<Item = &KeyPart<'a>> {
        self.0.iter().flatten()
    }

    /// Appends the key as JSON: the reading that we acted on, whatever other readings the client's text may have.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, scalar)) in self.parts().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&name.0, out);
            out.extend_from_slice(b":{\"");
            out.extend_from_slice(scalar.scalar_type.name().as_bytes());
            out.extend_from_slice(b"\":");
            write_string(&scalar.text.0, out);
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// The key's canonical bytes, when it has exactly the attributes of the schema and every value is a valid one.
    pub fn canonical_bytes(&self, schema: &KeySchema) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(64);
        self.write_canonical(schema, &mut out)?;
        Some(out)
    }

    /// As [`KeyText::canonical_bytes`], behind what is there already. If it is `None`, some bytes may have been appended.
    pub fn write_canonical(&self, schema: &KeySchema, out: &mut Vec<u8>) -> Option<()> {
        if self.parts().count() != schema.partition.len() + schema.sort.len() {
            return None;
        }
        write_canonical(schema, out, |name| {
            let (_, scalar) = self.parts().find(|(member, _)| member.0 == name)?;
            Some((scalar.scalar_type, scalar.text.0.as_ref()))
        })
    }
}

/// The canonical bytes of a `Key` member in a tree: exactly the attributes of the schema.
pub fn key_bytes(schema: &KeySchema, key: &Json<'_>) -> Option<Vec<u8>> {
    if key.members()?.len() != schema.attributes().count() {
        return None;
    }
    item_key_bytes(schema, key)
}

/// The canonical bytes of the key inside an `Item` member in a tree.
pub fn item_key_bytes(schema: &KeySchema, item: &Json<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    write_canonical(schema, &mut out, |name| scalar_in(item, name))?;
    Some(out)
}

/// The canonical bytes of the partition values inside an `Item` or a `Key` member in a tree: what the whole key begins with.
pub fn item_partition_bytes(schema: &KeySchema, item: &Json<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(32);
    for attribute in &schema.partition {
        write_key_value(attribute, KeyRole::Partition, scalar_in(item, &attribute.name)?, &mut out)?;
    }
    Some(out)
}

fn scalar_in<'t>(item: &'t Json<'_>, name: &str) -> Option<(ScalarType, &'t str)> {
    match item.get(name)?.members()? {
        [(scalar_type, value)] => Some((ScalarType::from_name(scalar_type)?, value.text()?)),
        _ => None,
    }
}

fn write_canonical<'t>(
    schema: &KeySchema,
    out: &mut Vec<u8>,
    text_of: impl Fn(&str) -> Option<(ScalarType, &'t str)>,
) -> Option<()> {
    let roles = [(&schema.partition, KeyRole::Partition), (&schema.sort, KeyRole::Sort)];
    for (attributes, role) in roles {
        for attribute in attributes {
            write_key_value(attribute, role, text_of(&attribute.name)?, out)?;
        }
    }
    Some(())
}

/// Appends one key value as [`crate::model::KeyValue::write_sortable`] does, without making it first.
fn write_key_value(
    attribute: &KeyAttribute,
    role: KeyRole,
    (scalar_type, text): (ScalarType, &str),
    out: &mut Vec<u8>,
) -> Option<()> {
    if scalar_type != attribute.scalar_type {
        return None;
    }
    let fits = |bytes: &[u8]| !bytes.is_empty() && bytes.len() <= role.bytes_max();
    match scalar_type {
        ScalarType::S => fits(text.as_bytes()).then(|| write_sortable_bytes(text.as_bytes(), out)),
        ScalarType::N => Number::parse(text).ok().map(|number| number.write_sortable(out)),
        ScalarType::B => {
            // Strict: a text with other trailing bits or padding is another text of the same bytes, and not ours to judge.
            let bytes = BASE64.decode(text).ok()?;
            fits(&bytes).then(|| write_sortable_bytes(&bytes, out))
        }
    }
}

/// True for a body that has the member of a consistent read, written as most programs write it. Whoever looks further finds out what
/// it is.
pub fn is_plainly_strong(body: &[u8]) -> bool {
    const NAME: &[u8] = b"\"ConsistentRead\":";
    // To make one costs ten times what a body costs.
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(NAME));
    let behind = |at: usize| body[at + NAME.len()..].trim_ascii_start();
    FINDER.find_iter(body).any(|at| behind(at).starts_with(b"true"))
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::wire::damaged;

    fn schema(types: &[(&str, ScalarType)]) -> KeySchema {
        let attribute = |(name, scalar_type): &(&str, ScalarType)| KeyAttribute {
            name: (*name).to_owned(),
            scalar_type: *scalar_type,
        };
        KeySchema {
            partition: types[..1].iter().map(attribute).collect(),
            sort: types[1..].iter().map(attribute).collect(),
        }
    }

    fn key_of(body: &str, schema: &KeySchema) -> Option<Vec<u8>> {
        GetItem::parse(body.as_bytes())?.key.canonical_bytes(schema)
    }

    /// A body that is mostly sound.
    fn body(random: &mut Rng) -> String {
        let table = ["Tab", "", "T\\u0061b", "arn:aws:dynamodb:eu-west-1:1:table/Tab"][random.usize(..4)];
        let mut members =
            vec![format!("\"TableName\":\"{table}\""), format!("\"Key\" : {}", damaged::key(random))];
        let others = [
            r#""ConsistentRead":true"#,
            r#""ConsistentRead": false"#,
            r#""ConsistentRead":null"#,
            r#""ReturnConsumedCapacity":"TOTAL""#,
            r#""ReturnConsumedCapacity":"SOME""#,
            r#""ReturnConsumedCapacity":null"#,
            r##""ProjectionExpression":"#n, p""##,
            r##""ExpressionAttributeNames":{"#n":"n\u00e9"}"##,
            r#""AttributesToGet":["p",1.50,1e400]"#,
            r#""Unknown":1"#,
        ];
        while random.u8(..3) == 0 {
            let usual = [4, others.len()][usize::from(random.u8(..3) == 0)];
            members.push(others[random.usize(..usual)].to_owned());
        }
        random.shuffle(&mut members);
        let space = ["", " ", "\n\t"][random.usize(..3)];
        format!("{space}{{{}{space}}}{space}", members.join(","))
    }

    /// Sound bodies in random spellings, and such with random damage. `NEARSIDE_SEED` replays a run.
    #[test]
    fn what_the_scanner_reads_of_a_get_is_what_serde_reads() {
        let given = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        println!("replay with NEARSIDE_SEED={seed}");
        let mut random = Rng::with_seed(seed);
        let compare = |body: &[u8]| {
            let scanned = GetItem::scan(body);
            let shown = String::from_utf8_lossy(body).into_owned();
            if let Some(scanned) = &scanned {
                let read = GetItem::read(body).unwrap_or_else(|| panic!("serde reads nothing: {shown}"));
                assert_eq!(format!("{scanned:?}"), format!("{read:?}"), "{shown}");
            }
            // A read that is answered by the upstream may have to be written anew, and asks strongly then.
            if GetItem::parse(body).is_some_and(|get| get.is_whole()) {
                assert!(Json::parse_request(body).is_ok(), "it cannot be read again: {shown}");
            }
            usize::from(scanned.is_some())
        };
        let (mut sound, mut damaged) = (0, 0);
        for _ in 0..damaged::BODIES {
            let mut body = body(&mut random).into_bytes();
            sound += compare(&body);
            for _ in 0..random.usize(1..3) {
                damaged::damage(&mut body, &mut random);
            }
            damaged += compare(&body);
        }
        println!("{sound} and {damaged} of {} read", damaged::BODIES);
        assert!(
            sound > damaged::BODIES / 4 && damaged > damaged::BODIES / 200,
            "the scanner had no part in this"
        );
    }

    #[test]
    fn the_plainest_gets_are_scanned() {
        for body in [
            r#"{"TableName":"Tab","Key":{"id":{"S":"a"}}}"#,
            r#"{"TableName": "Tab", "Key": {"id": {"S": "a"}, "at": {"N": "1"}}, "ConsistentRead": false}"#,
            r#"{"Key":{"id":{"B":"AAEC"}},"ReturnConsumedCapacity":"TOTAL","TableName":"Tab"}"#,
        ] {
            assert!(GetItem::scan(body.as_bytes()).is_some(), "{body}");
        }
    }

    #[test]
    fn every_spelling_of_a_key_has_the_same_bytes() {
        let schema = schema(&[("id", ScalarType::N), ("at", ScalarType::S)]);
        let spelled = |number: &str, text: &str| {
            key_of(
                &format!(r#"{{"TableName":"t","Key":{{"at":{{"S":"{text}"}},"id":{{"N":"{number}"}}}}}}"#),
                &schema,
            )
        };
        let expected = spelled("1", "a");
        assert!(expected.is_some());
        for (number, text) in [("1.0", "a"), ("1e0", "a"), ("+01", "\\u0061"), ("100e-2", "a")] {
            assert_eq!(spelled(number, text), expected, "{number} {text}");
        }
        assert_ne!(spelled("10", "a"), expected);
        assert_ne!(spelled("1", "A"), expected);
    }

    #[test]
    fn the_borrowed_key_is_the_models_key() {
        let schema = schema(&[("id", ScalarType::B), ("at", ScalarType::N)]);
        let body = r#"{"TableName":"t","Key":{"id":{"B":"AAECAA=="},"at":{"N":"-12.50"}}}"#;
        let item = crate::model::Item::from([
            ("id".to_owned(), crate::model::AttributeValue::B(vec![0, 1, 2, 0].into())),
            ("at".to_owned(), crate::model::AttributeValue::N(Number::parse("-12.5").unwrap())),
        ]);
        assert_eq!(key_of(body, &schema), Some(schema.key_exactly(&item).unwrap().canonical_bytes()));
        let tree = Json::parse(body.as_bytes()).unwrap();
        assert_eq!(key_bytes(&schema, tree.get("Key").unwrap()), key_of(body, &schema));
        let mut partition = Vec::new();
        schema.key_exactly(&item).unwrap().write_partition(&mut partition);
        assert_eq!(item_partition_bytes(&schema, tree.get("Key").unwrap()), Some(partition));
    }

    #[test]
    fn what_is_not_plainly_a_get_is_not_understood() {
        let schema = schema(&[("id", ScalarType::S)]);
        for body in [
            "",
            "null",
            "[]",
            r#"{"TableName":"t"}"#,
            r#"{"TableName":"t","Key":{}}"#,
            r#"{"TableName":"t","Key":{"id":{"S":""}}}"#,
            r#"{"TableName":"t","Key":{"id":{"N":"1"}}}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a","N":"1"}}}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a"},"x":{"S":"b"}}}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a"},"id":{"S":"a"}}}"#,
            r#"{"TableName":"t","Key":{"id":{"S":["a"]}}}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a"}},"Surprise":1}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a"}},"ConsistentRead":"yes"}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a"}},"ReturnConsumedCapacity":"SOME"}"#,
            r#"{"TableName":"t","Key":{"id":{"S":"a"}}} x"#,
            r#"{"TableName":"t","TableName":"u","Key":{"id":{"S":"a"}}}"#,
        ] {
            assert_eq!(key_of(body, &schema), None, "{body}");
        }
    }
}
