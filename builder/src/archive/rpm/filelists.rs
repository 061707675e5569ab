//! `filelists.xml`: the files of each package, read only for those that somebody needs by their path.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use super::xml::{Document, Node};

/// For each of the wanted paths that packages have: their digests (`pkgid`).
pub(super) fn owners(reader: impl BufRead, wanted: &HashSet<&str>) -> Result<HashMap<String, Vec<String>>, String> {
    let mut document = Document::new(reader);
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    let (mut package, mut text) = (String::new(), String::new());
    while let Some(node) = document.next()? {
        match node {
            Node::Open(element) => {
                text.clear();
                if element.name == "package" {
                    package = element.get("pkgid").unwrap_or_default().to_ascii_lowercase();
                }
            }
            Node::Text(more) => text += &more,
            Node::Close(name) if name == "file" && wanted.contains(text.as_str()) => {
                found.entry(std::mem::take(&mut text)).or_default().push(package.clone());
            }
            Node::Close(_) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_of_wanted_paths_are_found() {
        let text = "<filelists><package pkgid=\"AB\" name=\"a\" arch=\"x\"><version ver=\"1\"/><file type=\"dir\">/usr/share/x&amp;y</file>\
                    <file>/usr/share/z</file></package><package pkgid=\"cd\"><file>/usr/share/z</file><file>/other</file></package></filelists>";
        let wanted = ["/usr/share/x&y", "/usr/share/z", "/nowhere"].into();
        let found = owners(text.as_bytes(), &wanted).unwrap();
        assert_eq!(found["/usr/share/x&y"], ["ab"]);
        assert_eq!(found["/usr/share/z"], ["ab", "cd"]);
        assert_eq!(found.len(), 2);
    }
}
