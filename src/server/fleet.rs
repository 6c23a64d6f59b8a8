//! The node's part in a fleet, as configured: the secret from which hashes are derived, the bus, and what is shown of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::hkdf;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::caches::Caches;
use crate::cache::{FleetMemory, FleetSecret, LapsedReads};
use crate::config::{self, Ack, Config, CutOff, Fixed, FleetSecrets, UpstreamKind, WhenStale};
use crate::engine::Engine;
use crate::fleet::bus::Bus;
use crate::fleet::{self, CANON, Fleet, Password, RedisBus, RedisSettings, Severity, VERSION};
use crate::stopped_time::StoppedTime;
use crate::telemetry::{CacheSample, Metrics};

/// How often the bus is asked whether it is still fit for its part.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// The same until it has answered once.
const FIRST_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a node waits for the bus at its start.
const LOG_IN_TIMEOUT: Duration = Duration::from_secs(1);

/// What a node needs to take part in a fleet, before its engine is there.
pub(super) struct FleetPlan {
    bus: RedisBus,
    /// The same server for questions about it.
    probed: RedisBus,
    url: String,
    settings: fleet::Settings,
    secret: FleetSecret,
    lapsed: LapsedReads,
}

/// The node's part in a fleet.
#[derive(Clone)]
pub(super) struct FleetPart {
    fleet: Arc<Fleet<RedisBus>>,
    probed: Arc<RedisBus>,
    common: String,
    is_unfenced: Arc<AtomicBool>,
}

impl FleetPlan {
    /// Reads the secrets; `None` without a fleet in the config. The bus need not be there yet. May wait for a disk.
    ///
    /// # Errors
    /// [`StartError`], for a secret that cannot be used.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(section) = &config.fixed.fleet else { return Ok(None) };
        let secrets = section.read_secrets().map_err(StartError)?;
        let settings = settings(section, &config.fixed, &secrets);
        let redis = redis_settings(section, &settings, &secrets);
        let bus = || RedisBus::new(redis.clone()).map_err(|error| StartError(format!("fleet.url: {error}")));
        Ok(Some(Self {
            bus: bus()?,
            probed: bus()?,
            url: section.url.to_string(),
            secret: FleetSecret::new(derived(&secrets, &config.fixed, KEY_OF_HASHES)),
            settings,
            lapsed: match section.when_stale {
                WhenStale::Young => LapsedReads::Young,
                WhenStale::Bypass => LapsedReads::Bypass,
            },
        }))
    }

    /// Asks the bus whether it takes the user and the password. One that does not answer is no fault: it may come later.
    ///
    /// # Errors
    /// [`StartError`], for a user or a password that it rejects.
    pub(super) async fn log_in(&self) -> Result<(), StartError> {
        match tokio::time::timeout(LOG_IN_TIMEOUT, self.probed.connect()).await {
            Ok(Err(error)) if error.is_about_the_password() => Err(StartError(format!(
                "the fleet's bus {} rejects the user or the password; see fleet.url and fleet.password_file ({error})",
                self.url
            ))),
            _ => Ok(()),
        }
    }

    /// What the caches are made with.
    pub(super) fn memory(&self, stopped: &Arc<StoppedTime>) -> FleetMemory {
        FleetMemory {
            secret: self.secret,
            lease: self.settings.lease_length(),
            lapsed: self.lapsed,
            stopped: Some(Arc::clone(stopped)),
        }
    }

    /// The node's part, with the engine that it invalidates for and that reports to it.
    pub(super) fn begin(
        self,
        engine: &Arc<Engine>,
        metrics: &Arc<Metrics>,
        stopped: Arc<StoppedTime>,
    ) -> FleetPart {
        let common = self.settings.common.clone();
        let replica = Arc::clone(engine) as Arc<dyn fleet::Replica>;
        let stopped_ms = move || stopped.total_ms(Instant::now());
        let fleet = Fleet::new(self.bus, self.settings, replica, Arc::clone(metrics), Box::new(stopped_ms));
        engine.set_peers(Arc::new(Arc::clone(&fleet)));
        FleetPart { fleet, probed: Arc::new(self.probed), common, is_unfenced: Arc::default() }
    }
}

impl FleetPart {
    /// Takes part until `closing`, and leaves.
    pub(super) async fn run(self, closing: CancellationToken, patience: Duration) {
        let looking = tokio::spawn(closing.clone().run_until_cancelled_owned(self.clone().keep_looking()));
        self.fleet.run(closing, patience).await;
        looking.await.ok();
    }

    /// Says what is wrong with the bus, once for each thing. What cannot be asked shows in the tasks of the fleet.
    async fn keep_looking(self) {
        let mut said = Vec::new();
        loop {
            let findings = fleet::look(&self.probed).await;
            let pause = if findings.is_ok() { LOOK_INTERVAL } else { FIRST_LOOK_INTERVAL };
            if let Ok(findings) = findings {
                self.is_unfenced.store(findings.iter().any(|finding| finding.is_unfenced), Ordering::Relaxed);
                let new = findings.iter().filter(|finding| !said.contains(*finding));
                new.for_each(|finding| match finding.severity {
                    Severity::Fine => tracing::info!("Fleet: {}.", finding.text),
                    Severity::Warning => tracing::warn!("Fleet: {}.", finding.text),
                    Severity::Error => tracing::error!("Fleet: {}.", finding.text),
                });
                said = findings;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Lets the other members know this one by a line of words, and follows what all of them say.
    pub(super) fn introduce_as(&self, words: &str) -> watch::Receiver<Arc<[fleet::Introduced]>> {
        self.fleet.introduce_as(words)
    }

    /// Why the node does not serve all that it has cached, if it does not.
    pub(super) fn unready(&self) -> Option<String> {
        self.fleet.status().unready()
    }

    /// The state of the node for `/api/fleet`.
    pub(super) fn json(&self) -> String {
        let status = self.fleet.status();
        let introduced = self.fleet.introduced();
        let member = |member: &fleet::bus::Member| {
            let said = introduced.iter().find(|introduced| introduced.node == member.node);
            let says = said.map(|introduced| &*introduced.words);
            serde_json::json!({"node": &*member.node, "life": member.life, "says": says})
        };
        let distrusted: Vec<_> = status
            .distrusted
            .iter()
            .map(|distrusted| {
                serde_json::json!({
                    "node": distrusted.node,
                    "left_ms": distrusted.left.as_millis() as u64
                })
            })
            .collect();
        let value = serde_json::json!({
            "node": &*status.me.node,
            "life": status.me.life,
            "state": status.standing,
            "lease_left_ms": status.lease_left.as_millis() as u64,
            "applied": status.applied.map(|position| format!("{}-{}", position.epoch, position.number)),
            "members": status.members.iter().map(member).collect::<Vec<_>>(),
            "distrusted": distrusted,
            "reports_waiting": status.reports_waiting,
            "unheard_writes": status.unheard_writes,
            "bus_error": status.trouble,
            "bus_unfenced": self.is_unfenced.load(Ordering::Relaxed),
            "settings": self.common,
        });
        format!("{value:#}\n")
    }

    /// What it counts, under the names of the metrics.
    pub(super) fn samples(&self, caches: &Caches) -> Vec<CacheSample> {
        let status = self.fleet.status();
        let is_fresh = u64::from(status.standing == "fresh");
        let is_unfenced = u64::from(self.is_unfenced.load(Ordering::Relaxed));
        let mut samples = vec![
            CacheSample::plain("nearside_fleet_fresh", is_fresh),
            CacheSample::seconds("nearside_fleet_lease_remaining_seconds", status.lease_left),
            CacheSample::plain("nearside_fleet_members", status.members.len() as u64),
            CacheSample::plain("nearside_fleet_distrusted", status.distrusted.len() as u64),
            CacheSample::plain(
                "nearside_fleet_log_position",
                status.applied.map_or(0, |position| position.number),
            ),
            CacheSample::plain("nearside_fleet_reports_waiting", status.reports_waiting as u64),
            CacheSample::plain("nearside_fleet_bus_unfenced", is_unfenced),
            CacheSample::plain("nearside_fleet_bumps_spared_total", caches.bumps_spared()),
        ];
        samples.extend(self.fleet.figures().into_iter().map(|figure| match figure {
            fleet::Figure::Count(name, None, value) => CacheSample::plain(name, value),
            fleet::Figure::Count(name, Some((label, of)), value) => {
                CacheSample::labelled(name, label, of, value)
            }
            fleet::Figure::Time(name, duration) => CacheSample::seconds(name, duration),
        }));
        samples
    }
}

/// What `nearside check --connect` reports of the bus; empty without a fleet in the config.
///
/// # Errors
/// Words, for a secret that cannot be used.
pub async fn probe_fleet(config: &Config) -> Result<Vec<fleet::Finding>, String> {
    match FleetPlan::of(config).map_err(|error| error.to_string())? {
        None => Ok(Vec::new()),
        Some(plan) => Ok(fleet::probe(&plan.probed, &plan.settings.common).await),
    }
}

fn settings(section: &config::Fleet, fixed: &Fixed, secrets: &FleetSecrets) -> fleet::Settings {
    let ack = match section.ack {
        Ack::Receipt => "receipt",
        Ack::All => "all",
    };
    let cut_off = match section.cut_off {
        CutOff::Degrade => "degrade",
        CutOff::Refuse => "refuse",
        CutOff::Accept => "accept",
    };
    // A few bits tell secrets apart, and do not help who guesses.
    let secret = derived(secrets, fixed, KEY_OF_NAME) as u32;
    let common = format!(
        "ack={ack} cut_off={cut_off} lease={}ms silence_grace={}ms unknown_write_window={}ms reports=v{VERSION} keys=v{CANON} upstream={} region={} secret={secret:08x}",
        section.lease.as_millis(),
        section.silence_grace.as_millis(),
        fixed.remote.unknown_write_window.as_millis(),
        upstream(fixed),
        fixed.region(),
    );
    fleet::Settings {
        node: section.node.as_str().into(),
        lease: section.lease,
        ack: section.ack,
        cut_off: section.cut_off,
        silence_grace: section.silence_grace,
        ack_timeout: section.ack_timeout,
        clock_step: section.clock_step,
        unknown_write_window: fixed.remote.unknown_write_window,
        common,
    }
}

fn redis_settings(
    section: &config::Fleet,
    settings: &fleet::Settings,
    secrets: &FleetSecrets,
) -> RedisSettings {
    let password = secrets.password.as_ref();
    RedisSettings {
        url: section.url.to_string(),
        password: password.map(|password| Password(String::from_utf8_lossy(password.expose()).into_owned())),
        name: section.name.clone(),
        replay: u64::from(section.replay),
        membership: section.lease,
        losses_kept: settings.losses_kept(),
    }
}

fn upstream(fixed: &Fixed) -> String {
    match &fixed.upstream {
        UpstreamKind::Local => "local".to_owned(),
        UpstreamKind::Aws => "aws".to_owned(),
        UpstreamKind::Endpoint(endpoint) => endpoint.to_string(),
    }
}

const KEY_OF_HASHES: &[u8] = b"nearside fleet v1 hashes";
const KEY_OF_NAME: &[u8] = b"nearside fleet v1 name";

/// 128 bits for one use, from the fleet's secret and the upstream (HKDF with SHA-256, RFC 5869).
fn derived(secrets: &FleetSecrets, fixed: &Fixed, use_of_it: &[u8]) -> u128 {
    let (upstream, region) = (upstream(fixed), fixed.region());
    let info = [use_of_it, b"\0", upstream.as_bytes(), b"\0", region.as_bytes()];
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secrets.secret.expose());
    let mut bits = [0; 16];
    let expanded = key.expand(&info, Bits128).and_then(|okm| okm.fill(&mut bits));
    expanded.expect("16 bytes are fewer than HKDF gives");
    u128::from_be_bytes(bits)
}

struct Bits128;

impl hkdf::KeyType for Bits128 {
    fn len(&self) -> usize {
        16
    }
}
