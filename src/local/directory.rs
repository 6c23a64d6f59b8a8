//! Where in a data directory the stores lie: one in it, or one below it for each region and access key that are kept apart.
//!
//! The two layouts do not meet, so a directory may hold both, each served when it is asked for. A store of a region and an
//! access key is in `REGION/HASH`; the hash is of both, because an access key may be anything, is a credential, and names
//! that differ only in case may be one on the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::store::DATA_FILE;

/// How many digits a hash has in the name of a directory.
const HASH_DIGITS: usize = 32;

/// True if the directory itself has a store.
///
/// # Errors
/// [`io::Error`] when the system does not tell.
pub fn has_store(directory: &Path) -> io::Result<bool> {
    directory.join(DATA_FILE).try_exists()
}

/// The directory of a store of a region and an access key, which have that hash. `region` must be letters, digits, `-` and
/// `_`.
pub fn store_below(directory: &Path, region: &str, hash: u128) -> PathBuf {
    directory.join(region.to_ascii_lowercase()).join(format!("{hash:032x}"))
}

/// The directories of all stores below a data directory, in the order of their names.
///
/// # Errors
/// [`io::Error`] when a directory cannot be read. One that is missing has none.
pub fn stores_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut stores = Vec::new();
    for region in directories_in(directory, is_region)? {
        for store in directories_in(&region, is_hash)? {
            if has_store(&store)? {
                stores.push(store);
            }
        }
    }
    stores.sort();
    Ok(stores)
}

fn is_region(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn is_hash(name: &str) -> bool {
    name.len() == HASH_DIGITS && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The directories with such names. Others are not looked into: a volume has a `lost+found` that nobody may read.
fn directories_in(directory: &Path, is_ours: fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    let is_ours = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_ours);
    Ok(paths.into_iter().filter(|path| is_ours(path) && path.is_dir()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stores_of_regions_and_access_keys_are_found_and_only_their_directories_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let stores = [store_below(root, "EU-west_1", 7), store_below(root, "local", u128::MAX)];
        let others = ["lost+found/x", "local/backup", "local/00000000000000000000000000000007/deeper"];
        for place in stores.iter().cloned().chain(others.map(|other| root.join(other))) {
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join(DATA_FILE), "").unwrap();
        }
        fs::write(root.join(DATA_FILE), "").unwrap();
        // A file where a directory could be.
        fs::write(root.join("us-east-1"), "").unwrap();
        assert_eq!(stores_below(root).unwrap(), stores);
        assert!(stores[0].ends_with("eu-west_1/00000000000000000000000000000007"));
        assert!(stores_below(&root.join("missing")).unwrap().is_empty());
    }
}
