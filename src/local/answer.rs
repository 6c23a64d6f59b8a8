//! An answer's JSON object, written member by member straight to bytes.

use crate::wire::json;

/// A JSON object under way.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    out: Vec<u8>,
}

impl ObjectWriter {
    /// An object without members; `bytes` is a guess of its length.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self { out }
    }

    /// Begins a member; its value must be appended to what is returned.
    pub(crate) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        json::write_string(name, &mut self.out);
        self.out.push(b':');
        &mut self.out
    }

    /// Appends members that are JSON text already, if there are any.
    pub(crate) fn append(&mut self, members: Option<&str>) {
        let Some(members) = members else { return };
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(members.as_bytes());
    }

    /// The finished object.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::{write_array, write_map};

    #[test]
    fn members_are_parted_by_commas_and_names_are_escaped() {
        let mut object = ObjectWriter::with_capacity(0);
        object.member("a\"").extend_from_slice(b"1");
        write_array([1, 2], object.member("b"), |number, out| out.extend_from_slice(&[b'0' + number]));
        write_map([("x", 3)], object.member("c"), |number, out| out.extend_from_slice(&[b'0' + number]));
        assert_eq!(object.finish(), br#"{"a\"":1,"b":[1,2],"c":{"x":3}}"#);
        assert_eq!(ObjectWriter::with_capacity(0).finish(), b"{}");
    }
}
