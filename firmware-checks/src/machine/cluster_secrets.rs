//! What the pods of k3s are given of the site configuration: Kubernetes Secrets, in a manifest that is root's alone and that the
//! server keeps applied. Made anew at each start of k3s.

use std::fmt::Write as _;
use std::fs;
use std::io;

use serde_json::json;

use super::given::{self, value};
use crate::appliance::{ClusterSecret, Platform};
use crate::facts::Machine;
use crate::files;
use crate::requirements::SiteNeeds;
use crate::site::{self, Site};

/// The manifest, in a folder of k3s's own.
const MANIFEST: &str = "/var/lib/rancher/k3s/server/manifests/firstlight-secrets.yaml";
/// What the two files of a TLS Secret are called in it, and in the site.
const TLS: [(&str, &str); 2] = [("tls.crt", site::CERTIFICATE), ("tls.key", site::KEY)];

/// Something could not be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is missing, or the machine could not make a value.
    #[error(transparent)]
    Given(#[from] given::Error),
    /// A file failed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Writes the Secrets that `platform` names, of `site`; where it names none, there is no manifest.
///
/// # Errors
/// [`Error`]; never with any part of what is given.
pub fn give(machine: &Machine, platform: &Platform, site: &Site, needs: &SiteNeeds) -> Result<(), Error> {
    let Platform::K3s { secrets, .. } = platform else { return Ok(()) };
    let failed = |path: &str| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    if secrets.is_empty() {
        return files::remove(&machine.path(MANIFEST)).map_err(failed(MANIFEST));
    }
    let mut text = String::from("# Of site.toml; written at every start of k3s.\n");
    let mut namespaces: Vec<&str> = secrets.iter().map(|secret| secret.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        let _ = write!(text, "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    }
    for secret in secrets {
        text += &manifest(machine, secret, site, needs)?;
    }
    let file = machine.path(MANIFEST);
    // k3s applies a manifest anew when its file is another.
    if fs::read(&file).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    files::replace(&file, text.as_bytes(), 0o600).map_err(failed(MANIFEST))
}

/// One Secret (Kubernetes, "Secrets"); a string of JSON is one of YAML (YAML 1.2 §1.2).
fn manifest(machine: &Machine, secret: &ClusterSecret, site: &Site, needs: &SiteNeeds) -> Result<String, Error> {
    let ClusterSecret { name, namespace, keys, tls } = secret;
    let kind = if *tls { "kubernetes.io/tls" } else { "Opaque" };
    let mut text = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: {namespace}\ntype: {kind}\nstringData:\n"
    );
    for (key, file) in TLS.iter().filter(|_| *tls) {
        let path = format!("{}/{file}", site::DIRECTORY);
        let pem = fs::read_to_string(machine.path(&path)).map_err(|source| Error::File { path, source })?;
        let _ = writeln!(text, "  {key}: {}", json!(pem));
    }
    for (key, field) in keys {
        if let Some(value) = value(machine, site, needs, key, field)? {
            let _ = writeln!(text, "  {key}: {}", json!(value.expose()));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::appliance::ClusterRole;

    fn platform(secrets: Vec<ClusterSecret>) -> Platform {
        Platform::K3s {
            version: "v1.33.1+k3s1".into(),
            role: ClusterRole::Server,
            pods: vec![],
            services: vec![],
            registries: vec![],
            secrets,
        }
    }

    fn secret(name: &str, keys: &[(&str, &str)], tls: bool) -> ClusterSecret {
        let keys: BTreeMap<_, _> = keys.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        ClusterSecret { name: name.into(), namespace: "scot4".into(), keys, tls }
    }

    #[test]
    fn secrets_are_roots_alone_and_go_with_the_recipe() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let site: Site = toml::from_str("database = { uri = 'postgresql://u:canary%22@h/d' }").unwrap();
        for (file, text) in [("tls.crt", "-----BEGIN\nA\n"), ("tls.key", "KEY\n")] {
            files::replace(&machine.path(&format!("{}/{file}", site::DIRECTORY)), text.as_bytes(), 0o600).unwrap();
        }
        let both = platform(vec![secret("env", &[("URI", "database.uri")], false), secret("tls", &[], true)]);
        give(&machine, &both, &site, &SiteNeeds::default()).unwrap();
        let told = machine.read(MANIFEST).unwrap();
        assert!(told.contains("kind: Namespace\nmetadata:\n  name: scot4\n---"), "{told}");
        assert!(told.contains("type: Opaque\nstringData:\n  URI: \"postgresql://u:canary%22@h/d\"\n"), "{told}");
        assert!(
            told.contains(
                "type: kubernetes.io/tls\nstringData:\n  tls.crt: \"-----BEGIN\\nA\\n\"\n  tls.key: \"KEY\\n\""
            )
        );
        let mode = fs::metadata(machine.path(MANIFEST)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        give(&machine, &platform(vec![]), &site, &SiteNeeds::default()).unwrap();
        assert!(!machine.path(MANIFEST).exists());
    }

    #[test]
    fn a_certificate_that_is_not_there_is_told_without_a_secret() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let error = give(&machine, &platform(vec![secret("tls", &[], true)]), &Site::default(), &SiteNeeds::default());
        assert!(error.unwrap_err().to_string().contains("/etc/firstlight/site/tls.crt"));
        assert!(!machine.path(MANIFEST).exists());
    }
}
