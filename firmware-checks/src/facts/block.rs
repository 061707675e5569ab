//! Disks and what lies on them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Machine;

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name, such as `nvme0n1`.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What its maker or its hypervisor calls it: WWID or serial number.
    pub identifier: Option<String>,
}

/// Bytes in a sector of sysfs, whatever the disk's own are.
const SECTOR: u64 = 512;

/// Where udev keeps lasting names of disks.
const BY_ID: &str = "/dev/disk/by-id";

/// Beginnings of names of block devices that are no disks: they are in memory, or lie on others.
const NO_DISKS: &[&str] = &["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "drbd", "mtdblock"];

/// The disk on which the block device with the numbers `device` (`MAJOR:MINOR`) lies, through partitions and the
/// device mapper; the first where there are several, and `None` where it is no block device of this machine.
///
/// # Errors
/// The failing system call's.
pub fn disk_under(machine: &Machine, device: &str) -> io::Result<Option<Disk>> {
    match fs::canonicalize(machine.path(&format!("/sys/dev/block/{device}"))) {
        Ok(folder) => below(&folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn below(folder: &Path) -> io::Result<Option<Disk>> {
    if folder.join("partition").exists() {
        return folder.parent().map_or(Ok(None), below);
    }
    let mut slaves = entries(&folder.join("slaves"))?;
    slaves.sort();
    match slaves.first() {
        Some(slave) => below(&fs::canonicalize(slave)?),
        None => disk(folder).map(Some),
    }
}

/// What is in `folder`; nothing where it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The disk whose folder in sysfs is `folder`.
fn disk(folder: &Path) -> io::Result<Disk> {
    let bytes = bytes(folder)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // NVMe, SCSI, virtio, NVMe again, SD cards: each kind of disk says it elsewhere.
    let files = ["wwid", "device/wwid", "serial", "device/serial", "device/cid"];
    let told = |file: &&str| fs::read_to_string(folder.join(file)).ok();
    let identifier = files.iter().filter_map(told).map(|text| text.trim().to_owned()).find(|text| !text.is_empty());
    Ok(Disk { name, bytes, identifier })
}

/// Bytes of `disk` that no partition takes; `None` where it has no partitions at all.
///
/// # Errors
/// The failing system call's.
pub fn unpartitioned(machine: &Machine, disk: &Disk) -> io::Result<Option<u64>> {
    let folder = fs::canonicalize(machine.path(&format!("/sys/block/{}", disk.name)))?;
    let partitions: Vec<PathBuf> =
        entries(&folder)?.into_iter().filter(|entry| entry.join("partition").exists()).collect();
    let mut taken = 0_u64;
    for partition in &partitions {
        taken = taken.saturating_add(bytes(partition)?);
    }
    Ok((!partitions.is_empty()).then(|| disk.bytes.saturating_sub(taken)))
}

/// The size of the disk or partition at `folder`.
fn bytes(folder: &Path) -> io::Result<u64> {
    let sectors = fs::read_to_string(folder.join("size"))?;
    let number = sectors.trim().parse::<u64>();
    number
        .map(|sectors| sectors.saturating_mul(SECTOR))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, sectors))
}

/// Whole disks on which there is nothing: no partition, no file system, and nobody who holds them; the largest first.
/// A disk of which that can't be told is left out.
///
/// # Errors
/// `/sys/block` or the table of mounts could not be read.
pub fn unused(machine: &Machine) -> io::Result<Vec<Disk>> {
    let used: Vec<String> = super::mounts::all(machine)?.into_iter().map(|mount| mount.device).collect();
    let mut found = Vec::new();
    for (disk, folder) in disks(machine)? {
        let number = number(&folder);
        let idle = !swaps(machine, &disk.name) && !used.contains(&number) && bare(&folder);
        if idle && blank(machine, &disk.name, &number) {
            found.push(disk);
        }
    }
    found.sort_by_key(|disk| (std::cmp::Reverse(disk.bytes), disk.name.clone()));
    Ok(found)
}

/// Every whole disk with a medium, each with its folder in sysfs, by name. One of which its size can't be told is left out.
///
/// # Errors
/// `/sys/block` could not be read.
pub fn disks(machine: &Machine) -> io::Result<Vec<(Disk, PathBuf)>> {
    let mut found = Vec::new();
    for name in machine.names("/sys/block")? {
        if NO_DISKS.iter().any(|beginning| name.starts_with(beginning)) {
            continue;
        }
        let Ok(folder) = fs::canonicalize(machine.path(&format!("/sys/block/{name}"))) else { continue };
        found.extend(disk(&folder).ok().filter(|disk| disk.bytes > 0).map(|disk| (disk, folder)));
    }
    Ok(found)
}

/// The numbers `MAJOR:MINOR` of the disk or partition at `folder`; empty where the kernel does not say.
#[must_use]
pub fn number(folder: &Path) -> String {
    fs::read_to_string(folder.join("dev")).unwrap_or_default().trim().to_owned()
}

/// Whether the disk `name` is swap as a whole.
#[must_use]
pub fn swaps(machine: &Machine, name: &str) -> bool {
    let swaps = machine.told("/proc/swaps").unwrap_or_default();
    swaps.lines().any(|line| line.split_ascii_whitespace().next() == Some(&format!("/dev/{name}")))
}

/// The partitions of the disk at `folder`, by name.
///
/// # Errors
/// The failing system call's.
pub fn partitions(folder: &Path) -> io::Result<Vec<String>> {
    let folders = entries(folder)?.into_iter().filter(|entry| entry.join("partition").exists());
    let mut names: Vec<String> = folders.filter_map(|entry| Some(entry.file_name()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// What is built upon the disk at `folder`, such as a RAID or a logical volume, by the kernel's names.
///
/// # Errors
/// The failing system call's.
pub fn holders(folder: &Path) -> io::Result<Vec<String>> {
    let holders = entries(&folder.join("holders"))?;
    Ok(holders.iter().filter_map(|entry| Some(entry.file_name()?.to_str()?.to_owned())).collect())
}

/// The names of the disk in `/dev/disk/by-id`.
#[must_use]
pub fn names(machine: &Machine, disk: &Disk) -> Vec<String> {
    let leads_here = |link: &String| {
        let target = fs::read_link(machine.path(&format!("{BY_ID}/{link}")));
        target.is_ok_and(|target| target.file_name().is_some_and(|name| name == disk.name.as_str()))
    };
    machine.names(BY_ID).unwrap_or_default().into_iter().filter(leads_here).collect()
}

/// Whether the disk at `folder` can be written, stays in the machine, has no partitions, and nothing is built upon it.
fn bare(folder: &Path) -> bool {
    let zero = |file: &str| fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim() == "0");
    let children = entries(folder).unwrap_or_default();
    let partitions = children.iter().any(|child| child.join("partition").exists());
    let held = entries(&folder.join("holders")).map_or(true, |holders| !holders.is_empty());
    zero("removable") && zero("ro") && !partitions && !held
}

/// Whether nothing is on the disk: udev, which looked for every file system there is, found none; or, where udev does
/// not know the disk, its first MiB is all zeros.
fn blank(machine: &Machine, name: &str, number: &str) -> bool {
    /// Properties that blkid gives a disk that carries something.
    const CONTENT: [&str; 2] = ["E:ID_FS_TYPE=", "E:ID_PART_TABLE_TYPE="];
    if let Some(known) = machine.told(&format!("/run/udev/data/b{number}")) {
        return !known.lines().any(|line| CONTENT.iter().any(|property| line.starts_with(property)));
    }
    let mut start = vec![0; 1 << 20];
    let read = fs::File::open(machine.path(&format!("/dev/{name}")))
        .and_then(|mut device| std::io::Read::read_exact(&mut device, &mut start));
    read.is_ok() && start.iter().all(|byte| *byte == 0)
}

/// The path of the disk that stays the same over reboots, where udev made one, else `/dev/NAME`.
#[must_use]
pub fn lasting_path(machine: &Machine, disk: &Disk) -> String {
    names(machine, disk).first().map_or_else(|| format!("/dev/{}", disk.name), |link| format!("{BY_ID}/{link}"))
}
