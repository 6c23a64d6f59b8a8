//! The bus on a Valkey or Redis server, 7.0 or later: a stream, and scripts that are its atomic steps.
//!
//! Connections are plain ones that never reconnect by themselves: a reconnect is where another server must be noticed.

use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, Script, ScriptInvocation, Value,
};

use super::bus::{
    Beat, Bus, BusError, Entry, Join, Joined, Link, Member, Position, Pulse, Ready, RunId, Welcome,
};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer may take, beyond the time for which the question itself asks the server to wait. A slow server is no reason to
/// connect again: the lease decides what may be served meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(2_500);

/// The most entries of one answer.
const ENTRIES_MAX: usize = 512;

static PUBLISH: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/publish.lua")));
static BEAT: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/beat.lua")));
static JOIN: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/join.lua")));
static READY: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/ready.lua")));
static INTRODUCE: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/introduce.lua")));
static LEAVE: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/leave.lua")));

fn script(body: &str) -> Script {
    Script::new(&format!("{}\n{body}", include_str!("scripts/prelude.lua")))
}

/// Where the server is, and what it is to keep.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`, with a user if there is one, and without a password.
    pub url: String,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// The name of the fleet.
    pub name: String,
    /// How many entries the log keeps, at least.
    pub replay: u64,
    /// How long a membership lasts beyond the time in the last answer.
    pub membership: Duration,
    /// How long a loss is remembered.
    pub losses_kept: Duration,
}

/// A password that is never printed.
#[derive(Clone)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password")
    }
}

/// A Valkey or Redis server.
#[derive(Debug)]
pub struct RedisBus {
    settings: RedisSettings,
    info: ConnectionInfo,
    keys: Keys,
}

/// The keys of the fleet. They share a hash tag, so that a cluster keeps them on one node.
#[derive(Clone, Debug)]
struct Keys([String; 7]);

impl Keys {
    fn new(name: &str) -> Self {
        Self(
            ["log", "epoch", "members", "applied", "lost", "general", "words"]
                .map(|key| format!("{{ns:{name}:0}}:{key}")),
        )
    }

    fn log(&self) -> &str {
        &self.0[0]
    }
}

impl RedisBus {
    /// The same server with keys of its own, for a trial that disturbs nobody. What it leaves is removed by [`RedisBus::remove`].
    pub(super) fn trial(&self) -> Self {
        let keys = Keys(self.keys.0.clone().map(|key| format!("{key}:trial:{}", fastrand::u64(..))));
        Self { settings: self.settings.clone(), info: self.info.clone(), keys }
    }

    /// Removes every key.
    ///
    /// # Errors
    /// [`BusError`].
    pub(super) async fn remove(&self) -> Result<(), BusError> {
        let mut link = self.connect().await?;
        let mut command = redis::cmd("DEL");
        self.keys.0.iter().for_each(|key| {
            command.arg(key);
        });
        command.query_async(&mut link.connection).await.map_err(failure)
    }

    /// A bus that is not connected yet.
    ///
    /// # Errors
    /// A sentence, for a URL that cannot be read.
    pub fn new(settings: RedisSettings) -> Result<Self, String> {
        let info = settings.url.as_str().into_connection_info().map_err(|error| error.to_string())?;
        let redis = info.redis_settings();
        let mut own = RedisConnectionInfo::default()
            .set_db(redis.db())
            .set_lib_name("nearside", env!("CARGO_PKG_VERSION"));
        if let Some(user) = redis.username() {
            own = own.set_username(user);
        }
        if let Some(Password(password)) = &settings.password {
            own = own.set_password(password);
        }
        let tcp = info.tcp_settings().clone().set_nodelay(true).set_user_timeout(Duration::from_secs(5));
        let info = info.set_redis_settings(own).set_tcp_settings(tcp);
        let keys = Keys::new(&settings.name);
        Ok(Self { settings, info, keys })
    }

    async fn connect_to(&self, info: ConnectionInfo) -> Result<RedisLink, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let mut connection =
            Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await?;
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run = RunId(info_field(&server, "run_id").unwrap_or_default().into());
        // A cluster's node that does not keep the keys says here which one does.
        let _: i64 = redis::cmd("EXISTS").arg(self.keys.log()).query_async(&mut connection).await?;
        Ok(RedisLink { connection, run, keys: self.keys.clone(), settings: self.settings.clone() })
    }

    /// The same server elsewhere, where a cluster's node points.
    fn moved(&self, error: &RedisError) -> Option<ConnectionInfo> {
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let address = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Some(self.info.clone().set_addr(address))
    }

    /// What a server says about itself that decides whether it is fit to be a bus.
    ///
    /// # Errors
    /// [`BusError`], when it cannot be asked.
    pub async fn describe(&self) -> Result<ServerDescription, BusError> {
        let mut link = self.connect().await?;
        let mut info = String::new();
        for section in ["server", "memory", "replication", "cluster"] {
            let command = redis::cmd("INFO").arg(section).to_owned();
            info.push_str(&command.query_async::<String>(&mut link.connection).await.map_err(failure)?);
        }
        let field = |name: &str| info_field(&info, name).map(str::to_owned);
        Ok(ServerDescription {
            version: field("valkey_version").or(field("redis_version")).unwrap_or_default(),
            run: link.run.clone(),
            is_replica: field("role").as_deref() == Some("slave"),
            replicas: field("connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0),
            maxmemory: field("maxmemory").and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
            eviction: field("maxmemory_policy").unwrap_or_default(),
            // Only a server that stops without its replicas counts those that are good.
            is_fenced: field("min_slaves_good_slaves").is_some(),
        })
    }

    /// The settings that the members of the fleet have agreed on, if there are members.
    ///
    /// # Errors
    /// [`BusError`], when it cannot be asked.
    pub async fn settings_in_force(&self) -> Result<Option<String>, BusError> {
        let mut link = self.connect().await?;
        let members: i64 = redis::cmd("ZCARD")
            .arg(&self.keys.0[2])
            .query_async(&mut link.connection)
            .await
            .map_err(failure)?;
        let settings: Option<String> = redis::cmd("HGET")
            .arg(&self.keys.0[5])
            .arg("settings")
            .query_async(&mut link.connection)
            .await
            .map_err(failure)?;
        Ok(settings.filter(|_| members > 0))
    }
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerDescription {
    /// Of Valkey or Redis.
    pub version: String,
    /// Empty if it hides it.
    pub run: RunId,
    /// It copies another server, and takes no writes.
    pub is_replica: bool,
    /// How many servers copy this one.
    pub replicas: u32,
    /// The most bytes that it stores; 0 if there is no limit.
    pub maxmemory: u64,
    /// What it does when it is full.
    pub eviction: String,
    /// It takes no writes without a replica (`min-replicas-to-write`).
    pub is_fenced: bool,
}

impl Bus for RedisBus {
    type Link = RedisLink;

    async fn connect(&self) -> Result<RedisLink, BusError> {
        let link = match self.connect_to(self.info.clone()).await {
            Err(error) if error.redirect_node().is_some() => match self.moved(&error) {
                Some(info) => self.connect_to(info).await,
                None => Err(error),
            },
            outcome => outcome,
        };
        let link = link.map_err(failure)?;
        match link.run.0.is_empty() {
            true => Err(BusError::Rejected(
                "the server hides its run_id, so a restart could not be noticed".to_owned(),
            )),
            false => Ok(link),
        }
    }
}

/// One connection.
pub struct RedisLink {
    connection: MultiplexedConnection,
    run: RunId,
    keys: Keys,
    settings: RedisSettings,
}

impl RedisLink {
    fn invocation<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut invocation = script.prepare_invoke();
        self.keys.0.iter().for_each(|key| {
            invocation.key(key);
        });
        invocation.arg(&*self.run.0).arg(self.settings.replay);
        invocation
    }
}

impl Link for RedisLink {
    fn run(&self) -> &RunId {
        &self.run
    }

    async fn read(&mut self, after: Position, wait: Duration) -> Result<Vec<(Position, Entry)>, BusError> {
        self.connection.set_response_timeout(wait + ANSWER_TIMEOUT);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(ENTRIES_MAX).arg("BLOCK").arg(wait.as_millis().max(1) as u64);
        command.arg("STREAMS").arg(self.keys.log()).arg(text_of(after));
        let answer: Option<StreamsAnswer> =
            command.query_async(&mut self.connection).await.map_err(failure)?;
        let entries = answer.into_iter().flatten().flat_map(|(_, entries)| entries);
        entries.map(|(id, fields)| Ok((position(&id)?, entry(fields)))).collect()
    }

    async fn publish(&mut self, reports: &[u8]) -> Result<Position, BusError> {
        let mut invocation = self.invocation(&PUBLISH);
        let id: String = invocation.arg(reports).invoke_async(&mut self.connection).await.map_err(failure)?;
        position(&id)
    }

    async fn beat(&mut self, beat: &Beat<'_>) -> Result<Pulse, BusError> {
        let mut invocation = self.invocation(&BEAT);
        invocation
            .arg(member_text(beat.member))
            .arg(beat.last_time_ms)
            .arg(whole_ms(self.settings.membership))
            .arg(beat.applied.epoch.to_string())
            .arg(beat.applied.number);
        let (end, time_ms, is_member, others): (String, u64, u8, String) =
            invocation.invoke_async(&mut self.connection).await.map_err(failure)?;
        let end = position(&end)?;
        let others = others.parse().ok().map(|number| Position { epoch: end.epoch, number });
        Ok(Pulse { end, time_ms, is_member: is_member == 1, others_applied: others })
    }

    async fn join(&mut self, join: &Join<'_>) -> Result<Joined, BusError> {
        let mut invocation = self.invocation(&JOIN);
        let (epoch, number) = join
            .applied
            .map_or_else(Default::default, |applied| (applied.epoch.to_string(), applied.number.to_string()));
        invocation
            .arg(member_text(join.member))
            .arg(whole_ms(self.settings.membership))
            .arg(join.settings)
            .arg(whole_ms(self.settings.losses_kept))
            .arg(epoch)
            .arg(number)
            .arg(u8::from(join.may_found));
        let answer: Vec<Value> = invocation.invoke_async(&mut self.connection).await.map_err(failure)?;
        joined(answer)
    }

    async fn ready(&mut self, ready: &Ready<'_>) -> Result<Option<Position>, BusError> {
        let mut invocation = self.invocation(&READY);
        invocation.arg(member_text(ready.member)).arg(ready.pending).arg(u8::from(ready.resumed));
        let id: String = invocation.invoke_async(&mut self.connection).await.map_err(failure)?;
        if id.is_empty() { Ok(None) } else { position(&id).map(Some) }
    }

    async fn introduce(&mut self, member: &Member, words: &str) -> Result<Vec<(Member, String)>, BusError> {
        let mut invocation = self.invocation(&INTRODUCE);
        invocation.arg(member_text(member)).arg(words);
        let lines: Vec<String> = invocation.invoke_async(&mut self.connection).await.map_err(failure)?;
        Ok(lines.iter().filter_map(|line| introduced(line)).collect())
    }

    async fn leave(&mut self, member: &Member) -> Result<(), BusError> {
        let mut invocation = self.invocation(&LEAVE);
        invocation.arg(member_text(member)).invoke_async::<()>(&mut self.connection).await.map_err(failure)
    }
}

type StreamsAnswer = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;

fn joined(answer: Vec<Value>) -> Result<Joined, BusError> {
    let mut answer = answer.into_iter();
    let mut text = || next::<String>(&mut answer);
    if text()? == "settings" {
        return Ok(Joined::OtherSettings(text()?));
    }
    let end = position(&text()?)?;
    let time_ms = next(&mut answer)?;
    let since_ms = next(&mut answer)?;
    let members: Vec<String> = next(&mut answer)?;
    let losses: Vec<String> = next(&mut answer)?;
    let lost = losses.chunks_exact(2).filter_map(|pair| {
        let at: f64 = pair[1].parse().ok()?;
        Some((member(&pair[0])?, at as u64))
    });
    Ok(Joined::Welcome(Welcome {
        end,
        time_ms,
        since_ms,
        members: members.iter().filter_map(|text| member(text)).collect(),
        lost: lost.collect(),
    }))
}

fn next<T: FromRedisValue>(answer: &mut impl Iterator<Item = Value>) -> Result<T, BusError> {
    let value = answer.next().ok_or_else(|| unreadable("too few values"))?;
    T::from_redis_value(value).map_err(|error| unreadable(&error.to_string()))
}

fn entry(fields: Vec<Vec<u8>>) -> Entry {
    let mut fields = fields.into_iter();
    let (Some(name), Some(value)) = (fields.next(), fields.next()) else { return Entry::Unreadable };
    let named = || std::str::from_utf8(&value).ok().and_then(member);
    let read = match &*name {
        b"reports" => return Entry::Reports(value.into()),
        b"begin" => return Entry::Begun,
        b"joined" => named().map(Entry::Joined),
        b"ready" => named().map(|member| Entry::Ready(member, false)),
        b"resumed" => named().map(|member| Entry::Ready(member, true)),
        b"left" => named().map(Entry::Left),
        b"lost" => named().map(Entry::Lost),
        _ => None,
    };
    read.unwrap_or(Entry::Unreadable)
}

fn member_text(member: &Member) -> String {
    format!("{}.{}", member.node, member.life)
}

fn member(text: &str) -> Option<Member> {
    let (node, life) = text.rsplit_once('.')?;
    Some(Member { node: node.into(), life: life.parse().ok()? })
}

fn introduced(line: &str) -> Option<(Member, String)> {
    let (of, words) = line.split_once(' ')?;
    Some((member(of)?, words.to_owned()))
}

fn text_of(position: Position) -> String {
    format!("{}-{}", position.epoch, position.number)
}

fn position(id: &str) -> Result<Position, BusError> {
    let parsed = id.split_once('-').and_then(|(epoch, number)| {
        Some(Position { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
    });
    parsed.ok_or_else(|| unreadable(id))
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The value of a line of `INFO`.
fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn unreadable(what: &str) -> BusError {
    BusError::Rejected(format!("an answer cannot be read: {what}"))
}

fn failure(error: RedisError) -> BusError {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return BusError::Rejected("WRONGPASS the user or the password is wrong".to_owned());
    }
    match error.code() {
        Some("OTHERRUN") => BusError::OtherServer,
        Some(code) if !error.is_io_error() => {
            BusError::Rejected(format!("{code} {}", error.detail().unwrap_or_default()).trim().to_owned())
        }
        _ => BusError::Unreachable(error.to_string()),
    }
}
