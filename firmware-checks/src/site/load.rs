//! Reading `site.toml`: strictly, and whole before anything is believed.

use std::path::{Path, PathBuf};

use super::redact::redact;
use super::{CONFIGURATION, Site, rules};
use crate::document::{self, Document, nearest};

/// More than any `site.toml` needs; what is larger is not one.
pub(super) const MOST: u64 = 1 << 20;

/// Why there is no usable configuration in a folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder holds no `site.toml`.
    #[error("{} holds no {CONFIGURATION}{}", folder.display(), hint(near.as_deref()))]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// A file there whose name is nearly right, such as `site.toml.txt`.
        near: Option<String>,
    },
    /// A file is far larger than its kind ever is.
    #[error("{} is {bytes} bytes long; expected at most {MOST}: this is not such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
    },
    /// `site.toml` can't be read, or something in it is wrong.
    #[error(transparent)]
    Document(#[from] document::Error),
}

fn hint(near: Option<&str>) -> String {
    near.map(|name| format!("\nhint: `{name}` lies there: rename it to {CONFIGURATION}")).unwrap_or_default()
}

/// The configuration in `folder`, judged whole: shape, names, addresses, keys and hash. Certificates are judged by the
/// checks `tls.*`, not here.
///
/// # Errors
/// [`Error`]: everything that is wrong, by line and column. A password never shows in it.
pub fn load(folder: &Path) -> Result<Site, Error> {
    let path = folder.join(CONFIGURATION);
    match std::fs::metadata(&path) {
        Ok(found) if found.len() > MOST => return Err(Error::TooLarge { path, bytes: found.len() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing { folder: folder.to_path_buf(), near: nearly(folder) });
        }
        _ => {}
    }
    let bytes = std::fs::read(&path).map_err(|source| document::Error::Read { path: path.clone(), source })?;
    parse(&path, &bytes)
}

/// The configuration that `bytes` stand for; `path` is what messages call it.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Site, Error> {
    // Notepad starts a file with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let judged = Document::from_bytes(path, bytes).and_then(|document| document.judge(rules::problems));
    judged.map_err(|error| match error {
        document::Error::Invalid(mut all) => {
            let text = String::from_utf8_lossy(bytes);
            all.0.iter_mut().for_each(|told| redact(told, &text));
            document::Error::Invalid(all).into()
        }
        other => other.into(),
    })
}

/// A file in `folder` that was perhaps meant to be `site.toml`: Windows hides what follows the last dot.
fn nearly(folder: &Path) -> Option<String> {
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let longer = names.iter().find(|name| name.to_lowercase().starts_with("site.toml"));
    longer.cloned().or_else(|| nearest(CONFIGURATION, names.iter().map(String::as_str)).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("site.toml"), text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_the_nearest_valid_one() {
        let told = refused("hostname = \"rack7\"\n\n[network]\ninterfaec = \"eth0\"\n");
        assert!(told.starts_with("site.toml:4:1: unknown key `interfaec`"), "{told}");
        assert!(told.contains("did you mean `interface`?"), "{told}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let told =
            refused("hostname = 7\nnames = \"a\"\n[network.static]\naddresses = [\"10.0.0.1\"]\ngatewy = \"x\"\n");
        for place in ["site.toml:1:12", "site.toml:2:9", "site.toml:5:1"] {
            assert!(told.contains(place), "{place} in {told}");
        }
    }

    #[test]
    fn a_file_from_windows_is_read() {
        let site =
            parse(Path::new("site.toml"), b"\xef\xbb\xbfhostname = \"rack7\"\r\n[time]\r\nntp = [\"10.0.0.1\"]\r\n");
        assert_eq!(site.unwrap().time.ntp, ["10.0.0.1"]);
    }

    #[test]
    fn a_password_in_plain_text_is_refused_and_never_shown() {
        for text in [
            "[admin]\npassword_hash = \"hunter2\"\n",
            "[admin]\npassword_hash = hunter2\n",
            "[admin]\npassword = \"hunter2\"\n",
            "admin = { password_hash = \"hunter2\" }\n",
        ] {
            let told = refused(text);
            assert!(!told.contains("hunter2"), "{told}");
            assert!(told.contains("password") && told.contains("(not shown)"), "{told}");
        }
    }

    #[test]
    fn a_missing_file_names_the_one_that_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(load(folder.path()), Err(Error::Missing { near: None, .. })));
        std::fs::write(folder.path().join("site.toml.txt"), "").unwrap();
        let told = load(folder.path()).unwrap_err().to_string();
        assert!(told.contains("hint: `site.toml.txt` lies there"), "{told}");
    }

    #[test]
    fn a_file_of_gigabytes_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join(CONFIGURATION)).unwrap().set_len(1 << 32).unwrap();
        assert!(matches!(load(folder.path()), Err(Error::TooLarge { .. })));
    }
}
