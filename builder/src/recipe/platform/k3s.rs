//! The fields of `[platform]` with `kind = "k3s"`.

use firmware_checks::appliance::{ClusterRole, ClusterSecret, RegistryMirror};
use firmware_checks::document::KeyPath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recipe::artifact::{Artifact, Named};

/// What the lock calls the program.
pub const PROGRAM: &str = "k3s";
/// What the lock calls Helm.
pub const HELM: &str = "helm";

/// k3s: one machine, or a server or agent of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct K3s {
    /// The release, such as `v1.33.1+k3s1`. It must be one that does not import image archives anew at every start.
    pub version: String,
    /// What the machine is in its cluster where its site does not say.
    #[serde(default)]
    pub role: ClusterRole,
    /// The program `k3s`.
    pub binary: Artifact,
    /// The release's own container images (`k3s-airgap-images-….tar.zst`) and others, as archives that k3s imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<Artifact>,
    /// Helm: its archive (`.tar.gz`), or the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<Artifact>,
    /// Options of `k3s server` and `k3s agent`, such as `--disable-cloud-controller` and `--kubelet-arg=max-pods=200`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Components of its own that k3s leaves out, such as `traefik`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<String>,
    /// The networks that pods get addresses of: one of each family at most.
    #[serde(default = "pods")]
    pub pods: Vec<String>,
    /// The networks of services.
    #[serde(default = "services")]
    pub services: Vec<String>,
    /// Servers that are asked before a registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryMirror>,
    /// Kubernetes Secrets made of what the site says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ClusterSecret>,
    /// Kubernetes manifests beside the recipe (`.yaml`), which the server keeps applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
    /// Helm charts that the server keeps installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
}

/// A Helm chart, embedded whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// The name of the release.
    pub name: String,
    /// The namespace that it is installed into, made where it is not there.
    pub namespace: String,
    /// The packed chart (`.tgz`).
    pub chart: Artifact,
    /// A file of values beside the recipe (`.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
}

fn pods() -> Vec<String> {
    vec!["10.42.0.0/16".to_owned()]
}

fn services() -> Vec<String> {
    vec!["10.43.0.0/16".to_owned()]
}

impl Chart {
    /// What the lock calls the chart.
    #[must_use]
    pub fn artifact(&self) -> String {
        format!("chart {}", self.name)
    }
}

/// What the lock calls an archive of images.
#[must_use]
pub fn archive(artifact: &Artifact) -> String {
    format!("images {}", artifact.file_name())
}

impl K3s {
    /// The manifests, and the values of charts.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        let values = self.charts.iter().filter_map(|chart| chart.values.as_deref());
        self.manifests.iter().map(String::as_str).chain(values).collect()
    }

    /// The files that it takes whole.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Named<'_>> {
        let at = KeyPath::root().key("platform");
        let program = Named { name: PROGRAM.to_owned(), at: at.key("binary"), artifact: &self.binary };
        let archives = self.archives.iter().enumerate().map(|(index, artifact)| Named {
            name: archive(artifact),
            at: at.key("archives").item(index),
            artifact,
        });
        let helm = self.helm.iter().map(|artifact| Named { name: HELM.to_owned(), at: at.key("helm"), artifact });
        let charts = self.charts.iter().enumerate().map(|(index, chart)| Named {
            name: chart.artifact(),
            at: at.key("charts").item(index).key("chart"),
            artifact: &chart.chart,
        });
        std::iter::once(program).chain(archives).chain(helm).chain(charts).collect()
    }
}
