//! The times of change (`i_ctime`) in an ext4 file system.
//!
//! mke2fs takes them from the files that it copies, where the host's kernel sets them and nobody else can. From 1.47.1 on it
//! keeps them from being later than `SOURCE_DATE_EPOCH`; for the same bytes with an older one they are set here, and nothing else
//! changes. The layout is the kernel's `Documentation/filesystems/ext4`: super block, group descriptors, inode table, checksums.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crc::{Algorithm, CRC_32_ISCSI, Crc, Table};

/// CRC-32C as ext4 takes it: without the last inversion, so that one part goes on where another ended.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32C);
const CRC_32C: Algorithm<u32> = Algorithm { xorout: 0, ..CRC_32_ISCSI };

const SUPER_BLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

/// Fields of an inode.
const CTIME: usize = 0x0c;
const GENERATION: usize = 0x64;
const CHECKSUM_LOW: usize = 0x7c;
const EXTRA_SIZE: usize = 0x80;
const CHECKSUM_HIGH: usize = 0x82;
const CTIME_EXTRA: usize = 0x84;
/// Where the fields that not every inode has begin.
const EXTRA: usize = 0x80;

/// Sets every time of change in the file system that begins at the byte `start` of `disk`, and that is later than `released`
/// (seconds since 1970), to that.
///
/// # Errors
/// It can't be read or written, or is not laid out as mke2fs does.
pub(super) fn settle(disk: &File, start: u64, released: i64) -> io::Result<()> {
    let file_system = FileSystem::read(disk, start)?;
    let released = u32::try_from(released).map_err(|_| io::Error::other("a release later than 2106"))?;
    for group in 0..file_system.groups {
        let (table, used) = file_system.inode_table(group)?;
        let mut bytes = vec![0; used as usize * file_system.inode_size];
        disk.read_exact_at(&mut bytes, table)?;
        for (index, inode) in bytes.chunks_exact_mut(file_system.inode_size).enumerate() {
            let number = group * file_system.inodes_per_group + index as u32 + 1;
            if file_system.settle(inode, number, released) {
                disk.write_all_at(inode, table + (index * file_system.inode_size) as u64)?;
            }
        }
    }
    Ok(())
}

/// What of a super block says where inodes lie.
struct FileSystem<'a> {
    disk: &'a File,
    start: u64,
    block: u64,
    groups: u32,
    descriptors: u64,
    descriptor_size: u64,
    inodes_per_group: u32,
    inode_size: usize,
    /// What the checksums begin with, where there are some.
    seed: Option<u32>,
}

impl<'a> FileSystem<'a> {
    fn read(disk: &'a File, start: u64) -> io::Result<Self> {
        let mut block = [0; 1024];
        disk.read_exact_at(&mut block, start + SUPER_BLOCK)?;
        let (short, long) = (|at| u16_at(&block, at), |at| u32_at(&block, at));
        let incompat = long(0x60);
        if short(0x38) != MAGIC || incompat & INCOMPAT_META_BG != 0 || short(0x58) < 128 {
            return Err(io::Error::other("no ext4 file system as mke2fs makes it"));
        }
        let size = 1024_u64 << long(0x18);
        let seed = match incompat & INCOMPAT_CSUM_SEED {
            0 => crc(u32::MAX, &[&block[0x68..0x78]]),
            _ => long(0x270),
        };
        Ok(Self {
            disk,
            start,
            block: size,
            groups: long(0).div_ceil(long(0x28).max(1)),
            descriptors: (u64::from(long(0x14)) + 1) * size,
            descriptor_size: if incompat & INCOMPAT_64BIT == 0 { 32 } else { u64::from(short(0xfe)) },
            inodes_per_group: long(0x28),
            inode_size: usize::from(short(0x58)),
            seed: (long(0x64) & RO_COMPAT_METADATA_CSUM != 0).then_some(seed),
        })
    }

    /// Where the inodes of a group begin on the disk, and how many of them may be in use.
    fn inode_table(&self, group: u32) -> io::Result<(u64, u32)> {
        let mut descriptor = [0; 64];
        let size = self.descriptor_size.min(64) as usize;
        let at = self.start + self.descriptors + u64::from(group) * self.descriptor_size;
        self.disk.read_exact_at(&mut descriptor[..size], at)?;
        let block = u64::from(u32_at(&descriptor, 0x08)) | u64::from(u32_at(&descriptor, 0x28)) << 32;
        let unused = u32::from(u16_at(&descriptor, 0x1c)) | u32::from(u16_at(&descriptor, 0x32)) << 16;
        Ok((self.start + block * self.block, self.inodes_per_group.saturating_sub(unused)))
    }

    /// Whether anything of the inode was changed.
    fn settle(&self, inode: &mut [u8], number: u32, released: u32) -> bool {
        let extra = inode.len() >= EXTRA + 4;
        let holds = |inode: &[u8], field: usize| extra && field + 4 <= EXTRA + usize::from(u16_at(inode, EXTRA_SIZE));
        let late = u32_at(inode, CTIME) > released || (holds(inode, CTIME_EXTRA) && u32_at(inode, CTIME_EXTRA) != 0);
        // Neither links nor a mode: the inode is free.
        if !late || u16_at(inode, 0) == 0 {
            return false;
        }
        let time = u32_at(inode, CTIME).min(released);
        inode[CTIME..CTIME + 4].copy_from_slice(&time.to_le_bytes());
        if holds(inode, CTIME_EXTRA) {
            inode[CTIME_EXTRA..CTIME_EXTRA + 4].fill(0);
        }
        if let Some(seed) = self.seed {
            let high = holds(inode, CHECKSUM_HIGH - 2);
            inode[CHECKSUM_LOW..CHECKSUM_LOW + 2].fill(0);
            if high {
                inode[CHECKSUM_HIGH..CHECKSUM_HIGH + 2].fill(0);
            }
            let generation = u32_at(inode, GENERATION);
            let [a, b, c, d] = crc(seed, &[&number.to_le_bytes(), &generation.to_le_bytes(), inode]).to_le_bytes();
            inode[CHECKSUM_LOW..CHECKSUM_LOW + 2].copy_from_slice(&[a, b]);
            if high {
                inode[CHECKSUM_HIGH..CHECKSUM_HIGH + 2].copy_from_slice(&[c, d]);
            }
        }
        true
    }
}

fn crc(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    const START: u64 = 1 << 20;
    const RELEASED: u32 = 1_700_000_000;

    fn run(program: &str, arguments: &[&str]) -> String {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let output = Command::new(program).args(arguments).env("PATH", path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Judged by e2fsck, which knows of checksums, and by debugfs, which reads times.
    #[test]
    fn late_times_become_the_release_and_the_checksums_stay_right() {
        for features in ["64bit,metadata_csum,extent,extra_isize,has_journal", "extent,uninit_bg,flex_bg"] {
            let folder = tempfile::tempdir().unwrap();
            let (tree, image) = (folder.path().join("tree"), folder.path().join("image"));
            fs::create_dir(&tree).unwrap();
            (0..40).for_each(|number| fs::write(tree.join(format!("file{number}")), "x").unwrap());
            let file = File::options().read(true).write(true).create_new(true).open(&image).unwrap();
            file.set_len(START + (24 << 20)).unwrap();
            let (tree, path) = (tree.display().to_string(), image.display().to_string());
            let (features, offset) = (format!("none,{features}"), format!("offset={START}"));
            run("mke2fs", &["-q", "-F", "-O", &features, "-I", "256", "-E", &offset, "-d", &tree, &path, "24M"]);
            settle(&file, START, RELEASED.into()).unwrap();
            let place = format!("{path}?offset={START}");
            run("e2fsck", &["-fn", &place]);
            let told = run("debugfs", &["-R", "stat /file7", &place]);
            let times: Vec<&str> = told.lines().filter(|line| line.trim_start().starts_with("ctime: 0x")).collect();
            assert!(times.len() == 1 && times[0].contains(&format!("{RELEASED:#x}:00000000")), "{told}");
            let before = fs::read(&image).unwrap();
            settle(&file, START, RELEASED.into()).unwrap();
            assert!(fs::read(&image).unwrap() == before, "a second time changes nothing");
        }
    }

    #[test]
    fn what_is_no_file_system_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 16).unwrap();
        assert!(settle(&file, 0, 1).unwrap_err().to_string().contains("no ext4"));
    }
}
