//! The program as a process: what survives `kill -9`, how it starts, and how it refuses to.

mod client;
mod kill;
mod start;
