//! A range of a file as a device of its own, kept in memory page by page until it is written back whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::ordered::Write as Change;

/// What a disk promises to write whole, in bytes.
pub(super) const SECTOR: u64 = 512;
/// Bytes per page. fatfs reads and writes a few bytes at a time; a page makes one system call of a thousand.
const PAGE: u64 = 4096;

/// A range of a file. What is written is seen by later reads at once and by the file after [`Region::write_back`].
#[derive(Debug)]
pub(super) struct Region {
    file: File,
    range: Range<u64>,
    position: u64,
    pages: BTreeMap<u64, Page>,
}

#[derive(Debug)]
struct Page {
    data: Vec<u8>,
    /// What the file has there, where that may differ.
    old: Option<Vec<u8>>,
}

impl Region {
    /// The bytes `range` of `file`, which must be at least that long.
    pub(super) fn new(file: &File, range: Range<u64>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if file.metadata()?.is_file() && length < range.end {
            let what = format!("the file has {length} bytes, the region ends at {}", range.end);
            return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
        }
        Ok(Self { file: file.try_clone()?, range, position: 0, pages: BTreeMap::new() })
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Writes every sector that differs from the file's, so that holes stay holes.
    pub(super) fn write_back(&mut self) -> io::Result<()> {
        let changes = self.take_changes(|_| true);
        changes.iter().try_for_each(|write| self.file.write_all_at(&write.bytes, write.offset))
    }

    /// The sectors that were changed, of those whose offset in the region is `wanted`, as writes to the file, which from now on is
    /// taken to have them.
    pub(super) fn take_changes(&mut self, wanted: impl Fn(u64) -> bool) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for (number, page) in &mut self.pages {
            let Some(old) = &mut page.old else { continue };
            let starts = (number * PAGE..).step_by(SECTOR as usize);
            let sectors = page.data.chunks(SECTOR as usize).zip(old.chunks_mut(SECTOR as usize));
            for (start, (new, old)) in starts.zip(sectors).filter(|(_, (new, old))| new != old) {
                if !wanted(start) {
                    continue;
                }
                old.copy_from_slice(new);
                let offset = self.range.start + start;
                match changes.last_mut() {
                    Some(last) if last.offset + last.bytes.len() as u64 == offset => last.bytes.extend_from_slice(new),
                    _ => changes.push(Change { offset, bytes: new.to_vec() }),
                }
            }
            if *old == page.data {
                page.old = None;
            }
        }
        changes
    }

    /// The page at the position, how far into it the position is, and how much of `wanted` bytes it can serve.
    fn here(&mut self, wanted: usize) -> io::Result<(&mut Page, usize, usize)> {
        let number = self.position / PAGE;
        let start = number * PAGE;
        let size = usize::try_from(PAGE.min(self.len() - start)).map_err(io::Error::other)?;
        let page = match self.pages.entry(number) {
            std::collections::btree_map::Entry::Occupied(page) => page.into_mut(),
            std::collections::btree_map::Entry::Vacant(slot) => {
                let mut data = vec![0; size];
                self.file.read_exact_at(&mut data, self.range.start + start)?;
                slot.insert(Page { data, old: None })
            }
        };
        let into = usize::try_from(self.position - start).map_err(io::Error::other)?;
        Ok((page, into, wanted.min(size - into)))
    }
}

impl Read for Region {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.len() {
            return Ok(0);
        }
        let (page, into, count) = self.here(buffer.len())?;
        buffer[..count].copy_from_slice(&page.data[into..into + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Region {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.len() {
            return Ok(0);
        }
        let (page, into, count) = self.here(buffer.len())?;
        page.old.get_or_insert_with(|| page.data.clone());
        page.data[into..into + count].copy_from_slice(&buffer[..count]);
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Region {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (self.position, by),
            SeekFrom::End(by) => (self.len(), by),
        };
        let position = base.checked_add_signed(by).filter(|p| *p <= self.len());
        self.position = position.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "seek out of the region"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_inside_its_range_and_changes_the_file_only_when_written_back() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 20_000], 0).unwrap();
        let mut region = Region::new(&file, 1000..11_000).unwrap();
        region.seek(SeekFrom::Start(4090)).unwrap();
        region.write_all(&[9; 12]).unwrap();
        region.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(region.write(&[9, 9]).unwrap(), 1, "the byte after the region is not ours");
        let mut byte = [0];
        file.read_exact_at(&mut byte, 1000 + 4090).unwrap();
        assert_eq!(byte, [7]);
        region.write_back().unwrap();
        let mut all = vec![0; 20_000];
        file.read_exact_at(&mut all, 0).unwrap();
        let changed: Vec<usize> = (0..all.len()).filter(|at| all[*at] != 7).collect();
        let expected: Vec<usize> = (5090..5102).chain([10_999]).collect();
        assert_eq!(changed, expected);
    }

    #[test]
    fn refuses_a_range_beyond_the_end_of_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        assert!(Region::new(&file, 50..101).unwrap_err().to_string().contains("100 bytes"));
    }
}
