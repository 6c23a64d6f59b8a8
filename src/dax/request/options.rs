//! The options of a data call: a map of small integers.

use crate::dax::cbor::{Malformed, Reader};
use crate::dax::expression::{Expressions, Language};
use crate::dax::object::Object;
use crate::model::ApiError;

use super::{Client, malformed, truth};

/// The options that clients send, by their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    ProjectionExpression = 0,
    /// Python's copy of the names; the expressions have them already.
    ExpressionAttributeNames = 1,
    ConsistentRead = 2,
    ReturnConsumedCapacity = 3,
    ConditionExpression = 4,
    /// Python's copy of the values.
    ExpressionAttributeValues = 5,
    ReturnItemCollectionMetrics = 6,
    ReturnValues = 7,
    UpdateExpression = 8,
    ExclusiveStartKey = 9,
    FilterExpression = 10,
    IndexName = 11,
    Limit = 13,
    ScanIndexForward = 14,
    Select = 15,
    Segment = 16,
    TotalSegments = 17,
    ClientRequestToken = 19,
}

/// The keys of which nobody ever sends a value: a query's key condition and a batch's items are arguments.
const UNUSED: [i64; 2] = [12, 18];

/// One more than the greatest key.
const KEYS_END: usize = 20;

/// How deep an option's value may be nested. Attribute values among the copies of Python are the deepest.
const DEPTH_MAX: usize = 256;

/// What `Select` says when it says nothing, or `ALL_ATTRIBUTES`.
const SELECT_ALL: i128 = 1;

/// The options of one request.
#[derive(Clone, Debug)]
pub(super) struct Options<'a> {
    /// The encoded value of each key. Python sends a condition's text and then its code, both under the same key: the last counts.
    values: [Option<&'a [u8]>; KEYS_END],
}

impl<'a> Options<'a> {
    /// Reads the map, or `null` in its place.
    ///
    /// # Errors
    /// A validation error for what is no such map, or has a key that no client sends.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        let mut values = [None; KEYS_END];
        if reader.take_null().map_err(malformed)? {
            return Ok(Self { values });
        }
        let mut members = reader.map().map_err(malformed)?;
        while members.next(reader).map_err(malformed)? {
            let key = reader.int_64().map_err(malformed)?;
            let value = reader.item(DEPTH_MAX).map_err(malformed)?;
            let place = usize::try_from(key).ok().filter(|_| !UNUSED.contains(&key));
            let place = place.and_then(|place| values.get_mut(place));
            let place = place.ok_or_else(|| {
                ApiError::validation(format!("The request cannot be read: its option {key} is not known"))
            })?;
            *place = Some(value);
        }
        Ok(Self { values })
    }

    /// The value of an option, read by `read`; `None` for an option that is not given, or `null`.
    fn given<T>(
        &self,
        name: Parameter,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.values[name as usize] else { return Ok(None) };
        let mut reader = Reader::new(value);
        if reader.take_null().map_err(malformed)? {
            return Ok(None);
        }
        let value = read(&mut reader).map_err(|fault| {
            ApiError::validation(format!("The request cannot be read: in its {name:?}, {fault}"))
        })?;
        Ok(Some(value))
    }

    pub(super) fn bytes(&self, name: Parameter) -> Result<Option<&'a [u8]>, ApiError> {
        self.given(name, Reader::bytes)
    }

    fn int(&self, name: Parameter) -> Result<Option<i128>, ApiError> {
        self.given(name, Reader::int)
    }

    /// True if the client is Python's, by the copies that it alone sends.
    fn are_of_python(&self) -> bool {
        [Parameter::ExpressionAttributeNames, Parameter::ExpressionAttributeValues]
            .iter()
            .any(|name| self.values[*name as usize].is_some())
    }

    /// The index that is read.
    pub(super) fn index(&self) -> Result<Option<&'a str>, ApiError> {
        self.given(Parameter::IndexName, |reader| {
            str::from_utf8(reader.bytes()?).map_err(|_| Malformed::Invalid("a name is not UTF-8"))
        })
    }

    /// True of what asks for a count alone.
    pub(super) fn counts(&self) -> Result<bool, ApiError> {
        Ok(self.int(Parameter::Select)? == Some(3))
    }

    /// True if a read with these options shows whole items and nothing else, from memory where that has them.
    pub(super) fn are_of_a_plain_read(&self) -> bool {
        self.values.iter().enumerate().all(|(place, value)| match value {
            None => true,
            // `false`, 0 or `null`.
            Some(value) if place == Parameter::ConsistentRead as usize => {
                matches!(value, [0xf4 | 0x00 | 0xf6])
            }
            Some(value) if place == Parameter::ReturnConsumedCapacity as usize => {
                matches!(value, [0x00 | 0xf6])
            }
            Some(_) => false,
        })
    }

    /// `ReturnValues` by its number.
    pub(super) fn return_values(&self) -> Result<Option<i128>, ApiError> {
        self.int(Parameter::ReturnValues)
    }

    /// True when the capacity that the request consumes is to be told.
    pub(super) fn shows_capacity(&self) -> Result<bool, ApiError> {
        Ok(self.int(Parameter::ReturnConsumedCapacity)?.is_some_and(|choice| choice != 0))
    }

    /// True when the metrics of item collections are to be told.
    pub(super) fn shows_metrics(&self) -> Result<bool, ApiError> {
        Ok(self.int(Parameter::ReturnItemCollectionMetrics)?.is_some_and(|choice| choice != 0))
    }

    /// Adds the expressions but for the projection.
    ///
    /// # Errors
    /// Those of [`Expressions::add`].
    pub(super) fn add_expressions(&self, expressions: &mut Expressions<'a>) -> Result<(), ApiError> {
        for (name, language) in [
            (Parameter::ConditionExpression, Language::Condition),
            (Parameter::UpdateExpression, Language::Update),
            (Parameter::FilterExpression, Language::Filter),
        ] {
            if let Some(code) = self.bytes(name)? {
                expressions.add(language, code)?;
            }
        }
        Ok(())
    }

    /// Writes all options that need no schema and are no expressions. DynamoDB passes over those that are not of its operation.
    ///
    /// # Errors
    /// A validation error for a value of a wrong type. Values that are out of range are for DynamoDB to reject.
    pub(super) fn write(&self, request: &mut Object<'_>, client: Client) -> Result<(), ApiError> {
        for (name, member) in
            [(Parameter::ConsistentRead, "ConsistentRead"), (Parameter::ScanIndexForward, "ScanIndexForward")]
        {
            if let Some(truth) = self.given(name, truth)? {
                request.member(member).extend_from_slice(if truth { b"true" } else { b"false" });
            }
        }
        for (name, member) in [
            (Parameter::Limit, "Limit"),
            (Parameter::Segment, "Segment"),
            (Parameter::TotalSegments, "TotalSegments"),
        ] {
            if let Some(number) = self.int(name)? {
                request.member(member).extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
        }
        self.write_choice(Parameter::ReturnConsumedCapacity, &["NONE", "TOTAL", "INDEXES"], request)?;
        self.write_choice(Parameter::ReturnItemCollectionMetrics, &["NONE", "SIZE"], request)?;
        let values = ["", "NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"];
        self.write_choice(Parameter::ReturnValues, &values, request)?;
        let means_it = client != Client::SelectsAlways || self.are_of_python();
        if means_it || self.int(Parameter::Select)? != Some(SELECT_ALL) {
            let values = ["", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "COUNT", "SPECIFIC_ATTRIBUTES"];
            self.write_choice(Parameter::Select, &values, request)?;
        }
        if let Some(index) = self.index()? {
            request.text("IndexName", index);
        }
        if let Some(token) = self.given(Parameter::ClientRequestToken, Reader::text)? {
            request.text("ClientRequestToken", token);
        }
        Ok(())
    }

    /// Writes one of the values that an option may have. A number that stands for none of them is written as such, and DynamoDB says
    /// which values there are. `NONE` is what DynamoDB takes for granted.
    fn write_choice(
        &self,
        name: Parameter,
        values: &[&str],
        request: &mut Object<'_>,
    ) -> Result<(), ApiError> {
        let Some(number) = self.int(name)? else { return Ok(()) };
        let value = usize::try_from(number).ok().and_then(|place| values.get(place));
        match value.filter(|value| !value.is_empty()) {
            Some(&"NONE") => {}
            Some(value) => request.text(&format!("{name:?}"), value),
            None => request.text(&format!("{name:?}"), itoa::Buffer::new().format(number)),
        }
        Ok(())
    }
}
