//! The image on a machine: SELinux enforces from the first boot on, has nothing to deny, and every label is the policy's; the packages are
//! as they came; Docker comes behind the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{DENIED_BY_SELINUX, Guest, Settings, verdict};
use end_to_end::site::{self, TestSite};
use end_to_end::{image, judge, ntp};
use firmware_checks::check::State;
use firmware_checks::report::Gate;

use crate::bench::{self, Built};

const BOOT: Duration = Duration::from_secs(900);
const SOON: Duration = Duration::from_secs(180);
/// The password that is chosen at the console.
const PASSWORD: &str = "correct horse battery";

/// Everything that `rpm --verify --all` finds: configuration files that the appliance itself writes.
const CHANGED: [&str; 3] = [
    // Empty in the image, with the mode that debootstrap gives it; written by systemd in the first boot.
    ".M.......  c /etc/machine-id",
    // The host name of the site.
    "S.5....T.  c /etc/hosts",
    // Where Docker's data and the program of the first password lie (overlays/rpm).
    "S.5....T.  c /etc/selinux/targeted/contexts/files/file_contexts.subs",
];

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn the_machine_enforces_from_its_first_boot_on_and_opens_the_gate() -> Result<()> {
    ntp::serve()?;
    let Built { bench, image: built } = bench::built()?;
    let folder = image::scratch("almalinux-machine");
    std::fs::create_dir_all(&folder)?;
    let site = TestSite::make(&folder.join("site"))?;
    // By the image's own partition.
    let with_site = folder.join("almalinux.raw");
    let [from, to] = [built, &with_site].map(|path| path.display().to_string());
    judge::run("cp", &["--sparse=always", &from, &to])?;
    let put = image::command().args(["site", "put"]).arg(&with_site).arg(&site.folder).output()?;
    ensure!(put.status.success(), "{}", image::text(&put));
    let mut guest = Guest::start(&Settings {
        name: "almalinux-machine",
        image: &with_site,
        site: None,
        arguments: &["--disk-size", "12 GB"],
        ports: &[22],
        keep: true,
    })?;
    guest.log_in_with(&site.ssh_key);
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "not ready: {report:#?}");
    let os = verdict(&report, "os.release")?;
    ensure!(format!("{os:?}").contains("almalinux 9"), "{os:?}");

    selinux_enforces(&guest)?;
    every_label_is_the_policys(&guest)?;
    the_packages_are_as_they_came(&guest, &bench.locked()?)?;
    the_platform_came_behind_the_gate(&guest)?;
    a_site_by_an_admins_word_keeps_the_labels(&guest)?;
    nothing_was_denied(&guest)?;
    the_first_password_can_be_chosen(&mut guest)?;
    drop(guest);
    Ok(std::fs::remove_file(with_site)?)
}

/// By SELinux, since the machine was switched on.
pub fn nothing_was_denied(guest: &Guest) -> Result<()> {
    guest.answers(DENIED_BY_SELINUX, "")
}

fn selinux_enforces(guest: &Guest) -> Result<()> {
    guest.answers("sudo getenforce", "Enforcing")?;
    guest.answers(
        "sudo sestatus | grep -E 'policy name|Mode from config' | tr -s ' '",
        "Loaded policy name: targeted\nMode from config file: enforcing",
    )?;
    // Nothing was relabelled, for which a machine starts a second time.
    guest.answers(
        "sudo journalctl --list-boots --quiet | grep -vc 'BOOT ID'; ls -A / | grep -c autorelabel || true",
        "1\n0",
    )?;
    guest.answers("id -Z", "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023")?;
    guest.answers("systemctl --failed --no-legend --plain", "")
}

/// What is left out: what the kernel makes in file systems of its own is the kernel's to label. And Docker's policy, EL's as Debian's, has
/// the folders `overlay2` and `volumes` made with the labels of layers and volumes, wherever they are in Docker's data; and it says
/// nothing of `/opt/containerd`, which containerd makes with its folder's label.
const LEFT_OUT: &str =
    "-e /dev -e /proc -e /sys -e /opt/containerd -e /srv/docker/image/overlay2 -e /srv/docker/volumes";

fn every_label_is_the_policys(guest: &Guest) -> Result<()> {
    guest.answers(&format!("sudo restorecon -R -n -v {LEFT_OUT} / 2>&1"), "")?;
    for (path, label) in [
        ("/srv", "var_t"),
        ("/srv/docker", "container_var_lib_t"),
        ("/srv/docker/overlay2", "container_ro_file_t"),
        ("/etc/ssh/ssh_host_ed25519_key", "sshd_key_t"),
        ("/etc/shadow", "shadow_t"),
        ("/home/admin/.ssh/authorized_keys", "ssh_home_t"),
        ("/var/lib/firstlight/gate.json", "var_lib_t"),
        ("/usr/libexec/firstlight/enrol", "login_exec_t"),
    ] {
        guest.answers(&format!("sudo stat --format %C {path}"), &format!("system_u:object_r:{label}:s0"))?;
    }
    // FAT has no labels: the kernel gives it the policy's own.
    guest.answers(
        "sudo mount -o ro PARTLABEL=site /mnt && stat --format %C /mnt; sudo umount /mnt",
        "system_u:object_r:dosfs_t:s0",
    )
}

fn the_packages_are_as_they_came(guest: &Guest, locked: &BTreeMap<String, String>) -> Result<()> {
    let format = "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n";
    // Whoever is logged in may ask.
    let installed = guest.shell(&format!("rpm --query --all --queryformat '{format}'"))?;
    let installed: BTreeSet<&str> = installed.lines().collect();
    let expected: Vec<String> = locked.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    let differences: Vec<_> = installed.symmetric_difference(&expected).collect();
    ensure!(differences.is_empty(), "installed or locked, not both: {differences:?}");
    let changed = guest.shell("sudo rpm --verify --all 2>&1 || true")?;
    let changed: BTreeSet<&str> = changed.lines().collect();
    ensure!(changed == CHANGED.into(), "rpm --verify --all: {changed:#?}");
    guest.answers(
        "ls /etc/yum.repos.d",
        "almalinux-appstream.repo\nalmalinux-baseos.repo\nalmalinux-extras.repo\ndocker-ce.repo",
    )?;
    guest.answers("grep -h '^\\[' /etc/yum.repos.d/almalinux-*.repo", "[appstream]\n[baseos]\n[extras]")
}

fn the_platform_came_behind_the_gate(guest: &Guest) -> Result<()> {
    guest.answers("systemctl is-active containerd.service docker.service platform.target", "active\nactive\nactive")?;
    guest.answers(
        "systemctl is-enabled containerd.service docker.service docker.socket | sort --unique || true",
        "disabled",
    )?;
    guest.answers("systemctl show --property NRestarts docker.service", "NRestarts=0")?;
    let started =
        "date --date \"$(systemctl show --timestamp=us --property ExecMainStartTimestamp --value $unit)\" +%s%6N";
    let times = guest.shell(&format!(
        "for unit in containerd.service docker.service; do {started}; done; stat --format %.6Y /run/firstlight/gate-open | tr -d ."
    ))?;
    let times = times.lines().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>().with_context(|| times.clone())?;
    ensure!(
        times.len() == 3 && times[0] >= times[2] && times[1] >= times[2],
        "containerd, Docker, the gate: {times:?}"
    );
    // What the recipe names is let in, and no service of the distribution's has a say in it.
    let rules = guest.shell("sudo nft list tables; sudo nft list chain inet firstlight prerouting")?;
    ensure!(rules.contains("policy drop;") && rules.contains("tcp dport 22 accept comment \"ssh\""), "{rules}");
    guest.answers("systemctl is-active nftables.service firewalld.service || true", "inactive\ninactive")
}

/// The import at the first boot is a service's, this one an admin's: in another domain, and files are replaced that had labels.
fn a_site_by_an_admins_word_keeps_the_labels(guest: &Guest) -> Result<()> {
    let hash = site::password_hash(PASSWORD)?;
    guest.shell(&format!(
        "sudo cp -r /etc/firstlight/site /root/site && sudo sed -i 's|^hostname = .*|hostname = \"other.firstlight.test\"|; \
         s|^password_hash = .*|password_hash = \"{hash}\"|' /root/site/site.toml && \
         sudo firmware-checks site import /root/site && sudo rm -r /root/site"
    ))?;
    guest.answers(
        "hostname; sudo stat --format '%C %a %U' /etc/shadow",
        "other.firstlight.test\nsystem_u:object_r:shadow_t:s0 0 root",
    )?;
    guest.answers("sudo restorecon -R -n -v /etc /home /var/lib/firstlight 2>&1", "")
}

/// At a console, through programs of the distribution's that are confined. Who is locked out by that is this test.
fn the_first_password_can_be_chosen(guest: &mut Guest) -> Result<()> {
    // A machine that is in order asks itself once a day.
    guest.shell(
        "sudo usermod --password '!' admin && sudo rm --recursive /home/admin/.ssh; sudo firmware-checks run >/dev/null || true",
    )?;
    guest.wait_for("nobody can log in", SOON, |report| {
        verdict(report, "admin.login").is_ok_and(|login| login.state == State::Warn)
    })?;
    let mut at = guest.console()?.len();
    for (line, answer) in [
        ("", "login: "),
        ("admin", "New password: "),
        (PASSWORD, "Once more: "),
        (PASSWORD, "The password is set"),
        ("", "Password: "),
        (PASSWORD, "$ "),
        ("echo in=$(id -Z | cut -d: -f3)", "in=unconfined_t"),
    ] {
        // A terminal drops what comes before its question has been asked in full.
        std::thread::sleep(Duration::from_secs(1));
        if !(line.is_empty() && answer == "Password: ") {
            guest.type_line(line)?;
        }
        at = guest.wait_for_console(answer, at, SOON)?;
    }
    Ok(())
}
