//! Puts the `.` and `..` entries of folders made by fatfs 0.3.6 right.
//!
//! fatfs gives them long names, which takes four slots (long name, `.`, long name, `..`) where the specification
//! (Microsoft FAT32 File System Specification 1.03, "Directory structure") wants `.` in slot 0 and `..` in slot 1,
//! both without long names, and it lets `..` of a first-level folder of a FAT32 name the root's cluster where 0 is
//! wanted. `fsck.vfat` complains about each.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes per slot of a folder.
const SLOT: usize = 32;
/// The attribute byte of a long-name slot.
const LONG_NAME: u8 = 0x0f;
/// The attribute bit of a folder.
const FOLDER: u8 = 0x10;
/// The attribute bit of the volume label.
const VOLUME: u8 = 0x08;
/// First byte of a slot that was freed.
const DELETED: u8 = 0xe5;

const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";

/// Where things lie in one FAT file system (BIOS parameter block, specification section "Boot Sector and BPB").
struct Geometry {
    sector: u64,
    cluster: u64,
    fat: u64,
    /// The fixed root folder of FAT12 and FAT16: offset and length in bytes.
    fixed_root: (u64, u64),
    data: u64,
    clusters: u64,
    /// First cluster of the root folder on FAT32.
    root_cluster: Option<u32>,
}

/// Repairs every folder below the root.
///
/// # Errors
/// The device's, or `InvalidData` where it holds no FAT16 or FAT32.
pub(super) fn repair(disk: &mut (impl Read + Write + Seek)) -> io::Result<()> {
    let geometry = Geometry::read(disk)?;
    let mut folders = Vec::new();
    match geometry.root_cluster {
        Some(cluster) => folders.extend(geometry.children(disk, cluster)?),
        None => {
            let root = read_at(disk, geometry.fixed_root.0, geometry.fixed_root.1)?;
            folders.extend(children(&root));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let first_level = folders.len();
    let mut next = 0;
    while let Some(cluster) = folders.get(next).copied() {
        let below_root = next < first_level;
        next += 1;
        if !seen.insert(cluster) {
            continue;
        }
        geometry.repair_folder(disk, cluster, below_root)?;
        folders.extend(geometry.children(disk, cluster)?);
    }
    Ok(())
}

impl Geometry {
    fn read(disk: &mut (impl Read + Seek)) -> io::Result<Self> {
        let boot = read_at(disk, 0, 512)?;
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let u32_at = |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let (sector, per_cluster, reserved, fats) = (u16_at(11), u64::from(boot[13]), u16_at(14), u64::from(boot[16]));
        if sector == 0 || per_cluster == 0 || boot[510..512] != [0x55, 0xaa] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no FAT boot sector"));
        }
        let root_bytes = u16_at(17) * SLOT as u64;
        let total = if u16_at(19) == 0 { u64::from(u32_at(32)) } else { u16_at(19) };
        let is_32 = u16_at(22) == 0;
        let fat_sectors = if is_32 { u64::from(u32_at(36)) } else { u16_at(22) };
        let root_start = (reserved + fats * fat_sectors) * sector;
        let data = root_start + root_bytes.div_ceil(sector) * sector;
        let clusters = (total * sector).saturating_sub(data) / (sector * per_cluster);
        if !is_32 && clusters < 4085 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a FAT12 file system is not supported"));
        }
        Ok(Self {
            sector,
            cluster: sector * per_cluster,
            fat: reserved * sector,
            fixed_root: (root_start, root_bytes),
            data,
            clusters,
            root_cluster: is_32.then(|| u32_at(44)),
        })
    }

    fn offset(&self, cluster: u32) -> io::Result<u64> {
        let index = u64::from(cluster).checked_sub(2).filter(|index| *index < self.clusters);
        let index = index.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cluster {cluster}")))?;
        Ok(self.data + index * self.cluster)
    }

    /// The cluster after `cluster` in its chain.
    fn next(&self, disk: &mut (impl Read + Seek), cluster: u32) -> io::Result<Option<u32>> {
        let (width, mask, end) = match self.root_cluster {
            Some(_) => (4, 0x0fff_ffff, 0x0fff_fff8),
            None => (2, 0xffff, 0xfff8),
        };
        let mut entry = read_at(disk, self.fat + u64::from(cluster) * width, width)?;
        entry.resize(4, 0);
        let entry = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) & mask;
        Ok((entry < end).then_some(entry))
    }

    /// First clusters of the folders in the folder that begins at `cluster`.
    fn children(&self, disk: &mut (impl Read + Seek), cluster: u32) -> io::Result<Vec<u32>> {
        let mut slots = Vec::new();
        let mut cursor = Some(cluster);
        // A chain has no more links than the file system has clusters; a longer one is a loop.
        for _ in 0..=self.clusters {
            let Some(cluster) = cursor else { break };
            slots.extend(read_at(disk, self.offset(cluster)?, self.cluster)?);
            cursor = self.next(disk, cluster)?;
        }
        Ok(children(&slots))
    }

    fn repair_folder(&self, disk: &mut (impl Read + Write + Seek), cluster: u32, below_root: bool) -> io::Result<()> {
        let offset = self.offset(cluster)?;
        let mut slots = read_at(disk, offset, self.sector.min(self.cluster))?;
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
}

/// First clusters of the folders named in `slots`, `.` and `..` aside.
fn children(slots: &[u8]) -> Vec<u32> {
    slots
        .chunks_exact(SLOT)
        .take_while(|slot| slot[0] != 0)
        .filter(|slot| slot[0] != DELETED && slot[11] & FOLDER != 0 && slot[11] & VOLUME == 0)
        .filter(|slot| &slot[..11] != DOT && &slot[..11] != DOT_DOT)
        .map(|slot| u32::from_le_bytes([slot[26], slot[27], slot[20], slot[21]]))
        .collect()
}

fn read_at(disk: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Vec<u8>> {
    disk.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}
