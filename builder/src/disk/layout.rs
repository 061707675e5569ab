//! Where each partition begins and ends. Pure arithmetic.

use firmware_checks::units::{Size, Unit};
use serde::{Deserialize, Serialize};

use crate::recipe::schema;

/// One mebibyte, to which every partition is aligned: it fits every disk's physical sectors and flash blocks.
pub const MIB: u64 = 1 << 20;

/// What a partition is for, in the order on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// GRUB's core image, for legacy BIOS.
    Bios,
    /// The EFI system partition.
    Esp,
    /// The site configuration.
    Site,
    /// The root file system.
    Root,
    /// Everything that a running appliance keeps; grows to fill the disk, hence the last.
    Data,
}

impl Part {
    /// All of them, in the order on the disk.
    pub const ALL: [Self; 5] = [Self::Bios, Self::Esp, Self::Site, Self::Root, Self::Data];

    /// The partition's name in the table (`PARTLABEL`).
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Esp => "esp",
            Self::Site => "site",
            Self::Root => "root",
            Self::Data => "data",
        }
    }
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Partition {
    /// What it is for.
    pub part: Part,
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl Partition {
    /// Its bytes on the disk.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        self.start..self.start + self.size
    }
}

/// What a root file system holds, as far as its size goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Bytes in blocks of 4 KiB.
    pub bytes: u64,
    /// Files, folders and links.
    pub inodes: u64,
}

impl std::ops::Add for Content {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, inodes: self.inodes + other.inodes }
    }
}

/// A partition has no room for what must go into it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The recipe's root is too small.
    #[error(
        "`disk.root` is {found}, but what is installed takes {required}: expected at least that, or no `disk.root` \
         at all, which makes it {default}"
    )]
    RootTooSmall {
        /// As the recipe says.
        found: Size,
        /// What the content takes with the file system's own structures.
        required: Size,
        /// What would be chosen.
        default: Size,
    },
    /// Another partition is too small to hold its file system.
    #[error("`disk.{part}` is {found}: expected at least {required}")]
    TooSmall {
        /// `esp`, `site` or `data`.
        part: &'static str,
        /// As the recipe says.
        found: Size,
        /// The least that works.
        required: Size,
    },
}

/// The partitions of a disk and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Layout {
    /// In the order on the disk: all of [`Part::ALL`], but for the first where no machine starts by BIOS.
    pub partitions: Vec<Partition>,
    /// Bytes of the whole image.
    pub size: u64,
}

impl Layout {
    /// Lays out the partitions that `disk` asks for around a root file system of `content`; with `bios`, one for GRUB's core
    /// image too.
    ///
    /// # Errors
    /// [`Error`]: a partition is too small.
    pub fn new(disk: &schema::Disk, content: Content, bios: bool) -> Result<Self, Error> {
        let sizes = [
            (Part::Bios, MIB),
            (Part::Esp, asked(disk.esp, "esp", 64, 34)?),
            (Part::Site, asked(disk.site, "site", 16, 8)?),
            (Part::Root, root_size(disk.root, content)?),
            (Part::Data, asked(disk.data, "data", 64, 64)?),
        ];
        let mut start = MIB;
        let wanted = sizes.into_iter().filter(|(part, _)| bios || *part != Part::Bios);
        let partitions = wanted.map(|(part, size)| {
            start += size;
            Partition { part, start: start - size, size }
        });
        let partitions = partitions.collect();
        // The last mebibyte is the backup table's.
        Ok(Self { partitions, size: start + MIB })
    }

    /// The partition for `part`.
    ///
    /// # Panics
    /// There is none, which only that for BIOS may be: ask for it by [`Self::bios`].
    #[must_use]
    pub fn of(&self, part: Part) -> &Partition {
        let found = self.partitions.iter().find(|partition| partition.part == part);
        found.unwrap_or_else(|| panic!("a disk without a partition `{}`", part.label()))
    }

    /// The partition for GRUB's core image, where there is one.
    #[must_use]
    pub fn bios(&self) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.part == Part::Bios)
    }
}

/// The size that a recipe asks for, or `default`, in whole MiB; refused below `least` MiB.
fn asked(size: Option<Size>, part: &'static str, default: u64, least: u64) -> Result<u64, Error> {
    let size = size.unwrap_or(Size::new(default, Unit::MiB));
    if size.bytes() < least * MIB {
        return Err(Error::TooSmall { part, found: size, required: Size::new(least, Unit::MiB) });
    }
    Ok(whole(size.bytes()))
}

fn root_size(asked: Option<Size>, content: Content) -> Result<u64, Error> {
    let default = whole((content.bytes + content.bytes / 2).max(content.bytes + (1 << 30)));
    let Some(found) = asked else { return Ok(default) };
    let required = content.bytes + overhead(found.bytes(), content);
    if found.bytes() < required {
        let mib = |bytes: u64| Size::new(bytes.div_ceil(MIB), Unit::MiB);
        return Err(Error::RootTooSmall { found, required: mib(required), default: mib(default) });
    }
    Ok(whole(found.bytes()))
}

/// What ext4 itself takes of `size` bytes: inode table, journal, group descriptors and bitmaps, and the blocks reserved for root.
fn overhead(size: u64, content: Content) -> u64 {
    inodes(size, content) * 256 + journal(size) + size / 50 + 4 * MIB
}

/// How many inodes the root file system of `size` bytes gets: one for every 16 KiB, as is usual, but at least as many again as it holds.
pub(super) fn inodes(size: u64, content: Content) -> u64 {
    (size / 16384).max(content.inodes * 2)
}

/// Bytes of the journal of a root file system of `size` bytes.
pub(super) fn journal(size: u64) -> u64 {
    (size / 32 / MIB).clamp(4, 128) * MIB
}

fn whole(bytes: u64) -> u64 {
    bytes.div_ceil(MIB) * MIB
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn disk(root: Option<Size>) -> schema::Disk {
        schema::Disk { root, ..schema::Disk::default() }
    }

    #[test]
    fn the_default_is_as_documented() {
        let content = Content { bytes: 4 << 30, inodes: 1000 };
        let mib = |bios| {
            let layout = Layout::new(&disk(None), content, bios).unwrap();
            layout.partitions.iter().map(|partition| partition.size / MIB).collect::<Vec<_>>()
        };
        assert_eq!(mib(true), [1, 64, 16, 6 * 1024, 64]);
        assert_eq!(mib(false), [64, 16, 6 * 1024, 64]);
        let small = Layout::new(&disk(None), Content { bytes: 100 * MIB, inodes: 1000 }, true).unwrap();
        assert_eq!(small.of(Part::Root).size, (100 << 20) + (1 << 30), "a small one keeps a GiB free");
    }

    #[test]
    fn a_root_smaller_than_its_content_is_told_with_both_sizes() {
        let content = Content { bytes: 812 * MIB, inodes: 20_000 };
        let error = Layout::new(&disk(Some(Size::new(500, Unit::MB))), content, true).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("`disk.root` is 500 MB, but what is installed takes 8"), "{text}");
        assert!(text.ends_with("which makes it 1836 MiB"), "{text}");
        assert!(Layout::new(&disk(Some(Size::new(1, Unit::GiB))), content, true).is_ok());
    }

    #[test]
    fn a_partition_that_cannot_hold_its_file_system_is_refused() {
        let tiny = schema::Disk { esp: Some(Size::new(10, Unit::MiB)), ..schema::Disk::default() };
        let text = Layout::new(&tiny, Content::default(), true).unwrap_err().to_string();
        assert_eq!(text, "`disk.esp` is 10 MiB: expected at least 34 MiB");
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_and_follow_each_other(root in 0_u64..1 << 40, data in 64 * MIB..1 << 40, content in 0_u64..1 << 39, bios: bool) {
            let size = |bytes| Some(Size::new(bytes, Unit::B));
            let disk = schema::Disk { root: size(root), data: size(data), ..schema::Disk::default() };
            if let Ok(layout) = Layout::new(&disk, Content { bytes: content, inodes: 10 }, bios) {
                let mut end = MIB;
                for (partition, part) in layout.partitions.iter().zip(Part::ALL.into_iter().skip(usize::from(!bios))) {
                    prop_assert_eq!((partition.start, partition.part), (end, part));
                    prop_assert!(partition.size > 0 && partition.size % MIB == 0);
                    end += partition.size;
                }
                prop_assert_eq!(layout.size, end + MIB);
                prop_assert!(layout.of(Part::Root).size >= content);
                prop_assert!(layout.of(Part::Data).size >= data);
            }
        }
    }
}
