//! Rules about `[platform]` with `kind = "microk8s"`.

use firmware_checks::document::{KeyPath, Problem};

use crate::recipe::artifact::is_url;
use crate::recipe::platform::{Microk8s, SeededSnap};
use crate::recipe::rules::{elsewhere, is_beside, is_label, repeated};

/// Snaps without which there is no microk8s.
const NEEDED: [&str; 2] = ["snapd", "microk8s"];

/// Snaps have fit names, channels and one source each; files lie beside the recipe; ports are ports.
pub(super) fn problems(at: &KeyPath, microk8s: &Microk8s) -> Vec<Problem> {
    let mut found = snaps(&at.key("snaps"), &microk8s.snaps);
    let outside = microk8s.files().filter(|(_, path)| !is_beside(path));
    found.extend(outside.map(|(at, path)| elsewhere(at, path)));
    if !is_url(&microk8s.store) {
        let problem = Problem::value(at.key("store"), format!("`{}` is not a URL", microk8s.store));
        found.push(problem.label("expected one such as `https://api.snapcraft.io`"));
    }
    if microk8s.trusted.is_some() && microk8s.model.is_none() {
        let what = "another root of trust has no model generic-classic";
        found.push(Problem::value(at.key("trusted"), what).hint("name the system's model, too: `model = \"…\"`"));
    }
    let ports = microk8s.node_ports.as_deref().filter(|ports| !is_range(ports));
    found.extend(ports.map(|ports| {
        let problem = Problem::value(at.key("node_ports"), format!("`{ports}` is not a range of ports"));
        problem.label("expected two ports from 1 to 65535, the lower first, such as `80-32000`")
    }));
    for (service, arguments) in &microk8s.arguments {
        let service = serde_json::to_value(service).ok().and_then(|name| name.as_str().map(str::to_owned));
        let at = at.key("arguments").key(&service.unwrap_or_default());
        let wrong = arguments.keys().filter(|name| !name.starts_with('-'));
        found.extend(wrong.map(|name| {
            Problem::value(at.key(name), format!("`{name}` is not an argument")).hint(format!("write `--{name}`"))
        }));
    }
    found
}

fn snaps(at: &KeyPath, snaps: &[SeededSnap]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, snap) in snaps.iter().enumerate() {
        let at = at.item(index);
        if !is_label(&snap.name) {
            let problem = Problem::value(at.key("name"), format!("`{}` is not the name of a snap", snap.name));
            found.push(problem.label("expected lower-case letters, digits and hyphens between them"));
        }
        if snap.track_and_risk().is_none() {
            let problem = Problem::value(at.key("channel"), format!("`{}` is not a channel", snap.channel));
            found.push(problem.label("expected a track and a risk, such as `1.33/stable` or `latest/stable`"));
        }
        let one = match (&snap.file, &snap.assertions) {
            (Some(_), None) => Some(("file", "assertions")),
            (None, Some(_)) => Some(("assertions", "file")),
            _ => None,
        };
        found.extend(one.map(|(there, missing)| {
            let problem = Problem::value(at.key(there), format!("snap `{}` has no `{missing}`", snap.name));
            problem.hint("`snap download NAME` brings both; without either, the store is asked")
        }));
    }
    for (index, first) in repeated(snaps.iter().map(|snap| &snap.name)) {
        let problem = Problem::value(at.item(index), format!("snap `{}` is named twice", snaps[index].name));
        found.push(problem.label(format!("the same as number {} of the list", first + 1)));
    }
    let missing = NEEDED.into_iter().find(|name| !snaps.iter().any(|snap| snap.name == *name));
    found.extend(missing.map(|name| {
        let problem = Problem::value(at.clone(), format!("the snap `{name}` is not among them"));
        problem
            .hint(format!("add `{{ name = \"{name}\", channel = \"latest/stable\" }}`, and the snap that it runs on"))
    }));
    found
}

fn is_range(text: &str) -> bool {
    let ports = text.split_once('-').and_then(|(from, to)| Some((from.parse::<u16>().ok()?, to.parse::<u16>().ok()?)));
    ports.is_some_and(|(from, to)| from > 0 && from <= to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told about a platform of these snaps with `more` among its keys.
    fn told(snaps: &str, more: &str) -> Vec<String> {
        let microk8s: Microk8s = toml::from_str(&format!("{more}\nsnaps = [{snaps}]")).unwrap();
        let found = problems(&KeyPath::root().key("platform"), &microk8s);
        found.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect()
    }

    const GOOD: &str = "{ name = 'snapd' }, { name = 'core20' }, { name = 'microk8s', channel = '1.33/stable' }";

    #[test]
    fn what_is_right_is_not_told() {
        let own = "{ name = 'helm', file = 'a/helm.snap', assertions = 'a/helm.assert' }";
        let more =
            "node_ports = '80-32000'\ntrusted = 'roots'\nmodel = 'model'\narguments = { kubelet = { '--v' = '2' } }";
        assert_eq!(told(&format!("{GOOD}, {own}"), more), [""; 0]);
    }

    #[test]
    fn each_mistake_is_told_at_its_key() {
        for (snaps, more, expected) in [
            ("{ name = 'snapd' }", "", "platform.snaps: the snap `microk8s` is not among them"),
            ("{ name = 'microk8s' }", "", "platform.snaps: the snap `snapd` is not among them"),
            (
                "{ name = 'snapd' }, { name = 'snapd' }, { name = 'microk8s' }",
                "",
                "snaps[1]: snap `snapd` is named twice",
            ),
            ("{ name = 'Snapd' }", "", "snaps[0].name: `Snapd` is not the name of a snap"),
            ("{ name = 'snapd', channel = '1.33' }", "", "snaps[0].channel: `1.33` is not a channel"),
            ("{ name = 'snapd', channel = '1.33/steady' }", "", "`1.33/steady` is not a channel"),
            ("{ name = 'snapd', file = 'x.snap' }", "", "snaps[0].file: snap `snapd` has no `assertions`"),
            (
                "{ name = 'snapd', assertions = '../x' }",
                "",
                "snaps[0].assertions: `../x` does not lie beside the recipe",
            ),
            (GOOD, "node_ports = '32000-80'", "platform.node_ports: `32000-80` is not a range of ports"),
            (GOOD, "node_ports = '0-80'", "`0-80` is not a range of ports"),
            (GOOD, "store = 'api.snapcraft.io'", "platform.store: `api.snapcraft.io` is not a URL"),
            (GOOD, "trusted = 'roots'", "platform.trusted: another root of trust has no model generic-classic"),
            (
                GOOD,
                "arguments = { kube-proxy = { v = '2' } }",
                "platform.arguments.kube-proxy.v: `v` is not an argument",
            ),
        ] {
            let found = told(snaps, more);
            assert!(found.iter().any(|one| one.contains(expected)), "{expected}: {found:?}");
        }
    }
}
