//! The boot loader as the packages of the root file system have it: what lies on the ESP ([`esp`]) and in the BIOS boot
//! partition ([`bios`]). The builder lays it out with this, and the machine renews it with this when its packages were upgraded.

pub mod bios;
pub mod esp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The file in the root file system with the few lines that GRUB runs before its menu, on the ESP and in the BIOS core image.
pub const EARLY: &str = "/boot/firstlight/early.cfg";

/// Where the boot loader's parts lie in the root file system (absolute paths).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootLoader {
    /// The folder below `EFI/` in which the signed GRUB looks for its `grub.cfg`, fixed at its build.
    pub vendor: String,
    /// shim, signed by Microsoft; becomes `EFI/BOOT/BOOTX64.EFI` (of 64-bit ARM `BOOTAA64.EFI`, and so on).
    pub shim: String,
    /// MokManager, signed by the distribution; becomes `mmx64.efi`.
    pub mok_manager: String,
    /// GRUB, signed by the distribution; becomes `grubx64.efi`.
    pub grub: String,
    /// GRUB's modules for legacy BIOS (`i386-pc`). Without them the image boots by UEFI alone, and has no BIOS boot partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios_modules: Option<String>,
    /// The distribution's name of the program that makes a core image of them, in the tools root and on the machine.
    #[serde(default = "mkimage")]
    pub mkimage: String,
}

fn mkimage() -> String {
    "grub-mkimage".to_owned()
}

#[cfg(test)]
impl BootLoader {
    /// Debian's.
    pub(crate) fn sample() -> Self {
        Self {
            vendor: "debian".to_owned(),
            shim: "/usr/lib/shim/shimx64.efi.signed".to_owned(),
            mok_manager: "/usr/lib/shim/mmx64.efi.signed".to_owned(),
            grub: "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed".to_owned(),
            bios_modules: Some("/usr/lib/grub/i386-pc".to_owned()),
            mkimage: mkimage(),
        }
    }
}
