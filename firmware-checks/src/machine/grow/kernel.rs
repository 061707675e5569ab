//! What the kernel knows about the disk, and how it is told that a partition has grown.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::libc;
use nix::sys::stat::makedev;

use super::table::Geometry;

/// Whether a file system on `device` is mounted, by `proc_pid_mountinfo(5)` below `root`.
pub(super) fn is_mounted(root: &Path, device: &Path) -> io::Result<bool> {
    let number = fs::metadata(device)?.rdev();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo"))?;
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(2)).filter_map(numbers).any(|found| found == number))
}

fn numbers(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}

nix::ioctl_read_bad!(
    /// `BLKSSZGET`: bytes per logical sector.
    logical_sector,
    nix::request_code_none!(0x12, 104),
    libc::c_int
);
nix::ioctl_write_ptr_bad!(
    /// `BLKPG`: changes what the kernel knows about a partition, without writing to the disk.
    blkpg,
    nix::request_code_none!(0x12, 105),
    BlkpgRequest
);

/// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
#[repr(C)]
pub struct BlkpgRequest {
    op: libc::c_int,
    flags: libc::c_int,
    datalen: libc::c_int,
    data: *const BlkpgPartition,
}

/// `struct blkpg_partition` of `linux/blkpg.h`: bytes, and names that the kernel ignores.
#[repr(C)]
pub struct BlkpgPartition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    number: libc::c_int,
    names: [u8; 128],
}

/// `BLKPG_RESIZE_PARTITION` of `linux/blkpg.h`.
const RESIZE: libc::c_int = 3;

/// The size of the disk `disk`.
#[allow(unsafe_code)]
pub(super) fn geometry(disk: &File) -> io::Result<Geometry> {
    let mut sector: libc::c_int = 0;
    // SAFETY: BLKSSZGET stores one int; `sector` is one, and outlives the call.
    unsafe { logical_sector(disk.as_fd().as_raw_fd(), &raw mut sector) }?;
    let sector = u64::try_from(sector).ok().filter(|sector| *sector >= 512);
    let sector = sector.ok_or_else(|| io::Error::other("its sectors have no valid size"))?;
    let mut end = disk;
    Ok(Geometry { sector, sectors: end.seek(SeekFrom::End(0))? / sector })
}

/// Tells the kernel that the partition `number` of `disk`, which begins at the byte `start`, has `size` bytes. It may be mounted.
#[allow(unsafe_code)]
pub(super) fn tell_kernel(disk: BorrowedFd<'_>, number: u32, start: u64, size: u64) -> io::Result<()> {
    let partition = BlkpgPartition {
        start: i64::try_from(start).map_err(io::Error::other)?,
        length: i64::try_from(size).map_err(io::Error::other)?,
        number: i32::try_from(number).map_err(io::Error::other)?,
        names: [0; 128],
    };
    let datalen = i32::try_from(size_of::<BlkpgPartition>()).map_err(io::Error::other)?;
    let request = BlkpgRequest { op: RESIZE, flags: 0, datalen, data: &raw const partition };
    // SAFETY: the kernel only reads `request` and the `partition` it points to; both outlive the call and are laid out as in
    // linux/blkpg.h.
    unsafe { blkpg(disk.as_raw_fd(), &raw const request) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_laid_out_as_the_kernel_has_it() {
        assert_eq!((size_of::<BlkpgPartition>(), size_of::<BlkpgRequest>()), (152, 24));
    }
}
