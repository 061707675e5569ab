//! The fields of `[platform]` with `kind = "docker"`.

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
}
