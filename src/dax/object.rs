//! Appends a JSON object member by member.

use crate::json::write_string;

/// A JSON object that is being appended to a buffer.
#[derive(Debug)]
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Begins an object.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Begins a member. Its value is to be appended to what is returned.
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_string(name, self.out);
        self.out.push(b':');
        self.out
    }

    /// A member that is a string.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        write_string(text, self.member(name));
    }

    /// A member that is an object.
    pub(super) fn object(&mut self, name: &str) -> Object<'_> {
        Object::begin(self.member(name))
    }

    /// Ends the object.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}
