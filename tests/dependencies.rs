//! Holds what the program is built from to `deny.toml`: licences, sources, and crates that must not come in. `cargo deny` does the
//! same where it is installed; this needs nothing but cargo.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The rules, as `deny.toml` has them.
struct Rules {
    licenses: Vec<String>,
    banned: Vec<String>,
    targets: Vec<String>,
}

impl Rules {
    fn of(text: &str) -> Self {
        let file: toml::Table = toml::from_str(text).unwrap();
        let list = |section: &str, key: &str| file[section][key].as_array().unwrap().clone();
        let texts = |section: &str, key: &str| {
            list(section, key).iter().map(|value| value.as_str().unwrap().to_owned()).collect()
        };
        let banned = list("bans", "deny");
        Self {
            licenses: texts("licenses", "allow"),
            banned: banned.iter().map(|entry| entry["crate"].as_str().unwrap().to_owned()).collect(),
            targets: texts("graph", "targets"),
        }
    }

    /// What is wrong with a package.
    fn fault(&self, package: &Package) -> Option<String> {
        let Package { name, version, source, license } = package;
        if self.banned.contains(name) {
            return Some(format!("{name} {version} is banned; `cargo tree -i {name}` says who asks for it"));
        }
        if let Some(source) = source {
            return Some(format!("{name} {version} is not from crates.io: {source}"));
        }
        let is_allowed = is_allowed(license, &self.licenses);
        (!is_allowed).then(|| format!("{name} {version} has a license that is not allowed: {license:?}"))
    }
}

/// A package that the program is built from.
#[derive(Debug, PartialEq)]
struct Package {
    name: String,
    version: String,
    /// Where it is from, unless that is crates.io.
    source: Option<String>,
    license: String,
}

impl Package {
    /// Reads a line of `cargo tree`: `name v1.0.0 (proc-macro) (https://…)|MIT`.
    fn of(line: &str) -> Self {
        let (package, license) = line.rsplit_once('|').unwrap();
        let mut words = package.splitn(3, ' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        let source = words.next().unwrap_or_default().replace("(proc-macro)", "");
        let source = Some(source.trim().to_owned()).filter(|source| !source.is_empty());
        Self {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            source,
            license: license.trim_end_matches("(*)").trim().to_owned(),
        }
    }
}

/// True if a licence expression can be met with those that are allowed. `OR` (or `/`, as it once was) binds less than `AND`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let spaced = spaced.replace(" WITH ", "\u{a0}WITH\u{a0}");
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    let mut rest = words.as_slice();
    let is_met = is_any_met(&mut rest, allowed);
    is_met && rest.is_empty()
}

fn is_any_met(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut is_met = are_all_met(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        is_met |= are_all_met(words, allowed);
    }
    is_met
}

fn are_all_met(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut is_met = is_one_met(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        is_met &= is_one_met(words, allowed);
    }
    is_met
}

fn is_one_met(words: &mut &[&str], allowed: &[String]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let is_met = is_any_met(words, allowed);
            let is_closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            is_met && is_closed
        }
        [name, rest @ ..] => {
            *words = rest;
            // "2.0+" is that version or a later one.
            let name = name.replace('\u{a0}', " ");
            allowed.iter().any(|license| license == name.trim_end_matches('+'))
        }
        [] => false,
    }
}

/// Every package of another's that the program or its build uses on one of the targets.
fn packages(targets: &[String]) -> Vec<Package> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(root).args(["tree", "--locked", "--all-features", "--edges", "normal,build"]);
    tree.args(["--prefix", "none", "--format", "{p}|{l}"]);
    for target in targets {
        tree.args(["--target", target]);
    }
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(Package::of).filter(|package| package.name != env!("CARGO_PKG_NAME")).collect()
}

#[test]
fn what_the_program_is_built_from_keeps_to_the_rules() {
    let rules =
        Rules::of(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap());
    let packages = packages(&rules.targets);
    assert!(packages.len() > 100 && packages.iter().any(|package| package.name == "hyper"), "{packages:?}");
    let mut faults: Vec<_> = packages.iter().filter_map(|package| rules.fault(package)).collect();
    faults.sort_unstable();
    faults.dedup();
    assert!(faults.is_empty(), "against deny.toml:\n{}", faults.join("\n"));
}

#[test]
fn a_package_against_the_rules_is_found() {
    let rules = Rules::of(
        "[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]\n[bans]\ndeny = [{ crate = \"openssl\" }]\n\
         [graph]\ntargets = []",
    );
    let fault = |line: &str| rules.fault(&Package::of(line));
    for good in ["a v1.0.0|MIT", "a v1.0.0 (proc-macro)|GPL-3.0 OR MIT (*)", "a v1.0.0|MIT AND (X OR MIT+)"] {
        assert_eq!(fault(good), None, "{good}");
    }
    assert_eq!(fault("a v1.0.0|X OR Apache-2.0 WITH LLVM-exception"), None);
    let bad = [
        ("openssl v0.10.0|MIT", "openssl 0.10.0 is banned"),
        ("a v1.0.0 (https://example.com/a?rev=1#1)|MIT", "not from crates.io"),
        ("a v1.0.0 (/elsewhere/a)|MIT", "not from crates.io"),
        ("a v1.0.0|", "not allowed"),
        ("a v1.0.0|MIT AND X OR X", "not allowed"),
        ("a v1.0.0|Apache-2.0", "not allowed"),
        ("a v1.0.0|(MIT", "not allowed"),
        ("a v1.0.0|MIT MIT", "not allowed"),
    ];
    for (line, words) in bad {
        assert!(fault(line).is_some_and(|fault| fault.contains(words)), "{line}: {:?}", fault(line));
    }
}
