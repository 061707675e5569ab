//! The machine's own files of package sources that no package brings: those of third parties, each with its certificates, so that
//! what came from them is kept up to date by the machine's apt or dnf.

use std::path::{Path, PathBuf};

use super::Error;
use super::tree::{Owner, Tree};
use crate::recipe::base::{Family, Source};

/// Writes the files of `source`, called `name`, into the tree of a distribution of this family. `certificates` are OpenPGP's,
/// ASCII-armored.
///
/// # Errors
/// [`Error`]: a file can't be written.
pub fn write(root: &Path, family: Family, name: &str, source: &Source, certificates: &[u8]) -> Result<(), Error> {
    let tree = Tree::open(root).map_err(Error::io("opening the root folder", root))?;
    let (file, text, key) = match family {
        Family::Deb => deb(name, source),
        Family::Rpm => rpm(name, source),
    };
    for (path, content) in [(key, certificates), (file, text.as_bytes())] {
        tree.write(&path, content, 0o644, Owner::ROOT).map_err(Error::io("writing", &path))?;
    }
    Ok(())
}

/// As sources.list (5) describes it (deb822 style): path and text of the file, and the path of its certificates.
fn deb(name: &str, source: &Source) -> (PathBuf, String, PathBuf) {
    let key = format!("etc/apt/keyrings/{name}.asc");
    let uri = source.mirrors.first().map_or("", String::as_str);
    let (suites, components) = (source.suites.join(" "), source.components.join(" "));
    let text = format!("Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {components}\nSigned-By: /{key}\n");
    (format!("etc/apt/sources.list.d/{name}.sources").into(), text, key.into())
}

/// The same as dnf.conf (5) describes repositories, each suite one.
fn rpm(name: &str, source: &Source) -> (PathBuf, String, PathBuf) {
    let key = format!("etc/pki/rpm-gpg/RPM-GPG-KEY-{name}");
    let repository = |suite: &String| {
        let id = match source.suites.as_slice() {
            [_] => name.to_owned(),
            _ => format!("{name}-{}", suite.replace('/', "-")),
        };
        let urls: Vec<String> = source.mirrors.iter().map(|mirror| format!("{mirror}/{suite}")).collect();
        let (urls, signed) = (urls.join("\n        "), u8::from(source.signed));
        format!(
            "[{id}]\nname={name} ({suite})\nbaseurl={urls}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck={signed}\ngpgkey=file:///{key}\n"
        )
    };
    let text = source.suites.iter().map(repository).collect::<Vec<_>>().join("\n");
    (format!("etc/yum.repos.d/{name}.repo").into(), text, key.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn source(suites: &[&str]) -> Source {
        Source {
            archive: "linux/centos/9".to_owned(),
            mirrors: vec![
                "https://one.example/linux/centos/9".to_owned(),
                "https://two.example/linux/centos/9".to_owned(),
            ],
            suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
            components: vec!["main".to_owned(), "test".to_owned()],
            ..Source::default()
        }
    }

    fn written(family: Family, source: &Source) -> Vec<(String, String)> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), family, "docker-ce", source, b"the key\n").unwrap();
        let files = walkdir::WalkDir::new(root.path()).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file()).map(|entry| {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o644);
            let path = entry.path().strip_prefix(root.path()).unwrap().display().to_string();
            (path, fs::read_to_string(entry.path()).unwrap())
        });
        files.collect()
    }

    #[test]
    fn dnf_gets_a_repository_for_each_suite_with_all_mirrors_and_the_key() {
        let files = written(Family::Rpm, &source(&["x86_64/stable"]));
        let text = "[docker-ce]\nname=docker-ce (x86_64/stable)\nbaseurl=https://one.example/linux/centos/9/x86_64/stable\n        \
                    https://two.example/linux/centos/9/x86_64/stable\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=0\n\
                    gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce\n";
        let expected = [
            ("etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce".to_owned(), "the key\n".to_owned()),
            ("etc/yum.repos.d/docker-ce.repo".to_owned(), text.to_owned()),
        ];
        assert_eq!(files, expected);
        let signed = Source { signed: true, ..source(&["x86_64/stable", "x86_64/test"]) };
        let text = written(Family::Rpm, &signed).remove(1).1;
        assert!(text.contains("[docker-ce-x86_64-stable]\n") && text.contains("[docker-ce-x86_64-test]\n"), "{text}");
        assert_eq!(text.matches("repo_gpgcheck=1\n").count(), 2, "{text}");
    }

    #[test]
    fn apt_gets_the_suites_and_the_key() {
        let expected = [
            ("etc/apt/keyrings/docker-ce.asc".to_owned(), "the key\n".to_owned()),
            (
                "etc/apt/sources.list.d/docker-ce.sources".to_owned(),
                "Types: deb\nURIs: https://one.example/linux/centos/9\nSuites: noble\nComponents: main test\n\
                 Signed-By: /etc/apt/keyrings/docker-ce.asc\n"
                    .to_owned(),
            ),
        ];
        assert_eq!(written(Family::Deb, &source(&["noble"])), expected);
    }
}
