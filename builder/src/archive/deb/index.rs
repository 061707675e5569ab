//! A Packages index: which packages a component has for an architecture.
//!
//! It has fifty megabytes; so it stays the text that it is, and a table says where each package stands in it.

use std::ops::Range;

use super::deb822;
use crate::archive::package::is_path;
use crate::archive::{Error, Package, Result};

/// The verified text of an index, and its table.
#[derive(Debug)]
pub(super) struct Index {
    pub url: String,
    /// Index into the base's sources.
    pub source: usize,
    pub text: String,
    pub rows: Vec<Row>,
}

/// Where one package stands.
#[derive(Clone, Debug)]
pub(super) struct Row {
    stanza: Range<u32>,
    name: Range<u32>,
    pub provides: bool,
    pub essential: bool,
}

impl Index {
    pub fn parse(url: String, source: usize, text: String) -> Result<Self> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::Malformed { url, reason: "it has more than 4 GiB".to_owned() });
        }
        let mut rows = Vec::new();
        for stanza in deb822::stanzas(&text) {
            match row(&text, stanza) {
                Some(row) => rows.push(row),
                None => {
                    let line = text[..offset(&text, stanza)].matches('\n').count() + 1;
                    let reason = format!("line {line}: the stanza names no package");
                    return Err(Error::Malformed { url, reason });
                }
            }
        }
        Ok(Self { url, source, text, rows })
    }

    pub fn stanza(&self, row: &Row) -> &str {
        &self.text[range(&row.stanza)]
    }

    pub fn name(&self, row: &Row) -> &str {
        &self.text[range(&row.name)]
    }

    /// Reads a package as a whole, and refuses values that could do harm: they become paths and command lines.
    pub fn package(&self, row: &Row) -> Result<Package> {
        let mut package = Package {
            name: self.name(row).to_owned(),
            version: String::new(),
            architecture: String::new(),
            source: self.source,
            path: String::new(),
            size: 0,
            installed_size: 0,
            sha256: String::new(),
            essential: row.essential,
        };
        let malformed = |field: &str, value: &str| Error::Malformed {
            url: self.url.clone(),
            reason: format!("package `{}`: `{field}: {value}` is not as it must be", self.name(row)),
        };
        for (field, value) in deb822::fields(self.stanza(row)) {
            let number = || value.parse::<u64>().map_err(|_| malformed(field, value));
            match field {
                "Version" => value.clone_into(&mut package.version),
                "Architecture" => value.clone_into(&mut package.architecture),
                "Filename" => value.clone_into(&mut package.path),
                "Size" => package.size = number()?,
                "Installed-Size" => package.installed_size = number()?,
                "SHA256" => value.clone_into(&mut package.sha256),
                _ => {}
            }
        }
        let Package { name, version, architecture, path, sha256, .. } = &package;
        for (field, value, fits) in [
            ("Package", name, is_name(name)),
            ("Version", version, is_version(version)),
            ("Architecture", architecture, is_name(architecture)),
            ("Filename", path, is_path(path)),
            ("SHA256", sha256, sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit())),
        ] {
            if !fits {
                return Err(malformed(field, value));
            }
        }
        package.sha256.make_ascii_lowercase();
        Ok(package)
    }
}

fn row(text: &str, stanza: &str) -> Option<Row> {
    let start = offset(text, stanza);
    let mut row = Row { stanza: short(start..start + stanza.len()), name: 0..0, provides: false, essential: false };
    for line in stanza.split('\n') {
        match line.as_bytes().first() {
            Some(b'P') => {}
            Some(b'E') => {
                row.essential |= line.strip_prefix("Essential:").is_some_and(|value| value.trim() == "yes");
                continue;
            }
            _ => continue,
        }
        if let Some(name) = line.strip_prefix("Package:") {
            let name = name.trim();
            let start = offset(text, name);
            row.name = short(start..start + name.len());
        }
        row.provides |= line.starts_with("Provides:");
    }
    (!row.name.is_empty()).then_some(row)
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// The text has fewer than 4 GiB.
#[allow(clippy::cast_possible_truncation)]
fn short(range: Range<usize>) -> Range<u32> {
    range.start as u32..range.end as u32
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// A package's name (Debian Policy §5.6.7), which also is no option on a command line.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Debian Policy §5.6.12.
fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";

    fn text() -> String {
        format!(
            "Package: bash\nEssential: yes\nVersion: 5.2.37-2+b5\nArchitecture: amd64\nInstalled-Size: 7177\n\
             Filename: pool/main/b/bash/bash_5.2.37-2+b5_amd64.deb\nSize: 1500000\nSHA256: {DIGEST}\n\n\
             Package: mawk\nVersion: 1.3\nArchitecture: all\nProvides: awk\nFilename: pool/m.deb\nSize: 1\nSHA256: {DIGEST}\n"
        )
    }

    fn index(text: &str) -> Result<Index> {
        Index::parse("http://m.example/Packages".to_owned(), 1, text.to_owned())
    }

    #[test]
    fn packages_are_read_from_their_stanzas() {
        let index = index(&text()).unwrap();
        assert_eq!(index.rows.len(), 2);
        let bash = index.package(&index.rows[0]).unwrap();
        assert_eq!((bash.name.as_str(), bash.version.as_str(), bash.essential), ("bash", "5.2.37-2+b5", true));
        assert_eq!((bash.size, bash.installed_size, bash.source), (1_500_000, 7177, 1));
        assert_eq!(bash.sha256, DIGEST.to_ascii_lowercase());
        assert!(index.rows[1].provides && !index.rows[1].essential && !index.rows[0].provides);
        assert!(index.stanza(&index.rows[1]).starts_with("Package: mawk\n"));
    }

    #[test]
    fn values_that_could_do_harm_are_refused() {
        for (from, to) in [
            ("Filename: pool/", "Filename: /pool/"),
            ("Filename: pool/", "Filename: ../pool/"),
            ("Filename: pool/main", "Filename: pool//main"),
            ("Version: 5", "Version: -o5"),
            ("Package: bash", "Package: -bash"),
            ("Package: bash", "Package: ba sh"),
            ("Size: 1500000", "Size: many"),
            ("SHA256: E3", "SHA256: E"),
            ("SHA256: ", "SHA1: "),
        ] {
            let index = index(&text().replacen(from, to, 1)).unwrap();
            assert!(index.package(&index.rows[0]).is_err(), "{to}");
        }
    }

    #[test]
    fn a_stanza_without_a_name_is_told_with_its_line() {
        let error = index(&text().replace("Package: mawk", "Packet: mawk")).unwrap_err().to_string();
        assert_eq!(error, "reading http://m.example/Packages: line 10: the stanza names no package");
    }
}
