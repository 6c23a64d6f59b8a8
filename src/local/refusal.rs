//! Why a write may not be carried out, told apart by what that means for a transaction.

use crate::model::ApiError;
use crate::model::capacity::Charge;
use crate::wire::keys::KeyRefusal;

use super::LocalError;
use super::store::StoreError;

/// Why a write may not be carried out.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request is invalid, whatever else is in it: it would leave a key attribute empty.
    Request(ApiError),
    /// The write does not fit the table or the item that is there, which cancels a transaction.
    Write(ApiError),
    /// The condition of the write does not hold for the item that is there. That is charged all the same.
    Condition(ApiError, Box<Charge>),
    /// The store broke.
    Store(StoreError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Write(error)
    }
}

impl From<KeyRefusal> for Refusal {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Empty(error) => Self::Request(error),
            KeyRefusal::Unfit(error) => Self::Write(error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for LocalError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Request(error) | Refusal::Write(error) => Self::Api(error),
            Refusal::Condition(error, charge) => Self::Charged(error, vec![*charge]),
            Refusal::Store(error) => Self::Store(error),
        }
    }
}
