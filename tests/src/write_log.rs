//! Every write of a machine to its disk, as QEMU's `blklogwrites` records it (the format of the kernel's
//! `drivers/md/dm-log-writes.c`), and the disks that a power cut at some point would have left.

use std::fs::File;
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

    /// Brings `disk` from the state before entry `from` to what a power cut just before entry `cut` would have left: all
    /// that was flushed, and of the rest what `keep` says by number, in an order that `keep`'s caller can't rely on.
    ///
    /// # Errors
    /// The disk can't be written.
    pub fn replay(&self, disk: &File, from: usize, cut: usize, keep: impl Fn(usize) -> bool) -> Result<()> {
        let last_flush = self.entries[..cut].iter().rposition(Entry::flushes).unwrap_or(0);
        for number in from..last_flush.max(from) {
            self.apply(disk, number)?;
        }
        let late = (last_flush.max(from)..cut).rev();
        for number in late.filter(|number| self.entries[*number].is_durable_by_itself() || keep(*number)) {
            self.apply(disk, number)?;
        }
        Ok(())
    }

    fn apply(&self, disk: &File, number: usize) -> Result<()> {
        let entry = &self.entries[number];
        if entry.length > 0 {
            disk.write_all_at(&self.data(entry)?, entry.offset).with_context(|| format!("writing entry {number}"))?;
        }
        Ok(())
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
