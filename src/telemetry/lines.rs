//! The queue between those who log and the standard error, which may be slow, full or closed.
//!
//! Whoever logs copies a line into memory and goes on; one thread writes. What does not fit, or cannot be written, is dropped
//! and counted, and the next line that is written reports the count.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Lines that wait take at most this, and the lines that are being written as much again.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// How long to wait before a standard error that takes nothing now is asked again. Only one that never blocks says so.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Makes the line that reports so many dropped lines.
type Report = fn(u64) -> String;

/// Lines on their way to where they are written.
pub(super) struct Lines {
    state: Mutex<State>,
    /// There are lines to write.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Batch,
    is_writing: bool,
}

#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

impl Lines {
    /// Starts the thread that writes. `report` makes the line that reports how many were dropped.
    pub(super) fn start(output: impl Write + Send + 'static, report: Report) -> Arc<Self> {
        let lines = Arc::new(Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writing = Arc::clone(&lines);
        let spawned = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.write_all(output, report));
        // Without a thread the lines are dropped as soon as the memory for them is full.
        spawned.ok();
        lines
    }

    /// Queues a line, or several that end with their line feeds. Never waits for the output.
    pub(super) fn push(&self, text: &[u8]) {
        let mut state = self.state();
        if state.waiting.text.len() + text.len() > WAITING_BYTES_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.text.extend_from_slice(text);
        state.waiting.lines += 1;
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until everything that was queued is written, but not for longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.text.is_empty();
        drop(self.drained.wait_timeout_while(self.state(), patience, is_busy));
    }

    /// Lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut output: impl Write, report: Report) {
        let (mut batch, mut reported) = (Batch::default(), 0);
        loop {
            self.next_batch(&mut batch);
            let dropped = self.dropped();
            if dropped > reported {
                batch.text.extend_from_slice(report(dropped - reported).as_bytes());
            }
            match write_patiently(&mut output, &batch.text) {
                Ok(()) => reported = dropped,
                Err(_) => drop(self.dropped.fetch_add(batch.lines, Ordering::Relaxed)),
            }
        }
    }

    /// Waits for lines, and takes all there are into a batch that has been written.
    fn next_batch(&self, batch: &mut Batch) {
        batch.text.clear();
        batch.lines = 0;
        let mut state = self.state();
        state.is_writing = false;
        if state.waiting.text.is_empty() {
            self.drained.notify_all();
            let is_idle = |state: &mut State| state.waiting.text.is_empty();
            state = self.filled.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.waiting, batch);
        state.is_writing = true;
    }
}

/// As `write_all`, also where the output is one that never blocks and takes nothing at the moment.
fn write_patiently(output: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match output.write(text) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

/// The lines of this process, on their way to its standard error.
pub(super) fn standard_error(report: Report) -> &'static Arc<Lines> {
    static LINES: OnceLock<Arc<Lines>> = OnceLock::new();
    LINES.get_or_init(|| Lines::start(io::stderr(), report))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn report(dropped: u64) -> String {
        format!("dropped {dropped}\n")
    }

    /// An output that takes what it is given when the test lets it, or fails.
    struct Scripted {
        turns: mpsc::Receiver<io::Result<()>>,
        taken: mpsc::Sender<String>,
    }

    impl Write for Scripted {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // A test that has ended lets everything pass.
            self.turns.recv().unwrap_or(Ok(()))?;
            self.taken.send(String::from_utf8(text.to_vec()).unwrap()).ok();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (Arc<Lines>, mpsc::Sender<io::Result<()>>, mpsc::Receiver<String>) {
        let ((turn, turns), (taken, outcome)) = (mpsc::channel(), mpsc::channel());
        (Lines::start(Scripted { turns, taken }, report), turn, outcome)
    }

    #[test]
    fn a_blocked_output_keeps_nobody_waiting_and_what_does_not_fit_is_counted_and_reported() {
        let (lines, turn, taken) = scripted();
        let line = format!("{}\n", "x".repeat(1023));
        // One batch may be with the writer already, so that twice the memory suffices and thrice does not.
        let pushed = 3 * WAITING_BYTES_MAX / line.len();
        (0..pushed).for_each(|_| lines.push(line.as_bytes()));
        let dropped = lines.dropped();
        assert!((pushed / 3..pushed).contains(&usize::try_from(dropped).unwrap()), "{dropped}");
        drop(turn);
        lines.flush(PATIENCE);
        let written: String = taken.try_iter().collect();
        assert_eq!(
            written.lines().filter(|line| line.starts_with('x')).count() as u64 + dropped,
            pushed as u64
        );
        assert!(written.contains(&format!("dropped {dropped}\n")));
        lines.push(b"more\n");
        lines.flush(PATIENCE);
        assert_eq!(taken.try_iter().collect::<String>(), "more\n");
    }

    #[test]
    fn a_closed_output_costs_lines_and_nothing_else() {
        let (lines, turn, taken) = scripted();
        turn.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        lines.push(b"lost\n");
        lines.flush(PATIENCE);
        assert_eq!(lines.dropped(), 1);
        turn.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        turn.send(Ok(())).unwrap();
        lines.push(b"kept\n");
        lines.flush(PATIENCE);
        assert_eq!(taken.try_iter().collect::<String>(), "kept\ndropped 1\n");
        assert_eq!(lines.dropped(), 1);
    }
}
