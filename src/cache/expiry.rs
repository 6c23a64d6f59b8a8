//! When items expire by the upstream's own time to live.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::AttributeValue;
use crate::wire::Json;
use crate::wire::attribute::{Reader, read_value};

/// DynamoDB leaves items alone that expired longer ago: so old a time is a mistake.
const AGE_SECONDS_MAX: u64 = 5 * 365 * 24 * 60 * 60;

/// The earliest second since 1970 at which an item in an answer's `Item` or `Items` expires. Items that DynamoDB does not remove
/// are passed over: without the attribute, with another type than a number, or with a time of more than five years ago.
pub(super) fn earliest_expiry(body: &[u8], attribute: &str) -> Option<u64> {
    let body = Json::parse(body).ok()?;
    let items = body.get("Items").and_then(Json::elements).unwrap_or_default();
    let expiries = body.get("Item").into_iter().chain(items).filter_map(|item| expiry(item, attribute));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    expiries.filter(|second| *second >= now.saturating_sub(AGE_SECONDS_MAX)).min()
}

fn expiry(item: &Json<'_>, attribute: &str) -> Option<u64> {
    let AttributeValue::N(number) = read_value(item.get(attribute)?, Reader::Newer).ok()? else {
        return None;
    };
    // A fraction of a second does not count.
    let text = number.to_string();
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_item_to_expire_decides_and_those_that_never_do_are_passed_over() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let item = |value: &str| {
            format!(r#"{{"id":{{"S":"a"}},"until":{value},"m":{{"M":{{"until":{{"N":"1"}}}}}}}}"#)
        };
        let number = |second: u64| format!(r#"{{"N":"{second}"}}"#);
        let of_item =
            |value: &str| earliest_expiry(format!(r#"{{"Item":{}}}"#, item(value)).as_bytes(), "until");
        assert_eq!(of_item(&number(now + 60)), Some(now + 60));
        assert_eq!(of_item(&number(now - 60)), Some(now - 60), "it may be removed at any time");
        assert_eq!(of_item(&format!(r#"{{"N":"{now}.75"}}"#)), Some(now));
        for never in [number(7), number(now - AGE_SECONDS_MAX - 60), r#"{"S":"1"}"#.to_owned()] {
            assert_eq!(of_item(&never), None, "{never}");
        }
        let page = [now + 90, now + 30, 7].map(|second| item(&number(second))).join(",");
        let page = format!(r#"{{"Items":[{page}],"Count":3}}"#);
        assert_eq!(earliest_expiry(page.as_bytes(), "until"), Some(now + 30));
        assert_eq!(earliest_expiry(b"{}", "until"), None);
        assert_eq!(earliest_expiry(br#"{"Count":3}"#, "until"), None);
    }
}
