//! `nearside stats` and `nearside hot`: what a node has counted, and which keys are asked for most.

use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::Value;

use super::node_client::NodeClient;
use super::output::{print_visibly, visible};
use super::summary::{Looks, count};
use super::{fail, with_node};

/// Wider than any terminal: who redirects the figures wants all of them.
const WIDTH: usize = 1000;

/// Prints what the node has counted since its start.
pub(super) fn stats(matches: &ArgMatches) -> ExitCode {
    with_node(matches, |node| {
        let now = node.get("stats")?;
        match matches.get_flag("json") {
            true => print_visibly(&format!("{now:#}\n")),
            false => print_visibly(&Looks { before: None, now: &now, jobs: &[] }.screen(WIDTH, WIDTH)),
        }
    })
}

/// Prints the heaviest keys and partitions of the last minutes.
pub(super) fn hot(matches: &ArgMatches) -> ExitCode {
    let number = |name: &str| matches.get_one::<u32>(name).copied().unwrap_or_default();
    let path = format!("hot?window={}&limit={}", number("window"), number("limit"));
    with_node(matches, |node| {
        let hot = node.get(&path)?;
        match matches.get_flag("json") {
            true => print_visibly(&format!("{hot:#}\n")),
            false => print_visibly(&hot_lines(&hot)),
        }
    })
}

fn hot_lines(hot: &Value) -> String {
    let list = |name: &str, title: &str| {
        let mut lines = format!("{title:<40} {:>10} {:>10} {:>10}\n", "READS", "HITS", "WRITES");
        for key in hot[name].as_array().into_iter().flatten() {
            let index = key["index"].as_str().filter(|index| !index.is_empty());
            let index = index.map(|index| format!("/{index}")).unwrap_or_default();
            let named = format!("{}{index} {}", key["table"].as_str().unwrap_or("-"), key["key"]);
            let named = visible(&named);
            let figure = |name: &str| count(key[name].as_f64().unwrap_or_default());
            let line = format!(
                "{named:<40} {:>10} {:>10} {:>10}\n",
                figure("reads"),
                figure("hits"),
                figure("writes")
            );
            lines.push_str(&line);
        }
        lines
    };
    format!("{}\n{}", list("items", "ITEM"), list("partitions", "PARTITION"))
}

/// Drops what is cached, of everything, of a table, or of an item.
pub(super) fn flush(matches: &ArgMatches) -> ExitCode {
    let (table, key) = (matches.get_one::<String>("table"), matches.get_one::<String>("key"));
    let mut body = serde_json::Map::new();
    body.extend(table.map(|table| ("table".to_owned(), table.as_str().into())));
    if let Some(key) = key {
        match serde_json::from_str::<Value>(key) {
            Ok(key) if key.is_object() => drop(body.insert("key".to_owned(), key)),
            Ok(_) | Err(_) => {
                let sentence = r#"the key is no DynamoDB JSON: write all parts of it, such as {"pk":{"S":"a"},"sk":{"N":"1"}} where the table has a sort key, in single quotes in a shell"#;
                return fail(sentence, super::CANNOT_START);
            }
        }
    }
    with_node(matches, |node: &NodeClient| {
        let flushed = node.post("flush", &body.into())?;
        print_visibly(&format!("flushed {}\n", flushed["flushed"].as_str().unwrap_or("it")))
    })
}
