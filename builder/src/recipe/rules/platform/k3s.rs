//! Rules about `[platform]` with `kind = "k3s"`.

use firmware_checks::document::{KeyPath, Problem};
use firmware_checks::firewall::network::{self, Network};

use super::docker::given;
use crate::recipe::platform::k3s::{Chart, K3s, archive};
use crate::recipe::rules::{LABEL, elsewhere, is_beside, is_label, repeated};
use crate::recipe::schema::Recipe;

/// The first releases of k3s in which an archive of images that was imported once is not imported at every start
/// (`.cache.json`, documented by k3s under "Air-Gap Install"): minor version and patch, of major version 1.
const CACHED: [(u64, u64); 4] = [(30, 13), (31, 9), (32, 5), (33, 1)];

/// Endings of the archives that k3s imports.
const ARCHIVES: [&str; 8] = [".tar", ".tar.lz4", ".tar.bz2", ".tbz", ".tar.gz", ".tgz", ".tar.zst", ".tzst"];

/// Components that k3s brings and can leave out.
const COMPONENTS: [&str; 6] = ["coredns", "servicelb", "traefik", "local-storage", "metrics-server", "runtimes"];

/// Options that are written by Firstlight itself, each with the field that it comes from.
const OWN: [(&str, &str); 11] = [
    ("config", "platform"),
    ("data-dir", "platform"),
    ("disable", "platform.disable"),
    ("cluster-cidr", "platform.pods"),
    ("service-cidr", "platform.services"),
    ("private-registry", "platform.registries"),
    ("server", "the site's cluster.server"),
    ("token", "the site's cluster.token"),
    ("token-file", "the site's cluster.token"),
    ("agent-token", "the site's cluster.token"),
    ("cluster-init", "the site's cluster.nodes"),
];

pub(super) fn problems(at: &KeyPath, recipe: &Recipe, k3s: &K3s) -> Vec<Problem> {
    let mut found: Vec<Problem> = version(&at.key("version"), &k3s.version).into_iter().collect();
    found.extend(archives(&at.key("archives"), k3s));
    found.extend(flags(&at.key("flags"), &k3s.flags));
    found.extend(components(&at.key("disable"), &k3s.disable));
    found.extend(networks(at, k3s));
    found.extend(manifests(&at.key("manifests"), &k3s.manifests));
    found.extend(charts(&at.key("charts"), &k3s.charts));
    found.extend(secrets(&at.key("secrets"), recipe, k3s));
    found
}

/// The numbers of `v1.33.1+k3s1`; none where `text` has another form.
fn numbers(text: &str) -> Option<(u64, u64, u64)> {
    let (version, build) = text.strip_prefix('v')?.split_once("+k3s")?;
    build.parse::<u64>().ok()?;
    let mut parts = version.split('.').map(str::parse::<u64>);
    let numbers = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    parts.next().is_none().then_some(numbers)
}

fn version(at: &KeyPath, text: &str) -> Option<Problem> {
    let Some((major, minor, patch)) = numbers(text) else {
        let problem = Problem::value(at.clone(), format!("`{text}` is not a release of k3s"));
        return Some(problem.label("expected such as `v1.33.1+k3s1`"));
    };
    let newest = CACHED[CACHED.len() - 1].0;
    let caches = major > 1 || minor > newest || CACHED.iter().any(|(of, from)| minor == *of && patch >= *from);
    (!caches).then(|| {
        let what = format!("k3s {text} imports every archive of images anew at every start");
        let problem =
            Problem::value(at.clone(), what).label("expected v1.33.1, v1.32.5, v1.31.9 or v1.30.13, or newer");
        problem.hint("a machine would not be ready for minutes after each restart")
    })
}

fn archives(at: &KeyPath, k3s: &K3s) -> Vec<Problem> {
    let wrong = k3s.archives.iter().enumerate().filter_map(|(index, artifact)| {
        let name = artifact.file_name();
        let fits = ARCHIVES.iter().any(|ending| name.ends_with(ending) && name.len() > ending.len());
        (!fits || name.starts_with('.')).then(|| {
            let problem = Problem::value(at.item(index).key("from"), format!("k3s does not import `{name}`"));
            problem.label("expected an archive such as `.tar.zst`, `.tar.gz` or `.tar`")
        })
    });
    let twice = repeated(k3s.archives.iter().map(archive)).into_iter().map(|(index, _)| {
        let name = k3s.archives[index].file_name().into_owned();
        Problem::value(at.item(index), format!("two archives are called `{name}`"))
    });
    wrong.chain(twice).collect()
}

fn flags(at: &KeyPath, flags: &[String]) -> Vec<Problem> {
    let judge = |(index, flag): (usize, &String)| {
        let at = at.item(index);
        let name = flag.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let Some(name) = name.filter(|name| !name.is_empty() && name.chars().all(plain)) else {
            let problem = Problem::value(at, format!("`{flag}` is no option of k3s"));
            return Some(problem.label("expected `--NAME` or `--NAME=VALUE`"));
        };
        let (_, field) = OWN.iter().find(|(own, _)| *own == name)?;
        Some(Problem::value(at, format!("`--{name}` is set by Firstlight")).label(format!("it comes from {field}")))
    };
    flags.iter().enumerate().filter_map(judge).collect()
}

fn components(at: &KeyPath, names: &[String]) -> Vec<Problem> {
    let unknown = names.iter().enumerate().filter(|(_, name)| !COMPONENTS.contains(&name.as_str()));
    unknown
        .map(|(index, name)| {
            let problem = Problem::value(at.item(index), format!("k3s has no component `{name}`"));
            problem.label(format!("expected one of {}", COMPONENTS.join(", ")))
        })
        .collect()
}

/// Networks are networks, one of each family, and none lies in another.
fn networks(at: &KeyPath, k3s: &K3s) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut known: Vec<(Network, String)> = Vec::new();
    for (key, list) in [("pods", &k3s.pods), ("services", &k3s.services)] {
        let at = at.key(key);
        if list.is_empty() {
            found.push(Problem::value(at.clone(), format!("`{key}` names no network")));
        }
        let mut families = Vec::new();
        for (index, text) in list.iter().enumerate() {
            let at = at.item(index);
            let Some(network) = network::parse(text) else {
                let problem = Problem::value(at, format!("`{text}` is not a network"));
                found.push(problem.label("expected such as `10.42.0.0/16`"));
                continue;
            };
            let four = network.first().is_ipv4();
            if families.contains(&four) {
                let problem = Problem::value(at.clone(), format!("`{key}` has two networks of one family"));
                found.push(problem.label("expected one for IPv4 and one for IPv6 at most"));
            }
            families.push(four);
            if let Some((_, other)) = known.iter().find(|(other, _)| other.overlaps(network)) {
                found.push(Problem::value(at, format!("`{text}` and `{other}` have addresses in common")));
            }
            known.push((network, text.clone()));
        }
    }
    found
}

fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

fn manifests(at: &KeyPath, manifests: &[String]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, path) in manifests.iter().enumerate() {
        if !is_beside(path) {
            found.push(elsewhere(at.item(index), path));
        } else if !is_yaml(path) {
            found.push(Problem::value(at.item(index), format!("`{path}` is no manifest")).label("expected `….yaml`"));
        }
    }
    let name = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
    for (index, _) in repeated(manifests.iter().map(name)) {
        let what = format!("two manifests are called `{}`", name(&manifests[index]));
        found.push(Problem::value(at.item(index), what));
    }
    found
}

fn charts(at: &KeyPath, charts: &[Chart]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, chart) in charts.iter().enumerate() {
        let at = at.item(index);
        for (key, name) in [("name", &chart.name), ("namespace", &chart.namespace)] {
            if !is_label(name) {
                found.push(Problem::value(at.key(key), format!("`{name}` can't be a {key}")).label(LABEL));
            }
        }
        if let Some(path) = chart.values.as_ref().filter(|path| !is_beside(path)) {
            found.push(elsewhere(at.key("values"), path));
        }
    }
    for (index, _) in repeated(charts.iter().map(|chart| &chart.name)) {
        let what = format!("two charts are called `{}`", charts[index].name);
        found.push(Problem::value(at.item(index).key("name"), what));
    }
    found
}

/// Each Secret has a name of its own and something in it that the site can give.
fn secrets(at: &KeyPath, recipe: &Recipe, k3s: &K3s) -> Vec<Problem> {
    let mut found = Vec::new();
    let key = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    for (index, secret) in k3s.secrets.iter().enumerate() {
        let at = at.item(index);
        for (field, name) in [("name", &secret.name), ("namespace", &secret.namespace)] {
            if !is_label(name) {
                found.push(Problem::value(at.key(field), format!("`{name}` can't be a {field}")).label(LABEL));
            }
        }
        if secret.tls && recipe.requirements.tls.is_none() {
            let problem = Problem::key(at.key("tls"), "the site's certificate, and the appliance asks for none");
            found.push(problem.hint("add `tls = {}` to `[requirements]`"));
        }
        if secret.tls != secret.keys.is_empty() {
            let problem =
                Problem::value(at.clone(), format!("Secret `{}` holds nothing, or two kinds of things", secret.name));
            found.push(problem.label("expected either `keys` or `tls = true`"));
        }
        let expected = "expected letters, digits, `.`, `_` and `-`";
        found.extend(given(&at.key("keys"), recipe, &secret.keys, key, expected));
    }
    for (index, _) in repeated(k3s.secrets.iter().map(|secret| (&secret.namespace, &secret.name))) {
        let what = format!("two Secrets are called `{}`", k3s.secrets[index].name);
        found.push(Problem::value(at.item(index).key("name"), what));
    }
    found
}
