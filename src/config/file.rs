//! The config file: TOML, taken apart into keys and their values. What is wrong with one key does not hide what is wrong with another.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Origin};
use super::key::{Key, Repeats, Section};
use super::nearest::unknown;
use super::table::{SECTIONS, find, keys};
use super::value::Given;

/// A config file that has been read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// What errors call it; empty for "line 3" instead of "nearside.toml:3".
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// A key with a value that somebody wrote.
#[derive(Clone, Debug)]
pub(super) struct Setting<'v> {
    pub(super) section: &'static Section,
    pub(super) key: &'static Key,
    pub(super) given: Given<'v>,
    pub(super) origin: Origin,
}

/// A section `[tables.NAME]`.
#[derive(Debug)]
pub(super) struct TableSection<'v> {
    pub(super) name: &'v str,
    pub(super) settings: Vec<Setting<'v>>,
    /// Its sections `[tables.NAME.indexes.INDEX]`.
    pub(super) indexes: Vec<(&'v str, Vec<Setting<'v>>)>,
}

/// A section `[[NAME]]`.
#[derive(Debug)]
pub(super) struct ListSection<'v> {
    pub(super) section: &'static Section,
    pub(super) settings: Vec<Setting<'v>>,
    pub(super) origin: Origin,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Contents<'v> {
    pub(super) settings: Vec<Setting<'v>>,
    pub(super) tables: Vec<TableSection<'v>>,
    /// The sections of lists, in the order of the file.
    pub(super) lists: Vec<ListSection<'v>>,
    /// Where each section begins, those without keys included.
    pub(super) sections: Vec<(&'static str, Origin)>,
    /// What is wrong with it, apart from the values.
    pub(super) faults: Vec<Fault>,
}

/// A name in the file and the value that it has there.
type Entry<'v> = (&'v Spanned<Cow<'v, str>>, &'v Spanned<DeValue<'v>>);

/// Takes a file apart that was parsed into `root`.
pub(super) fn contents<'v>(file: File<'v>, root: &'v DeTable<'v>) -> Contents<'v> {
    let mut reader = Reader { file, contents: Contents::default() };
    for entry in root {
        reader.top_level(entry);
    }
    reader.contents
}

/// What is wrong with the file's syntax.
pub(super) fn syntax_faults(file: File<'_>, errors: &[toml::de::Error]) -> Vec<Fault> {
    let fault = |error: &toml::de::Error| {
        let position = error.span().map_or(0, |span| span.start);
        let before = file.text.get(..position).unwrap_or_default();
        let line = file.text.lines().nth(before.matches('\n').count()).unwrap_or_default().trim();
        let reason = error.message().lines().next().unwrap_or("not TOML");
        Fault {
            origin: Origin::in_file(file.name, file.text, position),
            message: format!("{reason}: {line}"),
        }
    };
    errors.iter().map(fault).collect()
}

struct Reader<'v> {
    file: File<'v>,
    contents: Contents<'v>,
}

impl<'v> Reader<'v> {
    fn top_level(&mut self, (name, value): Entry<'v>) {
        match name.get_ref().as_ref() {
            "tables" => {
                for (name, value) in self.entries("tables", value) {
                    self.table(name.get_ref(), value);
                }
            }
            section => match SECTIONS.iter().find(|known| known.name == section && !section.is_empty()) {
                Some(known) => {
                    self.contents.sections.push((known.name, self.origin(name.span())));
                    self.section(known, value);
                }
                None => self.unknown_section(name),
            },
        }
    }

    fn section(&mut self, section: &'static Section, value: &'v Spanned<DeValue<'v>>) {
        for (name, value) in self.entries(section.name, value) {
            let nested = format!("{}.{}", section.name, name.get_ref());
            match SECTIONS.iter().find(|known| known.name == nested) {
                Some(nested) if nested.repeats == Repeats::List => self.list(nested, value),
                Some(nested) => {
                    self.contents.sections.push((nested.name, self.origin(name.span())));
                    self.section(nested, value);
                }
                None => {
                    let setting = self.key(section, (name, value));
                    self.contents.settings.extend(setting);
                }
            }
        }
    }

    /// The sections of a list.
    fn list(&mut self, section: &'static Section, value: &'v Spanned<DeValue<'v>>) {
        let DeValue::Array(members) = value.get_ref() else {
            let message =
                format!("{} is a list; write [[{}]] and its keys below", section.name, section.name);
            return self.fault(value.span(), message);
        };
        for member in members.iter() {
            let mut settings = Vec::new();
            for entry in self.entries(section.name, member) {
                settings.extend(self.key(section, entry));
            }
            let origin = self.origin(member.span());
            self.contents.lists.push(ListSection { section, settings, origin });
        }
    }

    /// A key of a section, with its value.
    fn key(&mut self, section: &'static Section, (name, value): Entry<'v>) -> Option<Setting<'v>> {
        match find(section.name, name.get_ref()) {
            Some((section, key)) => Some(self.setting(section, key, value)),
            None => {
                let known: Vec<_> = section.keys.iter().map(|key| key.name).collect();
                self.unknown_key(name, section.name, &known);
                None
            }
        }
    }

    fn table(&mut self, name: &'v str, value: &'v Spanned<DeValue<'v>>) {
        let mut table = TableSection { name, settings: Vec::new(), indexes: Vec::new() };
        for (name, value) in self.entries(&format!("tables.{name}"), value) {
            match name.get_ref().as_ref() {
                "indexes" => {
                    let section = format!("tables.{}.indexes", table.name);
                    for (index, value) in self.entries(&section, value) {
                        let section = format!("{section}.{}", index.get_ref());
                        let settings = self.policy(&section, value, Key::is_for_indexes);
                        table.indexes.push((index.get_ref(), settings));
                    }
                }
                _ => table.settings.extend(self.policy_key(
                    (name, value),
                    &format!("tables.{}", table.name),
                    Key::is_for_tables,
                )),
            }
        }
        self.contents.tables.push(table);
    }

    /// The keys of a section that holds part of a policy.
    fn policy(
        &mut self,
        section: &str,
        value: &'v Spanned<DeValue<'v>>,
        is_known: fn(&Key) -> bool,
    ) -> Vec<Setting<'v>> {
        let mut settings = Vec::new();
        for entry in self.entries(section, value) {
            settings.extend(self.policy_key(entry, section, is_known));
        }
        settings
    }

    fn policy_key(
        &mut self,
        (name, value): Entry<'v>,
        section: &str,
        is_known: fn(&Key) -> bool,
    ) -> Option<Setting<'v>> {
        match find("cache", name.get_ref()).filter(|(_, key)| is_known(key)) {
            Some((section, key)) => Some(self.setting(section, key, value)),
            None => {
                let known: Vec<_> =
                    keys().filter(|(_, key)| is_known(key)).map(|(_, key)| key.name).collect();
                self.unknown_key(name, section, &known);
                None
            }
        }
    }

    /// What a section holds; nothing but a fault if it is none.
    fn entries(&mut self, section: &str, value: &'v Spanned<DeValue<'v>>) -> Vec<Entry<'v>> {
        match value.get_ref() {
            DeValue::Table(table) => table.iter().collect(),
            _ => {
                self.fault(
                    value.span(),
                    format!("{section} is a section; write [{section}] and its keys below"),
                );
                Vec::new()
            }
        }
    }

    fn setting(
        &self,
        section: &'static Section,
        key: &'static Key,
        value: &'v Spanned<DeValue<'v>>,
    ) -> Setting<'v> {
        let written = self.file.text.get(value.span()).unwrap_or_default();
        Setting {
            section,
            key,
            given: Given::Toml(value.get_ref(), written),
            origin: self.origin(value.span()),
        }
    }

    fn unknown_section(&mut self, name: &Spanned<Cow<'_, str>>) {
        let of_key: Vec<_> = keys()
            .filter(|(section, key)| key.name == name.get_ref() && !section.name.is_empty())
            .map(|(section, _)| format!("[{}]", section.name))
            .collect();
        let message = match of_key.is_empty() {
            false => format!("{:?} stands outside of its section, {}", name.get_ref(), of_key.join(" or ")),
            true => {
                let sections = SECTIONS.iter().map(|section| section.name).chain(["tables"]);
                let known = sections.filter(|name| !name.is_empty() && !name.contains('.'));
                unknown("section", name.get_ref(), &known.collect::<Vec<_>>())
            }
        };
        self.fault(name.span(), message);
    }

    fn unknown_key(&mut self, name: &Spanned<Cow<'_, str>>, section: &str, known: &[&str]) {
        let elsewhere = keys().find(|(section, key)| key.name == name.get_ref() && !section.name.is_empty());
        let message = match elsewhere {
            Some((other, _)) => {
                format!("[{section}] has no key {:?}; it is one of [{}]", name.get_ref(), other.name)
            }
            None => unknown("key", name.get_ref(), known),
        };
        self.fault(name.span(), message);
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::in_file(self.file.name, self.file.text, span.start)
    }

    fn fault(&mut self, span: Range<usize>, message: String) {
        let origin = self.origin(span);
        self.contents.faults.push(Fault { origin, message });
    }
}
