//! The firmware that machines of tests start with: each in the test of something else, so that no boot is spent on it alone.
//! (UEFI without Secure Boot is every other test's.)

use std::fs;

use anyhow::{Context, Result, ensure};
use firmware_checks::report::Report;

use crate::guest::verdict;
use crate::{image, judge};

/// Microsoft's owner GUID in the signature databases.
const MICROSOFT: &str = "77fa9abd-0359-4d32-bd60-28f4e78f784b";

/// Legacy BIOS.
pub const BIOS: &[&str] = &["--firmware", "bios"];
/// UEFI with Secure Boot enforced, by Microsoft's certificates of 2011 and those that the firmware's package has beside them.
pub const SECURE: &[&str] = &["--firmware", "secure"];

/// A file of UEFI variables with Microsoft's certificate of 2023 alone, so that an image signed only by those of 2011 would be
/// refused; for `--variables`.
///
/// # Errors
/// `virt-fw-vars` fails.
pub fn newer_keys() -> Result<String> {
    let folder = image::scratch("secure-2023");
    fs::create_dir_all(&folder)?;
    let path = folder.join("variables-2023.fd").display().to_string();
    let certificate = "/usr/lib/python3/dist-packages/virt/firmware/certs/MicrosoftUEFICA2023.pem";
    let mut arguments = vec!["--input", "/usr/share/OVMF/OVMF_VARS_4M.fd", "--output", &path];
    arguments.extend(["--enroll-generate", "Firstlight tests", "--no-microsoft", "--add-db", MICROSOFT, certificate]);
    arguments.push("--secure-boot");
    judge::run("virt-fw-vars", &arguments).context("enrolling Microsoft's certificate of 2023")?;
    Ok(path)
}

/// The machine knows what it was started by.
///
/// # Errors
/// `firmware.boot` has observed something else than `words`.
pub fn is(report: &Report, words: &str) -> Result<()> {
    let observed = &verdict(report, "firmware.boot")?.observed;
    ensure!(observed.contains(words), "firmware.boot: {observed}, not {words}");
    Ok(())
}
