//! What lies on the disk, by the judges that others trust, without booting it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::{image, judge};

/// What a server or a virtual machine needs to find its disks: in the initramfs too.
const DISK_DRIVERS: &[&str] =
    &["megaraid_sas", "mpt3sas", "smartpqi", "nvme", "virtio_blk", "virtio_scsi", "vmw_pvscsi", "hv_storvsc"];
/// And its network.
const NETWORK_DRIVERS: &[&str] =
    &["ixgbe", "i40e", "igb", "e1000e", "bnxt_en", "mlx5_core", "virtio_net", "vmxnet3", "hv_netvsc", "ena", "gve"];

#[test]
fn the_disk_stands_before_every_judge() -> Result<()> {
    let image = image::hello()?;
    let folder = fresh("disk")?;
    let verdict = judge::run("sgdisk", &["-v", &image.display().to_string()])?;
    ensure!(verdict.contains("No problems found"), "sgdisk -v: {verdict}");
    for (label, judge_, arguments) in [
        ("esp", "fsck.vfat", &["-n"] as &[&str]),
        ("site", "fsck.vfat", &["-n"]),
        ("root", "fsck.ext4", &["-f", "-n"]),
        ("data", "fsck.ext4", &["-f", "-n"]),
    ] {
        let partition = folder.join(label);
        judge::extract_partition(&image, label, &partition)?;
        let path = partition.display().to_string();
        let arguments: Vec<&str> = arguments.iter().copied().chain([path.as_str()]).collect();
        judge::run(judge_, &arguments).with_context(|| format!("partition {label}"))?;
    }
    let root = folder.join("root");
    every_driver_is_there(&root, &folder)?;
    nothing_of_one_machine_is_there(&root)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn fresh(name: &str) -> Result<PathBuf> {
    let folder = image::scratch(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// What `debugfs` says to `request`.
fn debugfs(root: &Path, request: &str) -> Result<String> {
    judge::run("debugfs", &["-R", request, &root.display().to_string()])
}

fn every_driver_is_there(root: &Path, folder: &Path) -> Result<()> {
    let modules = folder.join("modules");
    fs::create_dir(&modules)?;
    debugfs(root, &format!("rdump /usr/lib/modules {}", modules.display()))?;
    let installed = names(&judge::run("find", &[&modules.display().to_string(), "-name", "*.ko*"])?);
    let builtin = names(&judge::run(
        "find",
        &[&modules.display().to_string(), "-name", "modules.builtin", "-exec", "cat", "{}", "+"],
    )?);
    for driver in DISK_DRIVERS.iter().chain(NETWORK_DRIVERS) {
        ensure!(installed.contains(*driver) || builtin.contains(*driver), "{driver} is not among the image's modules");
    }
    let early = names(&initramfs(root, folder)?.join("\n"));
    for driver in DISK_DRIVERS {
        ensure!(early.contains(*driver) || builtin.contains(*driver), "{driver} is not in the initramfs");
    }
    Ok(())
}

/// The names of modules in a listing of files, as the kernel writes them.
fn names(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.rsplit('/').next()?.split(".ko").next())
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// The paths in the image's initramfs: archives one after the other, the last perhaps compressed (the kernel's
/// `Documentation/driver-api/early-userspace/buffer-format.rst`).
fn initramfs(root: &Path, folder: &Path) -> Result<Vec<String>> {
    let listing = debugfs(root, "ls -p /boot")?;
    let name = listing.split('/').find(|name| name.starts_with("initrd.img-")).context("no initramfs in /boot")?;
    let packed = folder.join("initrd");
    debugfs(root, &format!("dump /boot/{name} {}", packed.display()))?;
    let bytes = fs::read(&packed)?;
    let mut paths = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == 0 {
            at += 1;
        } else if bytes[at..].starts_with(b"070701") {
            at += cpio(&bytes[at..], &mut paths)?;
        } else {
            let whole = folder.join("initrd.main");
            fs::write(&whole, &bytes[at..])?;
            cpio(&unpacked(&whole)?, &mut paths)?;
            break;
        }
    }
    Ok(paths)
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    for program in ["zstd", "xz", "gzip"] {
        let mut child = Command::new(program)
            .args(["-dc"])
            .stdin(fs::File::open(path)?)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn();
        if let Ok(child) = &mut child {
            let mut bytes = Vec::new();
            child.stdout.take().context("no output")?.read_to_end(&mut bytes)?;
            if child.wait()?.success() {
                return Ok(bytes);
            }
        }
    }
    anyhow::bail!("neither zstd nor xz nor gzip unpacks the initramfs")
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

/// A thousand machines are made of one image: none of them may share a key, an identity or a seed.
fn nothing_of_one_machine_is_there(root: &Path) -> Result<()> {
    let ssh = debugfs(root, "ls -p /etc/ssh")?;
    ensure!(!ssh.contains("ssh_host_"), "ssh host keys are in the image: {ssh}");
    let identity = debugfs(root, "cat /etc/machine-id")?;
    ensure!(identity.trim().is_empty(), "a machine id is in the image: {identity}");
    let seed = debugfs(root, "ls -p /var/lib/systemd")?;
    ensure!(!seed.contains("random-seed"), "a random seed is in the image: {seed}");
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let hosts = debugfs(root, "cat /etc/hostname").unwrap_or_default();
    ensure!(host.trim().is_empty() || hosts.trim() != host.trim(), "the builder's host name is in the image: {hosts}");
    Ok(())
}
