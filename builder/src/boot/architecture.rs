//! Which architecture an image is for: by the program that firmware would start from its ESP.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use firmware_checks::architecture::Architecture;
use firmware_checks::fat::Volume;
use gpt::GptConfig;
use jiff::Timestamp;

use super::Error;

/// How much of the disk is looked at, in MiB: the partition table, and the ESP's first files.
const LOOKED_AT: u32 = 128;

/// The architecture that the qcow2 disk `disk` is for; that of this host where its ESP does not tell. What is looked at lies
/// in `folder` for a moment.
pub(super) fn of(disk: &Path, folder: &Path) -> Result<Architecture, Error> {
    let head = folder.join("head.raw");
    let output = Command::new("qemu-img")
        .args(["dd", "-f", "qcow2", "-O", "raw", "bs=1M", &format!("count={LOOKED_AT}")])
        .args([format!("if={}", disk.display()), format!("of={}", head.display())])
        .output();
    let doing = || format!("reading the ESP of {}", disk.display());
    let Output { status, stderr, .. } = output.map_err(Error::io(doing()))?;
    if !status.success() {
        return Err(Error::Input(format!("{}: {}", doing(), String::from_utf8_lossy(&stderr).trim())));
    }
    let told = on_esp(&head);
    std::fs::remove_file(&head).map_err(Error::io(doing()))?;
    Ok(told.ok().flatten().unwrap_or(Architecture::HERE))
}

/// By the ESP of the raw disk whose beginning the file `head` is.
fn on_esp(head: &Path) -> io::Result<Option<Architecture>> {
    let mut file = File::options().read(true).write(true).open(head)?;
    let table = GptConfig::new().writable(false).open_from_device(&mut file).map_err(io::Error::other)?;
    let block = *table.logical_block_size();
    let esp = table.partitions().values().find(|partition| partition.part_type_guid == gpt::partition_types::EFI);
    let Some(esp) = esp else { return Ok(None) };
    let start = esp.bytes_start(block)?;
    let range = start..start + esp.bytes_len(block)?;
    let mut volume = Volume::open(&file, range, Timestamp::UNIX_EPOCH).map_err(io::Error::other)?;
    for architecture in Architecture::ALL {
        let path = format!("EFI/BOOT/{}", architecture.removable());
        if volume.read_file(&path).map_err(io::Error::other)?.is_some() {
            return Ok(Some(architecture));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of 40 MiB whose ESP has the file `name`.
    fn disk(folder: &Path, name: &str) -> std::path::PathBuf {
        let path = folder.join("disk.raw");
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(40 << 20).unwrap();
        let mut table = GptConfig::new().writable(true).create_from_device(&mut file, None).unwrap();
        table.add_partition("esp", 36 << 20, gpt::partition_types::EFI, 0, Some(2048)).unwrap();
        table.write().unwrap();
        let mut volume = Volume::format(&file, (1 << 20)..(37 << 20), "ESP", 1, Timestamp::UNIX_EPOCH).unwrap();
        volume.write_file(name, b"MZ").unwrap();
        volume.finish().unwrap();
        path
    }

    #[test]
    fn an_image_is_for_what_firmware_would_start_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name| on_esp(&disk(folder.path(), name)).unwrap();
        assert_eq!(told("EFI/BOOT/BOOTAA64.EFI"), Some(Architecture::Aarch64));
        assert_eq!(told("EFI/BOOT/BOOTX64.EFI"), Some(Architecture::X86_64));
        assert_eq!(told("EFI/debian/shimx64.efi"), None);
    }

    #[test]
    fn the_beginning_of_a_disk_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = disk(folder.path(), "EFI/BOOT/BOOTAA64.EFI");
        File::options().write(true).open(&path).unwrap().set_len(38 << 20).unwrap();
        assert_eq!(on_esp(&path).unwrap(), Some(Architecture::Aarch64));
    }
}
