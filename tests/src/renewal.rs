//! Upgrades of the boot loader's packages on a running machine, and whether its partitions follow.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use firmware_checks::boot_loader::BootLoader;
use firmware_checks::boot_loader::bios::core_of;
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};

use crate::guest::{Guest, verdict};

const BOOT: Duration = Duration::from_secs(900);
const RENEWAL: Duration = Duration::from_secs(120);

/// Waits until the gate is open on a machine that was started by `firmware`, with a boot loader that is as installed.
///
/// # Errors
/// It is not, or not in time.
pub fn booted_current(guest: &mut Guest, firmware: &str) -> Result<()> {
    let wanted = |report: &Report| report.gate != Gate::Shut && report.ready;
    let report = guest.wait_for("the gate is open", BOOT, wanted)?;
    let observed = &verdict(&report, "firmware.boot")?.observed;
    ensure!(observed.contains(firmware), "{observed}");
    let boot: Vec<_> = report.checks.iter().filter(|check| check.id == "boot.current").collect();
    ensure!(boot.len() == 2 && boot.iter().all(|check| check.state == State::Pass), "{boot:#?}");
    Ok(())
}

/// The sector at which the machine's first sector expects the core image.
///
/// # Errors
/// The machine does not say.
pub fn core(guest: &Guest) -> Result<u64> {
    let bytes = guest.shell("sudo od -An -v -tu1 -N512 /dev/vda")?;
    Ok(core_of(&bytes.split_whitespace().map(str::parse).collect::<Result<Vec<u8>, _>>()?))
}

/// Upgrades the packages by `upgrade`, a script, and waits until the partitions have followed; nobody but the machine itself sees to
/// that. Then they are compared with what is installed, by other programs than the one that wrote them; `audit` prints nothing
/// where the packages are whole.
///
/// # Errors
/// They have not followed, or hold something else.
pub fn upgrade(guest: &Guest, boot: &BootLoader, upgrade: &str, audit: &str) -> Result<()> {
    let record = "cat /run/firstlight/boot-loader.json";
    let before = guest.shell(record)?;
    guest.shell_with("sudo sh", upgrade)?;
    let started = Instant::now();
    let after = loop {
        let after = guest.shell(record)?;
        let both = |text: &str| {
            let values: Vec<String> = text.split('"').filter(|part| part.len() == 64).map(str::to_owned).collect();
            values
        };
        let (old, new) = (both(&before), both(&after));
        if new.len() == 2 && old.iter().zip(&new).all(|(old, new)| old != new) {
            break after;
        }
        if started.elapsed() > RENEWAL {
            let journal = guest.shell("sudo journalctl --boot --no-pager -u 'firstlight-boot-loader*'")?;
            bail!("not renewed within {} s: {after}\n{journal}", RENEWAL.as_secs());
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    let looked = guest.shell_with("sudo sh", &look(boot, audit)).with_context(|| after)?;
    ensure!(looked.contains("configfile") && !looked.contains("failed"), "{looked}");
    Ok(())
}

fn look(boot: &BootLoader, audit: &str) -> String {
    let BootLoader { vendor, shim, mok_manager, grub, .. } = boot;
    format!(
        "set -eu
mount -t vfat -o ro /dev/disk/by-partlabel/esp /mnt
for file in BOOT/BOOTX64.EFI {vendor}/shimx64.efi; do cmp /mnt/EFI/$file {shim}; done
for folder in BOOT {vendor}; do
  cmp /mnt/EFI/$folder/grubx64.efi {grub}
  cmp /mnt/EFI/$folder/mmx64.efi {mok_manager}
done
cat /mnt/EFI/{vendor}/grub.cfg
umount /mnt
fsck.vfat -n /dev/disk/by-partlabel/esp
{audit}
systemctl --failed --no-legend --plain"
    )
}

/// As an admin does, so that everything is on the disk.
///
/// # Errors
/// It does not end.
pub fn switch_off(mut guest: Guest) -> Result<()> {
    // The connection may end before the command does.
    let _ = guest.shell("sudo systemctl poweroff");
    guest.wait_for_end(RENEWAL)?;
    Ok(())
}
