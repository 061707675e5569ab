//! Puts the `.` and `..` entries of folders made by fatfs 0.3.6 right.
//!
//! fatfs gives them long names, which takes four slots (long name, `.`, long name, `..`) where the specification
//! (Microsoft FAT32 File System Specification 1.03, "Directory structure") wants `.` in slot 0 and `..` in slot 1,
//! both without long names, and it lets `..` of a first-level folder of a FAT32 name the root's cluster where 0 is
//! wanted. `fsck.vfat` complains about each.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::geometry::{DELETED, DOT, DOT_DOT, Geometry, LONG_NAME, SLOT, Slot, read_at};

/// Repairs every folder below the root.
///
/// # Errors
/// The device's, or `InvalidData` where it holds no FAT16 or FAT32, or a damaged one.
pub(super) fn repair(disk: &mut (impl Read + Write + Seek)) -> io::Result<()> {
    let geometry = Geometry::read(disk)?;
    let table = geometry.table(disk)?;
    let folders = |slots: Vec<Slot>| {
        let folders = slots.into_iter().filter(|slot| slot.is_entry() && slot.is_folder());
        folders.filter_map(|slot| geometry.first(&slot)).collect::<Vec<u32>>()
    };
    let mut found = folders(geometry.slots(disk, &table, None)?);
    let mut seen = BTreeSet::new();
    let first_level = found.len();
    let mut next = 0;
    while let Some(cluster) = found.get(next).copied() {
        let below_root = next < first_level;
        next += 1;
        if seen.insert(cluster) {
            repair_folder(&geometry, disk, cluster, below_root)?;
            found.extend(folders(geometry.slots(disk, &table, Some(cluster))?));
        }
    }
    Ok(())
}

fn repair_folder(
    geometry: &Geometry,
    disk: &mut (impl Read + Write + Seek),
    cluster: u32,
    below_root: bool,
) -> io::Result<()> {
    let offset = geometry.offset(cluster)?;
    let mut slots = read_at(disk, offset, geometry.sector.min(geometry.cluster))?;
    let name = |slot: usize| &slots[slot * SLOT..slot * SLOT + 11];
    let attribute = |slot: usize| slots[slot * SLOT + 11];
    let by_fatfs = attribute(0) == LONG_NAME && name(1) == DOT && attribute(2) == LONG_NAME && name(3) == DOT_DOT;
    if !by_fatfs {
        return Ok(());
    }
    slots.copy_within(SLOT..2 * SLOT, 0);
    slots.copy_within(3 * SLOT..4 * SLOT, SLOT);
    if below_root {
        slots[SLOT + 20..SLOT + 22].fill(0);
        slots[SLOT + 26..SLOT + 28].fill(0);
    }
    for spare in [2, 3] {
        slots[spare * SLOT..(spare + 1) * SLOT].fill(0);
        slots[spare * SLOT] = DELETED;
    }
    disk.seek(SeekFrom::Start(offset))?;
    disk.write_all(&slots)
}
