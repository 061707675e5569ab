//! Every write of a machine to its disk, as QEMU's `blklogwrites` records it (the format of the kernel's
//! `drivers/md/dm-log-writes.c`), and the disks that a power cut at some point would have left.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FORCE_UNIT_ACCESS: u64 = 2;
const DISCARD: u64 = 4;
/// Sectors of entries are of this many bytes, whatever the log's own sectors are.
const SECTOR: u64 = 512;

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// First byte of the disk.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Where the data begin in the log's file.
    data: u64,
    flags: u64,
}

impl Entry {
    /// Whether everything before it is on the disk once it is done.
    #[must_use]
    pub fn flushes(&self) -> bool {
        self.flags & FLUSH != 0
    }

    fn is_durable_by_itself(&self) -> bool {
        self.flags & FORCE_UNIT_ACCESS != 0
    }
}

/// What becomes of an entry that was not flushed. A disk promises no more than that a sector is written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing of it is there.
    Lost,
    /// All of it is there.
    Whole,
    /// Every second KiB of it is there, from the first.
    EvenKilobytes,
    /// Every second KiB of it is there, from the second.
    OddKilobytes,
}

impl Fate {
    /// The fate of entry `number`, the same whenever it is asked for with the same `salt`.
    #[must_use]
    pub fn of(number: usize, salt: usize) -> Self {
        let mixed = (number.wrapping_mul(0x9e37_79b9) ^ salt.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35);
        [Self::Lost, Self::Whole, Self::EvenKilobytes, Self::OddKilobytes][(mixed >> 13) & 3]
    }
}

/// A recorded log.
pub struct WriteLog {
    file: File,
    /// Its entries in the order in which they were done.
    pub entries: Vec<Entry>,
}

impl WriteLog {
    /// Reads the entries of `path`.
    ///
    /// # Errors
    /// It is not such a log.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0).context("reading the superblock")?;
        ensure!(number(&head, 0) == MAGIC, "{} is not a log of writes", path.display());
        let sector = u64::from(u32::from_le_bytes(head[24..28].try_into()?));
        let mut entries = Vec::new();
        let mut at = sector;
        // The superblock's count is only brought up to date on a flush; the log ends where no entry can be.
        while at + sector <= length {
            let mut head = [0; 32];
            file.read_exact_at(&mut head, at)?;
            let (first, count, flags) = (number(&head, 0), number(&head, 8), number(&head, 16));
            if count == 0 && flags == 0 {
                break;
            }
            let stored = if flags & DISCARD != 0 { 0 } else { count * sector };
            entries.push(Entry { offset: first * sector, length: count * sector, data: at + sector, flags });
            at += sector + stored;
        }
        ensure!(sector.is_multiple_of(SECTOR), "sectors of {sector} bytes");
        Ok(Self { file, entries })
    }

    /// The bytes that `entry` wrote; zeros for a discard.
    ///
    /// # Errors
    /// The log was cut short.
    pub fn data(&self, entry: &Entry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(entry.length)?];
        if entry.flags & DISCARD == 0 {
            self.file.read_exact_at(&mut bytes, entry.data)?;
        }
        Ok(bytes)
    }

    /// The numbers of the entries that write into one of `areas`, in bytes of the disk.
    #[must_use]
    pub fn within(&self, areas: &[Range<u64>]) -> Vec<usize> {
        let touches = |entry: &Entry, area: &Range<u64>| {
            entry.length > 0 && entry.offset < area.end && area.start < entry.offset + entry.length
        };
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, entry)| areas.iter().any(|area| touches(entry, area))).map(|(number, _)| number).collect()
    }

    /// The numbers of the entries whose data contain `text`.
    ///
    /// # Errors
    /// The log was cut short.
    pub fn containing(&self, text: &[u8]) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.length >= text.len() as u64 && entry.length <= 8 << 20 {
                let data = self.data(entry)?;
                if data.windows(text.len()).any(|window| window == text) {
                    found.push(number);
                }
            }
        }
        Ok(found)
    }

    /// Brings `disk` from the state before the first entry to what a power cut just before entry `cut` would have left: all
    /// that was flushed, and of the rest what `fate` says by number. Where entries that are not flushed overlap, the older one
    /// stays, as if the disk had written the newer one first and lost it again.
    ///
    /// # Errors
    /// The disk can't be written.
    pub fn replay(&self, disk: &File, cut: usize, fate: impl Fn(usize) -> Fate) -> Result<()> {
        let flushed = self.flushed(cut);
        for number in 0..flushed {
            self.apply(disk, number, Fate::Whole)?;
        }
        let durable = |number: &usize| self.entries[*number].is_durable_by_itself();
        for number in (flushed..cut).rev().filter(|number| !durable(number)) {
            self.apply(disk, number, fate(number))?;
        }
        for number in (flushed..cut).filter(durable) {
            self.apply(disk, number, Fate::Whole)?;
        }
        Ok(())
    }

    /// How many of the entries before `cut` are on the disk for certain.
    #[must_use]
    pub fn flushed(&self, cut: usize) -> usize {
        self.entries[..cut].iter().rposition(Entry::flushes).unwrap_or(0)
    }

    fn apply(&self, disk: &File, number: usize, fate: Fate) -> Result<()> {
        let entry = &self.entries[number];
        if entry.length == 0 || fate == Fate::Lost {
            return Ok(());
        }
        let data = self.data(entry)?;
        let doing = || format!("writing entry {number}");
        if fate == Fate::Whole {
            return disk.write_all_at(&data, entry.offset).with_context(doing);
        }
        let kept = if fate == Fate::EvenKilobytes { 0 } else { 1 };
        for (place, piece) in (0..).zip(data.chunks(1024)).filter(|(place, _)| place % 2 == kept) {
            disk.write_all_at(piece, entry.offset + place * 1024).with_context(doing)?;
        }
        Ok(())
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with sectors of 512 bytes; each entry is (sector, flags, bytes filled with).
    fn log(entries: &[(u64, u64, &[u8])]) -> WriteLog {
        let mut text = Vec::new();
        for field in [MAGIC, 1, entries.len() as u64, SECTOR] {
            text.extend(field.to_le_bytes());
        }
        text.resize(512, 0);
        for (sector, flags, fill) in entries {
            let start = text.len();
            for field in [*sector, fill.len() as u64, *flags, 0] {
                text.extend(field.to_le_bytes());
            }
            text.resize(start + 512, 0);
            fill.iter().for_each(|byte| text.extend([*byte; 512]));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all_at(&text, 0).unwrap();
        WriteLog::open(file.path()).unwrap()
    }

    /// The first byte of each of the disk's first eight sectors.
    fn after(log: &WriteLog, cut: usize, fate: impl Fn(usize) -> Fate) -> Vec<u8> {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(8 * 512).unwrap();
        log.replay(&disk, cut, fate).unwrap();
        let first = |sector: u64| {
            let mut byte = [0];
            disk.read_exact_at(&mut byte, sector * 512).unwrap();
            byte[0]
        };
        (0..8).map(first).collect()
    }

    #[test]
    fn what_was_flushed_is_there_whatever_the_fates() {
        let log = log(&[(0, 0, b"a"), (0, FLUSH, b""), (1, 0, b"b"), (0, FLUSH, b""), (2, 0, b"c")]);
        assert_eq!(log.entries.len(), 5);
        assert_eq!(after(&log, 5, |_| Fate::Lost), b"ab\0\0\0\0\0\0");
        assert_eq!(after(&log, 3, |_| Fate::Lost), b"a\0\0\0\0\0\0\0");
        assert_eq!(after(&log, 5, |_| Fate::Whole), b"abc\0\0\0\0\0");
    }

    #[test]
    fn what_was_not_flushed_is_torn_and_out_of_order_unless_it_is_durable_by_itself() {
        let log = log(&[(0, 0, b"aaaaaaaa"), (0, 0, b"bb"), (1, FORCE_UNIT_ACCESS, b"c"), (1, 0, b"d")]);
        assert_eq!(after(&log, 2, |_| Fate::Whole), b"aaaaaaaa");
        assert_eq!(after(&log, 1, |_| Fate::EvenKilobytes), b"aa\0\0aa\0\0");
        assert_eq!(after(&log, 1, |_| Fate::OddKilobytes), b"\0\0aa\0\0aa");
        assert_eq!(after(&log, 4, |_| Fate::Lost), b"\0c\0\0\0\0\0\0");
        assert_eq!(after(&log, 4, |_| Fate::Whole), b"acaaaaaa");
    }

    #[test]
    fn writes_are_found_by_place_and_by_content() {
        let log = log(&[(0, 0, b"ab"), (3, 0, b"c"), (5, 0, b"ab")]);
        assert_eq!(log.within(&[1536..1537, 512..520]), [0, 1]);
        assert_eq!(log.containing(b"ab").unwrap(), [0, 2]);
    }
}
