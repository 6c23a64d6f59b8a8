//! How a request reaches an endpoint: HTTP/1.1 by reqwest, over TCP or TLS, straight or through a proxy.
//!
//! A request goes in with its headers, and its whole answer or a [`Fault`] comes out. The fault reports what may have happened:
//! only [`Fault::NotConnected`] means that no byte was sent. reqwest may not retry, redirect or decompress here. How many
//! requests are in flight is not decided here either: reqwest's pool has no limit, so the gate stands in front.

mod proxy;
mod setups;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::stopped_time::StoppedTime;
use setups::SetupLimit;

pub use proxy::Network;

/// The largest body of an answer. The service's largest is 16 MB, which JSON may swell.
const ANSWER_BYTES_MAX: usize = 25 << 20;

/// A connection is not used for longer than [`CLIENT_TERM`] and [`HANDOVER`] together, five minutes, so that a host that
/// moved is found again. After this time, another client with a pool of its own begins to take requests.
const CLIENT_TERM: Duration = Duration::from_secs(240);

/// Requests move from one client to the next over this time, so that not all connections are made anew at one time.
const HANDOVER: Duration = Duration::from_secs(60);

/// A connection that was not used for this long is closed: well before servers do it, so that no request meets their closing.
/// DynamoDB and load balancers close theirs after 60 s or later.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A request as it is sent.
pub(super) struct Outgoing {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What came of a request.
pub(super) struct Exchanged {
    /// The whole answer, or why there is none.
    pub(super) response: Result<Response<Bytes>, Fault>,
    /// How long it took from a ready connection on; all of the time, if there was none.
    pub(super) took: Duration,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no connection; no byte was sent.
    NotConnected(String),
    /// The connection broke. What the endpoint received is not known.
    Broken(String),
    /// The answer is not one of HTTP, or is too large.
    Invalid(String),
}

/// A request in flight. If it is dropped, its connection is closed.
pub(super) type Exchanging<'a> = Pin<Box<dyn Future<Output = Exchanged> + Send + 'a>>;

/// Sends requests to one endpoint: over HTTP, or to a test's own.
pub(super) trait Transport: Send + Sync + 'static {
    /// Sends a request, and waits for its whole answer. The caller limits the time.
    fn exchange(&self, request: Outgoing) -> Exchanging<'_>;

    /// Closes all idle connections: after an outage nobody knows which of them still lead anywhere.
    fn forget_connections(&self);

    /// Retires connections of age. To be called every few seconds.
    fn renew_connections(&self, now: Instant);

    /// How many connections were set up so far.
    fn connections_opened(&self) -> u64;
}

/// Sends requests to one endpoint over HTTP.
pub(super) struct Http {
    url: Url,
    plan: ClientPlan,
    clients: ArcSwap<Clients>,
    stopped: StoppedTime,
    /// How long the machine had stood still when a request was last sent, in milliseconds.
    stopped_seen_ms: AtomicU64,
}

/// How a client of reqwest is built.
struct ClientPlan {
    tls: rustls::ClientConfig,
    proxy: Option<reqwest::Proxy>,
    connect_timeout: Duration,
    idle_connections_max: usize,
    setups: SetupLimit,
}

/// The client in use and, for [`HANDOVER`], the one before.
struct Clients {
    current: reqwest::Client,
    previous: Option<reqwest::Client>,
    since: Instant,
}

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectLimits {
    /// How long a connection may take to set up, the proxy and TLS included.
    pub(super) timeout: Duration,
    /// Requests that may be in flight in each lane of the gate.
    pub(super) concurrency_max: usize,
}

impl Http {
    /// Ways to these endpoints, in their order. Nothing is sent yet.
    ///
    /// # Errors
    /// A reason in words, if no certificates are trusted on this machine, the environment names a CA bundle or a proxy that
    /// cannot be used, or a host is no host.
    pub(super) fn to_endpoints(
        endpoints: &[Endpoint],
        network: &Network,
        limits: ConnectLimits,
    ) -> Result<Vec<Self>, String> {
        let urls = endpoints.iter().map(|endpoint| {
            Url::parse(&endpoint.to_string()).map_err(|error| format!("{endpoint} is invalid: {error}"))
        });
        let urls = urls.collect::<Result<Vec<_>, _>>()?;
        let routes = urls.iter().map(|url| network.proxy_to(url)).collect::<Result<Vec<_>, _>>()?;
        if let Some((endpoint, proxy)) =
            endpoints.iter().zip(&routes).find_map(|(endpoint, proxy)| Some((endpoint, proxy.as_ref()?)))
        {
            tracing::info!(%endpoint, %proxy, "Requests to the upstream go through a proxy.");
        }
        let needs_roots = urls.iter().any(|url| url.scheme() == "https")
            || routes.iter().flatten().any(proxy::Proxy::is_encrypted);
        let tls = match needs_roots {
            true => tls::trusting_machine_and(network.ca_bundle())?,
            false => tls::trusting_nobody()?,
        };
        urls.into_iter()
            .zip(routes)
            .map(|(url, proxy)| {
                let plan = ClientPlan {
                    tls: tls.clone(),
                    proxy: proxy.map(|proxy| proxy.for_client()).transpose()?,
                    connect_timeout: limits.timeout,
                    idle_connections_max: limits.concurrency_max,
                    setups: SetupLimit::new(limits.concurrency_max),
                };
                let clients = Clients { current: plan.build()?, previous: None, since: Instant::now() };
                Ok(Self {
                    url,
                    plan,
                    clients: ArcSwap::from_pointee(clients),
                    stopped: StoppedTime::of_this_machine(),
                    stopped_seen_ms: AtomicU64::new(0),
                })
            })
            .collect()
    }
}

#[cfg(feature = "otlp")]
impl Network {
    /// A client of one endpoint beside the upstream, over the same proxies and with the same certificates.
    ///
    /// # Errors
    /// As for the upstream: a proxy or certificates that cannot be used, or an endpoint that is none.
    pub fn client_of(&self, endpoint: &Endpoint, timeout: Duration) -> Result<reqwest::Client, String> {
        let limits = ConnectLimits { timeout, concurrency_max: 1 };
        let http = Http::to_endpoints(std::slice::from_ref(endpoint), self, limits)?;
        let client = http.first().map(|http| http.clients.load().current.clone());
        client.ok_or_else(|| format!("{endpoint} is invalid"))
    }
}

impl ClientPlan {
    fn build(&self) -> Result<reqwest::Client, String> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .http1_only()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(Shuffled)
            .connect_timeout(self.connect_timeout)
            .connector_layer(self.setups.clone())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(self.idle_connections_max);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        builder.build().map_err(|error| words(&error))
    }
}

impl Clients {
    /// The client for the next request. During a handover the share of the new one grows from nothing to all.
    fn pick(&self, now: Instant) -> &reqwest::Client {
        match &self.previous {
            Some(previous)
                if now.duration_since(self.since).as_secs_f64()
                    < HANDOVER.as_secs_f64() * fastrand::f64() =>
            {
                previous
            }
            Some(_) | None => &self.current,
        }
    }
}

impl Transport for Http {
    fn exchange(&self, request: Outgoing) -> Exchanging<'_> {
        Box::pin(async move {
            let asked = Instant::now();
            self.notice_stop(asked);
            let begun = Arc::new(OnceLock::new());
            let responding =
                self.clients.load().pick(asked).execute(self.request(request, Arc::clone(&begun)));
            let response = match responding.await {
                Ok(response) => whole(response).await,
                Err(error) => Err(fault_of(&error)),
            };
            Exchanged { response, took: begun.get().unwrap_or(&asked).elapsed() }
        })
    }

    fn forget_connections(&self) {
        self.replace(None);
    }

    fn renew_connections(&self, now: Instant) {
        let clients = self.clients.load();
        let age = now.duration_since(clients.since);
        if age >= CLIENT_TERM {
            self.replace(Some(clients.current.clone()));
        } else if age >= HANDOVER && clients.previous.is_some() {
            let (current, since) = (clients.current.clone(), clients.since);
            self.clients.store(Arc::new(Clients { current, previous: None, since }));
        }
    }

    fn connections_opened(&self) -> u64 {
        self.plan.setups.opened()
    }
}

impl Http {
    fn request(&self, outgoing: Outgoing, begun: Arc<OnceLock<Instant>>) -> reqwest::Request {
        let mut request = reqwest::Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = outgoing.headers;
        *request.body_mut() = Some(reqwest::Body::wrap(OnceBody { bytes: outgoing.body, begun }));
        request
    }

    /// While the machine stood still, its connections idled. The other side may have closed them, and a write over such a one would
    /// be of unknown outcome.
    fn notice_stop(&self, now: Instant) {
        let stopped_ms = self.stopped.total_ms(now);
        let seen_ms = self.stopped_seen_ms.load(Ordering::Acquire);
        if Duration::from_millis(stopped_ms.saturating_sub(seen_ms)) >= IDLE_MAX {
            // Of requests that find this at the same time, each may open its own: none takes an old one.
            self.replace(None);
            tracing::debug!("The machine stood still: connections to the upstream are opened anew.");
        }
        self.stopped_seen_ms.fetch_max(stopped_ms, Ordering::AcqRel);
    }

    fn replace(&self, previous: Option<reqwest::Client>) {
        match self.plan.build() {
            Ok(current) => {
                self.clients.store(Arc::new(Clients { current, previous, since: Instant::now() }));
            }
            // It was built before from the same plan.
            Err(error) => tracing::warn!(error, "Connections to the upstream cannot be renewed."),
        }
    }
}

/// The body of a request, for one connection. It cannot be cloned, so no layer of reqwest can send its request once more. hyper
/// hands a request back for another connection only if it has not begun to write it.
struct OnceBody {
    bytes: Bytes,
    /// When a connection took it.
    begun: Arc<OnceLock<Instant>>,
}

impl Body for OnceBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.begun.get_or_init(Instant::now);
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// The whole of an answer.
async fn whole(response: reqwest::Response) -> Result<Response<Bytes>, Fault> {
    let (head, body) = Response::<reqwest::Body>::from(response).into_parts();
    // An answer whose head says that it is too large is not waited for.
    if body.size_hint().lower() > ANSWER_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| match error
        .downcast::<reqwest::Error>()
    {
        Ok(error) => fault_of(&error),
        Err(error) if error.is::<LengthLimitError>() => too_large(),
        Err(error) => Fault::Broken(error.to_string()),
    })?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

fn too_large() -> Fault {
    Fault::Invalid("the answer is larger than 25 MiB".to_owned())
}

/// Every fault but a connection that was never made leaves open what the endpoint received.
fn fault_of(error: &reqwest::Error) -> Fault {
    let mut words = words(error);
    if causes(error).any(is_plain_answer) {
        words.push_str("; does the endpoint speak plain http://?");
    }
    if error.is_connect() {
        return Fault::NotConnected(words);
    }
    let is_parse = causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse));
    if is_parse { Fault::Invalid(words) } else { Fault::Broken(words) }
}

/// The innermost cause of an error. Those around it say only that something failed, and one of them shows the URL.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// True if the server answered the first message of TLS with something else.
fn is_plain_answer(mut cause: &(dyn std::error::Error + 'static)) -> bool {
    // The error within one of input and output is not among its causes.
    while let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        cause = inner;
    }
    matches!(
        cause.downcast_ref(),
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))
    )
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| error.source())
}

/// Finds a host's addresses, anew for every connection, and in random order.
#[derive(Clone, Copy)]
struct Shuffled;

impl Resolve for Shuffled {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is reqwest's to set.
            let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            fastrand::shuffle(&mut addresses);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stopped_time::OtherClocks;

    #[tokio::test]
    async fn no_layer_below_can_send_a_request_once_more() {
        let limits = ConnectLimits { timeout: Duration::from_secs(1), concurrency_max: 1 };
        let endpoint = "http://dynamodb.test".parse().unwrap();
        let https = Http::to_endpoints(&[endpoint], &Network::default(), limits).unwrap();
        let outgoing = Outgoing { headers: HeaderMap::new(), body: Bytes::from_static(b"{}") };
        assert!(https[0].request(outgoing, Arc::default()).try_clone().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_idled_while_the_machine_stood_still_are_not_used_again() {
        let (origin, stopped_ms) = (Instant::now(), Arc::<AtomicU64>::default());
        let by = Arc::clone(&stopped_ms);
        let limits = ConnectLimits { timeout: Duration::from_secs(1), concurrency_max: 1 };
        let endpoint = "http://dynamodb.test".parse().unwrap();
        let https = Http::to_endpoints(&[endpoint], &Network::default(), limits).unwrap();
        let mut http = https.into_iter().next().unwrap();
        http.stopped = StoppedTime::by(move || {
            let wall = Duration::from_secs(1_000_000) + origin.elapsed();
            OtherClocks { boot: wall, wall: wall + Duration::from_millis(by.load(Ordering::Relaxed)) }
        });
        let replaced = |stopped_for_ms: u64| {
            let before = http.clients.load_full();
            stopped_ms.fetch_add(stopped_for_ms, Ordering::Relaxed);
            http.notice_stop(Instant::now());
            !Arc::ptr_eq(&before, &http.clients.load_full())
        };
        assert_eq!([0, 19_000, 19_000].map(&replaced), [false; 3], "they were used in between");
        assert_eq!([20_000, 0, 60_000].map(&replaced), [true, false, true]);
    }
}
