//! Where things lie in a FAT file system, read from its boot sector (Microsoft FAT32 File System Specification 1.03, "Boot
//! Sector and BPB", "FAT Data Structure", "FAT Directory Structure").

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes per slot of a folder.
pub(super) const SLOT: usize = 32;
/// The attribute byte of a long-name slot.
pub(super) const LONG_NAME: u8 = 0x0f;
/// The attribute bit of a folder.
pub(super) const FOLDER: u8 = 0x10;
/// The attribute bit of the volume label.
const VOLUME: u8 = 0x08;
/// First byte of a slot that was freed.
pub(super) const DELETED: u8 = 0xe5;

pub(super) const DOT: &[u8; 11] = b".          ";
pub(super) const DOT_DOT: &[u8; 11] = b"..         ";

/// Where things lie in one FAT16 or FAT32; bytes, but for clusters.
pub(super) struct Geometry {
    pub sector: u64,
    pub cluster: u64,
    /// Where the copies of the table begin, how many there are and how long each is.
    pub fat: u64,
    pub fats: u64,
    pub fat_size: u64,
    /// The fixed root folder of FAT16: offset and length.
    fixed_root: (u64, u64),
    /// Where the first cluster begins, which has the number 2.
    pub data: u64,
    pub clusters: u64,
    /// First cluster of the root folder on FAT32.
    pub root_cluster: Option<u32>,
    /// The sector with the count of free clusters on FAT32.
    pub info: Option<u64>,
}

/// A slot of a folder.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Where it lies.
    pub at: u64,
    pub bytes: [u8; SLOT],
}

impl Slot {
    pub fn name(&self) -> &[u8] {
        &self.bytes[..11]
    }

    pub fn is_folder(&self) -> bool {
        self.bytes[11] & FOLDER != 0
    }

    /// A file or folder; not what was removed, a part of a long name, the label, `.` or `..`.
    pub fn is_entry(&self) -> bool {
        let dots = self.name() == DOT || self.name() == DOT_DOT;
        self.bytes[0] != DELETED && self.bytes[11] & VOLUME == 0 && !dots
    }

    pub fn size(&self) -> u64 {
        u64::from(u32::from_le_bytes([self.bytes[28], self.bytes[29], self.bytes[30], self.bytes[31]]))
    }
}

impl Geometry {
    pub(super) fn read(disk: &mut (impl Read + Seek)) -> io::Result<Self> {
        let boot = read_at(disk, 0, 512)?;
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let u32_at = |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let (sector, per_cluster, reserved, fats) = (u16_at(11), u64::from(boot[13]), u16_at(14), u64::from(boot[16]));
        if sector == 0 || per_cluster == 0 || boot[510..512] != [0x55, 0xaa] {
            return Err(damaged("no FAT boot sector"));
        }
        let root_bytes = u16_at(17) * SLOT as u64;
        let total = if u16_at(19) == 0 { u64::from(u32_at(32)) } else { u16_at(19) };
        let is_32 = u16_at(22) == 0;
        let fat_sectors = if is_32 { u64::from(u32_at(36)) } else { u16_at(22) };
        let root_start = (reserved + fats * fat_sectors) * sector;
        let data = root_start + root_bytes.div_ceil(sector) * sector;
        let clusters = (total * sector).saturating_sub(data) / (sector * per_cluster);
        if !is_32 && clusters < 4085 {
            return Err(damaged("a FAT12 file system is not supported"));
        }
        Ok(Self {
            sector,
            cluster: sector * per_cluster,
            fat: reserved * sector,
            fats,
            fat_size: fat_sectors * sector,
            fixed_root: (root_start, root_bytes),
            data,
            clusters,
            root_cluster: is_32.then(|| u32_at(44)),
            info: is_32.then(|| u16_at(48) * sector),
        })
    }

    /// The root folder begins here or, on FAT32, the first cluster does: before it lie boot sectors and tables.
    pub(super) fn tables_end(&self) -> u64 {
        self.fixed_root.0
    }

    /// Bytes of a table's entry.
    pub(super) fn width(&self) -> u64 {
        if self.root_cluster.is_some() { 4 } else { 2 }
    }

    /// The first value that stands for the end of a chain; the one before it marks a bad cluster.
    pub(super) fn end(&self) -> u32 {
        if self.root_cluster.is_some() { 0x0fff_fff8 } else { 0xfff8 }
    }

    /// Where `cluster` begins.
    pub(super) fn offset(&self, cluster: u32) -> io::Result<u64> {
        let index = u64::from(cluster).checked_sub(2).filter(|index| *index < self.clusters);
        let index = index.ok_or_else(|| damaged(format!("there is no cluster {cluster}")))?;
        Ok(self.data + index * self.cluster)
    }

    /// The first table: by each cluster's number what follows it.
    pub(super) fn table(&self, disk: &mut (impl Read + Seek)) -> io::Result<Vec<u32>> {
        let bytes = read_at(disk, self.fat, (self.clusters + 2) * self.width())?;
        Ok(match self.root_cluster {
            Some(_) => {
                bytes.chunks_exact(4).map(|e| u32::from_le_bytes([e[0], e[1], e[2], e[3]]) & 0x0fff_ffff).collect()
            }
            None => bytes.chunks_exact(2).map(|e| u32::from(u16::from_le_bytes([e[0], e[1]]))).collect(),
        })
    }

    /// The clusters of the chain that begins at `first`.
    pub(super) fn chain(&self, table: &[u32], first: u32) -> io::Result<Vec<u32>> {
        let mut chain = Vec::new();
        let mut cluster = first;
        while cluster < self.end() {
            // A chain has no more links than the file system has clusters; a longer one is a loop.
            let next = table.get(cluster as usize).filter(|_| cluster >= 2 && chain.len() < table.len());
            let next = next.filter(|next| **next >= 2 && **next != self.end() - 1);
            chain.push(cluster);
            cluster = *next.ok_or_else(|| damaged(format!("the chain from cluster {first} breaks at {cluster}")))?;
        }
        Ok(chain)
    }

    /// The slots of the folder that begins at `first`, of the root folder where there is none, up to its end.
    pub(super) fn slots(
        &self,
        disk: &mut (impl Read + Seek),
        table: &[u32],
        first: Option<u32>,
    ) -> io::Result<Vec<Slot>> {
        let mut pieces = Vec::new();
        match first.or(self.root_cluster) {
            Some(first) => {
                for cluster in self.chain(table, first)? {
                    pieces.push((self.offset(cluster)?, self.cluster));
                }
            }
            None => pieces.push(self.fixed_root),
        }
        let mut slots = Vec::new();
        for (offset, length) in pieces {
            let bytes = read_at(disk, offset, length)?;
            for (at, slot) in (offset..).step_by(SLOT).zip(bytes.chunks_exact(SLOT)) {
                if slot[0] == 0 {
                    return Ok(slots);
                }
                let mut bytes = [0; SLOT];
                bytes.copy_from_slice(slot);
                slots.push(Slot { at, bytes });
            }
        }
        Ok(slots)
    }

    /// The first cluster of the file or folder in `slot`; none of an empty file, and of `..` that is the root.
    pub(super) fn first(&self, slot: &Slot) -> Option<u32> {
        let high = if self.root_cluster.is_some() { [slot.bytes[20], slot.bytes[21]] } else { [0, 0] };
        let first = u32::from_le_bytes([slot.bytes[26], slot.bytes[27], high[0], high[1]]);
        (first != 0).then_some(first)
    }
}

/// An error that says what is wrong with the file system.
pub(super) fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

pub(super) fn read_at(disk: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Vec<u8>> {
    disk.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}
