//! Whether an image has what any server, virtual machine or cloud needs: drivers, those of disks in the initramfs too, and the
//! processors' microcode where the kernel looks for it before anything else. The same on every base; only names of files differ.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use firmware_checks::architecture::Architecture;

use crate::judge::{debugfs, extract_partition, run};

/// What a server or a virtual machine needs to find its disks: in the initramfs too.
const DISK_DRIVERS: &[&str] =
    &["megaraid_sas", "mpt3sas", "smartpqi", "nvme", "virtio_blk", "virtio_scsi", "hv_storvsc"];
/// What PCs have besides: Debian compiles no driver of VMware's disks for 64-bit ARM.
const DISK_DRIVERS_OF_PCS: &[&str] = &["vmw_pvscsi"];
/// And its network.
const NETWORK_DRIVERS: &[&str] =
    &["ixgbe", "i40e", "igb", "e1000e", "bnxt_en", "mlx5_core", "virtio_net", "vmxnet3", "hv_netvsc", "ena", "gve"];
/// Beginnings of firmware files' names of which an image for bare metal has at least one: of network cards and Fibre Channel.
const FIRMWARE: &[&str] = &["bnx2x", "ql2500_fw", "rtl_nic"];
/// Where the kernel looks for microcode of PCs' processors, in the uncompressed beginning of the initramfs (`Documentation/arch/x86/microcode.rst`).
const MICROCODE: &[&str] = &["kernel/x86/microcode/AuthenticAMD.bin", "kernel/x86/microcode/GenuineIntel.bin"];
/// How the distributions call the initramfs.
const INITRAMFS: &[&str] = &["initrd.img-", "initramfs-"];

/// How large they are, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    modules: u64,
    firmware: u64,
    initramfs: u64,
    microcode: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [modules, firmware, initramfs, microcode] =
            [self.modules, self.firmware, self.initramfs, self.microcode].map(|bytes| bytes as f64 / 1e6);
        write!(out, "modules {modules:.0} MB, firmware {firmware:.0} MB, initramfs {initramfs:.0} MB")?;
        write!(out, " (of that {microcode:.1} MB microcode)")
    }
}

/// Judges the root file system of the disk image `image` for machines of `architecture`, of which it needs a copy for a while.
///
/// # Errors
/// As [`judge`].
pub fn of_disk(image: &Path, architecture: Architecture) -> Result<Figures> {
    let folder = tempfile::tempdir_in(image.parent().unwrap_or(Path::new(".")))?;
    let root = folder.path().join("root");
    extract_partition(image, "root", &root)?;
    judge(&root, architecture, folder.path())
}

/// Judges the root file system in the ext4 image `root` for machines of `architecture`; `folder` is for what is taken out of it.
///
/// # Errors
/// A driver, microcode or firmware is missing, by its name.
pub fn judge(root: &Path, architecture: Architecture, folder: &Path) -> Result<Figures> {
    let modules = taken_out(root, "modules", folder)?;
    let (installed, size) = modules;
    let builtin = run(
        "find",
        &[&folder.join("modules").display().to_string(), "-name", "modules.builtin", "-exec", "cat", "{}", "+"],
    )?;
    let (of_pcs, microcode) = match architecture {
        Architecture::X86_64 => (DISK_DRIVERS_OF_PCS, MICROCODE),
        Architecture::Aarch64 => (&[][..], &[][..]),
    };
    let of_disks: Vec<&&str> = DISK_DRIVERS.iter().chain(of_pcs).collect();
    let (installed, builtin) = (names(&installed), names(&builtin));
    for driver in of_disks.iter().copied().chain(NETWORK_DRIVERS) {
        ensure!(installed.contains(*driver) || builtin.contains(*driver), "{driver} is not among the image's modules");
    }
    let (firmware, firmware_size) = taken_out(root, "firmware", folder)?;
    for file in FIRMWARE {
        ensure!(firmware.contains(&format!("/{file}")), "no firmware `{file}`");
    }
    let initramfs = Initramfs::of(root, folder)?;
    let early = names(&initramfs.paths.join("\n"));
    for driver in of_disks {
        ensure!(early.contains(*driver) || builtin.contains(*driver), "{driver} is not in the initramfs");
    }
    for file in microcode {
        let found = initramfs.early.iter().any(|path| path.trim_start_matches("./") == *file);
        ensure!(found, "{file} is not in the beginning of the initramfs: {:?}", initramfs.early);
    }
    Ok(Figures { modules: size, firmware: firmware_size, initramfs: initramfs.size, microcode: initramfs.early_size })
}

/// Copies the folder `/usr/lib/NAME` of the image below `folder`; a list of its files, and their bytes.
fn taken_out(root: &Path, name: &str, folder: &Path) -> Result<(String, u64)> {
    debugfs(root, &format!("rdump /usr/lib/{name} {}", folder.display()))?;
    let taken = folder.join(name).display().to_string();
    let list = run("find", &[&taken, "-type", "f", "-printf", "%s %p\\n"])?;
    let sizes = list.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
    Ok((list.clone(), sizes.sum()))
}

/// The names of modules in a listing of files, as the kernel writes them.
fn names(listing: &str) -> BTreeSet<String> {
    let modules = listing.lines().filter_map(|line| line.rsplit('/').next()?.split_once(".ko"));
    modules.map(|(name, _)| name.replace('-', "_")).collect()
}

/// An initramfs: archives one after the other, the last perhaps compressed (the kernel's
/// `Documentation/driver-api/early-userspace/buffer-format.rst`).
#[derive(Default)]
struct Initramfs {
    size: u64,
    /// All paths, and those of the archives that are not compressed, with the bytes of these.
    paths: Vec<String>,
    early: Vec<String>,
    early_size: u64,
}

impl Initramfs {
    /// The image's.
    fn of(root: &Path, folder: &Path) -> Result<Self> {
        let listing = debugfs(root, "ls -p /boot")?;
        let is_one =
            |name: &&str| INITRAMFS.iter().any(|start| name.starts_with(start)) && !name.ends_with("kdump.img");
        let name = listing.split('/').find(is_one).context("no initramfs in /boot")?;
        let packed = folder.join("initrd");
        debugfs(root, &format!("dump /boot/{name} {}", packed.display()))?;
        let bytes = fs::read(&packed)?;
        let mut read = Self { size: bytes.len() as u64, ..Self::default() };
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == 0 {
                at += 1;
            } else if bytes[at..].starts_with(b"070701") {
                at += cpio(&bytes[at..], &mut read.early)?;
                read.early_size = at as u64;
            } else {
                let whole = folder.join("initrd.main");
                fs::write(&whole, &bytes[at..])?;
                cpio(&unpacked(&whole)?, &mut read.paths)?;
                break;
            }
        }
        read.paths.extend(read.early.iter().cloned());
        Ok(read)
    }
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    for program in ["zstd", "xz", "gzip"] {
        let mut child = Command::new(program)
            .args(["-dc"])
            .stdin(fs::File::open(path)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        if let Ok(child) = &mut child {
            let mut bytes = Vec::new();
            child.stdout.take().context("no output")?.read_to_end(&mut bytes)?;
            if child.wait()?.success() {
                return Ok(bytes);
            }
        }
    }
    bail!("neither zstd nor xz nor gzip unpacks the initramfs")
}

/// Adds the paths of one archive in the "newc" format (cpio (5)); answers where it ends.
fn cpio(bytes: &[u8], paths: &mut Vec<String>) -> Result<usize> {
    let mut at = 0;
    loop {
        let header = bytes.get(at..at + 110).context("an archive that was cut short")?;
        ensure!(header.starts_with(b"07070"), "no header at {at}");
        let field = |number: usize| -> Result<usize> {
            let start = 6 + number * 8;
            Ok(usize::from_str_radix(std::str::from_utf8(&header[start..start + 8])?, 16)?)
        };
        let (size, name_size) = (field(6)?, field(11)?);
        let name = bytes.get(at + 110..at + 110 + name_size - 1).context("a name that was cut short")?;
        at = (at + 110 + name_size).next_multiple_of(4) + size;
        at = at.next_multiple_of(4);
        if name == b"TRAILER!!!" {
            return Ok(at.min(bytes.len()));
        }
        paths.push(String::from_utf8_lossy(name).into_owned());
    }
}
