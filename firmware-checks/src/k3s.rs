//! Where k3s finds what it is told, for the builder that writes it and the machine that adds what its site says.

use crate::appliance::{ClusterRole, RegistryMirror};
use crate::facts::Machine;

/// Its configuration.
pub const CONFIGURATION: &str = "/etc/rancher/k3s";
/// The file that makes the machine an agent.
pub const AGENT_ROLE: &str = "/etc/firstlight/k3s-agent";

/// What this machine is in its cluster, as its site or its image says.
#[must_use]
pub fn role(machine: &Machine) -> ClusterRole {
    if machine.path(AGENT_ROLE).exists() { ClusterRole::Agent } else { ClusterRole::Server }
}

/// The unit that runs k3s on a machine of this role.
#[must_use]
pub fn unit(role: ClusterRole) -> &'static str {
    match role {
        ClusterRole::Server => "k3s.service",
        ClusterRole::Agent => "k3s-agent.service",
    }
}

/// Who logs in to a registry.
#[derive(Clone, Debug)]
pub struct Login<'a> {
    /// The registry's name.
    pub registry: &'a str,
    /// The user.
    pub user: &'a str,
    /// The password or token.
    pub password: &'a str,
}

/// `registries.yaml` (k3s documentation, "Private Registry Configuration"). It holds passwords: root's alone.
#[must_use]
pub fn registries(mirrors: &[RegistryMirror], logins: &[Login<'_>]) -> String {
    // A string of JSON is one of YAML (YAML 1.2 §1.2).
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = String::from("# Written by Firstlight, of the recipe and the site.\n");
    let mirrors: Vec<&RegistryMirror> = mirrors.iter().filter(|one| !one.mirrors.is_empty()).collect();
    if !mirrors.is_empty() {
        text += "mirrors:\n";
    }
    for RegistryMirror { name, mirrors } in mirrors {
        text += &format!("  {}:\n    endpoint:\n", quoted(name));
        text.extend(mirrors.iter().map(|url| format!("      - {}\n", quoted(url))));
    }
    if !logins.is_empty() {
        text += "configs:\n";
    }
    for Login { registry, user, password } in logins {
        text += &format!(
            "  {}:\n    auth:\n      username: {}\n      password: {}\n",
            quoted(registry),
            quoted(user),
            quoted(password)
        );
    }
    text
}
