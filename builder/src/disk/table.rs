//! The GUID partition table (UEFI 2.10 §5.3) and the protective MBR, in which GRUB's first sector lives too.

use std::collections::BTreeMap;
use std::fs::File;

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{BASIC, BIOS, EFI, LINUX_FS, Type};

use super::ids::Ids;
use super::layout::{Layout, Part};

/// Bytes per logical sector of an image.
pub(super) const SECTOR: u64 = 512;

/// The partition table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The protective MBR.
    #[error("writing the protective MBR: {0}")]
    Mbr(#[from] gpt::mbr::MBRError),
    /// The table itself.
    #[error("writing the partition table: {0}")]
    Table(#[from] gpt::GptError),
}

/// Writes the protective MBR with `boot_code` and both copies of the table to `disk`, which must have `layout.size` bytes.
///
/// The MBR's size field says `0xFFFFFFFF`, as it does on every disk that Windows partitions: so growing the disk never
/// has to rewrite the sector that holds the boot code.
///
/// # Errors
/// [`Error`]: writing failed.
pub fn write(disk: &mut File, layout: &Layout, ids: &Ids, boot_code: [u8; 440]) -> Result<(), Error> {
    let mut mbr = ProtectiveMBR::with_lb_size(u32::MAX);
    mbr.set_bootcode(boot_code);
    mbr.overwrite_lba0(disk)?;
    let config = gpt::GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(disk, Some(ids.disk()))?;
    let mut entries = BTreeMap::new();
    for (number, partition) in (1..).zip(&layout.partitions) {
        let entry = gpt::partition::Partition {
            part_type_guid: type_of(partition.part),
            part_guid: ids.partition(partition.part.label()),
            first_lba: partition.start / SECTOR,
            last_lba: (partition.start + partition.size) / SECTOR - 1,
            flags: 0,
            name: partition.part.label().to_owned(),
        };
        entries.insert(number, entry);
    }
    table.update_partitions(entries)?;
    table.write()?;
    Ok(())
}

/// The type GUID. SITE is what Windows calls basic data, because every computer mounts that.
fn type_of(part: Part) -> Type {
    match part {
        Part::Bios => BIOS,
        Part::Esp => EFI,
        Part::Site => BASIC,
        Part::Root | Part::Data => LINUX_FS,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    use super::*;
    use crate::disk::layout::Content;

    #[test]
    fn sgdisk_finds_nothing_wrong_and_the_names_we_gave() {
        let layout = Layout::new(&Default::default(), Content { bytes: 1 << 28, inodes: 10 }, true).unwrap();
        let mut image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(layout.size).unwrap();
        write(image.as_file_mut(), &layout, &Ids::new("test"), [0x90; 440]).unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new("/usr/sbin/sgdisk").args(arguments).arg(image.path()).output().unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        let verified = run(&["-v"]);
        assert!(verified.contains("No problems found"), "{verified}");
        assert!(!verified.to_lowercase().contains("warning"), "{verified}");
        let shown = run(&["-p"]);
        for (number, label, code) in
            [(1, "bios", "EF02"), (2, "esp", "EF00"), (3, "site", "0700"), (4, "root", "8300"), (5, "data", "8300")]
        {
            let line = shown.lines().find(|line| line.trim_start().starts_with(&format!("{number} "))).unwrap();
            assert!(line.ends_with(label) && line.contains(code), "{line}");
        }
        let unique = Ids::new("test").partition("root").to_string().to_uppercase();
        assert!(run(&["-i", "4"]).contains(&unique));
        let mut code = [0; 440];
        image.as_file().read_exact_at(&mut code, 0).unwrap();
        assert_eq!(code, [0x90; 440]);
    }
}
