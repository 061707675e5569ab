//! The machine's own package sources: those of its base, so that it can be kept up to date.

use std::path::{Path, PathBuf};

use crate::recipe::base::Base;
use crate::rootfs::Error;
use crate::rootfs::tree::{Owner, Tree};

/// Writes `/etc/apt/sources.list.d/DISTRIBUTION.sources` (sources.list (5), deb822 style).
pub(super) fn write(base: &Base, tree: &Tree) -> Result<(), Error> {
    let path = PathBuf::from("etc/apt/sources.list.d").join(format!("{}.sources", base.os.id));
    let keyring = keyring(base, tree)?;
    let text = text(base, &keyring);
    tree.write(&path, text.as_bytes(), 0o644, Owner::ROOT).map_err(Error::io("writing", &path))
}

/// The distribution's own keyring as its package installs it.
fn keyring(base: &Base, tree: &Tree) -> Result<String, Error> {
    for ending in ["pgp", "gpg"] {
        let path = format!("/usr/share/keyrings/{}-archive-keyring.{ending}", base.os.id);
        if tree.read(Path::new(&path)).map_err(Error::io("reading", Path::new(&path)))?.is_some() {
            return Ok(path);
        }
    }
    Err(Error::NoKeyring(base.os.id.clone()))
}

fn text(base: &Base, keyring: &str) -> String {
    let paragraph = |source: &crate::recipe::base::Source| {
        let mirror = source.mirrors.first().map_or("", String::as_str);
        let (suites, components) = (source.suites.join(" "), source.components.join(" "));
        format!("Types: deb\nURIs: {mirror}\nSuites: {suites}\nComponents: {components}\nSigned-By: {keyring}\n")
    };
    let distributions = base.sources.iter().filter(|source| source.installed_as.is_none());
    distributions.map(paragraph).collect::<Vec<_>>().join("\n")
}
