//! What k3s is told of the site: its role, the server that it joins, the token, mirrors and logins.

use super::{Error, remove, write, write_as};
use crate::appliance::{Appliance, ClusterRole, Platform, RegistryMirror};
use crate::facts::Machine;
use crate::k3s::{AGENT_ROLE, CONFIGURATION, Login, registries};
use crate::site::{Cluster, Site};

/// The token; k3s is told where it lies, not what it is.
const TOKEN: &str = "/etc/rancher/k3s/token";
/// What the site adds to the configuration of a server and of an agent (k3s documentation, "Configuration File").
const SERVER: &str = "/etc/rancher/k3s/config.yaml.d/50-firstlight-site.yaml";
const AGENT: &str = "/etc/rancher/k3s/agent.yaml.d/50-firstlight-site.yaml";

pub(super) fn apply(machine: &Machine, site: &Site) -> Result<(), Error> {
    // An image without a description is no image of ours, and has no k3s of ours.
    let Ok(Appliance { platform: Platform::K3s { role, registries: own, .. }, .. }) = Appliance::load(machine.root())
    else {
        return Ok(());
    };
    let cluster = site.cluster.clone().unwrap_or_default();
    match cluster.role.unwrap_or(role) {
        ClusterRole::Agent => write(machine, AGENT_ROLE, "")?,
        ClusterRole::Server => remove(machine, AGENT_ROLE)?,
    }
    match &cluster.token {
        Some(token) => write_as(machine, TOKEN, &format!("{}\n", token.expose()), 0o600)?,
        None => remove(machine, TOKEN)?,
    }
    let common = joined(&cluster);
    put(machine, AGENT, &common)?;
    // Other servers can join only where the first keeps the cluster's state in etcd.
    let first = cluster.server.is_none() && !cluster.nodes.is_empty();
    put(machine, SERVER, &(common + if first { "cluster-init: true\n" } else { "" }))?;
    let text = registries(&mirrors(&own, site), &logins(site));
    let path = format!("{CONFIGURATION}/registries.yaml");
    write_as(machine, &path, &text, 0o600)
}

/// Which server is joined, and by what.
fn joined(cluster: &Cluster) -> String {
    let mut text = String::new();
    if let Some(server) = &cluster.server {
        text += &format!("server: {}\n", serde_json::Value::from(server.as_str()));
    }
    if cluster.token.is_some() {
        text += &format!("token-file: {TOKEN}\n");
    }
    text
}

fn put(machine: &Machine, path: &str, text: &str) -> Result<(), Error> {
    match text {
        "" => remove(machine, path),
        text => write_as(machine, path, &format!("# From site.toml; written at every boot.\n{text}"), 0o600),
    }
}

/// The image's mirrors, of which those of a registry that the site names too are the site's.
fn mirrors(own: &[RegistryMirror], site: &Site) -> Vec<RegistryMirror> {
    let theirs = site.registries.iter().filter(|one| !one.mirrors.is_empty());
    let theirs: Vec<RegistryMirror> =
        theirs.map(|one| RegistryMirror { name: one.name.clone(), mirrors: one.mirrors.clone() }).collect();
    let kept = own.iter().filter(|one| !theirs.iter().any(|other| other.name == one.name));
    kept.chain(&theirs).cloned().collect()
}

fn logins(site: &Site) -> Vec<Login<'_>> {
    site.registries
        .iter()
        .filter_map(|one| {
            let (user, password) = one.login()?;
            Some(Login { registry: &one.name, user: user.expose(), password: password.expose() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::files;
    use crate::firewall::samples::appliance;

    fn machine(role: ClusterRole) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let mirror = RegistryMirror { name: "docker.io".into(), mirrors: vec!["https://own.example".into()] };
        let platform = Platform::K3s {
            version: "v1.33.1+k3s1".into(),
            role,
            pods: vec!["10.42.0.0/16".into()],
            services: vec!["10.43.0.0/16".into()],
            registries: vec![mirror],
            secrets: vec![],
        };
        let described = Appliance { platform, ..appliance(vec![]) };
        let text = serde_json::to_vec(&described).unwrap();
        files::replace(&machine.path(crate::appliance::PATH), &text, 0o644).unwrap();
        (root, machine)
    }

    fn site(text: &str) -> Site {
        crate::site::parse(std::path::Path::new("s"), text.as_bytes()).unwrap()
    }

    const JOINING: &str = "[cluster]\nrole = \"agent\"\nserver = \"https://10.3.7.11:6443\"\n\
        token = \"canary-0123456789abcdef\"\nnodes = [\"10.3.7.11\"]\n";

    #[test]
    fn an_agent_knows_its_server_and_the_token_is_roots_alone() {
        let (_root, machine) = machine(ClusterRole::Server);
        apply(&machine, &site(JOINING)).unwrap();
        assert_eq!(crate::k3s::role(&machine), ClusterRole::Agent);
        let told = machine.read(AGENT).unwrap();
        assert!(told.contains("server: \"https://10.3.7.11:6443\"\ntoken-file: /etc/rancher/k3s/token"), "{told}");
        assert!(!told.contains("canary"));
        assert_eq!(machine.read(TOKEN).unwrap(), "canary-0123456789abcdef");
        for path in [TOKEN, AGENT, SERVER, "/etc/rancher/k3s/registries.yaml"] {
            let mode = std::fs::metadata(machine.path(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{path}");
        }
        apply(&machine, &Site::default()).unwrap();
        assert_eq!(crate::k3s::role(&machine), ClusterRole::Server);
        for path in [TOKEN, AGENT, SERVER] {
            assert!(!machine.path(path).exists(), "{path} stayed");
        }
    }

    #[test]
    fn the_first_of_several_servers_keeps_its_state_where_others_can_join() {
        let (_root, machine) = machine(ClusterRole::Agent);
        apply(&machine, &site("[cluster]\nrole = \"server\"\nnodes = [\"10.3.7.12\"]\n")).unwrap();
        assert!(machine.read(SERVER).unwrap().ends_with("cluster-init: true"));
        apply(&machine, &site(&JOINING.replace("agent", "server"))).unwrap();
        assert!(!machine.read(SERVER).unwrap().contains("cluster-init"));
    }

    #[test]
    fn mirrors_of_the_site_stand_for_the_images_and_logins_are_added() {
        let (_root, machine) = machine(ClusterRole::Server);
        let path = "/etc/rancher/k3s/registries.yaml";
        apply(&machine, &Site::default()).unwrap();
        assert!(machine.read(path).unwrap().contains("https://own.example"));
        let text = "[[registries]]\nname = \"docker.io\"\nmirrors = [\"https://m.example\"]\n\
            [[registries]]\nname = \"r.example:5000\"\nusername = \"u\"\npassword = \"p\\\"w\"\n";
        apply(&machine, &site(text)).unwrap();
        let told = machine.read(path).unwrap();
        assert!(told.contains("  \"docker.io\":\n    endpoint:\n      - \"https://m.example\"\n"), "{told}");
        assert!(
            told.contains("  \"r.example:5000\":\n    auth:\n      username: \"u\"\n      password: \"p\\\"w\""),
            "{told}"
        );
        assert!(!told.contains("own.example"));
    }

    #[test]
    fn an_image_without_k3s_gets_none_of_it() {
        let root = tempfile::tempdir().unwrap();
        apply(&Machine::at(root.path()), &site(JOINING)).unwrap();
        assert!(!root.path().join("etc").exists());
    }
}
