//! `nearside completions` and `nearside man`: the command line, told to a shell and to `man`.

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use clap_complete::Shell;

use super::command_line::command_line;
use super::{CANNOT_START, fail};

/// Prints the completions for a shell.
pub(super) fn completions(matches: &ArgMatches) -> ExitCode {
    let shell = *matches.get_one::<Shell>("shell").expect("the shell is required");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "nearside", &mut script);
    print(&script)
}

/// Prints the page of the program, or of one of its commands.
pub(super) fn man(matches: &ArgMatches) -> ExitCode {
    let mut program = command_line();
    program.build();
    let command = match matches.get_one::<String>("command") {
        None => Some(program),
        Some(name) => program.find_subcommand(name).cloned(),
    };
    match command.map(page) {
        Some(Ok(page)) => print(&page),
        Some(Err(error)) => fail(&format!("cannot write the page: {error}"), 1),
        None => fail("there is no such command; nearside --help lists them", CANNOT_START),
    }
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// The reader of a pipe may close it early.
fn print(text: &[u8]) -> ExitCode {
    std::io::stdout().write_all(text).ok();
    ExitCode::SUCCESS
}
