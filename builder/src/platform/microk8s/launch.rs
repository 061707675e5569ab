//! What microk8s is told when it is installed: its launch configuration, version 0.1.0 (microk8s 1.27 and later), and the images
//! that it takes without a registry.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::recipe::platform::{Addon, Microk8s, Service};

/// The version of the form.
const VERSION: &str = "0.1.0";
/// The argument that says which ports services of the type NodePort may have.
const NODE_PORTS: &str = "--service-node-port-range";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Launch<'a> {
    version: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    addons: &'a [Addon],
    #[serde(flatten)]
    arguments: BTreeMap<&'static str, BTreeMap<&'a str, &'a str>>,
}

/// The configuration as YAML.
#[must_use]
pub fn configuration(microk8s: &Microk8s) -> String {
    let mut arguments: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (service, own) in &microk8s.arguments {
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        arguments.entry(key(*service)).or_default().extend(own);
    }
    if let Some(ports) = &microk8s.node_ports {
        arguments.entry(key(Service::KubeApiserver)).or_default().insert(NODE_PORTS, ports);
    }
    let launch = Launch { version: VERSION, addons: &microk8s.addons, arguments };
    let yaml = serde_saphyr::to_string(&launch).expect("maps and lists of texts always have a form in YAML");
    format!("# Written by Firstlight from the recipe; read once, when the snap is installed.\n{yaml}")
}

/// The key of a service's arguments.
fn key(service: Service) -> &'static str {
    match service {
        Service::KubeApiserver => "extraKubeAPIServerArgs",
        Service::KubeControllerManager => "extraKubeControllerManagerArgs",
        Service::KubeScheduler => "extraKubeSchedulerArgs",
        Service::Kubelet => "extraKubeletArgs",
        Service::KubeProxy => "extraKubeProxyArgs",
        Service::Containerd => "extraContainerdArgs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_the_keys_and_texts_of_its_form() {
        let microk8s: Microk8s = toml::from_str(
            "snaps = []\nnode_ports = '80-32000'\naddons = [{ name = 'dns', args = ['1.1.1.1'] }, { name = 'rbac' }]\n\
             [arguments.kube-controller-manager]\n'--terminated-pod-gc-threshold' = '200'\n\
             [arguments.kube-apiserver]\n'--event-ttl' = '5m'\n'--anonymous-auth' = 'false'\n",
        )
        .unwrap();
        let yaml = configuration(&microk8s);
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        // `full.yaml` of microk8s-cluster-agent has these keys; every argument is a text.
        let expected = serde_json::json!({
            "version": "0.1.0",
            "addons": [{ "name": "dns", "args": ["1.1.1.1"] }, { "name": "rbac" }],
            "extraKubeAPIServerArgs": {
                "--anonymous-auth": "false", "--event-ttl": "5m", "--service-node-port-range": "80-32000",
            },
            "extraKubeControllerManagerArgs": { "--terminated-pod-gc-threshold": "200" },
        });
        assert_eq!(read, expected, "{yaml}");
    }
}
