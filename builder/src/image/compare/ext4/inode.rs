//! An inode as it lies on the disk.
//!
//! Offsets are those of `struct ext4_inode` (the kernel's `Documentation/filesystems/ext4/inodes.rst`).

use jiff::Timestamp;

/// The root folder's number.
pub(super) const ROOT: u32 = 2;

/// `EXT4_EXTENTS_FL`: the inode's content is described by extents.
const EXTENTS: u32 = 0x8_0000;
/// `EXT4_INDEX_FL`: how a folder is searched, no property of it.
const INDEX: u32 = 0x1000;

/// What an inode stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Regular,
    Folder,
    Link,
    /// A node for a device of any kind.
    Device,
    /// A named pipe or a socket.
    Other,
}

/// An inode's bytes.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub number: u32,
    /// At least 128 bytes.
    pub raw: Vec<u8>,
}

/// The little-endian number of 16 bits at `at`; 0 beyond the end.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |found| u16::from_le_bytes([found[0], found[1]]))
}

/// The little-endian number of 32 bits at `at`; 0 beyond the end.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

impl Inode {
    fn le16(&self, at: usize) -> u16 {
        le16(&self.raw, at)
    }

    fn le32(&self, at: usize) -> u32 {
        le32(&self.raw, at)
    }

    pub(super) fn kind(&self) -> FileKind {
        match self.le16(0) >> 12 {
            0x8 => FileKind::Regular,
            0x4 => FileKind::Folder,
            0xa => FileKind::Link,
            0x2 | 0x6 => FileKind::Device,
            _ => FileKind::Other,
        }
    }

    /// In octal, as `chmod` takes it, with the file's type in front as in `stat`'s raw mode.
    pub(super) fn mode(&self) -> String {
        format!("{:06o}", self.le16(0))
    }

    pub(super) fn owner(&self) -> String {
        let of = |low, high| u32::from(self.le16(low)) | u32::from(self.le16(high)) << 16;
        format!("{}:{}", of(0x02, 0x78), of(0x18, 0x7a))
    }

    /// Bytes of content.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.le32(0x04)) | u64::from(self.le32(0x6c)) << 32
    }

    /// How many names it has.
    pub(super) fn links(&self) -> u16 {
        self.le16(0x1a)
    }

    /// What `chattr` sets, in hexadecimal.
    pub(super) fn flags(&self) -> String {
        format!("{:#x}", self.le32(0x20) & !(EXTENTS | INDEX))
    }

    pub(super) fn has_extents(&self) -> bool {
        self.le32(0x20) & EXTENTS != 0
    }

    /// The 60 bytes that hold extents, a short link's target or a device's number.
    pub(super) fn block(&self) -> &[u8] {
        &self.raw[0x28..0x64]
    }

    /// `MAJOR:MINOR`, in the kernel's old encoding (`huge_encode_dev`) or its new one.
    pub(super) fn device(&self) -> String {
        let (old, new) = (le32(self.block(), 0), le32(self.block(), 4));
        let (major, minor) = match old {
            0 => ((new >> 8) & 0xfff, (new & 0xff) | ((new >> 12) & 0xf_ff00)),
            old => ((old >> 8) & 0xff, old & 0xff),
        };
        format!("{major}:{minor}")
    }

    /// The block of the extended attributes that don't fit into the inode; 0 for none.
    pub(super) fn attribute_block(&self) -> u64 {
        u64::from(self.le32(0x68)) | u64::from(self.le16(0x76)) << 32
    }

    /// What lies behind the inode's fields: extended attributes.
    pub(super) fn rest(&self) -> &[u8] {
        let extra = usize::from(self.le16(0x80));
        self.raw.get(128 + extra..).unwrap_or_default()
    }

    /// The inode's times by their names, as far as it has them.
    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, String)> {
        let extra = usize::from(self.le16(0x80));
        let places =
            [("accessed", 0x08, 0x8c), ("changed", 0x0c, 0x84), ("modified", 0x10, 0x88), ("created", 0x90, 0x94)];
        let there = places.into_iter().filter(move |(_, seconds, _)| *seconds < 0x80 || *seconds + 4 <= 128 + extra);
        there.map(move |(name, seconds, fraction)| {
            let fraction = if fraction + 4 <= 128 + extra { self.le32(fraction) } else { 0 };
            (name, time(self.le32(seconds), fraction))
        })
    }
}

/// `seconds` since 1970, signed; of `extra`, the low two bits go on where 32 bits end, the others are nanoseconds.
fn time(seconds: u32, extra: u32) -> String {
    let (epoch, nanoseconds) = (i64::from(extra & 3), extra >> 2);
    let seconds = i64::from(seconds.cast_signed()) + (epoch << 32);
    let known = i32::try_from(nanoseconds).ok().and_then(|nanoseconds| Timestamp::new(seconds, nanoseconds).ok());
    known.map_or_else(|| format!("{seconds} s {nanoseconds} ns"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_on_after_2038_and_before_1970() {
        assert_eq!(time(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(time(u32::MAX, 0), "1969-12-31T23:59:59Z");
        assert_eq!(time(0x8000_0000, 1 | 500 << 2), "2038-01-19T03:14:08.0000005Z");
        assert_eq!(time(1, u32::MAX), "12884901889 s 1073741823 ns");
    }
}
