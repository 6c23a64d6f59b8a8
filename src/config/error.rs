//! What is wrong with a configuration, and where it was written.

use std::fmt;

/// Where a value was written. A later one beats an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere: it is the default.
    #[default]
    Default,
    /// In a variable of the AWS SDKs that is only a default here.
    Ambient(String),
    /// On a line of the config file.
    File {
        /// The file; empty when it has no name.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// In a flag, named without its dashes.
    Flag(String),
}

impl Origin {
    /// The layer, whatever was written there: file, variables, flags.
    pub(super) fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Ambient(_) => 1,
            Self::File { .. } => 2,
            Self::Variable(_) => 3,
            Self::Flag(_) => 4,
        }
    }

    /// The line of a byte of a file's text.
    pub(super) fn in_file(name: &str, text: &str, position: usize) -> Self {
        let before = &text.as_bytes()[..position.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self::File { name: name.to_owned(), line }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { name, line } if name.is_empty() => write!(formatter, "line {line}"),
            Self::File { name, line } => write!(formatter, "{name}:{line}"),
            Self::Ambient(name) | Self::Variable(name) => formatter.write_str(name),
            Self::Flag(name) => write!(formatter, "--{name}"),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Default => formatter.write_str(&self.message),
            _ => write!(formatter, "{}: {}", self.origin, self.message),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the file, then variables, then flags; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<Fault>);

impl ConfigError {
    /// The error, if there are faults.
    pub(super) fn of(mut faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort_by(|a, b| a.origin.cmp(&b.origin));
        faults.dedup();
        Err(Self(faults))
    }

    /// What is wrong, each with its place.
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

/// One line for each fault.
impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.0.iter().enumerate() {
            let line_end = if nth == 0 { "" } else { "\n" };
            write!(formatter, "{line_end}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
