//! Members that the service has and this backend does not: a request that brings one hears so, and nothing is done.

use crate::model::ApiError;
use crate::wire::Json;

/// Members of requests, each with what it asks for.
type Unsupported = &'static [(&'static str, &'static str)];

/// What CreateTable cannot do here.
pub(super) const CREATE_TABLE: Unsupported = &[
    ("VectorIndexes", VECTORS),
    ("GlobalTableSourceArn", GLOBAL_TABLES),
    ("GlobalTableSettingsReplicationMode", GLOBAL_TABLES),
];
/// What UpdateTable cannot do here.
pub(super) const UPDATE_TABLE: Unsupported = &[
    ("VectorIndexUpdates", VECTORS),
    ("ReplicaUpdates", GLOBAL_TABLES),
    ("GlobalTableWitnessUpdates", GLOBAL_TABLES),
    ("MultiRegionConsistency", GLOBAL_TABLES),
    ("GlobalTableSettingsReplicationMode", GLOBAL_TABLES),
    ("DisassociationProtectionEnabled", GLOBAL_TABLES),
    ("MultiAccountReplicaReady", GLOBAL_TABLES),
    ("ReplicaTransitRoleArn", GLOBAL_TABLES),
];

const VECTORS: &str = "vector indexes";
const GLOBAL_TABLES: &str = "global tables";

/// Rejects a request with a member that would be without effect.
///
/// # Errors
/// `ValidationException` for the first of `members` that the request has.
pub(super) fn reject_unsupported(body: &Json<'_>, members: Unsupported) -> Result<(), ApiError> {
    let found = members.iter().find(|(member, _)| body.get(member).is_some());
    found.map_or(Ok(()), |(member, what)| {
        Err(ApiError::validation(format!(
            "The local backend does not support {member}: it has no {what}; use an upstream that has them."
        )))
    })
}
