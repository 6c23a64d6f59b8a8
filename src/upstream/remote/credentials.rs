//! Credentials for the upstream: where they come from, and the last good ones for whoever signs.
//!
//! The node's own are asked for once before the start, which fails where a profile does. Elsewhere they may come later, and are
//! asked for again and again. A task of its own renews them ahead of their end, so no request waits for that; when renewing fails,
//! the old ones stay in use until the upstream rejects them. Those of a principal's role have a keyring of the same kind, see
//! [`roles`](super::roles).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
#[cfg(feature = "aws-credentials")]
use tokio::sync::Notify;
use tokio::sync::watch;

use super::stats::RoleCounts;
#[cfg(feature = "aws-credentials")]
use super::stats::RoleOutcome;
use crate::call::PrincipalRole;

#[cfg(feature = "aws-credentials")]
pub(super) use chain::{Lent, RoleFault, words};

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's public name.
    pub access_key_id: String,
    /// What signs.
    pub secret_access_key: String,
    /// Of temporary credentials.
    pub session_token: Option<String>,
    /// When temporary credentials end.
    pub expires: Option<SystemTime>,
}

/// The secret and the token stay out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The ones that the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` name, if they do.
    /// `variable` reads one of them.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let filled =
            |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        Some(Self {
            access_key_id: filled("AWS_ACCESS_KEY_ID")?,
            secret_access_key: filled("AWS_SECRET_ACCESS_KEY")?,
            session_token: filled("AWS_SESSION_TOKEN"),
            expires: None,
        })
    }

    /// Some that sign without proving anything, for endpoints that want a signature and do not look at it.
    pub fn placeholder() -> Self {
        Self {
            access_key_id: "nearside".to_owned(),
            secret_access_key: "nearside".to_owned(),
            session_token: None,
            expires: None,
        }
    }
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Their source cannot be reached or fails, in words for an operator.
    Unavailable(String),
    /// The node may not assume the role that they would be of, in words for an operator.
    #[cfg_attr(not(feature = "aws-credentials"), expect(dead_code, reason = "nothing assumes roles there"))]
    Denied(String),
}

impl Missing {
    /// The reason in words.
    fn words(&self) -> &str {
        let (Self::Unavailable(words) | Self::Denied(words)) = self;
        words
    }
}

/// The credentials in force: the node's own, or those of a role.
pub(super) struct Keyring {
    /// The role that they are of; `None` for the node's own.
    role: Option<Arc<PrincipalRole>>,
    /// Counts what comes of assuming it, together with other roles.
    #[cfg(feature = "aws-credentials")]
    counts: Arc<RoleCounts>,
    current: ArcSwapOption<Credentials>,
    /// Why there are none, or why the last renewal failed.
    failure: Mutex<Option<Missing>>,
    /// Whether their source has answered, or failed.
    asked: watch::Sender<bool>,
    /// Asks for a renewal ahead of time.
    #[cfg(feature = "aws-credentials")]
    stale: Notify,
    /// How long those that were found at the start are good for.
    #[cfg(feature = "aws-credentials")]
    first_good_for: Mutex<Option<std::time::Duration>>,
}

impl Keyring {
    /// A keyring that holds these, or none yet.
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        let none_yet = || Missing::Unavailable("no credentials have been found yet".to_owned());
        let failure = credentials.is_none().then(none_yet);
        Self {
            role: None,
            #[cfg(feature = "aws-credentials")]
            counts: Arc::default(),
            asked: watch::Sender::new(credentials.is_some()),
            current: ArcSwapOption::new(credentials.map(Arc::new)),
            failure: Mutex::new(failure),
            #[cfg(feature = "aws-credentials")]
            stale: Notify::new(),
            #[cfg(feature = "aws-credentials")]
            first_good_for: Mutex::default(),
        }
    }

    /// A keyring of a role that nobody has assumed yet.
    #[cfg_attr(
        not(feature = "aws-credentials"),
        expect(unused_variables, reason = "nothing assumes roles there")
    )]
    pub(super) fn of_role(role: &Arc<PrincipalRole>, counts: &Arc<RoleCounts>) -> Self {
        Self {
            role: Some(Arc::clone(role)),
            #[cfg(feature = "aws-credentials")]
            counts: Arc::clone(counts),
            ..Self::new(None)
        }
    }

    /// Waits until the source of the credentials has been asked for the first time.
    pub(super) async fn asked(&self) {
        self.asked.subscribe().wait_for(|asked| *asked).await.ok();
    }

    /// The credentials in force.
    ///
    /// # Errors
    /// Why there are none. Those of a role are none any more when they have expired and the role could not be assumed again: a client
    /// would take the upstream's word for that to be about its own credentials.
    pub(super) fn current(&self) -> Result<Arc<Credentials>, Missing> {
        let current = self.current.load_full();
        let is_over = |held: &Credentials| {
            self.role.is_some() && held.expires.is_some_and(|expires| expires <= SystemTime::now())
        };
        let failure = || self.failure().clone();
        match current {
            Some(held) if !is_over(&held) => Ok(held),
            Some(held) => failure().map_or(Ok(held), Err),
            None => Err(failure().unwrap_or_else(|| Missing::Unavailable(String::new()))),
        }
    }

    /// Why there are none, for whoever has sent the request. What is the matter with a role is for the operator only.
    pub(super) fn words_for_clients(&self, missing: &Missing) -> String {
        match &self.role {
            None => missing.words().to_owned(),
            Some(role) => format!("the role of the principal {:?} is not assumed", role.principal),
        }
    }

    /// The upstream does not know or accept the credentials any more.
    pub(super) fn refused(&self) {
        #[cfg(feature = "aws-credentials")]
        self.stale.notify_one();
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<Missing>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither the credentials nor anything of them.
impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keyring").field("role", &self.role).finish_non_exhaustive()
    }
}

#[cfg(feature = "aws-credentials")]
mod chain {
    use std::time::Duration;

    use aws_config::Region;
    use aws_config::default_provider::credentials::DefaultCredentialsChain;
    use aws_credential_types::provider::ProvideCredentials;
    use aws_credential_types::provider::error::CredentialsError;

    use super::*;
    use crate::upstream::remote::Profile;

    /// Credentials are renewed this long before they end, or halfway when they live less than twice as long.
    const RENEWED_AHEAD: Duration = Duration::from_secs(300);

    /// Sources that do not say when their credentials end are asked again this often.
    const REREAD_INTERVAL: Duration = Duration::from_secs(300);

    /// A source that has not answered by then is asked again.
    const SOURCE_TIMEOUT: Duration = Duration::from_secs(30);

    /// How long the first question may keep the node from listening.
    const FIRST_TIMEOUT: Duration = Duration::from_secs(3);

    /// What is said of sources that do not answer.
    const SILENT: &str = "the sources of credentials do not answer";

    /// Those that a machine sets beside a role, whose source may be there later than this process.
    const ROLE_VARIABLES: [&str; 3] = [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ];

    /// What is said where no source has any.
    const NOWHERE: &str = "there are none in the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the profile, \
        by web identity, of a container or of an instance";

    /// What the library puts before every reason.
    const EMPTY_WORDS: &str = "an error occurred while loading credentials: ";

    /// An answer of a source may be anything.
    const WORDS_MAX: usize = 500;

    const PAUSE_MIN: Duration = Duration::from_secs(1);
    const PAUSE_MAX: Duration = Duration::from_secs(30);

    /// The same for a node that waits for its first credentials.
    const FIRST_PAUSE_MAX: Duration = Duration::from_secs(5);

    impl Keyring {
        /// Asks the standard chain of sources for the first time. Where credentials may still come, they are waited for later.
        ///
        /// # Errors
        /// Words, when a source fails that somebody must mend.
        pub(in super::super) async fn load_from_chain(&self, region: &str) -> Result<(), String> {
            let source = chain(region).await;
            let found = tokio::time::timeout(FIRST_TIMEOUT, source.provide_credentials()).await;
            match found {
                Ok(Ok(found)) => *self.first_good_for() = Some(self.renewed(&found)),
                Ok(Err(error)) if !may_come(&error) => {
                    return Err(missing(&error).words().to_owned());
                }
                Ok(Err(error)) => self.failed(missing(&error)),
                Err(_) => self.failed(Missing::Unavailable(SILENT.to_owned())),
            }
            Ok(())
        }

        /// Takes credentials from the standard chain of sources and renews them, without end.
        pub(in super::super) async fn keep_from_chain(&self, region: &str) {
            let first_good_for = self.first_good_for().take();
            if let Some(good_for) = first_good_for {
                self.pause(good_for).await;
            }
            self.keep_from(|| chain(region)).await;
        }

        /// Keeps a source that works, and makes another where one fails: the library's own remember what went wrong.
        pub(in super::super) async fn keep_from<S: ProvideCredentials, F: Future<Output = S>>(
            &self,
            make: impl Fn() -> F,
        ) {
            let mut pause = PAUSE_MIN;
            loop {
                let source = make().await;
                let reason = loop {
                    match self.ask(&source).await {
                        Ok(good_for) => {
                            pause = PAUSE_MIN;
                            self.pause(good_for).await;
                        }
                        Err(reason) => break reason,
                    }
                };
                self.failed(reason);
                self.pause(backed_off(&mut pause).min(self.pause_max())).await;
            }
        }

        /// The longest pause between two questions. A node that has none of its own yet serves nobody meanwhile.
        fn pause_max(&self) -> Duration {
            let waits = self.role.is_none() && self.current.load().is_none();
            if waits { FIRST_PAUSE_MAX } else { PAUSE_MAX }
        }

        async fn pause(&self, wait: Duration) {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Asking more often than this would only load the source.
                () = async { self.stale.notified().await; tokio::time::sleep(PAUSE_MIN).await } => {}
            }
        }

        /// Puts in force what a source gives, and says how long it is good for.
        async fn ask(&self, source: &impl ProvideCredentials) -> Result<Duration, Missing> {
            match tokio::time::timeout(SOURCE_TIMEOUT, source.provide_credentials()).await {
                Ok(Ok(found)) => Ok(self.renewed(&found)),
                Ok(Err(error)) => Err(missing(&error)),
                Err(_) => Err(Missing::Unavailable(SILENT.to_owned())),
            }
        }

        fn first_good_for(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
            self.first_good_for.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Puts new credentials in force and says how long they are good for.
        fn renewed(&self, found: &aws_credential_types::Credentials) -> Duration {
            let expires = found.expiry();
            let renewed = Credentials {
                access_key_id: found.access_key_id().to_owned(),
                secret_access_key: found.secret_access_key().to_owned(),
                session_token: found.session_token().map(str::to_owned),
                expires,
            };
            let failure = self.failure().take();
            if self.role.is_none() && self.current.load().is_none() && *self.asked.borrow() {
                tracing::info!("Credentials for the upstream were found.");
            }
            self.put(renewed);
            let was_asked = self.asked.send_replace(true);
            if self.role.is_some() {
                self.counts.ended(RoleOutcome::Assumed);
            }
            if let Some(role) = self.role.as_deref().filter(|_| was_asked && failure.is_some()) {
                tracing::info!(principal = &*role.principal, role = &*role.arn, "The role is assumed again.");
            }
            let left = expires.and_then(|end| end.duration_since(SystemTime::now()).ok());
            match left {
                None if expires.is_some() => PAUSE_MIN,
                None => REREAD_INTERVAL,
                Some(left) => left.saturating_sub(RENEWED_AHEAD.min(left / 2)).max(PAUSE_MIN),
            }
        }

        /// Puts credentials in force.
        pub(in super::super) fn put(&self, renewed: Credentials) {
            if self.current.load().as_deref() != Some(&renewed) {
                self.current.store(Some(Arc::new(renewed)));
            }
            *self.failure() = None;
        }

        /// There are no new credentials.
        pub(in super::super) fn failed(&self, reason: Missing) {
            let mut failure = self.failure();
            match &self.role {
                None => {
                    // That there are none yet is said again and again by those who ask the upstream whether it is there.
                    if self.current.load().is_some() {
                        tracing::warn!(error = reason.words(), "Credentials could not be renewed.");
                    }
                    *failure = Some(Missing::Unavailable(format!("no credentials: {}", reason.words())));
                }
                Some(role) => {
                    self.counts.ended(match reason {
                        Missing::Denied(_) => RoleOutcome::Denied,
                        Missing::Unavailable(_) => RoleOutcome::Unavailable,
                    });
                    // Tried again for as long as the principal has the role, and said once.
                    if failure.as_ref() != Some(&reason) {
                        tracing::warn!(
                            principal = &*role.principal,
                            role = &*role.arn,
                            error = reason.words(),
                            "The role cannot be assumed."
                        );
                    }
                    *failure = Some(reason);
                }
            }
            drop(failure);
            self.asked.send_replace(true);
        }
    }

    fn backed_off(pause: &mut Duration) -> Duration {
        let wait = *pause;
        *pause = (*pause * 2).min(PAUSE_MAX);
        wait
    }

    /// True if credentials may come without anybody's doing: the machine's role is not there yet, its token not mounted, its agent not
    /// started. A profile that fails must be mended.
    fn may_come(error: &CredentialsError) -> bool {
        let is_of_profile = Profile::selected(variable).is_ok_and(|profile| profile.exists);
        let is_silent = matches!(
            error,
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::ProviderTimedOut(_)
        );
        is_silent || !is_of_profile || role_variable().is_some()
    }

    /// The variable that says where the role of a container is, with its value.
    fn role_variable() -> Option<(&'static str, String)> {
        ROLE_VARIABLES.iter().find_map(|name| Some((*name, variable(name)?)))
    }

    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    async fn chain(region: &str) -> DefaultCredentialsChain {
        DefaultCredentialsChain::builder().region(Region::new(region.to_owned())).build().await
    }

    /// What a source's error means. That of a role says it itself.
    fn missing(error: &CredentialsError) -> Missing {
        let own = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<RoleFault>());
        match (own, error) {
            (Some(RoleFault(missing)), _) => missing.clone(),
            (None, CredentialsError::CredentialsNotLoaded(_)) => Missing::Unavailable(NOWHERE.to_owned()),
            (None, error) => {
                let place =
                    role_variable().map(|(name, value)| format!(" ({name} is {value})")).unwrap_or_default();
                Missing::Unavailable(format!("the last source tried failed{place}: {}", words(error)))
            }
        }
    }

    /// Why a role gives no credentials.
    #[derive(Debug, thiserror::Error)]
    #[error("{}", .0.words())]
    pub(in super::super) struct RoleFault(pub(in super::super) Missing);

    /// A keyring as a source of credentials for others.
    #[derive(Clone, Debug)]
    pub(in super::super) struct Lent(pub(in super::super) Arc<Keyring>);

    impl ProvideCredentials for Lent {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let lent = self.0.current().map(|held| {
                let (id, secret) = (held.access_key_id.clone(), held.secret_access_key.clone());
                let token = held.session_token.clone();
                aws_credential_types::Credentials::new(id, secret, token, held.expires, "nearside")
            });
            let lent = lent.map_err(|missing| CredentialsError::provider_error(RoleFault(missing)));
            aws_credential_types::provider::future::ProvideCredentials::ready(lent)
        }
    }

    /// The causes of an error, each once, in one line. The error itself says only that there is one.
    pub(in super::super) fn words(error: &(dyn std::error::Error + 'static)) -> String {
        let mut causes: Vec<String> = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string().replace(EMPTY_WORDS, "");
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            if !causes.iter().any(|earlier| earlier.contains(&said)) {
                causes.push(said);
            }
            cause = error.source();
        }
        causes.join(": ").chars().take(WORDS_MAX).collect()
    }

    #[cfg(test)]
    mod tests {
        use aws_credential_types::provider::error::CredentialsError;
        use aws_credential_types::provider::future::ProvideCredentials as Providing;
        use tokio::time::Instant;

        use super::*;

        /// A source that gives, in turn, what each number says: a key of that many seconds, or for 0 a failure.
        #[derive(Clone, Debug)]
        struct Scripted {
            lives: &'static [u64],
            asked: Arc<Mutex<Vec<Instant>>>,
        }

        impl ProvideCredentials for Scripted {
            fn provide_credentials<'a>(&'a self) -> Providing<'a>
            where
                Self: 'a,
            {
                let mut asked = self.asked.lock().unwrap();
                let number = asked.len();
                asked.push(Instant::now());
                Providing::ready(match self.lives.get(number) {
                    None | Some(0) => Err(CredentialsError::not_loaded("nothing here")),
                    Some(life) => {
                        let expiry = Some(SystemTime::now() + Duration::from_secs(*life));
                        let id = format!("key {number}");
                        Ok(aws_credential_types::Credentials::new(id, "secret", None, expiry, "script"))
                    }
                })
            }
        }

        /// Rounded, since the end of a key is by a clock that does not stand still.
        fn rounded(waited: Duration) -> u64 {
            (waited + Duration::from_millis(500)).as_secs()
        }

        /// Runs the keyring over a source for some seconds; the key's id then, and the seconds at which it asked.
        async fn keep(lives: &'static [u64], seconds: u64) -> (Option<String>, Vec<u64>) {
            let (keyring, source) = (Keyring::new(None), Scripted { lives, asked: Arc::default() });
            let begun = Instant::now();
            tokio::time::timeout(
                Duration::from_secs(seconds),
                keyring.keep_from(|| std::future::ready(source.clone())),
            )
            .await
            .unwrap_err();
            let asked =
                source.asked.lock().unwrap().iter().map(|at| rounded(at.duration_since(begun))).collect();
            (keyring.current().ok().map(|key| key.access_key_id.clone()), asked)
        }

        #[tokio::test(start_paused = true)]
        async fn keys_are_renewed_five_minutes_ahead_or_halfway() {
            let (key, asked) = keep(&[3600, 400, 3600], 3700).await;
            // A key that ends in less than ten minutes is renewed when half of that is over.
            assert_eq!((key.as_deref(), asked), (Some("key 2"), vec![0, 3300, 3500]));
        }

        #[tokio::test(start_paused = true)]
        async fn the_last_good_key_stays_while_its_source_fails() {
            assert_eq!(keep(&[0, 0, 0], 5).await, (None, vec![0, 1, 3]));
            let (key, asked) = keep(&[700, 0, 0, 0, 700], 420).await;
            assert_eq!((key.as_deref(), asked), (Some("key 4"), vec![0, 400, 401, 403, 407]));
        }

        #[tokio::test(start_paused = true)]
        async fn a_key_that_is_refused_is_asked_for_again_ahead_of_time() {
            let (keyring, source) =
                (Keyring::new(None), Scripted { lives: &[3600, 3600], asked: Arc::default() });
            let refusing = async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                keyring.refused();
                tokio::time::sleep(Duration::from_secs(10)).await;
            };
            tokio::select! {
                () = keyring.keep_from(|| std::future::ready(source.clone())) => {}
                () = refusing => {}
            }
            assert_eq!(keyring.current().unwrap().access_key_id, "key 1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_access_key_is_none() {
        let only = |named: &'static [(&str, &str)]| {
            Credentials::from_variables(move |name| {
                named.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(only(&[("AWS_ACCESS_KEY_ID", "a")]), None);
        assert_eq!(only(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", " ")]), None);
        let whole =
            only(&[("AWS_ACCESS_KEY_ID", "a\n"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "")]);
        let whole = whole.unwrap();
        assert_eq!((whole.access_key_id.as_str(), whole.session_token), ("a", None));
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials =
            Credentials { session_token: Some("token".to_owned()), ..Credentials::placeholder() };
        let printed = format!("{:?}", Credentials { secret_access_key: "hush".to_owned(), ..credentials });
        assert!(!printed.contains("hush") && !printed.contains("token\""), "{printed}");
    }
}
