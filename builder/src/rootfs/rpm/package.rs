//! An RPM package, version 3 and 4 (`docs/manual/format_v4.md` of rpm's source): a lead, a header of signatures, the header, the payload.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::archive::rpm_header::{Header, Headers};

const PAYLOADFORMAT: u32 = 1124;
const PAYLOADCOMPRESSOR: u32 = 1125;

/// A package file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("reading the package {rpm}: {source}")]
    Read {
        /// The `.rpm`.
        rpm: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not laid out as rpm's manual says.
    #[error("{rpm} is not an RPM package that can be used: {reason}")]
    Format {
        /// The `.rpm`.
        rpm: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It holds something that a package has no business with.
    #[error("{rpm} holds `{entry}`, {reason}; nothing of it was kept outside of the root folder")]
    Refused {
        /// The `.rpm`.
        rpm: PathBuf,
        /// The entry of its payload.
        entry: PathBuf,
        /// Why that is refused.
        reason: &'static str,
    },
    /// One of its files could not be written.
    #[error("extracting `{entry}` of {rpm}: {source}")]
    Write {
        /// The `.rpm`.
        rpm: PathBuf,
        /// The entry of its payload.
        entry: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Gives `use_it` the header of `rpm` and its uncompressed payload.
pub(super) fn with_payload<T>(
    rpm: &Path,
    use_it: impl FnOnce(&Header, &mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let read = |source| Error::Read { rpm: rpm.to_owned(), source };
    let format = |reason: String| Error::Format { rpm: rpm.to_owned(), reason };
    let mut file = BufReader::with_capacity(1 << 16, File::open(rpm).map_err(read)?);
    let header = Headers::read(&mut file).map_err(|error| format(error.to_string()))?.main;
    match header.text(PAYLOADFORMAT) {
        None | Some("cpio") => {}
        Some(other) => return Err(format(format!("its payload is `{other}`, expected `cpio`"))),
    }
    let mut payload: Box<dyn Read + '_> = match header.text(PAYLOADCOMPRESSOR) {
        None | Some("gzip") => Box::new(flate2::read::GzDecoder::new(file)),
        Some("xz") => Box::new(xz2::read::XzDecoder::new(file)),
        Some("zstd") => Box::new(zstd::Decoder::with_buffer(file).map_err(read)?),
        Some("none") => Box::new(file),
        Some(other) => return Err(format(format!("its payload is compressed by `{other}`, not gzip, xz or zstd"))),
    };
    use_it(&header, &mut payload)
}
