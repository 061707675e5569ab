//! What lies on the disk, by the judges that others trust, without booting it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::{drivers, image, judge};
use firmware_checks::architecture::Architecture;

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
    let figures = drivers::judge(&root, Architecture::X86_64, &folder)?;
    println!("{figures}");
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

/// A thousand machines are made of one image: none of them may share a key, an identity or a seed.
fn nothing_of_one_machine_is_there(root: &Path) -> Result<()> {
    let ssh = judge::debugfs(root, "ls -p /etc/ssh")?;
    ensure!(!ssh.contains("ssh_host_"), "ssh host keys are in the image: {ssh}");
    let identity = judge::debugfs(root, "cat /etc/machine-id")?;
    ensure!(identity.trim().is_empty(), "a machine id is in the image: {identity}");
    let seed = judge::debugfs(root, "ls -p /var/lib/systemd")?;
    ensure!(!seed.contains("random-seed"), "a random seed is in the image: {seed}");
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let hosts = judge::debugfs(root, "cat /etc/hostname").unwrap_or_default();
    ensure!(host.trim().is_empty() || hosts.trim() != host.trim(), "the builder's host name is in the image: {hosts}");
    Ok(())
}
