//! The configuration printed as a file that says the same, and compared by what is printed.

use std::fmt;

use super::Config;
use super::callers::Callers;
use super::error::Origin;
use super::key::{Access, Key, Section};
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
