//! Images for 64-bit ARM, made and booted on another machine: Debian's from the real archive, and Ubuntu's from an archive in the
//! shape of its ports.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::TestSite;
use end_to_end::ubuntu_archive::{UbuntuArchive, write_recipe};
use end_to_end::{drivers, image, judge, ntp};
use firmware_checks::architecture::Architecture;
use firmware_checks::report::{Gate, Report};

const BOOT: Duration = Duration::from_secs(1200);

#[test]
#[ignore = "of half an hour on a slow machine; run by `./make.sh test-all`"]
fn debian_boots_with_secure_boot_to_an_open_gate() -> Result<()> {
    ntp::serve()?;
    let folder = image::scratch("debian");
    fs::create_dir_all(&folder)?;
    let recipe = write_recipe(&folder, "debian-13-arm64", "")?;
    let built = image::build(&recipe, &folder.join("out"))?;
    the_disk_is_for_uefi_alone(&built, &folder)?;
    let (guest, report) = started("debian/machine", &built, &folder, &["--firmware", "secure"])?;
    let firmware = format!("{:?}", verdict(&report, "firmware.boot")?);
    ensure!(firmware.contains("UEFI, Secure Boot on"), "{firmware}");
    the_machine_is_whole(&guest)
}

#[test]
#[ignore = "of half an hour on a slow machine; run by `./make.sh test-all`"]
fn ubuntu_comes_from_its_ports_and_boots_to_an_open_gate() -> Result<()> {
    ntp::serve()?;
    let archive = UbuntuArchive::made(Architecture::Aarch64)?;
    let servers = archive.serve()?;
    let folder = image::scratch("ubuntu");
    fs::create_dir_all(&folder)?;
    archive.write_base("24.04", &servers, &folder.join("bases"))?;
    let checked =
        image::command().args(["base", "check"]).arg(folder.join("bases/ubuntu-24.04-arm64.toml")).output()?;
    ensure!(checked.status.success(), "{}", image::text(&checked));
    let recipe = write_recipe(&folder, "ubuntu-24.04-arm64", "")?;
    // The archive of an earlier run may have been signed by another key.
    let _ = fs::remove_file(folder.join("hello.ubuntu-24.04-arm64.lock"));
    let built = image::build(&recipe, &folder.join("out"))?;
    let asked = servers.archive.requests();
    ensure!(asked.iter().any(|request| request.path.starts_with("/ubuntu-ports/dists/noble-security/")), "{asked:#?}");
    ensure!(asked.iter().all(|request| request.path.starts_with("/ubuntu-ports/")), "{asked:#?}");
    ensure!(servers.security.requests().is_empty(), "PCs' server of security updates was asked");
    the_disk_is_for_uefi_alone(&built, &folder)?;
    let (guest, report) = started("ubuntu/machine", &built, &folder, &[])?;
    let os = format!("{:?}", verdict(&report, "os.release")?);
    ensure!(os.contains("ubuntu 24.04"), "{os}");
    the_machine_is_whole(&guest)
}

/// A machine with a site, once its platform was accepted.
fn started(name: &'static str, image: &Path, folder: &Path, arguments: &[&str]) -> Result<(Guest, Report)> {
    let site = TestSite::make(&folder.join("site"))?;
    let arguments = [arguments, &["--disk-size", "12 GB"]].concat();
    let mut guest = Guest::start(&Settings {
        name,
        image,
        site: Some(&site),
        arguments: &arguments,
        ports: &[22, 443],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "not ready: {report:#?}");
    let console = guest.console()?;
    ensure!(console.contains("READY"), "the serial console shows no report:\n{console}");
    let page =
        judge::run("curl", &["--silent", "--fail", "--insecure", &format!("https://127.0.0.1:{}/", guest.port(443))])?;
    ensure!(page.contains("<html"), "{page}");
    Ok((guest, report))
}

/// Sound, without anything for a PC's BIOS, and with the programs under the names that firmware looks for.
fn the_disk_is_for_uefi_alone(image: &Path, folder: &Path) -> Result<()> {
    judge::disk(image, folder)?;
    println!("{}", drivers::of_disk(image, Architecture::Aarch64)?);
    ensure!(judge::partition(image, "bios").is_err(), "there is a BIOS boot partition");
    let boot_code = &fs::File::open(image).and_then(|mut file| {
        let mut sector = [0; 440];
        std::io::Read::read_exact(&mut file, &mut sector).map(|()| sector)
    })?;
    ensure!(boot_code.iter().all(|byte| *byte == 0), "the first sector has boot code");
    let esp = folder.join("esp.part");
    judge::extract_partition(image, "esp", &esp)?;
    let listed = judge::run("fsck.vfat", &["-nvl", &esp.display().to_string()])?;
    for name in ["BOOTAA64.EFI", "grubaa64.efi", "mmaa64.efi", "shimaa64.efi"] {
        ensure!(listed.to_lowercase().contains(&name.to_lowercase()), "{name} is not on the ESP:\n{listed}");
    }
    fs::remove_file(esp)?;
    Ok(())
}

fn the_machine_is_whole(guest: &Guest) -> Result<()> {
    guest.answers("uname -m", "aarch64")?;
    guest.answers("dpkg --print-architecture", "arm64")?;
    guest.answers("sudo dpkg --audit", "")?;
    guest.answers("sudo apt-get check >/dev/null && echo whole", "whole")?;
    guest.answers("systemctl --failed --no-legend --plain", "")?;
    guest.answers("sudo docker image inspect --format '{{.Architecture}}' firstlight/hello:1", "arm64")?;
    guest.answers("sudo firmware-checks machine renew-boot-loader", "esp: as it should be")?;
    guest.answers("findmnt --noheadings --output PARTLABEL /srv", "data")?;
    // Whatever the emulator was, nothing of it is here.
    guest.answers("sudo find / -xdev -iname '*qemu*' -not -path '*/modules/*' -not -path '/usr/share/*' | head", "")
}
