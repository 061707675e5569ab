//! The raw image, compressed with zstd (RFC 8878): one frame after the other, each of as many bytes and with a checksum, so that
//! all processors compress and the result does not depend on their number.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::parallel;

/// How much of the image one frame holds, in bytes.
const FRAME: u64 = 8 << 20;
/// How many frames are compressed before the next are read.
const BATCH: usize = 8;
/// zstd's own scale.
const LEVEL: i32 = 3;

/// Writes the bytes of `raw` to the empty file `to`, and says up to where they are final.
pub(super) fn write(raw: &File, to: &File, reached: &mut dyn FnMut(u64)) -> io::Result<()> {
    let size = raw.metadata()?.len();
    let starts: Vec<u64> = (0..size).step_by(FRAME as usize).collect();
    let mut at = 0;
    for batch in starts.chunks(BATCH) {
        for frame in parallel::map(batch, |start| frame(raw, *start, size))? {
            to.write_all_at(&frame, at)?;
            at += frame.len() as u64;
        }
        reached(at);
    }
    Ok(())
}

/// What of `raw`, `size` bytes long, begins at `start`.
fn frame(raw: &File, start: u64, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME.min(size - start) as usize];
    raw.read_exact_at(&mut bytes, start)?;
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_image_again() {
        let (raw, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        raw.set_len(3 * FRAME + 5).unwrap();
        raw.write_all_at(b"first", 0).unwrap();
        raw.write_all_at(b"last", 3 * FRAME + 1).unwrap();
        let mut marks = Vec::new();
        write(&raw, &to, &mut |mark| marks.push(mark)).unwrap();
        let length = to.metadata().unwrap().len();
        assert!(length < 10_000 && marks == [length], "{length} bytes, {marks:?}");
        let found = zstd::decode_all(&to).unwrap();
        assert_eq!((found.len() as u64, &found[..5]), (3 * FRAME + 5, b"first".as_slice()));
        assert!(found.ends_with(b"last") && found[5..found.len() - 4].iter().all(|byte| *byte == 0));
    }
}
