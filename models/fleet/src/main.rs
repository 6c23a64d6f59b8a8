//! A model of the fleet's protocol, explored to its end, and the mutants of it that must be refuted.
//!
//! `fleet-model` checks everything, `fleet-model ci` what ends within seconds, and `fleet-model N` one configuration. It exits
//! with 1 if a configuration is refuted that must hold, or if a mutant is not.

use std::process::ExitCode;

mod bus;
mod configurations;
mod model;
mod reads;
mod rules;
mod runs;
mod state;
mod writes;

fn main() -> ExitCode {
    let selection = match std::env::args().nth(1).as_deref() {
        None => runs::Selection::All,
        Some("ci") => runs::Selection::Ci,
        Some(number) => match number.parse() {
            Ok(number) => runs::Selection::One(number),
            Err(_) => {
                eprintln!("usage: fleet-model [ci | NUMBER]");
                return ExitCode::from(2);
            }
        },
    };
    if runs::run(selection) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
