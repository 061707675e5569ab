//! QEMU's format, version 3 (`docs/interop/qcow2` of QEMU), each cluster compressed with zstd, which QEMU reads from 5.1 on.
//!
//! A header, the two levels of tables that say where each cluster of the disk lies, the clusters in the disk's order, and behind
//! them the counts of what refers to each cluster of the file. Clusters of zeros are left out. Numbers are big-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::parallel;
use crate::sparse;

/// How a file begins.
pub(super) const MAGIC: &[u8] = b"QFI\xfb";
/// Where the disk's size is told.
pub(super) const SIZE_AT: usize = 24;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
/// How many clusters of the disk a table of the second level has.
const TABLE: usize = CLUSTER / 8;
/// How many clusters of the file a block of counts has: each is 16 bits wide.
const COUNTS: usize = CLUSTER / 2;
const COUNT_ORDER: u32 = 4;
/// What compressed clusters are counted in, in bytes.
const SECTOR: u64 = 512;
/// A table's entry: referred to once, so that it can be written where it lies.
const ALONE: u64 = 1 << 63;
/// A table's entry: compressed; its sectors but the first are counted from this bit on.
const COMPRESSED: u64 = 1 << 62;
const SECTORS_AT: u32 = 62 - (CLUSTER_BITS - 8);
/// A reader must know of the field behind these 104 bytes, which says that it is zstd.
const HAS_COMPRESSION: u64 = 1 << 3;
const ZSTD: u8 = 1;
const HEADER: u32 = 112;
/// zstd's own scale.
const LEVEL: i32 = 3;
/// How many clusters are compressed before the next are read.
const BATCH: usize = 512;

/// Writes the disk `raw` to the empty file `to`, and says when it is final.
pub(super) fn write(raw: &File, to: &File, reached: &mut dyn FnMut(u64)) -> io::Result<()> {
    let size = raw.metadata()?.len();
    let mut image = Image::new(to, size);
    let clusters: Vec<usize> = (0..image.entries.len()).collect();
    for batch in clusters.chunks(BATCH) {
        let (start, end) = (batch[0] * CLUSTER, (batch[0] + batch.len()) * CLUSTER);
        if sparse::next_data(raw, start as u64)?.is_none_or(|data| data >= end as u64) {
            continue;
        }
        let found = parallel::map(batch, |number| Cluster::read(raw, *number, size))?;
        batch.iter().zip(&found).try_for_each(|(number, cluster)| image.put(*number, cluster))?;
    }
    reached(image.finish(size)?);
    Ok(())
}

/// What of a cluster is written.
enum Cluster {
    Zeros,
    Compressed(Vec<u8>),
    /// Compressed it would be larger.
    Plain(Vec<u8>),
}

impl Cluster {
    /// The cluster `number` of `raw`, which is `size` bytes long.
    fn read(raw: &File, number: usize, size: u64) -> io::Result<Self> {
        let start = (number * CLUSTER) as u64;
        let mut bytes = vec![0; CLUSTER];
        raw.read_exact_at(&mut bytes[..(size - start).min(CLUSTER as u64) as usize], start)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Self::Zeros);
        }
        let compressed = zstd::bulk::compress(&bytes, LEVEL)?;
        Ok(if compressed.len() < CLUSTER { Self::Compressed(compressed) } else { Self::Plain(bytes) })
    }
}

/// A file that is being written.
struct Image<'a> {
    to: &'a File,
    /// Where its tables of the second level begin.
    tables: u64,
    /// Where each cluster of the disk lies, as the tables say it.
    entries: Vec<u64>,
    /// How much refers to each cluster of the file.
    counts: Vec<u16>,
    /// Where the next bytes go.
    end: u64,
}

impl<'a> Image<'a> {
    fn new(to: &'a File, size: u64) -> Self {
        let entries = vec![0; size.div_ceil(CLUSTER as u64) as usize];
        let tables = entries.len().div_ceil(TABLE);
        let first_level = (tables * 8).div_ceil(CLUSTER);
        let head = 1 + first_level + tables;
        Self {
            to,
            tables: ((1 + first_level) * CLUSTER) as u64,
            entries,
            counts: vec![1; head],
            end: (head * CLUSTER) as u64,
        }
    }

    /// Writes the cluster `number` of the disk.
    fn put(&mut self, number: usize, cluster: &Cluster) -> io::Result<()> {
        self.entries[number] = match cluster {
            Cluster::Zeros => return Ok(()),
            Cluster::Compressed(bytes) => {
                let at = self.append(bytes)?;
                let (first, last) = (at / SECTOR, (self.end - 1) / SECTOR);
                self.count(first * SECTOR, (last + 1) * SECTOR);
                COMPRESSED | (last - first) << SECTORS_AT | at
            }
            Cluster::Plain(bytes) => {
                self.align();
                let at = self.append(bytes)?;
                self.count(at, self.end);
                ALONE | at
            }
        };
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end;
        self.to.write_all_at(bytes, at)?;
        self.end += bytes.len() as u64;
        Ok(at)
    }

    /// Goes on where a cluster of the file begins.
    fn align(&mut self) {
        self.end = self.end.next_multiple_of(CLUSTER as u64);
    }

    /// Counts one that refers to the bytes from `start` to before `end`.
    fn count(&mut self, start: u64, end: u64) {
        let (first, last) = ((start >> CLUSTER_BITS) as usize, ((end - 1) >> CLUSTER_BITS) as usize);
        self.counts.resize(self.counts.len().max(last + 1), 0);
        self.counts[first..=last].iter_mut().for_each(|count| *count += 1);
    }

    /// Writes everything but the clusters. Gives the file's length.
    fn finish(mut self, size: u64) -> io::Result<u64> {
        self.align();
        let data = (self.end >> CLUSTER_BITS) as usize;
        let (mut blocks, mut block_tables) = (0, 0);
        // The counts count their own clusters, too.
        while blocks * COUNTS < data + blocks + block_tables {
            blocks += 1;
            block_tables = (blocks * 8).div_ceil(CLUSTER);
        }
        self.counts.resize(data + blocks + block_tables, 1);
        let counts: Vec<u8> = self.counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        let blocks_at = self.append(&counts)?;
        self.end = blocks_at + (blocks * CLUSTER) as u64;
        let block_table = self.append(&addresses(blocks_at, blocks, 0))?;

        let tables = self.entries.len().div_ceil(TABLE);
        self.to.write_all_at(&addresses(self.tables, tables, ALONE), CLUSTER as u64)?;
        let entries: Vec<u8> = self.entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        self.to.write_all_at(&entries, self.tables)?;
        self.to.write_all_at(&header(size, tables as u32, block_table, block_tables as u32), 0)?;
        let length = (self.counts.len() * CLUSTER) as u64;
        self.to.set_len(length)?;
        Ok(length)
    }
}

/// A table of `number` clusters that lie one after the other from `start` on.
fn addresses(start: u64, number: usize, flags: u64) -> Vec<u8> {
    (start..).step_by(CLUSTER).take(number).flat_map(|at| (at | flags).to_be_bytes()).collect()
}

/// The header; what is zero is not there: a backing file, encryption, snapshots.
fn header(size: u64, tables: u32, block_table: u64, block_tables: u32) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, MAGIC);
    put(4, &3_u32.to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(SIZE_AT, &size.to_be_bytes());
    put(36, &tables.to_be_bytes());
    put(40, &(CLUSTER as u64).to_be_bytes());
    put(48, &block_table.to_be_bytes());
    put(56, &block_tables.to_be_bytes());
    put(72, &HAS_COMPRESSION.to_be_bytes());
    put(96, &COUNT_ORDER.to_be_bytes());
    put(100, &HEADER.to_be_bytes());
    put(104, &[ZSTD]);
    header
}
