//! Which RPM packages there are, and which of Debian's files are in them: `catalogue/*.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;

/// One file of the catalogue, or all of them as one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Debian packages that are taken with all that they depend on.
    #[serde(default)]
    pub wanted: Vec<String>,
    /// Debian packages that are left out although others depend on them.
    #[serde(default)]
    pub without: Vec<String>,
    /// Files that no package gets, as globs over paths without the leading slash.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Where files come to lie: prefixes of paths, without the leading slash.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// The RPM packages by name; one of which there are several versions is told apart by what follows an `@`, and each version
    /// must have another payload. A Debian package that none of them names becomes one by itself.
    #[serde(default)]
    pub packages: BTreeMap<String, Entry>,
}

/// One RPM package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The Debian packages whose files it gets, and which give it its version.
    #[serde(default)]
    pub debian: Vec<String>,
    /// Of their files only these, as globs: the package with the most globs chooses first, and the rest is for the one without.
    #[serde(default)]
    pub take: Vec<String>,
    /// Files of its Debian packages that it does not get, as globs.
    #[serde(default)]
    pub drop: Vec<String>,
    /// `[EPOCH:]VERSION-RELEASE`, where it has no Debian package or another version.
    pub version: Option<String>,
    /// Where it is found.
    #[serde(default)]
    pub repository: Repository,
    /// A shell script that is run in the tree of all packages before it is packed.
    pub prepare: Option<String>,
    /// What that makes: files and whole folders, without the leading slash.
    #[serde(default)]
    pub made: Vec<String>,
    /// How its payload is compressed.
    #[serde(default)]
    pub payload: Payload,
    /// Whether rpm derives `Requires` and `Provides` from its files, and Debian's dependencies are added.
    pub automatic: Option<bool>,
    /// Lines of the preamble, such as `Requires(post): coreutils`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Lines of `%files`. Each replaces the usual line of its last word.
    #[serde(default)]
    pub files: Vec<String>,
    /// Folders, even where nothing is in them: path without the leading slash, and mode, octal.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// Symbolic links: path without the leading slash, and target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// Scriptlets and triggers: what stands after the `%`, without `-n NAME`, and the body.
    #[serde(default)]
    pub scripts: BTreeMap<String, String>,
}

/// A repository below the mirror's folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Repository {
    #[default]
    BaseOS,
    AppStream,
    #[serde(rename = "extras")]
    Extras,
    /// Extra Packages for Enterprise Linux, by another vendor.
    #[serde(rename = "EPEL")]
    Epel,
    /// Docker's own, by a third vendor.
    Docker,
    /// Rancher's own, by a fourth.
    Rancher,
}

impl Repository {
    pub const ALL: [Self; 6] = [Self::BaseOS, Self::AppStream, Self::Extras, Self::Epel, Self::Docker, Self::Rancher];

    /// Its folder below the server's, the one that holds `repodata/`.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::BaseOS => "almalinux/9/BaseOS/x86_64/os",
            Self::AppStream => "almalinux/9/AppStream/x86_64/os",
            Self::Extras => "almalinux/9/extras/x86_64/os",
            Self::Epel => "epel/9/Everything/x86_64",
            Self::Docker => "linux/centos/9/x86_64/stable",
            Self::Rancher => "k3s/stable/common/centos/9/noarch",
        }
    }

    /// By whose key it and its packages are signed.
    #[must_use]
    pub fn vendor(self) -> &'static str {
        match self {
            Self::Epel => "EPEL",
            Self::Docker => "Docker",
            Self::Rancher => "Rancher",
            _ => "AlmaLinux",
        }
    }
}

/// How a payload is compressed. EL9's packages are all zstd at its highest level; third parties use the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// By zstd(1).
    #[default]
    Zstd,
    /// By xz(1).
    Xz,
    /// By gzip(1).
    Gzip,
}

impl Payload {
    /// In the words of rpm's `%_binary_payload`; a quick level, for tests.
    #[must_use]
    pub fn macro_value(self) -> &'static str {
        match self {
            Self::Zstd => "w2.zstdio",
            Self::Xz => "w1.xzdio",
            Self::Gzip => "w4.gzdio",
        }
    }
}

impl Catalogue {
    /// All files of the folder as one catalogue, in which `{kernel}` stands for the release `kernel`.
    ///
    /// # Errors
    /// One can't be read, or two name the same RPM package.
    pub fn read(folder: &Path, kernel: &str) -> Result<Self> {
        let mut whole = Self::default();
        let mut paths: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let text = text.replace("{kernel}", kernel);
            let part: Self = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
            whole.wanted.extend(part.wanted);
            whole.without.extend(part.without);
            whole.drop.extend(part.drop);
            whole.rename.extend(part.rename);
            for (name, entry) in part.packages {
                ensure!(!whole.packages.contains_key(&name), "{}: `{name}` a second time", path.display());
                whole.packages.insert(name, entry);
            }
        }
        Ok(whole)
    }

    /// Gives each of these Debian packages that no entry names an entry of its own.
    pub fn complete(&mut self, debian: &[String]) {
        for package in debian {
            if !self.packages.values().any(|entry| entry.debian.contains(package)) {
                let entry = Entry { debian: vec![package.clone()], ..Entry::default() };
                self.packages.insert(package.clone(), entry);
            }
        }
    }

    /// The RPM package that has the bulk of a Debian package.
    #[must_use]
    pub fn bulk_of(&self, debian: &str) -> Option<&str> {
        let names = |entry: &Entry| entry.debian.iter().any(|one| one == debian);
        let all = self.packages.iter().filter(|(_, entry)| names(entry));
        all.min_by_key(|(_, entry)| !entry.take.is_empty()).map(|(name, _)| name.as_str())
    }
}

/// The name of the RPM package with this key.
#[must_use]
pub fn name(key: &str) -> &str {
    key.split('@').next().unwrap_or(key)
}

/// Globs over whole paths, in which `*` matches slashes too.
///
/// # Errors
/// One is no glob.
pub fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern)?);
    }
    Ok(set.build()?)
}
