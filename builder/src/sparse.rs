//! Files with holes, such as the raw images of disks: a hole is neither read nor written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// The smallest run of zeros that [`copy`] makes a hole of, in bytes.
const GRAIN: usize = 1 << 16;
static ZEROS: [u8; PIECE] = [0; PIECE];

/// Some bytes of a file.
struct Piece<'a> {
    /// Where they lie.
    at: u64,
    bytes: &'a [u8],
    /// Whether they are zeros that lie nowhere on the disk.
    is_hole: bool,
}

/// The SHA-256 of the bytes of `file`, zeros in holes included, and how many they are.
///
/// # Errors
/// It can't be read.
pub fn sha256(file: &File) -> io::Result<(u64, [u8; 32])> {
    let mut hash = Sha256::new();
    let size = read(file, |piece| {
        hash.update(piece.bytes);
        Ok(())
    })?;
    Ok((size, hash.finalize().into()))
}

/// Gives the file `to`, which is nothing but a hole as long as `from`, the bytes of `from`. Where the file system can share them,
/// nothing is copied; elsewhere zeros stay holes.
///
/// # Errors
/// Reading or writing failed.
pub fn copy(from: &File, to: &File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    read(from, |piece| {
        if piece.is_hole {
            return Ok(());
        }
        let mut at = piece.at;
        for grain in piece.bytes.chunks(GRAIN) {
            if grain != &ZEROS[..grain.len()] {
                to.write_all_at(grain, at)?;
            }
            at += grain.len() as u64;
        }
        Ok(())
    })
    .map(drop)
}

/// Calls `see` with all bytes of `file`, in their order. Gives their number.
fn read(file: &File, mut see: impl FnMut(&Piece<'_>) -> io::Result<()>) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        let data = next_data(file, at)?.unwrap_or(size).min(size);
        while at < data {
            let count = PIECE.min(usize::try_from(data - at).unwrap_or(PIECE));
            see(&Piece { at, bytes: &ZEROS[..count], is_hole: true })?;
            at += count as u64;
        }
        let hole = if at < size { next_hole(file, at)?.min(size) } else { size };
        while at < hole {
            let count = PIECE.min(usize::try_from(hole - at).unwrap_or(PIECE));
            file.read_exact_at(&mut buffer[..count], at)?;
            see(&Piece { at, bytes: &buffer[..count], is_hole: false })?;
            at += count as u64;
        }
    }
    Ok(size)
}

/// Where the next byte lies that is not in a hole, from `position` on; `None` where only a hole follows.
///
/// # Errors
/// The kernel does not say.
pub fn next_data(file: &File, position: u64) -> io::Result<Option<u64>> {
    match lseek(file, position.cast_signed(), Whence::SeekData) {
        Ok(data) => Ok(Some(data.cast_unsigned())),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where the next hole begins, from `position` on: at the latest at the end.
fn next_hole(file: &File, position: u64) -> io::Result<u64> {
    Ok(lseek(file, position.cast_signed(), Whence::SeekHole)?.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// A hole, a megabyte of written zeros, some bytes in and behind them, a hole, and bytes at the very end.
    fn patchy() -> (File, Vec<u8>) {
        let size = 5 * PIECE + 77;
        let mut bytes = vec![0; size];
        bytes[PIECE + 70_000] = b'x';
        bytes[size - 3..].copy_from_slice(b"end");
        let file = tempfile::tempfile().unwrap();
        file.set_len(size as u64).unwrap();
        file.write_all_at(&bytes[PIECE..2 * PIECE], PIECE as u64).unwrap();
        file.write_all_at(b"end", size as u64 - 3).unwrap();
        (file, bytes)
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes() {
        let (file, bytes) = patchy();
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(sha256(&file).unwrap(), (bytes.len() as u64, digest));
        let hole = tempfile::tempfile().unwrap();
        hole.set_len(3 << 20).unwrap();
        assert_eq!(sha256(&hole).unwrap(), (3 << 20, Sha256::digest(vec![0; 3 << 20]).into()));
        let empty = tempfile::tempfile().unwrap();
        assert_eq!(sha256(&empty).unwrap(), (0, Sha256::digest(b"").into()));
    }

    #[test]
    fn a_copy_has_the_bytes_and_holes_for_zeros() {
        let (from, bytes) = patchy();
        let to = tempfile::tempfile().unwrap();
        to.set_len(bytes.len() as u64).unwrap();
        copy(&from, &to).unwrap();
        let mut found = vec![1; bytes.len()];
        to.read_exact_at(&mut found, 0).unwrap();
        assert!(found == bytes);
        let kept = to.metadata().unwrap().blocks() * 512;
        assert!(kept <= 3 * GRAIN as u64, "{kept} bytes are kept for two small pieces of data");
    }
}
