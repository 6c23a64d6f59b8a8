//! What can be wrong with a request's body.

/// Why a body cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    Overloaded,
    TimedOut,
    /// Cut off.
    Broken,
    /// Not compressed as its headers say, or in a way that is not known.
    Undecodable,
    /// It would come after a head that is too large.
    HeadTooLarge,
}
