//! Packages of the boot loader are upgraded on the running machine: the ESP and the BIOS boot partition follow, the machine
//! boots from the new ones in legacy BIOS and in UEFI, and a power cut at any moment leaves each of them whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::guest::{Guest, Settings};
use end_to_end::renewal::{booted_current, core, switch_off, upgrade};
use end_to_end::site::TestSite;
use end_to_end::write_log::{Fate, WriteLog};
use end_to_end::{image, judge, ntp};
use firmware_checks::boot_loader::bios::{SECTOR, SLOT, core_of};
use firmware_checks::fat::Volume;
use firstlight::recipe;
use jiff::Timestamp;

/// Packages as an upgrade would bring them: the installed ones with a higher version and another byte in each program, built
/// on the machine with their own maintainer scripts; and all three in one run of dpkg. The signatures no longer hold; the byte
/// is one of the DOS program in the file's head, since shim refuses what is longer than its table of certificates says.
const UPGRADE: &str = "set -eu
cd \"$(mktemp -d)\"
for package in shim-signed grub-efi-amd64-signed grub-pc-bin; do
  mkdir -p $package/DEBIAN
  dpkg -L $package | tar -C / --no-recursion -cf - -T - 2>/dev/null | tar -C $package -xf -
  for file in shimx64.efi.signed grubx64.efi.signed; do
    find $package -name $file -type f -exec sh -c 'printf x | dd of=\"$1\" bs=1 seek=78 conv=notrunc status=none' - {} \\;
  done
  find $package -name normal.mod -type f -exec sh -c 'printf x >> \"$1\"' - {} \\;
  dpkg-query -W -f 'Package: ${Package}\\nVersion: ${Version}+firstlight1\\nArchitecture: ${Architecture}\\nMaintainer: test\\n\
Depends: ${Depends}\\nDescription: upgraded\\n' $package > $package/DEBIAN/control
  for script in preinst postinst prerm postrm triggers; do
    test ! -e /var/lib/dpkg/info/$package.$script || cp -p /var/lib/dpkg/info/$package.$script $package/DEBIAN/$script
  done
  dpkg-deb -Znone --build $package >/dev/null
done
dpkg --install ./*.deb";

#[test]
#[ignore = "takes six minutes, of an hour for all; run by `./make.sh test-all`"]
fn an_upgraded_boot_loader_is_renewed_boots_everywhere_and_no_power_cut_breaks_it() -> Result<()> {
    ntp::serve()?;
    let folder = image::scratch("upgrade");
    std::fs::create_dir_all(&folder)?;
    let (state, log) = (folder.join("state.qcow2"), folder.join("writes.log"));
    let _ = std::fs::remove_file(&state);
    let site = TestSite::make(&folder.join("site"))?;
    let image = image::hello()?;
    let paths = [&state, &log].map(|path| path.display().to_string());
    let start = |site, arguments: &[&str]| {
        let arguments = [&["--state", paths[0].as_str()], arguments].concat();
        Guest::start(&Settings {
            name: "upgrade",
            image: &image,
            site,
            arguments: &arguments,
            ports: &[22],
            keep: true,
        })
    };
    let mut guest = start(Some(&site), &["--firmware", "bios", "--log-writes", &paths[1]])?;
    booted_current(&mut guest, "BIOS")?;
    ensure!(core(&guest)? == 2048, "the image's own core image is in the first slot");
    let base = recipe::load(&image::repository().join("recipes/hello.toml"), None)?.base;
    upgrade(&guest, &base.boot, UPGRADE, "dpkg --audit")?;
    ensure!(core(&guest)? == 2048 + SLOT / SECTOR, "the new core image is in the second slot");
    switch_off(guest)?;
    for (firmware, observed) in [("bios", "BIOS"), ("uefi", "UEFI")] {
        let mut guest = start(None, &["--firmware", firmware])?;
        guest.log_in_with(&site.ssh_key);
        booted_current(&mut guest, observed)?;
        switch_off(guest)?;
    }

    every_cut_leaves_a_whole_loader(&image, &log)?;
    std::fs::remove_file(&log)?;
    Ok(std::fs::remove_file(&state)?)
}

/// Where the boot loader lies on the disk.
struct Areas {
    bios: Range<u64>,
    esp: Range<u64>,
}

/// What a disk boots.
#[derive(PartialEq)]
struct Loader {
    code: Vec<u8>,
    core: Vec<u8>,
    esp: BTreeMap<String, Vec<u8>>,
}

impl Areas {
    fn loader(&self, disk: &File) -> Result<Loader> {
        let read = |offset: u64, length: u64| {
            let mut bytes = vec![0; usize::try_from(length)?];
            disk.read_exact_at(&mut bytes, offset)?;
            anyhow::Ok(bytes)
        };
        let code = read(0, SECTOR)?;
        let core = read(core_of(&code) * SECTOR, SLOT)?;
        let esp = Volume::open(disk, self.esp.clone(), Timestamp::UNIX_EPOCH)?.folder("EFI")?;
        Ok(Loader { code, core, esp })
    }
}

/// Cuts the power around each write to the loader's places, and wants either the old or the new loader there, whole.
fn every_cut_leaves_a_whole_loader(image: &Path, log: &Path) -> Result<()> {
    let areas = Areas { bios: judge::partition(image, "bios")?, esp: judge::partition(image, "esp")? };
    let places = [0..SECTOR, areas.bios.clone(), areas.esp.clone()];
    let mut log = WriteLog::open(log)?;
    let here: Vec<usize> = log.within(&places);
    let mut number = 0;
    log.entries.retain(|entry| {
        number += 1;
        entry.flushes() || here.binary_search(&(number - 1)).is_ok()
    });
    let entries = log.within(&places);
    let mut start = vec![0; usize::try_from(areas.esp.end)?];
    File::open(image)?.read_exact_at(&mut start, 0)?;
    let disk = tempfile::tempfile()?;
    let fresh = || disk.write_all_at(&start, 0);
    fresh()?;
    let old = areas.loader(&disk)?;
    log.replay(&disk, log.entries.len(), |_| Fate::Whole)?;
    let new = areas.loader(&disk)?;
    ensure!(old.code != new.code && old.core != new.core && old.esp != new.esp, "nothing was renewed in the record");
    ensure!(entries.len() > 10, "only {} writes", entries.len());
    let mut seen = [[0; 2]; 2];
    let step = (entries.len() / 60).max(1);
    for cut in entries.iter().step_by(step).chain(entries.last()).flat_map(|entry| [*entry, entry + 1]) {
        for salt in [0, 1] {
            fresh()?;
            log.replay(&disk, cut, |number| Fate::of(number, salt))?;
            let found = areas.loader(&disk).with_context(|| format!("cut before entry {cut}, fates {salt}"))?;
            let whole = |same: &dyn Fn(&Loader) -> bool| [&old, &new].into_iter().position(same);
            let bios = whole(&|loader| loader.code == found.code && loader.core == found.core);
            let esp = whole(&|loader| loader.esp == found.esp);
            let (Some(bios), Some(esp)) = (bios, esp) else {
                bail!("cut before entry {cut}, fates {salt}: BIOS whole {bios:?}, ESP whole {esp:?}");
            };
            seen[0][bios] += 1;
            seen[1][esp] += 1;
        }
    }
    println!("{} writes; BIOS old/new and ESP old/new after the cuts: {seen:?}", entries.len());
    ensure!(seen.iter().flatten().all(|count| *count > 0), "the cuts never met the moment: {seen:?}");
    Ok(())
}
