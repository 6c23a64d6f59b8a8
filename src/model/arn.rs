//! Amazon Resource Names, and the names of tables in them.

/// The parts of `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. Each may be anything, and only the last has colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, …
    pub partition: &'a str,
    /// `dynamodb` for tables and what belongs to them.
    pub service: &'a str,
    /// The region.
    pub region: &'a str,
    /// The account's number.
    pub account: &'a str,
    /// Such as `table/Orders/stream/2026-11-21T08:09:10.000`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Takes an ARN apart; `None` for text that lacks a part.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let [partition, service, region, account, resource] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        Some(Self { partition, service, region, account, resource })
    }
}

/// The table's name in a name or an ARN of a table, its index, stream or backup; any other text as it is. Parts before the
/// resource may be missing: an upstream may pass over that, and what is invalidated must not depend on it.
pub fn table_name(spelling: &str) -> &str {
    match spelling.strip_prefix("arn:").and_then(|arn| arn.split_once(":table/")) {
        Some((_, resource)) => resource.split('/').next().unwrap_or(resource),
        None => spelling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_five_parts_after_its_prefix() {
        let text = "arn:aws:dynamodb:eu-west-1:000000000000:table/Orders/stream/2026-11-21T08:09:10.000";
        let arn = Arn::parse(text).unwrap();
        let Arn { partition, service, region, account, resource } = arn;
        assert_eq!(format!("arn:{partition}:{service}:{region}:{account}:{resource}"), text);
        assert_eq!((region, resource), ("eu-west-1", "table/Orders/stream/2026-11-21T08:09:10.000"));
        for text in ["Orders", "arn:aws:dynamodb:eu-west-1:table/Orders", "aws:dynamodb:a:b:c:d", ""] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_and_an_arn_name_the_same_table() {
        assert_eq!(table_name("Orders"), "Orders");
        assert_eq!(table_name("arn:aws:dynamodb:us-east-1:000000000000:table/Orders"), "Orders");
        assert_eq!(table_name("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/index/byTime"), "Orders");
        assert_eq!(table_name("arn:x:table/Orders"), "Orders");
        assert_eq!(table_name("x:table/Orders"), "x:table/Orders");
    }
}
