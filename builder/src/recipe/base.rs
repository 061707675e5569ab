//! The fields of a base: one release of one distribution, as data.

use std::collections::BTreeMap;

use firmware_checks::appliance::OsRelease;
use firmware_checks::architecture::Architecture;
use firmware_checks::boot_loader::BootLoader;
use firmware_checks::cpu_level::CpuLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::architecture::Named;
use super::keyring::Keyring;
use super::schema::Target;

/// One release of one distribution.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Its name, which is also its file's.
    pub name: String,
    /// How its archive and its packages work.
    pub family: Family,
    /// What os-release says on it.
    pub os: OsRelease,
    /// The architecture in the distribution's words.
    pub architecture: Named,
    /// The least level of processor that its programs were compiled for, where that is more than every processor of the
    /// architecture has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_level: Option<CpuLevel>,
    /// OpenPGP certificates that may sign its archive, ASCII-armored, in a file beside the base.
    pub keyring: String,
    /// Where its packages come from.
    pub sources: Vec<Source>,
    /// Packages of every image, by what they are there for.
    pub packages: Vec<String>,
    /// Packages that bring the kernel, firmware and microcode, by target; `both` is as `metal` where absent.
    #[schemars(extend("propertyNames" = { "enum": ["metal", "cloud", "both"] }))]
    pub kernel: BTreeMap<Target, Vec<String>>,
    /// Packages of each platform, by its kind.
    pub platforms: BTreeMap<String, Vec<String>>,
    /// Folders of `overlays/` that make the distribution fit, by the overlay that they are laid after: `base`, or a platform's
    /// kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overlays: BTreeMap<String, Vec<String>>,
    /// Packages whose files make up the tools root.
    pub tools: Vec<String>,
    /// Where the boot loader's parts lie in the root file system.
    pub boot: BootLoader,
    /// What its kernel must be told besides what every kernel is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_parameters: Vec<String>,
    /// What mke2fs must be told, so that this release's own e2fsck accepts the file systems.
    pub ext4: Ext4,
}

/// What every kernel is told besides its root: a console on the screen and one on the first serial port, of which the last
/// named is `/dev/console`; and to use the backup partition table at the end of the disk when the first is broken. Machines
/// with 64-bit ARM have one of two kinds of serial port (SBSA: PL011 or 16550).
fn kernel_parameters(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "ro console=tty0 console=ttyS0,115200n8 gpt",
        Architecture::Aarch64 => "ro console=tty0 console=ttyS0,115200n8 console=ttyAMA0,115200n8 gpt",
    }
}

impl Base {
    /// This base without the sources that only other platforms need.
    #[must_use]
    pub fn for_platform(mut self, name: &str) -> Self {
        self.sources.retain(|source| source.platforms.is_empty() || source.platforms.iter().any(|one| one == name));
        self
    }

    /// What its kernel is told besides its root.
    #[must_use]
    pub fn kernel_parameters(&self) -> String {
        let first = kernel_parameters(self.architecture.architecture());
        let all = std::iter::once(first).chain(self.kernel_parameters.iter().map(String::as_str));
        all.collect::<Vec<_>>().join(" ")
    }

    /// What a lock calls each source, all different: its archive's name, and its first suite too where another source has
    /// the same archive on other mirrors (Ubuntu's `noble-security`).
    #[must_use]
    pub fn source_names(&self) -> Vec<String> {
        let shared = |name: &str| self.sources.iter().filter(|other| other.archive == name).count() > 1;
        let name = |source: &Source| match source.suites.first() {
            Some(suite) if shared(&source.archive) => format!("{} {suite}", source.archive),
            _ => source.archive.clone(),
        };
        self.sources.iter().map(name).collect()
    }
}

/// How an archive and its packages work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// dpkg and apt.
    Deb,
    /// rpm and dnf.
    Rpm,
}

impl Family {
    /// The overlay with what all its distributions share.
    #[must_use]
    pub fn overlay(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

/// One archive with the suites that are taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The end of its mirrors' path, such as `debian`, `debian-security` or `almalinux/9`: by it `--mirror` and the host's own
    /// apt sources are matched.
    pub archive: String,
    /// Base URLs, in order of preference.
    pub mirrors: Vec<String>,
    /// Suites, such as `trixie` and `trixie-updates`; of RPMs the folders below a mirror that hold `repodata/`, such as
    /// `BaseOS/x86_64/os`.
    pub suites: Vec<String>,
    /// Components, such as `main`; of RPMs there are none.
    #[serde(default)]
    pub components: Vec<String>,
    /// Where a list of further mirrors is to be had, asked for when locking (RPMs only): lines of repositories' URLs, in which
    /// `$basearch` stands for the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirrorlist: Option<String>,
    /// The OpenPGP certificates that may sign this source, where they are not the base's own: a file beside the base, or a URL and
    /// the fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<Keyring>,
    /// Platforms that alone need it; where there are none, every image does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Whether the index of the source's repositories must be signed (`repomd.xml.asc`). Each RPM must be in any case, and a
    /// deb's source always is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// How the machine's own file of this source is called, without its ending, where no package brings one, as of a third
    /// party: `/etc/yum.repos.d/NAME.repo` or `/etc/apt/sources.list.d/NAME.sources`, with the certificates that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_as: Option<String>,
    /// How many days old an index without an end of its own may be before that is told when locking: 60 for RPMs, where this is
    /// absent; none for debs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_days: Option<u32>,
    /// The distribution's snapshot service for this archive, asked last for packages that are locked and no longer on any
    /// mirror: a URL in which `{time}` stands for the time, as in `20261120T021110Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The distribution's vault of this archive's past minor releases, asked last for RPMs that are locked and no longer on any
    /// mirror: a URL in which a package's name in braces, such as `{almalinux-release}`, stands for that package's version in the
    /// lock, such as `9.6`. It is one of the base's own `packages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<String>,
}

impl Source {
    /// The package whose version [`Source::vault`] takes.
    #[must_use]
    pub fn vault_package(&self) -> Option<&str> {
        let (_, rest) = self.vault.as_ref()?.split_once('{')?;
        rest.split_once('}').map(|(name, _)| name)
    }

    /// The vault's URL of the minor release `version`, without a slash at the end.
    #[must_use]
    pub fn vault_of(&self, version: &str) -> Option<String> {
        let place = format!("{{{}}}", self.vault_package()?);
        Some(self.vault.as_ref()?.replace(&place, version).trim_end_matches('/').to_owned())
    }
}

/// What stands for the time in [`Source::snapshot`].
pub const SNAPSHOT_TIME: &str = "{time}";

/// What mke2fs must be told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ext4 {
    /// Exactly the features that a file system of this base has, in mke2fs's words.
    pub features: Vec<String>,
    /// Inode size in bytes.
    pub inode_size: u32,
}
