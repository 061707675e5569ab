//! The volume label of a FAT file system, read from its root folder, where every system that labels a stick puts it; the
//! copy in the boot sector is often stale ("FAT: General Overview of On-Disk Format" 1.03; ECMA-107).

use std::io::{self, Read, Seek, SeekFrom};

/// The label, without padding; nothing where this is no FAT file system or it has none.
///
/// # Errors
/// Reading failed.
pub fn fat_label<R: Read + Seek>(device: &mut R) -> io::Result<Option<String>> {
    let mut sector = [0; 512];
    device.seek(SeekFrom::Start(0))?;
    match device.read_exact(&mut sector) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let Some(root) = Root::of(&sector) else { return Ok(None) };
    let mut entries = vec![0; root.length];
    device.seek(SeekFrom::Start(root.start))?;
    match device.read_exact(&mut entries) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    Ok(label(&entries))
}

/// Where the root folder lies, in bytes; of FAT32 its first cluster.
struct Root {
    start: u64,
    length: usize,
}

impl Root {
    fn of(sector: &[u8; 512]) -> Option<Self> {
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at =
            |at: usize| u64::from(u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]));
        let (bytes, cluster, fats) = (u16_at(11), u64::from(sector[13]), u64::from(sector[16]));
        let plausible = sector[510..] == [0x55, 0xaa]
            && matches!(bytes, 512 | 1024 | 2048 | 4096)
            && cluster.is_power_of_two()
            && (1..=2).contains(&fats)
            && u16_at(14) > 0;
        if !plausible {
            return None;
        }
        let entries = u16_at(17);
        if entries > 0 {
            // FAT12 and FAT16: after the tables, of a fixed size.
            let start = (u16_at(14) + fats * u16_at(22)) * bytes;
            return Some(Self { start, length: usize::try_from(entries * 32).ok()? });
        }
        let first = u32_at(44).checked_sub(2)?;
        let start = (u16_at(14) + fats * u32_at(36) + first * cluster) * bytes;
        Some(Self { start, length: usize::try_from(bytes * cluster).ok()? })
    }
}

/// The label among the entries of a folder: the one that has the attribute for it, and none of a long name's.
fn label(entries: &[u8]) -> Option<String> {
    let entries = entries.chunks_exact(32).take_while(|entry| entry[0] != 0);
    let mut used = entries.filter(|entry| entry[0] != 0xe5 && entry[11] & 0x3f != 0x0f);
    let found = used.find(|entry| entry[11] & 0x08 != 0)?;
    Some(String::from_utf8_lossy(&found[..11]).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::process::Command;

    use super::*;

    fn made(fat: &str, mebibytes: u64, label: &str) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(mebibytes << 20).unwrap();
        let mut command = Command::new("mkfs.vfat");
        command.args(["-F", fat, "-n", label]).arg(file.path());
        let output = command.output().expect("mkfs.vfat (package dosfstools) is needed for this test");
        assert!(output.status.success(), "{output:?}");
        fat_label(&mut file.reopen().unwrap()).unwrap()
    }

    #[test]
    fn the_label_is_read_from_every_kind_of_fat() {
        assert_eq!(made("12", 2, "SITE").as_deref(), Some("SITE"));
        assert_eq!(made("16", 16, "SITE").as_deref(), Some("SITE"));
        assert_eq!(made("32", 40, "MY STICK").as_deref(), Some("MY STICK"));
    }

    #[test]
    fn what_is_no_fat_has_no_label() {
        for bytes in [vec![], vec![0; 100], vec![0; 4096], vec![0xff; 4096]] {
            assert_eq!(fat_label(&mut Cursor::new(bytes)).unwrap(), None);
        }
        let mut cut = vec![0; 512];
        cut[11..17].copy_from_slice(&[0, 2, 1, 1, 0, 2]);
        cut[17] = 16;
        cut[510..].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(fat_label(&mut Cursor::new(cut)).unwrap(), None);
    }
}
