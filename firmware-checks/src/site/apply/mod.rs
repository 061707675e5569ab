//! Putting the imported configuration into effect: host name, network, time, the way out, what Docker is told, who may log
//! in. Run at every boot; what is right already is left alone.

mod accounts;
mod dnf;
mod docker;
mod k3s;
mod network;
mod proxy;

use std::fs;
use std::io;
use std::path::Path;

use super::{DOCKER_HUB, Secret, Site};
use crate::facts::Machine;
use crate::files;

/// Something of the configuration could not be put into effect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written or read.
    #[error("putting the site configuration into effect: {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The image lacks the account that the configuration speaks of.
    #[error("the account `admin` is not in {0}")]
    NoAdmin(String),
    /// A fixed address or a VLAN, and several interfaces that could have it.
    #[error(
        "site.toml says what one interface is to have, and this machine has several: {}\nhint: set network.interface to one of them", .0.join(", ")
    )]
    Ambiguous(Vec<String>),
    /// Mirrors that Docker would never ask.
    #[error("Docker asks mirrors for {DOCKER_HUB} alone, and site.toml names some for {}\nhint: name images by the mirror itself, and give it a login of its own where it needs one", .0.join(", "))]
    Mirrors(Vec<String>),
}

/// Writes below `machine`'s root what `site` asks for, and gives what could not be done; the rest is done all the same.
pub fn apply(machine: &Machine, site: &Site) -> Vec<Error> {
    let mut errors = Vec::new();
    errors.extend(host_name(machine, site).err());
    errors.extend(network::apply(machine, site).err());
    errors.extend(time(machine, site).err());
    errors.extend(proxy::apply(machine, site).err());
    errors.extend(dnf::apply(machine, site.proxy.as_ref()).err());
    errors.extend(docker::apply(machine, site).err());
    errors.extend(k3s::apply(machine, site).err());
    errors.extend(accounts::keys(machine, &site.admin.ssh_keys).err());
    errors.extend(accounts::password(machine, site.admin.password_hash.as_ref().map(Secret::expose)).err());
    errors
}

fn file_error(path: &str) -> impl Fn(io::Error) -> Error {
    move |source| Error::File { path: path.to_owned(), source }
}

/// Writes `path` where its content differs.
fn write(machine: &Machine, path: &str, content: &str) -> Result<(), Error> {
    write_as(machine, path, content, 0o644)
}

fn write_as(machine: &Machine, path: &str, content: &str, mode: u32) -> Result<(), Error> {
    let file = machine.path(path);
    if fs::read(&file).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(());
    }
    files::replace(&file, content.as_bytes(), mode).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn remove(machine: &Machine, path: &str) -> Result<(), Error> {
    files::remove(&machine.path(path)).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// The text of `path`; empty where it is not there.
fn text(machine: &Machine, path: &str) -> Result<String, Error> {
    match fs::read_to_string(machine.path(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { path: path.to_owned(), source: error })
        }
        read => Ok(read.unwrap_or_default()),
    }
}

fn host_name(machine: &Machine, site: &Site) -> Result<(), Error> {
    let Some(name) = &site.hostname else { return Ok(()) };
    write(machine, "/etc/hostname", &format!("{name}\n"))?;
    let short = name.split('.').next().unwrap_or(name);
    // As Debian's installer writes it, so that the name resolves before any network is there.
    let own = if short == name { format!("127.0.1.1\t{name}\n") } else { format!("127.0.1.1\t{name} {short}\n") };
    let old = text(machine, "/etc/hosts")?;
    let old = if old.is_empty() {
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()
    } else {
        old
    };
    let others = old.lines().filter(|line| line.split_whitespace().next() != Some("127.0.1.1"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    write(machine, "/etc/hosts", &(others + &own))?;
    if machine.root() == Path::new("/") {
        nix::unistd::sethostname(name)
            .map_err(|error| Error::File { path: "sethostname".into(), source: error.into() })?;
    }
    Ok(())
}

/// timesyncd.conf (5).
fn time(machine: &Machine, site: &Site) -> Result<(), Error> {
    const PATH: &str = "/etc/systemd/timesyncd.conf.d/10-firstlight.conf";
    if site.time.ntp.is_empty() {
        return remove(machine, PATH);
    }
    write(
        machine,
        PATH,
        &format!("# From site.toml; written at every boot.\n[Time]\nNTP={}\n", site.time.ntp.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_takes_the_place_of_the_old_one_and_resolves() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        files::replace(&machine.path("/etc/hosts"), b"127.0.0.1 localhost\n127.0.1.1 old\n10.0.0.9 pacs\n", 0o644)
            .unwrap();
        let site = Site { hostname: Some("rack7.clinic.example".into()), ..Site::default() };
        for _ in 0..2 {
            host_name(&machine, &site).unwrap();
            assert_eq!(machine.read("/etc/hostname").unwrap(), "rack7.clinic.example");
            let hosts = "127.0.0.1 localhost\n10.0.0.9 pacs\n127.0.1.1\track7.clinic.example rack7";
            assert_eq!(machine.read("/etc/hosts").unwrap(), hosts);
        }
    }

    #[test]
    fn time_servers_come_and_go_with_the_configuration() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let path = "/etc/systemd/timesyncd.conf.d/10-firstlight.conf";
        let mut site = Site::default();
        site.time.ntp = vec!["ntp.clinic.example".into(), "10.3.7.1".into()];
        time(&machine, &site).unwrap();
        assert!(machine.read(path).unwrap().ends_with("[Time]\nNTP=ntp.clinic.example 10.3.7.1"));
        time(&machine, &Site::default()).unwrap();
        assert!(!machine.path(path).exists());
    }

    #[test]
    fn what_cannot_be_done_keeps_nothing_else_from_being_done() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let mut site = Site { hostname: Some("rack7".into()), ..Site::default() };
        site.admin.ssh_keys = vec!["ssh-ed25519 AAAA".into()];
        let errors = apply(&machine, &site);
        assert!(matches!(errors.as_slice(), [Error::NoAdmin(_)]), "{errors:?}");
        assert_eq!(machine.read("/etc/hostname").unwrap(), "rack7");
    }
}
