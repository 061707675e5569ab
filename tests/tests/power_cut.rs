//! Power cuts during the first boot. Killing QEMU would prove nothing, since the host keeps what the guest never
//! flushed; so every write is recorded, and the disks that a cut would have left are made from the record.
//!
//! Takes most of an hour, so it is run by `./make.sh test-all`. What is done is remembered in `target/e2e/power_cut`
//! and not done again for the same image and record.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use end_to_end::guest::{Guest, Settings};
use end_to_end::site::TestSite;
use end_to_end::write_log::{Fate, WriteLog};
use end_to_end::{image, judge, ntp};
use firmware_checks::report::Gate;
use serde::{Deserialize, Serialize};

const BOOT: Duration = Duration::from_secs(600);
const SETTLE: Duration = Duration::from_secs(20);
/// Disks that fsck looks at.
const CUTS: usize = 32;
const DISK: &str = "12 GB";
const DISK_BYTES: u64 = 12_000_000_000 / 512 * 512;

#[test]
#[ignore = "takes most of an hour; run by `./make.sh test-all`"]
fn a_power_cut_at_any_moment_ends_as_an_undisturbed_boot_does() -> Result<()> {
    ntp::serve()?;
    let folder = image::scratch("power-cut");
    let recorded = record(&folder)?;
    let log = WriteLog::open(&recorded.log)?;
    let moments = Moments::of(&log, &recorded.image)?;
    println!("{} entries; moments: {:?}", log.entries.len(), moments.named);

    let done = Done::load(&folder)?;
    // The file systems are judged while the machines boot: one waits for the disk, the other for the processor.
    std::thread::scope(|scope| {
        let judged = scope.spawn(|| judge_cuts(&log, &recorded, &moments, &done, &folder));
        let booted = boot_cuts(&log, &recorded, &moments, &done, &folder);
        let judged = judged.join().map_err(|_| anyhow!("judging the file systems panicked"))?;
        judged.and(booted)
    })?;
    done.write_results(&log, &moments)
}

fn judge_cuts(log: &WriteLog, recorded: &Recorded, moments: &Moments, done: &Done, folder: &Path) -> Result<()> {
    spread(log, moments).iter().try_for_each(|cut| {
        done.once(&format!("fsck {cut}"), || {
            let disk = disk_after(log, &recorded.image, cut, &folder.join("judged.raw"))?;
            judge_disk(&disk, folder).with_context(|| cut.to_string())
        })
    })
}

fn boot_cuts(log: &WriteLog, recorded: &Recorded, moments: &Moments, done: &Done, folder: &Path) -> Result<()> {
    boots(log, moments).iter().try_for_each(|cut| {
        done.once(&format!("boot {cut}"), || {
            let disk = disk_after(log, &recorded.image, cut, &folder.join("booted.raw"))?;
            let found = boot(&disk, &recorded.ssh_key, &[]).with_context(|| cut.to_string())?;
            ensure!(found == recorded.outcome, "{cut}: {found:#?}\nundisturbed: {:#?}", recorded.outcome);
            Ok(())
        })
    })
}

/// An undisturbed first boot.
struct Recorded {
    ssh_key: PathBuf,
    image: PathBuf,
    log: PathBuf,
    outcome: Outcome,
}

/// What must be the same whenever the machine is done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Outcome {
    /// Each check's state, in order.
    checks: Vec<(String, String)>,
    /// What [`LOOK`] prints on the machine.
    machine: String,
}

/// What failed, how large partitions and file systems are, what is left on the SITE partition, what was imported, which
/// containers run.
const LOOK: &str = "set -eu
systemctl list-units --failed --no-legend --plain
lsblk --bytes --noheadings --output NAME,SIZE,PARTLABEL /dev/vda
df --block-size=1M --output=source,size / /srv
sudo mount -o ro /dev/disk/by-partlabel/site /mnt; sudo ls -A /mnt; sudo umount /mnt
sudo sh -c 'cd /etc/firstlight/site; sha256sum *'; hostname; sudo ls /etc/ssh
sudo docker ps --all --format '{{.Image}} {{.State}}'
sudo ls /var/lib/firstlight /var/lib/firstlight/images";

/// Boots an image whose SITE partition holds a site, and records each write until the platform was accepted.
fn record(folder: &Path) -> Result<Recorded> {
    let image = image::hello()?;
    let digest = judge::run("sha256sum", &[&image.display().to_string()])?;
    if fs::read_to_string(folder.join("of-image")).ok().as_ref() != Some(&digest) && folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("of-image"), digest)?;
    let (configured, log, kept) =
        (folder.join("image.raw"), folder.join("writes.log"), folder.join("undisturbed.json"));
    let site_folder = folder.join("site");
    if kept.exists() {
        let outcome = serde_json::from_slice(&fs::read(&kept)?)?;
        return Ok(Recorded { ssh_key: site_folder.with_extension("ssh-key"), image: configured, log, outcome });
    }
    let site = TestSite::make(&site_folder)?;
    judge::run("cp", &["--sparse=always", &image.display().to_string(), &configured.display().to_string()])?;
    let put = image::command().args(["site", "put"]).arg(&configured).arg(&site.folder).output()?;
    ensure!(put.status.success(), "site put: {}", image::text(&put));
    let outcome = boot(&configured, &site.ssh_key, &["--log-writes", &log.display().to_string()])?;
    // Last, since its being there says that the record is whole.
    fs::write(&kept, serde_json::to_vec_pretty(&outcome)?)?;
    Ok(Recorded { ssh_key: site.ssh_key, image: configured, log, outcome })
}

/// Boots `image` until the platform is accepted, and looks at what became of the machine.
fn boot(image: &Path, ssh_key: &Path, arguments: &[&str]) -> Result<Outcome> {
    let mut guest = Guest::start(&Settings {
        name: "power-cut/machine",
        image,
        site: None,
        arguments: &[&["--disk-size", DISK], arguments].concat(),
        ports: &[22],
        keep: true,
    })?;
    guest.log_in_with(ssh_key);
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "accepted but not ready: {report:#?}");
    let checks = report.checks.iter().map(|check| (check.id.clone(), format!("{:?}", check.state))).collect();
    // Services of the first boot that the gate does not wait for; and what the machine still holds back it then writes.
    std::thread::sleep(SETTLE);
    Ok(Outcome { checks, machine: guest.shell(LOOK)? })
}

/// The entries around which a cut hurts most.
struct Moments {
    named: BTreeMap<&'static str, Vec<usize>>,
}

const GROWTH: &str = "partition growth";
const IMPORT: &str = "site import";
const WIPING: &str = "wiping of the imported site";
const GATE: &str = "gate state";
const IMAGES: &str = "container images";

impl Moments {
    fn of(log: &WriteLog, image: &Path) -> Result<Self> {
        // Headers and entries of the GUID partition table: LBA 1 to 33, and their copy at the end of the disk.
        let table = [512..34 * 512, DISK_BYTES - 33 * 512..DISK_BYTES];
        let site = judge::partition(image, "site")?;
        let gate = log.containing(b"\"requirements\"")?;
        // Large writes after the gate was opened, with a program in them: layers of an image.
        let large = |number: &usize| *number > gate[0] && log.entries[*number].length >= 1 << 19;
        let layers = log.containing(b"\x7fELF")?.into_iter().filter(large).collect();
        let named = BTreeMap::from([
            (GROWTH, log.within(&table)),
            (IMPORT, log.containing(b"hostname = \"hello.firstlight.test\"")?),
            (WIPING, log.within(&[site])),
            (GATE, gate),
            (IMAGES, layers),
        ]);
        for (what, entries) in &named {
            ensure!(!entries.is_empty(), "{what}: the record has no such write");
        }
        Ok(Self { named })
    }

    fn middle(&self, what: &str) -> usize {
        let entries = &self.named[what];
        entries[entries.len() / 2]
    }
}

/// A moment at which the power goes.
struct Cut {
    what: &'static str,
    /// The first entry that the disk never saw.
    before: usize,
    /// Chooses the fates of what was not flushed.
    salt: usize,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: before entry {}, fates {}", self.what, self.before, self.salt)
    }
}

/// Cuts spread over the whole record, and one on each side of each moment's writes.
fn spread(log: &WriteLog, moments: &Moments) -> Vec<Cut> {
    let step = (log.entries.len() / CUTS).max(1);
    let mut cuts: Vec<usize> = (1..log.entries.len()).step_by(step).collect();
    let sides = |entries: &Vec<usize>| entries.iter().take(3).flat_map(|entry| [*entry, entry + 1]).collect::<Vec<_>>();
    cuts.extend(moments.named.values().flat_map(sides));
    cuts.sort_unstable();
    cuts.dedup();
    cuts.into_iter().map(|before| Cut { what: "spread", before, salt: before }).collect()
}

/// The cuts after which the machine is started again: inside each moment, and while the platform starts.
fn boots(log: &WriteLog, moments: &Moments) -> Vec<Cut> {
    let inside = |what| Cut { what, before: moments.middle(what) + 1, salt: 0 };
    // The copy at the beginning, written last, torn: its header is no longer that of its entries.
    let torn = moments.named[GROWTH].iter().copied().max_by_key(|number| (log.entries[*number].offset == 0, *number));
    let torn = torn.unwrap_or_else(|| moments.middle(GROWTH));
    let salt = (0..).find(|salt| Fate::of(torn, *salt) == Fate::EvenKilobytes).unwrap_or(0);
    vec![
        Cut { what: GROWTH, before: torn + 1, salt },
        inside(IMPORT),
        inside(GATE),
        inside(WIPING),
        inside(IMAGES),
        Cut { what: "containers starting", before: log.entries.len() * 8 / 10, salt: 0 },
    ]
}

/// The disk that `cut` leaves: of what was not flushed some is lost, some torn, the rest there out of order.
fn disk_after(log: &WriteLog, image: &Path, cut: &Cut, path: &Path) -> Result<PathBuf> {
    judge::run("cp", &["--sparse=always", &image.display().to_string(), &path.display().to_string()])?;
    let disk = File::options().write(true).open(path)?;
    disk.set_len(DISK_BYTES)?;
    log.replay(&disk, cut.before, |number| Fate::of(number, cut.salt))?;
    Ok(path.to_owned())
}

/// The table is one that a reader accepts, and each file system is sound once it has been treated as every boot does.
fn judge_disk(disk: &Path, folder: &Path) -> Result<()> {
    for label in ["root", "data", "esp", "site"] {
        let partition = folder.join(format!("cut.{label}"));
        judge::extract_partition(disk, label, &partition)?;
        let path = partition.display().to_string();
        // As every boot does: a journal is replayed, files that were removed while open are let go. FAT has no journal: what
        // the wiping of the site left half done is mended without a question. 1 is "mended".
        let ext4 = matches!(label, "root" | "data");
        let (first, then): ([&str; 2], &[&str]) =
            if ext4 { (["fsck.ext4", "-p"], &["-f", "-n", &path]) } else { (["fsck.vfat", "-a"], &["-n", &path]) };
        let mended = Command::new(Path::new("/usr/sbin").join(first[0])).args([first[1], &path]).output()?;
        ensure!(matches!(mended.status.code(), Some(0 | 1)), "partition {label}: {}", image::text(&mended));
        judge::run(first[0], then).with_context(|| format!("partition {label}"))?;
        fs::remove_file(&partition)?;
    }
    Ok(())
}

/// What has been done for this record.
struct Done {
    path: PathBuf,
    steps: Mutex<Vec<String>>,
}

impl Done {
    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("done");
        let steps = fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
        Ok(Self { path, steps: Mutex::new(steps) })
    }

    fn once(&self, step: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.steps()?.iter().any(|done| done == step) {
            return Ok(());
        }
        work()?;
        println!("{step}: as it should be");
        let mut steps = self.steps()?;
        steps.push(step.to_owned());
        fs::write(&self.path, steps.join("\n"))?;
        Ok(())
    }

    fn steps(&self) -> Result<MutexGuard<'_, Vec<String>>> {
        self.steps.lock().map_err(|_| anyhow!("a step panicked"))
    }

    fn write_results(&self, log: &WriteLog, moments: &Moments) -> Result<()> {
        let date = judge::run("date", &["--utc", "+%Y-%m-%d"])?;
        let qemu = judge::run("qemu-system-x86_64", &["--version"])?;
        let mut text = format!(
            "# Power cuts during the first boot\n\n{} on {}: {} writes and flushes recorded until the platform was accepted.\n\n",
            date.trim(),
            qemu.lines().next().unwrap_or("QEMU"),
            log.entries.len()
        );
        for (what, entries) in &moments.named {
            text.push_str(&format!("- {what}: {} writes\n", entries.len()));
        }
        text.push_str("\nDone, each as it should be:\n\n");
        let mut steps = self.steps()?.clone();
        steps.sort_by_key(|step| (step.starts_with("fsck"), step.clone()));
        steps.iter().for_each(|step| text.push_str(&format!("- {step}\n")));
        fs::create_dir_all(image::repository().join("tests/results"))?;
        fs::write(image::repository().join("tests/results/power-cut.md"), text)?;
        Ok(())
    }
}
