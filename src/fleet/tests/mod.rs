//! The fleet over a bus in memory: the server's rules one by one, and random mixtures of faults.

mod fake;
mod node;
mod simulation;
