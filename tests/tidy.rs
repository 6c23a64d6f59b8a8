//! The house rules that a compiler does not hold: layers, circles, drawer files, and documents in step with the code.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, top first. A module imports only from rows below its own.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli", "testing"],
    &["server"],
    &["frontend", "admin"],
    &["fleet"],
    &["engine"],
    &["local"],
    &["cache", "rights", "upstream"],
    &["dax", "insight"],
    &["wire", "access", "listen", "offload"],
    &["tls"],
    &["config", "telemetry"],
    &["call", "endpoint", "key_hasher", "locks", "spread", "stopped_time"],
    &["json", "model"],
];

/// Circles of siblings that stay: their folder, their modules, and why.
const CIRCLES: &[(&str, &[&str], &str)] = &[
    (
        "cache",
        &["flights", "guard", "item", "page", "slots", "table"],
        "a permit and a guard finish, in `Drop` too, what the cache began that gave them out; \
         and a cached table has its pages with it",
    ),
    (
        "cache/page",
        &["cache", "permit", "write"],
        "a permit and a guard finish, in `Drop` too, what the cache began that gave them out",
    ),
];

/// Names of files that gather what nobody placed.
const DRAWERS: &[&str] = &["helpers", "helper", "utils", "util", "common", "misc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a directory.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The top-level module that a file belongs to.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The modules that a file's code names, tests left out: `crate::x`, and in `main.rs` `nearside::x`.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for prefix in ["crate::", "nearside::"] {
            for rest in line.split(prefix).skip(1) {
                let names = match rest.strip_prefix('{') {
                    Some(list) => list.split('}').next().unwrap().split(',').collect(),
                    None => vec![rest],
                };
                for name in names {
                    found
                        .push(name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
                }
            }
        }
    }
    found
}

#[test]
fn a_module_imports_only_from_layers_below_its_own() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let layer = layer_of(&module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let Some(imported) = layer_of(&import) else { continue };
            if import != module && imported <= layer {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that go up or sideways:\n{}", wrong.join("\n"));
}

/// The path of a module, from the crate's root.
type ModulePath = Vec<String>;

/// For each folder of modules, which of its modules names which.
type Uses = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The module that a file is.
fn module_path(path: &Path) -> ModulePath {
    let relative = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut names: ModulePath =
        relative.components().map(|name| name.as_os_str().to_str().unwrap().to_owned()).collect();
    names.pop_if(|last| last == "mod");
    names
}

/// The modules that a file declares for tests alone.
fn test_modules(module: &[String], text: &str) -> Vec<ModulePath> {
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let line = rest.lines().next()?.strip_suffix(';')?;
        Some(line.rsplit_once("mod ")?.1.to_owned())
    });
    declared.map(|name| [module, &[name]].concat()).collect()
}

/// Reads a path or a tree of paths from the beginning of `text`, each behind `prefix`; gives what follows it.
fn read_paths<'a>(text: &'a str, prefix: &[String], paths: &mut Vec<ModulePath>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = read_paths(rest, prefix, paths).trim_start();
            // Between two paths there may be `as` and a name, which are not of interest.
            let end = rest.find([',', '}']).unwrap();
            let is_last = rest.as_bytes()[end] == b'}';
            rest = rest[end + 1..].trim_start();
            if is_last {
                return rest;
            }
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = [prefix, &[name.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{') => {
            read_paths(rest, &path, paths)
        }
        Some(_) | None => {
            paths.push(path);
            rest
        }
    }
}

/// Every path from the crate's root that the code of a module names, tests left out.
fn named_paths(module: &[String], text: &str) -> Vec<ModulePath> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = code.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
    let mut relative = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_inside = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !is_inside {
                read_paths(&code[at..], &[], &mut relative);
            }
        }
    }
    relative
        .into_iter()
        .map(|path| {
            let ups = path.iter().take_while(|name| *name == "super").count();
            let base = if ups == 0 { &[] } else { &module[..module.len() - ups] };
            [base, &path[ups.max(1)..]].concat()
        })
        .collect()
}

/// Which sibling names which, in every folder. What a module and those inside of it name of each other is their own affair.
fn sibling_uses() -> Uses {
    let files = rust_files(&root().join("src"));
    let texts: BTreeMap<ModulePath, String> =
        files.iter().map(|path| (module_path(path), fs::read_to_string(path).unwrap())).collect();
    let tests: Vec<ModulePath> = texts.iter().flat_map(|(module, text)| test_modules(module, text)).collect();
    let mut uses = Uses::new();
    for (module, text) in
        texts.iter().filter(|(module, _)| !tests.iter().any(|test| module.starts_with(test)))
    {
        for path in named_paths(module, text) {
            let is_module = |length: &usize| texts.contains_key(&path[..*length]);
            let named = &path[..(0..=path.len()).rev().find(is_module).unwrap_or(0)];
            let shared = module.iter().zip(named).take_while(|(ours, theirs)| ours == theirs).count();
            if let (Some(ours), Some(theirs)) = (module.get(shared), named.get(shared)) {
                let folder = uses.entry(module[..shared].join("/")).or_default();
                folder.entry(ours.clone()).or_default().insert(theirs.clone());
            }
        }
    }
    uses
}

/// Everything that is reached from a module.
fn reached<'a>(from: &str, uses: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = uses.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(uses.get(module).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[test]
fn siblings_import_each_other_one_way() {
    let mut wrong = Vec::new();
    let mut kept = BTreeSet::new();
    for (folder, uses) in &sibling_uses() {
        for (module, named) in uses {
            let comes_back = |name: &&String| reached(name, uses).contains(module.as_str());
            for name in named.iter().filter(comes_back) {
                let is_kept = |(place, modules, _): &&(&str, &[&str], &str)| {
                    *place == folder && [module, name].iter().all(|name| modules.contains(&name.as_str()))
                };
                match CIRCLES.iter().position(|circle| is_kept(&circle)) {
                    Some(circle) => drop(kept.insert(circle)),
                    None => wrong.push(format!("{folder}: {module} names {name}, which leads back to it")),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "circles of siblings; what both need belongs below both:\n{}",
        wrong.join("\n")
    );
    assert_eq!(kept.len(), CIRCLES.len(), "a circle that is excused is gone: take it from the list");
}

#[test]
fn paths_are_found_wherever_they_are_named() {
    let text = "use super::{a::{self, B}, c::D as E};\n// super::no\nfn f(x: crate::g::H<super::super::i::J>) {}\n#[cfg(test)]\nmod tests;\n";
    let module = ["k".to_owned(), "l".to_owned(), "m".to_owned()];
    let mut found: Vec<String> = named_paths(&module, text).iter().map(|path| path.join("::")).collect();
    found.sort_unstable();
    assert_eq!(found, ["g::H", "k::i::J", "k::l::a::B", "k::l::a::self", "k::l::c::D"]);
    assert_eq!(test_modules(&module, text), [[&module[..], &["tests".to_owned()]].concat()]);
}

#[test]
fn no_file_is_a_drawer() {
    for path in rust_files(&root().join("src")) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(!DRAWERS.contains(&stem), "{} needs a name that says what it is", path.display());
    }
}

#[test]
fn a_folder_of_modules_opens_with_its_own_file() {
    for path in rust_files(&root().join("src")) {
        let folder = path.with_extension("");
        assert!(!folder.is_dir(), "{} belongs to {}/mod.rs", path.display(), folder.display());
    }
}

/// The most columns of a line of comment. Code is held by rustfmt.
const COMMENT_COLUMNS_MAX: usize = 135;

#[test]
fn comments_fit_a_screen() {
    let mut wrong = Vec::new();
    for path in ["src", "tests", "benches"].iter().flat_map(|directory| rust_files(&root().join(directory))) {
        let text = fs::read_to_string(&path).unwrap();
        let is_long =
            |line: &&str| line.trim_start().starts_with("//") && line.chars().count() > COMMENT_COLUMNS_MAX;
        wrong.extend(text.lines().filter(is_long).map(|line| format!("{}: {line}", path.display())));
    }
    assert!(wrong.is_empty(), "comments of more than {COMMENT_COLUMNS_MAX} columns:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    for directory in ["src", "tests", "benches"] {
        for path in rust_files(&root().join(directory)) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
        }
    }
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for module in LAYERS.iter().copied().flatten() {
        assert!(map.contains(&format!("`{module}`")), "docs/architecture.md does not name `{module}`");
    }
}

#[test]
fn the_image_opens_nothing_and_its_user_is_a_number() {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for word in ["0.0.0.0", "[::]", "ACCEPT_UNAUTHENTICATED", "i-accept", "LISTEN"] {
        assert!(!lines.iter().any(|line| line.contains(word)), "the image decides about {word} for its user");
    }
    let user = lines.iter().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
    let is_number = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
    assert!(user.split(':').all(is_number), "USER {user}");
}

#[test]
fn the_documented_metrics_are_the_metrics() {
    let documented = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| `nearside_"));
    let mut in_docs: Vec<String> =
        rows.map(|rest| format!("nearside_{}", rest.split(['`', '{']).next().unwrap())).collect();
    let mut in_code = nearside::telemetry::metric_names();
    in_docs.sort_unstable();
    in_code.sort_unstable();
    assert_eq!(in_docs, in_code);
}

/// The documents, and what they are called.
fn documents() -> Vec<(String, String)> {
    let folder = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let files = folder.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let named = files.chain([root().join("README.md")]).map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    named.collect()
}

/// What stands between single backticks on one line.
fn code_words(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn the_metrics_that_documents_name_are_there() {
    let names = nearside::telemetry::metric_names();
    // The fixtures of pytest have names of the same form.
    let fixtures = fs::read_to_string(root().join("deploy/pytest/pytest_nearside.py")).unwrap();
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        for (at, _) in text.match_indices("nearside_") {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let end = text[at..].find(|c| !is_name(c)).map_or(text.len(), |length| at + length);
            let name = &text[at..end];
            // `nearside_page_…` is any of them.
            let is_known = match name.ends_with('_') {
                true => names.iter().any(|known| known.starts_with(name)),
                false => names.contains(&name) || fixtures.contains(&format!("def {name}(")),
            };
            if !is_known {
                wrong.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "metrics that are not there:\n{}", wrong.join("\n"));
}

#[test]
fn the_keys_that_documents_set_are_there() {
    let config = fs::read_to_string(root().join("config/nearside.toml")).unwrap();
    let words = config.lines().map(|line| line.trim_start_matches(['#', ' ']));
    let keys: BTreeSet<&str> = words.filter_map(|line| Some(line.split_once(" = ")?.0.trim())).collect();
    // An attribute in statements of PartiQL.
    let keys = &keys | &BTreeSet::from(["tenant"]);
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        for set in code_words(&text).filter_map(|code| Some(code.split_once(" = ")?.0)) {
            let key = set.rsplit('.').next().unwrap();
            let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if is_key && !keys.contains(key) {
                wrong.push(format!("{document}: {set}"));
            }
        }
    }
    assert!(wrong.is_empty(), "keys that are not in config/nearside.toml:\n{}", wrong.join("\n"));
}

#[test]
fn the_sentences_that_troubleshooting_quotes_are_the_programs() {
    let sources: String =
        rust_files(&root().join("src")).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // As the compiler reads them: quotes without their marks, and lines that go on without their breaks.
    let sources = sources.replace("\\\"", "\"");
    let mut parts = sources.split("\\\n");
    let first = parts.next().unwrap().to_owned();
    let sources = parts.fold(first, |text, part| text + part.trim_start());
    let text = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let symptoms = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut quoted = 0;
    let mut wrong = Vec::new();
    for sentence in symptoms.flat_map(code_words).filter(|code| code.contains(' ')) {
        quoted += 1;
        // The kernel's words are the kernel's.
        let is_ours = |piece: &&str| !piece.is_empty() && *piece != "Address already in use";
        let pieces = sentence.split('…').map(str::trim).filter(is_ours);
        wrong.extend(
            pieces.filter(|piece| !sources.contains(piece)).map(|piece| format!("{sentence}: {piece:?}")),
        );
    }
    assert!(quoted >= 20, "only {quoted} sentences are quoted");
    assert!(wrong.is_empty(), "nothing says:\n{}", wrong.join("\n"));
}
