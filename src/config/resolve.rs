//! File, variables and flags, put over one another and over the defaults.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toml::de::DeTable;

use super::Config;
use super::callers::{
    CallerKey, CallerPlaces, KeyDraft, LoadedCallers, PrincipalDraft, SecretPlace, contradictions,
};
use super::draft::{Draft, KeyName, Origins};
use super::environment::{UnknownVariable, settings_of_flags, settings_of_variables, unknown_variables};
use super::error::{ConfigError, Fault, Origin};
use super::file::{Contents, File, ListSection, Setting, TableSection, contents, syntax_faults};
use super::fixed::{AuthMode, Fixed, UpstreamKind};
use super::fleet::{Ack, node};
use super::key::{Access, Key};
use super::list_places::ListPlaces;
use super::live::{CachePolicy, Fill};
use super::rules;
use super::secret::{SecretBytes, read_token};

/// What stands among the variables for the region of the profile in use.
pub const PROFILE_REGION: &str = "the region of the profile";

/// What stands among the variables for the name of the host.
pub const HOST_NAME: &str = "the name of the host";

/// The variables that every AWS SDK reads for the region, the first one first, and behind them the profile.
const AWS_REGIONS: [&str; 3] = ["AWS_REGION", "AWS_DEFAULT_REGION", PROFILE_REGION];

/// Everything that can say how a process is configured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The config file, if there is one.
    pub file: Option<File<'a>>,
    /// The environment.
    pub variables: &'a [(String, String)],
    /// The flags, by their names without dashes, each with its value.
    pub flags: &'a [(&'static str, String)],
}

/// A configuration that holds, and where it comes from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What is in force.
    pub config: Config,
    /// Variables with names like ours that mean nothing.
    pub unknown_variables: Vec<UnknownVariable>,
    /// Where each key was written that somebody wrote.
    pub(super) origins: Origins,
    /// Where each key and principal was written.
    caller_places: CallerPlaces,
}

impl Resolved {
    /// Puts the sources over one another: a flag beats a variable, which beats the file, which beats the default.
    ///
    /// # Errors
    /// [`ConfigError`] for everything that is wrong.
    pub fn of(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        Resolver::read(sources).finish(sources)
    }

    /// What the sources say of the process, as far as they say it well, whatever is wrong with the rest.
    pub fn as_far_as_read(sources: &Sources<'_>) -> Fixed {
        Resolver::read(sources).draft.fixed
    }

    /// Where the sources say that the token of the admin listener is, whatever is wrong with the rest.
    pub fn admin_token_file_as_far_as_read(sources: &Sources<'_>) -> Option<PathBuf> {
        Resolver::read(sources).draft.live.admin_token_file
    }
}

impl Resolved {
    /// Everything in the sources that has no effect, a line for each.
    pub fn warnings(&self) -> Vec<String> {
        let unknown = self.unknown_variables.iter().map(ToString::to_string);
        let of_keys = self.keys_without_effect();
        unknown.chain(self.flags_without_effect()).chain(self.eventual_fills()).chain(of_keys).collect()
    }

    /// Reads the secrets of the keys and the policies of the principals, if callers are verified. `variable` looks up one of the
    /// environment. May wait for a disk.
    ///
    /// # Errors
    /// [`ConfigError`] for every secret and policy that is missing or invalid.
    pub fn load_callers(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<LoadedCallers, ConfigError> {
        if self.config.fixed.auth_mode == AuthMode::None {
            return Ok(LoadedCallers::default());
        }
        match self.config.live.callers.load(&self.caller_places, variable) {
            Ok(loaded) => Ok(loaded),
            Err(faults) => ConfigError::of(faults).map(|()| LoadedCallers::default()),
        }
    }

    /// Reads the token of the admin listener, if the config names a file for it, and what an operator should look at. May wait for a
    /// disk.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read, or holds no token.
    pub fn load_admin_token(&self) -> Result<(Option<SecretBytes>, Option<String>), ConfigError> {
        let Some(file) = &self.config.live.admin_token_file else { return Ok((None, None)) };
        match read_token(file) {
            Ok((token, open)) => Ok((Some(token), open.map(|open| format!("admin.token_file: {open}")))),
            Err(message) => {
                let origin = self.origins.get(&("admin", "token_file")).cloned().unwrap_or_default();
                let fault = Fault { origin, message: format!("admin.token_file: {message}") };
                ConfigError::of(vec![fault]).map(|()| (None, None))
            }
        }
    }

    /// A fault of what a key names, at the place where the key was written.
    pub fn fault(&self, section: &'static str, name: &'static str, message: String) -> Fault {
        Fault { origin: self.origins.get(&(section, name)).cloned().unwrap_or_default(), message }
    }

    /// Keys and certificates that nobody needs.
    fn keys_without_effect(&self) -> Option<String> {
        if self.config.fixed.auth_mode != AuthMode::None {
            return None;
        }
        let principals = &self.config.live.callers.principals;
        if let Some(nth) = principals.iter().position(|principal| principal.certificate.is_some()) {
            return Some(format!(
                "{}: certificate has no effect with auth.mode = \"none\"; write mode = \"sigv4\"",
                self.caller_places.principals[nth]
            ));
        }
        let place = self.caller_places.keys.first()?;
        Some(format!(
            "{place}: [[auth.keys]] has no effect with auth.mode = \"none\"; write mode = \"sigv4\""
        ))
    }

    /// Where `fill` takes back what `ack` of the fleet promises.
    fn eventual_fills(&self) -> Option<String> {
        let Config { fixed, live } = &self.config;
        if fixed.fleet.as_ref()?.ack != Ack::All {
            return None;
        }
        let of_tables = live.tables.iter().filter(|(_, policy)| policy.fill == Fill::Eventual);
        let mut places: Vec<_> = of_tables.map(|(table, _)| format!("[tables.{table}]")).collect();
        if live.cache.fill == Fill::Eventual {
            places.insert(0, "[cache]".to_owned());
        }
        (!places.is_empty()).then(|| {
            format!(
                "fill = \"eventual\" in {} weakens ack = \"all\" of [fleet]: a fill may be answered by a replica that lags behind \
                 an acknowledged write",
                places.join(", ")
            )
        })
    }

    /// The flags of the local backend, where there is none. What stands in a file or a variable may be meant for others: the
    /// image names a data directory.
    fn flags_without_effect(&self) -> Option<String> {
        if self.config.fixed.upstream == UpstreamKind::Local {
            return None;
        }
        let written = self.origins.iter().filter(|((section, _), _)| *section == "local");
        let flags: Vec<String> = written
            .filter(|(_, origin)| matches!(origin, Origin::Flag(_)))
            .map(|(_, flag)| flag.to_string())
            .collect();
        let verb = if flags.len() == 1 { "has" } else { "have" };
        (!flags.is_empty())
            .then(|| format!("{} {verb} no effect with a remote upstream", flags.join(" and ")))
    }
}

struct Resolver {
    draft: Draft,
    /// Keys with values that could not be read.
    unread: BTreeSet<KeyName>,
    faults: Vec<Fault>,
}

impl Resolver {
    fn read(sources: &Sources<'_>) -> Self {
        let file = sources.file.unwrap_or(File { name: "", text: "" });
        let (root, errors) = DeTable::parse_recoverable(file.text);
        let Contents { settings, tables, lists, sections, mut faults } = contents(file, root.get_ref());
        faults.extend(syntax_faults(file, &errors));
        let variables = settings_of_variables(sources.variables, &mut faults);
        let flags = settings_of_flags(sources.flags, &mut faults);
        let draft = Draft { sections: sections.into_iter().collect(), ..Draft::default() };
        let mut resolver = Self { draft, unread: BTreeSet::new(), faults };
        for setting in settings.into_iter().chain(variables).chain(flags) {
            resolver.put(setting);
        }
        for table in tables {
            resolver.put_table(table);
        }
        for list in lists {
            resolver.put_caller(list);
        }
        resolver
    }

    fn put(&mut self, setting: Setting<'_>) {
        let Setting { section, key, given, origin } = setting;
        let policy = &mut self.draft.live.cache;
        let read = match &key.access {
            Access::Fixed(read, _) => read(&mut self.draft, given),
            Access::Live(read, _) => read(&mut self.draft.live, given),
            Access::Policy(read, _) | Access::IndexPolicy { read, .. } => read(policy, given),
            Access::NotOffered => Err("is not offered by this version yet; leave it out".to_owned()),
            // Those of lists come with their sections.
            Access::CallerKey(..) | Access::CallerPrincipal(..) | Access::Shorthand(_) => Ok(()),
        };
        match read {
            Ok(()) => drop(self.draft.origins.insert((section.name, key.name), origin)),
            Err(message) => {
                self.unread.insert((section.name, key.name));
                self.wrong(origin, &format!("{}.{}", section.name, key.name), &message);
            }
        }
    }

    /// A table's policy: what it does not say is as in `[cache]`, and an index's as in its table, wherever they stand in the file.
    fn put_table(&mut self, table: TableSection<'_>) {
        let mut policy = self.draft.live.cache.clone();
        let section = format!("tables.{}", table.name);
        for setting in table.settings {
            let read = read_policy(setting.key, &mut policy, &setting);
            self.check(read, setting, &section);
        }
        for (name, settings) in table.indexes {
            let mut index = policy.index(name);
            for setting in settings {
                let read = match &setting.key.access {
                    Access::IndexPolicy { read_index, .. } => read_index(&mut index, setting.given),
                    _ => Ok(()),
                };
                self.check(read, setting, &format!("{section}.indexes.{name}"));
            }
            policy.indexes.insert(name.to_owned(), index);
        }
        self.draft.live.tables.insert(table.name.to_owned(), policy);
    }

    /// A key or a principal. One with a fault is left out: the faults are reported, and the config is not used.
    fn put_caller(&mut self, list: ListSection<'_>) {
        let (mut key, mut principal) = (KeyDraft::default(), PrincipalDraft::default());
        let faults_before = self.faults.len();
        let written =
            list.settings.iter().map(|setting| (setting.key.name, setting.origin.clone())).collect();
        let written = ListPlaces::new(list.section.name, list.origin.clone(), written);
        for setting in list.settings {
            let read = match &setting.key.access {
                Access::CallerKey(read, _) => read(&mut key, setting.given),
                Access::CallerPrincipal(read, _) => read(&mut principal, setting.given),
                _ => Ok(()),
            };
            self.check(read, setting, list.section.name);
        }
        let (callers, places) = (&mut self.draft.live.callers, &mut self.draft.caller_places);
        let is_key = list.section.name == "auth.keys";
        let (places, lists) = match is_key {
            true => (&mut places.keys, &mut places.key_lists),
            false => (&mut places.principals, &mut places.principal_lists),
        };
        places.push(list.origin.clone());
        lists.push(written);
        let resolved = match is_key {
            true => key.resolve().map(|key| callers.keys.push(key)),
            false => principal.resolve().map(|principal| callers.principals.push(principal)),
        };
        // What is missing may be what could not be read.
        if let Err(message) = resolved
            && self.faults.len() == faults_before
        {
            self.faults.push(Fault { origin: list.origin, message });
        }
    }

    fn check(&mut self, read: Result<(), String>, setting: Setting<'_>, section: &str) {
        if let Err(message) = read {
            self.wrong(setting.origin, &format!("{section}.{}", setting.key.name), &message);
        }
    }

    /// A value that its key does not take. A variable or a flag names its key itself.
    fn wrong(&mut self, origin: Origin, key: &str, message: &str) {
        let message = match origin {
            Origin::File { .. } => format!("{key}: {message}"),
            _ => message.to_owned(),
        };
        self.faults.push(Fault { origin, message });
    }

    fn finish(mut self, sources: &Sources<'_>) -> Result<Resolved, ConfigError> {
        if let Err((origin, message)) = self.draft.resolve() {
            self.wrong(origin, "upstream.kind", &message);
        }
        self.take_aws_region(sources.variables);
        self.take_fleet(sources.variables);
        self.faults.extend(rules::broken(&self.draft, &self.unread));
        if self.draft.caller_places.are_of(&self.draft.live.callers) {
            self.faults.extend(contradictions(&self.draft.live.callers, &self.draft.caller_places));
        }
        ConfigError::of(self.faults)?;
        let Draft { fixed, live, origins, caller_places, .. } = self.draft;
        let mut unknown_variables = unknown_variables(sources.variables);
        unknown_variables.retain(|variable| {
            let is_secret = |key: &CallerKey| key.secret == SecretPlace::Variable(variable.name.clone());
            !live.callers.keys.iter().any(is_secret)
        });
        Ok(Resolved { config: Config { fixed, live }, unknown_variables, origins, caller_places })
    }

    /// The fleet, if there is one and nothing of it is missing. A node that nobody named has the name of its host.
    fn take_fleet(&mut self, variables: &[(String, String)]) {
        let Some(origin) = self.draft.fleet_origin() else { return };
        let value = |name: &str| {
            let found = variables.iter().find(|(candidate, value)| candidate == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        // Shells know HOSTNAME, and do not export it.
        let variable = |name: &str| value(name).or_else(|| value(HOST_NAME).filter(|_| name == "HOSTNAME"));
        let named = match &self.draft.fleet.node {
            Some(written) => {
                node(written, variable).map_err(|message| (message, self.draft.origin("fleet", "node")))
            }
            None => {
                let host = value(HOST_NAME).ok_or_else(|| "this host has no name".to_owned());
                let name = host.and_then(|host| node(host, |_| None));
                self.draft.origins.insert(("fleet", "node"), Origin::Ambient(HOST_NAME.to_owned()));
                name.map_err(|message| (format!("{message}; name the node with node = \"…\""), origin))
            }
        };
        match named {
            Ok(node) => self.draft.fixed.fleet = self.draft.fleet.resolve(node),
            // It was reported when it was read.
            Err(_) if self.unread.contains(&("fleet", "node")) => (),
            Err((message, origin)) => self.wrong(origin, "fleet.node", &message),
        }
    }

    /// The SDKs' region is that of a remote upstream, when nothing else names one.
    fn take_aws_region(&mut self, variables: &[(String, String)]) {
        let value =
            |name: &str| variables.iter().find(|(candidate, value)| candidate == name && !value.is_empty());
        let region = AWS_REGIONS.iter().find_map(|name| value(name));
        let draft = &mut self.draft;
        if let Some((name, region)) = region
            && draft.fixed.region.is_none()
            && draft.fixed.upstream != UpstreamKind::Local
        {
            draft.fixed.region = Some(region.clone());
            draft.origins.insert(("upstream", "region"), Origin::Ambient(name.clone()));
        }
    }
}

fn read_policy(key: &Key, policy: &mut CachePolicy, setting: &Setting<'_>) -> Result<(), String> {
    match &key.access {
        Access::Policy(read, _) | Access::IndexPolicy { read, .. } => read(policy, setting.given),
        Access::Fixed(..) | Access::Live(..) | Access::Shorthand(_) | Access::NotOffered => Ok(()),
        Access::CallerKey(..) | Access::CallerPrincipal(..) => Ok(()),
    }
}
