//! The parameters of a statement: attribute values, with numbers read as PartiQL reads them.

use crate::model::{ApiError, AttributeValue};
use crate::wire::Json;
use crate::wire::attribute::{LEVELS_MAX, Reader, read_deeper_value, too_deep};

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

/// Looks for what is too deep (a parameter may have one level more than another value) and for numbers that are none, in the order of the text.
fn check(value: &Json<'_>, level: usize) -> Result<(), ApiError> {
    if level > LEVELS_MAX {
        return Err(too_deep());
    }
    for (name, content) in value.members().unwrap_or_default() {
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

/// A number's exponent and scale have 32 bits, and so has what the service makes of them.
fn check_number(json: &Json<'_>) -> Result<(), ApiError> {
    let Some(text) = json.text() else { return Ok(()) };
    let unconvertible = || {
        let words = "The parameter cannot be converted to a numeric value";
        ApiError::validation(if text.is_empty() { words.to_owned() } else { format!("{words}: {text}") })
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| unconvertible())?),
        None => (text, 0),
    };
    let digits = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let scale = i32::try_from(fraction.len() as i64 - i64::from(exponent));
    let (true, Ok(scale)) = (is_number, scale) else { return Err(unconvertible()) };
    let significant = format!("{whole}{fraction}").trim_start_matches('0').len();
    let precision = i32::try_from(significant).map_err(|_| unconvertible())?;
    // The difference that decides the magnitude wraps around, as was observed.
    match precision.overflowing_sub(scale) {
        (_, false) => Ok(()),
        (_, true) if precision == 0 => Ok(()),
        (_, true) => Err(ApiError::validation(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        )),
    }
}
