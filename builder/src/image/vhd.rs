//! A fixed virtual hard disk: the disk's bytes and a footer (Microsoft's "Virtual Hard Disk Image Format Specification", 1.0).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sparse;

/// How a footer begins.
pub(super) const COOKIE: &[u8] = b"conectix";
/// Its length in bytes.
pub(super) const FOOTER: usize = 512;
/// Where in it the disk's size is told.
pub(super) const SIZE_AT: usize = 48;

/// Azure takes disks of whole mebibytes alone.
const WHOLE: u64 = 1 << 20;
/// The creator: programs take the disk's size from the geometry, which can't tell every size, unless it is one of a few, of which
/// this is QEMU's.
const CREATOR: &[u8; 4] = b"qem2";
const FIXED: u32 = 2;
/// Where a GPT has the disk's GUID, by which the footer knows it, too.
const DISK_GUID: u64 = 512 + 56;
const SECTOR: u64 = 512;
/// The most sectors that a geometry can tell.
const MOST_SECTORS: u64 = 65_535 * 16 * 255;

/// Writes the disk `raw` to the empty file `to`, and says up to where it is final. A disk that is no whole number of mebibytes
/// becomes larger, by zeros.
pub(super) fn write(raw: &File, to: &File, reached: &mut dyn FnMut(u64)) -> io::Result<()> {
    let size = raw.metadata()?.len().next_multiple_of(WHOLE);
    sparse::copy(raw, &[], to, &mut *reached)?;
    let mut id = [0; 16];
    raw.read_exact_at(&mut id, DISK_GUID)?;
    to.write_all_at(&footer(size, id), size)?;
    reached(size + FOOTER as u64);
    Ok(())
}

/// The footer of the disk `id` of `size` bytes. Its time is the specification's first second, 2000-01-01.
fn footer(size: u64, id: [u8; 16]) -> [u8; FOOTER] {
    let mut footer = [0; FOOTER];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, COOKIE);
    // A bit that is always set; version 1.0; no further structures.
    put(8, &2_u32.to_be_bytes());
    put(12, &0x1_0000_u32.to_be_bytes());
    put(16, &u64::MAX.to_be_bytes());
    put(28, CREATOR);
    put(32, &0x5_0003_u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &size.to_be_bytes());
    put(SIZE_AT, &size.to_be_bytes());
    let (cylinders, heads, sectors) = geometry(size / SECTOR);
    put(56, &cylinders.to_be_bytes());
    put(58, &[heads, sectors]);
    put(60, &FIXED.to_be_bytes());
    put(68, &id);
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

/// Cylinders, heads and sectors per track of a disk of `sectors` sectors: the specification's appendix.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let sectors = sectors.min(MOST_SECTORS);
    let fitting = |heads: u64, per_track: u64| (sectors / per_track / heads, heads, per_track);
    let (cylinders, heads, per_track) = if sectors >= 65_535 * 16 * 63 {
        fitting(16, 255)
    } else {
        let heads = (sectors / 17).div_ceil(1024).max(4);
        let with_17 = fitting(heads, 17);
        let with_31 = fitting(16, 31);
        if heads <= 16 && sectors / 17 < heads * 1024 {
            with_17
        } else if sectors / 31 < 16 * 1024 {
            with_31
        } else {
            fitting(16, 63)
        }
    };
    (cylinders as u16, heads as u8, per_track as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_tells_size_and_checksum() {
        let footer = footer(3 << 20, [7; 16]);
        let told = u32::from_be_bytes(footer[64..68].try_into().unwrap());
        let sum: u32 =
            footer.iter().enumerate().filter(|(at, _)| !(64..68).contains(at)).map(|(_, b)| u32::from(*b)).sum();
        assert_eq!((told, &footer[..8], &footer[60..64]), (!sum, COOKIE, [0, 0, 0, 2].as_slice()));
        assert_eq!((&footer[48..56], &footer[68..84]), ((3_u64 << 20).to_be_bytes().as_slice(), [7; 16].as_slice()));
    }

    #[test]
    fn the_geometry_is_that_of_the_specification() {
        let of = |mebibytes: u64| geometry((mebibytes << 20) / SECTOR);
        assert_eq!((of(3), of(100), of(2014)), ((90, 4, 17), (1003, 12, 17), (4091, 16, 63)));
        assert_eq!((of(40 << 10), of(4 << 20)), ((20_560, 16, 255), (65_535, 16, 255)));
    }

    #[test]
    fn a_disk_of_other_size_is_filled_up() {
        let (raw, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        raw.write_all_at(b"x", 1_500_000).unwrap();
        let mut last = 0;
        write(&raw, &to, &mut |mark| last = mark).unwrap();
        assert_eq!((to.metadata().unwrap().len(), last), ((2 << 20) + 512, (2 << 20) + 512));
    }
}
