//! The names of tables in Amazon Resource Names.

/// The table's name in a name or an ARN of a table, its index, stream or backup; any other text as it is.
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
    fn a_name_and_an_arn_name_the_same_table() {
        assert_eq!(table_name("Orders"), "Orders");
        assert_eq!(table_name("arn:aws:dynamodb:us-east-1:000000000000:table/Orders"), "Orders");
        assert_eq!(table_name("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/index/byTime"), "Orders");
    }
}
