//! What the proxy knows of each table's schema, learned by asking the upstream once.
