//! The `nearside` program.

fn main() {}
