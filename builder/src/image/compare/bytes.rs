//! Where two files differ, byte by byte, without reading what is a hole in both.

use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;

use serde::Serialize;

use super::Pair;
use crate::sparse::next_data;

/// How much of each is read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// What differing bytes are counted in.
const BLOCK: u64 = 4096;

/// As many bytes of both files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Where they begin in the first.
    pub first: u64,
    /// Where they begin in the second.
    pub second: u64,
    /// How many there are.
    pub length: u64,
}

/// The bytes from the first to the last that differs, counted from the beginning of what was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first differing byte.
    pub from: u64,
    /// The last differing byte.
    pub to: u64,
    /// In how many blocks of 4 KiB something differs.
    pub blocks: u64,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.blocks == 1 { "" } else { "s" };
        write!(f, "in {} block{plural} between bytes {} and {}", self.blocks, self.from, self.to)
    }
}

/// Where the two differ within `extent`; `None` where they do not. The part of `extent` that lies beyond the end of a
/// file is an error.
pub(super) fn differing(pair: Pair<'_>, extent: Extent) -> io::Result<Option<Span>> {
    let (mut one, mut other) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut span: Option<Span> = None;
    let mut position = 0;
    while position < extent.length {
        let data = next(pair, extent, position)?;
        if data >= extent.length {
            break;
        }
        position = data - data % BLOCK;
        let count = usize::try_from(extent.length - position).unwrap_or(CHUNK).min(CHUNK);
        pair.first.read_exact_at(&mut one[..count], extent.first + position)?;
        pair.second.read_exact_at(&mut other[..count], extent.second + position)?;
        if one[..count] != other[..count] {
            note(&one[..count], &other[..count], position, &mut span);
        }
        position += count as u64;
    }
    Ok(span)
}

/// The next position in `extent` at which either file has data; beyond its end where none has.
fn next(pair: Pair<'_>, extent: Extent, position: u64) -> io::Result<u64> {
    let find = |file, start| -> io::Result<u64> {
        Ok(next_data(file, start + position)?.map_or(u64::MAX, |data| data - start))
    };
    Ok(find(pair.first, extent.first)?.min(find(pair.second, extent.second)?))
}

/// Adds the differences of two pieces at `position`, a multiple of [`BLOCK`], to `span`.
fn note(one: &[u8], other: &[u8], position: u64, span: &mut Option<Span>) {
    let blocks = one.chunks(BLOCK as usize).zip(other.chunks(BLOCK as usize));
    for ((one, other), start) in blocks.zip((position..).step_by(BLOCK as usize)).filter(|((a, b), _)| a != b) {
        let differs = |at: &usize| one[*at] != other[*at];
        let first = (0..one.len()).find(differs).unwrap_or(0) as u64;
        let last = (0..one.len()).rev().find(differs).unwrap_or(0) as u64;
        let span = span.get_or_insert(Span { from: start + first, to: 0, blocks: 0 });
        span.to = start + last;
        span.blocks += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const SIZE: u64 = 8 << 20;

    fn file(written: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        for (at, bytes) in written {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    fn compared(first: &File, second: &File, extent: Extent) -> Option<Span> {
        differing(Pair { first, second }, extent).unwrap()
    }

    #[test]
    fn zeros_that_are_written_and_zeros_that_are_a_hole_are_the_same() {
        let (one, other) = (file(&[(3 << 20, &[0; 5000])]), file(&[]));
        assert_eq!(compared(&one, &other, Extent { first: 0, second: 0, length: SIZE }), None);
    }

    #[test]
    fn the_first_and_the_last_byte_and_the_blocks_between_are_told() {
        let one = file(&[(5_000, b"x"), (5_002, b"y"), (SIZE - 1, b"z")]);
        let (other, whole) = (file(&[]), Extent { first: 0, second: 0, length: SIZE });
        let expected = Some(Span { from: 5_000, to: SIZE - 1, blocks: 2 });
        assert_eq!((compared(&one, &other, whole), compared(&other, &one, whole)), (expected, expected));
        let inside = Extent { first: 5_003, second: 5_003, length: 100_000 };
        assert_eq!(compared(&one, &other, inside), None, "what lies outside of the extent does not count");
    }

    #[test]
    fn the_same_bytes_in_another_place_are_the_same() {
        let (one, other) = (file(&[(1 << 20, b"text")]), file(&[((3 << 20) + 512, b"text")]));
        let shifted = Extent { first: 1 << 20, second: (3 << 20) + 512, length: 1 << 20 };
        assert_eq!(compared(&one, &other, shifted), None);
    }
}
