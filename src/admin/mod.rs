//! HTTP for people and monitors.
