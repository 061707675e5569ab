//! What lies on the EFI system partition.

use std::path::Path;

use uuid::Uuid;

use super::{fat, grub, times};
use crate::recipe::base::BootLoader;

/// The ESP could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the boot loader is not in the root file system.
    #[error(
        "reading the boot loader's `{path}` in the root file system: {source}\n  hint: does the base install the \
         package that has it, and is `boot.{field}` right?"
    )]
    Missing {
        /// The path in the root file system.
        path: String,
        /// The base's key that names it.
        field: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Writing to the file system failed.
    #[error(transparent)]
    Fat(#[from] fat::Error),
}

/// Puts the boot loader from `root` onto the ESP: shim, which the firmware's keys vouch for; the distribution's GRUB, which
/// shim's do; and MokManager.
///
/// All three lie in the removable-media path (UEFI 2.10 §3.5.1.1), from which a freshly written disk boots without any boot
/// entry, and in the vendor's folder, where the distribution's own packages and a boot entry expect them and where the signed
/// GRUB looks for its configuration. `fbx64.efi` is left out of the removable-media path: there it would add a boot entry and reset.
///
/// # Errors
/// [`Error`].
pub fn fill(esp: &mut fat::Volume, root: &Path, boot: &BootLoader, root_uuid: Uuid) -> Result<(), Error> {
    let read = |path: &str, field| {
        let found = times::read(&root.join(path.trim_start_matches('/')));
        found.map_err(|source| Error::Missing { path: path.to_owned(), field, source })
    };
    let shim = read(&boot.shim, "shim")?;
    let grub = read(&boot.grub, "grub")?;
    let mok_manager = read(&boot.mok_manager, "mok_manager")?;
    let vendor = format!("EFI/{}", boot.vendor);
    for (folder, shim_name) in [("EFI/BOOT", "BOOTX64.EFI"), (vendor.as_str(), "shimx64.efi")] {
        esp.write_file(&format!("{folder}/{shim_name}"), &shim)?;
        esp.write_file(&format!("{folder}/grubx64.efi"), &grub)?;
        esp.write_file(&format!("{folder}/mmx64.efi"), &mok_manager)?;
    }
    esp.write_file(&format!("{vendor}/grub.cfg"), grub::on_esp(root_uuid).as_bytes())?;
    esp.write_file(&format!("{vendor}/BOOTX64.CSV"), &boot_entry(&boot.vendor))?;
    Ok(())
}

/// What shim's fallback program makes a boot entry of: one line of UTF-16, little-endian with a byte order mark: file, label,
/// arguments, description (shim, `README.fallback`).
fn boot_entry(vendor: &str) -> Vec<u8> {
    let line = format!("\u{feff}shimx64.efi,{vendor},,This is the boot entry for {vendor}\n");
    line.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn boot() -> BootLoader {
        let text =
            "vendor = 'debian'\nshim = '/lib/shim'\nmok_manager = '/lib/mm'\ngrub = '/lib/grub'\nbios_modules = '/x'";
        toml::from_str(text).unwrap()
    }

    fn esp() -> fat::Volume {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        fat::Volume::format(&file, 0..64 << 20, "ESP", 1, jiff::Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn the_signed_chain_lies_in_both_folders_and_fallback_in_none() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lib")).unwrap();
        for name in ["shim", "mm", "grub"] {
            fs::write(root.path().join("lib").join(name), name).unwrap();
        }
        let mut esp = esp();
        fill(&mut esp, root.path(), &boot(), Uuid::from_u128(7)).unwrap();
        for (path, content) in [
            ("EFI/BOOT/BOOTX64.EFI", "shim"),
            ("EFI/BOOT/grubx64.efi", "grub"),
            ("EFI/BOOT/mmx64.efi", "mm"),
            ("EFI/debian/shimx64.efi", "shim"),
            ("EFI/debian/grubx64.efi", "grub"),
            ("EFI/debian/mmx64.efi", "mm"),
        ] {
            assert_eq!(esp.read_file(path).unwrap().unwrap(), content.as_bytes(), "{path}");
        }
        assert!(esp.list().unwrap().iter().all(|entry| !entry.path.to_lowercase().contains("fbx64")));
        let entry = esp.read_file("EFI/debian/BOOTX64.CSV").unwrap().unwrap();
        assert_eq!(entry[..6], [0xff, 0xfe, b's', 0, b'h', 0]);
    }

    #[test]
    fn a_missing_part_is_named_with_the_key_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let error = fill(&mut esp(), root.path(), &boot(), Uuid::from_u128(7)).unwrap_err().to_string();
        assert!(error.contains("`/lib/shim`") && error.contains("`boot.shim`"), "{error}");
    }
}
