//! DAX connections whose client is verified once, by a signature that holds for some minutes.
//!
//! Clients sign anew after at most four minutes in use, so that none is in the middle of its work when its time is over. Meanwhile, a
//! connection is only as good as its key: one that is withdrawn, has another secret, or expires, ends it with its next request.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::authenticator::VerifiedConnection;
use super::connection_credential::{ConnectionCredential, SERVICE};
use super::signed_callers::{admit, invalid};
use super::{AuthorizedConnection, SignedCallers, SignedRegions, Unverified};
use crate::call::DenialReason;
use crate::model::Timestamp;
use crate::tls::Certificate;
use crate::wire::sigv4::KeyScope;

/// How far the time of a signature may be from ours, in both directions.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a signature is good for, from when it was verified. Clients count on five minutes, and sign anew before.
const LASTING: Duration = Duration::from_secs(6 * 60);

impl SignedCallers {
    /// Verifies the client of a connection: see [`super::Authenticator::authorize`].
    pub(super) fn authorize_at(
        &self,
        credential: ConnectionCredential,
        certificate: Option<&Certificate>,
        now: Timestamp,
    ) -> Result<AuthorizedConnection, Unverified> {
        let signed = credential.signed_text().ok_or_else(not_of_dax)?;
        if signed.time < now.minus(SKEW_MAX) || signed.time > now.plus(SKEW_MAX) {
            let words = "The connection was signed for another time: it is more than 5 min. from now";
            return Err(invalid(DenialReason::Clock, words));
        }
        let until = Instant::now() + LASTING;
        let verified = self.verify_connection(&credential, certificate, now, until)?;
        Ok(AuthorizedConnection { credential: Arc::new(credential), verified: Some(verified) })
    }

    /// Makes sure that a connection is as good as it was: see [`super::Authenticator::confirm`].
    pub(super) fn confirm_at(
        &self,
        connection: &mut AuthorizedConnection,
        certificate: Option<&Certificate>,
        now: Timestamp,
    ) -> Result<(), Unverified> {
        let Some(verified) = &connection.verified else { return Err(not_of_dax()) };
        if Instant::now() >= verified.until {
            return Err(invalid(DenialReason::Clock, "The connection was signed too long ago; sign anew"));
        }
        let is_over = verified.not_after.is_some_and(|not_after| not_after <= now);
        if verified.ring == self.ring.load().number() && !is_over {
            return Ok(());
        }
        let until = verified.until;
        connection.verified =
            Some(self.verify_connection(&connection.credential, certificate, now, until)?);
        Ok(())
    }

    /// Verifies a signature, whenever it was made.
    fn verify_connection(
        &self,
        credential: &ConnectionCredential,
        certificate: Option<&Certificate>,
        now: Timestamp,
        until: Instant,
    ) -> Result<VerifiedConnection, Unverified> {
        let signed = credential.signed_text().ok_or_else(not_of_dax)?;
        let is_region = match &self.regions {
            SignedRegions::Only(region) => **region == *signed.region,
            SignedRegions::Any => true,
        };
        if !is_region {
            return Err(invalid(
                DenialReason::Scope,
                "The connection is signed for another region than this node's",
            ));
        }
        if signed.date != signed.time.date() {
            return Err(invalid(
                DenialReason::Scope,
                "The connection is signed for a day that is not its time's",
            ));
        }
        let scope = KeyScope { date: signed.date, region: signed.region, service: SERVICE };
        let ring = self.ring.load();
        let key = ring.find(credential.access_key());
        // Before the key is looked at, so that an unknown one takes the same time.
        let is_signed = key.verify(&scope, credential.string_to_sign().as_bytes(), credential.signature());
        let principal = admit(key, is_signed, credential.session_token().map(str::as_bytes), now)?;
        self.check_certificate(certificate, &principal, now)?;
        Ok(VerifiedConnection { principal, ring: ring.number(), not_after: key.not_after(), until })
    }
}

fn not_of_dax() -> Unverified {
    invalid(DenialReason::Form, "What was signed for the connection is not what DAX clients sign")
}
