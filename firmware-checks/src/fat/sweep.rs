//! Frees the clusters that no file and no folder holds: what an interrupted change left behind.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::geometry::{Geometry, damaged, read_at};

/// In the sector that counts the free clusters of FAT32: the count, and what stands there for "not known".
const FREE_COUNT: u64 = 488;
const NOT_KNOWN: [u8; 4] = [0xff; 4];

/// Frees what nothing holds, makes the copies of the table alike, and forgets the count of free clusters, which is then counted
/// anew.
///
/// # Errors
/// The device's, or `InvalidData` where the file system is damaged: two files share a cluster, or one has lost some. Nothing
/// was then changed.
pub(super) fn sweep(disk: &mut (impl Read + Write + Seek)) -> io::Result<()> {
    let geometry = Geometry::read(disk)?;
    let table = geometry.table(disk)?;
    let held = held(disk, &geometry, &table)?;
    let mut bytes = read_at(disk, geometry.fat, geometry.fat_size)?;
    let width = usize::try_from(geometry.width()).map_err(io::Error::other)?;
    for (cluster, next) in table.iter().enumerate().skip(2) {
        if *next != 0 && !held[cluster] && *next != geometry.end() - 1 {
            let entry = &mut bytes[cluster * width..(cluster + 1) * width];
            // The highest four bits of FAT32's entries are nobody's.
            let kept = if width == 4 { entry[3] & 0xf0 } else { 0 };
            entry.fill(0);
            entry[width - 1] = kept;
        }
    }
    for copy in 0..geometry.fats {
        put(disk, geometry.fat + copy * geometry.fat_size, &bytes)?;
    }
    match geometry.info {
        Some(info) if table.iter().zip(&held).skip(2).any(|(next, held)| *next != 0 && !held) => {
            put(disk, info + FREE_COUNT, &NOT_KNOWN)
        }
        _ => Ok(()),
    }
}

fn put(disk: &mut (impl Write + Seek), offset: u64, bytes: &[u8]) -> io::Result<()> {
    disk.seek(SeekFrom::Start(offset))?;
    disk.write_all(bytes)
}

/// By each cluster's number, whether a file or folder holds it.
fn held(disk: &mut (impl Read + Seek), geometry: &Geometry, table: &[u32]) -> io::Result<Vec<bool>> {
    let mut held = vec![false; table.len()];
    let mut take = |first: u32| -> io::Result<u64> {
        let chain = geometry.chain(table, first)?;
        for cluster in &chain {
            if std::mem::replace(&mut held[*cluster as usize], true) {
                return Err(damaged(format!("cluster {cluster} is held twice")));
            }
        }
        Ok(chain.len() as u64 * geometry.cluster)
    };
    if let Some(root) = geometry.root_cluster {
        take(root)?;
    }
    let mut slots = geometry.slots(disk, table, None)?;
    while let Some(slot) = slots.pop() {
        if !slot.is_entry() {
            continue;
        }
        let room = geometry.first(&slot).map_or(Ok(0), &mut take)?;
        if room < slot.size() || (room == 0 && slot.is_folder()) {
            let name = String::from_utf8_lossy(slot.name()).into_owned();
            return Err(damaged(format!("`{name}` has lost clusters")));
        }
        if slot.is_folder() {
            slots.extend(geometry.slots(disk, table, geometry.first(&slot))?);
        }
    }
    Ok(held)
}
