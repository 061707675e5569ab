//! The architectures that machines may have, in the words of everybody who names them.

/// An architecture of 64-bit machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit PCs.
    X86_64,
    /// 64-bit ARM (ARMv8-A and later).
    Aarch64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// That of this program, and of the machine that it runs on.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// As the kernel (`uname -m`), QEMU, Rust and EL call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian, Ubuntu, snaps and containers call it (OCI image specification: Go's `GOARCH`).
    #[must_use]
    pub fn of_debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// What tells a UEFI program's architecture in its name (UEFI 2.10 §3.5.1.1), in lower case: `x64`, as in `BOOTX64.EFI`
    /// and `grubx64.efi`.
    #[must_use]
    pub fn of_efi(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "aa64",
        }
    }

    /// The name of the program, below `EFI/BOOT`, that firmware starts from a disk without a boot entry.
    #[must_use]
    pub fn removable(self) -> String {
        format!("BOOT{}.EFI", self.of_efi().to_uppercase())
    }

    /// The machine field of a UEFI program ("PE Format", machine types).
    #[must_use]
    pub fn of_pe(self) -> u16 {
        match self {
            Self::X86_64 => 0x8664,
            Self::Aarch64 => 0xaa64,
        }
    }

    /// Whether there are machines of it that start by a PC's BIOS.
    #[must_use]
    pub fn has_bios(self) -> bool {
        self == Self::X86_64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_of_the_architecture_that_the_compiler_names() {
        assert_eq!(Architecture::HERE.name(), std::env::consts::ARCH);
    }

    #[test]
    fn firmware_finds_each_under_its_name() {
        assert_eq!(Architecture::ALL.map(Architecture::removable), ["BOOTX64.EFI", "BOOTAA64.EFI"]);
    }
}
