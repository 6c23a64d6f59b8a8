//! The order in which the service lists names that it keeps in a Java hash table: part of some of its messages.

/// How many buckets a table has before anything is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Sixteen, as in a set that grows as it is filled.
    Sixteen,
    /// As many as there are entries, rounded up to a power of two.
    ForCount,
}

/// Puts entries, whose names differ, in the order of such a table. Names of one bucket keep the order in which they are.
pub fn sort_as_java<T>(entries: &mut [T], buckets: Buckets, name: impl Fn(&T) -> &str) {
    let mut count = match buckets {
        Buckets::Sixteen => 16,
        Buckets::ForCount => entries.len().next_power_of_two(),
    };
    // A table doubles as soon as it is more than three quarters full.
    while entries.len() * 4 > count * 3 {
        count *= 2;
    }
    entries.sort_by_cached_key(|entry| bucket(name(entry), count));
}

/// The bucket of a name among `count`, a power of two.
fn bucket(name: &str, count: usize) -> usize {
    let hash =
        name.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ (hash >> 16)) as usize & (count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&'static str], buckets: Buckets) -> Vec<&'static str> {
        let mut names = names.to_vec();
        sort_as_java(&mut names, buckets, |name| name);
        names
    }

    #[test]
    fn a_table_for_the_count_grows_with_its_entries() {
        assert_eq!(sorted(&["a001", "a000", "pk"], Buckets::ForCount), ["a001", "a000", "pk"]);
        assert_eq!(
            sorted(&["bcsb", "bdrw", "bugl", "pk"], Buckets::ForCount),
            ["bdrw", "pk", "bcsb", "bugl"]
        );
        assert_eq!(sorted(&["PK", "h", "a", "unused"], Buckets::ForCount), ["h", "a", "unused", "PK"]);
    }

    #[test]
    fn a_set_has_sixteen_buckets_until_it_is_three_quarters_full() {
        assert_eq!(sorted(&["PK", "h", "a"], Buckets::Sixteen), ["a", "h", "PK"]);
        let names = ["PK", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "g10", "g11", "g12"];
        assert_eq!(
            sorted(&names, Buckets::Sixteen),
            ["g11", "g10", "g12", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "PK"]
        );
    }

    #[test]
    fn no_names_and_names_of_one_bucket_are_left_alone() {
        assert!(sorted(&[], Buckets::ForCount).is_empty());
        assert_eq!(sorted(&["BB", "Aa"], Buckets::Sixteen), ["BB", "Aa"]);
    }
}
