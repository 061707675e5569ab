//! Rules about a base.

use super::recipe::{BASE_OVERLAY, names};
use super::{LABEL, is_label, packages, repeated};
use crate::recipe::architecture::Named;
use crate::recipe::base::{Base, Family, SNAPSHOT_TIME, Source};
use crate::recipe::keyring::{Keyring, Published};
use crate::recipe::schema::Target;
use firmware_checks::architecture::Architecture;
use firmware_checks::document::KeyPath;
use firmware_checks::document::{Problem, listed};

/// Everything wrong with `base`, whose file is called `stem`.toml, that its own text decides.
#[must_use]
pub fn problems(base: &Base, stem: &str) -> Vec<Problem> {
    let root = KeyPath::root();
    let mut found = Vec::new();
    if !base.name.split('.').all(is_label) {
        found.push(Problem::value(root.key("name"), format!("`{}` can't be a base's name", base.name)).label(LABEL));
    } else if base.name != stem {
        let what = format!("base `{}` lies in a file of another name", base.name);
        let problem = Problem::value(root.key("name"), what);
        found.push(problem.label(format!("expected `{stem}`")).hint("`--base` and recipes find a base by its file"));
    }
    found.extend(sources(&root.key("sources"), base.family, &base.sources));
    found.extend(vaults(base));
    for (index, source) in base.sources.iter().enumerate() {
        for (number, name) in
            source.platforms.iter().enumerate().filter(|(_, name)| !base.platforms.contains_key(*name))
        {
            let at = root.key("sources").item(index).key("platforms").item(number);
            let problem = Problem::value(at, format!("source `{}`: there is no platform `{name}`", source.archive));
            found.push(problem.label("expected one of those below `[platforms]`"));
        }
    }
    found.extend(cpu_level(base));
    found.extend(installed(base));
    found.extend(lists(base));
    found.extend(overlays(base));
    found.extend(boot(base));
    if base.ext4.features.is_empty() {
        let problem = Problem::value(root.key("ext4").key("features"), "no feature is named");
        found.push(problem.hint("name every feature that this base's own mke2fs.conf gives a file system"));
    }
    let inode = base.ext4.inode_size;
    if !inode.is_power_of_two() || !(128..=4096).contains(&inode) {
        let problem = Problem::value(root.key("ext4").key("inode_size"), format!("an inode can't have {inode} bytes"));
        found.push(problem.label("expected a power of two from 128 to 4096, such as 256"));
    }
    found
}

fn cpu_level(base: &Base) -> Option<Problem> {
    let level = base.cpu_level.filter(|_| base.architecture.architecture() != Architecture::X86_64)?;
    let what = format!("a processor of `{}` has no level `{level}`", base.architecture);
    let problem = Problem::value(KeyPath::root().key("cpu_level"), what);
    Some(problem.label(format!(
        "expected only where `architecture` is {}",
        listed([Named::Amd64, Named::X86_64].map(Named::as_str), "or")
    )))
}

/// What the machine is to know of the sources.
fn installed(base: &Base) -> Vec<Problem> {
    let mut found = Vec::new();
    let at = |index: usize, key: &str| KeyPath::root().key("sources").item(index).key(key);
    for (index, source) in base.sources.iter().enumerate() {
        let archive = &source.archive;
        match &source.installed_as {
            Some(name) if !name.split('.').all(is_label) => {
                let what = format!("source `{archive}`: `{name}` can't be a file's name");
                found.push(Problem::value(at(index, "installed_as"), what).label(LABEL));
            }
            Some(name) if base.family == Family::Deb && *name == base.os.id => {
                let what = format!("source `{archive}`: `{name}` is the distribution's own file");
                found.push(Problem::value(at(index, "installed_as"), what).label("expected another name"));
            }
            Some(name) if base.sources[..index].iter().any(|other| other.installed_as.as_ref() == Some(name)) => {
                let what = format!("source `{archive}`: another source is installed as `{name}`, too");
                found.push(Problem::value(at(index, "installed_as"), what).label("expected another name"));
            }
            None if base.family == Family::Deb && source.keyring.is_some() => {
                let what = format!("source `{archive}`: the machine would not believe it");
                let problem = Problem::value(at(index, "keyring"), what);
                found.push(
                    problem
                        .label("not the distribution's")
                        .hint("add `installed_as`, a name for its file on the machine"),
                );
            }
            _ => {}
        }
    }
    found
}

fn sources(at: &KeyPath, family: Family, sources: &[Source]) -> Vec<Problem> {
    let mut found = Vec::new();
    if sources.is_empty() {
        found.push(
            Problem::value(at.clone(), "no source is named").hint("add `[[sources]]` with the archive's mirrors"),
        );
    }
    for (index, source) in sources.iter().enumerate() {
        let at = at.item(index);
        let lists = [("mirrors", &source.mirrors), ("suites", &source.suites), ("components", &source.components)];
        let needed = |key: &str| key != "components" || family == Family::Deb;
        for (key, _) in lists.iter().filter(|(key, list)| list.is_empty() && needed(key)) {
            let what = format!("source `{}`: `{key}` is empty", source.archive);
            found.push(Problem::value(at.key(key), what).label("expected at least one"));
        }
        for (key, list) in lists {
            for (index, first) in repeated(list) {
                let what = format!("source `{}`: `{}` is listed twice", source.archive, list[index]);
                let label = format!("the same as number {} of the list", first + 1);
                found.push(Problem::value(at.key(key).item(index), what).label(label));
            }
        }
        if family == Family::Rpm && !source.components.is_empty() {
            let what = format!("source `{}`: repositories of RPMs have no components", source.archive);
            found.push(
                Problem::value(at.key("components"), what).label("expected none: each of `suites` is a repository"),
            );
        }
        for (index, mirror) in source.mirrors.iter().enumerate() {
            found.extend(mirror_url(at.key("mirrors").item(index), source, mirror));
        }
        if let Some(Keyring::Published(published)) = &source.keyring {
            found.extend(published_keyring(&at.key("keyring"), source, published));
        }
        found.extend(source.snapshot.as_ref().and_then(|url| snapshot_url(at.key("snapshot"), source, url)));
    }
    found
}

/// A mirror is a URL that the downloader speaks, and ends with the archive's name, by which `--mirror` replaces it.
fn mirror_url(at: KeyPath, source: &Source, mirror: &str) -> Option<Problem> {
    let what = |what: &str| format!("source `{}`: `{mirror}` {what}", source.archive);
    if !is_url(mirror) {
        return Some(
            Problem::value(at, what("is not the URL of a mirror")).label("expected `http://…` or `https://…`"),
        );
    }
    let ends = mirror.trim_end_matches('/').ends_with(&format!("/{}", source.archive));
    (!ends).then(|| {
        let problem = Problem::value(at, what("does not end with the archive's name"));
        problem.label(format!("expected `…/{}`", source.archive))
    })
}

/// A certificate that can be fetched, and be told from any other.
fn published_keyring(at: &KeyPath, source: &Source, published: &Published) -> Option<Problem> {
    let Published { from, fingerprint } = published;
    if !is_url(from) {
        let what = format!("source `{}`: `{from}` is not the URL of a certificate", source.archive);
        return Some(Problem::value(at.key("from"), what).label("expected `http://…` or `https://…`"));
    }
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let good = [40, 64].contains(&fingerprint.len()) && fingerprint.as_bytes().iter().all(is_digit);
    let what = format!("source `{}`: `{fingerprint}` is not the fingerprint of a certificate", source.archive);
    (!good).then(|| {
        Problem::value(at.key("fingerprint"), what)
            .label("expected 40 or 64 upper-case hexadecimal digits, without spaces")
    })
}

/// A URL that the downloader speaks, with the place of the time.
fn snapshot_url(at: KeyPath, source: &Source, url: &str) -> Option<Problem> {
    let what = format!("source `{}`: `{url}` is not the URL of a snapshot service", source.archive);
    let label = format!("expected `http://…` or `https://…` with `{SNAPSHOT_TIME}` in it");
    (!is_url(url) || !url.contains(SNAPSHOT_TIME)).then(|| Problem::value(at, what).label(label))
}

/// A vault is told apart by the version of a package that every lock has.
fn vaults(base: &Base) -> Vec<Problem> {
    let wrong = |(index, source): (usize, &Source)| {
        let at = KeyPath::root().key("sources").item(index).key("vault");
        let (archive, url) = (&source.archive, source.vault.as_ref()?);
        if base.family != Family::Rpm {
            let what = format!("source `{archive}`: packages in dpkg's format lie in no vault");
            return Some(Problem::value(at, what).label("expected `snapshot`, with `{time}` in it"));
        }
        let package = source.vault_package().filter(|package| is_url(url) && !package.is_empty());
        let Some(package) = package else {
            let what = format!("source `{archive}`: `{url}` is not the URL of a vault");
            let label = format!("expected `http://…` or `https://…` with such as `{{{}-release}}` in it", base.os.id);
            return Some(Problem::value(at, what).label(label));
        };
        (!base.packages.iter().any(|own| own == package)).then(|| {
            let what = format!("source `{archive}`: `{package}`, whose version the vault takes, is not in every lock");
            Problem::value(at, what).label("expected one of `packages`")
        })
    };
    base.sources.iter().enumerate().filter_map(wrong).collect()
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.starts_with('/') && rest.contains('/') && !rest.contains(char::is_whitespace))
}

fn lists(base: &Base) -> Vec<Problem> {
    let root = KeyPath::root();
    let mut found = Vec::new();
    for (key, list) in [("packages", &base.packages), ("tools", &base.tools)] {
        found.extend(packages(&root.key(key), list, base.family));
        if list.is_empty() {
            found.push(
                Problem::value(root.key(key), format!("`{key}` is empty")).label("expected at least one package"),
            );
        }
    }
    for (target, list) in &base.kernel {
        let name = match target {
            Target::Metal => "metal",
            Target::Cloud => "cloud",
            Target::Both => "both",
        };
        found.extend(packages(&root.key("kernel").key(name), list, base.family));
    }
    if ![Target::Metal, Target::Both].iter().any(|target| base.kernel.contains_key(target)) {
        let problem = Problem::value(root.key("kernel"), "no kernel for servers");
        found.push(problem.hint("add `metal = [\"…\"]`, the generic kernel with firmware and microcode"));
    }
    for (platform, list) in &base.platforms {
        found.extend(packages(&root.key("platforms").key(platform), list, base.family));
    }
    found
}

fn overlays(base: &Base) -> Vec<Problem> {
    let at = KeyPath::root().key("overlays");
    let mut found = Vec::new();
    for (after, list) in &base.overlays {
        if after != BASE_OVERLAY && !base.platforms.contains_key(after) {
            let what = format!("no overlay `{after}` is laid, so nothing is laid after it");
            let platforms = base.platforms.keys().map(String::as_str);
            let known = listed(std::iter::once(BASE_OVERLAY).chain(platforms), "or");
            found.push(Problem::key(at.key(after), what).label(format!("expected {known}")));
        }
        found.extend(names(&at.key(after), list, "overlay"));
    }
    found
}

fn boot(base: &Base) -> Vec<Problem> {
    let at = KeyPath::root().key("boot");
    let boot = &base.boot;
    let paths = [("shim", &boot.shim), ("mok_manager", &boot.mok_manager), ("grub", &boot.grub)];
    let paths = paths.into_iter().chain(boot.bios_modules.as_ref().map(|path| ("bios_modules", path)));
    let relative = paths.filter(|(_, path)| !path.starts_with('/')).map(|(key, path)| {
        Problem::value(at.key(key), format!("`{path}` is not an absolute path")).label("expected such as `/usr/lib/…`")
    });
    let vendor = boot.vendor.is_empty() || boot.vendor.contains('/');
    let vendor = vendor.then(|| {
        let problem = Problem::value(at.key("vendor"), format!("`{}` is not a folder of `EFI/`", boot.vendor));
        problem.label("expected one name, such as `debian`")
    });
    let bios = boot.bios_modules.is_some() && !base.architecture.architecture().has_bios();
    let bios = bios.then(|| {
        let what = format!("no machine with `{}` starts by a PC's BIOS", base.architecture);
        Problem::key(at.key("bios_modules"), what).label("expected only for 64-bit PCs")
    });
    relative.chain(vendor).chain(bios).collect()
}
