//! The order of number sets where it is not that of their values.
//!
//! The service keeps a set's numbers in the order of their values, but Scan, PartiQL, transactions, the reasons of a cancelled
//! one and streams give them in the order of a hash set of Java, as was recorded in most regions in October 2026.

use memchr::memmem;

use crate::model::Number;

const NUMBER_SET: &[u8] = b"{\"NS\":[";

/// Appends a part of an answer, its number sets in hash order. `json` is text as this backend writes it, in which nothing but
/// a number set begins as one does: within strings the quotes would be escaped.
pub(super) fn write_hashed(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(start) = memmem::find(rest, NUMBER_SET) {
        let (before, set) = rest.split_at(start + NUMBER_SET.len());
        let end = memchr::memchr(b']', set).unwrap_or(set.len());
        out.extend_from_slice(before);
        write_members(&set[..end], out);
        rest = &set[end..];
    }
    out.extend_from_slice(rest);
}

/// The same as text of its own.
pub(super) fn hashed(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    write_hashed(json, &mut out);
    out
}

/// The same of a text.
pub(super) fn hashed_text(json: &str) -> String {
    String::from_utf8(hashed(json.as_bytes())).expect("members only change places")
}

fn write_members(members: &[u8], out: &mut Vec<u8>) {
    let written: Vec<&[u8]> = members.split(|byte| *byte == b',').collect();
    let hash = |member: &&[u8]| {
        let number = str::from_utf8(member).ok().and_then(|text| Number::parse(text.trim_matches('"')).ok());
        let hash = number.map_or(0, Number::java_hash) as u32;
        hash ^ (hash >> 16)
    };
    let hashes: Vec<u32> = written.iter().map(hash).collect();
    for (position, member) in hash_order(&hashes).into_iter().enumerate() {
        out.extend_from_slice(if position > 0 { b"," } else { b"" });
        out.extend_from_slice(written[member]);
    }
}

/// The order in which a hash set of Java gives members that were put into it one after the other.
fn hash_order(hashes: &[u32]) -> Vec<usize> {
    let mut buckets: usize = 16;
    for count in 1..=hashes.len() {
        let is_crowded = |buckets: usize| {
            let bucket = |hash: u32| hash as usize & (buckets - 1);
            let newest = bucket(hashes[count - 1]);
            hashes[..count].iter().filter(|hash| bucket(**hash) == newest).count() > 8
        };
        // A bucket of many doubles a small table, too.
        if count > buckets / 4 * 3 || (buckets < 64 && is_crowded(buckets)) {
            buckets *= 2;
        }
    }
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|member| hashes[*member] as usize & (buckets - 1));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_sets_anywhere_are_given_in_hash_order_and_nothing_else_is_touched() {
        for (json, expected) in [
            (r#"{"a":{"NS":["1","2","3"]}}"#, r#"{"a":{"NS":["3","2","1"]}}"#),
            (
                r#"{"l":{"L":[{"M":{"n":{"NS":["-10","-1","-0.5","0","0.5","25","100","1000"]}}}]},"z":{"NS":["7"]}}"#,
                r#"{"l":{"L":[{"M":{"n":{"NS":["0","25","-0.5","0.5","1000","100","-1","-10"]}}}]},"z":{"NS":["7"]}}"#,
            ),
            (
                r#"{"NS":{"SS":["1","2","3"]},"s":{"S":"{\"NS\":[\"1\",\"2\"]}"}}"#,
                r#"{"NS":{"SS":["1","2","3"]},"s":{"S":"{\"NS\":[\"1\",\"2\"]}"}}"#,
            ),
        ] {
            assert_eq!(str::from_utf8(&hashed(json.as_bytes())), Ok(expected));
        }
    }

    #[test]
    fn every_member_keeps_its_place_in_a_set_of_any_size() {
        let numbers: Vec<String> = (0..100).map(|number| format!("\"{number}\"")).collect();
        let json = format!("{{\"NS\":[{}]}}", numbers.join(","));
        let once = String::from_utf8(hashed(json.as_bytes())).unwrap();
        assert_ne!(once, json);
        let mut members: Vec<&str> = once["{\"NS\":[".len()..once.len() - 2].split(',').collect();
        members.sort_by_key(|member| member.trim_matches('"').parse::<u32>().unwrap());
        assert_eq!(members, numbers);
    }
}
