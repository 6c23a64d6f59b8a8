//! HTTP for people and monitors, on a listener of its own: `/metrics`, `/livez`, `/readyz`, and a page that links them.
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
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Admitted, Rejection};
use crate::listen::Listeners;

/// The connections that are open at a time. They are none of those that clients may have.
pub const CONNECTIONS_MAX: usize = 16;

/// Monitors that say nothing are sent away after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Nearside</title>\
<h1>Nearside</h1><ul><li><a href=\"/metrics\">metrics</a><li><a href=\"/livez\">alive?</a><li><a href=\"/readyz\">ready?</a></ul>";

/// What the admin listener tells, and to whom.
pub struct Admin {
    access: Access,
    render: Box<dyn Fn() -> String + Send + Sync>,
    failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// The host and port where DynamoDB is served.
    service: String,
    ready: AtomicBool,
}

impl Admin {
    /// An admin that is not ready yet; `render` gives the text of the metrics, `failure` says what keeps the process from
    /// serving well, if anything does. `service` is the host and port where DynamoDB is served.
    pub fn new(
        access: Access,
        render: Box<dyn Fn() -> String + Send + Sync>,
        failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
        service: String,
    ) -> Arc<Self> {
        Arc::new(Self { access, render, failure, service, ready: AtomicBool::new(false) })
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

    async fn serve_connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (head, _) = request.into_parts();
            let answer = match self.access.admit(&head) {
                Ok(Admitted::Program | Admitted::Page(_)) => self.answer(&head.method, head.uri.path()),
                Err(rejection) => reject(&rejection),
            };
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(32 * 1024);
        // A monitor that breaks off is none of our business.
        builder.serve_connection(TokioIo::new(stream), service).await.ok();
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let text = "text/plain; charset=utf-8";
        if method != Method::GET && method != Method::HEAD {
            let words = format!("this is the admin listener; DynamoDB is served on {}\n", self.service);
            return response(StatusCode::METHOD_NOT_ALLOWED, text, words);
        }
        match path {
            "/" => response(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
            "/metrics" => {
                response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (self.render)())
            }
            "/livez" => response(StatusCode::OK, text, "alive\n".to_owned()),
            "/readyz" => match self.unready() {
                None => response(StatusCode::OK, text, "ready\n".to_owned()),
                Some(reason) => {
                    response(StatusCode::SERVICE_UNAVAILABLE, text, format!("not ready: {reason}\n"))
                }
            },
            _ => response(StatusCode::NOT_FOUND, text, "not here; see /\n".to_owned()),
        }
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

    #[test]
    fn a_broken_store_is_not_ready() {
        let admin = Admin::new(
            Access::default(),
            Box::new(String::new),
            Box::new(|| Some("the disk is full".to_owned())),
            String::new(),
        );
        admin.set_ready(true);
        assert_eq!(admin.answer(&Method::GET, "/readyz").status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(admin.answer(&Method::GET, "/livez").status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_of_dynamodb_learns_where_it_is_served() {
        let service = "127.0.0.1:8001".to_owned();
        let admin = Admin::new(Access::default(), Box::new(String::new), Box::new(|| None), service);
        let answer = admin.answer(&Method::POST, "/");
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "this is the admin listener; DynamoDB is served on 127.0.0.1:8001\n");
    }

    #[test]
    fn readiness_follows_what_it_is_told() {
        let render = Box::new(|| "figures".to_owned());
        let admin = Admin::new(Access::default(), render, Box::new(|| None), String::new());
        let status = |path| admin.answer(&Method::GET, path).status();
        assert_eq!((status("/livez"), status("/readyz")), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
        admin.set_ready(true);
        assert_eq!(
            (status("/readyz"), status("/metrics"), status("/x")),
            (StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND)
        );
        assert_eq!(admin.answer(&Method::POST, "/metrics").status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
