//! The firmware that QEMU starts the image with, found where the distributions put it.

use std::path::{Path, PathBuf};

use firmware_checks::architecture::Architecture;

use super::Error;

/// How the machine starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Firmware {
    /// UEFI without Secure Boot.
    #[default]
    Uefi,
    /// UEFI with Secure Boot enforced, with Microsoft's keys.
    Secure,
    /// Legacy BIOS.
    Bios,
}

/// Pairs of code and variables, for 64-bit PCs: Debian and Ubuntu, Fedora and its siblings, Arch, and a Nix profile.
const UEFI: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/run/current-system/sw/share/OVMF/OVMF_CODE.fd", "/run/current-system/sw/share/OVMF/OVMF_VARS.fd"),
];

/// The same, with Microsoft's keys enrolled.
const SECURE: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
];

/// Pairs for 64-bit ARM.
const ARM_UEFI: &[(&str, &str)] = &[
    ("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
];

/// The same, with Microsoft's keys enrolled.
const ARM_SECURE: &[(&str, &str)] = &[
    ("/usr/share/AAVMF/AAVMF_CODE.secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd"),
    ("/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd"),
];

impl Firmware {
    /// QEMU's arguments for a machine of `architecture`; the variables are copied to `folder`, since the machine writes to them.
    pub(super) fn arguments(
        self,
        architecture: Architecture,
        variables: Option<&Path>,
        folder: &Path,
    ) -> Result<Vec<String>, Error> {
        let (machine, pairs) = match (architecture, self) {
            (Architecture::X86_64, Self::Bios) => return Ok(vec!["-machine".into(), "q35".into()]),
            (Architecture::X86_64, Self::Uefi) => ("q35", UEFI),
            (Architecture::X86_64, Self::Secure) => ("q35,smm=on", SECURE),
            (Architecture::Aarch64, Self::Bios) => {
                let what = "--firmware bios: the image is for 64-bit ARM, and no such machine starts by a PC's BIOS";
                return Err(Error::Input(what.into()));
            }
            (Architecture::Aarch64, Self::Uefi) => ("virt,gic-version=max", ARM_UEFI),
            (Architecture::Aarch64, Self::Secure) => ("virt,gic-version=max", ARM_SECURE),
        };
        let (code, own_variables) = find(pairs).ok_or_else(|| Error::Missing {
            what: format!("no UEFI firmware for QEMU was found (looked for {} and others)", pairs[0].0),
            hint: match architecture {
                Architecture::X86_64 => "install the package `ovmf` (Debian, Ubuntu) or `edk2-ovmf` (Fedora)",
                Architecture::Aarch64 => {
                    "install the package `qemu-efi-aarch64` (Debian, Ubuntu) or `edk2-aarch64` (Fedora)"
                }
            }
            .into(),
        })?;
        let template = variables.map_or(own_variables, Path::to_path_buf);
        let copy = folder.join("variables.fd");
        if !copy.exists() {
            std::fs::copy(&template, &copy)
                .map_err(Error::io(format!("copying the UEFI variables {}", template.display())))?;
        }
        let mut arguments = vec!["-machine".into(), machine.into()];
        // Where the processor has a mode that guards them (SMM), only the firmware may write the variables.
        if self == Self::Secure && architecture == Architecture::X86_64 {
            arguments.extend(["-global".into(), "driver=cfi.pflash01,property=secure,value=on".into()]);
        }
        arguments.extend([
            "-drive".into(),
            format!("if=pflash,format=raw,unit=0,readonly=on,file={}", code.display()),
            "-drive".into(),
            format!("if=pflash,format=raw,unit=1,file={}", copy.display()),
        ]);
        Ok(arguments)
    }
}

fn find(pairs: &[(&str, &str)]) -> Option<(PathBuf, PathBuf)> {
    pairs
        .iter()
        .map(|(code, variables)| (PathBuf::from(code), PathBuf::from(variables)))
        .find(|(code, variables)| code.exists() && variables.exists())
}
