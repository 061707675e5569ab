//! `primary.xml`: the packages of a repository, what each provides and needs.

use std::io::BufRead;

use super::dependency::{Bound, Dependency};
use super::xml::{Document, Element, Node};
use crate::archive::package::{Package, is_path};
use crate::store::is_digest;

/// A package as the index describes it. Nothing of it was judged yet; [`Row::package`] does.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub name: String,
    /// `[epoch:]version-release`, without an epoch of 0.
    pub version: String,
    pub architecture: String,
    pub provides: Vec<Dependency>,
    /// What it needs; conditions by their text, as the name.
    pub requires: Vec<Dependency>,
    /// Those of its files that the index lists: programs and what lies in `/etc`.
    pub files: Vec<String>,
    /// Which of the archive's repositories it belongs to.
    pub repository: usize,
    /// SHA-256 of its file, by which the other indices name it too.
    pub sha256: String,
    digest: String,
    location: String,
    elsewhere: bool,
    size: String,
    installed: String,
}

impl Row {
    /// Name, epoch, version, release and architecture, as modules list them: `bash-0:5.1.8-9.el9.x86_64`.
    pub fn nevra(&self) -> String {
        let epoch = if self.version.contains(':') { "" } else { "0:" };
        format!("{}-{epoch}{}.{}", self.name, self.version, self.architecture)
    }

    /// The package, below the mirrors of `source` in the folder `suite`. Values that could do harm are refused: they become
    /// paths and command lines.
    pub fn package(&self, source: usize, suite: &str) -> Result<Package, String> {
        let number = |value: &str| value.parse::<u64>().ok();
        let (size, installed) = (number(&self.size), number(&self.installed));
        for (what, value, fits) in [
            ("name", &self.name, is_name(&self.name)),
            ("version", &self.version, is_version(&self.version)),
            ("arch", &self.architecture, is_name(&self.architecture)),
            ("location", &self.location, is_path(&self.location) && !self.elsewhere),
            ("type of checksum", &self.digest, self.digest == "sha256"),
            ("checksum", &self.sha256, is_digest(&self.sha256)),
            ("size", &self.size, size.is_some()),
            ("installed size", &self.installed, installed.is_some()),
        ] {
            if !fits {
                return Err(format!("package `{}`: its {what} `{value}` is not as it must be", self.name));
            }
        }
        Ok(Package {
            name: self.name.clone(),
            version: self.version.clone(),
            architecture: self.architecture.clone(),
            source,
            path: format!("{suite}/{}", self.location),
            size: size.unwrap_or_default(),
            installed_size: installed.unwrap_or_default().div_ceil(1024),
            sha256: self.sha256.clone(),
            essential: false,
        })
    }
}

/// A package's name as rpmbuild takes it, which also is no option on a command line and no pattern.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.contains('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._~^:".contains(&byte))
}

/// Reads the packages, which are those of the archive's repository of this number.
pub(super) fn parse(reader: impl BufRead, repository: usize) -> Result<Vec<Row>, String> {
    let mut document = Document::new(reader);
    let mut rows = Vec::new();
    let mut parsing = None::<Parsing>;
    while let Some(node) = document.next()? {
        match (node, &mut parsing) {
            (Node::Open(element), None) if element.name == "package" => {
                parsing =
                    Some(Parsing { row: Row { repository, ..Row::default() }, list: List::Other, text: String::new() });
            }
            (Node::Open(element), Some(parsing)) => parsing.open(&element),
            (Node::Text(more), Some(parsing)) => parsing.text += &more,
            (Node::Close(name), Some(_)) if name == "package" => {
                rows.extend(parsing.take().map(|parsing| parsing.row).filter(|row| row.architecture != "src"));
            }
            (Node::Close(name), Some(parsing)) => parsing.close(&name),
            _ => {}
        }
    }
    Ok(rows)
}

/// The list in which an `entry` stands.
#[derive(Clone, Copy)]
enum List {
    Provides,
    Requires,
    Other,
}

struct Parsing {
    row: Row,
    list: List,
    text: String,
}

impl Parsing {
    fn open(&mut self, element: &Element) {
        self.text.clear();
        let value = |name: &str| element.get(name).unwrap_or_default().to_owned();
        match element.name.as_str() {
            "version" => self.row.version = version(element).unwrap_or_default(),
            "checksum" => self.row.digest = value("type"),
            "size" => (self.row.size, self.row.installed) = (value("package"), value("installed")),
            "location" => {
                self.row.location = value("href");
                self.row.elsewhere = element.get("xml:base").is_some();
            }
            "provides" => self.list = List::Provides,
            "requires" => self.list = List::Requires,
            "entry" => {
                let bound = element.get("flags").and_then(Bound::parse).zip(version(element));
                let dependency = Dependency { name: value("name"), bound };
                match self.list {
                    List::Provides => self.row.provides.push(dependency),
                    List::Requires if !self.row.requires.contains(&dependency) => self.row.requires.push(dependency),
                    List::Requires | List::Other => {}
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "name" => self.row.name = std::mem::take(&mut self.text),
            "arch" => self.row.architecture = std::mem::take(&mut self.text),
            "checksum" => self.row.sha256 = std::mem::take(&mut self.text).trim().to_ascii_lowercase(),
            "file" => self.row.files.push(std::mem::take(&mut self.text)),
            "provides" | "requires" => self.list = List::Other,
            _ => {}
        }
    }
}

/// `[epoch:]version[-release]`; none where there is no version.
fn version(element: &Element) -> Option<String> {
    let epoch = element.get("epoch").filter(|epoch| !matches!(*epoch, "" | "0"));
    let version = element.get("ver")?;
    let text = epoch.map_or_else(String::new, |epoch| format!("{epoch}:")) + version;
    Some(element.get("rel").map_or_else(|| text.clone(), |release| format!("{text}-{release}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn text() -> String {
        format!(
            "<metadata xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"2\">\
             <package type=\"rpm\"><name>dnf</name><arch>noarch</arch><version epoch=\"1\" ver=\"4.14.0\" rel=\"9.el9\"/>\
             <checksum type=\"sha256\" pkgid=\"YES\">{DIGEST}</checksum><summary>Package &amp; manager</summary>\
             <size package=\"100\" installed=\"2049\" archive=\"300\"/><location href=\"Packages/dnf.rpm\"/>\
             <format><rpm:license>GPL</rpm:license><rpm:provides><rpm:entry name=\"dnf\" flags=\"EQ\" epoch=\"1\" ver=\"4.14.0\" rel=\"9.el9\"/>\
             </rpm:provides><rpm:requires><rpm:entry name=\"python3-dnf\" flags=\"EQ\" epoch=\"0\" ver=\"4.14.0\"/>\
             <rpm:entry name=\"/bin/sh\"/><rpm:entry name=\"/bin/sh\" pre=\"1\"/><rpm:entry name=\"(a if b)\"/></rpm:requires>\
             <rpm:recommends><rpm:entry name=\"x\"/></rpm:recommends><file>/usr/bin/d&amp;f</file></format></package>\
             <package type=\"rpm\"><name>s</name><arch>src</arch></package></metadata>"
        )
    }

    fn row(text: &str) -> Row {
        parse(text.as_bytes(), 3).unwrap().remove(0)
    }

    #[test]
    fn packages_are_read_with_what_they_provide_and_need() {
        let rows = parse(text().as_bytes(), 3).unwrap();
        assert_eq!(rows.len(), 1, "no source packages");
        let row = &rows[0];
        let names: Vec<String> = row.requires.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["python3-dnf = 4.14.0", "/bin/sh", "(a if b)"]);
        assert_eq!(row.provides[0].to_string(), "dnf = 1:4.14.0-9.el9");
        assert_eq!((row.files.as_slice(), row.repository), (&["/usr/bin/d&f".to_owned()][..], 3));
        assert_eq!(row.nevra(), "dnf-1:4.14.0-9.el9.noarch");
        let package = row.package(1, "BaseOS/os").unwrap();
        assert_eq!((package.version.as_str(), package.path.as_str()), ("1:4.14.0-9.el9", "BaseOS/os/Packages/dnf.rpm"));
        assert_eq!((package.size, package.installed_size, package.source), (100, 3, 1));
        assert_eq!(package.sha256, DIGEST);
    }

    #[test]
    fn values_that_could_do_harm_are_refused() {
        for (from, to, told) in [
            ("href=\"Packages/", "href=\"../", "its location"),
            ("href=\"Packages/", "href=\"/", "its location"),
            ("href=\"Packages/dnf.rpm\"", "href=\"http://x.example/dnf.rpm\"", "its location"),
            ("href=", "xml:base=\"http://x.example\" href=", "its location"),
            ("<name>dnf", "<name>-dnf", "its name"),
            ("<name>dnf", "<name>d*", "its name"),
            ("<name>dnf</name>", "", "its name"),
            ("ver=\"4.14.0\" rel=\"9.el9\"/>", "ver=\"4 14\" rel=\"9.el9\"/>", "its version"),
            ("package=\"100\"", "package=\"-1\"", "its size"),
            ("installed=\"2049\"", "", "its installed size"),
            ("checksum type=\"sha256\"", "checksum type=\"sha\"", "its type of checksum `sha`"),
            (">e3b", ">b", "its checksum"),
        ] {
            let error = row(&text().replacen(from, to, 1)).package(0, "x").unwrap_err();
            assert!(error.contains(told) && error.contains("is not as it must be"), "{to}: {error}");
        }
    }
}
