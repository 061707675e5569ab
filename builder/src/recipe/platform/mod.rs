//! The fields of a recipe's `[platform]`: a file for each platform.

mod docker;
pub mod k3s;
mod microk8s;

pub use docker::{Docker, Engine};
use firmware_checks::machine::given::Given;
pub use k3s::K3s;
pub use microk8s::{Addon, Microk8s, SeededSnap, Service, of_snap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::artifact::Named;

/// What runs behind the gate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Platform {
    /// Docker Engine and Compose v2.
    Docker(Docker),
    /// k3s: Kubernetes on one machine, or on several.
    K3s(Box<K3s>),
    /// microk8s from snaps.
    Microk8s(Box<Microk8s>),
}

impl Platform {
    /// Its name in a recipe, which is also its overlay's and its key in a base's `platforms`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::K3s(_) => "k3s",
            Self::Microk8s(_) => "microk8s",
        }
    }

    /// The files that it takes whole, in the order of its fields.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Named<'_>> {
        match self {
            Self::Docker(_) => Vec::new(),
            Self::K3s(k3s) => k3s.artifacts(),
            Self::Microk8s(microk8s) => microk8s.artifacts().collect(),
        }
    }

    /// The files beside the recipe that it takes besides its artifacts.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::Docker(_) => Vec::new(),
            Self::K3s(k3s) => k3s.files(),
            Self::Microk8s(microk8s) => microk8s.files().map(|(_, path)| path).collect(),
        }
    }

    /// The key of its packages, and of the sources that it alone needs, in a base.
    #[must_use]
    pub fn variant(&self) -> &'static str {
        match self {
            Self::Docker(Docker { engine: Engine::DockerCe, .. }) => "docker-ce",
            _ => self.kind(),
        }
    }

    /// What its containers are given of the site configuration.
    #[must_use]
    pub fn given(&self) -> Given {
        match self {
            Self::Docker(docker) => Given { environment: docker.environment.clone(), secrets: docker.secrets.clone() },
            Self::K3s(_) => Given::default(),
            Self::Microk8s(_) => Given::default(),
        }
    }

    /// The names of the snaps that come from a store.
    pub fn stored_snaps(&self) -> impl Iterator<Item = &str> {
        let snaps = match self {
            Self::Microk8s(microk8s) => microk8s.snaps.as_slice(),
            Self::Docker(_) | Self::K3s(_) => &[],
        };
        snaps.iter().filter(|snap| snap.file.is_none()).map(|snap| snap.name.as_str())
    }

    /// The compose folders; a platform without Compose has none.
    #[must_use]
    pub fn compose(&self) -> &[String] {
        match self {
            Self::Docker(docker) => &docker.compose,
            Self::K3s(_) => &[],
            Self::Microk8s(_) => &[],
        }
    }
}
