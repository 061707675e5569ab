//! Media that may carry a configuration: FAT file systems labelled SITE, the image's own partition among them; and what clouds and
//! hypervisors attach, FAT or ISO 9660: NoCloud (CIDATA) and ConfigDrive (config-2).

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{major, minor};

use super::LABEL;
use super::fat_label::fat_label;
use super::iso_label::iso_label;
use crate::facts::{Machine, hypervisor};

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
    /// Whose medium it is.
    pub kind: Kind,
    /// What is on it.
    pub format: Format,
}

/// Whose medium it is, by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours: the files of a configuration lie on it.
    Site,
    /// cloud-init's NoCloud.
    NoCloud,
    /// OpenStack's ConfigDrive.
    ConfigDrive,
}

impl Kind {
    fn of(label: &str) -> Option<Self> {
        let labels = [(LABEL, Self::Site), ("cidata", Self::NoCloud), ("config-2", Self::ConfigDrive)];
        labels.into_iter().find(|(known, _)| label.eq_ignore_ascii_case(known)).map(|(_, kind)| kind)
    }

    /// The file that holds a whole configuration; on our own media each file lies by itself.
    #[must_use]
    pub fn user_data(self) -> Option<&'static str> {
        match self {
            Self::Site => None,
            Self::NoCloud => Some("user-data"),
            Self::ConfigDrive => Some("openstack/latest/user_data"),
        }
    }
}

/// A file system that media have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// FAT.
    Fat,
    /// ISO 9660, which nobody can write to.
    Iso,
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
    // A real optical drive may take a minute to answer; a virtual one is how hypervisors attach NoCloud.
    let virtual_machine = hypervisor::kind(&Machine::here()).is_ok_and(|kind| kind.is_virtual());
    let mut media = Vec::new();
    for entry in fs::read_dir("/sys/class/block")? {
        let entry = entry?;
        let Ok(sys) = entry.path().canonicalize() else { continue };
        let name = entry.file_name();
        let optical = name.to_string_lossy().starts_with("sr");
        // Virtual devices (loop, zram, mappings) are nobody's stick.
        if sys.components().any(|part| part.as_os_str() == "virtual") || (optical && !virtual_machine) {
            continue;
        }
        let device = Path::new("/dev").join(&name);
        let Some((kind, format)) = File::open(&device).ok().and_then(|mut file| labelled(&mut file)) else { continue };
        let own =
            kind == Kind::Site && partition_name(&sys).as_deref() == Some(PARTITION) && sys.parent() == disk.as_deref();
        media.push(Medium { device, own, kind, format });
    }
    media.sort_by(|a, b| (!a.own, &a.device).cmp(&(!b.own, &b.device)));
    Ok(media)
}

/// What `device` is by its label, if that is one of those which carry a configuration.
fn labelled<R: Read + Seek>(device: &mut R) -> Option<(Kind, Format)> {
    let fat = fat_label(device).ok().flatten().map(|label| (label, Format::Fat));
    let (label, format) = fat.or_else(|| iso_label(device).ok().flatten().map(|label| (label, Format::Iso)))?;
    // SITE is a FAT that any computer can write to.
    Kind::of(&label).filter(|kind| *kind != Kind::Site || format == Format::Fat).map(|kind| (kind, format))
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
    /// Mounts the file system on `medium`: nothing on it is run or believed to be a device; only for root's eyes.
    ///
    /// # Errors
    /// The failing system call's.
    pub fn new(medium: &Medium, writable: bool) -> io::Result<Self> {
        let Medium { device, format, .. } = medium;
        let point = Path::new(MOUNT_POINTS).join(device.file_name().unwrap_or_default());
        fs::create_dir_all(&point)?;
        let fixed = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let flags = if writable { fixed } else { fixed | MsFlags::MS_RDONLY };
        let (kind, options) = match format {
            Format::Fat => ("vfat", "umask=0077,utf8=1"),
            Format::Iso => ("iso9660", "mode=0400,dmode=0500"),
        };
        mount(Some(device.as_path()), &point, Some(kind), flags, Some(options))?;
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

    /// Real file systems, by the programs that people make such media with.
    #[test]
    fn media_are_known_by_the_labels_of_their_file_systems() {
        let folder = tempfile::tempdir().unwrap();
        let fat = |label: &str| {
            let path = folder.path().join(label);
            File::create(&path).unwrap().set_len(4 << 20).unwrap();
            let made = std::process::Command::new("mkfs.vfat").args(["-n", label]).arg(&path).output();
            assert!(made.expect("mkfs.vfat (dosfstools) is needed").status.success());
            labelled(&mut File::open(path).unwrap())
        };
        assert_eq!(fat("SITE"), Some((Kind::Site, Format::Fat)));
        assert_eq!(fat("CIDATA"), Some((Kind::NoCloud, Format::Fat)));
        assert_eq!(fat("CONFIG-2"), Some((Kind::ConfigDrive, Format::Fat)));
        assert_eq!(fat("PHOTOS"), None);
        let mut disc = vec![0; 40 << 10];
        disc[32768..32774].copy_from_slice(b"\x01CD001");
        for (label, expected) in [(b"config-2", Some((Kind::ConfigDrive, Format::Iso))), (b"SITE    ", None)] {
            disc[32808..32816].copy_from_slice(label);
            assert_eq!(labelled(&mut io::Cursor::new(&disc)), expected);
        }
        assert_eq!(Kind::NoCloud.user_data(), Some("user-data"));
    }
}
