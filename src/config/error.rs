//! What is wrong with a config, and on which line.

/// What is wrong with a config, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line of the file, from 1; `None` when it is not from a file.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl ConfigError {
    /// What is wrong with something that no file says.
    pub(super) fn without_line(message: String) -> Self {
        Self { line: None, message }
    }

    /// What is wrong at a byte of a file's text.
    pub(super) fn at(text: &str, position: usize, message: String) -> Self {
        let before = &text.as_bytes()[..position.min(text.len())];
        Self { line: Some(before.iter().filter(|byte| **byte == b'\n').count() + 1), message }
    }

    /// Something that the surface has and this version lacks.
    pub(super) fn not_offered(what: &str, instead: &str) -> Self {
        Self { line: None, message: format!("{what} is not offered by this version yet; use {instead}") }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}
