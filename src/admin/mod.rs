//! HTTP for people and monitors, on a listener of its own: `/metrics`, `/livez`, `/readyz`, `/api/fleet`, and a page that links them.
//!
//! It never shows a user's data, and changes nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Admitted, Rejection};
use crate::listen::{Listeners, Socket};

/// The connections that are open at a time. They are none of those that clients may have.
pub const CONNECTIONS_MAX: usize = 16;

/// Monitors that say nothing are sent away after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Nearside</title>\
<h1>Nearside</h1><ul><li><a href=\"/metrics\">metrics</a><li><a href=\"/livez\">alive?</a><li><a href=\"/readyz\">ready?</a>";

/// What the page has besides in a fleet.
const PAGE_OF_FLEET: &str =
    "<li><a href=\"/readyz?fleet\">ready, with the fleet?</a><li><a href=\"/api/fleet\">fleet</a>";

/// Why a node without a fleet has nothing to say of one.
const NO_FLEET: &str = "no [fleet] in the config";

/// The state of the fleet, as the node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetReport {
    /// A JSON object with members, positions and leases. It has names of nodes, and no keys, values or secrets.
    pub json: String,
    /// Why the node serves less than it could from memory, in a few words: it has no lease or is no member.
    pub unready: Option<String>,
}

/// Looks at the fleet. It is called for each request, and must not wait.
pub type ReportFleet = Box<dyn Fn() -> FleetReport + Send + Sync>;

/// What the admin listener tells, and to whom.
pub struct Admin {
    access: Access,
    render: Box<dyn Fn() -> String + Send + Sync>,
    failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
    fleet: Option<ReportFleet>,
    /// The host and port where DynamoDB is served.
    service: String,
    ready: AtomicBool,
}

impl Admin {
    /// An admin that is not ready yet; `render` gives the text of the metrics, `failure` says what keeps the process from
    /// serving well, if anything does. `fleet` is `None` for a node that stands alone. `service` is the host and port
    /// where DynamoDB is served.
    pub fn new(
        access: Access,
        render: Box<dyn Fn() -> String + Send + Sync>,
        failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
        fleet: Option<ReportFleet>,
        service: String,
    ) -> Arc<Self> {
        Arc::new(Self { access, render, failure, fleet, service, ready: AtomicBool::new(false) })
    }

    /// Says from now on whether requests should be sent to this process.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Accepts and answers until `shutdown`; returns at once then, since nobody's data is in flight here.
    pub async fn serve(self: Arc<Self>, listeners: Listeners, shutdown: CancellationToken) {
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listeners.accept() => match accepted {
                    Ok(stream) => {
                        let admin = Arc::clone(&self);
                        connections.add(move || admin.serve_connection(stream)).await;
                    }
                    // Out of file descriptors, most likely: wait for some to come free instead of spinning.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
    }

    /// Why requests should go elsewhere, if they should.
    fn unready(&self) -> Option<String> {
        match self.ready.load(Ordering::Acquire) {
            true => (self.failure)(),
            false => Some("starting or draining".to_owned()),
        }
    }

    /// Why requests should go to another node of the fleet, if they should. Only who asks for it learns this, because a node that has
    /// lost its fleet still serves: a cache must not decide whether its pod does.
    fn unready_in_fleet(&self) -> Option<String> {
        self.unready().or_else(|| match &self.fleet {
            Some(report) => report().unready,
            None => Some(NO_FLEET.to_owned()),
        })
    }

    async fn serve_connection(self: Arc<Self>, stream: Socket) {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (head, _) = request.into_parts();
            let answer = match self.access.admit(&head) {
                Ok(Admitted::Program | Admitted::Page(_)) => {
                    self.answer(&head.method, head.uri.path(), head.uri.query())
                }
                Err(rejection) => reject(&rejection),
            };
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(32 * 1024);
        // A monitor that breaks off is none of our business.
        builder.serve_connection(TokioIo::new(stream), service).await.ok();
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
        let text = "text/plain; charset=utf-8";
        if method != Method::GET && method != Method::HEAD {
            let words = format!("this is the admin listener; DynamoDB is served on {}\n", self.service);
            return response(StatusCode::METHOD_NOT_ALLOWED, text, words);
        }
        match path {
            "/" => {
                let more = if self.fleet.is_some() { PAGE_OF_FLEET } else { "" };
                response(StatusCode::OK, "text/html; charset=utf-8", format!("{PAGE}{more}</ul>"))
            }
            "/metrics" => {
                response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (self.render)())
            }
            "/livez" => response(StatusCode::OK, text, "alive\n".to_owned()),
            "/readyz" if asks_for_fleet(query) => readiness(self.unready_in_fleet()),
            "/readyz" => readiness(self.unready()),
            "/api/fleet" => match &self.fleet {
                Some(report) => response(StatusCode::OK, "application/json", report().json),
                None => response(StatusCode::NOT_FOUND, text, format!("{NO_FLEET}\n")),
            },
            _ => response(StatusCode::NOT_FOUND, text, "not here; see /\n".to_owned()),
        }
    }
}

/// True for `?fleet`, alone or among others.
fn asks_for_fleet(query: Option<&str>) -> bool {
    let mut names = query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    names.any(|name| name == "fleet")
}

fn readiness(unready: Option<String>) -> Response<Full<Bytes>> {
    let text = "text/plain; charset=utf-8";
    match unready {
        None => response(StatusCode::OK, text, "ready\n".to_owned()),
        Some(reason) => response(StatusCode::SERVICE_UNAVAILABLE, text, format!("not ready: {reason}\n")),
    }
}

/// The open connections, oldest first. All of them end when this does.
#[derive(Default)]
struct Connections(VecDeque<JoinHandle<()>>);

impl Connections {
    /// Serves one more, for which the oldest makes room if there is none: a probe must be answered however many monitors
    /// hold on to connections that they do not use.
    async fn add<F: Future<Output = ()> + Send + 'static>(&mut self, serve: impl FnOnce() -> F) {
        self.0.retain(|connection| !connection.is_finished());
        if self.0.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
            // Its descriptor is free only once it has ended.
            oldest.await.ok();
        }
        self.0.push_back(tokio::spawn(serve()));
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The answer to a request that names another host, or comes from a page of another origin.
fn reject(rejection: &Rejection) -> Response<Full<Bytes>> {
    let status = match rejection {
        Rejection::HostCount => StatusCode::BAD_REQUEST,
        Rejection::Host(_) | Rejection::Origin(_) | Rejection::OtherOrigin(_) => StatusCode::FORBIDDEN,
    };
    response(status, "text/plain; charset=utf-8", format!("{rejection}\n"))
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn of_too_many_connections_the_oldest_gives_way_to_the_newest() {
        let (mut connections, mut clients) = (Connections::default(), VecDeque::new());
        let mut add = async || {
            let (client, end) = tokio::sync::oneshot::channel::<()>();
            // It is open until its client has ended, or it is cut off, which the client sees.
            connections.add(move || async move { drop(end.await) }).await;
            client
        };
        for _ in 0..CONNECTIONS_MAX {
            clients.push_back(add().await);
        }
        for _ in 0..3 {
            clients.push_back(add().await);
            assert!(clients.pop_front().unwrap().is_closed());
            assert!(clients.iter().all(|client| !client.is_closed()));
        }
        // One that has ended leaves its place.
        clients.pop_back();
        tokio::task::yield_now().await;
        clients.push_back(add().await);
        assert!(clients.iter().all(|client| !client.is_closed()));
        drop(connections);
    }

    fn admin(failure: Option<&str>, fleet: Option<ReportFleet>) -> Arc<Admin> {
        let failure = failure.map(str::to_owned);
        let (render, failure) = (Box::new(|| "figures".to_owned()), Box::new(move || failure.clone()));
        Admin::new(Access::default(), render, failure, fleet, "127.0.0.1:8001".to_owned())
    }

    fn get(admin: &Admin, target: &str) -> Response<Full<Bytes>> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        admin.answer(&Method::GET, path, query)
    }

    async fn body(answer: Response<Full<Bytes>>) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_broken_store_is_not_ready() {
        let admin = admin(Some("the disk is full"), None);
        admin.set_ready(true);
        assert_eq!(get(&admin, "/readyz").status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&admin, "/livez").status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_of_dynamodb_learns_where_it_is_served() {
        let answer = admin(None, None).answer(&Method::POST, "/", None);
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(body(answer).await, "this is the admin listener; DynamoDB is served on 127.0.0.1:8001\n");
    }

    #[test]
    fn readiness_follows_what_it_is_told() {
        let admin = admin(None, None);
        let status = |target| get(&admin, target).status();
        assert_eq!((status("/livez"), status("/readyz")), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
        admin.set_ready(true);
        assert_eq!(
            (status("/readyz"), status("/metrics"), status("/x")),
            (StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND)
        );
        assert_eq!(admin.answer(&Method::POST, "/metrics", None).status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_node_without_a_lease_is_unready_only_for_those_who_ask_for_the_fleet() {
        let unready = Arc::new(std::sync::Mutex::new(Some("no lease".to_owned())));
        let of_fleet = Arc::clone(&unready);
        let report = move || FleetReport {
            json: "{\"members\":[]}".to_owned(),
            unready: of_fleet.lock().unwrap().clone(),
        };
        let admin = admin(None, Some(Box::new(report)));
        assert_eq!(body(get(&admin, "/readyz?fleet")).await, "not ready: starting or draining\n");
        admin.set_ready(true);
        for target in ["/readyz?fleet", "/readyz?fleet=1", "/readyz?verbose&fleet"] {
            let answer = get(&admin, target);
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{target}");
            assert_eq!(body(answer).await, "not ready: no lease\n");
        }
        for target in ["/readyz", "/readyz?fleets", "/livez?fleet"] {
            assert_eq!(get(&admin, target).status(), StatusCode::OK, "{target}");
        }
        let answer = get(&admin, "/api/fleet");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body(answer).await, "{\"members\":[]}");
        assert!(body(get(&admin, "/")).await.contains("href=\"/api/fleet\""));
        *unready.lock().unwrap() = None;
        assert_eq!(get(&admin, "/readyz?fleet").status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_node_that_stands_alone_says_so() {
        let admin = admin(None, None);
        admin.set_ready(true);
        let answer = get(&admin, "/api/fleet");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(body(answer).await, "no [fleet] in the config\n");
        let answer = get(&admin, "/readyz?fleet");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body(answer).await, "not ready: no [fleet] in the config\n");
        assert!(!body(get(&admin, "/")).await.contains("fleet"));
    }
}
