//! Packages of the boot loader are upgraded by rpm on the running machine, which was started in legacy BIOS: both partitions
//! follow, and the machine boots from what they then hold.

use std::fmt::Write as _;
use std::fs;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use end_to_end::guest::{Guest, Settings};
use end_to_end::renewal::{booted_current, core, switch_off, upgrade};
use end_to_end::rpm_distribution::{Payload, RpmDistribution, build_packages};
use end_to_end::site::TestSite;
use end_to_end::{image, judge, ntp};
use firmware_checks::boot_loader::bios::{SECTOR, SLOT};
use firstlight::recipe;

use crate::bench::{self, Built};
use crate::machine::nothing_was_denied;

/// The packages, each with the file that is another in the upgrade, and where in it: in the DOS program of the head, since shim
/// refuses what is longer than its table of certificates says.
const UPGRADED: [(&str, &str, SeekFrom); 3] = [
    ("shim-x64", "boot/efi/EFI/almalinux/shimx64.efi", SeekFrom::Start(78)),
    ("grub2-efi-x64", "boot/efi/EFI/almalinux/grubx64.efi", SeekFrom::Start(78)),
    ("grub2-pc-modules", "usr/lib/grub/i386-pc/normal.mod", SeekFrom::End(0)),
];

#[test]
#[ignore = "boots three times, of an hour for all; run by `./make.sh test-all`"]
fn an_upgrade_by_rpm_renews_the_boot_loader_which_boots_in_bios_and_uefi() -> Result<()> {
    ntp::serve()?;
    let Built { bench, image: built } = bench::built()?;
    let folder = image::scratch("almalinux-upgrade");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let script = script(RpmDistribution::made()?.folder(), &folder)?;
    let base = recipe::load(&bench.recipe, None)?.base;
    let site = TestSite::make(&folder.join("site"))?;
    let state = folder.join("state.qcow2").display().to_string();
    let start = |site, firmware: &str| {
        let arguments = ["--disk-size", "12 GB", "--state", &state, "--firmware", firmware];
        let name = "almalinux-upgrade";
        Guest::start(&Settings { name, image: built, site, arguments: &arguments, ports: &[22], keep: true })
    };
    let mut guest = start(Some(&site), "bios")?;
    guest.log_in_with(&site.ssh_key);
    booted_current(&mut guest, "BIOS")?;
    ensure!(core(&guest)? == 2048, "the image's own core image is in the first slot");
    upgrade(&guest, &base.boot, &script, "rpm --verify shim-x64 grub2-efi-x64 grub2-pc-modules")?;
    ensure!(core(&guest)? == 2048 + SLOT / SECTOR, "the new core image is in the second slot");
    half_installed_packages_are_not_taken(&guest)?;
    nothing_was_denied(&guest)?;
    switch_off(guest)?;
    for (firmware, observed) in [("bios", "BIOS"), ("uefi", "UEFI")] {
        let mut guest = start(None, firmware)?;
        guest.log_in_with(&site.ssh_key);
        booted_current(&mut guest, observed)?;
        nothing_was_denied(&guest)?;
        switch_off(guest)?;
    }
    Ok(fs::remove_dir_all(folder)?)
}

/// A file that is other than rpm's database says, as an interrupted transaction leaves it, goes onto neither partition.
fn half_installed_packages_are_not_taken(guest: &Guest) -> Result<()> {
    let module = "/usr/lib/grub/i386-pc/normal.mod";
    let said = guest.shell(&format!(
        "sudo cp -p {module} /root/normal.mod && printf y | sudo tee -a {module} >/dev/null && \
         sudo firmware-checks machine renew-boot-loader; cat /run/firstlight/boot-loader.json; \
         sudo cp -p /root/normal.mod {module} && sudo firmware-checks machine renew-boot-loader"
    ))?;
    ensure!(said.contains("are not whole"), "{said}");
    ensure!(core(guest)? == 2048 + SLOT / SECTOR, "a core image was made of files of two versions");
    Ok(())
}

/// The packages again with a higher version, and what installs them on the machine.
fn script(distribution: &Path, folder: &Path) -> Result<String> {
    let mut script = "set -eu\ncd \"$(mktemp -d)\"\n".to_owned();
    for (name, changed, place) in UPGRADED {
        let package = BASE64_STANDARD.encode(fs::read(rebuilt(distribution, folder, name, changed, place)?)?);
        writeln!(script, "base64 --decode >{name}.rpm <<'END'\n{package}\nEND")?;
    }
    Ok(script + "rpm --upgrade --nodeps --nosignature ./*.rpm\n")
}

/// The package `name` of `distribution`, with another byte at `place` of its file `changed`.
fn rebuilt(distribution: &Path, folder: &Path, name: &str, changed: &str, place: SeekFrom) -> Result<PathBuf> {
    let pattern = format!("{name}-[0-9]*.rpm");
    let package = judge::run("find", &[&distribution.display().to_string(), "-name", &pattern])?;
    let package = package.lines().next().with_context(|| format!("no {pattern} in {}", distribution.display()))?;
    let work = folder.join(name);
    let tree = work.join("tree");
    fs::create_dir_all(&tree)?;
    let unpack = "rpm2cpio \"$0\" | cpio --extract --make-directories --preserve-modification-time --quiet";
    let status = Command::new("sh").args(["-c", unpack]).arg(package).current_dir(&tree).status()?;
    ensure!(status.success(), "unpacking {package}: {status}");
    let mut file = fs::File::options().write(true).open(tree.join(changed))?;
    file.seek(place)?;
    file.write_all(b"x")?;
    let query =
        |format: &str| judge::run("rpm", &["--query", "--nosignature", "--queryformat", format, "--package", package]);
    // Where folders are another package's, they stay so.
    let files = query("[%{FILENAMES} %{FILEMODES:perms}\\n]")?;
    let files = files.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(_, mode)| !mode.starts_with('d'));
    let files: String = files.map(|(path, _)| format!("\"{path}\"\n")).collect();
    let spec = work.join("upgrade.spec");
    let text = format!(
        "Name: {name}\nEpoch: {}\nVersion: 99\nRelease: 1.el9\nSummary: upgraded\nLicense: various\nAutoReqProv: no\nBuildArch: {}\n\
         %description\n%{{summary}}.\n%install\nmkdir -p %{{buildroot}}\ncp -a {}/. %{{buildroot}}/\n%files\n%defattr(-,root,root,-)\n{files}",
        query("%|EPOCH?{%{EPOCH}}:{0}|")?.trim(),
        query("%{ARCH}")?.trim(),
        tree.display(),
    );
    fs::write(&spec, text)?;
    let into = work.join("rpms");
    build_packages(&spec, Payload::Gzip, &work, &into)?;
    let made = judge::run("find", &[&into.display().to_string(), "-name", "*.rpm"])?;
    Ok(made.lines().next().context("rpmbuild made nothing")?.into())
}
