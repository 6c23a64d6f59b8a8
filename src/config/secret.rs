//! Files with one secret in them: the fleet's, the password of its bus, those of callers' keys, and the admin listener's token.
//!
//! A secret is never logged and never printed. A file that others may read is rejected if it is the fleet's, and a warning
//! otherwise. The rule is the one that PostgreSQL's clients have for a private key: its owner alone may read it, or, if the
//! owner is root, its group as well. Kubernetes mounts secrets in the latter way (mode 0440) when a pod has an `fsGroup`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A fleet's secret is no shorter.
const SECRET_BYTES_MIN: usize = 32;

/// A token is no shorter.
const TOKEN_CHARS_MIN: usize = 16;

/// The most bytes of a file with a secret.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// A secret. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// What must not be logged.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes(..)")
    }
}

/// Reads a fleet's secret: at least 32 bytes, a line end behind them left out. May wait for a disk.
///
/// # Errors
/// Words that name the file, what is wrong with it, and the remedy.
pub fn read_secret(path: &Path) -> Result<SecretBytes, String> {
    let secret = read(path)?;
    match secret.0.len() {
        SECRET_BYTES_MIN.. => Ok(secret),
        bytes => Err(format!(
            "{} has {bytes} bytes, and a fleet's secret at least {SECRET_BYTES_MIN}; make one with: openssl rand -hex 32",
            path.display()
        )),
    }
}

/// Reads a password: one line of text, its end left out. May wait for a disk.
///
/// # Errors
/// Words that name the file, what is wrong with it, and the remedy.
pub fn read_password(path: &Path) -> Result<SecretBytes, String> {
    let password = read(path)?;
    let is_line = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    match std::str::from_utf8(password.expose()).is_ok_and(is_line) {
        true => Ok(password),
        false => Err(format!("{} is not a password: one line of text in UTF-8", path.display())),
    }
}

/// Reads the secret of a caller's key, and a warning if others may read the file too. May wait for a disk.
///
/// # Errors
/// Words that name the file, and what is wrong with it.
pub(super) fn read_key_secret(path: &Path) -> Result<(SecretBytes, Option<String>), String> {
    read_open(path)
}

/// Reads the token of the admin listener, and a warning if others may read the file too: at least 16 characters of one word. May
/// wait for a disk.
///
/// # Errors
/// Words that name the file, what is wrong with it, and the remedy.
pub(super) fn read_token(path: &Path) -> Result<(SecretBytes, Option<String>), String> {
    let (token, open) = read_open(path)?;
    let remedy = "make one with: openssl rand -hex 32";
    let wrong = match token.expose() {
        [] => "is empty".to_owned(),
        word if !word.iter().all(u8::is_ascii_graphic) => "is not one word in ASCII".to_owned(),
        word if word.len() < TOKEN_CHARS_MIN => {
            format!("has {} characters, and a token at least {TOKEN_CHARS_MIN}", word.len())
        }
        _ => return Ok((token, open)),
    };
    Err(format!("{} {wrong}; {remedy}", path.display()))
}

/// Reads a private key, and a warning if others may read the file too. May wait for a disk.
///
/// # Errors
/// Words that name the file, and what is wrong with it.
pub fn read_private_key(path: &Path) -> Result<(SecretBytes, Option<String>), String> {
    read_open(path)
}

/// The bytes of a file that nobody else may read, without one line end behind them.
fn read(path: &Path) -> Result<SecretBytes, String> {
    match read_open(path)? {
        (secret, None) => Ok(secret),
        (_, Some(open)) => Err(open),
    }
}

/// The bytes of a file without one line end behind them, and who else may read it, with the remedy.
fn read_open(path: &Path) -> Result<(SecretBytes, Option<String>), String> {
    let cannot = |reason: &str| format!("cannot read {}: {reason}", path.display());
    let no_file = || cannot("it is not a regular file");
    // Looked at before it is opened: a pipe would wait for its writer.
    let about = std::fs::metadata(path).map_err(|error| cannot(&error.to_string()))?;
    if !about.is_file() {
        return Err(no_file());
    }
    let file = File::open(path).map_err(|error| cannot(&error.to_string()))?;
    let about = file.metadata().map_err(|error| cannot(&error.to_string()))?;
    if !about.is_file() {
        return Err(no_file());
    }
    let (name, mode) = (path.display().to_string(), about.mode() & 0o777);
    let remedy = remedy(about.uid(), mode, rustix::process::geteuid().as_raw());
    let open = remedy.map(|remedy| {
        let remedy = remedy.replace("FILE", &name);
        format!("{name} is open to other users (mode {mode:04o}); {remedy}")
    });
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot(&error.to_string()))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(cannot("it is larger than 64 KiB"));
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok((SecretBytes(text.strip_suffix(b"\r").unwrap_or(text).into()), open))
}

/// The remedy if too many may read a file or change it, with FILE for its name.
fn remedy(owner: u32, mode: u32, own: u32) -> Option<&'static str> {
    const ROOT: u32 = 0;
    let of_others = if owner == ROOT { 0o037 } else { 0o077 };
    (mode & of_others != 0).then_some(match owner == own {
        true => "run: chmod 600 FILE",
        false => "run: chmod 640 FILE (in Kubernetes: defaultMode 0440 and an fsGroup)",
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn with(&self, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
            let path = self.0.path().join(format!("secret-{}", fastrand::u64(..)));
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    #[test]
    fn a_line_end_is_no_part_of_a_secret() {
        let files = Files(tempfile::tempdir().unwrap());
        let text = "0123456789abcdef0123456789abcdef";
        for end in ["", "\n", "\r\n"] {
            let secret = read_secret(&files.with(format!("{text}{end}"), 0o600)).unwrap();
            assert_eq!(secret.expose(), text.as_bytes());
            assert_eq!(format!("{secret:?}"), "SecretBytes(..)");
        }
        let two = read_secret(&files.with(format!("{text}\n\n"), 0o400)).unwrap();
        assert_eq!(two.expose().len(), 33);
    }

    #[test]
    fn a_secret_that_is_short_or_open_or_no_file_is_rejected_with_a_remedy() {
        let files = Files(tempfile::tempdir().unwrap());
        let error = |path: &Path| {
            let error = read_secret(path).unwrap_err();
            assert!(error.contains(&path.display().to_string()) && error.lines().count() == 1, "{error}");
            error
        };
        let short = error(&files.with(format!("{}\n", "s".repeat(31)), 0o600));
        assert!(short.contains("has 31 bytes") && short.contains("openssl rand -hex 32"), "{short}");
        let open = files.with("s".repeat(32), 0o644);
        assert!(error(&open).contains(&format!("(mode 0644); run: chmod 600 {}", open.display())));
        assert!(error(files.0.path()).ends_with("it is not a regular file"));
        assert!(error(&files.0.path().join("none")).contains("No such file"));
        assert!(error(&files.with([b's'; FILE_BYTES_MAX + 1], 0o600)).ends_with("larger than 64 KiB"));
    }

    #[test]
    fn a_password_is_one_line() {
        let files = Files(tempfile::tempdir().unwrap());
        assert_eq!(read_password(&files.with("p\n", 0o600)).unwrap().expose(), b"p");
        for content in [&b""[..], b"\n", b"a\nb", b"a\0", b"\xff"] {
            let error = read_password(&files.with(content, 0o600)).unwrap_err();
            assert!(error.ends_with("is not a password: one line of text in UTF-8"), "{error}");
        }
        assert!(read_password(&files.with("p", 0o644)).unwrap_err().contains("chmod 600"));
    }

    #[test]
    fn a_token_is_a_word_that_nobody_guesses() {
        let files = Files(tempfile::tempdir().unwrap());
        let (token, open) = read_token(&files.with("0123456789abcdef\n", 0o600)).unwrap();
        assert_eq!((token.expose(), open), (&b"0123456789abcdef"[..], None));
        let (_, open) = read_token(&files.with("0123456789abcdef", 0o644)).unwrap();
        assert!(open.unwrap().contains("is open to other users (mode 0644); run: chmod 600 "));
        for (content, words) in [
            ("\n", "is empty; make one with: openssl rand -hex 32"),
            ("0123456789 abcdef", "is not one word in ASCII"),
            ("0123456789abcde", "has 15 characters, and a token at least 16"),
        ] {
            let error = read_token(&files.with(content, 0o600)).unwrap_err();
            assert!(error.contains(words) && !error.contains("0123"), "{error}");
        }
        assert!(read_token(&files.0.path().join("none")).unwrap_err().contains("No such file"));
    }

    #[test]
    fn the_group_may_read_only_what_is_of_root() {
        let well = |owner, mode, own| remedy(owner, mode, own).is_none();
        // The last but one is a container that runs as root, with an fsGroup.
        for (owner, mode, own) in [
            (1000, 0o600, 1000),
            (1000, 0o400, 1000),
            (0, 0o440, 65532),
            (0, 0o640, 65532),
            (0, 0o440, 0),
            (1000, 0o600, 0),
        ] {
            assert!(well(owner, mode, own), "{owner} {mode:o} {own}");
        }
        for (owner, mode, own) in [
            (1000, 0o640, 1000),
            (1000, 0o604, 1000),
            (0, 0o444, 65532),
            (0, 0o660, 65532),
            (0, 0o644, 0),
            (1001, 0o640, 1000),
        ] {
            assert!(!well(owner, mode, own), "{owner} {mode:o} {own}");
        }
        assert_eq!(remedy(0, 0o644, 0), Some("run: chmod 600 FILE"));
        assert!(remedy(0, 0o644, 65532).unwrap().contains("defaultMode 0440 and an fsGroup"));
    }
}
