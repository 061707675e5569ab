//! The programs of others whose word counts.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::Whence;

/// Runs `program` and answers what it printed; it must exit with 0.
///
/// # Errors
/// It could not be started or did not exit with 0; with everything that it printed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output()
        .with_context(|| format!("starting {program}"))?;
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), crate::image::text(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What `debugfs` says to `request` about the ext4 in the file `root`.
///
/// # Errors
/// As [`run`].
pub fn debugfs(root: &Path, request: &str) -> Result<String> {
    run("debugfs", &["-R", request, &root.display().to_string()])
}

/// The bytes of `image` that its partition labelled `label` has.
///
/// # Errors
/// There is no such partition.
pub fn partition(image: &Path, label: &str) -> Result<Range<u64>> {
    let table = run("sgdisk", &["-p", &image.display().to_string()])?;
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.len() >= 7 && fields[0].parse::<u32>().is_ok() && fields[6] == label)
        .with_context(|| format!("no partition `{label}` in\n{table}"))?;
    let (first, last): (u64, u64) = (row[1].parse()?, row[2].parse()?);
    Ok(first * 512..(last + 1) * 512)
}

/// Copies the partition labelled `label` of `image` into the new file `to`, holes kept.
///
/// # Errors
/// There is no such partition.
pub fn extract_partition(image: &Path, label: &str, to: &Path) -> Result<()> {
    let bytes = partition(image, label)?;
    let (from, into) = (File::open(image)?, File::create(to)?);
    into.set_len(bytes.end - bytes.start)?;
    let seek = |at: u64, whence| nix::unistd::lseek(&from, i64::try_from(at).unwrap_or(i64::MAX), whence);
    let mut buffer = vec![0; 1 << 20];
    let mut at = bytes.start;
    // Behind the last data of a file there is none to be found (ENXIO).
    while at < bytes.end
        && let Ok(data) = seek(at, Whence::SeekData)
    {
        at = u64::try_from(data)?;
        let end = u64::try_from(seek(at, Whence::SeekHole)?)?.min(bytes.end);
        while at < end {
            let piece = &mut buffer[..usize::try_from((end - at).min(1 << 20))?];
            from.read_exact_at(piece, at)?;
            into.write_all_at(piece, at - bytes.start)?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}

/// The partition table and each file system of `image` are sound; each partition is copied into `folder` on the way.
///
/// # Errors
/// What `sgdisk` or `fsck` finds.
pub fn disk(image: &Path, folder: &Path) -> Result<()> {
    run("sgdisk", &["-v", &image.display().to_string()])?;
    for (label, program, arguments) in [
        ("root", "fsck.ext4", &["-fn"][..]),
        ("data", "fsck.ext4", &["-fn"]),
        ("esp", "fsck.vfat", &["-n"]),
        ("site", "fsck.vfat", &["-n"]),
    ] {
        let part = folder.join(format!("{label}.part"));
        extract_partition(image, label, &part)?;
        let path = part.display().to_string();
        run(program, &[arguments, &[path.as_str()]].concat())?;
        std::fs::remove_file(part)?;
    }
    Ok(())
}
