//! The parameters of a statement: attribute values, with numbers read as PartiQL reads them.

use crate::model::partiql::{DecimalFault, check_decimal};
use crate::model::{ApiError, AttributeValue};
use crate::wire::Json;
use crate::wire::attribute::{LEVELS_MAX, Reader, read_deeper_value, refuse_empty_sets, too_deep};

/// The values of the `Parameters` member.
///
/// # Errors
/// The service's own: of several faults the first in the order of the text, unlike elsewhere.
pub(super) fn parameters(request: &Json<'_>) -> Result<Vec<AttributeValue>, ApiError> {
    let parameters = request.get("Parameters").and_then(Json::elements).unwrap_or_default();
    let value = |parameter: &Json<'_>| {
        check(parameter, 0)?;
        read_deeper_value(parameter, Reader::Older)
    };
    parameters.iter().map(value).collect()
}

/// Looks for what is too deep (a parameter may have one level more than another value) and for numbers that are none, in the
/// order of the text. Only of one value that claims several types an empty set is told before a number.
fn check(value: &Json<'_>, level: usize) -> Result<(), ApiError> {
    if level > LEVELS_MAX {
        return Err(too_deep());
    }
    let members = value.members().unwrap_or_default();
    if members.len() > 1 {
        refuse_empty_sets(value)?;
    }
    for (name, content) in members {
        match name.as_ref() {
            "N" => check_number(content)?,
            "NS" => content.elements().unwrap_or_default().iter().try_for_each(check_number)?,
            "M" => {
                let members = content.members().unwrap_or_default();
                members.iter().try_for_each(|(_, inner)| check(inner, level + 1))?;
            }
            "L" => {
                let elements = content.elements().unwrap_or_default();
                elements.iter().try_for_each(|inner| check(inner, level + 1))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_number(json: &Json<'_>) -> Result<(), ApiError> {
    let Some(text) = json.text() else { return Ok(()) };
    let unconvertible = || {
        let words = "The parameter cannot be converted to a numeric value";
        ApiError::validation(if text.is_empty() { words.to_owned() } else { format!("{words}: {text}") })
    };
    check_decimal(text).map_err(|fault| match fault {
        DecimalFault::Unreadable => unconvertible(),
        DecimalFault::Underflow => ApiError::validation(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
    })
}
