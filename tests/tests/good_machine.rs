//! A machine that has what it needs: every check passes, the platform runs, and only what the recipe names can be
//! reached.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::{HOSTNAME, PASSWORD, TestSite};
use end_to_end::{image, ntp};
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};

const BOOT: Duration = Duration::from_secs(420);

/// Checks that every good machine's report must have, whatever else the catalogue grows.
const EXPECTED: &[&str] = &[
    "cpu.cores",
    "memory.total",
    "disk.size",
    "firmware.boot",
    "boot.current",
    "machine.kind",
    "os.release",
    "time.synchronised",
    "network.address",
    "network.route",
    "ports.listening",
    "firewall.ingress",
    "tls.files",
    "tls.pair",
    "tls.chain",
    "tls.self_signed",
    "tls.names",
    "tls.validity",
    "platform.container",
    "platform.containers",
];

#[test]
fn everything_passes_and_only_what_the_recipe_names_is_reached() -> Result<()> {
    ntp::serve()?;
    let site = TestSite::make(&image::scratch("good/site"))?;
    let mut guest = Guest::start(&Settings {
        name: "good",
        image: &image::hello()?,
        site: Some(&site),
        arguments: &["--disk-size", "12 GB"],
        ports: &[443, 22, 8080],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;

    every_check_passed(&report)?;
    the_console_says_so(&mut guest)?;
    the_page_is_served_with_the_sites_certificate(&guest, &site)?;
    a_port_that_the_recipe_does_not_name_is_not_reached(&guest)?;
    the_packages_are_whole(&guest)?;
    the_disk_was_grown(&guest)?;
    nothing_secret_was_told(&guest, &site)?;
    the_gate_stays_open_over_a_restart(&mut guest)
}

fn every_check_passed(report: &Report) -> Result<()> {
    ensure!(report.ready, "not ready: {report:#?}");
    for id in EXPECTED {
        verdict(report, id)?;
    }
    let others: Vec<_> =
        report.checks.iter().filter(|check| !matches!(check.state, State::Pass | State::NotApplicable)).collect();
    ensure!(others.is_empty(), "these did not pass: {others:#?}");
    Ok(())
}

fn the_console_says_so(guest: &mut Guest) -> Result<()> {
    // What a person reads comes after what a program reads.
    guest.wait_for_console(" READY: all ", 0, Duration::from_secs(120))?;
    let console = guest.console()?;
    ensure!(console.contains("hello"), "the appliance is not named on the console");
    Ok(())
}

/// As an admin's colleague would: by the host name, trusting the clinic's authority and nothing else.
fn the_page_is_served_with_the_sites_certificate(guest: &Guest, site: &TestSite) -> Result<()> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--cacert"])
        .arg(site.folder.join("ca.crt"))
        .args(["--resolve", &format!("{HOSTNAME}:{}:127.0.0.1", guest.port(443))])
        .arg(format!("https://{HOSTNAME}:{}/", guest.port(443)))
        .output()
        .context("starting curl")?;
    let page = image::text(&output);
    ensure!(output.status.success() && page.to_lowercase().contains("hello"), "{page}");
    Ok(())
}

/// Docker publishes it past INPUT, so the machine itself would answer; from outside nothing does.
fn a_port_that_the_recipe_does_not_name_is_not_reached(guest: &Guest) -> Result<()> {
    guest.shell(
        "sudo docker run --detach --name stray --publish 8080:443 --tmpfs /run --tmpfs /var/lib/nginx \
         --volume /etc/firstlight/site/tls.crt:/etc/nginx/tls.crt:ro \
         --volume /etc/firstlight/site/tls.key:/etc/nginx/tls.key:ro firstlight/hello:1",
    )?;
    let answers = "for i in $(seq 30); do (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null && exit 0; sleep 1; done; \
                   sudo docker logs stray >&2; exit 1";
    guest
        .shell(&format!("bash -c '{answers}'"))
        .context("the stray container does not even answer on the machine itself")?;
    let output = Command::new("curl")
        .args(["--silent", "--insecure", "--max-time", "10"])
        .arg(format!("https://127.0.0.1:{}/", guest.port(8080)))
        .output()
        .context("starting curl")?;
    ensure!(!output.status.success(), "port 8080 was reached: {}", image::text(&output));
    guest.shell("sudo docker rm --force stray")?;
    Ok(())
}

fn the_packages_are_whole(guest: &Guest) -> Result<()> {
    let audit = guest.shell("sudo dpkg --audit")?;
    ensure!(audit.trim().is_empty(), "dpkg --audit: {audit}");
    guest.shell("sudo apt-get check")?;
    let failed = guest.shell("systemctl --failed --no-legend --plain")?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    Ok(())
}

fn the_disk_was_grown(guest: &Guest) -> Result<()> {
    let blocks: u64 = guest.shell("df --output=size --block-size=1M /srv | tail -n 1")?.trim().parse()?;
    ensure!(blocks > 5_000, "/srv has {blocks} MiB on a disk of 12 GB");
    Ok(())
}

fn nothing_secret_was_told(guest: &Guest, site: &TestSite) -> Result<()> {
    let key = std::fs::read_to_string(site.folder.join("tls.key"))?;
    let line = key.lines().nth(1).context("an empty key")?;
    let told = guest.shell("sudo journalctl --boot --no-pager; sudo cat /run/firstlight/report.json; cat /etc/issue /run/issue.d/* 2>/dev/null")?;
    let console = guest.console()?;
    for (what, text) in [("the journal or the report", &told), ("the console", &console)] {
        ensure!(!text.contains(line), "{what} has the private key");
        ensure!(!text.contains(PASSWORD), "{what} has the password");
    }
    let modes = guest.shell("sudo stat -c '%a %U' /etc/firstlight/site /etc/firstlight/site/tls.key")?;
    ensure!(modes.lines().eq(["700 root", "600 root"]), "modes of the site: {modes}");
    Ok(())
}

/// The latch: no admission checks stand between power-on and a platform that was once let in.
fn the_gate_stays_open_over_a_restart(guest: &mut Guest) -> Result<()> {
    let before = guest
        .shell("sudo cat /var/lib/firstlight/gate.json; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub")?;
    guest.shell("sudo systemctl restart firmware-checks.service")?;
    guest.wait_for("the platform is accepted again", BOOT, |report| report.gate == Gate::Accepted && report.ready)?;
    let after = guest
        .shell("sudo cat /var/lib/firstlight/gate.json; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub")?;
    ensure!(before == after, "the latch changed:\n{before}\n{after}");
    Ok(())
}
