//! One list of attribute names.

/// The names that stand under an id, in their order.
///
/// Invariant: as [`super::AttributeLists::define`] has checked them: none is empty, none stands there twice.
#[derive(Debug, PartialEq, Eq)]
pub struct AttributeList {
    id: u64,
    /// All names, one behind the other.
    names: Box<str>,
    /// The same as JSON, each with its colon: `"a":"b":`.
    members: Box<str>,
    /// Where each name ends in both.
    ends: Box<[(u32, u32)]>,
}

impl AttributeList {
    pub(super) fn new<N: AsRef<str>>(id: u64, names: &[N]) -> Self {
        let (mut plain, mut members) = (String::new(), String::new());
        let ends = names.iter().map(|name| {
            plain.push_str(name.as_ref());
            members.push_str(&serde_json::to_string(name.as_ref()).expect("a string is always JSON"));
            members.push(':');
            (plain.len() as u32, members.len() as u32)
        });
        let ends = ends.collect();
        Self { id, names: plain.into(), members: members.into(), ends }
    }

    /// The id: 1, or 2^32 to 2^53 - 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True of the list under [`super::EMPTY_LIST_ID`].
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name at that place.
    #[inline]
    pub fn name(&self, place: usize) -> Option<&str> {
        let end = self.ends.get(place)?.0 as usize;
        self.names.get(self.begin(place).0..end)
    }

    /// The name at that place as the beginning of a member in JSON: `"name":`.
    #[inline]
    pub fn member(&self, place: usize) -> Option<&str> {
        let end = self.ends.get(place)?.1 as usize;
        self.members.get(self.begin(place).1..end)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.len()).filter_map(|place| self.name(place))
    }

    /// True if these are the names, in this order.
    #[inline]
    pub(crate) fn is_of<'n>(&self, names: impl ExactSizeIterator<Item = &'n [u8]>) -> bool {
        if names.len() != self.len() {
            return false;
        }
        let all = self.names.as_bytes();
        let mut begin = 0;
        self.ends.iter().zip(names).all(|((end, _), name)| {
            let own = &all[begin..*end as usize];
            begin = *end as usize;
            is_same(own, name)
        })
    }

    fn begin(&self, place: usize) -> (usize, usize) {
        let before = place.checked_sub(1).map_or((0, 0), |before| self.ends[before]);
        (before.0 as usize, before.1 as usize)
    }

    /// The bytes of memory that it takes, with its places in the table.
    pub(super) fn bytes(&self) -> usize {
        const TABLES: usize = 128;
        TABLES + size_of::<Self>() + self.names.len() + self.members.len() + size_of_val(&*self.ends)
    }
}

/// True if two names are the same. Most are short, and a call costs more than to compare them here.
#[inline]
pub(crate) fn is_same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match left.len() {
        ..4 => left.iter().eq(right),
        4..8 => {
            left.first_chunk::<4>() == right.first_chunk() && left.last_chunk::<4>() == right.last_chunk()
        }
        8..=16 => {
            left.first_chunk::<8>() == right.first_chunk() && left.last_chunk::<8>() == right.last_chunk()
        }
        17.. => left == right,
    }
}
