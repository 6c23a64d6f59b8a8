//! Conversations of real clients with a stub, replayed to an engine with a database.
