//! The configuration printed as a file that says the same, and compared by what is printed.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Config;
use super::callers::Callers;
use super::error::Origin;
use super::key::{Access, Key, Section};
use super::live::{CachePolicy, Live};
use super::resolve::Resolved;
use super::table::{SECTIONS, keys};

impl Config {
    /// The keys, as `section.key`, that need a restart to become what `other` says.
    pub fn needing_restart(&self, other: &Self) -> Vec<String> {
        let differs = |key: &Key| match &key.access {
            Access::Fixed(_, print) => print(&self.fixed) != print(&other.fixed),
            Access::Live(..) | Access::Policy(..) | Access::IndexPolicy { .. } => false,
            Access::CallerKey(..) | Access::CallerPrincipal(..) => false,
            Access::Shorthand(_) | Access::NotOffered => false,
        };
        let differing = keys().filter(|(_, key)| differs(key));
        differing.map(|(section, key)| format!("{}.{}", section.name, key.name)).collect()
    }

    /// The value of a key, as the file would have it.
    fn printed(&self, key: &Key) -> Option<String> {
        match &key.access {
            Access::Fixed(_, print) => print(&self.fixed),
            Access::Live(_, print) => print(&self.live),
            Access::Policy(_, print) | Access::IndexPolicy { print, .. } => print(&self.live.cache),
            Access::CallerKey(..) | Access::CallerPrincipal(..) => None,
            Access::Shorthand(_) | Access::NotOffered => None,
        }
    }

    /// Prints the sections, and at the end of a line whatever `remark` has to say of its key.
    fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        remark: impl Fn(&'static Section, &'static Key) -> Option<String>,
    ) -> fmt::Result {
        // A section that is left out as a whole, such as [fleet], must not be there without its keys.
        let has_keys = |section: &&Section| section.keys.iter().any(|key| self.printed(key).is_some());
        let printed = SECTIONS.iter().filter(|section| !section.name.is_empty()).filter(has_keys);
        for (nth, section) in printed.enumerate() {
            writeln!(formatter, "{}[{}]", if nth == 0 { "" } else { "\n" }, section.name)?;
            for key in section.keys {
                let Some(value) = self.printed(key) else { continue };
                match remark(section, key) {
                    Some(remark) => writeln!(formatter, "{} = {value} # {remark}", key.name)?,
                    None => writeln!(formatter, "{} = {value}", key.name)?,
                }
            }
        }
        self.write_callers(formatter)?;
        self.write_tables(formatter)
    }

    /// Prints the keys and principals, without secrets.
    fn write_callers(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Callers { keys: caller_keys, principals } = &self.live.callers;
        for caller in caller_keys {
            writeln!(formatter, "\n[[auth.keys]]")?;
            for (_, key) in keys() {
                if let Access::CallerKey(_, print) = &key.access
                    && let Some(value) = print(caller)
                {
                    writeln!(formatter, "{} = {value}", key.name)?;
                }
            }
            if caller.session_token.is_some() {
                writeln!(formatter, "# session_token is set, and not shown")?;
            }
        }
        for principal in principals {
            writeln!(formatter, "\n[[auth.principals]]")?;
            for (_, key) in keys() {
                if let Access::CallerPrincipal(_, print) = &key.access
                    && let Some(value) = print(principal)
                {
                    writeln!(formatter, "{} = {value}", key.name)?;
                }
            }
        }
        Ok(())
    }

    fn write_tables(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| toml::Value::from(name).to_string();
        for (table, policy) in &self.live.tables {
            let table = quoted(table);
            writeln!(formatter, "\n[tables.{table}]")?;
            for (_, key) in keys() {
                if let Access::Policy(_, print) | Access::IndexPolicy { print, .. } = &key.access
                    && let Some(value) = print(policy)
                {
                    writeln!(formatter, "{} = {value}", key.name)?;
                }
            }
            for (index, policy) in &policy.indexes {
                writeln!(formatter, "\n[tables.{table}.indexes.{}]", quoted(index))?;
                for (_, key) in keys() {
                    if let Access::IndexPolicy { print_index, .. } = &key.access
                        && let Some(value) = print_index(policy)
                    {
                        writeln!(formatter, "{} = {value}", key.name)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Resolved {
    /// The variables and flags that are in force over the file.
    pub fn overridden(&self) -> Vec<String> {
        let origins = keys().filter_map(|(section, key)| self.origins.get(&(section.name, key.name)));
        let is_over = |origin: &&Origin| matches!(origin, Origin::Variable(_) | Origin::Flag(_));
        origins.filter(is_over).map(ToString::to_string).collect()
    }
}

/// A key of the config in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyInForce {
    /// Its section: `server`, `tables.Orders`.
    pub section: String,
    /// Its name.
    pub key: &'static str,
    /// Its value, as the file has it.
    pub value: Value,
    /// True if a reload changes it; otherwise a restart does.
    pub live: bool,
    /// Where it was written: `default`, `file`, `variable` or `flag`.
    pub from: &'static str,
}

impl Resolved {
    /// The keys in force, those of tables last. The keys and principals of callers are left out: whose they are is nobody's
    /// business who looks at a console.
    pub fn keys_in_force(&self) -> Vec<KeyInForce> {
        let of_sections = keys().filter(|(section, _)| !section.name.is_empty());
        let of_sections = of_sections.filter_map(|(section, key)| {
            let from = self.origins.get(&(section.name, key.name)).map_or("default", source);
            let value = as_json(&self.config.printed(key)?);
            Some(KeyInForce {
                section: section.name.to_owned(),
                key: key.name,
                value,
                live: key.is_live(),
                from,
            })
        });
        let of_tables = self.config.live.tables.iter().flat_map(|(table, policy)| {
            let of_table = policy.printed();
            let of_indexes = policy.indexes.iter().flat_map(move |(index, policy)| {
                let printed = keys().filter_map(|(_, key)| match &key.access {
                    Access::IndexPolicy { print_index, .. } => {
                        Some((key.name, as_json(&print_index(policy)?)))
                    }
                    _ => None,
                });
                printed.map(move |key| (format!("tables.{table}.indexes.{index}"), key))
            });
            of_table.map(move |key| (format!("tables.{table}"), key)).chain(of_indexes)
        });
        let of_tables = of_tables.map(|(section, (key, value))| KeyInForce {
            section,
            key,
            value,
            live: true,
            from: "file",
        });
        of_sections.chain(of_tables).collect()
    }

    /// Takes over what is live of another config, and returns what was in force.
    pub fn replace_live(&mut self, other: Self) -> Live {
        let is_kept = |(section, name): &(&str, &str)| {
            keys().any(|(of, key)| of.name == *section && key.name == *name && !key.is_live())
        };
        self.origins.retain(|key, _| is_kept(key));
        self.origins.extend(other.origins.into_iter().filter(|(key, _)| !is_kept(key)));
        std::mem::replace(&mut self.config.live, other.config.live)
    }
}

impl CachePolicy {
    /// Each key with its value, as a section of the file has it.
    pub fn in_force(&self) -> Map<String, Value> {
        self.printed().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn printed(&self) -> impl Iterator<Item = (&'static str, Value)> {
        keys().filter_map(|(_, key)| match &key.access {
            Access::Policy(_, print) | Access::IndexPolicy { print, .. } => {
                Some((key.name, as_json(&print(self)?)))
            }
            _ => None,
        })
    }
}

impl Key {
    /// True if a reload changes it.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.access, Access::Fixed(..) | Access::Shorthand(_) | Access::NotOffered)
    }
}

/// The layer of an origin.
fn source(origin: &Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::File { .. } => "file",
        Origin::Ambient(_) | Origin::Variable(_) => "variable",
        Origin::Flag(_) => "flag",
    }
}

/// A printed value as JSON has it.
fn as_json(printed: &str) -> Value {
    let read = toml::from_str::<toml::Table>(&format!("value = {printed}")).ok();
    let value = read.and_then(|mut table| serde_json::to_value(table.remove("value")?).ok());
    value.unwrap_or_else(|| printed.into())
}

/// Prints the config as a file that says the same, apart from session tokens.
impl fmt::Display for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, |_, _| None)
    }
}

/// Prints what is in force as a file that says the same, with the place where each key was written that is not at its default.
impl fmt::Display for Resolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remark = |section: &'static Section, key: &'static Key| {
            self.origins.get(&(section.name, key.name)).map(ToString::to_string)
        };
        self.config.write(formatter, remark)
    }
}

impl Key {
    /// The default as a flag would have it, without quotes, if there is one.
    pub fn default_text(&self) -> Option<String> {
        Some(Config::default().printed(self)?.trim_matches('"').to_owned())
    }
}
