//! Who sends the requests of a DAX connection: what it has shown, and whether that still holds.

use super::super::credentials::missing;
use super::super::{
    Authenticator, AuthorizedConnection, Caller, ConnectionCredential, Unverified, peer::Peer,
};
use crate::call::DenialReason;
use crate::dax::request::Authorization;
use crate::model::{ApiError, ErrorCode};

/// What a connection has shown last. A failure is remembered in silence: it is the answer to the requests that follow.
pub(super) enum Standing {
    /// Nothing.
    Unshown,
    /// What does not prove anything.
    Failed(Box<Unverified>),
    /// Who it is.
    Authorized(AuthorizedConnection),
}

impl Standing {
    /// Takes over what a client shows.
    pub(super) fn take<A: Authenticator>(
        &mut self,
        shown: &Authorization<'_>,
        peer: &Peer,
        authenticator: &A,
    ) {
        let Authorization { access_key_id, signature, string_to_sign, session_token, .. } = *shown;
        let credential = ConnectionCredential::new(access_key_id, signature, string_to_sign, session_token);
        let authorized = match credential {
            Some(credential) => authenticator.authorize(credential, peer.certificate.as_ref()),
            None => Err(Unverified::new(DenialReason::Form, too_long())),
        };
        *self = match authorized {
            Ok(authorized) => Self::Authorized(authorized),
            Err(unverified) => Self::Failed(Box::new(unverified)),
        };
    }

    /// Takes note of credentials that cannot be read.
    pub(super) fn fail(&mut self, error: ApiError) {
        *self = Self::Failed(Box::new(Unverified::new(DenialReason::Form, error)));
    }

    /// Who sends the next request.
    ///
    /// # Errors
    /// [`Unverified`], for a client that has not shown who it is, or has to show it again.
    pub(super) fn caller<A: Authenticator>(
        &mut self,
        peer: &Peer,
        authenticator: &A,
    ) -> Result<Caller<'static>, Unverified> {
        match self {
            Self::Authorized(connection) => {
                authenticator.confirm(connection, peer.certificate.as_ref())?;
                Ok(connection.caller())
            }
            Self::Failed(unverified) => Err(Unverified::clone(unverified)),
            Self::Unshown => {
                let holder = match &peer.certificate {
                    Some(certificate) => authenticator.recognize(certificate)?,
                    None => None,
                };
                holder.ok_or_else(|| missing().into())
            }
        }
    }
}

fn too_long() -> ApiError {
    ApiError::new(
        ErrorCode::IncompleteSignature,
        "The connection's credential is longer than any, or no text",
    )
}
