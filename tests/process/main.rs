//! The program as a process: what survives `kill -9`, how it starts, and how it refuses to.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod callers;
mod client;
mod drain;
mod exhaustion;
mod fake;
mod follower;
mod kill;
mod logs;
mod metrics;
mod pages;
mod realms;
mod reload;
mod remote;
mod start;
mod tls;
