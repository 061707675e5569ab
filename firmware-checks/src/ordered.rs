//! Writes to a disk in groups, each durable before the next begins: what a power cut may leave is then known.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Bytes to be written to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where, in bytes from its beginning.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Writes `groups` to `disk`, each durable before the next begins. Says whether there was anything to write.
///
/// # Errors
/// The failing system call's.
pub fn apply(disk: &File, groups: &[Vec<Write>]) -> io::Result<bool> {
    for group in groups.iter().filter(|group| !group.is_empty()) {
        for write in group {
            disk.write_all_at(&write.bytes, write.offset)?;
        }
        disk.sync_data()?;
    }
    Ok(groups.iter().any(|group| !group.is_empty()))
}

/// Makes the kernel forget what it has read of `disk`, so that the next reading asks the disk itself. What was written must be
/// durable already.
///
/// # Errors
/// The system call's.
pub fn forget(disk: &File) -> io::Result<()> {
    Ok(posix_fadvise(disk, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}

#[cfg(test)]
pub(crate) mod cuts {
    //! What a power cut may leave of a group.

    use super::Write;

    /// The writes of one group, sector by sector, each of `sector` bytes.
    pub(crate) fn sectors(group: &[Write], sector: u64) -> Vec<Write> {
        let size = usize::try_from(sector).unwrap();
        let of = |write: &Write| {
            let offsets = (write.offset..).step_by(size);
            let pieces = offsets.zip(write.bytes.chunks(size).map(<[u8]>::to_vec));
            pieces.map(|(offset, bytes)| Write { offset, bytes }).collect::<Vec<_>>()
        };
        group.iter().flat_map(of).collect()
    }

    /// Which of `count` unsynced sectors reached the disk before the power went: every prefix, every suffix, each one missing,
    /// each one alone, and many arbitrary choices; of more than 16 sectors only some of the first kinds.
    pub(crate) fn survivors(count: usize) -> Vec<Vec<bool>> {
        let mut all: Vec<Vec<bool>> = Vec::new();
        for at in (0..=count).step_by((count / 16).max(1)) {
            all.push((0..count).map(|index| index < at).collect());
            all.push((0..count).map(|index| index >= at).collect());
            all.push((0..count).map(|index| index != at).collect());
            all.push((0..count).map(|index| index == at).collect());
        }
        let mut state = 1_u64;
        for _ in 0..100 {
            let mut choice = Vec::new();
            for _ in 0..count {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                choice.push(state >> 63 == 1);
            }
            all.push(choice);
        }
        all
    }
}
