//! What lies on the EFI system partition.

use std::collections::BTreeMap;
use std::io;

use super::BootLoader;
use crate::architecture::Architecture;

/// The files by their paths below `EFI/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What is to lie on the ESP can't be told.
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
        source: io::Error,
    },
    /// A part of the boot loader is no program for UEFI.
    #[error(
        "`{path}`, named by `boot.{field}`, is no UEFI program for {}: {found}\n  hint: install the package that has \
         it again",
        architecture.name()
    )]
    NoProgram {
        /// What it is to run on.
        architecture: Architecture,
        /// The path in the root file system.
        path: String,
        /// The base's key that names it.
        field: &'static str,
        /// What it is instead.
        found: String,
    },
}

/// What is to lie below `EFI/` of a machine of `architecture`, of the parts that `read` gives by their paths in the root file system: shim, which the
/// firmware's keys vouch for; the distribution's GRUB, which shim's do; and MokManager. `early` is what GRUB runs first.
///
/// All three lie in the removable-media path (UEFI 2.10 §3.5.1.1), from which a freshly written disk boots without any boot
/// entry, and in the vendor's folder, where the distribution's own packages and a boot entry expect them and where the signed
/// GRUB looks for its configuration. shim's fallback program is left out of the removable-media path: there it would add a boot entry and reset.
///
/// # Errors
/// [`Error`].
pub fn files(
    boot: &BootLoader,
    architecture: Architecture,
    early: &str,
    read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> Result<Files, Error> {
    let program = |path: &str, field| {
        let found = read(path).map_err(|source| Error::Missing { path: path.to_owned(), field, source })?;
        judge(&found, architecture).map_err(|found| Error::NoProgram {
            architecture,
            path: path.to_owned(),
            field,
            found,
        })?;
        Ok::<_, Error>(found)
    };
    let shim = program(&boot.shim, "shim")?;
    let grub = program(&boot.grub, "grub")?;
    let mok_manager = program(&boot.mok_manager, "mok_manager")?;
    let (vendor, suffix) = (&boot.vendor, architecture.of_efi());
    let removable = architecture.removable();
    let mut files = Files::new();
    for (folder, shim_name) in [("BOOT", &removable), (vendor.as_str(), &format!("shim{suffix}.efi"))] {
        files.insert(format!("{folder}/{shim_name}"), shim.clone());
        files.insert(format!("{folder}/grub{suffix}.efi"), grub.clone());
        files.insert(format!("{folder}/mm{suffix}.efi"), mok_manager.clone());
    }
    // The signed GRUB does not go on to the menu by itself, as the BIOS core image does.
    files.insert(format!("{vendor}/grub.cfg"), format!("{early}configfile $prefix/grub.cfg\n").into_bytes());
    let entry = format!("{vendor}/BOOT{}.CSV", suffix.to_uppercase());
    files.insert(entry, boot_entry(vendor, suffix));
    Ok(files)
}

/// Whether `program` begins as an image in PE format for `architecture` does (UEFI 2.10 §2.1.1; "PE Format", signature and
/// machine field): a file that a crash left empty or full of zeros must not replace one that boots.
fn judge(program: &[u8], architecture: Architecture) -> Result<(), String> {
    let at = program.get(0x3c..0x40).map(|at| u32::from_le_bytes([at[0], at[1], at[2], at[3]]) as usize);
    let header = at.and_then(|at| program.get(at..at.checked_add(6)?));
    match header.filter(|_| program.starts_with(b"MZ")) {
        Some([b'P', b'E', 0, 0, machine @ ..]) if *machine == architecture.of_pe().to_le_bytes() => Ok(()),
        Some([b'P', b'E', 0, 0, ..]) => Err("it is for another architecture".to_owned()),
        _ => Err(format!("{} bytes without the header of one", program.len())),
    }
}

/// What shim's fallback program makes a boot entry of: one line of UTF-16, little-endian with a byte order mark: file, label,
/// arguments, description (shim, `README.fallback`).
fn boot_entry(vendor: &str, suffix: &str) -> Vec<u8> {
    let line = format!("\u{feff}shim{suffix}.efi,{vendor},,This is the boot entry for {vendor}\n");
    line.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The least that counts as a UEFI program for machines like this one, followed by `text`.
    pub(crate) fn program(text: &str) -> Vec<u8> {
        program_for(Architecture::HERE, text)
    }

    fn program_for(architecture: Architecture, text: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x46];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x44..].copy_from_slice(&architecture.of_pe().to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn installed(path: &str) -> io::Result<Vec<u8>> {
        let names = ["shimx64", "mmx64", "grubx64"];
        let name = names.into_iter().find(|name| path.contains(&format!("/{name}")));
        name.map(program).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    #[test]
    fn the_signed_chain_lies_in_both_folders_and_fallback_in_none() {
        let files = files(&BootLoader::sample(), Architecture::HERE, "early\n", &installed).unwrap();
        for (path, content) in [
            ("BOOT/BOOTX64.EFI", "shimx64"),
            ("BOOT/grubx64.efi", "grubx64"),
            ("BOOT/mmx64.efi", "mmx64"),
            ("debian/shimx64.efi", "shimx64"),
            ("debian/grubx64.efi", "grubx64"),
            ("debian/mmx64.efi", "mmx64"),
        ] {
            assert_eq!(files[path], program(content), "{path}");
        }
        assert!(files.keys().all(|path| !path.to_lowercase().contains("fbx64")));
        assert_eq!(files["debian/grub.cfg"], b"early\nconfigfile $prefix/grub.cfg\n");
        assert_eq!(files["debian/BOOTX64.CSV"][..6], [0xff, 0xfe, b's', 0, b'h', 0]);
    }

    #[test]
    fn each_architecture_has_its_own_names_and_takes_no_program_of_another() {
        let of_arm = |path: &str| installed(path).map(|_| program_for(Architecture::Aarch64, path));
        let files = |architecture| files(&BootLoader::sample(), architecture, "early\n", &of_arm);
        let found = files(Architecture::Aarch64).unwrap();
        let expected = [
            "BOOT/BOOTAA64.EFI",
            "BOOT/grubaa64.efi",
            "BOOT/mmaa64.efi",
            "debian/BOOTAA64.CSV",
            "debian/grub.cfg",
            "debian/grubaa64.efi",
            "debian/mmaa64.efi",
            "debian/shimaa64.efi",
        ];
        assert_eq!(found.keys().collect::<Vec<_>>(), expected);
        let told = files(Architecture::X86_64).unwrap_err().to_string();
        assert!(told.contains("no UEFI program for x86_64: it is for another architecture"), "{told}");
    }

    #[test]
    fn a_missing_part_is_named_with_the_key_that_names_it() {
        let boot = BootLoader { shim: "/lib/shim".to_owned(), ..BootLoader::sample() };
        let error = files(&boot, Architecture::HERE, "", &installed).unwrap_err().to_string();
        assert!(error.contains("`/lib/shim`") && error.contains("`boot.shim`"), "{error}");
    }

    #[test]
    fn what_a_crash_left_of_a_file_is_no_program() {
        for found in [vec![], vec![0; 4096], program("")[..0x45].to_vec(), b"MZ".to_vec()] {
            let torn = |path: &str| if path.contains("grubx64") { Ok(found.clone()) } else { installed(path) };
            let error = files(&BootLoader::sample(), Architecture::HERE, "", &torn).unwrap_err().to_string();
            assert!(error.contains("grubx64.efi.signed") && error.contains("`boot.grub`"), "{error}");
        }
    }
}
