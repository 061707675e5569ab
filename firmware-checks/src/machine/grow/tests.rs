use std::collections::BTreeMap;
use std::process::Command;

use gpt::disk::LogicalBlockSize;
use gpt::partition::Partition;
use gpt::partition_types::{BASIC, BIOS, EFI, LINUX_FS, LINUX_HOME};

use super::*;
use crate::ordered::cuts::{sectors, survivors};

const MIB: u64 = 1 << 20;
const OLD: u64 = 16 * MIB;
const NEW: u64 = 20 * MIB + 3 * 4096;

fn geometry(disk: &File, sector: u64) -> Geometry {
    Geometry { sector, sectors: disk.metadata().unwrap().len() / sector }
}

/// An image of 16 MiB with five partitions, `last` the last, on a disk of `size` bytes; made by the gpt crate.
fn image(sector: u64, size: u64, last: &str) -> tempfile::NamedTempFile {
    let block = if sector == 512 { LogicalBlockSize::Lb512 } else { LogicalBlockSize::Lb4096 };
    let mut image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(OLD).unwrap();
    gpt::mbr::ProtectiveMBR::with_lb_size(u32::MAX).overwrite_lba0(image.as_file_mut()).unwrap();
    let config = gpt::GptConfig::new().writable(true).logical_block_size(block);
    let mut table = config.create_from_device(image.as_file_mut(), None).unwrap();
    let mut entries = BTreeMap::new();
    let types = [BIOS, EFI, BASIC, LINUX_FS, LINUX_HOME];
    for ((number, name), kind) in (1_u32..).zip(["bios", "esp", "site", "root", last]).zip(types) {
        let start = u64::from(number) * 3 * MIB - 2 * MIB;
        let entry = Partition {
            part_guid: kind.guid,
            part_type_guid: kind,
            first_lba: start / sector,
            last_lba: (start + 2 * MIB) / sector - 1,
            flags: 1 << 60,
            name: name.to_owned(),
        };
        entries.insert(number, entry);
    }
    table.update_partitions(entries).unwrap();
    table.write().unwrap();
    image.as_file().set_len(size).unwrap();
    image
}

/// Does what a boot does to the table.
fn boot(image: &Path, sector: u64) -> Result<bool, Error> {
    let disk = OpenOptions::new().read(true).write(true).open(image).unwrap();
    let plan = plan(&disk, geometry(&disk, sector), image)?;
    Ok(ordered::apply(&disk, &plan.groups).unwrap())
}

/// What a kernel with `gpt` on its command line makes of the disk, by another implementation than ours: the primary table,
/// else the one at the end of the disk.
fn seen(image: &Path, sector: u64) -> Option<BTreeMap<u32, Partition>> {
    let block = if sector == 512 { LogicalBlockSize::Lb512 } else { LogicalBlockSize::Lb4096 };
    let mut disk = File::open(image).unwrap();
    let header = gpt::header::read_header_from_arbitrary_device(&mut disk, block);
    if let Some(entries) =
        header.ok().and_then(|header| gpt::partition::file_read_partitions(&mut disk, &header, block).ok())
    {
        return Some(entries);
    }
    // The gpt crate looks at the end of the disk only where the primary header is unreadable.
    let disk = OpenOptions::new().read(true).write(true).open(image).unwrap();
    let mut torn = vec![0; usize::try_from(sector).unwrap()];
    disk.read_exact_at(&mut torn, sector).unwrap();
    disk.write_all_at(&vec![0; torn.len()], sector).unwrap();
    let found = gpt::GptConfig::new().logical_block_size(block).open(image).ok().map(|disk| disk.partitions().clone());
    disk.write_all_at(&torn, sector).unwrap();
    found
}

fn sgdisk(image: &Path) -> String {
    let output = Command::new("/usr/sbin/sgdisk").arg("-v").arg(image).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_last_partition_reaches_the_end_and_nothing_else_changes() {
    for sector in [512, 4096] {
        let image = image(sector, NEW, "data");
        let before = seen(image.path(), sector).unwrap();
        let mut first = vec![0; 512];
        image.as_file().read_exact_at(&mut first, 0).unwrap();
        assert!(boot(image.path(), sector).unwrap());
        let after = seen(image.path(), sector).unwrap();
        for number in 1..=4 {
            assert_eq!(before[&number], after[&number]);
        }
        assert_eq!((after[&5].first_lba, after[&5].part_guid), (before[&5].first_lba, before[&5].part_guid));
        assert_eq!((after[&5].last_lba + 1) * sector, 19 * MIB, "whole MiB, and room for the backup table behind");
        let mut sector_0 = vec![0; 512];
        image.as_file().read_exact_at(&mut sector_0, 0).unwrap();
        assert_eq!(first, sector_0, "the boot code's sector");
        assert!(!boot(image.path(), sector).unwrap(), "the second boot has nothing to write");
        if sector == 512 {
            let told = sgdisk(image.path());
            assert!(told.contains("No problems found"), "{told}");
        }
    }
}

#[test]
fn a_disk_of_the_images_own_size_is_left_alone() {
    let image = image(512, OLD, "data");
    let before = std::fs::read(image.path()).unwrap();
    boot(image.path(), 512).unwrap();
    boot(image.path(), 512).unwrap();
    let after = std::fs::read(image.path()).unwrap();
    assert_eq!(before[MIB as usize..15 * MIB as usize], after[MIB as usize..15 * MIB as usize]);
    assert_eq!(seen(image.path(), 512).unwrap()[&5].last_lba, 15 * MIB / 512 - 1);
    assert!(sgdisk(image.path()).contains("No problems found"));
}

#[test]
fn a_smaller_disk_is_told_and_not_touched() {
    let image = image(512, 14 * MIB, "data");
    let before = std::fs::read(image.path()).unwrap();
    let error = boot(image.path(), 512).unwrap_err().to_string();
    assert!(error.contains("partition 5 (`data`) ends at byte 15728640"), "{error}");
    assert!(before == std::fs::read(image.path()).unwrap());
}

#[test]
fn another_last_partition_is_not_touched() {
    let image = image(512, NEW, "swap");
    let error = boot(image.path(), 512).unwrap_err().to_string();
    assert!(error.contains("the last partition is `swap`, expected `data`"), "{error}");
}

#[test]
fn an_unreadable_primary_table_is_made_anew_from_the_one_at_the_end() {
    let image = image(512, NEW, "data");
    boot(image.path(), 512).unwrap();
    let whole = std::fs::read(image.path()).unwrap();
    for damaged in [512..1024, 1024..1025, 512..17408] {
        let zeros = vec![0; damaged.len()];
        image.as_file().write_all_at(&zeros, damaged.start as u64).unwrap();
        assert!(boot(image.path(), 512).unwrap());
        assert!(whole == std::fs::read(image.path()).unwrap());
    }
}

#[test]
fn without_any_table_nothing_is_written() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(NEW).unwrap();
    let error = boot(image.path(), 512).unwrap_err().to_string();
    assert!(error.contains("no valid partition table") && error.contains("sectors of 512 bytes"), "{error}");
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_table_and_the_next_boot_ends_as_an_undisturbed_one() {
    for sector in [512, 4096] {
        let fresh = image(sector, NEW, "data");
        let plan = plan(fresh.as_file(), geometry(fresh.as_file(), sector), fresh.path()).unwrap();
        assert!(plan.groups.iter().all(|group| group.len() == 2), "header and entries of both copies change");
        let goal = image(sector, NEW, "data");
        std::fs::copy(fresh.path(), goal.path()).unwrap();
        boot(goal.path(), sector).unwrap();
        let goal = (seen(goal.path(), sector).unwrap(), edges(goal.as_file()));
        let old = seen(fresh.path(), sector).unwrap();
        let before = edges(fresh.as_file());
        for group in 0..2 {
            for survived in survivors(sectors(&plan.groups[group], sector).len()) {
                write_edges(fresh.as_file(), &before);
                let synced = plan.groups[..group].iter().flat_map(|group| sectors(group, sector));
                let unsynced = sectors(&plan.groups[group], sector).into_iter().zip(&survived);
                for write in synced.chain(unsynced.filter(|(_, kept)| **kept).map(|(write, _)| write)) {
                    fresh.as_file().write_all_at(&write.bytes, write.offset).unwrap();
                }
                let found =
                    seen(fresh.path(), sector).unwrap_or_else(|| panic!("group {group}, {survived:?}: no table"));
                assert!(
                    found == old || found == goal.0,
                    "group {group}, {survived:?}: neither the old table nor the new"
                );
                boot(fresh.path(), sector).unwrap();
                let ended = (seen(fresh.path(), sector).unwrap(), edges(fresh.as_file()));
                assert!(ended == goal, "group {group}, {survived:?}: not as after an undisturbed boot");
            }
        }
    }
}

/// The disk's first and last 64 KiB, in which all tables lie.
fn edges(disk: &File) -> [Vec<u8>; 2] {
    [0, NEW - (1 << 16)].map(|offset| {
        let mut bytes = vec![0; 1 << 16];
        disk.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    })
}

fn write_edges(disk: &File, edges: &[Vec<u8>; 2]) {
    disk.write_all_at(&edges[0], 0).unwrap();
    disk.write_all_at(&edges[1], NEW - (1 << 16)).unwrap();
}
