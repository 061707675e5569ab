//! A spec file, with a subpackage for each RPM package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::catalogue::{self, Catalogue, Entry, Payload};
use super::debian::Debian;
use super::regroup::Content;

/// Folders that only the package `filesystem` owns.
const SHARED: &str = "filesystem";

/// Everything that a spec is made of.
pub struct Parts<'a> {
    pub catalogue: &'a Catalogue,
    pub debian: &'a BTreeMap<String, Debian>,
    pub contents: &'a BTreeMap<String, Content>,
}

/// `[EPOCH:]VERSION-RELEASE` of EL for Debian's: where Debian has no revision, it is 1.
#[must_use]
pub fn version(debian: &str) -> String {
    let (epoch, rest) = debian.split_once(':').map_or((None, debian), |(epoch, rest)| (Some(epoch), rest));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "1"));
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    format!("{epoch}{}-{revision}.el9", upstream.replace('-', "."))
}

impl Parts<'_> {
    /// The spec of all packages with this payload, whose files lie below `tree` and come to lie in rpmbuild's own folder.
    #[must_use]
    pub fn spec(&self, payload: Payload, tree: &Path) -> String {
        let mut spec = format!(
            "Name: debian-as-el9-{}\nVersion: 9\nRelease: 1.el9\nSummary: Debian's files in EL9's packages\nLicense: various\n\
             URL: https://www.debian.org/\nVendor: Firstlight's tests\n\
             %description\n%{{summary}}.\n\
             %install\nrmdir %{{buildroot}} 2>/dev/null || :\nmv {} %{{buildroot}}\n",
            format!("{payload:?}").to_lowercase(),
            tree.display()
        );
        for (name, entry) in self.catalogue.packages.iter().filter(|(_, entry)| entry.payload == payload) {
            self.package(&mut spec, name, entry).expect("writing into memory");
        }
        spec
    }

    fn package(&self, spec: &mut String, key: &str, entry: &Entry) -> std::fmt::Result {
        let (name, content) = (catalogue::name(key), &self.contents[key]);
        let made_of: Vec<&Debian> = entry.debian.iter().filter_map(|debian| self.debian.get(debian)).collect();
        let version = entry.version.clone().or_else(|| made_of.first().map(|debian| version(&debian.version)));
        let version = version.unwrap_or_else(|| "9-1.el9".to_owned());
        let (epoch, rest) =
            version.split_once(':').map_or((None, version.as_str()), |(epoch, rest)| (Some(epoch), rest));
        let (number, release) = rest.rsplit_once('-').unwrap_or((rest, "1.el9"));
        writeln!(
            spec,
            "\n%package -n {name}\nSummary: {name} of Debian 13, as in EL9\nVersion: {number}\nRelease: {release}"
        )?;
        if let Some(epoch) = epoch {
            writeln!(spec, "Epoch: {epoch}")?;
        }
        if !content.elf && !name.starts_with("kernel") {
            writeln!(spec, "BuildArch: noarch")?;
        }
        if entry.automatic == Some(false) {
            writeln!(spec, "AutoReqProv: no")?;
        } else {
            for needed in self.requires(key, &made_of) {
                writeln!(spec, "Requires: {needed}")?;
            }
        }
        for tag in &entry.tags {
            writeln!(spec, "{}", tag.replace("{evr}", &version))?;
        }
        writeln!(spec, "%description -n {name}\n%{{summary}}.")?;
        for (kind, body) in &entry.scripts {
            let (section, options) = kind.split_once(' ').map_or((kind.as_str(), ""), |(one, rest)| (one, rest));
            writeln!(spec, "%{section} -n {name} {options}\n{}\n", body.trim_end())?;
        }
        self.files(spec, key, entry)
    }

    /// The packages that Debian's maintainers name and rpm's own generators would not find: not those whose library is linked.
    fn requires(&self, name: &str, made_of: &[&Debian]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for alternatives in made_of.iter().flat_map(|debian| &debian.depends) {
            let there = alternatives.iter().find_map(|one| {
                let provides = |debian: &&Debian| debian.provides.contains(one);
                self.debian.get(one).or_else(|| self.debian.values().find(provides))
            });
            let Some(rpm) = there.and_then(|debian| self.catalogue.bulk_of(&debian.name)) else { continue };
            if rpm != name && !self.contents[rpm].library {
                found.insert(rpm.to_owned());
            }
        }
        found
    }

    fn files(&self, spec: &mut String, key: &str, entry: &Entry) -> std::fmt::Result {
        let (name, content) = (catalogue::name(key), &self.contents[key]);
        writeln!(spec, "%files -n {name}\n%defattr(-,root,root,-)")?;
        let own = |line: &str| line.rsplit(' ').next().unwrap_or_default().trim_start_matches('/').to_owned();
        let given: BTreeSet<String> = entry.files.iter().map(|line| own(line)).collect();
        for line in &entry.files {
            writeln!(spec, "{line}")?;
        }
        let shared = (name != SHARED).then(|| &self.contents[SHARED].folders);
        for path in content.paths.iter().filter(|path| !given.contains(&path.to_string_lossy().into_owned())) {
            let folder = content.folders.contains(path);
            if folder && shared.is_some_and(|shared| shared.contains(path)) {
                continue;
            }
            let kind = match folder {
                true => "%dir ",
                false if path.starts_with("etc") => "%config(noreplace) ",
                false => "",
            };
            // A name with a glob's characters matches itself.
            writeln!(spec, "{kind}\"/{}\"", path.to_string_lossy().replace('%', "%%"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_version_of_debian_becomes_one_of_el() {
        assert_eq!(super::version("1:10.0p1-7+deb13u4"), "1:10.0p1-7+deb13u4.el9");
        assert_eq!(super::version("2.20250213"), "2.20250213-1.el9");
        assert_eq!(super::version("1:4.16.0-2+really2.41.5-0+deb13u1"), "1:4.16.0.2+really2.41.5-0+deb13u1.el9");
    }
}
