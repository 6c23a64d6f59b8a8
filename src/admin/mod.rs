//! HTTP for people and monitors, on a listener of its own: `/metrics`, `/livez`, `/readyz`, `/api/fleet`, and a page that links them.
//!
//! It never shows a user's data, and changes nothing. Every route stands in one table, which says whether it needs the token.

mod token;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Admitted, Rejection};
use crate::listen::{Listeners, Socket};

pub use token::AdminToken;
use token::{Closed, Guard};

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

const TEXT: &str = "text/plain; charset=utf-8";

/// Makes the answer of a route, for a query string.
type Answer = fn(&Admin, Option<&str>) -> Response<Full<Bytes>>;

/// What is done at a path with a method. A route for GET is one for HEAD, too.
struct Route {
    method: Method,
    path: &'static str,
    guard: Guard,
    answer: Answer,
}

/// Everything that is there.
const ROUTES: &[Route] = &[
    Route::get("/", Guard::Open, |admin, _| admin.page()),
    Route::get("/metrics", Guard::Open, |admin, _| admin.metrics()),
    Route::get("/livez", Guard::Open, |_, _| response(StatusCode::OK, TEXT, "alive\n".to_owned())),
    Route::get("/readyz", Guard::Open, Admin::readiness),
    // It shows names of nodes, and no keys.
    Route::get("/api/fleet", Guard::TokenIfSet, |admin, _| admin.fleet()),
];

impl Route {
    const fn get(path: &'static str, guard: Guard, answer: Answer) -> Self {
        Self { method: Method::GET, path, guard, answer }
    }

    fn is_for(&self, method: &Method, path: &str) -> bool {
        let is_method = self.method == *method || (self.method == Method::GET && *method == Method::HEAD);
        is_method && self.path == path
    }
}

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
    token: Arc<AdminToken>,
    render: Box<dyn Fn() -> String + Send + Sync>,
    failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
    fleet: Option<ReportFleet>,
    /// The host and port where DynamoDB is served.
    service: String,
    ready: AtomicBool,
}

impl Admin {
    /// An admin that is not ready yet. `token` opens what needs one; `render` gives the text of the metrics, `failure` says what keeps
    /// the process from serving well, if anything does. `fleet` is `None` for a node that stands alone. `service` is the host and
    /// port where DynamoDB is served.
    pub fn new(
        access: Access,
        token: Arc<AdminToken>,
        render: Box<dyn Fn() -> String + Send + Sync>,
        failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
        fleet: Option<ReportFleet>,
        service: String,
    ) -> Arc<Self> {
        Arc::new(Self { access, token, render, failure, fleet, service, ready: AtomicBool::new(false) })
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
                Ok(Admitted::Program | Admitted::Page(_)) => self.answer(ROUTES, &head),
                Err(rejection) => reject(&rejection),
            };
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(32 * 1024);
        // A monitor that breaks off is none of our business.
        builder.serve_connection(TokioIo::new(stream), service).await.ok();
    }

    /// Answers one request from the routes. A route that does not admit it has no part in the answer.
    fn answer(&self, routes: &[Route], head: &Parts) -> Response<Full<Bytes>> {
        match routes.iter().find(|route| route.is_for(&head.method, head.uri.path())) {
            None if head.method == Method::GET || head.method == Method::HEAD => {
                response(StatusCode::NOT_FOUND, TEXT, "not here; see /\n".to_owned())
            }
            None => {
                let words = format!("this is the admin listener; DynamoDB is served on {}\n", self.service);
                response(StatusCode::METHOD_NOT_ALLOWED, TEXT, words)
            }
            Some(route) => match self.token.admit(route.guard, &head.headers) {
                Ok(()) => (route.answer)(self, head.uri.query()),
                Err(closed) => close(closed),
            },
        }
    }

    fn page(&self) -> Response<Full<Bytes>> {
        let more = if self.fleet.is_some() { PAGE_OF_FLEET } else { "" };
        response(StatusCode::OK, "text/html; charset=utf-8", format!("{PAGE}{more}</ul>"))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (self.render)())
    }

    fn readiness(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        readiness(if asks_for_fleet(query) { self.unready_in_fleet() } else { self.unready() })
    }

    fn fleet(&self) -> Response<Full<Bytes>> {
        match &self.fleet {
            Some(report) => response(StatusCode::OK, "application/json", report().json),
            None => response(StatusCode::NOT_FOUND, TEXT, format!("{NO_FLEET}\n")),
        }
    }
}

/// The answer to a request that has not the token.
fn close(closed: Closed) -> Response<Full<Bytes>> {
    match closed {
        Closed::NoToken => {
            let words = "this needs a token, and the node has none; write token_file = \"FILE\" under [admin] in the config\n";
            response(StatusCode::FORBIDDEN, TEXT, words.to_owned())
        }
        Closed::Unauthorized => {
            let words =
                "this needs the token of token_file under [admin]; send it as Authorization: Bearer TOKEN\n";
            let mut response = response(StatusCode::UNAUTHORIZED, TEXT, words.to_owned());
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    }
}

/// True for `?fleet`, alone or among others.
fn asks_for_fleet(query: Option<&str>) -> bool {
    let mut names = query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    names.any(|name| name == "fleet")
}

fn readiness(unready: Option<String>) -> Response<Full<Bytes>> {
    match unready {
        None => response(StatusCode::OK, TEXT, "ready\n".to_owned()),
        Some(reason) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {reason}\n")),
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
    response(status, TEXT, format!("{rejection}\n"))
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
        let token = AdminToken::new(None);
        Admin::new(Access::default(), token, render, failure, fleet, "127.0.0.1:8001".to_owned())
    }

    fn head(method: Method, target: &str) -> Parts {
        Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0
    }

    fn get(admin: &Admin, target: &str) -> Response<Full<Bytes>> {
        admin.answer(ROUTES, &head(Method::GET, target))
    }

    fn get_with(admin: &Admin, path: &str, token: &str) -> Response<Full<Bytes>> {
        let mut head = head(Method::GET, path);
        head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        admin.answer(ROUTES, &head)
    }

    /// What each route asks is written here once more, so that nobody opens one by a slip.
    #[tokio::test]
    async fn only_figures_and_health_are_open_where_there_is_a_token() {
        let guards: Vec<_> = ROUTES.iter().map(|route| (route.path, route.guard)).collect();
        assert!(ROUTES.iter().all(|route| route.method == Method::GET));
        assert_eq!(
            guards,
            [
                ("/", Guard::Open),
                ("/metrics", Guard::Open),
                ("/livez", Guard::Open),
                ("/readyz", Guard::Open),
                ("/api/fleet", Guard::TokenIfSet),
            ]
        );
        let report = || FleetReport { json: "{}".to_owned(), unready: None };
        let admin = admin(None, Some(Box::new(report)));
        admin.set_ready(true);
        // Without a token all that there is today is open.
        for route in ROUTES {
            assert_eq!(get(&admin, route.path).status(), StatusCode::OK, "{}", route.path);
        }
        admin.token.replace(Some("0123456789abcdef".to_owned().into()));
        for route in ROUTES {
            let without = if route.guard == Guard::Open { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            assert_eq!(get(&admin, route.path).status(), without, "{}", route.path);
            assert_eq!(get_with(&admin, route.path, "fedcba9876543210").status(), without);
            assert_eq!(get_with(&admin, route.path, "0123456789abcdef").status(), StatusCode::OK);
        }
        let rejected = get(&admin, "/api/fleet");
        assert_eq!(rejected.headers()[WWW_AUTHENTICATE], "Bearer");
        let words = body(rejected).await;
        assert!(
            words.ends_with("send it as Authorization: Bearer TOKEN\n") && !words.contains("0123"),
            "{words}"
        );
    }

    #[tokio::test]
    async fn what_changes_state_is_closed_without_a_token() {
        let answer: Answer = |_, _| panic!("nobody has a right to this");
        let route =
            |answer| [Route { method: Method::POST, path: "/api/purge", guard: Guard::Token, answer }];
        let closed = route(answer);
        let post = |token: &str| {
            let mut head = head(Method::POST, "/api/purge");
            head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            head
        };
        let admin = admin(None, None);
        let rejected = admin.answer(&closed, &post("0123456789abcdef"));
        assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
        assert!(body(rejected).await.contains("write token_file = \"FILE\" under [admin]"));
        admin.token.replace(Some("0123456789abcdef".to_owned().into()));
        assert_eq!(admin.answer(&closed, &post("x")).status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            admin.answer(&closed, &head(Method::POST, "/api/purge")).status(),
            StatusCode::UNAUTHORIZED
        );
        let open: Answer = |_, _| response(StatusCode::OK, TEXT, String::new());
        assert_eq!(admin.answer(&route(open), &post("0123456789abcdef")).status(), StatusCode::OK);
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
        let answer = admin(None, None).answer(ROUTES, &head(Method::POST, "/"));
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
        assert_eq!(
            admin.answer(ROUTES, &head(Method::POST, "/metrics")).status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
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
