//! What containers are given of the site configuration: variables for the interpolation of compose files, and files of
//! secrets. All of it is root's alone, and is made anew in each boot.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::facts::Machine;
use crate::files;
use crate::requirements::{Need, SiteNeeds};
use crate::site::field::VALUES;
use crate::site::{Secret, Site};

/// Where the builder says what is given, as JSON.
pub const PATH: &str = "/usr/lib/firstlight/given.json";
/// Where it is given.
pub const FOLDER: &str = "/run/firstlight/given";
/// The variables, in the format of systemd's `EnvironmentFile=` (systemd.exec (5)).
const ENVIRONMENT: &str = "/run/firstlight/given/environment";
/// The values that the machine made by itself, a file each.
const MADE: &str = "/var/lib/firstlight/values";
/// Logins to registries, as the docker command keeps them.
pub(crate) const DOCKER_CONFIGURATION: &str = "/run/firstlight/docker";

/// What is given: for each name a field of the site configuration ([`crate::site::field::FIELDS`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// Files below `secrets` in [`FOLDER`].
    pub secrets: BTreeMap<String, String>,
}

/// Something could not be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file failed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What the builder wrote is damaged.
    #[error("{PATH}: {0}")]
    Parse(serde_json::Error),
    /// The site does not give what the appliance can't do without.
    #[error(
        "`{to}` is to be given `{field}`, which site.toml does not say\nhint: add it, then sudo firmware-checks site import FOLDER"
    )]
    Missing {
        /// The variable or file.
        to: String,
        /// The field.
        field: String,
    },
}

fn failed(path: &str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { path: path.to_owned(), source }
}

/// Gives containers what the image's own list says, from `site`.
///
/// # Errors
/// [`Error`]; never with any part of what is given.
pub fn give(machine: &Machine, site: &Site, needs: &SiteNeeds) -> Result<(), Error> {
    let text = match fs::read(machine.path(PATH)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(failed(PATH))?,
    };
    let given: Given = serde_json::from_slice(&text).map_err(Error::Parse)?;
    let mut lines = String::new();
    if machine.path(&format!("{DOCKER_CONFIGURATION}/config.json")).exists() {
        lines += &line("DOCKER_CONFIG", DOCKER_CONFIGURATION);
    }
    for (name, field) in &given.environment {
        if let Some(value) = value(machine, site, needs, name, field)? {
            lines += &line(name, value.expose());
        }
    }
    private_folder(machine, FOLDER)?;
    let secrets = format!("{FOLDER}/secrets");
    private_folder(machine, &secrets)?;
    for (name, field) in &given.secrets {
        let path = format!("{secrets}/{name}");
        match value(machine, site, needs, name, field)? {
            Some(value) => write(machine, &path, value.expose())?,
            None => files::remove(&machine.path(&path)).map_err(failed(&path))?,
        }
    }
    write(machine, ENVIRONMENT, &lines)
}

fn private_folder(machine: &Machine, path: &str) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(machine.path(path));
    made.map_err(failed(path))
}

/// Written in place of what is there only where that differs: a container may hold the file by its mount.
fn write(machine: &Machine, path: &str, content: &str) -> Result<(), Error> {
    let file = machine.path(path);
    if fs::read(&file).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(());
    }
    files::replace(&file, content.as_bytes(), 0o600).map_err(failed(path))
}

/// A line of an environment file: within double quotes, four characters are written behind a backslash.
fn line(name: &str, value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    format!("{name}=\"{quoted}\"\n")
}

pub(super) fn value(
    machine: &Machine,
    site: &Site,
    needs: &SiteNeeds,
    to: &str,
    field: &str,
) -> Result<Option<Secret>, Error> {
    if let Some(given) = site.field(field) {
        return Ok(Some(given));
    }
    let declared = field.strip_prefix(VALUES).and_then(|name| needs.values.iter().find(|value| value.name == name));
    match declared {
        Some(value) if value.generate => made(machine, &value.name).map(Some),
        Some(value) if value.need == Need::Recommended => Ok(None),
        Some(_) => Err(Error::Missing { to: to.to_owned(), field: field.to_owned() }),
        None => Ok(None),
    }
}

/// The value `name` that the machine made by itself, now or earlier: 128 random bits.
fn made(machine: &Machine, name: &str) -> Result<Secret, Error> {
    let path = format!("{MADE}/{name}");
    let file = machine.path(&path);
    match fs::read_to_string(&file) {
        Ok(text) => return Ok(Secret::from(text.trim())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error)),
        Err(_) => {}
    }
    let mut random = [0; 16];
    fs::File::open(Path::new("/dev/urandom"))
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(failed(&path))?;
    let text = hex::encode(random);
    private_folder(machine, MADE)?;
    files::replace(&file, text.as_bytes(), 0o600).map_err(failed(&path))?;
    Ok(Secret::from(text.as_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::requirements::site::Value;

    fn machine(environment: &[(&str, &str)], secrets: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let given = Given { environment: map(environment), secrets: map(secrets) };
        files::replace(&machine.path(PATH), &serde_json::to_vec(&given).unwrap(), 0o644).unwrap();
        (root, machine)
    }

    fn needs(name: &str, need: Need, generate: bool) -> SiteNeeds {
        let value = Value { name: name.into(), title: "x".into(), need, generate };
        SiteNeeds { values: vec![value], ..SiteNeeds::default() }
    }

    fn mode(machine: &Machine, path: &str) -> u32 {
        fs::metadata(machine.path(path)).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_given_is_roots_alone() {
        let (_root, machine) = machine(&[("PW", "values.pw"), ("HOST", "hostname")], &[("pw", "values.pw")]);
        let mut site = Site { hostname: Some("rack7".into()), ..Site::default() };
        site.values.insert("pw".into(), "a\"b\\c$d`e 'f".into());
        give(&machine, &site, &needs("pw", Need::Required, false)).unwrap();
        let lines = machine.read(ENVIRONMENT).unwrap();
        assert_eq!(lines, "HOST=\"rack7\"\nPW=\"a\\\"b\\\\c\\$d\\`e 'f\"");
        let secret = format!("{FOLDER}/secrets/pw");
        assert_eq!(machine.read(&secret).unwrap(), "a\"b\\c$d`e 'f");
        assert_eq!(
            (mode(&machine, ENVIRONMENT), mode(&machine, &secret), mode(&machine, FOLDER)),
            (0o600, 0o600, 0o700)
        );
        give(&machine, &Site::default(), &needs("pw", Need::Recommended, false)).unwrap();
        assert!(!machine.path(&secret).exists() && machine.read(ENVIRONMENT).unwrap().is_empty());
    }

    #[test]
    fn what_the_site_does_not_give_is_made_once_or_told() {
        let (_root, machine) = machine(&[("PW", "values.pw")], &[]);
        let told = give(&machine, &Site::default(), &needs("pw", Need::Required, false)).unwrap_err().to_string();
        assert!(told.contains("`PW` is to be given `values.pw`") && !machine.path(ENVIRONMENT).exists(), "{told}");
        give(&machine, &Site::default(), &needs("pw", Need::Required, true)).unwrap();
        let first = machine.read(ENVIRONMENT).unwrap();
        assert_eq!(first.len(), "PW=\"\"".len() + 32);
        give(&machine, &Site::default(), &needs("pw", Need::Required, true)).unwrap();
        assert_eq!(machine.read(ENVIRONMENT).unwrap(), first);
        assert_eq!((mode(&machine, &format!("{MADE}/pw")), mode(&machine, MADE)), (0o600, 0o700));
        let mut site = Site::default();
        site.values.insert("pw".into(), "mine".into());
        give(&machine, &site, &needs("pw", Need::Required, true)).unwrap();
        assert_eq!(machine.read(ENVIRONMENT).unwrap(), "PW=\"mine\"");
    }

    #[test]
    fn an_image_that_gives_nothing_has_no_folder() {
        let root = tempfile::tempdir().unwrap();
        give(&Machine::at(root.path()), &Site::default(), &SiteNeeds::default()).unwrap();
        assert!(!root.path().join("run").exists());
    }
}
