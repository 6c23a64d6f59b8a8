//! Nearside: a transparent, coherent cache in front of DynamoDB.
//!
//! A request goes straight down (`frontend → engine → cache → upstream`) and its answer straight back.
//! `docs/architecture.md` is the map; `tests/tidy.rs` holds the layers.

pub mod json;
pub mod model;

pub mod call;
pub mod endpoint;
mod key_hasher;
mod locks;
mod spread;
pub mod stopped_time;

pub mod config;
pub mod telemetry;

pub mod tls;

pub mod access;
pub mod listen;
pub mod offload;
pub mod wire;

pub mod dax;
pub mod insight;

pub mod cache;
pub mod rights;
pub mod upstream;

pub mod local;

pub mod engine;

pub mod fleet;

pub mod admin;
pub mod frontend;

pub mod server;

pub mod testing;
