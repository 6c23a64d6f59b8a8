//! The values of partition attributes, as condition keys have them: numbers in DynamoDB's normal form, bytes in base64.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Subject;
use crate::model::{AttributeValue, KeySchema, Number, TableSchema};
use crate::rights::context::{ConditionKey, Context, Values};
use crate::wire::Json;

/// Sets the keys of the partition attributes from the `Key` or `Item` members of one table. They are unknown if the table is,
/// or if a member lacks one.
pub(super) fn set_of_items<'j>(
    context: &mut Context,
    subject: Subject<'_>,
    spelling: &str,
    items: impl Iterator<Item = Option<&'j Json<'j>>> + Clone,
) {
    set(context, subject, spelling, None, |_, name| {
        let values = items.clone().map(|item| text_of_json(item?.get(name)?));
        values.collect()
    });
}

/// Sets them by what `values_of` gives for each attribute of the key of the table or the index, by key and name; `None` is unknown.
pub(super) fn set(
    context: &mut Context,
    subject: Subject<'_>,
    spelling: &str,
    index: Option<&str>,
    values_of: impl Fn(&KeySchema, &str) -> Option<Vec<String>>,
) {
    if !context.asks_for_partition() {
        return;
    }
    let schema = subject.schemas.schema(spelling);
    let key = schema.as_deref().and_then(|schema| key_of(schema, index));
    let Some(key) = key else {
        context.unknown_table = Some(spelling.to_owned());
        (0..4).for_each(|position| context.put_partition(position, || Values::Unknown));
        return;
    };
    for (position, attribute) in key.partition.iter().enumerate() {
        context.put_partition(position, || {
            values_of(key, &attribute.name).map_or(Values::Unknown, Values::Known)
        });
    }
}

/// Sets the attributes of a request for a page: those that it names, and those of the keys of its table and its index. A page that is
/// not the last ends with the key of an item, whatever is projected. They are unknown if the table is, or if `named` is.
pub(super) fn set_attributes_of_page(
    context: &mut Context,
    subject: Subject<'_>,
    spelling: &str,
    index: Option<&str>,
    named: impl FnOnce() -> Option<BTreeSet<String>>,
) {
    if !context.asks_for(ConditionKey::Attributes) {
        return;
    }
    let schema = subject.schemas.schema(spelling);
    let of_index = schema.as_deref().and_then(|schema| Some((&schema.key, key_of(schema, index)?)));
    let Some((of_table, of_index)) = of_index else {
        context.unknown_table = Some(spelling.to_owned());
        context.set(ConditionKey::Attributes, Values::Unknown);
        return;
    };
    let of_keys = of_table.attributes().chain(of_index.attributes()).map(|attribute| attribute.name.clone());
    let names = named().map(|named| named.into_iter().chain(of_keys).collect::<BTreeSet<_>>());
    let values = names.map_or(Values::Unknown, |names| Values::Known(names.into_iter().collect()));
    context.set(ConditionKey::Attributes, values);
}

/// The key of a table or of its index.
pub(super) fn key_of<'s>(schema: &'s TableSchema, index: Option<&str>) -> Option<&'s KeySchema> {
    match index {
        None => Some(&schema.key),
        Some(name) => schema.index(name).map(|index| &index.key),
    }
}

/// The text of a value of a key attribute; `None` for what is none.
pub(super) fn text_of(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::S(text) => Some(text.clone()),
        AttributeValue::N(number) => Some(number.to_string()),
        AttributeValue::B(bytes) => Some(BASE64.encode(bytes)),
        _ => None,
    }
}

fn text_of_json(value: &Json<'_>) -> Option<String> {
    let [(type_name, value)] = value.members()? else { return None };
    let text = value.text()?;
    match type_name.as_ref() {
        "S" => Some(text.to_owned()),
        "N" => Number::parse(text).ok().map(|number| number.to_string()),
        // Of two texts of the same bytes, only the normal one is compared.
        "B" => BASE64.decode(text).ok().map(|bytes| BASE64.encode(bytes)),
        _ => None,
    }
}
