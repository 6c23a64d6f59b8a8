//! Every route of the admin listener: its method, its path, who may have it, and what answers.

use std::net::SocketAddr;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::node::{Call, Fault, HotOrder, HotQuery, Pending};
use super::reply::{Reply, error, fail, json, json_text, reply, text};
use super::token::Guard;
use super::{Admin, Asked, NO_FLEET, actions, console};
use crate::model::Operation;
use crate::telemetry::recent_warnings;

/// By which a call is found in the audit log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The most keys that one answer shows.
const HOT_MAX: usize = 100;

/// Makes the answer of a route.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// At once.
    Now(fn(&Admin, &Asked) -> Reply),
    /// When something has been waited for.
    Later(for<'a> fn(&'a Admin, &'a Asked) -> Pending<'a, Reply>),
}

/// What is done at a path with a method. A route for GET is one for HEAD, too.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) guard: Guard,
    pub(super) answer: Answer,
}

/// Everything that is there, apart from the other files of the console.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/", Guard::Open, |_, _| {
        console::file("/").unwrap_or_else(|| text(StatusCode::NOT_FOUND, "no console\n"))
    }),
    Route::get("/metrics", Guard::Open, |admin, _| {
        reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", admin.node.metrics())
    }),
    Route::get("/livez", Guard::Open, |_, _| text(StatusCode::OK, "alive\n")),
    Route::get("/readyz", Guard::Open, readiness),
    // It shows names of nodes, and no keys.
    Route::get("/api/fleet", Guard::TokenIfSet, fleet),
    Route::get("/api/stats", Guard::TokenIfSet, |admin, _| {
        json(StatusCode::OK, &admin.node.stats(admin.unready().as_deref()))
    }),
    Route::get("/api/config", Guard::TokenIfSet, |admin, _| json(StatusCode::OK, &admin.node.config())),
    Route::get("/api/warnings", Guard::TokenIfSet, |_, _| {
        json(StatusCode::OK, &json!({ "warnings": recent_warnings() }))
    }),
    // It shows keys.
    Route::get("/api/hot", Guard::Token, hot),
    Route::get("/api/curve", Guard::TokenIfSet, |admin, _| json(StatusCode::OK, &admin.node.curve())),
    Route::get("/api/advice", Guard::TokenIfSet, |admin, _| json(StatusCode::OK, &admin.node.advice())),
    Route::post("/api/call", Guard::Data, |admin, asked| Box::pin(call(admin, asked))),
    Route::post("/api/flush", Guard::Token, |admin, asked| Box::pin(actions::flush(admin, asked))),
    Route::post("/api/reload", Guard::Token, |admin, asked| Box::pin(actions::reload(admin, asked))),
    Route::post("/api/warm", Guard::Token, |admin, asked| Box::pin(actions::warm(admin, asked))),
    Route::get("/api/warm", Guard::TokenIfSet, |admin, _| json(StatusCode::OK, &admin.node.warm_ups())),
    Route {
        method: Method::POST,
        path: "/api/warm/stop",
        guard: Guard::Token,
        answer: Answer::Now(actions::stop_warm_up),
    },
    Route {
        method: Method::POST,
        path: "/api/quit",
        guard: Guard::Token,
        answer: Answer::Now(actions::quit),
    },
];

impl Route {
    const fn get(path: &'static str, guard: Guard, answer: fn(&Admin, &Asked) -> Reply) -> Self {
        Self { method: Method::GET, path, guard, answer: Answer::Now(answer) }
    }

    const fn post(
        path: &'static str,
        guard: Guard,
        answer: for<'a> fn(&'a Admin, &'a Asked) -> Pending<'a, Reply>,
    ) -> Self {
        Self { method: Method::POST, path, guard, answer: Answer::Later(answer) }
    }

    pub(super) fn is_for(&self, method: &Method, path: &str) -> bool {
        let is_method = self.method == *method || (self.method == Method::GET && *method == Method::HEAD);
        is_method && self.path == path
    }

    /// The methods that the route takes, as `Allow` has them.
    pub(super) fn methods(&self) -> &'static str {
        if self.method == Method::POST { "POST" } else { "GET, HEAD" }
    }
}

fn readiness(admin: &Admin, asked: &Asked) -> Reply {
    let unready = if asked.query.has("fleet") { admin.unready_in_fleet() } else { admin.unready() };
    match unready {
        None => text(StatusCode::OK, "ready\n"),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

fn fleet(admin: &Admin, _: &Asked) -> Reply {
    match admin.node.fleet() {
        Some(report) => json_text(StatusCode::OK, report.json),
        None => error(StatusCode::NOT_FOUND, &format!("There is {NO_FLEET}.")),
    }
}

fn hot(admin: &Admin, asked: &Asked) -> Reply {
    match read_hot(asked) {
        Ok(query) => json(StatusCode::OK, &admin.node.hot(query)),
        Err(fault) => fail(&fault),
    }
}

fn read_hot(asked: &Asked) -> Result<HotQuery, Fault> {
    let window_seconds = match asked.query.get("window") {
        None | Some("60") => 60,
        Some("600") => 600,
        Some(_) => return Err(Fault::invalid("Set window to 60 or 600: the last minute or the last ten.")),
    };
    let order = match asked.query.get("by") {
        None | Some("accesses") => HotOrder::Accesses,
        Some("reads") => HotOrder::Reads,
        Some("hits") => HotOrder::Hits,
        Some("writes") => HotOrder::Writes,
        Some(_) => return Err(Fault::invalid("Set by to accesses, reads, hits or writes.")),
    };
    Ok(HotQuery { window_seconds, order, limit: asked.query.number("limit", 1..=HOT_MAX, 20)? })
}

async fn call(admin: &Admin, asked: &Asked) -> Reply {
    let call = match read_call(asked) {
        Ok(call) => call,
        Err(fault) => return fail(&fault),
    };
    match admin.node.call(call).await {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut reply = json_text(status, answer.body);
            let id = answer.headers.iter().find(|(name, _)| name == REQUEST_ID.as_str());
            if let Some(id) = id.and_then(|(_, id)| HeaderValue::from_str(id).ok()) {
                reply.headers_mut().insert(REQUEST_ID, id);
            }
            reply
        }
        Err(fault) => fail(&fault),
    }
}

fn read_call(asked: &Asked) -> Result<Call, Fault> {
    let named = asked.query.get("operation").and_then(|name| {
        Operation::all().find(|operation| operation.name() == name && *operation != Operation::Unknown)
    });
    let target = asked.head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = named.or_else(|| target.and_then(Operation::from_target)).ok_or_else(|| {
        Fault::invalid(
            "Name an operation of DynamoDB, as ?operation=Query or X-Amz-Target: DynamoDB_20120810.Query.",
        )
    })?;
    let text = |name| asked.query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Call {
        operation,
        body: asked.body.clone(),
        region: text("region"),
        access_key: text("access_key"),
        client: asked.head.extensions.get::<SocketAddr>().copied(),
    })
}
