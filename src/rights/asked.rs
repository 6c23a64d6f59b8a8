//! What is judged: a request as it came.

use super::resource::Place;
use crate::model::Operation;

/// A request to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The operation.
    pub operation: Operation,
    /// The whole `X-Amz-Target`, where the operation is [`Operation::Unknown`].
    pub unknown_target: Option<&'a str>,
    /// The body, JSON and not compressed.
    pub body: &'a [u8],
    /// Where the tables are that the body names.
    pub place: Place<'a>,
}
