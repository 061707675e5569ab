//! Power cuts during the first boot. Killing QEMU would prove nothing, since the host keeps what the guest never
//! flushed; so every write is recorded, and the disks that a cut would have left are made from the record.
//!
//! Takes most of an hour, so it is run by `./make.sh test-all`. What is done is remembered in `target/e2e/power-cut`
//! and not done again for the same image and record.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings};
use end_to_end::site::TestSite;
use end_to_end::write_log::WriteLog;
use end_to_end::{image, judge, ntp};
use firmware_checks::report::{Gate, Report};

const BOOT: Duration = Duration::from_secs(600);
/// Disks that fsck looks at.
const CUTS: usize = 48;
const DISK: &str = "12 GB";
const DISK_BYTES: u64 = 12_000_000_000;

#[test]
#[ignore = "takes most of an hour; run by `./make.sh test-all`"]
fn a_power_cut_at_any_moment_ends_as_an_undisturbed_boot_does() -> Result<()> {
    ntp::serve()?;
    let folder = image::scratch("power-cut");
    let recorded = record(&folder)?;
    let log = WriteLog::open(&recorded.log)?;
    let moments = moments(&log)?;
    println!("{} entries; moments: {moments:?}", log.entries.len());

    let mut done = Done::load(&folder)?;
    for cut in spread(&log, &moments) {
        done.once(&format!("fsck {cut}"), || {
            let disk = disk_after(&log, &recorded.image, cut, &folder.join("cut.raw"))?;
            judge_disk(&disk, &folder).with_context(|| format!("a cut before entry {cut}"))
        })?;
    }
    let expected = outcome(&recorded.report);
    for (what, cut) in boots(&log, &moments) {
        done.once(&format!("boot {what} {cut}"), || {
            let disk = disk_after(&log, &recorded.image, cut, &folder.join("cut.raw"))?;
            boots_as_undisturbed(&disk, &expected).with_context(|| format!("{what}: a cut before entry {cut}"))
        })?;
    }
    done.write_results(&log, &moments)
}

/// An undisturbed first boot.
struct Recorded {
    image: PathBuf,
    log: PathBuf,
    report: Report,
}

/// Boots an image whose SITE partition holds a site, and records each write until the platform is accepted.
fn record(folder: &Path) -> Result<Recorded> {
    fs::create_dir_all(folder)?;
    let site = TestSite::make(&folder.join("site"))?;
    let (image, log) = (folder.join("image.raw"), folder.join("writes.log"));
    let kept = folder.join("undisturbed.json");
    if !kept.exists() {
        judge::run("cp", &["--sparse=always", &image::hello()?.display().to_string(), &image.display().to_string()])?;
        let put = image::command().args(["site", "put"]).arg(&image).arg(&site.folder).output()?;
        ensure!(put.status.success(), "site put: {}", image::text(&put));
        let log_argument = log.display().to_string();
        let mut guest = Guest::start(&Settings {
            name: "power-cut/undisturbed",
            image: &image,
            site: None,
            arguments: &["--disk-size", DISK, "--log-writes", &log_argument],
            ports: &[],
            keep: true,
        })?;
        let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
        // What the machine still holds back it writes within the next half minute.
        std::thread::sleep(Duration::from_secs(40));
        drop(guest);
        fs::write(&kept, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(Recorded { image, log, report: serde_json::from_slice(&fs::read(&kept)?)? })
}

/// The entries around which a cut hurts most.
fn moments(log: &WriteLog) -> Result<BTreeMap<&'static str, Vec<usize>>> {
    // Entry arrays and headers of the GUID partition table: LBA 1 to 33, and its copy at the end of the disk.
    let table = |offset: u64| (512..34 * 512).contains(&offset) || offset > DISK_BYTES / 512 * 512 - 34 * 512;
    let growth = log.entries.iter().enumerate().filter(|(_, entry)| entry.length > 0 && table(entry.offset));
    let moments = BTreeMap::from([
        ("partition growth", growth.map(|(number, _)| number).collect::<Vec<_>>()),
        ("site import", log.containing(b"hostname = \"hello.firstlight.test\"")?),
        ("gate state", log.containing(b"\"requirements\"")?),
    ]);
    for (what, entries) in &moments {
        ensure!(!entries.is_empty(), "{what}: the record has no such write");
    }
    Ok(moments)
}

/// Cuts spread over the whole record, and one on each side of each moment.
fn spread(log: &WriteLog, moments: &BTreeMap<&str, Vec<usize>>) -> Vec<usize> {
    let step = (log.entries.len() / CUTS).max(1);
    let mut cuts: Vec<usize> = (1..log.entries.len()).step_by(step).collect();
    cuts.extend(moments.values().flat_map(|entries| entries.iter().take(4).flat_map(|entry| [*entry, entry + 1])));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The cuts after which the machine is started again: inside each moment, and at three places between.
fn boots<'a>(log: &WriteLog, moments: &BTreeMap<&'a str, Vec<usize>>) -> Vec<(&'a str, usize)> {
    let mut cuts: Vec<(&str, usize)> =
        moments.iter().map(|(what, entries)| (*what, entries[entries.len() / 2] + 1)).collect();
    cuts.extend([3, 5, 8].map(|tenth| ("in between", log.entries.len() * tenth / 10)));
    cuts
}

/// The disk that a cut before entry `cut` leaves: half of what was not flushed is lost, the rest out of order.
fn disk_after(log: &WriteLog, image: &Path, cut: usize, path: &Path) -> Result<PathBuf> {
    judge::run("cp", &["--sparse=always", &image.display().to_string(), &path.display().to_string()])?;
    let disk = File::options().write(true).open(path)?;
    disk.set_len(DISK_BYTES / 512 * 512)?;
    // Which half is a function of the entry's number alone, so that a failure can be looked at again.
    log.replay(&disk, 0, cut, |number| (number.wrapping_mul(0x9e37_79b9) >> 7) & 1 == 0)?;
    Ok(path.to_owned())
}

/// The table is one that a reader accepts, and each file system is clean once its journal has been replayed.
fn judge_disk(disk: &Path, folder: &Path) -> Result<()> {
    judge::run("sgdisk", &["-v", &disk.display().to_string()])?;
    for label in ["root", "data"] {
        let partition = folder.join(format!("cut.{label}"));
        judge::extract_partition(disk, label, &partition)?;
        let path = partition.display().to_string();
        let replayed = Command::new("/usr/sbin/e2fsck").args(["-p", "-E", "journal_only", &path]).output()?;
        ensure!(replayed.status.code() < Some(4), "replaying {label}'s journal: {}", image::text(&replayed));
        judge::run("fsck.ext4", &["-f", "-n", &path]).with_context(|| format!("partition {label}"))?;
        fs::remove_file(&partition)?;
    }
    for label in ["esp", "site"] {
        let partition = folder.join(format!("cut.{label}"));
        judge::extract_partition(disk, label, &partition)?;
        // The site's files may be half wiped; the file system itself must be sound (1: a dirty mark was cleared).
        let checked = Command::new("/usr/sbin/fsck.vfat").args(["-a", &partition.display().to_string()]).output()?;
        ensure!(checked.status.code() < Some(2), "partition {label}: {}", image::text(&checked));
        fs::remove_file(&partition)?;
    }
    Ok(())
}

/// What must be the same whenever the machine is done: each check's state, in order.
fn outcome(report: &Report) -> Vec<(String, String)> {
    report.checks.iter().map(|check| (check.id.clone(), format!("{:?}", check.state))).collect()
}

fn boots_as_undisturbed(disk: &Path, expected: &[(String, String)]) -> Result<()> {
    let mut guest = Guest::start(&Settings {
        name: "power-cut/again",
        image: disk,
        site: None,
        arguments: &["--disk-size", DISK],
        ports: &[],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "accepted but not ready: {report:#?}");
    let found = outcome(&report);
    ensure!(found == expected, "another outcome than undisturbed:\n{found:?}\n{expected:?}");
    Ok(())
}

/// What has been done for this record.
struct Done {
    path: PathBuf,
    steps: Vec<String>,
}

impl Done {
    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("done");
        let steps = fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
        Ok(Self { path, steps })
    }

    fn once(&mut self, step: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.steps.iter().any(|done| done == step) {
            work()?;
            println!("{step}: as it should be");
            self.steps.push(step.to_owned());
            fs::write(&self.path, self.steps.join("\n"))?;
        }
        Ok(())
    }

    fn write_results(&self, log: &WriteLog, moments: &BTreeMap<&str, Vec<usize>>) -> Result<()> {
        let date = judge::run("date", &["--utc", "+%Y-%m-%d"])?;
        let qemu = judge::run("qemu-system-x86_64", &["--version"])?;
        let mut text = format!(
            "# Power cuts during the first boot\n\n{} on {}: {} writes and flushes recorded until the platform was accepted.\n\n",
            date.trim(),
            qemu.lines().next().unwrap_or("QEMU"),
            log.entries.len()
        );
        for (what, entries) in moments {
            text.push_str(&format!("- {what}: {} writes\n", entries.len()));
        }
        text.push_str("\nDone, each as it should be:\n\n");
        self.steps.iter().for_each(|step| text.push_str(&format!("- {step}\n")));
        fs::create_dir_all(image::repository().join("tests/results"))?;
        fs::write(image::repository().join("tests/results/power-cut.md"), text)?;
        Ok(())
    }
}
