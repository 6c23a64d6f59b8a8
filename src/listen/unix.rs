//! A Unix socket: a file that only its owner may connect to, from its first moment to its last.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

/// The socket's file. It is removed with this, unless another process has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and number.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|about| (about.dev(), about.ino()) == self.identity) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Listens on a socket at that path. The file that a dead process has left there is replaced.
///
/// # Errors
/// Those of the system; and if a process listens there, or what is there is no socket.
pub(super) fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // One process at a time looks at what is there and replaces it. A directory that may not be read cannot be locked.
    let locked = File::open(directory).ok();
    if let Some(directory) = &locked {
        directory.lock()?;
    }
    check_free(path)?;
    // It is bound where nobody else can reach it, because the mode of a socket is the process's default at first. Short, since
    // the whole path may have 107 bytes.
    let private = Private::new(directory)?;
    let bound = private.0.join("s");
    let listener = UnixListener::bind(&bound)?;
    fs::set_permissions(&bound, Permissions::from_mode(0o600))?;
    let about = fs::symlink_metadata(&bound)?;
    fs::rename(&bound, path)?;
    let file = SocketFile { path: path.to_owned(), identity: (about.dev(), about.ino()) };
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

/// A directory that is removed with this.
struct Private(PathBuf);

impl Private {
    fn new(beside: &Path) -> io::Result<Self> {
        let name = format!(".{:06x}", fastrand::u32(..1 << 24));
        let directory = beside.join(name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Whatever is still in it was not moved to its place.
        fs::remove_file(self.0.join("s")).ok();
        fs::remove_dir(&self.0).ok();
    }
}

/// # Errors
/// If nothing may be put there.
fn check_free(path: &Path) -> io::Result<()> {
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    if !about.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    // A datagram has no way into a socket for streams, so this neither waits nor is it a connection to a process that is there.
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_its_owners_alone_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nearside.sock");
        let (listener, file) = listen(&path).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600, "{mode:o}");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "only the socket is there");
        let error = listen(&path).unwrap_err();
        assert!(error.to_string().contains("another process listens there"), "{error}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one has stayed");
        drop((listener, file));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn what_a_dead_process_has_left_is_replaced_and_other_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nearside.sock");
        // A listener that ends without its file's end, as a process that is killed.
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err() && path.exists());
        let (first, old_file) = listen(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        // The end of one whose file was replaced leaves the other's.
        drop(first);
        let (_second, _file) = listen(&path).unwrap();
        drop(old_file);
        assert!(UnixStream::connect(&path).is_ok());
        let text = directory.path().join("text");
        fs::write(&text, "kept").unwrap();
        assert!(listen(&text).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read(&text).unwrap(), b"kept");
        assert!(listen(&directory.path().join("none/s")).is_err());
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(100));
        fs::create_dir(&deep).unwrap();
        assert!(listen(&deep.join("s")).is_err());
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }
}
