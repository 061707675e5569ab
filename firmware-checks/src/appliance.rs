//! What an image was built to be: written by the builder to [`PATH`], read by everything that runs on the machine.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::boot_loader::BootLoader;
use crate::cpu_level::CpuLevel;
use crate::requirements::{Requirements, SiteNeeds};

/// Where the description lies in an image.
pub const PATH: &str = "/usr/lib/firstlight/appliance.json";

/// The description of one appliance image.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Appliance {
    /// The recipe's name: lower-case letters, digits and hyphens.
    pub name: String,
    /// The recipe's version.
    pub version: String,
    /// The base it was built on, such as `debian-13`.
    pub base: String,
    /// `ID` and `VERSION_ID` of os-release that the base stands for (`os.release`), such as `debian` and `13`.
    pub os: OsRelease,
    /// What the base's programs need of a processor, where that is more than any has (`cpu.level`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_level: Option<CpuLevel>,
    /// The newest date that the locked archive indices carry; no clock on the machine can truly be earlier.
    #[schemars(with = "String")]
    pub locked: Timestamp,
    /// The platform behind the gate.
    pub platform: Platform,
    /// Where the boot loader's parts are installed.
    pub boot: BootLoader,
    /// What the machine must be.
    pub requirements: Requirements,
}

/// The two fields of os-release (5) that name a release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OsRelease {
    /// `ID`.
    pub id: String,
    /// `VERSION_ID`.
    pub version_id: String,
}

/// The platform behind the gate.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Platform {
    /// Docker Engine with Compose v2.
    Docker {
        /// The image that the acceptance check `platform.container` really runs, already in the engine's store.
        probe_image: String,
        /// Compose projects, each the name of a unit `firstlight-compose@NAME.service`.
        projects: Vec<String>,
    },
    /// k3s.
    K3s {
        /// The release, such as `v1.33.1+k3s1`.
        version: String,
        /// What the machine is where its site does not say.
        role: ClusterRole,
        /// The networks of pods.
        pods: Vec<String>,
        /// The networks of services.
        services: Vec<String>,
        /// Servers that are asked before a registry.
        registries: Vec<RegistryMirror>,
        /// What its pods are given of the site configuration.
        secrets: Vec<ClusterSecret>,
    },
    /// microk8s, from snaps that snapd installs.
    Microk8s {
        /// The revision of its snap.
        revision: u64,
    },
}

/// What a machine is in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClusterRole {
    /// It has the cluster's control plane, and runs pods.
    #[default]
    Server,
    /// It joins a server and runs pods.
    Agent,
}

/// A Kubernetes Secret of what the site gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSecret {
    /// Its name.
    pub name: String,
    /// Its namespace, made where it is not there.
    pub namespace: String,
    /// For each key a field of the site configuration, such as `database.uri`.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
    /// Whether it holds the site's certificate and key (`kubernetes.io/tls`).
    #[serde(default)]
    pub tls: bool,
}

/// Who is asked before a registry of container images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryMirror {
    /// The registry by the name in which images begin, such as `docker.io`.
    pub name: String,
    /// Base URLs, asked in this order.
    pub mirrors: Vec<String>,
}

impl Platform {
    /// Its name, as a recipe writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Docker { .. } => "docker",
            Self::K3s { .. } => "k3s",
            Self::Microk8s { .. } => "microk8s",
        }
    }
}

/// The description could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("reading {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a description.
    #[error("{path} does not describe an appliance: {source}")]
    Parse {
        /// The file.
        path: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Appliance {
    /// Reads the description below `root` (`/` on the machine itself).
    ///
    /// # Errors
    /// [`Error`], with the file's path.
    pub fn load(root: &Path) -> Result<Self, Error> {
        let path = root.join(PATH.trim_start_matches('/'));
        let name = path.display().to_string();
        let text = std::fs::read(&path).map_err(|source| Error::Read { path: name.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path: name, source })
    }

    /// What is asked of a machine that is an agent of a cluster. What the site gives to the application, its certificate among
    /// it, its server has; the application may run on any of the cluster's machines.
    #[must_use]
    pub fn of_an_agent(mut self) -> Self {
        self.requirements.tls = None;
        self.requirements.site = SiteNeeds::default();
        self.requirements.ports.iter_mut().for_each(|port| port.promised = false);
        self
    }

    /// SHA-256 in lower-case hexadecimal over the requirements and the platform: what the gate's latch is bound to.
    #[must_use]
    pub fn requirements_digest(&self) -> String {
        let canonical = serde_json::to_vec(&(&self.requirements, &self.platform)).unwrap_or_default();
        hex::encode(Sha256::digest(&canonical))
    }
}
