//! Finds inodes, names and contents in an ext4 file system, without ever writing.
//!
//! `ext4-view` reads file systems, too, but tells neither inode numbers nor change times, extended attributes and device
//! numbers, which may be all that differs. Layout: the kernel's `Documentation/filesystems/ext4/`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::attributes;
use super::inode::{FileKind, Inode, le16, le32};
use crate::image::compare::Facts;

/// Features (`s_feature_incompat`) that are understood or make no difference to reading: filetype, extents, 64bit, flex_bg,
/// metadata_csum_seed, large_dir.
const UNDERSTOOD: u32 = 0x2 | 0x40 | 0x80 | 0x200 | 0x2000 | 0x4000;
/// `EXT4_FEATURE_INCOMPAT_64BIT`.
const WIDE: u32 = 0x80;
/// How many bytes a folder or a link may take before it is held to be broken.
const SMALL: u64 = 256 << 20;

/// A file system that begins at `start` of `file`.
pub(super) struct Volume<'a> {
    file: &'a File,
    start: u64,
    block_size: u64,
    inode_size: usize,
    inodes_per_group: u32,
    /// The block of each group's inode table.
    tables: Vec<u64>,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub name: Vec<u8>,
    pub inode: u32,
}

/// A run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first block within the file.
    logical: u64,
    /// The first block on the disk; none where the blocks are reserved but were never written.
    physical: Option<u64>,
    blocks: u64,
}

pub(super) fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl<'a> Volume<'a> {
    /// Reads the superblock and the group descriptors of the file system at byte `start`.
    pub(super) fn open(file: &'a File, start: u64) -> io::Result<Self> {
        let mut head = [0; 1024];
        file.read_exact_at(&mut head, start + 1024)?;
        let features = le32(&head, 0x60);
        if features & !UNDERSTOOD != 0 {
            return Err(broken(format!("ext4 features {:#x} are not understood", features & !UNDERSTOOD)));
        }
        let wide = features & WIDE != 0;
        let block_size = 1024_u64.checked_shl(le32(&head, 0x18)).filter(|size| (1024..=65536).contains(size));
        let block_size = block_size.ok_or_else(|| broken("no possible block size"))?;
        let blocks = u64::from(le32(&head, 0x04)) | if wide { u64::from(le32(&head, 0x150)) << 32 } else { 0 };
        let (first_block, per_group) = (u64::from(le32(&head, 0x14)), u64::from(le32(&head, 0x20)));
        let (inodes_per_group, inode_size) = (le32(&head, 0x28), usize::from(le16(&head, 0x58)));
        if per_group == 0 || inodes_per_group == 0 || inode_size < 128 || blocks <= first_block {
            return Err(broken("an impossible superblock"));
        }
        let size = if wide { usize::from(le16(&head, 0xfe)).max(64) } else { 32 };
        let tables = (0..(blocks - first_block).div_ceil(per_group)).map(|group| {
            let mut descriptor = vec![0; size];
            file.read_exact_at(&mut descriptor, start + (first_block + 1) * block_size + group * size as u64)?;
            let high = if wide { u64::from(le32(&descriptor, 0x28)) << 32 } else { 0 };
            Ok(u64::from(le32(&descriptor, 0x08)) | high)
        });
        let tables = tables.collect::<io::Result<_>>()?;
        Ok(Self { file, start, block_size, inode_size, inodes_per_group, tables })
    }

    pub(super) fn inode(&self, number: u32) -> io::Result<Inode> {
        let index = number.checked_sub(1).ok_or_else(|| broken("an inode with the number 0"))?;
        let table = self.tables.get((index / self.inodes_per_group) as usize);
        let table = table.ok_or_else(|| broken(format!("inode {number} lies beyond the last group")))?;
        let within = u64::from(index % self.inodes_per_group) * self.inode_size as u64;
        let mut raw = vec![0; self.inode_size];
        self.file.read_exact_at(&mut raw, self.start + table * self.block_size + within)?;
        Ok(Inode { number, raw })
    }

    /// Everything that a user can see of an inode, except content.
    pub(super) fn facts(&self, inode: &Inode) -> io::Result<Facts> {
        let mut facts = Facts::from([
            ("mode".to_owned(), inode.mode()),
            ("owner".to_owned(), inode.owner()),
            ("links".to_owned(), inode.links().to_string()),
            ("flags".to_owned(), inode.flags()),
        ]);
        facts.extend(inode.times().map(|(name, time)| (name.to_owned(), time)));
        if inode.kind() == FileKind::Device {
            facts.insert("device".to_owned(), inode.device());
        }
        if inode.kind() == FileKind::Link {
            facts.insert("link target".to_owned(), String::from_utf8_lossy(&self.target(inode)?).into_owned());
        }
        let mut found = attributes::in_inode(inode.rest())?;
        if inode.attribute_block() != 0 {
            found.extend(attributes::in_block(&self.block(inode.attribute_block())?)?);
        }
        facts.extend(found.into_iter().map(|(name, value)| (format!("extended attribute {name}"), value)));
        Ok(facts)
    }

    fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; self.block_size as usize];
        self.file.read_exact_at(&mut block, self.start + number * self.block_size)?;
        Ok(block)
    }

    fn target(&self, link: &Inode) -> io::Result<Vec<u8>> {
        if link.has_extents() {
            return self.whole(link);
        }
        let length = usize::try_from(link.size()).unwrap_or(usize::MAX);
        let target = link.block().get(..length);
        target.map(<[u8]>::to_vec).ok_or_else(|| broken(format!("link {} is too long for its inode", link.number)))
    }

    fn whole(&self, inode: &Inode) -> io::Result<Vec<u8>> {
        if inode.size() > SMALL {
            return Err(broken(format!("inode {} has {} bytes", inode.number, inode.size())));
        }
        let mut content = vec![0; inode.size() as usize];
        self.content(inode)?.read(0, &mut content)?;
        Ok(content)
    }

    /// The entries of a folder but `.` and `..`, sorted. What an index adds looks like entries without an inode.
    pub(super) fn names(&self, folder: &Inode) -> io::Result<Vec<Name>> {
        let content = self.whole(folder)?;
        let mut names = Vec::new();
        let mut at = 0;
        while at + 8 <= content.len() {
            let (inode, length, name) = (le32(&content, at), usize::from(le16(&content, at + 4)), content[at + 6]);
            let name = content.get(at + 8..at + 8 + usize::from(name));
            let (Some(name), true) = (name, length >= 8) else {
                return Err(broken(format!("a broken entry in folder {}", folder.number)));
            };
            if inode != 0 && name != b"." && name != b".." {
                names.push(Name { name: name.to_vec(), inode });
            }
            at += length;
        }
        names.sort();
        Ok(names)
    }

    /// Where the inode's content lies, in the order of the file. Nothing for what has its content in the inode itself.
    pub(super) fn places(&self, inode: &Inode) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        if inode.has_extents() {
            self.extents(inode.block(), 5, &mut runs)?;
        } else if matches!(inode.kind(), FileKind::Regular | FileKind::Folder) && inode.size() > 0 {
            return Err(broken(format!("the content of inode {} is not described by extents", inode.number)));
        }
        Ok(runs)
    }

    /// Adds the runs of the extent tree in `node`, of at most `depth` levels.
    fn extents(&self, node: &[u8], depth: u16, runs: &mut Vec<Run>) -> io::Result<()> {
        if le16(node, 0) != 0xf30a || le16(node, 6) > depth {
            return Err(broken("a broken extent tree"));
        }
        let (entries, below) = (usize::from(le16(node, 2)), le16(node, 6));
        for entry in node.chunks_exact(12).skip(1).take(entries) {
            if below > 0 {
                let leaf = u64::from(le32(entry, 4)) | u64::from(le16(entry, 8)) << 32;
                self.extents(&self.block(leaf)?, below - 1, runs)?;
            } else {
                let (length, physical) = (le16(entry, 4), u64::from(le32(entry, 8)) | u64::from(le16(entry, 6)) << 32);
                let (blocks, physical) =
                    if length > 0x8000 { (length - 0x8000, None) } else { (length, Some(physical)) };
                runs.push(Run { logical: le32(entry, 0).into(), physical, blocks: blocks.into() });
            }
        }
        Ok(())
    }

    /// The content of a file, a folder or a long link, to be read.
    pub(super) fn content(&self, inode: &Inode) -> io::Result<Content<'a>> {
        let (start, block_size) = (self.start, self.block_size);
        Ok(Content { file: self.file, start, block_size, runs: self.places(inode)? })
    }
}

/// The content of one inode.
pub(super) struct Content<'a> {
    file: &'a File,
    start: u64,
    block_size: u64,
    runs: Vec<Run>,
}

impl Content<'_> {
    /// Fills `buffer` from `position` of the content on. What lies in no run is zero.
    pub(super) fn read(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        let end = position + buffer.len() as u64;
        for run in &self.runs {
            let Some(physical) = run.physical else { continue };
            let begin = run.logical * self.block_size;
            let (from, to) = (begin.max(position), (begin + run.blocks * self.block_size).min(end));
            if from < to {
                let piece = &mut buffer[(from - position) as usize..(to - position) as usize];
                self.file.read_exact_at(piece, self.start + physical * self.block_size + (from - begin))?;
            }
        }
        Ok(())
    }
}
