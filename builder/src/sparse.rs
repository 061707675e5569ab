//! Files with holes, such as the raw images of disks: a hole is neither read nor written.

use std::fs::File;
use std::io;
use std::iter;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// The smallest run of zeros that [`copy`] makes a hole of, in bytes.
const GRAIN: usize = 1 << 16;
/// What [`changes`] are found in, in bytes.
const BLOCK: usize = 4096;
/// How far [`copy`] goes before it says so, in bytes: whole blocks.
const STRETCH: u64 = 16 << 20;
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
    sha256_behind(file, iter::once(file.metadata()?.len()))
}

/// The same of a file that is still being written: `marks` gives up to where its bytes are final, the last of them its end.
///
/// # Errors
/// It can't be read.
pub fn sha256_behind(file: &File, marks: impl IntoIterator<Item = u64>) -> io::Result<(u64, [u8; 32])> {
    let mut hash = Sha256::new();
    let mut at = 0;
    for mark in marks {
        read(file, at..mark, |piece| {
            hash.update(piece.bytes);
            Ok(())
        })?;
        at = mark;
    }
    Ok((at, hash.finalize().into()))
}

/// Some bytes that a file has where another has others.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Where they lie: a multiple of [`BLOCK`].
    at: u64,
    bytes: Vec<u8>,
}

/// In what `after` differs from `before`, a file as long, in their order.
///
/// # Errors
/// One of them can't be read.
pub fn changes(before: &File, after: &File) -> io::Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut buffer = vec![0; PIECE];
    read(after, 0..after.metadata()?.len(), |piece| {
        let end = piece.at + piece.bytes.len() as u64;
        if piece.is_hole && next_data(before, piece.at)?.is_none_or(|data| data >= end) {
            return Ok(());
        }
        let old = &mut buffer[..piece.bytes.len()];
        before.read_exact_at(old, piece.at)?;
        let blocks = old.chunks(BLOCK).zip(piece.bytes.chunks(BLOCK)).zip((piece.at..).step_by(BLOCK));
        let changed = blocks.filter(|((old, new), _)| old != new);
        changes.extend(changed.map(|((_, new), at)| Change { at, bytes: new.to_vec() }));
        Ok(())
    })?;
    Ok(changes)
}

/// Gives the empty file `to` the bytes of `from` with `changes`, which come in their
/// order; `reached` is told up to where they are final. Where the file system can share the bytes of `from`, they are not copied;
/// elsewhere its zeros stay holes.
///
/// # Errors
/// Reading or writing failed.
pub fn copy(from: &File, changes: &[Change], to: &File, mut reached: impl FnMut(u64)) -> io::Result<()> {
    let size = from.metadata()?.len();
    let is_shared = rustix::fs::ioctl_ficlone(to, from).is_ok();
    to.set_len(size)?;
    let mut changes = changes.iter().peekable();
    let mut at = 0;
    while at < size {
        let end = size.min(at + STRETCH);
        if !is_shared {
            read(from, at..end, |piece| write_data(to, piece))?;
        }
        while let Some(change) = changes.next_if(|change| change.at < end) {
            to.write_all_at(&change.bytes, change.at)?;
        }
        reached(end);
        at = end;
    }
    Ok(())
}

/// Writes a piece to where it lies, but for what is zeros.
fn write_data(to: &File, piece: &Piece<'_>) -> io::Result<()> {
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
}

/// Calls `see` with the bytes of `range` in `file`, in their order. What lies behind its end is a hole.
fn read(file: &File, range: Range<u64>, mut see: impl FnMut(&Piece<'_>) -> io::Result<()>) -> io::Result<()> {
    let Range { start: mut at, end } = range;
    let mut buffer = vec![0; PIECE];
    while at < end {
        let data = next_data(file, at)?.unwrap_or(end).min(end);
        while at < data {
            let count = PIECE.min(usize::try_from(data - at).unwrap_or(PIECE));
            see(&Piece { at, bytes: &ZEROS[..count], is_hole: true })?;
            at += count as u64;
        }
        let hole = if at < end { next_hole(file, at)?.min(end) } else { end };
        while at < hole {
            let count = PIECE.min(usize::try_from(hole - at).unwrap_or(PIECE));
            file.read_exact_at(&mut buffer[..count], at)?;
            see(&Piece { at, bytes: &buffer[..count], is_hole: false })?;
            at += count as u64;
        }
    }
    Ok(())
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

    /// What [`copy`] makes, and up to where it was final at what times.
    fn copied(from: &File, changes: &[Change]) -> (File, Vec<u64>) {
        let to = tempfile::tempfile().unwrap();
        let mut marks = Vec::new();
        copy(from, changes, &to, |mark| marks.push(mark)).unwrap();
        (to, marks)
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![1; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn a_copy_has_the_bytes_and_holes_for_zeros() {
        let (from, bytes) = patchy();
        let (to, _) = copied(&from, &[]);
        assert!(content(&to) == bytes);
        let kept = to.metadata().unwrap().blocks() * 512;
        assert!(kept <= 3 * GRAIN as u64, "{kept} bytes are kept for two small pieces of data");
    }

    #[test]
    fn changes_are_found_and_copied_with_the_rest() {
        let ((from, mut bytes), (after, _)) = (patchy(), patchy());
        assert_eq!(changes(&from, &after).unwrap(), []);
        // Data that becomes zeros, some in a hole, the last bytes; and zeros that are written where a hole was change nothing.
        let written = [(PIECE + 65_536, vec![0; 8192]), (3 * PIECE + 1, vec![7; 2]), (bytes.len() - 2, vec![b'X'; 2])];
        for (at, new) in written {
            after.write_all_at(&new, at as u64).unwrap();
            bytes[at..at + new.len()].copy_from_slice(&new);
        }
        after.write_all_at(&[0; 8192], 4 * PIECE as u64).unwrap();
        let changes = changes(&from, &after).unwrap();
        let places: Vec<u64> = changes.iter().map(|change| change.at).collect();
        assert_eq!(places, [PIECE + 69_632, 3 * PIECE, 5 * PIECE].map(|at| at as u64));
        assert!(content(&copied(&from, &changes).0) == bytes);
    }

    #[test]
    fn a_checksum_can_follow_the_copy() {
        let size = 2 * STRETCH + 5;
        let from = tempfile::tempfile().unwrap();
        from.write_all_at(b"end", size - 3).unwrap();
        let (to, marks) = copied(&from, &[]);
        assert_eq!(marks, [STRETCH, 2 * STRETCH, size]);
        assert_eq!(sha256_behind(&to, marks).unwrap(), sha256(&from).unwrap());
    }
}
