//! A machine that lacks almost everything: each failing check says what was found, what is required and what to do;
//! nothing of the platform runs; the admin can log in, mend it, and the gate opens by itself. It starts with Secure Boot.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::{HOSTNAME, TestSite};
use end_to_end::{firmware, image, ntp};
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};

const BOOT: Duration = Duration::from_secs(420);
const CHANGE: Duration = Duration::from_secs(180);
/// By themselves the checks run ever more rarely while nothing changes that the gate watches.
const CHECK_NOW: &str = "sudo firmware-checks run > /dev/null; true";

#[test]
fn a_bad_machine_says_what_to_do_and_opens_once_that_is_done() -> Result<()> {
    ntp::serve()?;
    let site = TestSite::make(&image::scratch("bad/site"))?;
    let good = site.authority.issue(&[HOSTNAME], &[])?;
    let other = site.authority.issue(&[HOSTNAME], &[])?;
    site.write_pair(&end_to_end::certificates::Pair { certificate: good.certificate.clone(), key: other.key })?;
    let mut guest = Guest::start(&Settings {
        name: "bad",
        image: &image::hello()?,
        site: Some(&site),
        arguments: &[firmware::SECURE, &["--cpus", "1", "--memory", "1 GiB"]].concat(),
        ports: &[443, 22],
        keep: true,
    })?;
    let report = guest.wait_for("a first verdict", BOOT, |report| report.gate == Gate::Shut)?;
    firmware::is(&report, "Secure Boot on")?;
    each_failure_says_what_to_do(&report)?;
    nothing_of_the_platform_runs(&guest)?;
    a_data_disk_that_comes_back_is_mounted(&mut guest)?;
    the_disk_is_grown_behind_udevs_back(&guest)?;

    // A stranger takes the port while the admin is at work.
    guest.shell("sudo systemd-run --unit stranger --collect systemd-socket-activate --listen 443 --inetd cat")?;
    guest.shell(CHECK_NOW)?;
    let report = guest.wait_for("port 443 taken", CHANGE, |report| state(report, "ports.free") == Some(State::Fail))?;
    let taken = verdict(&report, "ports.free")?;
    ensure!(taken.observed.contains("443"), "{taken:?}");
    ensure!(taken.remedy.as_ref().is_some_and(|remedy| remedy.contains("stranger")), "{taken:?}");
    guest.shell("sudo systemctl stop stranger.service")?;

    // What can't be mended tonight is waived, with a reason that stays in every report.
    for id in ["cpu.cores", "memory.total"] {
        guest.shell(&format!("sudo firmware-checks waive {id} --reason 'a trial machine' --until 2099-01-01"))?;
    }
    guest.shell_with("sudo tee /etc/firstlight/site/tls.key >/dev/null", &good.key)?;
    let report = guest.wait_for("the gate opens by itself", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "accepted but not ready: {report:#?}");
    ensure!(state(&report, "tls.pair") == Some(State::Pass));
    let waived = verdict(&report, "cpu.cores")?;
    ensure!(waived.waived.as_deref().is_some_and(|reason| reason.contains("a trial machine")), "{waived:?}");
    let boots = guest.shell("sudo journalctl --list-boots --no-pager | grep -c .")?;
    ensure!(boots.trim() == "1" || boots.trim() == "2", "the machine was restarted: {boots}");
    ensure!(guest.shell("sudo docker ps --format '{{.Image}}'")?.contains("firstlight/hello"));
    Ok(())
}

fn state(report: &Report, id: &str) -> Option<State> {
    report.checks.iter().find(|check| check.id == id).map(|check| check.state)
}

fn each_failure_says_what_to_do(report: &Report) -> Result<()> {
    ensure!(!report.ready);
    for (id, observed) in [("cpu.cores", "1"), ("memory.total", "1"), ("tls.pair", "key")] {
        let check = verdict(report, id)?;
        ensure!(check.state == State::Fail && check.gates, "{check:?}");
        ensure!(check.observed.contains(observed), "what was found: {check:?}");
        ensure!(!check.required.is_empty(), "what is required: {check:?}");
        ensure!(check.remedy.as_ref().is_some_and(|remedy| remedy.len() > 10), "what to do: {check:?}");
    }
    ensure!(state(report, "tls.files") == Some(State::Pass), "{:?}", verdict(report, "tls.files")?);
    Ok(())
}

fn nothing_of_the_platform_runs(guest: &Guest) -> Result<()> {
    let active = guest.shell(
        "systemctl is-active platform.target docker.service docker.socket containerd.service firstlight-compose@hello.service; true",
    )?;
    ensure!(active.lines().all(|line| line == "inactive"), "{active}");
    let processes = guest.shell("ps -e -o comm=")?;
    ensure!(!processes.lines().any(|name| name.contains("docker") || name.contains("containerd")), "{processes}");
    // Nor can the admin start it by mistake: the units themselves ask for the gate.
    guest.shell("sudo systemctl start docker.service; true")?;
    let active = guest.shell("systemctl is-active docker.service; true")?;
    ensure!(active.trim() == "inactive", "docker was started with the gate shut: {active}");
    let console = guest.console()?;
    for expected in ["NOT READY", "cpu.cores", "tls.pair"] {
        ensure!(console.contains(expected), "`{expected}` is not on the console:\n{console}");
    }
    Ok(())
}

/// A disk that was slow, or that udev has lost for a moment, brings its mount with it: systemd itself mounts at boot alone.
fn a_data_disk_that_comes_back_is_mounted(guest: &mut Guest) -> Result<()> {
    guest
        .shell(&format!("sudo udevadm trigger --settle --action remove \"$(findmnt -no SOURCE /srv)\"; {CHECK_NOW}"))?;
    let report = guest.wait_for("/srv gone", CHANGE, |report| state(report, "disk.size") == Some(State::Fail))?;
    let gone = verdict(&report, "disk.size")?;
    ensure!(gone.observed.contains("/srv is not mounted"), "{gone:?}");
    guest.shell(&format!("sudo udevadm trigger --settle --action add --subsystem-match block; {CHECK_NOW}"))?;
    guest.wait_for("/srv back", CHANGE, |report| state(report, "disk.size") == Some(State::Pass))?;
    Ok(())
}

/// Where udev looks while the table and the kernel differ, it takes the partition's names away. So the disk is locked, as
/// <https://systemd.io/BLOCK_DEVICE_LOCKING> has it: growing waits for whoever holds the lock.
fn the_disk_is_grown_behind_udevs_back(guest: &Guest) -> Result<()> {
    guest.shell("sudo firmware-checks machine grow")?;
    let waited = guest.shell("sudo flock /dev/vda timeout 5 firmware-checks machine grow; echo \"status $?\"")?;
    ensure!(waited.contains("status 124"), "the disk was written while another held its lock: {waited}");
    Ok(())
}
