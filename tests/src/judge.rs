//! The programs of others whose word counts.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

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
    let count = format!("count={}", bytes.end - bytes.start);
    let (skip, from) = (format!("skip={}", bytes.start), format!("if={}", image.display()));
    let into = format!("of={}", to.display());
    run("dd", &[&from, &into, &skip, &count, "bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"])?;
    Ok(())
}
