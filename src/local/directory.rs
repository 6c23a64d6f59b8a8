//! Where in a data directory the stores lie: one in it, or one below it for each region and access key that are kept apart.
//!
//! The two layouts do not meet, so a directory may hold both, each served when it is asked for. A store of a region and an
//! access key is in `REGION/HASH`; the hash is of both, because an access key may be anything, is a credential, and names
//! that differ only in case may be one on the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::store::DATA_FILE;

/// True if the directory itself has a store.
///
/// # Errors
/// [`io::Error`] when the system does not tell.
pub fn has_store(directory: &Path) -> io::Result<bool> {
    directory.join(DATA_FILE).try_exists()
}

/// The directory of a region's store. `region` must be letters, digits, `-` and `_`; `hash` is hexadecimal.
pub fn store_below(directory: &Path, region: &str, hash: &str) -> PathBuf {
    directory.join(region.to_ascii_lowercase()).join(hash)
}

/// The directories of all stores below a data directory, in the order of their names.
///
/// # Errors
/// [`io::Error`] when a directory cannot be read. One that is missing has none.
pub fn stores_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut stores = Vec::new();
    for region in directories_in(directory)? {
        for store in directories_in(&region)? {
            if has_store(&store)? {
                stores.push(store);
            }
        }
    }
    stores.sort();
    Ok(stores)
}

fn directories_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}
