//! Media that may carry a configuration: FAT file systems labelled SITE, the image's own partition among them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{major, minor};

use super::LABEL;
use super::fat_label::fat_label;

/// The name of the image's own partition in the GPT.
const PARTITION: &str = "site";
/// Where media are mounted while they are read, each by its device's name.
const MOUNT_POINTS: &str = "/run/firstlight/media";

/// A medium that may carry a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Its device node.
    pub device: PathBuf,
    /// Whether it is the image's own SITE partition: the one on the disk that the machine runs from.
    pub own: bool,
}

/// Waits until udev has nothing left to do, for at most `limit`: a stick is found as late as that.
pub fn settle(limit: Duration) {
    let start = Instant::now();
    while Path::new("/run/udev/queue").exists() && start.elapsed() < limit {
        sleep(Duration::from_millis(100));
    }
}

/// The media that are there, the image's own first. Devices that can't be read are passed over.
///
/// # Errors
/// The kernel's list of block devices can't be read.
pub fn find() -> io::Result<Vec<Medium>> {
    let disk = fs::metadata("/").ok().and_then(|root| disk_of(Path::new("/sys"), root.dev()));
    let mut media = Vec::new();
    for entry in fs::read_dir("/sys/class/block")? {
        let entry = entry?;
        let Ok(sys) = entry.path().canonicalize() else { continue };
        let name = entry.file_name();
        // Virtual devices (loop, zram, mappings) are nobody's stick, and an optical drive may take a minute to answer.
        if sys.components().any(|part| part.as_os_str() == "virtual") || name.to_string_lossy().starts_with("sr") {
            continue;
        }
        let device = Path::new("/dev").join(&name);
        let labelled = File::open(&device).and_then(|mut file| fat_label(&mut file)).ok().flatten();
        if labelled.is_some_and(|label| label.eq_ignore_ascii_case(LABEL)) {
            let own = partition_name(&sys).as_deref() == Some(PARTITION) && sys.parent() == disk.as_deref();
            media.push(Medium { device, own });
        }
    }
    media.sort_by(|a, b| (!a.own, &a.device).cmp(&(!b.own, &b.device)));
    Ok(media)
}

/// The folder below `sys` of the disk that holds the partition with the number `device`.
fn disk_of(sys: &Path, device: u64) -> Option<PathBuf> {
    let partition = sys.join(format!("dev/block/{}:{}", major(device), minor(device))).canonicalize().ok()?;
    partition.join("partition").exists().then(|| partition.parent().map(Path::to_path_buf)).flatten()
}

/// A partition's name in the GPT, as the kernel says it.
fn partition_name(sys: &Path) -> Option<String> {
    let event = fs::read_to_string(sys.join("uevent")).ok()?;
    event.lines().find_map(|line| line.strip_prefix("PARTNAME=").map(str::to_owned))
}

/// A mounted medium; unmounted when dropped.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts the FAT file system on `device`: nothing on it is run or believed to be a device; only for root's eyes.
    ///
    /// # Errors
    /// The failing system call's.
    pub fn new(device: &Path, writable: bool) -> io::Result<Self> {
        let point = Path::new(MOUNT_POINTS).join(device.file_name().unwrap_or_default());
        fs::create_dir_all(&point)?;
        let fixed = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let flags = if writable { fixed } else { fixed | MsFlags::MS_RDONLY };
        mount(Some(device), &point, Some("vfat"), flags, Some("umask=0077,utf8=1"))?;
        Ok(Self(point))
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Nothing holds it open any more; were something to, it goes when that ends.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_machines_own_disk_is_the_one_that_holds_the_root_partition() {
        let sys = tempfile::tempdir().unwrap();
        let root = sys.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("devices/pci/vda/vda4")).unwrap();
        fs::create_dir_all(root.join("dev/block")).unwrap();
        symlink("../../devices/pci/vda/vda4", root.join("dev/block/254:4")).unwrap();
        let number = nix::sys::stat::makedev(254, 4);
        assert_eq!(disk_of(&root, number), None, "not a partition");
        fs::write(root.join("devices/pci/vda/vda4/partition"), "4").unwrap();
        assert_eq!(disk_of(&root, number), Some(root.join("devices/pci/vda")));
        fs::write(root.join("devices/pci/vda/vda4/uevent"), "DEVNAME=vda4\nPARTN=3\nPARTNAME=site\n").unwrap();
        assert_eq!(partition_name(&root.join("devices/pci/vda/vda4")).as_deref(), Some("site"));
    }
}
