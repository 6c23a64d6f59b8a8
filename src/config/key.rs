//! What a key of the configuration is: one definition for the file, the environment, the flags, the printed config, and reloads.

use super::callers::{CallerKey, CallerPrincipal, KeyDraft, PrincipalDraft};
use super::draft::Draft;
use super::fixed::Fixed;
use super::live::{CachePolicy, IndexPolicy, Live};
use super::value::Given;

/// Reads a value into a place, or says what is wrong with it.
pub(super) type Read<T> = fn(&mut T, Given<'_>) -> Result<(), String>;

/// The value of a place, as the file would have it; `None` where the file would leave the key out.
pub(super) type Print<T> = fn(&T) -> Option<String>;

/// A section of the config file and its keys.
#[derive(Debug)]
pub struct Section {
    /// Its name in brackets: `server`, `server.tls`. Empty for what only flags and variables can say.
    pub name: &'static str,
    /// Its keys, in the order in which they are printed.
    pub keys: &'static [Key],
    /// How often the file may have it.
    pub repeats: Repeats,
}

/// How often a section may stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Once: `[name]`.
    Once,
    /// Once for each of a list: `[[name]]`. Its keys have neither flags nor variables.
    List,
}

impl Section {
    /// A section that may stand once.
    pub(super) const fn once(name: &'static str, keys: &'static [Key]) -> Self {
        Self { name, keys, repeats: Repeats::Once }
    }

    /// A section that may stand once for each of a list.
    pub(super) const fn list(name: &'static str, keys: &'static [Key]) -> Self {
        Self { name, keys, repeats: Repeats::List }
    }
}

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its name in the section.
    pub name: &'static str,
    /// Its flag, if it has one.
    pub flag: Option<Flag>,
    /// A variable of the AWS SDKs that means the same.
    pub(super) aws_variable: Option<&'static str>,
    /// Where its value lives.
    pub(super) access: Access,
}

/// A flag of the command line; the variable `NEARSIDE_<FLAG>` means the same.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What stands for its value in the help; `None` for a switch, which may go without.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// Where a key's value lives, which decides whether a reload can change it.
#[derive(Debug)]
pub(super) enum Access {
    /// In [`Fixed`]: it changes with a restart.
    Fixed(Read<Draft>, Print<Fixed>),
    /// In [`Live`]: it changes with a reload.
    Live(Read<Live>, Print<Live>),
    /// In the policy of `[cache]`, and in that of each table.
    Policy(Read<CachePolicy>, Print<CachePolicy>),
    /// In the policy of `[cache]`, of each table and of each index.
    IndexPolicy {
        read: Read<CachePolicy>,
        print: Print<CachePolicy>,
        read_index: Read<IndexPolicy>,
        print_index: Print<IndexPolicy>,
    },
    /// In a section `[[auth.keys]]`, which changes with a reload.
    CallerKey(Read<KeyDraft>, Print<CallerKey>),
    /// In a section `[[auth.principals]]`, which changes with a reload.
    CallerPrincipal(Read<PrincipalDraft>, Print<CallerPrincipal>),
    /// Another way to write other keys: says which key a value belongs to.
    Shorthand(fn(&str) -> Result<(&'static str, &'static str), String>),
    /// Nowhere: this version knows the key and does not offer it.
    NotOffered,
}

impl Key {
    /// A key that changes with a restart.
    pub(super) const fn fixed(name: &'static str, read: Read<Draft>, print: Print<Fixed>) -> Self {
        Self::new(name, Access::Fixed(read, print))
    }

    /// A key that changes with a reload.
    pub(super) const fn live(name: &'static str, read: Read<Live>, print: Print<Live>) -> Self {
        Self::new(name, Access::Live(read, print))
    }

    /// A key of `[cache]` that each table may have, too.
    pub(super) const fn policy(
        name: &'static str,
        read: Read<CachePolicy>,
        print: Print<CachePolicy>,
    ) -> Self {
        Self::new(name, Access::Policy(read, print))
    }

    /// A key of `[[auth.keys]]`.
    pub(super) const fn of_caller(name: &'static str, read: Read<KeyDraft>, print: Print<CallerKey>) -> Self {
        Self::new(name, Access::CallerKey(read, print))
    }

    /// A key of `[[auth.principals]]`.
    pub(super) const fn of_principal(
        name: &'static str,
        read: Read<PrincipalDraft>,
        print: Print<CallerPrincipal>,
    ) -> Self {
        Self::new(name, Access::CallerPrincipal(read, print))
    }

    /// A key that this version knows and does not offer.
    pub(super) const fn not_offered(name: &'static str) -> Self {
        Self::new(name, Access::NotOffered)
    }

    pub(super) const fn new(name: &'static str, access: Access) -> Self {
        Self { name, flag: None, aws_variable: None, access }
    }

    /// The key with a flag that takes a value.
    pub(super) const fn with_flag(self, name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { flag: Some(Flag { name, value: Some(value), help }), ..self }
    }

    /// The key with a flag that means `true`.
    pub(super) const fn with_switch(self, name: &'static str, help: &'static str) -> Self {
        Self { flag: Some(Flag { name, value: None, help }), ..self }
    }

    /// The key with a variable of the AWS SDKs that means the same.
    pub(super) const fn with_aws_variable(self, variable: &'static str) -> Self {
        Self { aws_variable: Some(variable), ..self }
    }

    /// The section and name of the key that a value belongs to, if this one only stands for others.
    pub(super) fn stands_for(&self, value: &str) -> Option<Result<(&'static str, &'static str), String>> {
        match self.access {
            Access::Shorthand(named) => Some(named(value)),
            Access::Fixed(..) | Access::Live(..) | Access::Policy(..) | Access::IndexPolicy { .. } => None,
            Access::CallerKey(..) | Access::CallerPrincipal(..) | Access::NotOffered => None,
        }
    }

    /// True if the key may stand in a section of a list only.
    fn is_of_list(&self) -> bool {
        matches!(self.access, Access::CallerKey(..) | Access::CallerPrincipal(..))
    }

    /// True if the key may stand in `[tables.NAME]`.
    pub(super) fn is_for_tables(&self) -> bool {
        matches!(self.access, Access::Policy(..) | Access::IndexPolicy { .. })
    }

    /// True if the key may stand in `[tables.NAME.indexes.INDEX]`.
    pub(super) fn is_for_indexes(&self) -> bool {
        matches!(self.access, Access::IndexPolicy { .. })
    }

    /// The environment variables that set the key of that section; a later one beats an earlier one. None for a key of a list.
    pub fn variables(&self, section: &str) -> Vec<String> {
        let named = |name: &str| format!("NEARSIDE_{}", name.to_uppercase().replace(['-', '.'], "_"));
        let of_flag = self.flag.map(|flag| named(flag.name));
        let of_key =
            (!section.is_empty() && !self.is_of_list()).then(|| named(&format!("{section}_{}", self.name)));
        let mut names: Vec<String> = self.aws_variable.map(str::to_owned).into_iter().collect();
        names.extend(of_flag.into_iter().filter(|name| Some(name) != of_key.as_ref()));
        names.extend(of_key);
        names
    }
}
