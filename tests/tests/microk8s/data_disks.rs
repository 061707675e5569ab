//! Disks that the site names for data folders: an empty one is taken, one that holds something is not, and the admin is told.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::Guest;
use end_to_end::judge;
use end_to_end::site::TestSite;
use firmware_checks::check::State;
use firmware_checks::report::{Report, Verdict};

/// Has `site` name the machine's first further disk for `fast`, and the second for `slow`; gives that second one, which holds somebody
/// else's file system. Answers both, as files.
pub fn name(site: &TestSite, top: &Path) -> Result<(PathBuf, PathBuf)> {
    let path = site.folder.join("site.toml");
    let disk = |folder, number| format!("[[disks]]\nfolder = \"{folder}\"\nid = \"virtio-firstlight-extra{number}\"\n");
    fs::write(&path, fs::read_to_string(&path)? + "\n" + &disk("fast", 0) + &disk("slow", 1))?;
    let (empty, strangers) = (top.join("empty.raw"), top.join("strangers.raw"));
    File::create(&empty)?.set_len(2_000_000_000)?;
    File::create(&strangers)?.set_len(64 << 20)?;
    judge::run("mkfs.ext4", &["-q", "-F", "-L", "patients", &strangers.display().to_string()])?;
    Ok((empty, strangers))
}

fn of<'a>(report: &'a Report, id: &str, folder: &str) -> Result<&'a Verdict> {
    let found = report.checks.iter().find(|check| check.id == id && check.subject.as_deref() == Some(folder));
    found.with_context(|| format!("no {id} of {folder}: {report:#?}"))
}

/// The gate stays shut for the disk that is not empty, and opens when the site names it no longer.
pub fn one_is_taken_and_one_refused(guest: &mut Guest, limit: Duration) -> Result<()> {
    let told = |report: &Report| of(report, "disk.selected", "fast").is_ok();
    let report = guest.wait_for("what became of the disks", limit, told)?;
    let fast = of(&report, "disk.selected", "fast")?;
    ensure!(fast.state == State::Pass && fast.observed.contains("virtio-firstlight-extra0"), "{fast:#?}");
    let slow = of(&report, "disk.selected", "slow")?;
    ensure!(
        slow.state == State::Fail && slow.observed.contains("ext4, labelled `patients`; nothing was written"),
        "{slow:#?}"
    );
    let remedy = slow.remedy.as_deref().unwrap_or_default();
    ensure!(remedy.contains("sudo wipefs -a /dev/disk/by-id/virtio-firstlight-extra1"), "{slow:#?}");
    guest.shell("cd /etc && sudo head -n -3 firstlight/site/site.toml > /tmp/site && sudo tee firstlight/site/site.toml < /tmp/site > /dev/null")?;
    Ok(())
}

/// It is mounted, and judged by its own size.
pub fn the_folder_lies_on_its_disk(guest: &Guest, report: &Report) -> Result<()> {
    let size = of(report, "disk.size", "fast")?;
    ensure!(size.state == State::Pass && size.observed == "/srv/kaapana/fast: 1.9 GB", "{size:#?}");
    let mounted = guest.shell("findmnt --noheadings --output SOURCE,FSTYPE /srv/kaapana/fast")?;
    let disk = guest.shell("readlink -f /dev/disk/by-id/virtio-firstlight-extra0")?;
    ensure!(mounted.contains(disk.trim()) && mounted.contains("ext4"), "{mounted}, and not {disk}");
    Ok(())
}
