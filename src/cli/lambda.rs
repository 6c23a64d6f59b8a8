//! Nearside as an external extension of AWS Lambda: the one side of the Extensions API (2020-01-01).
//!
//! Lambda starts every executable in `/opt/extensions`, without arguments, and starts the runtime when all of them have registered.
//! So the node registers when its listeners are bound: the function finds it from its first line on. Then it asks for the next
//! event, again and again. Lambda freezes the sandbox while that question is open, so it has no timeout. Nothing is written back
//! or flushed when the sandbox freezes: every write was sent before it was answered.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Lambda gives an extension two seconds to end. Draining takes no longer than this.
pub(super) const DRAIN_MAX: Duration = Duration::from_millis(1_500);

/// How long before Lambda's deadline the process ends, drained or not.
const END_AHEAD: Duration = Duration::from_millis(200);

/// How long a report of an error may take.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the registration may take: half of the time that Lambda gives to a sandbox to begin.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers are a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How much of an answer that is an error stands in the log.
const QUOTED_CHARS_MAX: usize = 300;

/// The extension that this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    /// The host and port of the API.
    api: String,
    /// Its executable's file name, by which Lambda knows it.
    name: String,
}

/// An extension that Lambda knows.
struct Registered {
    extension: Extension,
    /// What Lambda gave it to call itself.
    identifier: String,
}

/// Why the API was of no use, in words for the log.
struct ApiFault(String);

impl fmt::Display for ApiFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An event of the sandbox's life.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_type: String,
    /// When the phase that it begins is over, in milliseconds since 1970.
    deadline_ms: Option<u64>,
    shutdown_reason: Option<String>,
}

impl Extension {
    /// The extension that this process was started as, if it was.
    pub(super) fn of_this_process() -> Option<Self> {
        Self::of(&std::env::var("AWS_LAMBDA_RUNTIME_API").ok()?, &std::env::current_exe().ok()?)
    }

    /// A program is an extension where Lambda looks for some. Elsewhere, the function may have started it for itself.
    fn of(api: &str, program: &Path) -> Option<Self> {
        let is_extension = program.parent()?.file_name()? == "extensions";
        let name = program.file_name()?.to_str()?.to_owned();
        (is_extension && !api.is_empty()).then(|| Self { api: api.to_owned(), name })
    }

    /// Serves as the extension until the sandbox or the server ends. `serving` ends soon after `shutdown` is asked for.
    ///
    /// # Errors
    /// Words, when the API is of no use, or no longer. The server has ended then, too.
    pub(super) async fn accompany(
        self,
        serving: impl Future<Output = ()>,
        shutdown: &CancellationToken,
    ) -> Result<(), String> {
        let mut serving = std::pin::pin!(serving);
        let life = async {
            let registered = self.register().await?;
            let ended = registered.follow(shutdown).await;
            if let Err(fault) = &ended {
                registered.report("/exit/error", "Nearside.Ended", &fault.to_string()).await;
            }
            ended
        };
        tokio::select! {
            () = &mut serving => Ok(()),
            ended = life => match ended {
                Ok(()) => {
                    tracing::warn!("Lambda's deadline is near: gave up what was in flight.");
                    Ok(())
                }
                Err(fault) => {
                    shutdown.cancel();
                    serving.await;
                    Err(format!("cannot be an extension of Lambda: {fault}"))
                }
            },
        }
    }

    /// Tells Lambda that the node cannot start, so that the log of the function says why it failed.
    pub(super) async fn cannot_start(self, message: &str) {
        match self.register().await {
            Ok(registered) => registered.report("/init/error", "Nearside.CannotStart", message).await,
            Err(fault) => tracing::warn!(error = %fault, "Lambda does not take the registration."),
        }
    }

    /// Makes the extension known. Lambda starts the runtime when every extension has done so.
    ///
    /// # Errors
    /// [`ApiFault`], when the API is not there, does not take it, or does not answer in time.
    async fn register(self) -> Result<Registered, ApiFault> {
        let body = json!({ "events": ["INVOKE", "SHUTDOWN"] });
        let headers = [("Lambda-Extension-Name", self.name.as_str())];
        let registering = self.call(Method::POST, "/register", &headers, body.to_string());
        let answer = tokio::time::timeout(REGISTRATION_TIMEOUT, registering).await.map_err(|_| {
            let seconds = REGISTRATION_TIMEOUT.as_secs();
            ApiFault(format!("Lambda does not answer to the registration within {seconds} seconds"))
        })??;
        let identifier = answer.headers().get("lambda-extension-identifier");
        let identifier = identifier.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        if identifier.is_empty() {
            return Err(ApiFault("Lambda's answer to the registration names no identifier".to_owned()));
        }
        Ok(Registered { extension: self, identifier })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<hyper::Response<Bytes>, ApiFault> {
        let fault =
            |error: &dyn fmt::Display| ApiFault(format!("{method} extension{path} at {}: {error}", self.api));
        let stream = TcpStream::connect(&self.api).await.map_err(|error| fault(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
        // It ends with the answer.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("/2020-01-01/extension{path}"))
            .header("Host", &self.api)
            .header("Connection", "close")
            .header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| fault(&error))?;
        let (head, body) = sender.send_request(request).await.map_err(|error| fault(&error))?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| fault(&error))?;
        let body = body.to_bytes();
        match head.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(hyper::Response::from_parts(head, body)),
            status => Err(fault(&format_args!("{status}: {}", quoted(&body)))),
        }
    }
}

impl Registered {
    /// Follows the sandbox's life, asks for the `shutdown` at its end, and sees to it that the process ends before Lambda's deadline.
    ///
    /// # Errors
    /// [`ApiFault`], when the API cannot say any more how life goes on. The extension is no longer one then.
    async fn follow(&self, shutdown: &CancellationToken) -> Result<(), ApiFault> {
        loop {
            let event = self.next().await?;
            match &*event.event_type {
                "SHUTDOWN" => {
                    let reason = event.shutdown_reason.unwrap_or_default();
                    tracing::info!(reason, "Lambda ends the sandbox.");
                    shutdown.cancel();
                    tokio::time::sleep(time_left(event.deadline_ms, SystemTime::now())).await;
                    return Ok(());
                }
                event => tracing::debug!(event, "Lambda's sandbox goes on."),
            }
        }
    }

    async fn next(&self) -> Result<Event, ApiFault> {
        let answer =
            self.extension.call(Method::GET, "/event/next", &[self.identification()], String::new()).await?;
        serde_json::from_slice(answer.body())
            .map_err(|error| ApiFault(format!("Lambda's event is not understood: {error}")))
    }

    /// Reports an error. The process ends in any case.
    async fn report(&self, path: &str, error_type: &str, message: &str) {
        let body = json!({ "errorMessage": message, "errorType": error_type, "stackTrace": [] });
        let headers = [self.identification(), ("Lambda-Extension-Function-Error-Type", error_type)];
        let reporting = self.extension.call(Method::POST, path, &headers, body.to_string());
        match tokio::time::timeout(REPORT_TIMEOUT, reporting).await {
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => tracing::warn!(error = %fault, "Lambda does not take the report of an error."),
            Err(_) => tracing::warn!("Lambda does not answer to the report of an error."),
        }
    }

    fn identification(&self) -> (&str, &str) {
        ("Lambda-Extension-Identifier", &self.identifier)
    }
}

/// The beginning of an answer, for the log.
fn quoted(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(QUOTED_CHARS_MAX).collect()
}

/// How long the process may still run when the sandbox is to end by then. Without a deadline it is as long as Lambda ever gives.
fn time_left(deadline_ms: Option<u64>, now: SystemTime) -> Duration {
    let most = DRAIN_MAX + END_AHEAD;
    let Some(deadline_ms) = deadline_ms else { return most };
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms);
    deadline.duration_since(now).unwrap_or_default().saturating_sub(END_AHEAD).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_an_extension_where_lambda_starts_some_and_nowhere_else() {
        let of = |api: &str, program: &str| Extension::of(api, Path::new(program));
        let expected = Extension { api: "127.0.0.1:9001".to_owned(), name: "nearside".to_owned() };
        assert_eq!(of("127.0.0.1:9001", "/opt/extensions/nearside"), Some(expected));
        assert_eq!(of("127.0.0.1:9001", "/opt/bin/nearside"), None);
        assert_eq!(of("", "/opt/extensions/nearside"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_takes_the_registration_and_never_answers_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let extension = Extension { api, name: "nearside".to_owned() };
        let fault = extension.register().await.err().unwrap();
        assert_eq!(fault.to_string(), "Lambda does not answer to the registration within 5 seconds");
    }

    #[test]
    fn an_error_of_the_api_is_quoted_in_part() {
        assert_eq!(quoted(b"no such function"), "no such function");
        assert_eq!(quoted("é".repeat(1_000).as_bytes()), "é".repeat(300));
    }

    #[test]
    fn an_event_may_have_members_that_are_not_known() {
        let event = r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":676051,"new":{}}"#;
        let expected = Event {
            event_type: "SHUTDOWN".to_owned(),
            deadline_ms: Some(676_051),
            shutdown_reason: Some("spindown".to_owned()),
        };
        assert_eq!(serde_json::from_str::<Event>(event).unwrap(), expected);
    }

    #[test]
    fn the_process_ends_ahead_of_the_deadline_and_at_once_when_that_is_over() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let left = |deadline_ms| time_left(deadline_ms, now).as_millis();
        assert_eq!(
            (left(Some(1_001_000)), left(Some(1_002_000)), left(Some(2_000_000))),
            (800, 1_700, 1_700)
        );
        assert_eq!((left(Some(1_000_100)), left(Some(0)), left(None)), (0, 0, 1_700));
    }
}
