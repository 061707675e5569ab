//! One image in every firmware: legacy BIOS, and UEFI with Secure Boot enforced by the older and the newer of
//! Microsoft's keys. (UEFI without Secure Boot is the good machine's.)

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::TestSite;
use end_to_end::{image, judge, ntp};
use firmware_checks::report::Gate;

/// Microsoft's owner GUID in the signature databases.
const MICROSOFT: &str = "77fa9abd-0359-4d32-bd60-28f4e78f784b";
const BOOT: Duration = Duration::from_secs(420);

#[test]
fn the_image_boots_in_legacy_bios() -> Result<()> {
    let observed = boot("bios", &["--firmware", "bios"])?;
    ensure!(observed.contains("BIOS"), "{observed}");
    Ok(())
}

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn the_image_boots_with_secure_boot_and_the_older_keys() -> Result<()> {
    let observed = boot("secure-2011", &["--firmware", "secure"])?;
    ensure!(observed.contains("Secure Boot on"), "{observed}");
    Ok(())
}

#[test]
fn the_image_boots_with_secure_boot_and_the_newer_keys() -> Result<()> {
    let variables = newer_keys()?.display().to_string();
    let observed = boot("secure-2023", &["--firmware", "secure", "--variables", &variables])?;
    ensure!(observed.contains("Secure Boot on"), "{observed}");
    Ok(())
}

/// Boots to the readiness report and answers what `firmware.boot` observed.
fn boot(name: &str, arguments: &[&str]) -> Result<String> {
    ntp::serve()?;
    let site = TestSite::make(&image::scratch(name).join("site"))?;
    let image = image::hello()?;
    let mut guest =
        Guest::start(&Settings { name, image: &image, site: Some(&site), arguments, ports: &[], keep: true })?;
    let report = guest.wait_for("the gate opens", BOOT, |report| report.gate != Gate::Shut)?;
    Ok(verdict(&report, "firmware.boot")?.observed.clone())
}

/// UEFI variables with Microsoft's certificates of 2023 alone, so that an image signed only by those of 2011 would
/// be refused.
fn newer_keys() -> Result<PathBuf> {
    let folder = image::scratch("secure-2023");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("variables-2023.fd");
    let certificate = "/usr/lib/python3/dist-packages/virt/firmware/certs/MicrosoftUEFICA2023.pem";
    judge::run(
        "virt-fw-vars",
        &[
            "--input",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
            "--output",
            &path.display().to_string(),
            "--enroll-generate",
            "Firstlight tests",
            "--no-microsoft",
            "--add-db",
            MICROSOFT,
            certificate,
            "--secure-boot",
        ],
    )
    .context("enrolling Microsoft's certificate of 2023")?;
    Ok(path)
}
