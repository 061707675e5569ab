//! Makes the RPM distribution of the end-to-end tests, to look at: `make-rpm-distribution FOLDER`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use end_to_end::rpm_distribution::RpmDistribution;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: make-rpm-distribution FOLDER")?);
    RpmDistribution::made()?.copy(&folder)?;
    eprintln!("{}: mirrors almalinux/9 and epel/9, keys RPM-GPG-KEY-*.", folder.display());
    Ok(())
}
