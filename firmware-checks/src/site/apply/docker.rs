//! What Docker is told of the site: mirrors, logins, and the addresses of containers.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::{Error, file_error, remove, text, write, write_as};
use crate::facts::Machine;
use crate::machine::given::DOCKER_CONFIGURATION;
use crate::site::{DOCKER_HUB, Registry, Site};

/// dockerd's configuration.
const DAEMON: &str = "/etc/docker/daemon.json";
/// The same as the image had it, while the site says something else.
const IMAGE: &str = "/etc/docker/daemon.json.image";
/// Under which the docker command keeps the login to Docker Hub.
const HUB_LOGIN: &str = "https://index.docker.io/v1/";

pub(super) fn apply(machine: &Machine, site: &Site) -> Result<(), Error> {
    if !machine.path(DAEMON).exists() {
        return Ok(());
    }
    logins(machine, &site.registries)?;
    daemon(machine, site)?;
    let deaf: Vec<String> = site
        .registries
        .iter()
        .filter(|one| one.name != DOCKER_HUB && !one.mirrors.is_empty())
        .map(|one| one.name.clone())
        .collect();
    if deaf.is_empty() { Ok(()) } else { Err(Error::Mirrors(deaf)) }
}

fn daemon(machine: &Machine, site: &Site) -> Result<(), Error> {
    let ours = settings(site);
    let kept = machine.path(IMAGE).exists();
    if ours.is_empty() && !kept {
        return Ok(());
    }
    let original = text(machine, if kept { IMAGE } else { DAEMON })?;
    if !kept {
        write(machine, IMAGE, &original)?;
    }
    let mut all: Map<String, Value> =
        serde_json::from_str(&original).map_err(|error| file_error(if kept { IMAGE } else { DAEMON })(error.into()))?;
    if ours.is_empty() {
        write(machine, DAEMON, &original)?;
        return remove(machine, IMAGE);
    }
    all.extend(ours);
    let new = serde_json::to_string_pretty(&all).map_err(|error| file_error(DAEMON)(error.into()))?;
    write(machine, DAEMON, &(new + "\n"))
}

/// What the site says, in the words of daemon.json.
fn settings(site: &Site) -> Map<String, Value> {
    let mut ours = Map::new();
    let hub = site.registries.iter().find(|registry| registry.name == DOCKER_HUB);
    if let Some(hub) = hub.filter(|hub| !hub.mirrors.is_empty()) {
        ours.insert("registry-mirrors".into(), json!(hub.mirrors));
    }
    if let Some((network, bits)) = site.containers.network() {
        // Docker's own bridge has the last /24; its other networks come out of the lower half.
        let last = network.to_bits() | (u32::MAX >> bits) & !0xff | 1;
        ours.insert("bip".into(), json!(format!("{}/24", Ipv4Addr::from(last))));
        let pool = format!("{network}/{}", bits + 1);
        ours.insert("default-address-pools".into(), json!([{ "base": pool, "size": 24 }]));
    }
    ours
}

fn logins(machine: &Machine, registries: &[Registry]) -> Result<(), Error> {
    let path = format!("{DOCKER_CONFIGURATION}/config.json");
    let auths: Map<String, Value> = registries
        .iter()
        .filter_map(|registry| {
            let (user, password) = registry.login()?;
            let server = if registry.name == DOCKER_HUB { HUB_LOGIN } else { &registry.name };
            let auth = BASE64.encode(format!("{}:{}", user.expose(), password.expose()));
            Some((server.to_owned(), json!({ "auth": auth })))
        })
        .collect();
    if auths.is_empty() {
        return remove(machine, &path);
    }
    write_as(machine, &path, &json!({ "auths": auths }).to_string(), 0o600)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::files;

    const OWN: &str = "{ \"live-restore\": true, \"bip\": \"172.31.255.1/24\" }\n";

    fn machine() -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        files::replace(&machine.path(DAEMON), OWN.as_bytes(), 0o644).unwrap();
        (root, machine)
    }

    fn site(text: &str) -> Site {
        crate::site::parse(std::path::Path::new("s"), text.as_bytes()).unwrap()
    }

    #[test]
    fn what_the_site_says_is_laid_over_the_images_own_and_goes_with_it() {
        let (_root, machine) = machine();
        let text = "[containers]\nnetwork = \"10.213.0.0/16\"\n[[registries]]\nname = \"docker.io\"\nmirrors = [\"https://m.example\"]\n";
        for _ in 0..2 {
            apply(&machine, &site(text)).unwrap();
            let told: Value = serde_json::from_str(&machine.read(DAEMON).unwrap()).unwrap();
            assert_eq!(told["live-restore"], true);
            assert_eq!(told["bip"], "10.213.255.1/24");
            assert_eq!(told["default-address-pools"][0]["base"], "10.213.0.0/17");
            assert_eq!(told["registry-mirrors"][0], "https://m.example");
        }
        apply(&machine, &Site::default()).unwrap();
        assert_eq!(text_of(&machine, DAEMON), OWN);
        assert!(!machine.path(IMAGE).exists());
    }

    fn text_of(machine: &Machine, path: &str) -> String {
        std::fs::read_to_string(machine.path(path)).unwrap()
    }

    #[test]
    fn a_login_is_roots_alone() {
        let (_root, machine) = machine();
        let login = |name: &str| format!("[[registries]]\nname = \"{name}\"\nusername = \"u\"\npassword = \"pw\"\n");
        apply(&machine, &site(&(login("docker.io") + &login("r.example:5000")))).unwrap();
        let path = format!("{DOCKER_CONFIGURATION}/config.json");
        let told: Value = serde_json::from_str(&text_of(&machine, &path)).unwrap();
        // base64 of `u:pw`, as `printf u:pw | base64` says it.
        assert_eq!(told["auths"][HUB_LOGIN]["auth"], "dTpwdw==");
        assert_eq!(told["auths"]["r.example:5000"]["auth"], "dTpwdw==");
        assert_eq!(std::fs::metadata(machine.path(&path)).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(text_of(&machine, DAEMON), OWN);
        apply(&machine, &Site::default()).unwrap();
        assert!(!machine.path(&path).exists());
    }

    #[test]
    fn mirrors_that_docker_would_not_ask_are_told() {
        let (_root, machine) = machine();
        let quay = "[[registries]]\nname = \"quay.io\"\nmirrors = [\"https://m.example\"]\n";
        let told = apply(&machine, &site(quay)).unwrap_err().to_string();
        assert!(told.contains("quay.io") && told.contains("docker.io"), "{told}");
        let root = tempfile::tempdir().unwrap();
        apply(&Machine::at(root.path()), &site(quay)).unwrap();
    }
}
