//! A data file under changes that it never gets.
//!
//! redb repairs a file that was not closed, and writes to it for that. Here it works on the file's bytes with everything it
//! writes kept in memory above them, so that what is found is what a start would find, and nothing has happened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, RepairSession, StorageBackend};

use super::{StoreError, panic_text};
use crate::telemetry::catch_panic;

/// The unit in which changes are kept.
const BLOCK_BYTES: usize = 4096;

/// A data file that is open without being changed.
///
/// Its end cannot end the process: redb may trip over what is damaged when it closes a file, too.
#[derive(Debug)]
pub(super) struct Untouched(Option<Database>);

/// Why a data file cannot be looked at.
enum Fault {
    /// It was not closed, and the opening was not to repair it.
    Unclosed,
    /// What it holds is damaged.
    Damaged(String),
}

impl Untouched {
    /// Opens a file, and repairs it if it was not closed. The inner error says what is wrong with what it holds.
    ///
    /// # Errors
    /// [`io::Error`] when the file cannot be read.
    pub(super) fn open(file: File) -> io::Result<Result<Self, String>> {
        Ok(open(Unchanged::over(file)?, |_| {}).map_err(|fault| match fault {
            Fault::Unclosed => "it was not closed".to_owned(),
            Fault::Damaged(reason) => reason,
        }))
    }

    /// Reads every page of the file and compares it with its checksum. Returns what is wrong.
    pub(super) fn check_pages(&mut self) -> Option<String> {
        let database = self.0.as_mut().expect("it is there until it is dropped");
        let checked = catch_panic(|| database.check_integrity());
        match checked {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some("pages do not match their checksums".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic_text(panic.as_ref()).to_owned()),
        }
    }

    /// Begins to read the state of the last commit.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        let database = self.0.as_ref().expect("it is there until it is dropped");
        database.begin_read().map_err(|error| StoreError(error.to_string()))
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        let database = self.0.take();
        // Nothing was written, so nothing is lost when it is not closed well.
        let _ = catch_panic(|| drop(database));
    }
}

/// What is wrong with the pages of a data file that was closed, if anything. One that was not is left to whoever opens it
/// next: redb then looks at every page by itself.
///
/// # Errors
/// [`io::Error`] when the file cannot be read.
pub(super) fn fault_of_closed(file: File) -> io::Result<Option<String>> {
    let opened = open(Unchanged::over(file)?, RepairSession::abort);
    Ok(match opened {
        Ok(mut file) => file.check_pages(),
        Err(Fault::Unclosed) => None,
        Err(Fault::Damaged(reason)) => Some(reason),
    })
}

fn open(backend: Unchanged, on_repair: fn(&mut RepairSession)) -> Result<Untouched, Fault> {
    if backend.changes().bytes == 0 {
        // redb would begin a new file in it.
        return Err(Fault::Damaged("it is empty".to_owned()));
    }
    // redb checks what it reads, but a damaged file may still break one of its own assumptions.
    let opened =
        catch_panic(|| Database::builder().set_repair_callback(on_repair).create_with_backend(backend));
    match opened {
        Ok(Ok(database)) => Ok(Untouched(Some(database))),
        Ok(Err(DatabaseError::RepairAborted)) => Err(Fault::Unclosed),
        Ok(Err(error)) => Err(Fault::Damaged(error.to_string())),
        Err(panic) => Err(Fault::Damaged(panic_text(panic.as_ref()).to_owned())),
    }
}

/// A file under changes that it never gets.
#[derive(Debug)]
struct Unchanged {
    file: File,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    bytes: u64,
    /// How much of the file still counts: what was once cut off is zero.
    file_bytes: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

impl Unchanged {
    fn over(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let changes = Changes { bytes, file_bytes: bytes, blocks: BTreeMap::new() };
        Ok(Self { file, changes: Mutex::new(changes) })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// A block as the file has it.
    fn unchanged(&self, block: u64, file: &File) -> io::Result<Box<[u8; BLOCK_BYTES]>> {
        let mut bytes = Box::new([0; BLOCK_BYTES]);
        let start = block * BLOCK_BYTES as u64;
        let there = usize::try_from(self.file_bytes.saturating_sub(start)).unwrap_or(BLOCK_BYTES);
        file.read_exact_at(&mut bytes[..there.min(BLOCK_BYTES)], start)?;
        Ok(bytes)
    }
}

/// The blocks that a stretch of the file touches: each with the part of it, and the part of the stretch.
fn blocks_of(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let inside = (at % BLOCK_BYTES as u64) as usize;
        let end = length.min(done + BLOCK_BYTES - inside);
        let part = done..end;
        done = end;
        Some((at / BLOCK_BYTES as u64, inside, part))
    })
}

impl StorageBackend for Unchanged {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        if offset + out.len() as u64 > changes.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, inside, part) in blocks_of(offset, out.len()) {
            let length = part.len();
            match changes.blocks.get(&block) {
                Some(bytes) => out[part].copy_from_slice(&bytes[inside..inside + length]),
                None => {
                    out[part].copy_from_slice(&changes.unchanged(block, &self.file)?[inside..inside + length])
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = self.changes();
        let kept = len.div_ceil(BLOCK_BYTES as u64);
        changes.blocks.retain(|block, _| *block < kept);
        let cut = (len % BLOCK_BYTES as u64) as usize;
        if let Some(bytes) = changes.blocks.get_mut(&(len / BLOCK_BYTES as u64)) {
            bytes[cut..].fill(0);
        }
        changes.file_bytes = changes.file_bytes.min(len);
        changes.bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        for (block, inside, part) in blocks_of(offset, data.len()) {
            let mut bytes = match changes.blocks.remove(&block) {
                Some(bytes) => bytes,
                None => changes.unchanged(block, &self.file)?,
            };
            bytes[inside..inside + part.len()].copy_from_slice(&data[part]);
            changes.blocks.insert(block, bytes);
        }
        changes.bytes = changes.bytes.max(offset + data.len() as u64);
        Ok(())
    }
}
