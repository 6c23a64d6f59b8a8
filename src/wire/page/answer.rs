//! The page in an answer of Query or Scan.

use bytes::Bytes;

use crate::wire::Json;
use crate::wire::json::write_json;
use crate::wire::raw::RawObject;

/// An answer, parted into what it shows and what it cost.
#[derive(Debug, PartialEq, Eq)]
pub struct PageAnswer {
    /// The page, as the answer writes it: the same whether its cost was asked for or not. It begins with its brace.
    pub body: Bytes,
    /// The `ConsumedCapacity`, as JSON.
    pub consumed: Option<Vec<u8>>,
}

impl PageAnswer {
    /// Reads the body of a success; `None` when it is not one. Pages may be long, and most are read once, so nothing is taken
    /// apart that need not be.
    pub fn read(body: &Bytes) -> Option<Self> {
        Self::of(body, &RawObject::parse(body)?)
    }

    /// The same of a body whose members are read.
    pub fn of(body: &Bytes, answer: &RawObject<'_>) -> Option<Self> {
        answer.get("Count")?;
        let consumed = answer.get("ConsumedCapacity").map(|consumed| consumed.as_bytes().to_vec());
        // Whoever shows a page puts members before its first one.
        if consumed.is_none() && body.starts_with(b"{") {
            return Some(Self { body: body.clone(), consumed });
        }
        let page = answer.without("ConsumedCapacity");
        Some(Self { body: page.into(), consumed })
    }
}

/// True if two bodies are one page, in whatever order their members are written. It takes both apart.
pub fn is_same_page(left: &[u8], right: &[u8]) -> bool {
    let sorted = |body| {
        let mut page = Json::parse(body).ok()?;
        sort_members(&mut page);
        let mut out = Vec::with_capacity(body.len());
        write_json(&page, &mut out);
        Some(out)
    };
    sorted(left).is_some_and(|left| sorted(right) == Some(left))
}

/// Brings the members of every object in order.
fn sort_members(json: &mut Json<'_>) {
    match json {
        Json::Object(members) => {
            members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
            members.iter_mut().for_each(|(_, value)| sort_members(value));
        }
        Json::Array(elements) => elements.iter_mut().for_each(sort_members),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<PageAnswer> {
        PageAnswer::read(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn a_page_is_the_same_bytes_whether_its_cost_is_asked_for_or_not() {
        let plain = r#"{"Items":[{"ConsumedCapacity":{"S":"x"}}],"Count":1,"ScannedCount":2}"#;
        let capacity = r#"{"TableName":"t","CapacityUnits":0.5}"#;
        let page = read(plain).unwrap();
        assert_eq!(page, PageAnswer { body: plain.into(), consumed: None });
        assert_eq!(read(&format!(" {plain}")).unwrap().body, page.body);
        for costly in [
            plain.replace(",\"Scanned", &format!(",\"ConsumedCapacity\":{capacity},\"Scanned")),
            plain.replace("{\"Items", &format!("{{\"ConsumedCapacity\":{capacity},\"Items")),
            plain.replace(":2}", &format!(":2,\"ConsumedCapacity\":{capacity}}}")),
        ] {
            let expected = PageAnswer { consumed: Some(capacity.into()), body: page.body.clone() };
            assert_eq!(read(&costly).unwrap(), expected, "{costly}");
        }
    }

    #[test]
    fn a_page_is_the_same_in_whatever_order_its_members_are_written() {
        let one = r#"{"Count":1,"Items":[{"a":{"S":"x"},"b":{"M":{"c":{"N":"1"},"d":{"L":[{"S":"y"},{"S":"z"}]}}}}]}"#;
        let other = r#"{ "Items":[{"b":{"M":{"d":{"L":[{"S":"y"},{"S":"\u007a"}]},"c":{"N":"1"}}},"a":{"S":"x"}}],"Count":1}"#;
        let turned = one.replace(r#"{"S":"y"},{"S":"z"}"#, r#"{"S":"z"},{"S":"y"}"#);
        assert!(is_same_page(one.as_bytes(), other.as_bytes()));
        assert!(!is_same_page(one.as_bytes(), turned.as_bytes()));
    }

    #[test]
    fn what_is_no_page_is_none() {
        for text in ["", "{}", "[]", r#"{"Items":[]}"#, r#"{"Count":1,"Items":["#, r#"{"Count":1} {"#] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
