//! What may stand in the way of opening a data directory, and the lock that keeps other processes out of it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file with all data.
pub(in crate::local) const DATA_FILE: &str = "nearside.redb";

/// The file that is locked as long as a process uses the directory.
const LOCK_FILE: &str = "nearside.lock";

/// Why a data directory was not opened. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or written.
    #[error("the data directory {} cannot be used: {source}", absolute(path).display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the data directory {} is in use by another process", absolute(path).display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It is there, without a data file.
    #[error("the data directory {} exists but holds no tables (no {DATA_FILE})", absolute(path).display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "the data directory {} has format {found}, written by a newer version; this one reads up to {known}",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The last format that this version knows.
        known: u64,
    },
    /// The data file is not one, or is damaged.
    #[error(
        "the data file {} is damaged or no data file: {reason}; restore a copy, or run `nearside local verify {}`",
        absolute(path).display(),
        absolute(path.parent().unwrap_or(path)).display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A data directory that no other process can use as long as this lives. A store takes its own; this is for who keeps stores
/// below one.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, which is made when it is missing.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be used, or another process does.
    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        create_private(directory)
            .map_err(|source| OpenError::Unusable { path: directory.to_owned(), source })?;
        Ok(Self { _file: lock(directory)? })
    }

    /// The same, without making anything: `None` when no process has ever used the directory.
    ///
    /// # Errors
    /// As [`DirectoryLock::take`].
    pub fn take_existing(directory: &Path) -> Result<Option<Self>, OpenError> {
        Ok(lock_existing(directory)?.map(|file| Self { _file: file }))
    }
}

/// Creates a directory, and those above it, for the user of the process alone. One that exists stays as it is.
pub(super) fn create_private(directory: &Path) -> io::Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if directory.is_file() => {
            io::Error::new(io::ErrorKind::NotADirectory, "it is a file, not a directory")
        }
        _ => error,
    })
}

/// The whole path, which a person finds from any directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What opens files for reading and writing, and creates them for the user of the process alone.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Takes the directory for this process.
pub(super) fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
    let file = private().create(true).truncate(false).open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Takes the directory, when a process has ever used it.
pub(super) fn lock_existing(directory: &Path) -> Result<Option<File>, OpenError> {
    let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
    let file = match File::open(directory.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}
