//! The fields of a recipe.

use std::collections::BTreeMap;

use firmware_checks::requirements::Requirements;
use firmware_checks::units::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::artifact::Artifact;
use super::platform::Platform;

/// An appliance: what is installed, what runs behind the gate, and what the machine must be for it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Lower-case letters, digits and hyphens; names the image file.
    pub name: String,
    /// The appliance's own version.
    pub version: String,
    /// One line for a person.
    #[serde(default)]
    pub title: String,
    /// The bases it supports, by file name in `bases/`; the first is the default of `--base`.
    pub bases: Vec<String>,
    /// What kind of machine the kernel, firmware and microcode are chosen for.
    #[serde(default)]
    pub target: Target,
    /// Packages of the distribution besides those of the base and the platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Folders of `overlays/` laid over the root, after `base` and the platform's own, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<String>,
    /// Values that the overlays' templates may use, as `{{vars.NAME}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Sizes of the partitions.
    #[serde(default)]
    pub disk: Disk,
    /// What runs behind the gate.
    pub platform: Platform,
    /// Container images laid into the image, so that no network is needed to start them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ContainerImage>,
    /// What the machine, its network and its certificates must be.
    #[serde(default)]
    pub requirements: Requirements,
}

impl Recipe {
    /// The compose projects: each one's name, which is also its unit's instance, and its folder beside the recipe. A single
    /// one has the recipe's name; of several, each has its folder's.
    #[must_use]
    pub fn projects(&self) -> Vec<(String, String)> {
        let compose = self.platform.compose();
        let name = |folder: &String| match compose.len() {
            1 => self.name.clone(),
            _ => folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned(),
        };
        compose.iter().map(|folder| (name(folder), folder.clone())).collect()
    }
}

/// What kind of machine an image is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Servers: the generic kernel with firmware and microcode.
    Metal,
    /// Virtual machines: the distribution's small cloud kernel.
    Cloud,
    /// Either: as for metal.
    #[default]
    Both,
}

/// Sizes of the partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// The root file system; absent: its content and half as much again, at least 1 GiB more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Size>,
    /// The EFI system partition; absent: 64 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esp: Option<Size>,
    /// The SITE partition; absent: 16 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Size>,
    /// The data partition as it is in the image, before the first boot grows it; absent: 64 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Size>,
}

/// A container image that lies in the appliance. Exactly one of `archive` and `packages` says where from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerImage {
    /// Its name and tag, as compose files use it, such as `firstlight/hello:1`.
    pub name: String,
    /// An OCI layout or `docker save` archive (tar, perhaps compressed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Artifact>,
    /// Or: packages of the base to be laid out, without running their scripts, with what they depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// A folder beside the recipe laid over the packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// What runs in the container, for an image made of packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
}
