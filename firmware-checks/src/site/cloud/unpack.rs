//! The configuration in what a cloud handed over: `site.toml` as text, other files of it behind lines `#file NAME`; or all as a
//! tar archive.

use std::fs;
use std::io;
use std::path::Path;

use crate::files;
use crate::site::{CONFIGURATION, FILES};

/// The line before another file's content in a text.
const MARK: &str = "#file ";

/// What was handed over is no site configuration.
#[derive(Debug, thiserror::Error)]
pub enum Foreign {
    /// It is for another program.
    #[error(
        "this is {0}, not a site configuration\nhint: expected the text of site.toml, with other files behind lines `#file tls.crt`; or a tar archive of the site folder's files"
    )]
    Other(&'static str),
    /// It names a file that is none of a configuration.
    #[error("`{name}` is no file of a site configuration\nhint: expected {}", FILES.join(", "))]
    File {
        /// Its name there.
        name: String,
    },
    /// A file could not be kept for a look at it, or the archive is damaged.
    #[error("unpacking the site configuration: {0}")]
    Io(#[from] io::Error),
}

/// Lays the files in `data` into the folder `folder`, which only root can enter.
///
/// # Errors
/// [`Foreign`]; never with a part of `data`.
pub fn unpack(data: &[u8], folder: &Path) -> Result<(), Foreign> {
    if data.get(257..262) == Some(b"ustar") {
        return archive(data, folder);
    }
    if let Some(other) = other(data) {
        return Err(Foreign::Other(other));
    }
    let text = std::str::from_utf8(data).map_err(|_| Foreign::Other("no text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut name, mut content) = (CONFIGURATION.to_owned(), String::new());
    for line in text.lines() {
        if let Some(next) = line.strip_prefix(MARK) {
            keep(folder, &name, content.as_bytes())?;
            (name, content) = (next.trim().to_owned(), String::new());
        } else {
            content += line;
            content.push('\n');
        }
    }
    keep(folder, &name, content.as_bytes())
}

/// What `data` is for another program, by how it begins.
fn other(data: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 7] = [
        (b"#cloud-config", "a configuration of cloud-init"),
        (b"## template: jinja", "a configuration of cloud-init"),
        (b"#include", "a list for cloud-init"),
        (b"#!", "a script"),
        (b"Content-Type: ", "a message in MIME for cloud-init"),
        (b"\x1f\x8b", "compressed data"),
        (b"{", "JSON, as Ignition takes it"),
    ];
    KNOWN.iter().find(|(start, _)| data.starts_with(start)).map(|(_, what)| *what)
}

fn archive(data: &[u8], folder: &Path) -> Result<(), Foreign> {
    for entry in tar::Archive::new(data).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(Foreign::File { name: path });
        }
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content)?;
        keep(folder, path.trim_start_matches("./"), &content)?;
    }
    Ok(())
}

fn keep(folder: &Path, name: &str, content: &[u8]) -> Result<(), Foreign> {
    if !FILES.contains(&name) {
        return Err(Foreign::File { name: name.to_owned() });
    }
    fs::create_dir_all(folder)?;
    Ok(files::replace(&folder.join(name), content, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::bundle::Bundle;
    use crate::site::{CERTIFICATE, KEY};

    fn unpacked(data: &[u8]) -> Result<Bundle, Foreign> {
        let folder = tempfile::tempdir().unwrap();
        unpack(data, folder.path()).map(|()| Bundle::read(folder.path()).unwrap())
    }

    #[test]
    fn a_text_holds_one_file_or_several() {
        assert_eq!(unpacked(b"\xef\xbb\xbfhostname = \"a\"\r\n").unwrap().site.hostname.as_deref(), Some("a"));
        let several = "hostname = \"a\"\n#file tls.crt\n-----BEGIN CERTIFICATE-----\n#file tls.key\nkey\n";
        let bundle = unpacked(several.as_bytes()).unwrap();
        assert_eq!(bundle.content(CERTIFICATE), b"-----BEGIN CERTIFICATE-----\n");
        assert_eq!(bundle.content(KEY), b"key\n");
    }

    #[test]
    fn an_archive_holds_the_folder() {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in [("./site.toml", "hostname = \"a\"\n"), ("tls.key", "key")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let data = archive.into_inner().unwrap();
        assert_eq!(unpacked(&data).unwrap().content(KEY), b"key");
        assert!(unpacked(&data[..700]).is_err());
    }

    #[test]
    fn what_is_for_another_program_is_named_and_not_shown() {
        let known: [&[u8]; 6] = [
            b"#cloud-config\ncanary: 1",
            b"#!/bin/sh\necho canary",
            b"#include\ncanary",
            b"{ \"canary\": 1 }",
            b"\x1f\x8bcanary",
            b"canary\xff",
        ];
        for data in known {
            let told = unpacked(data).unwrap_err().to_string();
            assert!(told.contains("not a site configuration") && !told.contains("canary"), "{told}");
        }
        for name in ["../etc/passwd", "notes.txt", ""] {
            assert!(
                matches!(unpacked(format!("x = 1\n#file {name}\n").as_bytes()), Err(Foreign::File { .. })),
                "{name}"
            );
        }
    }
}
