//! The command line: its commands and flags, and what it says of the config together with the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nearside::config::{
    File, Flag, HOST_NAME, ListenAddress, LogFormat, PROFILE_REGION, Resolved, SECTIONS, Sources,
};
use nearside::upstream::remote::Profile;

use super::admin_address::AdminAddress;

/// What stands below the help of everything that reads a config.
const ABOUT_VARIABLES: &str = "\
Every flag has a variable NEARSIDE_<FLAG> and every key of the config file a variable NEARSIDE_<SECTION>_<KEY>, such as
NEARSIDE_LISTEN and NEARSIDE_CACHE_ITEM_TTL. A flag beats a variable, which beats the file. config/nearside.toml lists every key.";

/// The command line. Its flags are those of the table of config keys.
pub(super) fn command_line() -> Command {
    let serve = || with_config_flags(Command::new("serve").about("Serve DynamoDB; the default"));
    let file =
        Arg::new("file").value_name("FILE").value_parser(value_parser!(PathBuf)).help("The config file");
    let check = Command::new("check")
        .about("Report everything that is wrong with a config, or print what is in force with variables and flags")
        .arg(file.conflicts_with("config"))
        .arg(Arg::new("connect").long("connect").action(ArgAction::SetTrue).help(
            "Also connect to the bus that [fleet] names, and report whether it is fit to be one; the upstream is not asked",
        ));
    let verify = Command::new("verify")
        .about("Say whether everything in a data directory agrees: items, indexes, expiry, streams; those of share = false store by store. Changes nothing. Exits with 0 when it does, 1 when it does not, 2 when it cannot be looked at, because a server uses it, say.")
        .arg(Arg::new("directory").value_name("DIRECTORY").required(true).value_parser(value_parser!(PathBuf)).help("The data directory"));
    let local = Command::new("local")
        .about("Look after the data directories of the local backend")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(verify);
    let healthcheck = Command::new("healthcheck")
        .about("Exit with 0 when the server is ready: for containers without a shell")
        .args([config_file(), admin_address()]);
    let [of_serve, of_check] = [serve(), with_config_flags(check)];
    with_config_flags(
        Command::new("nearside").about("A DynamoDB endpoint that caches: point any AWS SDK at it"),
    )
    .version(env!("CARGO_PKG_VERSION"))
    .args_conflicts_with_subcommands(true)
    .subcommands([of_serve, of_check, local, healthcheck])
    .subcommands(commands_of_a_node())
    .subcommands(commands_of_a_shell())
}

/// The commands that ask a running node, or have it do something. They exit with 0, with 1 when the node is not there or rejects it,
/// and with 2 when they cannot be understood.
fn commands_of_a_node() -> [Command; 5] {
    let of_node = |name, about| Command::new(name).about(about).args(node());
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let table = || Arg::new("table").value_name("TABLE").help("The table's name");
    let number = |name, value, least: u32, most: u32| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .value_parser(value_parser!(u32).range(i64::from(least)..=i64::from(most)))
    };
    let top = of_node("top", "Show what a node does, live; q ends it, and in a pipe it is printed once").arg(
        Arg::new("interval")
            .long("interval")
            .value_name("SECONDS")
            .value_parser(seconds)
            .default_value("2")
            .help("Between two looks"),
    );
    let stats = of_node("stats", "Print what a node has counted since its start").arg(json());
    let hot = of_node("hot", "Print the keys and partitions that are asked for most; needs the admin token")
        .arg(number("window", "SECONDS", 1, 600).default_value("60").help("Of the last 60 or 600 seconds"))
        .arg(number("limit", "N", 1, 100).default_value("20").help("How many"))
        .arg(json());
    let flush = of_node(
        "flush",
        "Drop what a node has cached: of everything, of a table, or of an item with all pages; needs the admin token",
    )
    .arg(table())
    .arg(Arg::new("key").value_name("KEY").help(r#"The item's whole key as DynamoDB JSON, with both parts where the table has a sort key: '{"pk":{"S":"a"},"sk":{"N":"1"}}'"#));
    let warm = of_node(
        "warm",
        "Have a node read a table into its cache, at a bounded rate; Ctrl-C stops it, and the next time it goes on from there; \
         needs the admin token",
    )
    .arg(table().required(true))
    .arg(number("segments", "N", 1, 64).help("Parts that are read at the same time [default: 4]"))
    .arg(
        Arg::new("rate")
            .long("rate")
            .value_name("RCU/s")
            .value_parser(read_units)
            .help("The most read units a second that it costs [default: 100]"),
    )
    .arg(Arg::new("restart").long("restart").action(ArgAction::SetTrue).help("Begin at the beginning"));
    [top, stats, hot, flush, warm]
}

fn commands_of_a_shell() -> [Command; 2] {
    let completions = Command::new("completions").about("Print the completions for a shell").arg(
        Arg::new("shell")
            .value_name("SHELL")
            .required(true)
            .value_parser(value_parser!(clap_complete::Shell)),
    );
    let man = Command::new("man")
        .about("Print the manual page, of the program or of a command, as troff: nearside man | man -l -")
        .arg(Arg::new("command").value_name("COMMAND").help("The command"));
    [completions, man]
}

/// Where a node is, and the token for it.
fn node() -> [Arg; 3] {
    let token_file = Arg::new("admin-token-file")
        .long("admin-token-file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The file with the admin token [default: NEARSIDE_ADMIN_TOKEN, or admin.token_file]");
    [config_file(), admin_address(), token_file]
}

fn admin_address() -> Arg {
    Arg::new("admin")
        .long("admin")
        .visible_alias("admin-listen")
        .value_name("ADDRESS")
        .value_parser(value_parser!(AdminAddress))
        .help("The server's admin address [default: admin.listen, with its variables]")
}

/// # Errors
/// Words that say what is wrong.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "write a number of seconds from 0.1 to 3600".to_owned())
}

/// # Errors
/// Words that say what is wrong.
fn read_units(text: &str) -> Result<f64, String> {
    let units = text.parse().ok().filter(|units| (1.0..=1e6).contains(units));
    units.ok_or_else(|| "write a number of read units a second from 1 to 1000000".to_owned())
}

/// The flags of the config, each with its variable and its default.
fn with_config_flags(command: Command) -> Command {
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    let flags = keys.filter_map(|key| key.flag.map(|flag| config_flag(flag, key.default_text())));
    command.arg(config_file()).args(flags).after_help(ABOUT_VARIABLES)
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Config file (TOML) [env: NEARSIDE_CONFIG]")
}

fn config_flag(flag: Flag, default: Option<String>) -> Arg {
    let argument = Arg::new(flag.name).long(flag.name).action(ArgAction::Set);
    let Some(value) = flag.value else {
        // A switch may go without a value, and must not take the next argument for one.
        let switch =
            argument.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true");
        return switch.hide_possible_values(true).help(flag.help);
    };
    let help = match default {
        Some(default) if !flag.help.contains("[default") => format!("{} [default: {default}]", flag.help),
        _ => flag.help.to_owned(),
    };
    argument.value_name(value).help(help)
}

/// Why there is no config.
pub(super) struct Unresolved {
    /// Everything that is wrong, a line for each.
    pub(super) message: String,
    /// How it is to be reported, as far as that is known.
    pub(super) log_format: LogFormat,
}

/// What the command line says of the config.
pub(super) struct ConfigArguments {
    /// The file, if one is named.
    pub(super) file: Option<PathBuf>,
    /// The environment.
    variables: Vec<(String, String)>,
    /// The flags that were given, with their values.
    flags: Vec<(&'static str, String)>,
}

impl ConfigArguments {
    /// What the arguments of a command say, and the environment.
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let flags = SECTIONS.iter().flat_map(|section| section.keys).filter_map(|key| key.flag);
        let given = flags.filter_map(|flag| Some((flag.name, matches.get_one::<String>(flag.name)?.clone())));
        let environment = Self::of_environment();
        let file = matches.get_one::<PathBuf>("config").cloned().or(environment.file);
        Self { file, flags: given.collect(), ..environment }
    }

    /// What the environment says. Values that are not Unicode are passed over: no key takes one.
    pub(super) fn of_environment() -> Self {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let file = std::env::var_os("NEARSIDE_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        let mut variables: Vec<_> = std::env::vars_os().filter_map(text).collect();
        // Where no variable names a region, it is that of the profile, as for the tools of AWS. Whether the profile exists
        // matters when its credentials are wanted.
        let profile = Profile::selected(|name| std::env::var(name).ok()).unwrap_or_default();
        if let Some(region) = profile.region {
            variables.push((PROFILE_REGION.to_owned(), region));
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        variables.push((HOST_NAME.to_owned(), host));
        Self { file, variables, flags: Vec::new() }
    }

    /// The file, with the variables and flags over it.
    ///
    /// # Errors
    /// [`Unresolved`] with one line for each thing that is wrong.
    pub(super) fn resolve(&self) -> Result<Resolved, Unresolved> {
        let resolved = self.with_sources(|sources| {
            Resolved::of(sources).map_err(|error| Unresolved {
                message: error.to_string(),
                log_format: Resolved::as_far_as_read(sources).log_format,
            })
        });
        resolved.unwrap_or_else(|message| Err(Unresolved { message, log_format: LogFormat::Text }))
    }

    /// The address of the admin listener, whatever else is wrong: a health check may lack flags that the server has.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn admin_listen(&self) -> Result<ListenAddress, String> {
        self.with_sources(|sources| Resolved::as_far_as_read(sources).admin_listen)
    }

    /// The file with the token of the admin listener, if the config names one, whatever else is wrong.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn admin_token_file(&self) -> Result<Option<PathBuf>, String> {
        self.with_sources(Resolved::admin_token_file_as_far_as_read)
    }

    fn with_sources<T>(&self, resolve: impl FnOnce(&Sources<'_>) -> T) -> Result<T, String> {
        let text = self.file.as_deref().map(read_file).transpose()?;
        let name = self.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        let file = text.as_deref().map(|text| File { name: &name, text });
        Ok(resolve(&Sources { file, variables: &self.variables, flags: &self.flags }))
    }
}

fn read_file(file: &Path) -> Result<String, String> {
    let wrong = |reason: &str| format!("cannot read the config file {}: {reason}", file.display());
    if file.to_string_lossy().starts_with(['~', '$']) {
        return Err(wrong("it is not expanded as a shell would do it; write the whole path"));
    }
    std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))
}

/// Does with the arguments what may wait for a file.
pub(super) async fn aside<T: Send + 'static>(
    arguments: &Arc<ConfigArguments>,
    work: impl FnOnce(&ConfigArguments) -> T + Send + 'static,
) -> T {
    let arguments = Arc::clone(arguments);
    tokio::task::spawn_blocking(move || work(&arguments)).await.expect("reading a config does not panic")
}
