//! The fields of a recipe's `[platform]`: a file for each platform.

mod docker;
pub mod k3s;

pub use docker::{Docker, Engine};
use firmware_checks::machine::given::Given;
pub use k3s::K3s;
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
}

impl Platform {
    /// Its name in a recipe, which is also its overlay's and its key in a base's `platforms`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::K3s(_) => "k3s",
        }
    }

    /// The files that it takes whole, in the order of its fields.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Named<'_>> {
        match self {
            Self::Docker(_) => Vec::new(),
            Self::K3s(k3s) => k3s.artifacts(),
        }
    }

    /// The files beside the recipe that it takes besides its artifacts.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::Docker(_) => Vec::new(),
            Self::K3s(k3s) => k3s.files(),
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
        }
    }

    /// The compose folders; a platform without Compose has none.
    #[must_use]
    pub fn compose(&self) -> &[String] {
        match self {
            Self::Docker(docker) => &docker.compose,
            Self::K3s(_) => &[],
        }
    }
}
