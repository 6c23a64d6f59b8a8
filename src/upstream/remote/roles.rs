//! The roles of principals: on whose behalf which requests are signed, and with what.
//!
//! Each role that a config names has a keyring, and a task that keeps credentials on it by AssumeRole, as the node's own are kept:
//! ahead of their end, the last good ones as long as the role cannot be assumed again. All roles are assumed as soon as they are
//! named, and nobody waits for that but a request that comes before the first answer of STS. A role that is named no more takes its
//! credentials with it; calls that are being sent with them go on.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
#[cfg(feature = "aws-credentials")]
use aws_credential_types::provider::ProvideCredentials;
use tokio::sync::Notify;

use super::credentials::{Keyring, Missing};
use super::stats::{RoleCounts, RoleOutcome};
use crate::call::{Answer, PrincipalRole, UpstreamError};
use crate::model::{ApiError, ErrorCode};

#[cfg(feature = "aws-credentials")]
pub(super) use sts::Sts;

/// Every role in force, and its credentials.
#[derive(Default)]
pub(super) struct Roles {
    held: ArcSwap<HashMap<Arc<PrincipalRole>, Arc<Keyring>>>,
    changed: Notify,
    counts: Arc<RoleCounts>,
}

impl Roles {
    /// Puts these roles in force and no others. One that was in force keeps its credentials.
    pub(super) fn put(&self, roles: impl IntoIterator<Item = Arc<PrincipalRole>>) {
        let before = self.held.load();
        let kept = |role: &Arc<PrincipalRole>| before.get(role).cloned();
        let held = roles.into_iter().map(|role| {
            let keyring = kept(&role).unwrap_or_else(|| Arc::new(Keyring::of_role(&role, &self.counts)));
            (role, keyring)
        });
        self.held.store(Arc::new(held.collect()));
        self.changed.notify_one();
    }

    /// How often roles were to be assumed, and what came of it.
    pub(super) fn outcomes(&self) -> [u64; RoleOutcome::ALL.len()] {
        self.counts.get()
    }

    /// The credentials of a role.
    ///
    /// # Errors
    /// The role is not in force, or not any more.
    pub(super) fn keyring(&self, role: &PrincipalRole) -> Result<Arc<Keyring>, UpstreamError> {
        let held = self.held.load().get(role).cloned();
        held.ok_or_else(|| {
            let principal = &role.principal;
            UpstreamError::NotSent(format!(
                "The role of the principal {principal:?} has just changed; try again"
            ))
        })
    }

    /// Keeps credentials of every role in force, from a source for each, without end.
    #[cfg(feature = "aws-credentials")]
    pub(super) async fn keep<S>(&self, source_of: impl Fn(&Arc<PrincipalRole>) -> S)
    where
        S: ProvideCredentials + Clone + 'static,
    {
        // Dropped with this future, which ends the tasks.
        let mut running = tokio::task::JoinSet::new();
        let mut tasks: HashMap<Arc<PrincipalRole>, (Arc<Keyring>, tokio::task::AbortHandle)> = HashMap::new();
        loop {
            let held = self.held.load_full();
            tasks.retain(|role, (keyring, task)| {
                let stays = held.get(role).is_some_and(|current| Arc::ptr_eq(current, keyring));
                if !stays {
                    task.abort();
                }
                stays
            });
            for (role, keyring) in &*held {
                tasks.entry(Arc::clone(role)).or_insert_with(|| {
                    let (source, kept) = (source_of(role), Arc::clone(keyring));
                    let keeping = async move { kept.keep_from(|| std::future::ready(source.clone())).await };
                    (Arc::clone(keyring), running.spawn(keeping))
                });
            }
            while running.try_join_next().is_some() {}
            self.changed.notified().await;
        }
    }
}

/// What a principal hears whose role gives no credentials. The reason is in the log: it is the operator's.
pub(super) fn unsigned(role: &PrincipalRole, missing: &Missing) -> Result<Answer, UpstreamError> {
    let principal = &role.principal;
    match missing {
        Missing::Denied(_) => {
            let message = format!("Nearside may not assume the role of the principal {principal:?}");
            Ok(ApiError::new(ErrorCode::AccessDenied, message).into())
        }
        Missing::Unavailable(_) => Err(UpstreamError::NotSent(format!(
            "The role of the principal {principal:?} has not been assumed; try again soon"
        ))),
    }
}

#[cfg(feature = "aws-credentials")]
mod sts {
    use std::time::Duration;

    use aws_config::identity::IdentityCache;
    use aws_config::sts::AssumeRoleProvider;
    use aws_config::timeout::TimeoutConfig;
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, Result as Provided, future};
    use aws_sdk_sts::Client;
    use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
    use aws_sdk_sts::operation::assume_role::AssumeRoleError;
    use tokio::sync::{OnceCell, Semaphore};

    use super::*;
    use crate::upstream::remote::credentials::{Lent, RoleFault, words};

    /// How many roles are assumed at a time, so that many of them are no load for STS.
    const ASSUMED_AT_A_TIME: usize = 8;

    /// How long STS may take for an answer, retries included.
    const STS_TIMEOUT: Duration = Duration::from_secs(10);

    /// Errors of STS by which it denies a role for good, until somebody changes a policy or the config.
    const DENIALS: [&str; 4] =
        ["AccessDenied", "AccessDeniedException", "ValidationError", "RegionDisabledException"];

    /// The Security Token Service, asked with the node's own credentials.
    #[derive(Debug)]
    pub(in super::super) struct Sts {
        own: Arc<Keyring>,
        region: String,
        config: OnceCell<SdkConfig>,
        turns: Semaphore,
    }

    impl Sts {
        /// The service of a region. The variable `AWS_ENDPOINT_URL_STS` and the profile may name another endpoint.
        pub(in super::super) fn new(own: &Arc<Keyring>, region: &str) -> Arc<Self> {
            let (own, region) = (Arc::clone(own), region.to_owned());
            Arc::new(Self { own, region, config: OnceCell::new(), turns: Semaphore::new(ASSUMED_AT_A_TIME) })
        }

        /// The source of a role's credentials.
        pub(in super::super) fn source(self: &Arc<Self>, role: &Arc<PrincipalRole>) -> RoleSource {
            RoleSource { sts: Arc::clone(self), role: Arc::clone(role) }
        }

        async fn config(&self) -> &SdkConfig {
            let load = || {
                aws_config::defaults(BehaviorVersion::latest())
                    .region(Region::new(self.region.clone()))
                    .credentials_provider(Lent(Arc::clone(&self.own)))
                    // The keyring is the cache.
                    .identity_cache(IdentityCache::no_cache())
                    .timeout_config(TimeoutConfig::builder().operation_timeout(STS_TIMEOUT).build())
                    .load()
            };
            self.config.get_or_init(load).await
        }
    }

    /// Assumes a role each time that it is asked.
    #[derive(Clone, Debug)]
    pub(in super::super) struct RoleSource {
        sts: Arc<Sts>,
        role: Arc<PrincipalRole>,
    }

    impl RoleSource {
        async fn assume(&self) -> Provided {
            let _turn = self.sts.turns.acquire().await;
            let config = self.sts.config().await;
            self.check_account(config).await.map_err(denied_or_not)?;
            let mut provider = AssumeRoleProvider::builder(&*self.role.arn)
                .configure(config)
                .session_name(self.role.session_name());
            if let Some(external_id) = &self.role.external_id {
                provider = provider.external_id(&**external_id);
            }
            let assumed = provider.build().await.provide_credentials().await;
            assumed.map_err(|error| denied_or_not(assuming_failed(&error)))
        }

        /// The cache knows tables by their names in the node's own account, and a name means another table in another account.
        async fn check_account(&self, config: &SdkConfig) -> Result<(), Missing> {
            let own =
                Client::new(config).get_caller_identity().send().await.map_err(|error| failure(&error))?;
            let (own, of_role) = (own.account().unwrap_or_default(), self.role.account());
            match own == of_role {
                true => Ok(()),
                false => Err(Missing::Denied(format!(
                    "the role is of the account {of_role:?}, and Nearside's own credentials are of {own:?}"
                ))),
            }
        }
    }

    impl ProvideCredentials for RoleSource {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(self.assume())
        }
    }

    fn denied_or_not(missing: Missing) -> CredentialsError {
        CredentialsError::provider_error(RoleFault(missing))
    }

    fn assuming_failed(error: &CredentialsError) -> Missing {
        let cause = std::error::Error::source(error);
        match cause.and_then(|cause| cause.downcast_ref::<SdkError<AssumeRoleError>>()) {
            Some(error) => failure(error),
            None => Missing::Unavailable(words(error)),
        }
    }

    /// What an error of STS means. Its words leave out the request's id, so that the same failure is the same.
    fn failure<E>(error: &SdkError<E>) -> Missing
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        match error.code() {
            Some(code) => {
                let words = format!("{code}: {}", error.message().unwrap_or_default());
                if DENIALS.contains(&code) { Missing::Denied(words) } else { Missing::Unavailable(words) }
            }
            None => Missing::Unavailable(format!("STS cannot be asked: {}", words(error))),
        }
    }
}
