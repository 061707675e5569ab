//! What a package says about itself, as far as the order of installing needs it (Debian Policy §5, §7).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use super::package::{self, Error, Member};

/// Relations by name: all of the outer list must hold, each by one of its alternatives. Versions were judged by apt.
pub(super) type Relations = Vec<Vec<String>>;

/// The fields of `control` that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) package: String,
    pub(super) essential: bool,
    pub(super) pre_depends: Relations,
    pub(super) depends: Relations,
    pub(super) provides: Relations,
}

/// Reads the control file of `deb`.
pub(super) fn read(deb: &Path) -> Result<Control, Error> {
    let format = |reason: String| Error::Format { deb: deb.to_owned(), reason };
    package::with_member(deb, Member::Control, |tar| {
        let mut archive = tar::Archive::new(tar);
        for entry in archive.entries().map_err(|error| format(error.to_string()))? {
            let mut entry = entry.map_err(|error| format(error.to_string()))?;
            if entry.path().is_ok_and(|path| path.file_name() == Some("control".as_ref())) {
                let mut text = String::new();
                entry.read_to_string(&mut text).map_err(|error| format(format!("its control file: {error}")))?;
                return parse(&text).ok_or_else(|| format("its control file has no `Package`".to_owned()));
            }
        }
        Err(format("it has no control file".to_owned()))
    })
}

fn parse(text: &str) -> Option<Control> {
    let fields = fields(text);
    let relations = |name: &str| fields.get(name).map(|value| relations(value)).unwrap_or_default();
    Some(Control {
        package: fields.get("package")?.clone(),
        essential: fields.get("essential").is_some_and(|value| value == "yes"),
        pre_depends: relations("pre-depends"),
        depends: relations("depends"),
        provides: relations("provides"),
    })
}

/// The fields of one deb822 paragraph, by lower-case name, continuation lines joined by a space.
pub(super) fn fields(paragraph: &str) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = None;
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|name| fields.get_mut(name)) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            let name = name.to_ascii_lowercase();
            fields.insert(name.clone(), value.trim().to_owned());
            last = Some(name);
        }
    }
    fields
}

fn relations(value: &str) -> Relations {
    let name = |text: &str| {
        let end = text.find(|c: char| c.is_whitespace() || "(:[<".contains(c)).unwrap_or(text.len());
        text[..end].to_owned()
    };
    let clause =
        |clause: &str| clause.split('|').map(|text| name(text.trim())).filter(|name| !name.is_empty()).collect();
    value.split(',').map(clause).filter(|names: &Vec<String>| !names.is_empty()).collect()
}

/// The packages that are to be installed together, and who stands for which name.
pub(super) struct Set<'a> {
    controls: &'a [Control],
    named: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Set<'a> {
    pub(super) fn new(controls: &'a [Control]) -> Self {
        let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, control) in controls.iter().enumerate() {
            named.entry(&control.package).or_default().push(index);
        }
        for (index, control) in controls.iter().enumerate() {
            for name in control.provides.iter().flatten() {
                named.entry(name).or_default().push(index);
            }
        }
        Self { controls, named }
    }

    /// The packages `start` with all that they depend on in turn, within the set.
    pub(super) fn closure(&self, start: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = start.into_iter().collect();
        while let Some(index) = open.pop() {
            if found.insert(index) {
                let control = &self.controls[index];
                open.extend(self.satisfying(&control.pre_depends));
                open.extend(self.satisfying(&control.depends));
            }
        }
        found
    }

    /// The packages of the set that satisfy `relations`: of each, the first alternative that the set has.
    pub(super) fn satisfying(&self, relations: &Relations) -> Vec<usize> {
        let first = |names: &Vec<String>| names.iter().find_map(|name| self.named.get(name.as_str()));
        relations.iter().filter_map(first).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(text: &str) -> Control {
        parse(text).unwrap()
    }

    #[test]
    fn reads_relations_by_name_over_continuation_lines() {
        let read =
            control("Package: a\nEssential: yes\nDepends: b (>= 1:2), c:any | d [amd64],\n e\nProvides: x (= 1)\n");
        assert!(read.essential);
        assert_eq!(read.depends, [vec!["b".to_owned()], vec!["c".to_owned(), "d".to_owned()], vec!["e".to_owned()]]);
        assert_eq!(read.provides, [["x"]]);
    }

    #[test]
    fn the_closure_goes_through_provided_names_and_stays_in_the_set() {
        let controls = [
            control("Package: shell\nPre-Depends: libc"),
            control("Package: libc\nDepends: missing | awk | other, not-there"),
            control("Package: mawk\nProvides: awk"),
            control("Package: other\nDepends: shell"),
        ];
        let set = Set::new(&controls);
        assert_eq!(set.closure([0]), BTreeSet::from([0, 1, 2]));
    }
}
