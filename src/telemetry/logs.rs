//! Log lines on the standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Clone, Debug)]
pub struct LogSettings<'a> {
    /// A level or a filter of `tracing`.
    pub level: &'a str,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Sends log lines to the standard error from now on, for the whole process.
///
/// # Errors
/// Words that say what is wrong with the level, or that logging was set up before.
pub fn init_logs(settings: &LogSettings<'_>) -> Result<(), String> {
    let filter = EnvFilter::try_new(settings.level).map_err(|error| format!("log.level: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would tell of a closed standard error on the standard error, and panic because that is closed.
        .log_internal_errors(false);
    let outcome = if settings.json { builder.json().try_init() } else { builder.try_init() };
    outcome.map_err(|error| error.to_string())
}
