//! What a page of Query or Scan is charged, and what it costs to read it again.
//!
//! A page of a local index may ask for attributes that the index does not hold. DynamoDB fetches them from the table, item by item,
//! and charges each whole item besides the entries of the index (developer guide, "Local secondary indexes", *Read capacity units*).

use crate::model::capacity::{Basis, Consumed, HiddenRows, ReadPrice, UnitKind, Units};
use crate::model::schema::{IndexKind, Projection, TableSchema};
use crate::model::{IndexSchema, arn};
use crate::wire::Json;
use crate::wire::page::{PageKind, PageQuestion, RowSource};
use crate::wire::size::{item_and_part_sizes, item_sizes};

use super::{Exchange, Sum, hides};
use crate::insight::usage::{IndexUsage, TableUsage};

/// What a page reads.
struct Source<'s> {
    usage: &'s TableUsage,
    index: Option<&'s IndexUsage>,
    kind: IndexKind,
}

/// Whether items of the table are fetched to complete the entries of an index.
enum Fetches<'s> {
    None,
    /// Each; the index has this schema.
    All(&'s TableSchema, &'s IndexSchema),
    /// The index is not known.
    Unknown,
}

impl Exchange<'_> {
    pub(super) fn page(&self, kind: PageKind, sum: &mut Sum) {
        let table = self.name("TableName");
        let usage = self.insight.table(self.realm, arn::table_name(table));
        let schema = usage.schema();
        let name = self.request.get("IndexName").and_then(Json::text);
        let known = name.and_then(|name| schema.as_ref()?.index(name));
        let index = name.map(|name| usage.index(name));
        let source = Source {
            usage: &usage,
            index: index.as_deref(),
            // Of one that is not known it makes no difference to the units.
            kind: known.map_or(IndexKind::Global, |index| index.kind),
        };
        let fetches = match (name, known, schema.as_deref()) {
            (None, ..) => Fetches::None,
            (Some(_), Some(index), Some(schema)) if self.fetches(kind, schema, index) => {
                Fetches::All(schema, index)
            }
            (Some(_), Some(_), _) => Fetches::None,
            (Some(_), None, _) => Fetches::Unknown,
        };
        let (price, basis) = self.page_price(&source, &fetches);
        let now = source.usage.price_now(source.index, price);
        let times = if self.is_strong() { 2 } else { 1 };
        let mut consumed = Consumed::default();
        if let Some(name) = name {
            consumed.add_named_index(source.kind, name, now.index() * times);
        }
        consumed.add_table(now.table() * times);
        sum.add_consumed(table, UnitKind::Read, consumed, basis);
        sum.price(table, price);
    }

    /// What the page costs by what its answer shows, read eventually, and whether that is all.
    fn page_price(&self, source: &Source<'_>, fetches: &Fetches<'_>) -> (ReadPrice, Basis) {
        let items = self.answer.get("Items");
        let number = |member| self.answer.get(member).and_then(|text| text.parse::<usize>().ok());
        let sizes = match fetches {
            Fetches::All(schema, index) => {
                items.and_then(|items| item_and_part_sizes(items, |name| index.projects(&schema.key, name)))
            }
            Fetches::None | Fetches::Unknown => items
                .and_then(item_sizes)
                .map(|sizes| sizes.into_iter().map(|bytes| (bytes, bytes)).collect()),
        };
        let sizes = sizes.unwrap_or_default();
        let scanned = number("ScannedCount").or_else(|| number("Count")).unwrap_or(sizes.len());
        let is_hidden = hides(self.request) || scanned != sizes.len();
        let (items, parts): (Vec<_>, Vec<_>) = sizes.into_iter().unzip();
        let read = Units::eventual_read(parts.iter().sum());
        let each = |sum: Units, bytes: &usize| sum + Units::eventual_read(*bytes);
        let fetched = match fetches {
            Fetches::All(..) => items.iter().fold(Units::default(), each),
            Fetches::None | Fetches::Unknown => Units::default(),
        };
        let price = match source.index {
            Some(_) => ReadPrice::new(fetched, read),
            None => ReadPrice::new(read, Units::default()),
        };
        if is_hidden {
            let rows = u32::try_from(scanned).unwrap_or(u32::MAX);
            let fetched = if matches!(fetches, Fetches::All(..)) { rows } else { 0 };
            return (price.hiding(HiddenRows { read: rows, fetched }), Basis::Estimated);
        }
        match (source.index, fetches) {
            (None, _) => source.usage.sizes.note(&items),
            (Some(index), Fetches::All(..)) => {
                source.usage.sizes.note(&items);
                index.sizes.note(&parts);
            }
            (Some(index), Fetches::None) => index.sizes.note(&parts),
            // Nobody knows whether these are entries of the index.
            (Some(_), Fetches::Unknown) => return (price, Basis::Estimated),
        }
        (price, Basis::Exact)
    }

    /// True if the page has items of the table fetched for entries of this index.
    fn fetches(&self, kind: PageKind, schema: &TableSchema, index: &IndexSchema) -> bool {
        if index.kind == IndexKind::Global || index.projection == Projection::All {
            return false;
        }
        let question = PageQuestion::read(kind, self.request).and_then(|question| question.resolve(schema));
        question.is_ok_and(|page| page.rows == RowSource::Table)
    }

    fn is_strong(&self) -> bool {
        matches!(self.request.get("ConsistentRead"), Some(Json::Bool(true)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::call::{Answer, Request};
    use crate::insight::Insight;
    use crate::insight::charges::tests::charged;
    use crate::model::capacity::{Charge, MeanSizes};
    use crate::model::key_attribute::{KeyAttribute, ScalarType};
    use crate::model::{KeySchema, Operation};

    const TEXT: &str =
        r#""TableName":"t","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{":p":{"S":"x"}}"#;

    /// A table with local indexes `keys` and `all`.
    fn described(insight: &Insight) {
        let attribute = |name: &str| KeyAttribute { name: name.to_owned(), scalar_type: ScalarType::S };
        let key = |sort: &str| KeySchema { partition: vec![attribute("p")], sort: vec![attribute(sort)] };
        let index = |name: &str, projection| {
            let kind = IndexKind::Local;
            IndexSchema { name: name.to_owned(), kind, key: key("l"), projection }
        };
        let indexes = vec![index("all", Projection::All), index("keys", Projection::KeysOnly)];
        let schema = TableSchema { name: "t".to_owned(), id: String::new(), key: key("s"), indexes };
        insight.table(0, "t").describe(&Arc::new(schema));
    }

    fn query(insight: &Insight, more: &str, answer: &str) -> Charge {
        let request = Request::new(Operation::Query, format!("{{{TEXT}{more}}}").into_bytes());
        let mut charges = charged(insight, &request, &Answer::ok(answer.as_bytes().to_vec()));
        assert_eq!(charges.len(), 1);
        charges.remove(0)
    }

    /// An item of that many bytes, of which 1 + 1, 1 + 2 and 1 + 3 are those of its keys.
    fn item(bytes: usize) -> String {
        let keys = r#""p":{"S":"x"},"s":{"S":"yy"},"l":{"S":"zzz"}"#;
        format!(r#"{{{keys},"d":{{"S":"{}"}}}}"#, "d".repeat(bytes - 10))
    }

    /// Half units of the table and of its indexes.
    fn halves(charge: &Charge) -> (u64, u64) {
        (charge.consumed.table().halves(), charge.consumed.indexes().map(|(.., units)| units.halves()).sum())
    }

    #[test]
    fn what_a_local_index_lacks_is_charged_to_the_table_item_by_item() {
        let insight = Insight::default();
        described(&insight);
        let answer = format!(r#"{{"Items":[{},{}],"Count":2,"ScannedCount":2}}"#, item(4097), item(100));
        let whole = r#","IndexName":"keys","Select":"ALL_ATTRIBUTES""#;
        let charge = query(&insight, whole, &answer);
        assert_eq!((halves(&charge), charge.basis), ((2 + 1, 1), Basis::Exact));
        assert_eq!(charge.consumed.indexes().next().map(|(kind, ..)| kind), Some(IndexKind::Local));
        let strong = query(&insight, &format!(r#"{whole},"ConsistentRead":true"#), &answer);
        assert_eq!((halves(&strong), strong.price), ((6, 2), charge.price));
        // An index that has everything is all that is read.
        let charge = query(&insight, r#","IndexName":"all","Select":"ALL_ATTRIBUTES""#, &answer);
        assert_eq!((halves(&charge), charge.basis), ((0, 2), Basis::Exact));
        // So is one that has all that is asked for.
        let charge = query(&insight, r#","IndexName":"keys""#, r#"{"Items":[],"Count":0,"ScannedCount":0}"#);
        assert_eq!((halves(&charge), charge.basis), ((0, 1), Basis::Exact));
        // 20 fetches of some 2,098 bytes, and as many entries of 9 bytes.
        let part = query(
            &insight,
            r#","IndexName":"keys","ProjectionExpression":"s, d""#,
            &answer.replace("\"ScannedCount\":2", "\"ScannedCount\":20"),
        );
        assert_eq!((halves(&part), part.basis), ((20, 1), Basis::Estimated));
        let own = query(&insight, r#","IndexName":"keys","ProjectionExpression":"s, l""#, &answer);
        assert_eq!((halves(&own).0, own.basis), (0, Basis::Estimated));
    }

    #[test]
    fn of_an_index_that_is_not_known_nobody_knows_what_is_fetched() {
        let answer = format!(r#"{{"Items":[{}],"Count":1,"ScannedCount":1}}"#, item(4097));
        let charge = query(&Insight::default(), r#","IndexName":"keys""#, &answer);
        assert_eq!((halves(&charge), charge.basis), ((0, 2), Basis::Estimated));
    }

    #[test]
    fn what_a_filter_hides_is_estimated_by_the_description_first_and_priced_by_all_that_is_known_later() {
        let insight = Insight::default();
        described(&insight);
        let usage = insight.table(0, "t");
        usage.describe_sizes(&MeanSizes { item: Some(4096), entries: vec![("keys".to_owned(), 409)] });
        let filter = r#","FilterExpression":"size(d) < :p""#;
        let charge = query(&insight, filter, r#"{"Items":[],"Count":0,"ScannedCount":10}"#);
        assert_eq!((halves(&charge), charge.basis), ((10, 0), Basis::Estimated));
        let index =
            query(&insight, r#","IndexName":"keys","Select":"COUNT""#, r#"{"Count":20,"ScannedCount":20}"#);
        assert_eq!((halves(&index), index.basis), ((0, 2), Basis::Estimated));
        // Many larger items are seen: a hit saves more than was estimated when the page was read.
        let larger = format!(r#"{{"Items":[{}],"Count":1,"ScannedCount":1}}"#, item(9000));
        for _ in 0..1000 {
            query(&insight, "", &larger);
        }
        let price = usage.price_now(None, charge.price.unwrap());
        assert_eq!(price.table().halves(), (10 * 8847_u64).div_ceil(4096));
        assert_eq!(price.hidden(), HiddenRows::default());
        // It costs what it shows at least.
        let shown = format!(r#"{{"Items":[{}],"Count":1,"ScannedCount":2}}"#, item(100_000));
        assert_eq!(halves(&query(&insight, filter, &shown)), (100_000_u64.div_ceil(4096), 0));
    }
}
