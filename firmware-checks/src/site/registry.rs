//! Registries of container images: who stands in for them, and who may log in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::Secret;
use crate::document::{KeyPath, Problem};

/// A registry of container images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The registry by the name in which images begin, such as `docker.io` or `registry.clinic.example:5000`.
    pub name: String,
    /// Servers that are asked before it, in this order. Docker knows mirrors of `docker.io` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// Who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Secret>,
    /// The password or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// The registry of images that name none.
pub const DOCKER_HUB: &str = "docker.io";

impl Registry {
    /// User and password, where the site gives both.
    #[must_use]
    pub fn login(&self) -> Option<(&Secret, &Secret)> {
        self.username.as_ref().zip(self.password.as_ref())
    }

    fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = Vec::new();
        if !is_registry(&self.name) {
            let problem = Problem::value(at.key("name"), format!("`{}` is not the name of a registry", self.name));
            let hint = "the name alone: how it is reached belongs to `mirrors`";
            let url = self.name.contains("://").then(|| hint.to_owned());
            found.push(problem.label("expected such as `docker.io` or `registry.clinic.example:5000`").perhaps(url));
        }
        for (index, mirror) in self.mirrors.iter().enumerate() {
            if !is_server(mirror) {
                let at = at.key("mirrors").item(index);
                let problem = Problem::value(at, "this is no address of a registry's mirror");
                found
                    .push(problem.label("expected such as `https://mirror.clinic.example`, without a login or a path"));
            }
        }
        for (key, given, other) in [
            ("username", self.username.is_some(), self.password.is_some()),
            ("password", self.password.is_some(), self.username.is_some()),
        ] {
            if given && !other {
                let problem = Problem::key(at.key(key), format!("registry `{}`: half a login", self.name));
                found.push(problem.label("expected both `username` and `password`"));
            }
        }
        // The two are parted by the first colon (RFC 7617 §2).
        if self.username.as_ref().is_some_and(|name| name.expose().is_empty() || name.expose().contains(':')) {
            found.push(Problem::value(at.key("username"), "a user's name is empty or has a colon in it"));
        }
        if self.mirrors.is_empty() && self.username.is_none() && self.password.is_none() {
            let problem =
                Problem::value(at.clone(), format!("registry `{}` is given neither mirrors nor a login", self.name));
            found.push(problem.hint("add `mirrors = […]`, or `username` and `password`"));
        }
        found
    }
}

/// What is wrong with `registries`, which stand at `at`.
pub(super) fn problems(registries: &[Registry], at: &KeyPath) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, registry) in registries.iter().enumerate() {
        let at = at.item(index);
        if registries[..index].iter().any(|earlier| earlier.name == registry.name) {
            found.push(Problem::value(at.key("name"), format!("registry `{}` is given twice", registry.name)));
        }
        found.extend(registry.problems(&at));
    }
    found
}

fn is_registry(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    let url = Url::parse(&format!("https://{name}")).ok();
    name.chars().all(plain)
        && url.is_some_and(|url| url.path() == "/" && (name.contains(['.', ':']) || name == "localhost"))
}

/// Docker refuses a mirror with a login, a query or a fragment; with a path it takes it for another host's.
fn is_server(text: &str) -> bool {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.is_some_and(|url| {
        let login = !url.username().is_empty() || url.password().is_some();
        !login && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), format!("[[registries]]\n{text}\n").as_bytes())
            .map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    #[test]
    fn a_registry_has_mirrors_or_a_login_and_each_whole() {
        assert_eq!(told("name = \"docker.io\"\nmirrors = [\"https://mirror.example:5000\"]"), "fine");
        assert_eq!(told("name = \"registry.example:5000\"\nusername = \"u\"\npassword = \"p\""), "fine");
        assert!(told("name = \"docker.io\"").contains("neither mirrors nor a login"));
        assert!(told("name = \"docker.io\"\nusername = \"u\"").contains("s:3:1: registry `docker.io`: half a login"));
        assert!(told("name = \"docker.io\"\nusername = \"a:b\"\npassword = \"p\"").contains("s:3:12"));
        for name in ["https://docker.io", "Docker.io", "docker", "a.b/c", ""] {
            assert!(told(&format!("name = \"{name}\"\nmirrors = [\"https://h\"]")).contains("s:2:8"), "{name}");
        }
        for mirror in ["mirror.example", "https://u:p@h", "https://h/v2", "ftp://h"] {
            assert!(told(&format!("name = \"docker.io\"\nmirrors = [\"{mirror}\"]")).contains("s:3:12"), "{mirror}");
        }
        let twice =
            "name = \"a.b\"\nmirrors = [\"https://h\"]\n[[registries]]\nname = \"a.b\"\nmirrors = [\"https://h\"]";
        assert!(told(twice).contains("s:5:8: registry `a.b` is given twice"));
    }
}
