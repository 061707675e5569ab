//! A raw image in another format. What comes out follows from the image's bytes alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Artifact, Format, Kind, file, qcow2, vhd, zst};

/// Where the header of a GPT lies, and how it begins.
const GPT: (u64, &[u8; 8]) = (512, b"EFI PART");

/// An image could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The image can't be read.
    #[error("reading {path}: {source}")]
    Read {
        /// The image.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no raw image in the file.
    #[error(
        "{path} is {found}; expected a raw image of a disk\n  hint: name the .raw file that `firstlight build` made"
    )]
    NotRaw {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] file::Error),
}

/// Converts the raw image `raw` to `format`, as `out`.
///
/// # Errors
/// [`ConvertError`]; there is then no `out` that was not there before.
pub fn convert(raw: &Path, format: Format, out: &Path) -> Result<Artifact, ConvertError> {
    let told = |source| ConvertError::Read { path: raw.to_owned(), source };
    let image = File::open(raw).map_err(told)?;
    let not_raw = |found| Err(ConvertError::NotRaw { path: raw.to_owned(), found });
    match Kind::of(&image).map_err(told)?.0 {
        Kind::Qcow2 => return not_raw("a qcow2 image"),
        Kind::Vhd => return not_raw("a virtual hard disk"),
        Kind::Raw => {}
    }
    let mut signature = [0; GPT.1.len()];
    match image.read_exact_at(&mut signature, GPT.0) {
        Ok(()) if signature == *GPT.1 => {}
        Ok(()) => return not_raw("no disk with a GPT"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return not_raw("no disk with a GPT"),
        Err(error) => return Err(told(error)),
    }
    // None of the formats takes more than what is kept of the image.
    let kept = image.metadata().map_err(told)?.blocks() * 512;
    let written = file::begin(out, kept)?;
    let write = match format {
        Format::Qcow2 => qcow2::write,
        Format::Vhd => vhd::write,
        Format::Zst => zst::write,
    };
    Ok(file::publish(written, out, |to, reached| write(&image, to, reached))?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_raw_disk_is_refused_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path().join("image"), folder.path().join("out/image.qcow2"));
        for (content, found) in [
            (vec![0; 4096], "no disk with a GPT"),
            (b"short".to_vec(), "no disk with a GPT"),
            ([b"QFI\xfb".as_slice(), &[0; 600]].concat(), "a qcow2 image"),
            ([&[0; 600], b"conectix".as_slice(), &[0; 504]].concat(), "a virtual hard disk"),
        ] {
            fs::write(&path, content).unwrap();
            let error = convert(&path, Format::Qcow2, &out).unwrap_err().to_string();
            assert!(error.contains(&format!("is {found}; expected a raw image")), "{error}");
        }
        let error = convert(&folder.path().join("none"), Format::Vhd, &out).unwrap_err().to_string();
        assert!(error.starts_with("reading /"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
