//! The host's own apt sources (sources.list(5)): on a Debian host they name the mirror that its admin chose.

use std::fs;
use std::path::{Path, PathBuf};

use super::deb822;

/// The base URLs of binary packages in `sources.list` and `sources.list.d/` below `folder` (`/etc/apt`), in apt's order. Only HTTP
/// and HTTPS count. What can't be read is left out: these are suggestions, and every byte is verified anyway.
pub fn read(folder: &Path) -> Vec<String> {
    let mut files = vec![folder.join("sources.list")];
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten();
    let mut parts: Vec<PathBuf> = parts.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    parts.sort();
    files.append(&mut parts);
    let mut urls: Vec<String> = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let found = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text),
            Some("sources") => stanzas(&text),
            _ => Vec::new(),
        };
        for url in found {
            let url = url.trim_end_matches('/').to_owned();
            if (url.starts_with("http://") || url.starts_with("https://")) && !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    urls
}

/// `deb [arch=amd64 signed-by=…] URL suite component…`
fn one_line(text: &str) -> Vec<String> {
    let entry = |line: &str| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        rest.split_whitespace().next().map(str::to_owned)
    };
    text.lines().filter_map(entry).collect()
}

fn stanzas(text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    // Comment lines may stand within a field, and then do not end it.
    let text: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for stanza in deb822::stanzas(&text) {
        let has =
            |name, word| deb822::field(stanza, name).is_some_and(|value| value.split_whitespace().any(|it| it == word));
        let disabled = ["no", "false", "without", "off", "disable", "0"].into_iter().any(|word| has("Enabled", word));
        if has("Types", "deb") && !disabled {
            let uris = deb822::field(stanza, "URIs").unwrap_or_default();
            urls.extend(uris.split_whitespace().map(str::to_owned));
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        read(folder.path())
    }

    #[test]
    fn both_formats_are_read_in_apts_order() {
        let found = read_files(&[
            ("sources.list.d/b.list", "deb [ arch=amd64 signed-by=/k ] https://b.example/debian/ trixie main"),
            (
                "sources.list.d/a.sources",
                "Types: deb deb-src\n# a comment\nURIs: http://a.example/debian\n# another\n http://a2.example/debian\nSuites: trixie",
            ),
            (
                "sources.list",
                "# deb http://no.example/debian x main\ndeb\thttp://first.example/debian-security x main # why",
            ),
        ]);
        let expected = [
            "http://first.example/debian-security",
            "http://a.example/debian",
            "http://a2.example/debian",
            "https://b.example/debian",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn sources_that_serve_no_packages_over_http_are_left_out() {
        let found = read_files(&[
            (
                "sources.list",
                "deb-src http://src.example/debian x main\ndeb cdrom:[Debian]/ x main\ndeb file:/srv x main",
            ),
            ("sources.list.d/a.sources", "Types: deb\nEnabled: no\nURIs: http://off.example/debian"),
            ("sources.list.d/b.sources", "Types: deb-src\nURIs: http://src.example/debian"),
            ("sources.list.d/c.list.disabled", "deb http://disabled.example/debian x main"),
        ]);
        assert_eq!(found, [] as [&str; 0]);
    }

    #[test]
    fn a_host_without_apt_has_none() {
        assert_eq!(read(Path::new("/nonexistent")), [] as [&str; 0]);
    }
}
