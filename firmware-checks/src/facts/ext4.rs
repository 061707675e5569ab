//! What the superblock of an ext2, ext3 or ext4 file system says (the kernel's documentation, `filesystems/ext4/super.rst`).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Where the first superblock lies, and how long it is, in bytes.
const OFFSET: u64 = 1024;
const LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;
/// `RO_COMPAT_METADATA_CSUM`: the superblock's last field is a checksum of the rest.
const METADATA_CSUM: u32 = 0x400;
const CHECKSUM: usize = 0x3fc;

/// A superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// `s_volume_name`.
    pub label: String,
    /// `s_uuid`, as hexadecimal digits in groups.
    pub uuid: String,
    /// Whether the file system has ever been mounted for writing.
    pub used: bool,
    /// Whether its checksum holds; true where it has none.
    pub whole: bool,
}

/// The superblock on the disk, partition or file `path`; none where there is none.
///
/// # Errors
/// The failing system call's.
pub fn superblock(path: &Path) -> io::Result<Option<Superblock>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(OFFSET))?;
    let mut bytes = [0; LENGTH];
    match file.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| parse(&bytes)),
    }
}

fn parse(bytes: &[u8; LENGTH]) -> Option<Superblock> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if u16_at(0x38) != MAGIC {
        return None;
    }
    let label = bytes[0x78..0x88].split(|byte| *byte == 0).next().unwrap_or_default();
    let hex = hex::encode(&bytes[0x68..0x78]);
    let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Some(Superblock {
        label: String::from_utf8_lossy(label).into_owned(),
        uuid: groups.join("-"),
        // s_mtime and s_mnt_count.
        used: u32_at(0x2c) != 0 || u16_at(0x34) != 0,
        whole: u32_at(0x64) & METADATA_CSUM == 0 || crc32c(&bytes[..CHECKSUM]) == u32_at(CHECKSUM),
    })
}

/// CRC-32C (Castagnoli, reflected) from all ones, and not inverted at the end, as ext4 uses it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one_before_its_inversion() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_mkfs_has_made_is_read_and_damage_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        assert_eq!(superblock(file.path()).unwrap(), None);
        let uuid = "0a1b2c3d-0000-4000-8000-00000000000f";
        let mut make = std::process::Command::new("mkfs.ext4");
        make.args(["-q", "-O", "metadata_csum", "-L", "fl-fast", "-U", uuid]).arg(file.path());
        assert!(make.status().expect("mkfs.ext4 (e2fsprogs) is needed").success());
        let expected = Superblock { label: "fl-fast".into(), uuid: uuid.into(), used: false, whole: true };
        assert_eq!(superblock(file.path()).unwrap(), Some(expected.clone()));
        std::os::unix::fs::FileExt::write_all_at(file.as_file(), b"g", OFFSET + 0x78).unwrap();
        let damaged = Superblock { label: "gl-fast".into(), whole: false, ..expected };
        assert_eq!(superblock(file.path()).unwrap(), Some(damaged));
    }

    #[test]
    fn what_is_too_short_for_a_superblock_has_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(OFFSET + 10).unwrap();
        assert_eq!(superblock(file.path()).unwrap(), None);
        assert!(superblock(Path::new("/no/such/device")).is_err());
    }
}
