//! Packed indices.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Reads the file `path`, unpacked as the end of `name` says: `.xz`, `.zst`, `.gz`, or else not at all.
pub(super) fn open(path: &Path, name: &str) -> io::Result<Box<dyn Read>> {
    let reader = BufReader::with_capacity(128 << 10, File::open(path)?);
    Ok(match name.rsplit_once('.').map(|(_, format)| format) {
        Some("xz") => Box::new(xz2::bufread::XzDecoder::new(reader)),
        Some("zst") => Box::new(zstd::Decoder::with_buffer(reader)?),
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        _ => Box::new(reader),
    })
}
