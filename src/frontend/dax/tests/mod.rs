//! Whole conversations: bytes in, bytes out over an in-memory connection, with the clock stopped, over an engine with a database.
