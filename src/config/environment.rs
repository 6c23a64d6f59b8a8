//! Environment variables and flags, taken apart into keys and their values.

use std::fmt;

use super::error::{Fault, Origin};
use super::file::Setting;
use super::key::Key;
use super::nearest::nearest;
use super::table::{find, keys};
use super::value::Given;

/// Variables that mean something to the program but are no keys.
const OTHERS: &[&str] = &["NEARSIDE_CONFIG", "NEARSIDE_ADMIN_TOKEN"];

/// What the names of our variables begin with.
const PREFIX: &str = "NEARSIDE_";

/// A variable with a name like ours that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The known one that may have been meant.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unknown variable {}", self.name)?;
        if self.name.starts_with("NEARSIDE_TABLES_") {
            return formatter
                .write_str("; keys of a single table have no variables, only the file has [tables.NAME]");
        }
        match &self.nearest {
            Some(nearest) => write!(formatter, "; the nearest known one is {nearest}"),
            None => formatter.write_str("; known are NEARSIDE_<SECTION>_<KEY> and NEARSIDE_<FLAG>"),
        }
    }
}

/// The settings that variables make, a later one over an earlier one. An empty variable counts as none.
pub(super) fn settings_of_variables<'v>(
    variables: &'v [(String, String)],
    faults: &mut Vec<Fault>,
) -> Vec<Setting<'v>> {
    let mut settings = Vec::new();
    for (section, key) in keys() {
        for name in key.variables(section.name) {
            let value = variables.iter().find(|(candidate, value)| *candidate == name && !value.is_empty());
            if let Some((_, value)) = value {
                settings.extend(setting(section.name, key, value, Origin::Variable(name), faults));
            }
        }
    }
    settings
}

/// The settings that flags make.
pub(super) fn settings_of_flags<'v>(
    flags: &'v [(&'static str, String)],
    faults: &mut Vec<Fault>,
) -> Vec<Setting<'v>> {
    let mut settings = Vec::new();
    for (name, value) in flags {
        let key = keys().find(|(_, key)| key.flag.is_some_and(|flag| flag.name == *name));
        if let Some((section, key)) = key {
            settings.extend(setting(section.name, key, value, Origin::Flag((*name).to_owned()), faults));
        }
    }
    settings
}

/// A setting by a key, or by the key that it is short for.
fn setting<'v>(
    section: &'static str,
    key: &'static Key,
    value: &'v str,
    origin: Origin,
    faults: &mut Vec<Fault>,
) -> Option<Setting<'v>> {
    let (section, name) = match key.stands_for(value) {
        Some(Ok(named)) => named,
        Some(Err(message)) => {
            faults.push(Fault { origin, message });
            return None;
        }
        None => (section, key.name),
    };
    let (section, key) = find(section, name)?;
    Some(Setting { section, key, given: Given::Text(value), origin })
}

/// The variables whose names begin like ours and that are none of ours. A Kubernetes service called `nearside`, or `nearside-…`,
/// puts some of its own into every container.
pub(super) fn unknown_variables(variables: &[(String, String)]) -> Vec<UnknownVariable> {
    let mut known: Vec<String> = keys().flat_map(|(section, key)| key.variables(section.name)).collect();
    known.extend(OTHERS.iter().map(|name| (*name).to_owned()));
    let is_unknown =
        |name: &&String| name.starts_with(PREFIX) && !known.contains(name) && !is_of_kubernetes(name);
    let names = variables.iter().map(|(name, _)| name).filter(is_unknown);
    let unknown =
        names.map(|name| UnknownVariable { name: name.clone(), nearest: nearest_variable(name, &known) });
    unknown.collect()
}

/// The nearest known variable by what stands behind the common prefix, if it may have been meant.
fn nearest_variable(name: &str, known: &[String]) -> Option<String> {
    let ending = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let endings: Vec<String> =
        known.iter().filter(|name| name.starts_with(PREFIX)).map(|name| ending(name)).collect();
    let nearest = nearest(&ending(name), endings.iter().map(String::as_str))?;
    Some(format!("{PREFIX}{nearest}"))
}

/// True for names such as `NEARSIDE_SERVICE_HOST`, `NEARSIDE_SERVICE_PORT_HTTP`, `NEARSIDE_PORT` and `NEARSIDE_PORT_8000_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let is_of_port = name.split("_PORT_").skip(1).any(|rest| {
        let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].iter().any(|protocol| rest.starts_with(protocol))
    });
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.ends_with("_PORT") || is_of_port
}
