//! The ports by which the machines of a cluster reach one another, open to the nodes that the site names and to nobody else.

use std::borrow::Cow;

use crate::appliance::{Appliance, ClusterRole, Platform};
use crate::requirements::{Owner, Port, Protocol};
use crate::site::Site;

/// What k3s's machines ask of one another (k3s documentation, "Requirements", "Networking"): the server's address, the kubelets,
/// VXLAN of flannel, and etcd of servers.
const K3S: [(&str, u16, Protocol, bool); 5] = [
    ("k3s-server", 6443, Protocol::Tcp, true),
    ("k3s-kubelet", 10250, Protocol::Tcp, false),
    ("k3s-vxlan", 8472, Protocol::Udp, false),
    ("k3s-etcd", 2379, Protocol::Tcp, true),
    ("k3s-etcd-peer", 2380, Protocol::Tcp, true),
];

/// `appliance` with the ports that its place in a cluster opens. On a machine that is alone there are none.
#[must_use]
pub fn extended<'a>(appliance: &'a Appliance, site: Option<&Site>) -> Cow<'a, Appliance> {
    let cluster = site.and_then(|site| site.cluster.as_ref()).filter(|cluster| !cluster.nodes.is_empty());
    let (Platform::K3s { role, .. }, Some(cluster)) = (&appliance.platform, cluster) else {
        return Cow::Borrowed(appliance);
    };
    let is_server = cluster.role.unwrap_or(*role) == ClusterRole::Server;
    let mut extended = appliance.clone();
    let named: Vec<(u16, Protocol)> =
        appliance.requirements.ports.iter().map(|port| (port.port, port.protocol)).collect();
    let ours = K3S
        .iter()
        .filter(|(_, number, protocol, servers)| (is_server || !servers) && !named.contains(&(*number, *protocol)));
    extended.requirements.ports.extend(ours.map(|(name, number, protocol, _)| Port {
        name: (*name).to_owned(),
        port: *number,
        protocol: *protocol,
        from: cluster.nodes.clone(),
        promised: false,
        owner: Owner::Platform,
    }));
    Cow::Owned(extended)
}

#[cfg(test)]
mod tests {
    use super::super::{ruleset, samples};
    use super::*;

    fn k3s(role: ClusterRole) -> Appliance {
        let mut appliance = samples::appliance(vec![samples::port("https", 443, &[])]);
        appliance.platform = Platform::K3s {
            version: "v1.33.1+k3s1".into(),
            role,
            pods: vec!["10.42.0.0/16".into(), "fd42::/56".into()],
            services: vec!["10.43.0.0/16".into()],
            registries: vec![],
            secrets: vec![],
        };
        appliance
    }

    fn site(text: &str) -> Site {
        crate::site::parse(std::path::Path::new("s"), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_machine_that_is_alone_opens_nothing_of_its_cluster() {
        let appliance = k3s(ClusterRole::Server);
        let text = ruleset::text(&extended(&appliance, Some(&Site::default())), &[]).unwrap();
        for closed in ["6443", "10250", "8472", "2379"] {
            assert!(!text.contains(closed), "{text}");
        }
        for inner in ["10.42.0.0/16", "10.43.0.0/16"] {
            assert!(
                text.contains(&format!("ip saddr {inner} drop")) && text.contains(&format!("ip daddr {inner} drop"))
            );
        }
        assert!(text.contains("ip6 daddr fd42::/56 drop") && text.contains("iifname \"cni0\" accept"), "{text}");
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("iifname \"flannel*\" accept") < at("ip saddr 10.42.0.0/16 drop"), "pods are let in before");
        assert!(at("ip daddr 10.42.0.0/16 drop") < at("tcp dport 443"), "no port opens a way to a pod");
    }

    #[test]
    fn the_nodes_that_the_site_names_reach_what_their_cluster_needs() {
        let nodes = site("[cluster]\nnodes = [\"10.3.7.12\", \"10.3.7.13\"]\n");
        let (server, agent) = (k3s(ClusterRole::Server), k3s(ClusterRole::Agent));
        let text = ruleset::text(&extended(&server, Some(&nodes)), &[]).unwrap();
        for (protocol, port) in [("tcp", 6443), ("tcp", 10250), ("udp", 8472), ("tcp", 2379), ("tcp", 2380)] {
            let rule = format!("ip saddr {{ 10.3.7.12/32, 10.3.7.13/32 }} {protocol} dport {port} accept");
            assert!(text.contains(&rule), "{rule} in {text}");
        }
        let text = ruleset::text(&extended(&agent, Some(&nodes)), &[]).unwrap();
        assert!(text.contains("10250") && !text.contains("6443") && !text.contains("2379"), "{text}");
    }
}
