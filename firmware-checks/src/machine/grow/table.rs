//! One copy of a GUID partition table (UEFI 2.10 §5.3.2, §5.3.3): read, judged, and fitted to a larger disk.
//!
//! Header and entries are kept as bytes, and only the fields that a larger disk changes are written anew: whatever
//! else another tool wrote into them stays.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How large a disk is and in what pieces it is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes per logical sector: 512 or 4096.
    pub sector: u64,
    /// Number of logical sectors.
    pub sectors: u64,
}

impl Geometry {
    /// The address of the last sector, where the backup header belongs.
    #[must_use]
    pub fn last(self) -> u64 {
        self.sectors.saturating_sub(1)
    }
}

/// Where the primary header is.
pub(super) const PRIMARY: u64 = 1;
/// Bytes of a header as the specification's version 1.0 has it.
const HEADER: usize = 92;
/// No table has entries of more bytes than this together; a larger number is damage.
const MOST_ENTRIES: u64 = 1 << 20;

const HEADER_SIZE: usize = 12;
const HEADER_CRC: usize = 16;
const MY_LBA: usize = 24;
const ALTERNATE_LBA: usize = 32;
const LAST_USABLE: usize = 48;
const ENTRIES_LBA: usize = 72;
const ENTRY_COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;
const ENTRIES_CRC: usize = 88;

/// A header with its entries, both checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// One sector.
    pub header: Vec<u8>,
    /// Whole sectors.
    pub entries: Vec<u8>,
}

/// A used entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number, from 1: the kernel's partition number.
    pub number: u32,
    pub first: u64,
    pub last: u64,
    pub name: String,
}

impl Copy {
    /// The copy whose header is at the sector `at`; `None` where there is no whole, undamaged one.
    pub(super) fn read(disk: &File, geometry: Geometry, at: u64) -> io::Result<Option<Self>> {
        if at == 0 || at > geometry.last() {
            return Ok(None);
        }
        let mut header = bytes(geometry.sector)?;
        disk.read_exact_at(&mut header, at * geometry.sector)?;
        let copy = Self { header, entries: Vec::new() };
        if !copy.header_is_whole(at) {
            return Ok(None);
        }
        let length = u64::from(copy.u32(ENTRY_COUNT)) * u64::from(copy.u32(ENTRY_SIZE));
        let start = copy.u64(ENTRIES_LBA);
        let sectors = length.div_ceil(geometry.sector);
        if copy.u32(ENTRY_SIZE) < 128 || length > MOST_ENTRIES || start.saturating_add(sectors) > geometry.sectors {
            return Ok(None);
        }
        let mut entries = bytes(sectors * geometry.sector)?;
        disk.read_exact_at(&mut entries, start * geometry.sector)?;
        let copy = Self { entries, ..copy };
        Ok((crc32(copy.listed()) == copy.u32(ENTRIES_CRC)).then_some(copy))
    }

    fn header_is_whole(&self, at: u64) -> bool {
        let size = self.u32(HEADER_SIZE) as usize;
        self.header.starts_with(b"EFI PART")
            && (HEADER..=self.header.len()).contains(&size)
            && self.u64(MY_LBA) == at
            && self.header_crc() == self.u32(HEADER_CRC)
    }

    /// The used entries, in the table's order.
    pub(super) fn used(&self) -> Vec<Entry> {
        let size = self.u32(ENTRY_SIZE) as usize;
        let entry = |(number, entry): (u32, &[u8])| Entry {
            number,
            first: le64(entry, 32),
            last: le64(entry, 40),
            name: name(&entry[56..128]),
        };
        (1..).zip(self.listed().chunks_exact(size)).filter(|(_, entry)| entry[..16] != [0; 16]).map(entry).collect()
    }

    /// How many sectors the entries take.
    pub(super) fn entry_sectors(&self, geometry: Geometry) -> u64 {
        self.entries.len() as u64 / geometry.sector
    }

    /// The last sector that partitions may use on a disk of `geometry`.
    pub(super) fn last_usable(&self, geometry: Geometry) -> u64 {
        geometry.last().saturating_sub(self.entry_sectors(geometry) + 1)
    }

    /// This table for a disk of `geometry`, with the entry `number` ending at the sector `last`: the primary and the backup copy.
    pub(super) fn fitted(&self, geometry: Geometry, number: u32, last: u64) -> (Self, Self) {
        let mut fitted = self.clone();
        let at = (number - 1) as usize * self.u32(ENTRY_SIZE) as usize + 40;
        fitted.entries[at..at + 8].copy_from_slice(&last.to_le_bytes());
        fitted.put32(ENTRIES_CRC, crc32(fitted.listed()));
        fitted.put64(LAST_USABLE, self.last_usable(geometry));
        let mut backup = fitted.clone();
        fitted.place(PRIMARY, geometry.last(), PRIMARY + 1);
        backup.place(geometry.last(), PRIMARY, self.last_usable(geometry) + 1);
        (fitted, backup)
    }

    /// The sector of the header.
    pub(super) fn at(&self) -> u64 {
        self.u64(MY_LBA)
    }

    /// The sector at which the entries begin.
    pub(super) fn entries_at(&self) -> u64 {
        self.u64(ENTRIES_LBA)
    }

    fn place(&mut self, mine: u64, other: u64, entries: u64) {
        self.put64(MY_LBA, mine);
        self.put64(ALTERNATE_LBA, other);
        self.put64(ENTRIES_LBA, entries);
        self.put32(HEADER_CRC, self.header_crc());
    }

    /// The entries without what fills up their last sector.
    fn listed(&self) -> &[u8] {
        let length = self.u32(ENTRY_COUNT) as usize * self.u32(ENTRY_SIZE) as usize;
        &self.entries[..length.min(self.entries.len())]
    }

    /// Over the header's own bytes, with the field that holds it taken as zero.
    fn header_crc(&self) -> u32 {
        let mut header = self.header[..self.u32(HEADER_SIZE) as usize].to_vec();
        header[HEADER_CRC..HEADER_CRC + 4].fill(0);
        crc32(&header)
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.header[at], self.header[at + 1], self.header[at + 2], self.header[at + 3]])
    }

    fn u64(&self, at: usize) -> u64 {
        le64(&self.header, at)
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn bytes(length: u64) -> io::Result<Vec<u8>> {
    Ok(vec![0; usize::try_from(length).map_err(io::Error::other)?])
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// A name of up to 36 UTF-16 units, ended by a zero where it is shorter.
fn name(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// CRC-32 as the specification's §5.3.2 wants it (polynomial 0x04C11DB7, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
