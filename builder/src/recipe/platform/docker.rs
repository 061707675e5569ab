//! The fields of `[platform]` with `kind = "docker"`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Docker Engine and Compose v2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Docker {
    /// Compose projects: folders beside the recipe, each with a `compose.yaml`.
    #[serde(default)]
    pub compose: Vec<String>,
    /// Where Docker comes from.
    #[serde(default)]
    pub engine: Engine,
    /// Variables for the interpolation of compose files (`${NAME}`), each with the field of the site configuration that it
    /// takes: `hostname`, `name`, `database.uri`, `object_storage.bucket`, `values.NAME` ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Files below /run/firstlight/given/secrets that compose files may name as secrets, each with the field that it takes;
    /// root's alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// Where Docker comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// What the base names under `platforms.docker`: the distribution's own, where it has one.
    #[default]
    Distribution,
    /// Docker's own repository: `platforms.docker-ce` of the base.
    DockerCe,
}
