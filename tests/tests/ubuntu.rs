//! Ubuntu, by an archive in its shape: what the bases say is right there, what is wrong in a base is told, and images of
//! 24.04 and 22.04 boot to an open gate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::TestSite;
use end_to_end::ubuntu_archive::{Servers, UbuntuArchive};
use end_to_end::{drivers, image, judge, ntp, ubuntu_archive};
use firmware_checks::architecture::Architecture;
use firmware_checks::report::Gate;
use firstlight::{lock, recipe};
use serde_json::Value;

const BOOT: Duration = Duration::from_secs(900);

/// The archive, served, and the recipe on its base.
struct Bench {
    archive: UbuntuArchive,
    servers: Servers,
    folder: PathBuf,
    recipe: PathBuf,
}

impl Bench {
    fn new(name: &str, version: &str) -> Result<Self> {
        let archive = UbuntuArchive::made(Architecture::X86_64)?;
        let servers = archive.serve()?;
        let folder = image::scratch(name);
        fs::create_dir_all(&folder)?;
        archive.write_base(version, &servers, &folder.join("bases"))?;
        let recipe = ubuntu_archive::write_recipe(&folder, &format!("ubuntu-{version}"), "")?;
        // The archive of an earlier run may have been signed by another key.
        let _ = fs::remove_file(folder.join(format!("hello.ubuntu-{version}.lock")));
        Ok(Self { archive, servers, folder, recipe })
    }

    /// `firstlight base check` of the base, after `change` of its text.
    fn check(&self, change: impl Fn(&str) -> String) -> Result<(Output, Vec<Value>)> {
        let base = self.archive.write_base("24.04", &self.servers, &self.folder.join("checked"))?;
        fs::write(&base, change(&fs::read_to_string(&base)?))?;
        let output = image::command().args(["base", "check", "--json"]).arg(&base).output()?;
        let told: Value = serde_json::from_slice(&output.stdout).with_context(|| image::text(&output))?;
        Ok((output, told["lines"].as_array().context("no lines")?.clone()))
    }
}

#[test]
fn a_base_is_tried_and_what_is_wrong_with_it_is_told() -> Result<()> {
    let bench = Bench::new("ubuntu-check", "24.04")?;
    let (output, lines) = bench.check(str::to_owned)?;
    ensure!(output.status.code() == Some(0), "{}", image::text(&output));
    ensure!(lines.iter().all(|line| line["state"] == "ok"), "{lines:#?}");
    let looked_at: Vec<&str> = lines.iter().filter_map(|line| line["what"].as_str()).collect();
    for what in [
        "certificate",
        "suite noble",
        "suite noble-updates",
        "suite noble-security",
        "snapshot of noble",
        "snapshot of noble-security",
        "tools",
        "kernel.metal",
        "kernel.cloud",
        "platforms.docker",
        "boot.shim",
        "boot.mok_manager",
        "boot.grub",
        "boot.bios_modules",
        "os",
    ] {
        ensure!(looked_at.contains(&what), "{what} is not among {looked_at:?}");
    }
    let shipped = fs::read_to_string(image::repository().join("recipes/bases/keys/ubuntu.asc"))?;
    let other = bench.folder.join("checked/other.asc");
    fs::write(&other, shipped)?;
    for (from, to, what, words) in [
        ("\"noble-updates\"", "\"noble-upgrades\"", "suite noble-upgrades", &["404", "`noble-upgrades`"][..]),
        ("keyring.asc", "other.asc", "suite noble", &["unknown key", "F6ECB3762474EDA9D21B7022871920D1991BC93C"]),
        (
            "linux-image-generic",
            "linux-image-genreic",
            "kernel.metal",
            &["`linux-image-genreic`", "`linux-image-generic`"],
        ),
        ("docker-compose-v2", "docker-compose-v3", "platforms.docker", &["`docker-compose-v3`"]),
        ("shimx64.efi.signed.latest", "shimx64.efi.signed", "boot.shim", &["shimx64.efi.signed.latest", "nearest"]),
        ("version_id = \"24.04\"", "version_id = \"22.04\"", "os", &["VERSION_ID=24.04", "VERSION_ID=22.04"]),
        ("\"restricted\"", "\"resticted\"", "suite noble", &["the components", "`resticted`"]),
        ("/snapshot/", "/snap/", "snapshot of noble", &["404"]),
    ] {
        let (output, lines) = bench.check(|text| text.replace(from, to))?;
        ensure!(output.status.code() == Some(1), "{to}: {}", image::text(&output));
        let wrong = lines.iter().find(|line| line["what"] == what && line["state"] == "fail");
        let wrong = wrong.with_context(|| format!("{to}: {what} did not fail: {lines:#?}"))?.to_string();
        for word in words {
            ensure!(wrong.contains(word), "{to}: `{word}` is not in {wrong}");
        }
    }
    // A server that is not there is no fault of the base's.
    let (output, lines) = bench.check(|text| text.replace("http://localhost:", "http://localhost.invalid:"))?;
    ensure!(output.status.code() == Some(2), "{}", image::text(&output));
    ensure!(
        lines.iter().any(|line| line["what"] == "suite noble-security" && line["state"] == "unknown"),
        "{lines:#?}"
    );
    Ok(())
}

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn the_image_boots_to_an_open_gate() -> Result<()> {
    ntp::serve()?;
    let bench = Bench::new("ubuntu", "24.04")?;
    let built = image::build(&bench.recipe, &bench.folder.join("out"))?;
    the_pockets_are_used(&bench)?;
    judge::disk(&built, &bench.folder)?;
    println!("{}", drivers::of_disk(&built, Architecture::X86_64)?);

    let guest = accepted(&bench, &built, "ubuntu/machine", "24.04")?;
    the_machine_is_ubuntus(&guest)
}

/// A machine with the image `built`, once its platform was accepted.
fn accepted(bench: &Bench, built: &Path, name: &'static str, version: &str) -> Result<Guest> {
    let site = TestSite::make(&bench.folder.join("site"))?;
    let mut guest = Guest::start(&Settings {
        name,
        image: built,
        site: Some(&site),
        arguments: &["--disk-size", "12 GB"],
        ports: &[22],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "not ready: {report:#?}");
    let os = verdict(&report, "os.release")?;
    ensure!(format!("{os:?}").contains(&format!("ubuntu {version}")), "{os:?}");
    Ok(guest)
}

/// The release before: other suites, and systemd with the resolver in it.
#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn the_image_of_22_04_is_that_release_and_boots_to_an_open_gate() -> Result<()> {
    let bench = Bench::new("ubuntu-22.04", "22.04")?;
    let built = image::build(&bench.recipe, &bench.folder.join("out"))?;
    judge::disk(&built, &bench.folder)?;
    println!("{}", drivers::of_disk(&built, Architecture::X86_64)?);
    let at = format!("{}?offset={}", built.display(), judge::partition(&built, "root")?.start);
    let read = |path: &str| judge::run("debugfs", &["-R", &format!("cat {path}"), &at]);
    let (os, sources) = (read("/usr/lib/os-release")?, read("/etc/apt/sources.list.d/ubuntu.sources")?);
    ensure!(os.contains("VERSION_ID=\"22.04\""), "{os}");
    ensure!(
        sources.contains("Suites: jammy jammy-updates\n") && sources.contains("Suites: jammy-security\n"),
        "{sources}"
    );
    let enabled = judge::run("debugfs", &["-R", "ls /etc/systemd/system/sysinit.target.wants", &at])?;
    ensure!(enabled.contains("systemd-resolved.service"), "{enabled}");
    ensure!(
        bench.servers.archive.requests().iter().all(|request| !request.path.contains("noble")),
        "noble was asked for"
    );
    let guest = accepted(&bench, &built, "ubuntu-22.04/machine", "22.04")?;
    guest.answers("sudo dpkg --audit", "")?;
    guest.answers("systemctl --failed --no-legend --plain", "")?;
    guest.answers("sudo docker compose ls --quiet", "hello")
}

/// What was chosen from which pocket, and by which server it was delivered.
fn the_pockets_are_used(bench: &Bench) -> Result<()> {
    let loaded = recipe::load(&bench.recipe, None)?;
    let lock = lock::read(&lock::path(&loaded), &loaded)?.context("no lock")?;
    let text = fs::read_to_string(lock::path(&loaded))?;
    let names = loaded.base.source_names();
    for (name, ending, source) in [
        ("nano", "ubuntu0.1", "ubuntu noble"),
        ("less", "ubuntu0.24.04.1", "ubuntu noble-security"),
        ("netbase", "ubuntu1", "ubuntu noble"),
    ] {
        let package = lock.system.packages.iter().find(|package| package.name == name).context(name)?;
        ensure!(package.version.ends_with(ending), "{name} {}", package.version);
        ensure!(names[package.source] == source && text.contains(source), "{name} is from {}", names[package.source]);
    }
    let asked = bench.servers.security.requests();
    ensure!(asked.iter().all(|request| !request.path.contains("/dists/noble/")), "{asked:#?}");
    let others = bench.servers.archive.requests();
    ensure!(!others.iter().any(|request| request.path.contains("/dists/noble-security/")), "{others:#?}");
    Ok(())
}

fn the_machine_is_ubuntus(guest: &Guest) -> Result<()> {
    let equal = |command: &str, expected: &str| guest.answers(command, expected);
    equal("sudo dpkg --audit", "")?;
    equal("sudo apt-get check >/dev/null && echo whole", "whole")?;
    equal("systemctl --failed --no-legend --plain", "")?;
    let packages = "dpkg-query --show --showformat '${db:Status-Status} ${Package}\\n'";
    equal(&format!("{packages} | grep -E '^installed (snapd|cloud-init|unattended-upgrades)' || true"), "")?;
    // The signed GRUB would look into this folder; this one does, too, and nothing of Debian's is there.
    equal(
        "sudo mount -o ro PARTLABEL=esp /mnt && cd /mnt && find EFI -type f | sort | tr '\\n' ' '; cd /; sudo umount /mnt",
        "EFI/BOOT/BOOTX64.EFI EFI/BOOT/grubx64.efi EFI/BOOT/mmx64.efi EFI/ubuntu/BOOTX64.CSV EFI/ubuntu/grub.cfg \
         EFI/ubuntu/grubx64.efi EFI/ubuntu/mmx64.efi EFI/ubuntu/shimx64.efi",
    )?;
    // netplan is there, understands its file, and has no interface of its own; networkd has the address.
    equal("sudo netplan get network.renderer", "networkd")?;
    equal("sudo netplan generate && ls /run/systemd/network 2>/dev/null | grep -c netplan || true", "0")?;
    equal("sudo stat -c '%a %U' /etc/netplan/10-firstlight.yaml", "600 root")?;
    equal("networkctl --no-legend list | awk '$2 ~ /^en/ { print $4, $5 }'", "routable configured")?;
    equal("systemctl is-enabled motd-news.timer || true", "disabled")?;
    equal("systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer ssh.socket | sort -u; true", "disabled")?;
    // An interface that netplan is given is netplan's.
    guest.shell(
        "printf 'network:\\n  version: 2\\n  ethernets:\\n    taken: { match: { driver: \"virtio*\" }, dhcp4: true }\\n' |
         sudo tee /etc/netplan/90-admin.yaml >/dev/null && sudo chmod 600 /etc/netplan/90-admin.yaml && sudo netplan apply",
    )?;
    let taken = guest.shell(
        "for i in $(seq 30); do sleep 2; networkctl status --no-pager $(networkctl --no-legend list | awk '$2 ~ /^en/ { print $2; exit }') |
         grep -E 'Network File|State' | grep -A1 netplan | grep -q routable && break; done; ip -brief address show up",
    )?;
    ensure!(taken.contains("10.0.2.15"), "{taken}");
    let file = guest.shell("networkctl status --no-pager --all | grep 'Network File'")?;
    ensure!(file.contains("10-netplan-taken.network"), "{file}");
    let sources = guest.shell("cat /etc/apt/sources.list.d/ubuntu.sources; ls /etc/apt/sources.list.d")?;
    for words in [
        "Suites: noble noble-updates\nComponents: main restricted universe\n",
        "Suites: noble-security\n",
        "Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg",
        "URIs: http://localhost:",
    ] {
        ensure!(sources.contains(words), "`{words}` is not in\n{sources}");
    }
    equal("ls /etc/apt/sources.list.d; cat /etc/apt/sources.list 2>/dev/null; true", "ubuntu.sources")?;
    // The kernel is the package of Ubuntu's name, and what is upgraded takes effect: the links are its own.
    equal("dpkg-query --showformat '${Status}' --show linux-image-generic", "install ok installed")?;
    equal("test -e /vmlinuz && echo linked || (test -e /boot/vmlinuz && echo linked)", "linked")?;
    equal("sudo docker compose ls --quiet", "hello")?;
    equal("readlink -f /usr/lib/shim/shimx64.efi.signed", "/usr/lib/shim/shimx64.efi.signed.latest")
}
