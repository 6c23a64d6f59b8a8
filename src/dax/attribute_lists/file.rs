//! The file of attribute lists: records that are only ever added.
//!
//! It begins with a line of text that has the version. A record is the length of its content and a CRC-32 of length and content,
//! 4 bytes each, and the content: the id in 8 bytes, and each name after its length in 4. All numbers are little-endian.
//! Whatever is no whole record at the end is the rest of a write that a crash has cut off, and is dropped. What is damaged before
//! that is passed over: the records behind it are found by their form, their checksum, and their ids, which are made from the names.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{AttributeList, id_of};

const TITLE: &[u8] = b"nearside dax attribute lists ";
const HEADER: &[u8] = b"nearside dax attribute lists 1\n";

/// The length and the checksum before each content.
const PREFIX_BYTES: usize = 8;

/// A file longer than this is not read: all limits are far below.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The fewest and the most bytes of a record's content: one name of a letter, and as many as an item has.
const CONTENT_BYTES: std::ops::RangeInclusive<usize> = 13..=1 << 20;

/// How often lists of different names had the same id before a list got one that was free, as far as records behind a damage are known
/// by it.
const ATTEMPTS_KNOWN: u32 = 4;

/// Why a file of attribute lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened, read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another process has it open.
    #[error("another process has the file open")]
    InUse,
    /// It is something else.
    #[error("the file is not one of attribute lists")]
    Foreign,
    /// It has a version that this program does not know.
    #[error(
        "the file has version {0} of attribute lists, and this program reads version 1 only; use the program that wrote it"
    )]
    Version(String),
}

/// The file, open and locked, with whole records only.
#[derive(Debug)]
pub(super) struct ListFile {
    file: File,
    /// Where the next record goes.
    length: u64,
    /// Something may stand behind that: a write has failed.
    is_torn: bool,
}

/// The lists of a file: their ids and names.
pub(super) type Records = Vec<(u64, Vec<String>)>;

/// What a file was found to have.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// All whole records.
    pub(super) records: Records,
    /// How many bytes between them are damaged. They stay in the file.
    pub(super) damaged_bytes: u64,
    /// How many bytes behind them were dropped.
    pub(super) lost_bytes: u64,
}

impl ListFile {
    /// Opens or creates it, and gives what it has.
    pub(super) fn open(path: &Path) -> Result<(Self, Content), OpenError> {
        // Names of attributes are for nobody but the user of the process.
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse,
            TryLockError::Error(error) => error.into(),
        })?;
        if file.metadata()?.len() > FILE_BYTES_MAX {
            return Err(OpenError::Foreign);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.len() < HEADER.len() && HEADER.starts_with(&bytes) {
            return Ok((Self::create(file, path)?, Content::default()));
        }
        let rest = behind_header(&bytes)?;
        let content = read_content(rest);
        let length = bytes.len() as u64 - content.lost_bytes;
        let mut file = Self { file, length, is_torn: content.lost_bytes > 0 };
        file.mend()?;
        Ok((file, content))
    }

    fn create(mut file: File, path: &Path) -> io::Result<Self> {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(HEADER)?;
        file.sync_all()?;
        // The name of the file must outlive a crash as its content does.
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, length: HEADER.len() as u64, is_torn: false })
    }

    /// Takes away what stands behind the last whole record.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Adds lists. When it returns, they outlive a crash.
    ///
    /// # Errors
    /// Of the file. Then none of them counts as added, and the next call begins by taking away what is left of them.
    pub(super) fn append(&mut self, lists: &[Arc<AttributeList>]) -> io::Result<()> {
        let mut records = Vec::new();
        for list in lists {
            write_record(list, &mut records);
        }
        if records.is_empty() {
            return Ok(());
        }
        self.mend()?;
        self.is_torn = true;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&records)?;
        self.file.sync_data()?;
        self.length += records.len() as u64;
        self.is_torn = false;
        Ok(())
    }
}

/// What follows the header.
fn behind_header(bytes: &[u8]) -> Result<&[u8], OpenError> {
    if let Some(rest) = bytes.strip_prefix(HEADER) {
        return Ok(rest);
    }
    let version = bytes.strip_prefix(TITLE).ok_or(OpenError::Foreign)?;
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match version.get(digits) {
        Some(b'\n') if (1..10).contains(&digits) => {
            Err(OpenError::Version(String::from_utf8_lossy(&version[..digits]).into_owned()))
        }
        _ => Err(OpenError::Foreign),
    }
}

pub(super) fn write_record(list: &AttributeList, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    out.extend_from_slice(&list.id().to_le_bytes());
    for name in list.names() {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    let length = (out.len() - begin - PREFIX_BYTES) as u32;
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(length, &out[begin + PREFIX_BYTES..]);
    out[begin + 4..begin + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// The length is under the checksum, too: zeros, which a crash may leave at the end of a file, are no record.
fn checksum(length: u32, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// The whole records of what follows the header.
fn read_content(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let mut rest = bytes;
    loop {
        while let Some((record, behind)) = read_record(rest) {
            content.records.push(record);
            rest = behind;
        }
        let Some(damaged) = (1..rest.len()).find(|at| begins_record(&rest[*at..])) else { break };
        content.damaged_bytes += damaged as u64;
        rest = &rest[damaged..];
    }
    content.lost_bytes = rest.len() as u64;
    content
}

/// True if what follows a damage is a record for certain. The form is looked at first: few bytes pass that are none.
fn begins_record(bytes: &[u8]) -> bool {
    let Some((length, rest)) = read_u32(bytes) else { return false };
    let fits = CONTENT_BYTES.contains(&(length as usize)) && rest.len() >= 4 + length as usize;
    let name = rest.get(12..).and_then(read_u32).filter(|_| fits);
    if name.is_none_or(|(name, _)| name as usize > length as usize - 12) {
        return false;
    }
    let Some(((id, names), _)) = read_record(bytes) else { return false };
    (0..ATTEMPTS_KNOWN).any(|attempt| id_of(&names, attempt) == id)
}

type Record = (u64, Vec<String>);

fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = read_u32(bytes)?;
    let (expected, rest) = read_u32(rest)?;
    let (content, behind) = rest.split_at_checked(length as usize)?;
    if checksum(length, content) != expected {
        return None;
    }
    let (id, mut rest) = content.split_first_chunk()?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (length, name) = read_u32(rest)?;
        let (name, others) = name.split_at_checked(length as usize)?;
        names.push(String::from_utf8(name.to_vec()).ok()?);
        rest = others;
    }
    Some(((u64::from_le_bytes(*id), names), behind))
}

fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}
