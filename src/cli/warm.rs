//! `nearside warm`: has a node read a table into its cache, and shows how far it is.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::node_client::NodeClient;
use super::output::{print, visible};
use super::summary::{count, job_line};
use super::with_node;

/// How often the node is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// Warms a table, and waits for the end of it. The end of this process by Ctrl-C stops the job on the node.
pub(super) fn warm(matches: &ArgMatches) -> ExitCode {
    let table = matches.get_one::<String>("table").cloned().unwrap_or_default();
    let body = json!({
        "table": table,
        "segments": matches.get_one::<u32>("segments"),
        "rate": matches.get_one::<f64>("rate"),
        "restart": matches.get_flag("restart"),
    });
    with_node(matches, |node| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
        runtime.block_on(async {
            // From before the job begins: it must not run on without anybody who waits for it.
            let unwatched = |error: std::io::Error| format!("cannot watch for signals: {error}");
            let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
            let mut job = node.post("warm", &body)?;
            // Its ARN, where it has one: tables of several accounts may have the same name.
            let named = [&job["arn"], &job["table"]].into_iter().filter_map(Value::as_str);
            let named = named.filter(|name| !name.is_empty()).map(str::to_owned).next();
            let named = named.unwrap_or_else(|| table.clone());
            let mut bar = Bar::new();
            while job["state"] == "running" {
                bar.show(&job);
                let is_stopped = tokio::select! {
                    biased;
                    _ = interrupt.recv() => true,
                    _ = terminate.recv() => true,
                    () = tokio::time::sleep(LOOK) => false,
                };
                if is_stopped {
                    node.post("warm/stop", &json!({ "table": named })).ok();
                    bar.end(&find(node, &named)?)?;
                    return Err(format!("stopped; to go on where it stopped: nearside warm {table}"));
                }
                job = find(node, &named)?;
            }
            bar.end(&job)?;
            match (job["state"].as_str(), job["error"].as_str()) {
                (Some("done"), _) => Ok(()),
                (_, Some(error)) => Err(error.to_owned()),
                (_, None) => {
                    Err(format!("somebody else stopped it; to go on where it stopped: nearside warm {table}"))
                }
            }
        })
    })
}

/// The job of a table, by its ARN or its name, as it is now.
fn find(node: &NodeClient, table: &str) -> Result<Value, String> {
    let jobs = node.get("warm")?;
    let job = jobs["jobs"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|job| job["arn"] == table || job["table"] == table);
    job.cloned().ok_or_else(|| {
        "the node has forgotten the job: it has started again; warm the table once more".to_owned()
    })
}

/// A line that is written over itself on a terminal; elsewhere only the last one is written.
struct Bar {
    is_terminal: bool,
}

impl Bar {
    fn new() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal() }
    }

    fn show(&mut self, job: &Value) {
        if self.is_terminal {
            // The job does not depend on who looks at it.
            print(format!("\r\x1b[2K{}", job_line(job)).as_bytes()).ok();
        }
    }

    /// # Errors
    /// Why it cannot be written.
    fn end(&mut self, job: &Value) -> Result<(), String> {
        let start = if self.is_terminal { "\r\x1b[2K" } else { "" };
        let figure = |name: &str| job[name].as_f64().unwrap_or_default();
        let line = format!(
            "{start}{}: {} items read, {} of them are cached, for {:.1} read units\n",
            visible(job["table"].as_str().unwrap_or("-")),
            count(figure("items")),
            count(figure("installed")),
            figure("read_units"),
        );
        print(line.as_bytes())
    }
}
