//! `nearside completions` and `nearside man`: completions for shells and the manual page, from the definition of the command line.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use super::command_line::command_line;
use super::output::print;
use super::{CANNOT_START, code_of, fail};

/// Prints the completions for a shell.
pub(super) fn completions(matches: &ArgMatches) -> ExitCode {
    let shell = *matches.get_one::<Shell>("shell").expect("the shell is required");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "nearside", &mut script);
    code_of(print(&script))
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
        Some(Ok(page)) => code_of(print(&page)),
        Some(Err(error)) => fail(&format!("cannot write the page: {error}"), 1),
        None => fail("there is no such command; nearside --help lists them", CANNOT_START),
    }
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let values = values_of(&command);
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    // The synopsis of clap_mangen names flags without their values.
    let page = values.iter().fold(page.into_owned(), |page, (flag, value)| {
        page.replace(&format!("[{flag}]"), &format!("[{flag} \\fI<{value}>\\fR]"))
    });
    Ok(page.into_bytes())
}

/// The flags that take a value, as the page shows them, and the values' names. Switches may go without theirs.
fn values_of(command: &Command) -> Vec<(String, String)> {
    let of = |argument: &Arg| {
        let long = argument.get_long()?.replace('-', "\\-");
        let value = argument.get_value_names()?.first()?;
        let needs_value = argument.get_action().takes_values() && !argument.is_require_equals_set();
        needs_value.then(|| (format!("\\fB\\-\\-{long}\\fR"), value.replace('-', "\\-")))
    };
    command.get_arguments().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synopsis_of_a_page_names_the_values_of_flags() {
        let mut program = command_line();
        program.build();
        let page = String::from_utf8(page(program).unwrap()).unwrap();
        let synopsis = page.lines().find(|line| line.starts_with("\\fBnearside\\fR [")).unwrap();
        for flag in [
            r"[\fB\-\-config\fR \fI<FILE>\fR]",
            r"[\fB\-\-max\-bytes\fR \fI<SIZE>\fR]",
            r"[\fB\-\-in\-memory\fR]",
        ] {
            assert!(synopsis.contains(flag), "{flag}: {synopsis}");
        }
    }
}
