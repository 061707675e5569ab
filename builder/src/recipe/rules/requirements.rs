//! Rules about what an appliance asks of its machine.

use std::fmt::Display;
use std::path::{Component, Path};

use firmware_checks::requirements::site::Value;
use firmware_checks::requirements::{Amount, Count, DataFolder, Egress, Port, Protocol, Requirements};
use firmware_checks::site::is_value_name;

use super::{LABEL, as_label, is_label, repeated};
use firmware_checks::document::KeyPath;
use firmware_checks::document::Problem;

/// Where the data partition is mounted.
const DATA: &str = "/srv";

/// Everything wrong with `requirements`, which stand at `at`.
#[must_use]
pub fn problems(at: &KeyPath, requirements: &Requirements) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(requirements.cpu.iter().flat_map(|cpu| processors(&at.key("cpu"), *cpu)));
    found.extend(requirements.memory.iter().flat_map(|memory| amount(&at.key("memory"), *memory)));
    found.extend(sizes(at, requirements));
    found.extend(data(&at.key("data"), &requirements.data));
    found.extend(ports(&at.key("ports"), &requirements.ports));
    found.extend(egress(&at.key("egress"), &requirements.egress));
    found.extend(values(&at.key("site").key("values"), &requirements.site.values));
    found
}

/// What the appliance alone asks of its site.
fn values(at: &KeyPath, values: &[Value]) -> Vec<Problem> {
    let wrong = values.iter().enumerate().filter(|(_, value)| !is_value_name(&value.name)).map(|(index, value)| {
        let problem =
            Problem::value(at.item(index).key("name"), format!("`{}` can't be the name of a value", value.name));
        problem.label("expected lower-case letters, digits and `_`, a letter first")
    });
    let twice = repeated(values.iter().map(|value| &value.name)).into_iter().map(|(index, _)| {
        Problem::value(at.item(index).key("name"), format!("two values are named `{}`", values[index].name))
    });
    let long = values.iter().enumerate().filter(|(_, value)| value.title.contains('\n')).map(|(index, value)| {
        Problem::value(at.item(index).key("title"), format!("value `{}`: its title has more than one line", value.name))
    });
    wrong.chain(twice).chain(long).collect()
}

fn processors(at: &KeyPath, cpu: Count) -> Vec<Problem> {
    let mut found: Vec<Problem> = order(at, "cpu", Some(cpu.minimum), cpu.recommended).into_iter().collect();
    if cpu.minimum == 0 {
        found.push(Problem::value(at.key("minimum"), "no machine has 0 processors").label("expected at least 1"));
    }
    found
}

fn amount(at: &KeyPath, memory: Amount) -> Vec<Problem> {
    let mut found: Vec<Problem> = order(at, "memory", Some(memory.minimum), memory.recommended).into_iter().collect();
    if memory.minimum.bytes() == 0 {
        let problem = Problem::value(at.key("minimum"), "no machine has 0 bytes of memory");
        found.push(problem.label("expected more than 0, such as \"2 GB\""));
    }
    found
}

/// A table of sizes begins with one user and grows from row to row; what it says is not said twice.
fn sizes(at: &KeyPath, requirements: &Requirements) -> Vec<Problem> {
    let Requirements { sizes, cpu, memory, .. } = requirements;
    let mut found = Vec::new();
    for (index, row) in sizes.iter().enumerate() {
        let at = at.key("sizes").item(index);
        found.extend(processors(&at.key("cpu"), row.cpu));
        found.extend(amount(&at.key("memory"), row.memory));
        let least = index.checked_sub(1).map_or(1, |before| sizes[before].users + 1);
        if (index == 0 && row.users != 1) || row.users < least {
            let problem = Problem::value(at.key("users"), format!("the row for {} users is out of order", row.users));
            let expected = if index == 0 { "1".to_owned() } else { format!("at least {least}") };
            found.push(problem.label(format!("expected {expected}")));
        }
    }
    for (key, there) in [("cpu", cpu.is_some()), ("memory", memory.is_some())] {
        if there && !sizes.is_empty() {
            let problem =
                Problem::key(at.key(key), format!("`{key}` beside `sizes`, which says it for every number of users"));
            found.push(problem.label("one of the two"));
        }
    }
    if !sizes.is_empty() && requirements.site.concurrent_users.is_none() {
        let problem = Problem::key(at.key("sizes"), "sizes by users, and the site is not asked how many there are");
        found.push(problem.hint("add `concurrent_users = \"required\"` to `[requirements.site]`"));
    }
    found
}

/// A recommended value below the least one can't be meant.
fn order<T: Ord + Display>(at: &KeyPath, what: &str, minimum: Option<T>, recommended: Option<T>) -> Option<Problem> {
    let (minimum, recommended) = (minimum?, recommended?);
    (recommended < minimum).then(|| {
        let what = format!("{what}: recommended {recommended} is less than the minimum, {minimum}");
        Problem::value(at.key("recommended"), what).label(format!("expected at least {minimum}"))
    })
}

fn data(at: &KeyPath, folders: &[DataFolder]) -> Vec<Problem> {
    let mut found = unique_names(at, folders.iter().map(|folder| folder.name.as_str()), "data folder");
    for (index, folder) in folders.iter().enumerate() {
        found.extend(data_folder(&at.item(index), folder));
    }
    for (index, first) in repeated(folders.iter().map(|folder| &folder.path)) {
        let what = format!("data folder `{}`: `{}` is there twice", folders[index].name, folders[index].path);
        let problem = Problem::value(at.item(index).key("path"), what);
        found.push(problem.label(format!("data folder `{}` is the other", folders[first].name)));
    }
    found
}

fn data_folder(at: &KeyPath, folder: &DataFolder) -> Vec<Problem> {
    let DataFolder { name, path, minimum, recommended, free, solid_state: _ } = folder;
    let mut found: Vec<Problem> =
        order(at, &format!("data folder `{name}`"), Some(*minimum), *recommended).into_iter().collect();
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let tidy = Path::new(path).components().collect::<std::path::PathBuf>().as_os_str() == path.as_str();
    if !path.starts_with('/') || !Path::new(path).components().all(plain) || !tidy {
        let problem =
            Problem::value(at.key("path"), format!("data folder `{name}`: `{path}` is no plain absolute path"));
        found.push(problem.label("expected such as `/srv/NAME`, without `.`, `..` or a `/` at the end"));
    } else if !Path::new(path).starts_with(DATA) {
        let problem =
            Problem::value(at.key("path"), format!("data folder `{name}`: `{path}` is not on the data partition"));
        let hint =
            "only the data partition grows to fill the machine's disk, and an upgrade of the image leaves it alone";
        found.push(problem.label(format!("expected `{DATA}` or a folder in it")).hint(hint));
    }
    if let Some(free) = free.filter(|free| free > minimum) {
        let what = format!("data folder `{name}`: {free} can't be free on a file system of {minimum}");
        found.push(Problem::value(at.key("free"), what).label(format!("expected at most {minimum}, the minimum")));
    }
    found
}

fn ports(at: &KeyPath, ports: &[Port]) -> Vec<Problem> {
    let mut found = unique_names(at, ports.iter().map(|port| port.name.as_str()), "port");
    for (index, first) in repeated(ports.iter().map(|port| (port.port, port.protocol))) {
        let Port { name, port, protocol, .. } = &ports[index];
        let what = format!("port `{name}`: {port}/{} is named twice", protocol_name(*protocol));
        let problem = Problem::value(at.item(index).key("port"), what);
        found.push(problem.label(format!("port `{}` has it already", ports[first].name)));
    }
    for (index, port) in ports.iter().enumerate() {
        let at = at.item(index);
        if port.port == 0 {
            let problem = Problem::value(at.key("port"), format!("port `{}`: 0 is no port", port.name));
            found.push(problem.label("expected 1 to 65535"));
        }
        for (index, text) in port.from.iter().enumerate() {
            found.extend(source(&at.key("from").item(index), &port.name, text));
        }
        for (index, _) in repeated(&port.from) {
            let what = format!("port `{}`: source `{}` is listed twice", port.name, port.from[index]);
            found.push(Problem::value(at.key("from").item(index), what));
        }
    }
    found
}

fn source(at: &KeyPath, port: &str, text: &str) -> Option<Problem> {
    use firmware_checks::requirements::Source;
    let wrong = text.parse::<Source>().is_err();
    let near = firmware_checks::document::nearest(text, ["any", "local"]).map(|near| format!("did you mean `{near}`?"));
    let named = text.contains(|c: char| c.is_ascii_alphabetic()) && text.contains('.');
    let by_name = named.then(|| "a firewall goes by addresses; a name could mean another machine tomorrow".to_owned());
    wrong.then(|| {
        Problem::value(at.clone(), format!("port `{port}`: `{text}` is not a source"))
            .label("expected `any`, `local`, or a network such as `10.0.0.0/8` or `2001:db8::/32`")
            .perhaps(by_name)
            .perhaps(near)
    })
}

fn egress(at: &KeyPath, servers: &[Egress]) -> Vec<Problem> {
    let mut found = unique_names(at, servers.iter().map(|server| server.name.as_str()), "server");
    for (index, server) in servers.iter().enumerate() {
        let at = at.item(index);
        if let Err(wrong) = server.target() {
            let problem = Problem::value(at.key("url"), format!("server `{}`: `{}` {wrong}", server.name, server.url));
            found.push(problem.label("expected such as `https://registry.example.org/v2/`"));
        }
        for (index, status) in server.status.iter().enumerate().filter(|(_, status)| !(100..600).contains(*status)) {
            let problem = Problem::value(
                at.key("status").item(index),
                format!("server `{}`: {status} is no HTTP status", server.name),
            );
            found.push(problem.label("expected 100 to 599"));
        }
    }
    found
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

fn unique_names<'a>(at: &KeyPath, names: impl Iterator<Item = &'a str>, kind: &str) -> Vec<Problem> {
    let names: Vec<&str> = names.collect();
    let wrong = names.iter().enumerate().filter(|(_, name)| !is_label(name)).map(|(index, name)| {
        let problem = Problem::value(at.item(index).key("name"), format!("`{name}` can't be the name of a {kind}"));
        problem.label(LABEL).perhaps(as_label(name))
    });
    let twice = repeated(&names).into_iter().map(|(index, _)| {
        Problem::value(at.item(index).key("name"), format!("two {kind}s are named `{}`", names[index]))
            .hint("the name stays the same in every report, so it can mean one thing only")
    });
    wrong.chain(twice).collect()
}
