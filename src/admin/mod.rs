//! HTTP for people and monitors, on a listener of its own: metrics, health, the console, and the API behind it.
//!
//! Every route stands in one table (`routes`), which says who may have it. What is asked of the node goes through one trait
//! ([`Node`]), which the composition root implements. What shows items or changes anything needs the token.

mod node;
mod query;
mod token;

mod reply;

mod actions;
mod console;
mod routes;

mod connections;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Admitted};
use crate::listen::{Listeners, Socket, peer_address};

pub use connections::CONNECTIONS_MAX;
use connections::Connections;
pub use node::{Call, Fault, FleetReport, Flush, HotOrder, HotQuery, Node, Pending, Warm};
use query::Query;
use reply::{Reply, close, error, not_here, other_method, reject, text};
use routes::{Answer, ROUTES, Route};
pub use token::{AdminToken, ItemsAreFor};

/// Monitors that say nothing are sent away after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a node without a fleet has nothing to say of one.
const NO_FLEET: &str = "no [fleet] in the config";

/// What the admin listener tells, and to whom.
pub struct Admin {
    access: Access,
    token: Arc<AdminToken>,
    node: Arc<dyn Node>,
    /// The host and port where DynamoDB is served.
    service: String,
    ready: AtomicBool,
}

/// A request that its route admits.
struct Asked {
    head: Parts,
    query: Query,
    body: Bytes,
}

impl Admin {
    /// An admin that is not ready yet. `token` opens what needs one. `service` is the host and port where DynamoDB is served.
    pub fn new(access: Access, token: Arc<AdminToken>, node: Arc<dyn Node>, service: String) -> Arc<Self> {
        Arc::new(Self { access, token, node, service, ready: AtomicBool::new(false) })
    }

    /// Says from now on whether requests should be sent to this process.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Accepts and answers until `shutdown`; returns at once then: a write that came this way is the engine's, and runs to its end.
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
            true => self.node.failure(),
            false => Some("starting or draining".to_owned()),
        }
    }

    /// Why requests should go to another node of the fleet, if they should. Only who asks for it learns this, because a node that has
    /// lost its fleet still serves: a cache must not decide whether its pod does.
    fn unready_in_fleet(&self) -> Option<String> {
        self.unready().or_else(|| match self.node.fleet() {
            Some(report) => report.unready,
            None => Some(NO_FLEET.to_owned()),
        })
    }

    async fn serve_connection(self: Arc<Self>, stream: Socket) {
        let client = peer_address(&stream);
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move {
                let (mut head, body) = request.into_parts();
                client.and_then(|client| head.extensions.insert(client));
                Ok::<_, Infallible>(match admin.access.admit(&head) {
                    Ok(Admitted::Program | Admitted::Page(_)) => admin.answer(ROUTES, head, body).await,
                    Err(rejection) => reject(head.uri.path(), &rejection),
                })
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(32 * 1024);
        // A monitor that breaks off is none of our business.
        builder.serve_connection(TokioIo::new(stream), service).await.ok();
    }

    /// Answers one request from the routes. A route that does not admit it has no part in the answer, and its body is not read.
    async fn answer<B: hyper::body::Body<Data = Bytes>>(
        &self,
        routes: &[Route],
        head: Parts,
        body: B,
    ) -> Reply
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (method, path) = (&head.method, head.uri.path());
        let is_read = *method == Method::GET || *method == Method::HEAD;
        let Some(route) = routes.iter().find(|route| route.is_for(method, path)) else {
            let other = routes.iter().find(|route| route.path == path && path != "/");
            return match (other, console::file(path)) {
                (Some(other), _) => other_method(other.methods()),
                (None, Some(file)) if is_read => file,
                (None, _) if is_read || path.starts_with("/api/") => not_here(path),
                (None, _) => self.misdirected(),
            };
        };
        if let Err(closed) = self.token.admit(route.guard, &head.headers) {
            return close(closed);
        }
        let body = match route.method == Method::POST {
            true => match read_body(body).await {
                Ok(body) => body,
                Err(reply) => return reply,
            },
            false => Bytes::new(),
        };
        let query = Query::parse(head.uri.query());
        let asked = Asked { head, query, body };
        match route.answer {
            Answer::Now(answer) => answer(self, &asked),
            Answer::Later(answer) => answer(self, &asked).await,
        }
    }

    /// The answer to a client of DynamoDB, most likely.
    fn misdirected(&self) -> Reply {
        let words = format!("this is the admin listener; DynamoDB is served on {}\n", self.service);
        text(StatusCode::METHOD_NOT_ALLOWED, words)
    }
}

/// Reads a body to its end.
///
/// # Errors
/// The answer to one that is too large, takes too long, or breaks off.
async fn read_body<B: hyper::body::Body<Data = Bytes>>(body: B) -> Result<Bytes, Reply>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reading = Limited::new(body, BODY_BYTES_MAX).collect();
    let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, std::pin::pin!(reading)).await else {
        return Err(error(
            StatusCode::REQUEST_TIMEOUT,
            "The body of the request took longer than 10 seconds.",
        ));
    };
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(failure) if failure.is::<LengthLimitError>() => {
            Err(error(StatusCode::PAYLOAD_TOO_LARGE, "The body of a request has at most 1 MiB here."))
        }
        Err(_) => Err(error(StatusCode::BAD_REQUEST, "The body of the request broke off.")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http_body_util::Full;
    use hyper::Response;
    use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
    use serde_json::{Value, json};

    use super::token::Guard;
    use super::*;
    use crate::access::Rejection;
    use crate::call::Answer as ApiAnswer;

    /// A node that says what the test lets it say.
    #[derive(Default)]
    struct FakeNode {
        failure: Option<String>,
        /// Why it is unready in its fleet, if it is in one.
        fleet: Option<Arc<Mutex<Option<String>>>>,
    }

    impl Node for FakeNode {
        fn metrics(&self) -> String {
            "figures".to_owned()
        }

        fn failure(&self) -> Option<String> {
            self.failure.clone()
        }

        fn fleet(&self) -> Option<FleetReport> {
            let unready = self.fleet.as_ref()?.lock().unwrap().clone();
            Some(FleetReport { json: "{\"members\":[]}".to_owned(), unready })
        }

        fn stats(&self, unready: Option<&str>) -> Value {
            json!({ "unready": unready })
        }

        fn config(&self) -> Value {
            json!({ "keys": [] })
        }

        fn flush(&self, flush: Flush) -> Pending<'_, Result<String, Fault>> {
            Box::pin(async move { Ok(format!("{flush:?}")) })
        }

        fn reload(&self) -> Pending<'_, Result<Vec<String>, Fault>> {
            Box::pin(async { Ok(vec!["server.listen".to_owned()]) })
        }

        fn warm(&self, warm: Warm) -> Pending<'_, Result<Value, Fault>> {
            Box::pin(async move { Ok(json!({ "asked": format!("{warm:?}") })) })
        }

        fn warm_ups(&self) -> Value {
            json!({ "jobs": [] })
        }

        fn stop_warm_up(&self, table: &str) -> Result<Value, Fault> {
            Ok(json!({ "table": table }))
        }

        fn quit(&self) {}

        fn hot(&self, query: HotQuery) -> Value {
            json!({ "window_seconds": query.window_seconds, "limit": query.limit })
        }

        fn curve(&self) -> Value {
            json!({ "tables": [] })
        }

        fn advice(&self) -> Value {
            json!({ "advice": [] })
        }

        fn call(&self, call: Call) -> Pending<'_, Result<ApiAnswer, Fault>> {
            let body = format!("{} {}", call.operation.name(), String::from_utf8_lossy(&call.body));
            Box::pin(async move { Ok(ApiAnswer::ok(body)) })
        }
    }

    fn admin_of(node: FakeNode, items: ItemsAreFor) -> Arc<Admin> {
        let token = AdminToken::new(None, items);
        Admin::new(Access::default(), token, Arc::new(node), "127.0.0.1:8001".to_owned())
    }

    fn admin() -> Arc<Admin> {
        admin_of(FakeNode::default(), ItemsAreFor::Everybody)
    }

    fn set_token(admin: &Admin) {
        admin.token.replace(Some("0123456789abcdef".to_owned().into()));
    }

    fn head(method: Method, target: &str) -> Parts {
        Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0
    }

    async fn ask(admin: &Admin, head: Parts, body: &str) -> Response<Full<Bytes>> {
        admin.answer(ROUTES, head, Full::new(Bytes::from(body.to_owned()))).await
    }

    async fn get(admin: &Admin, target: &str) -> Response<Full<Bytes>> {
        ask(admin, head(Method::GET, target), "").await
    }

    async fn status(admin: &Admin, target: &str) -> StatusCode {
        get(admin, target).await.status()
    }

    async fn body(answer: Response<Full<Bytes>>) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    /// A request to a route, with a token and an operation for those that want one.
    async fn at(admin: &Admin, route: &Route, token: Option<&str>) -> StatusCode {
        let mut head = head(route.method.clone(), &format!("{}?operation=GetItem", route.path));
        if let Some(token) = token {
            head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let body = if route.path.starts_with("/api/warm") { "{\"table\":\"Tab\"}" } else { "{}" };
        ask(admin, head, body).await.status()
    }

    /// What a route answers to who may have it. A warm-up goes on behind its answer.
    fn success(route: &Route) -> StatusCode {
        match (route.method.as_str(), route.path) {
            ("POST", "/api/warm" | "/api/quit") => StatusCode::ACCEPTED,
            _ => StatusCode::OK,
        }
    }

    /// What each route asks is written here once more, so that nobody opens one by a slip.
    #[tokio::test]
    async fn only_figures_and_health_are_open_where_there_is_a_token() {
        let guards: Vec<_> =
            ROUTES.iter().map(|route| (route.method.as_str(), route.path, route.guard)).collect();
        assert_eq!(
            guards,
            [
                ("GET", "/", Guard::Open),
                ("GET", "/metrics", Guard::Open),
                ("GET", "/livez", Guard::Open),
                ("GET", "/readyz", Guard::Open),
                ("GET", "/api/fleet", Guard::TokenIfSet),
                ("GET", "/api/stats", Guard::TokenIfSet),
                ("GET", "/api/config", Guard::TokenIfSet),
                ("GET", "/api/warnings", Guard::TokenIfSet),
                ("GET", "/api/hot", Guard::Token),
                ("GET", "/api/curve", Guard::TokenIfSet),
                ("GET", "/api/advice", Guard::TokenIfSet),
                ("POST", "/api/call", Guard::Data),
                ("POST", "/api/flush", Guard::Token),
                ("POST", "/api/reload", Guard::Token),
                ("POST", "/api/warm", Guard::Token),
                ("GET", "/api/warm", Guard::TokenIfSet),
                ("POST", "/api/warm/stop", Guard::Token),
                ("POST", "/api/quit", Guard::Token),
            ]
        );
        for items in [ItemsAreFor::Everybody, ItemsAreFor::TheToken] {
            let in_fleet = FakeNode { fleet: Some(Arc::default()), ..FakeNode::default() };
            let admin = admin_of(in_fleet, items);
            admin.set_ready(true);
            for route in ROUTES {
                let is_closed = route.guard == Guard::Token
                    || (route.guard == Guard::Data && items == ItemsAreFor::TheToken);
                let without = if is_closed { StatusCode::FORBIDDEN } else { success(route) };
                assert_eq!(at(&admin, route, None).await, without, "{}", route.path);
            }
            set_token(&admin);
            for route in ROUTES {
                let without =
                    if route.guard == Guard::Open { success(route) } else { StatusCode::UNAUTHORIZED };
                assert_eq!(at(&admin, route, None).await, without, "{}", route.path);
                assert_eq!(at(&admin, route, Some("fedcba9876543210")).await, without, "{}", route.path);
                assert_eq!(at(&admin, route, Some("0123456789abcdef")).await, success(route));
            }
            let rejected = get(&admin, "/api/fleet").await;
            assert_eq!(rejected.headers()[WWW_AUTHENTICATE], "Bearer");
            let words = body(rejected).await;
            assert!(
                words.ends_with("send it as Authorization: Bearer TOKEN.\"}\n") && !words.contains("0123"),
                "{words}"
            );
        }
    }

    #[tokio::test]
    async fn what_changes_state_is_closed_without_a_token() {
        let route = [Route {
            method: Method::POST,
            path: "/api/purge",
            guard: Guard::Token,
            answer: Answer::Now(|_, _| panic!("nobody has a right to this")),
        }];
        let admin = admin();
        let post = async |token: &str| {
            let mut head = head(Method::POST, "/api/purge");
            head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            admin.answer(&route, head, Full::new(Bytes::new())).await
        };
        let rejected = post("0123456789abcdef").await;
        assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
        assert!(body(rejected).await.contains("write token_file = \\\"FILE\\\" under [admin]"));
        set_token(&admin);
        assert_eq!(post("x").await.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn a_call_names_its_operation_in_the_query_or_as_clients_do() {
        let admin = admin();
        let answer = ask(&admin, head(Method::POST, "/api/call?operation=Query"), "{\"a\":1}").await;
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body(answer).await, "Query {\"a\":1}");
        let mut named = head(Method::POST, "/api/call");
        named.headers.insert("x-amz-target", "DynamoDB_20120810.PutItem".parse().unwrap());
        assert_eq!(body(ask(&admin, named, "{}").await).await, "PutItem {}");
        for target in ["/api/call", "/api/call?operation=DropTable", "/api/call?operation="] {
            let answer = ask(&admin, head(Method::POST, target), "{}").await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            assert!(body(answer).await.contains("Name an operation of DynamoDB"));
        }
    }

    #[tokio::test]
    async fn what_an_action_does_not_understand_it_says() {
        let admin = admin();
        set_token(&admin);
        let post = async |path: &str, sent: &str| {
            let mut head = head(Method::POST, path);
            head.headers.insert("authorization", "Bearer 0123456789abcdef".parse().unwrap());
            let answer = ask(&admin, head, sent).await;
            (answer.status().as_u16(), body(answer).await)
        };
        for (path, sent, expected) in [
            ("/api/flush", "", "Everything"),
            ("/api/flush", "{}", "Everything"),
            ("/api/flush", r#"{"table":"Tab"}"#, r#"Table(\"Tab\")"#),
            ("/api/flush", r#"{"table":"Tab","key":{"pk":{"S":"a"}}}"#, r#"Item { table: \"Tab\", .. }"#),
            ("/api/reload", "", r#"{"needs_restart":["server.listen"],"reloaded":true}"#),
            (
                "/api/warm",
                r#"{"table":"Tab","segments":2,"rate":5}"#,
                "segments: Some(2), rate: Some(5.0), restart: false",
            ),
            (
                "/api/warm",
                r#"{"table":"Tab","segments":null,"rate":null,"restart":true}"#,
                "segments: None, rate: None, restart: true",
            ),
            ("/api/warm/stop", r#"{"table":"Tab"}"#, r#"{"table":"Tab"}"#),
        ] {
            let (status, said) = post(path, sent).await;
            assert!(status < 300 && said.contains(expected), "{path} {sent}: {status} {said}");
        }
        for (path, sent, expected) in [
            ("/api/flush", "{", "is not what POST api/flush takes"),
            ("/api/flush", r#"{"tabel":"T"}"#, "unknown field `tabel`"),
            ("/api/flush", r#"{"key":{}}"#, "Name the table of the key, too"),
            ("/api/flush", r#"{"table":""}"#, "is no name of a table: write 3 to 255 characters"),
            ("/api/flush", r#"{"table":"Or ders"}"#, r#"\"Or ders\" is no name of a table"#),
            ("/api/flush", r#"{"table":"arn:x"}"#, "is no name of a table"),
            ("/api/warm", r#"{"table":"arn:aws:dynamodb:r:1:table/T"}"#, "is no name of a table"),
            ("/api/warm", r#"{"table":"ab"}"#, "write 3 to 255 characters of a-z, A-Z, 0-9, _, - and ."),
            ("/api/warm/stop", r#"{"table":"ab"}"#, "is no name of a table"),
            ("/api/flush", r#"{"table":null}"#, "invalid type: null"),
            ("/api/warm", "{}", "missing field `table`"),
            ("/api/warm", r#"{"table":"Tab","segments":0}"#, "segments must be from 1 to 64"),
            ("/api/warm", r#"{"table":"Tab","rate":0}"#, "rate must be from 1 to 1000000"),
            ("/api/warm/stop", "[]", "is not what POST api/warm/stop takes"),
        ] {
            let (status, said) = post(path, sent).await;
            assert!(status == 400 && said.contains(expected), "{path} {sent}: {status} {said}");
        }
    }

    #[tokio::test]
    async fn a_large_body_is_turned_away() {
        let admin = admin();
        let (fits, large) = ("x".repeat(BODY_BYTES_MAX), "x".repeat(BODY_BYTES_MAX + 1));
        let post = async |body: &str| {
            ask(&admin, head(Method::POST, "/api/call?operation=Query"), body).await.status()
        };
        assert_eq!((post(&fits).await, post(&large).await), (StatusCode::OK, StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn another_method_is_answered_with_the_right_one() {
        let admin = admin();
        for (method, path, allowed) in [
            (Method::POST, "/metrics", "GET, HEAD"),
            (Method::DELETE, "/api/stats", "GET, HEAD"),
            (Method::GET, "/api/call", "POST"),
        ] {
            let answer = ask(&admin, head(method, path), "").await;
            assert_eq!(
                (answer.status(), &answer.headers()[ALLOW]),
                (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static(allowed))
            );
            assert_eq!(body(answer).await, format!("{{\"error\":\"This path takes {allowed}.\"}}\n"));
        }
    }

    #[tokio::test]
    async fn errors_below_api_are_json_whatever_is_wrong_and_text_elsewhere() {
        let foreign = Rejection::OtherOrigin("http://evil.test".to_owned());
        let words = "Requests of web pages of the origin \"http://evil.test\" are rejected here";
        for (path, is_api) in [
            ("/api/stats", true),
            ("/api/nothing", true),
            ("/api", true),
            ("/metrics", false),
            ("/apis", false),
        ] {
            let kind = if is_api { "application/json" } else { "text/plain; charset=utf-8" };
            let rejected = reject(path, &foreign);
            assert_eq!(
                (rejected.status(), &rejected.headers()[CONTENT_TYPE]),
                (StatusCode::FORBIDDEN, &HeaderValue::from_static(kind))
            );
            let expected = if is_api {
                format!("{}\n", json!({ "error": format!("{words}.") }))
            } else {
                format!("{words}\n")
            };
            assert_eq!(body(rejected).await, expected, "{path}");
        }
        assert_eq!(reject("/api/stats", &Rejection::HostCount).status(), StatusCode::BAD_REQUEST);
        for method in [Method::GET, Method::POST] {
            let answer = ask(&admin(), head(method, "/api/nothing"), "{}").await;
            assert_eq!(
                (answer.status(), &answer.headers()[CONTENT_TYPE]),
                (StatusCode::NOT_FOUND, &HeaderValue::from_static("application/json"))
            );
            assert!(body(answer).await.starts_with("{\"error\":\"There is nothing here."));
        }
    }

    #[tokio::test]
    async fn a_broken_store_is_not_ready() {
        let failing = FakeNode { failure: Some("the disk is full".to_owned()), ..FakeNode::default() };
        let admin = admin_of(failing, ItemsAreFor::Everybody);
        admin.set_ready(true);
        assert_eq!(status(&admin, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&admin, "/livez").await, StatusCode::OK);
        assert_eq!(body(get(&admin, "/api/stats").await).await, "{\"unready\":\"the disk is full\"}\n");
    }

    #[tokio::test]
    async fn a_client_of_dynamodb_learns_where_it_is_served() {
        let answer = ask(&admin(), head(Method::POST, "/"), "{}").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(body(answer).await, "this is the admin listener; DynamoDB is served on 127.0.0.1:8001\n");
    }

    #[tokio::test]
    async fn readiness_follows_what_it_is_told() {
        let admin = admin();
        assert_eq!(
            (status(&admin, "/livez").await, status(&admin, "/readyz").await),
            (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE)
        );
        admin.set_ready(true);
        assert_eq!(
            (status(&admin, "/readyz").await, status(&admin, "/metrics").await, status(&admin, "/x").await),
            (StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND)
        );
    }

    #[tokio::test]
    async fn a_node_without_a_lease_is_unready_only_for_those_who_ask_for_the_fleet() {
        let unready = Arc::new(Mutex::new(Some("no lease".to_owned())));
        let in_fleet = FakeNode { fleet: Some(Arc::clone(&unready)), ..FakeNode::default() };
        let admin = admin_of(in_fleet, ItemsAreFor::Everybody);
        assert_eq!(body(get(&admin, "/readyz?fleet").await).await, "not ready: starting or draining\n");
        admin.set_ready(true);
        for target in ["/readyz?fleet", "/readyz?fleet=1", "/readyz?verbose&fleet"] {
            let answer = get(&admin, target).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{target}");
            assert_eq!(body(answer).await, "not ready: no lease\n");
        }
        for target in ["/readyz", "/readyz?fleets", "/livez?fleet"] {
            assert_eq!(status(&admin, target).await, StatusCode::OK, "{target}");
        }
        let answer = get(&admin, "/api/fleet").await;
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(body(answer).await, "{\"members\":[]}");
        *unready.lock().unwrap() = None;
        assert_eq!(status(&admin, "/readyz?fleet").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_node_that_stands_alone_says_so() {
        let admin = admin();
        admin.set_ready(true);
        let answer = get(&admin, "/api/fleet").await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        assert_eq!(body(answer).await, "{\"error\":\"There is no [fleet] in the config.\"}\n");
        let answer = get(&admin, "/readyz?fleet").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body(answer).await, "not ready: no [fleet] in the config\n");
    }
}
