//! The fields of `[platform]` with `kind = "microk8s"`.

use std::collections::BTreeMap;

use firmware_checks::document::KeyPath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recipe::artifact::{Artifact, Named};

/// microk8s, as a snap that snapd finds in the image: no store is asked on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Microk8s {
    /// The snaps that are seeded: snapd, microk8s, what else is wanted (helm), and the snap that each of them runs on. In which
    /// order they are installed follows from them.
    pub snaps: Vec<SeededSnap>,
    /// The store that channels are looked up in when locking.
    #[serde(default = "store", skip_serializing_if = "is_store")]
    pub store: String,
    /// Root of trust of another store than Canonical's: a file beside the recipe with the assertions of an account and its keys.
    /// snapd itself must have been built to trust it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<String>,
    /// The model of the system, where it is not generic-classic: a file beside the recipe with that assertion and those of the
    /// account and the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Add-ons that microk8s enables when it starts for the first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<Addon>,
    /// Ports that services of the type NodePort may have, such as `80-32000`; absent: Kubernetes' own, `30000-32767`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ports: Option<String>,
    /// Arguments of the services of Kubernetes, such as `"--event-ttl" = "5m"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<Service, BTreeMap<String, String>>,
}

/// A snap that lies in the image. Where no `file` is named, it is what the store has in `channel` when it is locked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeededSnap {
    /// Its name.
    pub name: String,
    /// Track and risk, such as `1.33/stable`; it is also what an update would follow.
    #[serde(default = "channel")]
    pub channel: String,
    /// The `.snap`, as `snap download` brings it: beside the recipe, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Artifact>,
    /// The `.assert` that `snap download` brings with it: a file beside the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertions: Option<String>,
}

/// An add-on of microk8s.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Addon {
    /// Its name, such as `dns`.
    pub name: String,
    /// What it is enabled with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// A service whose arguments can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The API server.
    KubeApiserver,
    /// The controllers.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The node's agent.
    Kubelet,
    /// Services' addresses.
    KubeProxy,
    /// The container runtime.
    Containerd,
}

/// Canonical's store.
const STORE: &str = "https://api.snapcraft.io";

fn store() -> String {
    STORE.to_owned()
}

fn is_store(store: &str) -> bool {
    store == STORE
}

fn channel() -> String {
    "latest/stable".to_owned()
}

/// What the file of the snap `name` is called in a lock.
#[must_use]
pub fn of_snap(name: &str) -> String {
    format!("snap {name}")
}

impl Microk8s {
    /// The snaps that are files of the recipe's own.
    pub(super) fn artifacts(&self) -> impl Iterator<Item = Named<'_>> {
        self.snaps.iter().enumerate().filter_map(|(index, snap)| {
            let at = KeyPath::root().key("platform").key("snaps").item(index).key("file");
            Some(Named { name: of_snap(&snap.name), at, artifact: snap.file.as_ref()? })
        })
    }

    /// The files beside the recipe that it names besides its artifacts, each with its key.
    pub fn files(&self) -> impl Iterator<Item = (KeyPath, &str)> {
        let at = KeyPath::root().key("platform");
        let own = [("trusted", &self.trusted), ("model", &self.model)];
        let own: Vec<_> = own.into_iter().filter_map(|(key, path)| Some((at.key(key), path.as_deref()?))).collect();
        let assertions = self.snaps.iter().enumerate().filter_map(move |(index, snap)| {
            Some((at.key("snaps").item(index).key("assertions"), snap.assertions.as_deref()?))
        });
        own.into_iter().chain(assertions)
    }
}

impl SeededSnap {
    /// Track and risk of its channel; none where it is not written that way.
    #[must_use]
    pub fn track_and_risk(&self) -> Option<(&str, &str)> {
        let (track, risk) = self.channel.split_once('/')?;
        let known = ["stable", "candidate", "beta", "edge"].contains(&risk);
        (known && !track.is_empty() && !track.contains(char::is_whitespace)).then_some((track, risk))
    }
}
