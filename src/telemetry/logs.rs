//! Log lines on the standard error, as text or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Clone, Debug)]
pub struct LogSettings<'a> {
    /// A level or a filter of `tracing`.
    pub level: &'a str,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Changes the level of the log lines that are written.
pub struct LogLevel(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl LogLevel {
    /// Writes log lines of this level from now on.
    ///
    /// # Errors
    /// Words that say what is wrong with the level.
    pub fn set(&self, level: &str) -> Result<(), String> {
        (self.0)(filter(level)?)
    }
}

/// Sends log lines to the standard error from now on, for the whole process.
///
/// # Errors
/// Words that say what is wrong with the level, or that logging was set up before.
pub fn init_logs(settings: &LogSettings<'_>) -> Result<LogLevel, String> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(settings.level)?)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(is_read_by_a_person())
        // It would tell of a closed standard error on the standard error, and panic because that is closed.
        .log_internal_errors(false);
    if settings.json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        builder.try_init().map_err(|error| error.to_string())?;
        return Ok(LogLevel(Box::new(move |filter| {
            handle.reload(filter).map_err(|error| error.to_string())
        })));
    }
    let builder = builder.with_filter_reloading();
    let handle = builder.reload_handle();
    builder.try_init().map_err(|error| error.to_string())?;
    Ok(LogLevel(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))))
}

/// True on a terminal, unless colours are not wanted there.
fn is_read_by_a_person() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|error| format!("log.level: {error}"))
}
