//! CBOR (RFC 8949), as much of it as DAX clients speak: a borrowing [`Reader`], a [`Measure`] for what is still arriving, a
//! [`Writer`].
//!
//! Hides how heads are laid out, and keeps hostile bytes cheap: nothing recurses, and no memory is taken by a length that is
//! only declared. Heads may be longer than needed when they are read, and are the shortest when they are written.
//!
//! Strings of indefinite length, floats of half precision and `undefined` are rejected: no client sends them. Arrays and maps of
//! indefinite length are read. What a tag means, and which items are allowed where, is for the readers of values and requests.

mod head;

mod measure;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use measure::Measure;
pub use reader::{Kind, Members, Reader};
pub use writer::Writer;

/// Why bytes cannot be read as what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Everything so far is valid, and more bytes are needed. Of bytes that are known to be all, it is an error like any other.
    #[error("cut short")]
    Truncated,
    /// No bytes that follow can make it valid. The reason names nothing of the content.
    #[error("{0}")]
    Invalid(&'static str),
    /// What is made of it would be larger than any request may be.
    #[error("larger than any request may be")]
    TooLarge,
}
