//! Reads items one behind the other, without copying.

use super::head::{self, Head};
use super::{Malformed, Measure};

/// What kind of item comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer, either sign.
    Int,
    /// A byte string.
    Bytes,
    /// A text string.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A tag; the item that it is on follows.
    Tag,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// A float of 32 or 64 bits.
    Float,
    /// The end of an array or map of indefinite length.
    Break,
    /// What no reader takes: `undefined`, a float of 16 bits, other simple values.
    Other,
}

/// A position in a row of items.
///
/// A method that fails leaves the position where it was.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of the bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// True when nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Malformed::Invalid`] when something is.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_at_end() { Ok(()) } else { Err(Malformed::Invalid("more than expected")) }
    }

    /// The kind of the next item, which is not read over.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] at the end.
    #[inline]
    pub fn peek(&self) -> Result<Kind, Malformed> {
        let &first = self.rest().first().ok_or(Malformed::Truncated)?;
        Ok(match first >> 5 {
            head::UNSIGNED | head::NEGATIVE => Kind::Int,
            head::BYTES => Kind::Bytes,
            head::TEXT => Kind::Text,
            head::ARRAY => Kind::Array,
            head::MAP => Kind::Map,
            head::TAG => Kind::Tag,
            _ => match first {
                head::FALSE | head::TRUE => Kind::Bool,
                head::NULL => Kind::Null,
                head::FLOAT_32 | head::FLOAT_64 => Kind::Float,
                head::BREAK => Kind::Break,
                _ => Kind::Other,
            },
        })
    }

    /// An integer: -2^64 to 2^64 - 1.
    ///
    /// # Errors
    /// [`Malformed`] when there is no integer.
    #[inline]
    pub fn int(&mut self) -> Result<i128, Malformed> {
        let head = Head::read(self.rest())?;
        let value = match head.major() {
            head::UNSIGNED => i128::from(head.argument),
            head::NEGATIVE => -1 - i128::from(head.argument),
            _ => return Err(Malformed::Invalid("an integer was expected")),
        };
        self.position += head.length;
        Ok(value)
    }

    /// An integer that fits 64 bits with its sign.
    ///
    /// # Errors
    /// [`Malformed`] when there is none.
    #[inline]
    pub fn int_64(&mut self) -> Result<i64, Malformed> {
        let before = self.position;
        i64::try_from(self.int()?).map_err(|_| {
            self.position = before;
            Malformed::Invalid("an integer is too large")
        })
    }

    /// The content of a byte string.
    ///
    /// # Errors
    /// [`Malformed`] when there is none.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        self.string(head::BYTES, "a byte string was expected")
    }

    /// The content of a text string.
    ///
    /// # Errors
    /// [`Malformed`] when there is none, or when it is not UTF-8.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let before = self.position;
        let bytes = self.string(head::TEXT, "a text string was expected")?;
        str::from_utf8(bytes).map_err(|_| {
            self.position = before;
            Malformed::Invalid("a text string is not UTF-8")
        })
    }

    #[inline]
    fn string(&mut self, major: u8, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let rest = self.rest();
        let head = Head::read(rest)?;
        if head.major() != major {
            return Err(Malformed::Invalid(expected));
        }
        let content = &rest[head.length..];
        let length = usize::try_from(head.argument).map_err(|_| Malformed::Truncated)?;
        let content = content.get(..length).ok_or(Malformed::Truncated)?;
        self.position += head.length + length;
        Ok(content)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Malformed`] when there is neither.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        let value = match self.rest().first() {
            None => return Err(Malformed::Truncated),
            Some(&head::TRUE) => true,
            Some(&head::FALSE) => false,
            Some(_) => return Err(Malformed::Invalid("true or false was expected")),
        };
        self.position += 1;
        Ok(value)
    }

    /// `null`.
    ///
    /// # Errors
    /// [`Malformed`] when it is something else.
    pub fn null(&mut self) -> Result<(), Malformed> {
        if self.take_null()? { Ok(()) } else { Err(Malformed::Invalid("null was expected")) }
    }

    /// Reads over a `null`, if that is next.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] at the end.
    pub fn take_null(&mut self) -> Result<bool, Malformed> {
        self.take(head::NULL)
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Result<bool, Malformed> {
        let &first = self.rest().first().ok_or(Malformed::Truncated)?;
        self.position += usize::from(first == byte);
        Ok(first == byte)
    }

    /// The number of a tag; the item that it is on is next.
    ///
    /// # Errors
    /// [`Malformed`] when there is no tag.
    #[inline]
    pub fn tag(&mut self) -> Result<u64, Malformed> {
        let head = Head::read(self.rest())?;
        if head.major() != head::TAG {
            return Err(Malformed::Invalid("a tag was expected"));
        }
        self.position += head.length;
        Ok(head.argument)
    }

    /// A float of 32 or 64 bits. One of 32 is widened, which keeps its value and not its shortest decimal text.
    ///
    /// # Errors
    /// [`Malformed`] when there is none.
    pub fn float(&mut self) -> Result<f64, Malformed> {
        let head = Head::read(self.rest())?;
        let value = match head.first {
            head::FLOAT_32 => f64::from(f32::from_bits(head.argument as u32)),
            head::FLOAT_64 => f64::from_bits(head.argument),
            _ => return Err(Malformed::Invalid("a float was expected")),
        };
        self.position += head.length;
        Ok(value)
    }

    /// The head of an array. Its elements are next: see [`Members::next`].
    ///
    /// # Errors
    /// [`Malformed`] when there is none; [`Malformed::Truncated`] when it declares more elements than there are bytes.
    #[inline]
    pub fn array(&mut self) -> Result<Members, Malformed> {
        self.members(head::ARRAY, 1, "an array was expected")
    }

    /// The head of a map. Its names and values are next, in turns: see [`Members::next`], which counts pairs.
    ///
    /// # Errors
    /// [`Malformed`] when there is none; [`Malformed::Truncated`] when it declares more members than there are bytes.
    #[inline]
    pub fn map(&mut self) -> Result<Members, Malformed> {
        self.members(head::MAP, 2, "a map was expected")
    }

    #[inline]
    fn members(&mut self, major: u8, bytes_min: usize, expected: &'static str) -> Result<Members, Malformed> {
        let rest = self.rest();
        let head = Head::read(rest)?;
        if head.major() != major {
            return Err(Malformed::Invalid(expected));
        }
        let members = if head.is_indefinite() {
            Members { left: None }
        } else {
            // Each member takes a byte at the least, so a number that is only declared is found out here.
            let possible = (rest.len() - head.length) / bytes_min;
            let declared = usize::try_from(head.argument).ok().filter(|declared| *declared <= possible);
            Members { left: Some(declared.ok_or(Malformed::Truncated)?) }
        };
        self.position += head.length;
        Ok(members)
    }

    /// Reads over one item, in which arrays and maps may stand in one another `depth_max` deep.
    ///
    /// # Errors
    /// [`Malformed`] when there is no whole item.
    pub fn skip(&mut self, depth_max: usize) -> Result<(), Malformed> {
        self.item(depth_max).map(drop)
    }

    /// The bytes of one item, as [`Reader::skip`] reads over it.
    ///
    /// # Errors
    /// [`Malformed`] when there is no whole item.
    pub fn item(&mut self, depth_max: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.rest();
        let head = Head::read(rest)?;
        let length = match head.major() {
            head::UNSIGNED | head::NEGATIVE => Some(head.length),
            head::BYTES | head::TEXT => {
                usize::try_from(head.argument).ok().and_then(|length| length.checked_add(head.length))
            }
            head::SIMPLE if head.first != head::BREAK => Some(head.length),
            _ => Measure::new(1, depth_max).advance(rest)?,
        };
        let item = length.and_then(|length| rest.get(..length)).ok_or(Malformed::Truncated)?;
        self.position += item.len();
        Ok(item)
    }
}

/// What is left of an array or a map whose head was read.
///
/// ```
/// # use nearside::dax::cbor::{Malformed, Reader};
/// # fn main() -> Result<(), Malformed> {
/// let mut reader = Reader::new(&[0x83, 1, 2, 3]);
/// let mut elements = reader.array()?;
/// let mut sum = 0;
/// while elements.next(&mut reader)? {
///     sum += reader.int_64()?;
/// }
/// assert_eq!(sum, 6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Members {
    /// `None` until a break.
    left: Option<usize>,
}

impl Members {
    /// How many are left: elements of an array, pairs of a map. `None` if only a break will say. No more than the bytes that were
    /// there behind the head.
    pub fn left(&self) -> Option<usize> {
        self.left
    }

    /// True when another element (or pair) follows, which the caller then reads. A break is read over.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when a break or another element is yet to come.
    #[inline]
    pub fn next(&mut self, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if reader.take(head::BREAK)? => {
                self.left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }
}
