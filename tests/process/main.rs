//! The program as a process: what survives `kill -9`, how it starts, and how it refuses to.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod admin;
mod audit;
mod callers;
mod canary;
mod client;
mod commands;
mod drain;
mod exhaustion;
mod fake;
mod follower;
mod kill;
mod lambda;
mod logs;
mod metrics;
mod pages;
mod realms;
mod reload;
mod remote;
#[cfg(feature = "aws-credentials")]
mod roles;
mod smuggling;
#[cfg(feature = "otlp")]
mod spans;
mod start;
mod tls;
mod traces;
#[cfg(feature = "aws-credentials")]
mod waiting;
