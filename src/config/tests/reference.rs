//! `docs/reference/config.md` is written from the table of keys, and from the remarks of `config/nearside.toml`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use super::*;

/// Where the page is, from the package's root.
const PAGE: &str = "docs/reference/config.md";

const INTRODUCTION: &str = "\
# Config keys

This page is written from the code: `BLESS=1 cargo test --lib the_config_reference` writes it again.

- A flag beats an environment variable, which beats the file, which beats the default. Of two variables in one row, the later one beats the earlier.
- **live**: the key changes with a reload (SIGHUP, or when the file changes). **restart**: it changes when the process starts again.
- Keys without a default are left out unless you need them. `[server.tls]` and `[fleet]` are left out as a whole: without them there is no TLS,
  and no fleet. The file is [`config/nearside.toml`](../../config/nearside.toml).
- `nearside check FILE` prints what is in force.
";

/// Sections that are left out as a whole, with the least that they need: their other keys have defaults, too.
const OPTIONAL: &str = r#"
[server.tls]
cert = "server.pem"
key = "server.key"

[fleet]
url = "rediss://nearside@bus.example"
password_file = "/run/secrets/bus"
secret_file = "/run/secrets/fleet"
"#;

/// The keys of those sections that have a default.
fn with_default_in_optional() -> BTreeSet<(String, &'static str)> {
    let variables = [("NEARSIDE_UPSTREAM", "http://127.0.0.1:9"), (HOST_NAME, "here")];
    let keys = resolve(OPTIONAL, &variables, &[]).unwrap_or_else(|error| panic!("{error}")).keys_in_force();
    let defaults = keys.into_iter().filter(|key| key.from == "default");
    defaults.map(|key| (key.section, key.key)).collect()
}

/// What a key takes, in the words of the error that a wrong value gets.
fn takes(section: &Section, key: &Key, written: &str) -> String {
    if section.repeats == Repeats::List {
        return kind_of(written).to_owned();
    }
    let Some(variable) = key.variables(section.name).pop() else { return kind_of(written).to_owned() };
    let error = resolve("", &[(&variable, "~")], &[]).unwrap_err().to_string();
    let expected = error.split_once('~').map_or("", |(_, rest)| rest.trim_start_matches('"').trim());
    if let Some((_, choices)) = expected.split_once("write one of ") {
        return choices.split(", ").map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    }
    let named = ["is not a ", "is not an ", "is not "].iter().find_map(|start| expected.strip_prefix(start));
    match named {
        Some(rest) if rest.starts_with("expanded") => "path".to_owned(),
        Some(rest) => rest.split([';', ':']).next().unwrap().to_owned(),
        None => kind_of(written).to_owned(),
    }
}

/// What a value of the file is.
fn kind_of(written: &str) -> &'static str {
    match written.as_bytes() {
        [b'"', ..] => "text",
        [b'[', ..] => "list of texts",
        [b't' | b'f', ..] => "truth value",
        value if value.contains(&b'T') => "time",
        _ => "number",
    }
}

/// The value and the remark of a line of the sample.
fn value_and_remark(line: &'static str) -> (&'static str, &'static str) {
    let value = line.split_once(" = ").unwrap().1;
    let end = value.find(" #").unwrap();
    let (value, remark) = value.split_at(end);
    (value.trim(), remark.trim_start_matches([' ', '#']))
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn set_by(section: &Section, key: &Key) -> String {
    let flag = key.flag.map(|flag| match flag.value {
        Some(value) => format!("`--{} {value}`", flag.name),
        None => format!("`--{}`", flag.name),
    });
    let variables = key.variables(section.name).into_iter().map(|name| format!("`{name}`"));
    flag.into_iter().chain(variables).collect::<Vec<_>>().join("<br>")
}

fn row(section: &Section, key: &Key, optional: &BTreeSet<(String, &str)>) -> String {
    let (default, takes, remark) = match sample_line(section.name, key.name).map(value_and_remark) {
        Some((written, remark)) => {
            let has_default =
                key.default_text().is_some() || optional.contains(&(section.name.to_owned(), key.name));
            let default = if has_default { format!("`{written}`") } else { String::new() };
            (default, takes(section, key, written), remark.to_owned())
        }
        None => (String::new(), String::new(), key.flag.map(|flag| flag.help.to_owned()).unwrap_or_default()),
    };
    let applies = if key.is_live() { "live" } else { "restart" };
    let place = match key.is_for_indexes() {
        true => " Also in `[tables.NAME]` and `[tables.NAME.indexes.INDEX]`.",
        false if key.is_for_tables() => " Also in `[tables.NAME]`.",
        false => "",
    };
    let [remark, takes, set_by] = [remark, takes, set_by(section, key)].map(|text| cell(&text));
    format!(
        "| `{}` | {}.{place} | {default} | {takes} | {applies} | {set_by} |\n",
        key.name,
        remark.trim_end_matches(['.', ':'])
    )
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let optional = with_default_in_optional();
    for section in SECTIONS {
        let heading = match (section.name, section.repeats) {
            ("", _) => "Flags and variables only".to_owned(),
            (name, Repeats::Once) => format!("`[{name}]`"),
            (name, Repeats::List) => format!("`[[{name}]]`"),
        };
        write!(page, "\n## {heading}\n\n| key | effect | default | takes | changes | flag, variables |\n")
            .unwrap();
        page.push_str("|---|---|---|---|---|---|\n");
        page.extend(section.keys.iter().map(|key| row(section, key, &optional)));
    }
    page
}

#[test]
fn the_config_reference_is_what_the_keys_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let page = page();
    let differing = page.lines().zip(written.lines()).find(|(ours, theirs)| ours != theirs);
    assert!(
        written == page,
        "{PAGE} is not what the keys say; write it again with BLESS=1 cargo test --lib the_config_reference. The first difference: {differing:?}"
    );
}
