//! Appends items to a buffer: definite lengths, shortest heads.

use super::head;

/// Appends items to a buffer.
///
/// It does not count: who writes the head of an array writes that many items next.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to this.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// The buffer, for what writes bytes by itself.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Items that are encoded already.
    pub fn raw(&mut self, items: &[u8]) {
        self.out.extend_from_slice(items);
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.negative(!value as u64),
        }
    }

    /// An integer from 0 on.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        head::write(head::UNSIGNED, value, self.out);
    }

    /// How many bytes [`Writer::unsigned`] appends for this value.
    #[inline]
    pub fn unsigned_bytes(value: u64) -> usize {
        head::shortest_length(value)
    }

    /// The integer -1 - `complement`.
    #[inline]
    pub fn negative(&mut self, complement: u64) {
        head::write(head::NEGATIVE, complement, self.out);
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        head::write(head::BYTES, bytes.len() as u64, self.out);
        self.out.extend_from_slice(bytes);
    }

    /// The head of a byte string; so many bytes are to follow it.
    #[inline]
    pub fn bytes_head(&mut self, length: usize) {
        head::write(head::BYTES, length as u64, self.out);
    }

    /// A byte string with what `write` appends.
    #[inline]
    pub fn bytes_with<T>(&mut self, write: impl FnOnce(&mut Writer<'_>) -> T) -> T {
        let begin = self.out.len();
        let written = write(&mut Writer { out: self.out });
        let end = self.out.len();
        // The head's length is known only now, so what was written makes room for it.
        head::write(head::BYTES, (end - begin) as u64, self.out);
        let length = self.out.len() - end;
        self.out[begin..].rotate_right(length);
        written
    }

    /// A text string.
    #[inline]
    pub fn text(&mut self, text: &str) {
        head::write(head::TEXT, text.len() as u64, self.out);
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The head of a text string; so many bytes of UTF-8 are to follow it.
    #[inline]
    pub fn text_head(&mut self, length: usize) {
        head::write(head::TEXT, length as u64, self.out);
    }

    /// The head of an array of so many elements.
    #[inline]
    pub fn array(&mut self, elements: usize) {
        head::write(head::ARRAY, elements as u64, self.out);
    }

    /// The head of a map of so many pairs.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        head::write(head::MAP, pairs as u64, self.out);
    }

    /// The head of a map that ends with [`Writer::end`].
    pub fn open_map(&mut self) {
        self.out.push(head::MAP << 5 | 31);
    }

    /// The end of what [`Writer::open_map`] has begun.
    pub fn end(&mut self) {
        self.out.push(head::BREAK);
    }

    /// A tag on the next item.
    #[inline]
    pub fn tag(&mut self, tag: u64) {
        head::write(head::TAG, tag, self.out);
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { head::TRUE } else { head::FALSE });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.out.push(head::NULL);
    }

    /// A float of 64 bits.
    pub fn float(&mut self, value: f64) {
        self.out.push(head::FLOAT_64);
        self.out.extend_from_slice(&value.to_bits().to_be_bytes());
    }
}
