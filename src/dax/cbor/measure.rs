//! How many bytes the next items take, told while they arrive.

use super::head::{self, Head};
use super::{Malformed, head::BREAK};

/// Measures a number of items that arrive in pieces, without reading any byte twice but for a head that was cut.
///
/// It holds 16 bytes for each array or map that is open, whatever these declare, and never more than `depth_max` of them. Text is
/// not checked to be UTF-8.
#[derive(Clone, Debug)]
pub struct Measure {
    depth_max: usize,
    /// Where the next head stands. It may lie beyond what has arrived: inside of a string.
    position: u64,
    /// What is open, the items to measure first.
    open: Vec<Open>,
    /// The items that what is open still lacks by their declared number, and the breaks.
    owed: u64,
    /// The next item follows its tag, so it cannot be a break.
    is_tagged: bool,
}

/// An array or map whose end has not come.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// It lacks so many items.
    Lacking(u64),
    /// Until a break.
    Array,
    /// Until a break, which may not stand between a name and its value.
    Map { is_value_next: bool },
}

impl Measure {
    /// Measures so many items, one behind the other; in each of them, arrays and maps may stand in one another `depth_max` deep.
    pub fn new(items: u64, depth_max: usize) -> Self {
        // Few requests have more than these open at a time.
        let mut open = Vec::with_capacity(8);
        open.push(Open::Lacking(items));
        Self { depth_max, position: 0, open, owed: items, is_tagged: false }
    }

    /// Begins anew with so many items, and keeps its memory.
    pub fn restart(&mut self, items: u64) {
        self.position = 0;
        self.open.clear();
        self.open.push(Open::Lacking(items));
        self.owed = items;
        self.is_tagged = false;
    }

    /// The bytes that the items take together; `None` while more are needed.
    ///
    /// `bytes` are all that have arrived from the first item's begin on: those of the last call, and then more.
    ///
    /// # Errors
    /// [`Malformed::Invalid`], whatever may follow; never [`Malformed::Truncated`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            while let Some(Open::Lacking(0)) = self.open.last() {
                self.open.pop();
            }
            // What ends beyond 64 bits never arrives.
            let Some(rest) = usize::try_from(self.position).ok().and_then(|at| bytes.get(at..)) else {
                return Ok(None);
            };
            if self.open.is_empty() {
                return Ok(Some(bytes.len() - rest.len()));
            }
            match Head::read(rest) {
                Ok(head) => self.take(head)?,
                Err(Malformed::Truncated) => return Ok(None),
                Err(invalid) => return Err(invalid),
            }
        }
    }

    /// The bytes that the items take at the least, by all that is declared: a reader with a limit rejects them as soon as this is
    /// above it.
    pub fn bytes_min(&self) -> u64 {
        self.position.saturating_add(self.owed)
    }

    fn take(&mut self, head: Head) -> Result<(), Malformed> {
        self.position = self.position.saturating_add(head.length as u64);
        if head.first == BREAK {
            return self.close();
        }
        if head.major() == head::TAG {
            self.is_tagged = true;
            return Ok(());
        }
        self.is_tagged = false;
        match self.open.last_mut() {
            Some(Open::Lacking(items)) => {
                *items -= 1;
                self.owed -= 1;
            }
            Some(Open::Map { is_value_next }) => *is_value_next = !*is_value_next,
            Some(Open::Array) | None => {}
        }
        match head.major() {
            head::BYTES | head::TEXT => {
                self.position = self.position.saturating_add(head.argument);
                Ok(())
            }
            head::ARRAY if head.is_indefinite() => self.open(Open::Array, 1),
            head::MAP if head.is_indefinite() => self.open(Open::Map { is_value_next: false }, 1),
            head::ARRAY => self.open(Open::Lacking(head.argument), head.argument),
            head::MAP => {
                let items = head.argument.checked_mul(2).ok_or(Malformed::Invalid("a map is too long"))?;
                self.open(Open::Lacking(items), items)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, owed: u64) -> Result<(), Malformed> {
        // The first that is open is the row of the items themselves.
        if self.open.len() > self.depth_max {
            return Err(Malformed::Invalid("nested too deeply"));
        }
        self.owed = self.owed.checked_add(owed).ok_or(Malformed::Invalid("an array is too long"))?;
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        match self.open.last() {
            Some(Open::Array | Open::Map { is_value_next: false }) if !self.is_tagged => {
                self.open.pop();
                self.owed -= 1;
                Ok(())
            }
            _ => Err(Malformed::Invalid("a break where none may be")),
        }
    }
}
