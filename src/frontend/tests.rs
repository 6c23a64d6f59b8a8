//! The front end over a pipe.
