//! A Debian binary package (`deb(5)`): an ar archive with `debian-binary`, `control.tar` and `data.tar`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// A package file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("reading the package {deb}: {source}")]
    Read {
        /// The `.deb`.
        deb: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not laid out as `deb(5)` says.
    #[error("{deb} is not a Debian package that can be used: {reason}")]
    Format {
        /// The `.deb`.
        deb: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It holds something that a package has no business with.
    #[error("{deb} holds `{entry}`, {reason}; nothing of it was kept outside of the root folder")]
    Refused {
        /// The `.deb`.
        deb: PathBuf,
        /// The entry of its archive.
        entry: PathBuf,
        /// Why that is refused.
        reason: &'static str,
    },
    /// The links of merged `/usr` could not be made.
    #[error("making the links of merged /usr in {into}: {source}")]
    Merge {
        /// The root folder.
        into: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One of its files could not be written.
    #[error("extracting `{entry}` of {deb}: {source}")]
    Write {
        /// The `.deb`.
        deb: PathBuf,
        /// The entry of its archive.
        entry: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Which of the two archives inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Control,
    Data,
}

impl Member {
    pub(super) fn stem(self) -> &'static str {
        match self {
            Self::Control => "control.tar",
            Self::Data => "data.tar",
        }
    }
}

/// Gives `use_it` the uncompressed tar archive of `deb` that `member` names.
pub(super) fn with_member<T>(
    deb: &Path,
    member: Member,
    use_it: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let read = |source| Error::Read { deb: deb.to_owned(), source };
    let format = |reason: String| Error::Format { deb: deb.to_owned(), reason };
    let mut archive = ar::Archive::new(BufReader::with_capacity(1 << 16, File::open(deb).map_err(read)?));
    let mut seen_version = false;
    while let Some(entry) = archive.next_entry() {
        let mut entry = entry.map_err(|error| format(error.to_string()))?;
        let name = String::from_utf8_lossy(entry.header().identifier()).trim_end_matches('/').to_owned();
        if !seen_version {
            let mut version = String::new();
            entry.read_to_string(&mut version).map_err(read)?;
            if name != "debian-binary" || !version.starts_with("2.") {
                return Err(format(format!("its first member is `{name}`, not `debian-binary` of version 2")));
            }
            seen_version = true;
        } else if let Some(ending) = name.strip_prefix(member.stem()) {
            let mut tar: Box<dyn Read + '_> = match ending {
                "" => Box::new(entry),
                ".gz" => Box::new(flate2::read::GzDecoder::new(entry)),
                ".xz" => Box::new(xz2::read::XzDecoder::new(entry)),
                ".zst" => Box::new(zstd::Decoder::new(entry).map_err(read)?),
                _ => return Err(format(format!("`{name}` is neither plain nor compressed by gzip, xz or zstd"))),
            };
            return use_it(&mut tar);
        }
    }
    Err(format(format!("it has no `{}`", member.stem())))
}
