//! Whatever stands behind the cache, seen from it: a remote endpoint, and what is asked of an upstream and measured of it.

pub mod measurement;
pub mod remote;
pub mod schemas;
