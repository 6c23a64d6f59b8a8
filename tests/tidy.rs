//! The house rules that a compiler does not hold: layers, drawer files, and documents in step with the code.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, top first. A module imports only from rows below its own.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["server"],
    &["frontend", "admin"],
    &["engine"],
    &["local"],
    &["cache", "upstream"],
    &["wire"],
    &["config", "telemetry"],
    &["model"],
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

#[test]
fn no_file_is_a_drawer() {
    for path in rust_files(&root().join("src")) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(!DRAWERS.contains(&stem), "{} needs a name that says what it is", path.display());
    }
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
