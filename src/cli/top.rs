//! `nearside top`: the figures of a node, live in a terminal; in a pipe, once.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::node_client::NodeClient;
use super::output::{print, print_visibly};
use super::summary::Looks;
use super::with_node;

/// Of a terminal that does not say.
const SIZE: (usize, usize) = (120, 40);

/// Wider than any terminal, for a pipe.
const UNBOUNDED: usize = 1000;

/// Shows the node until a key or a signal ends it.
pub(super) fn top(matches: &ArgMatches) -> ExitCode {
    let interval = Duration::from_secs_f64(matches.get_one("interval").copied().unwrap_or(2.0));
    with_node(matches, |node| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
        let shown = runtime.block_on(async {
            match std::io::stdout().is_terminal() {
                true => show_live(node, interval).await,
                false => show_once(node, interval).await,
            }
        });
        // A thread that waits for a key must not keep the process.
        runtime.shutdown_background();
        shown
    })
}

async fn show_once(node: &NodeClient, interval: Duration) -> Result<(), String> {
    let before = node.get("stats")?;
    tokio::time::sleep(interval).await;
    let (now, jobs) = (node.get("stats")?, jobs(node));
    let screen = Looks { before: Some(&before), now: &now, jobs: &jobs }.screen(UNBOUNDED, UNBOUNDED);
    print_visibly(&screen)
}

async fn show_live(node: &NodeClient, interval: Duration) -> Result<(), String> {
    let unwatched = |error: std::io::Error| format!("cannot watch for signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
    // Asked before the screen changes, so that an error stands where it is read.
    let mut before: Option<Value> = None;
    let mut now = node.get("stats")?;
    let screen = Screen::take();
    let mut keys = keys();
    loop {
        let jobs = jobs(node);
        screen.draw(&Looks { before: before.as_ref(), now: &now, jobs: &jobs })?;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            Some(key) = keys.recv() => if matches!(key, b'q' | b'Q' | 0x03 | 0x1b) {
                return Ok(());
            },
        }
        before = Some(std::mem::replace(&mut now, node.get("stats")?));
    }
}

/// The warm-ups of the node; none where it does not say.
fn jobs(node: &NodeClient) -> Vec<Value> {
    let jobs = node.get("warm").ok();
    jobs.and_then(|jobs| jobs["jobs"].as_array().cloned()).unwrap_or_default()
}

/// The keys that are pressed. None come where the standard input is no terminal.
fn keys() -> mpsc::Receiver<u8> {
    let (sender, keys) = mpsc::channel(8);
    if std::io::stdin().is_terminal() {
        let read = move || {
            let mut key = [0];
            while let Ok(1) = std::io::stdin().read(&mut key) {
                if sender.blocking_send(key[0]).is_err() {
                    return;
                }
            }
        };
        // It ends with the process: nothing else wakes who waits for a key.
        drop(std::thread::Builder::new().name("keys".to_owned()).spawn(read));
    }
    keys
}

/// The other screen of the terminal, without a cursor, and keys as they are pressed. Dropped, everything is as it was.
struct Screen {
    before: Option<Termios>,
}

impl Screen {
    fn take() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            // Ctrl-C stays a signal.
            raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok();
        }
        // Whether it can be written to, the first drawing says.
        print(b"\x1b[?1049h\x1b[?25l").ok();
        Self { before }
    }

    fn draw(&self, looks: &Looks<'_>) -> Result<(), String> {
        let size = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let (width, height) = size.map_or(SIZE, |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let screen = looks.screen(width, height.saturating_sub(2));
        // Each line is cleared behind its end, so that nothing flickers.
        let lines = screen.replace('\n', "\x1b[K\r\n");
        print(format!("\x1b[H{lines}\x1b[J\r\nq ends").as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print(b"\x1b[?25h\x1b[?1049l").ok();
        if let Some(before) = &self.before {
            tcsetattr(std::io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}
