//! How instructions are executed. That `/dev/kvm` opens does not mean that a guest runs in it: nested
//! virtualisation may create a machine and then hang it. So `auto` believes what it sees on the console.

use std::path::Path;
use std::time::Duration;

use firmware_checks::architecture::Architecture;

/// How long a guest's kernel may say nothing under KVM before it is taken to hang. On real KVM the first line is
/// there within 10 s of power-on, firmware and boot menu included.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// How instructions are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// KVM where it is there and a guest runs in it, else TCG.
    #[default]
    Auto,
    /// The processor's own virtualisation.
    Kvm,
    /// QEMU's emulation: slow, and works everywhere.
    Tcg,
}

impl Accel {
    /// What to try first, for a machine of `architecture`.
    pub(super) fn first(self, architecture: Architecture) -> Self {
        match self {
            Self::Auto if architecture == Architecture::HERE && can_open(Path::new("/dev/kvm")) => Self::Kvm,
            Self::Auto => Self::Tcg,
            chosen => chosen,
        }
    }

    /// Whether `self` was tried without the user's having asked for it.
    pub(super) fn is_doubtful(self, asked: Self) -> bool {
        self == Self::Kvm && asked == Self::Auto
    }

    /// QEMU's arguments for a processor of `architecture` and the model `cpu`.
    pub(super) fn arguments(self, architecture: Architecture, cpu: Option<&str>) -> [&str; 4] {
        // Signatures of pointers as ARM defines them take most of the emulation's time; any algorithm will do.
        let most = match architecture {
            Architecture::X86_64 => "max",
            Architecture::Aarch64 => "max,pauth-impdef=on",
        };
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", cpu.unwrap_or("host")],
            Self::Auto | Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", cpu.unwrap_or(most)],
        }
    }
}

fn can_open(device: &Path) -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open(device).is_ok()
}
