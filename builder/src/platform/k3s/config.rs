//! The configuration files of k3s: each option of its command line is a key (k3s documentation, "Configuration File").

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::recipe::platform::K3s;

/// Options that an agent has too; the others are a server's alone (`k3s agent --help`).
const OF_AGENTS: [&str; 34] = [
    "airgap-extra-registry",
    "alsologtostderr",
    "bind-address",
    "container-runtime-endpoint",
    "debug",
    "default-runtime",
    "disable-apiserver-lb",
    "docker",
    "flannel-cni-conf",
    "flannel-conf",
    "flannel-iface",
    "image-credential-provider-bin-dir",
    "image-credential-provider-config",
    "image-service-endpoint",
    "kube-proxy-arg",
    "kubelet-arg",
    "lb-server-port",
    "log",
    "node-external-dns",
    "node-external-ip",
    "node-internal-dns",
    "node-ip",
    "node-label",
    "node-name",
    "node-taint",
    "nonroot-devices",
    "pause-image",
    "prefer-bundled-bin",
    "protect-kernel-defaults",
    "resolv-conf",
    "selinux",
    "snapshotter",
    "vmodule",
    "with-node-id",
];

/// `config.yaml`, for `k3s server`.
pub(super) fn server(k3s: &K3s) -> String {
    let mut all = flags(k3s, |_| true);
    all.insert("cluster-cidr".to_owned(), json!(k3s.pods.join(",")));
    all.insert("service-cidr".to_owned(), json!(k3s.services.join(",")));
    if !k3s.disable.is_empty() {
        all.insert("disable".to_owned(), json!(k3s.disable));
    }
    yaml(&all)
}

/// `agent.yaml`, for `k3s agent`, which knows fewer options.
pub(super) fn agent(k3s: &K3s) -> String {
    yaml(&flags(k3s, |name| OF_AGENTS.contains(&name)))
}

/// The recipe's flags: true where there is no value, a list where one is given several times.
fn flags(k3s: &K3s, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for flag in &k3s.flags {
        let flag = flag.trim_start_matches("--");
        let (name, value) = flag.split_once('=').map_or((flag, json!(true)), |(name, value)| (name, json!(value)));
        if !wanted(name) {
            continue;
        }
        match all.remove(name) {
            None => all.insert(name.to_owned(), value),
            Some(Value::Array(mut list)) => {
                list.push(value);
                all.insert(name.to_owned(), Value::Array(list))
            }
            Some(first) => all.insert(name.to_owned(), json!([first, value])),
        };
    }
    all
}

/// Keys with values; a string is written as in JSON, which YAML reads the same (YAML 1.2 §1.2).
fn yaml(all: &BTreeMap<String, Value>) -> String {
    let mut text = String::from(
        "# Written by Firstlight, of the recipe. What the site says lies in the folder of this name with `.d`.\n",
    );
    for (name, value) in all {
        match value {
            Value::Array(list) => {
                text += &format!("{name}:\n");
                text.extend(list.iter().map(|one| format!("  - {one}\n")));
            }
            one => text += &format!("{name}: {one}\n"),
        }
    }
    text
}
