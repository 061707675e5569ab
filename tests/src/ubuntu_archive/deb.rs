//! Debian packages (`deb(5)`) taken apart and put together again with members compressed by zstd, as Ubuntu's are.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// A package in memory.
pub struct Deb {
    control: Vec<u8>,
    data: Vec<u8>,
}

/// A file of a package.
pub struct Entry<'a> {
    /// Its path, such as `usr/lib/os-release`.
    pub path: &'a str,
    pub content: &'a [u8],
    pub mode: u32,
}

impl Deb {
    pub fn read(path: &Path) -> Result<Self> {
        let mut archive = ar::Archive::new(File::open(path)?);
        let (mut control, mut data) = (None, None);
        while let Some(entry) = archive.next_entry() {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(entry.header().identifier()).trim_end_matches('/').to_owned();
            let place = match name.split_once(".tar") {
                Some(("control", _)) => &mut control,
                Some(("data", _)) => &mut data,
                _ => continue,
            };
            let mut bytes = Vec::new();
            match name.rsplit('.').next() {
                Some("xz") => xz2::read::XzDecoder::new(&mut entry).read_to_end(&mut bytes)?,
                Some("gz") => flate2::read::GzDecoder::new(&mut entry).read_to_end(&mut bytes)?,
                Some("zst") => zstd::Decoder::new(&mut entry)?.read_to_end(&mut bytes)?,
                _ => entry.read_to_end(&mut bytes)?,
            };
            *place = Some(bytes);
        }
        let lacks = || format!("{} is no Debian package", path.display());
        Ok(Self { control: control.with_context(lacks)?, data: data.with_context(lacks)? })
    }

    /// A package of these fields, files and maintainer scripts.
    pub fn new(fields: &str, files: &[Entry<'_>], scripts: &[Entry<'_>]) -> Result<Self> {
        let mut control = vec![Entry { path: "control", content: fields.as_bytes(), mode: 0o644 }];
        control.extend(scripts.iter().map(|one| Entry { path: one.path, content: one.content, mode: 0o755 }));
        Ok(Self { control: pack(None, &[], &control)?, data: pack(None, &[], files)? })
    }

    /// A text of its control archive: its fields (`control`) or a maintainer script.
    pub fn control(&self, name: &str) -> Result<String> {
        let mut archive = tar::Archive::new(self.control.as_slice());
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.path()?.file_name().is_some_and(|found| found == name) {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                return Ok(text);
            }
        }
        bail!("no member {name}")
    }

    /// Replaces a text of its control archive.
    pub fn set_control(&mut self, name: &str, text: &str) -> Result<()> {
        let mode = if name == "control" { 0o644 } else { 0o755 };
        self.control = pack(Some(&self.control), &[name], &[Entry { path: name, content: text.as_bytes(), mode }])?;
        Ok(())
    }

    /// The content of one of its files.
    pub fn file(&self, path: &str) -> Result<Vec<u8>> {
        let mut archive = tar::Archive::new(self.data.as_slice());
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.path()?.strip_prefix(".").is_ok_and(|found| found == Path::new(path)) {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                return Ok(content);
            }
        }
        bail!("no file {path}")
    }

    /// Takes the files `without` out and puts `files` in.
    pub fn change(&mut self, without: &[&str], files: &[Entry<'_>]) -> Result<()> {
        self.data = pack(Some(&self.data), without, files)?;
        Ok(())
    }

    /// Writes it, and answers its size and SHA-256.
    pub fn write(&self, path: &Path) -> Result<(u64, String)> {
        let mut file = Vec::from(*b"!<arch>\n");
        for (name, content) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.zst", zstd::encode_all(self.control.as_slice(), 1)?),
            ("data.tar.zst", zstd::encode_all(self.data.as_slice(), 1)?),
        ] {
            writeln!(file, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "100644", content.len())?;
            file.extend(&content);
            if content.len() % 2 == 1 {
                file.push(b'\n');
            }
        }
        fs::write(path, &file).with_context(|| format!("writing {}", path.display()))?;
        let digest = hex::encode(Sha256::digest(&file));
        Ok((file.len() as u64, digest))
    }
}

/// The archive `from` without some of its files, and with others after it, whose folders come before them.
fn pack(from: Option<&[u8]>, without: &[&str], files: &[Entry<'_>]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    if let Some(from) = from {
        let mut archive = tar::Archive::new(from);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let inside = path.strip_prefix(".").unwrap_or(&path).to_owned();
            if without.iter().any(|one| inside == Path::new(one)) {
                continue;
            }
            let mut header = entry.header().clone();
            if header.entry_type().is_dir() {
                folders.insert(inside);
            }
            match entry.link_name()?.map(std::borrow::Cow::into_owned) {
                Some(target) => builder.append_link(&mut header, &path, target)?,
                None => builder.append_data(&mut header, &path, &mut entry)?,
            }
        }
    }
    for file in files {
        let above: Vec<&Path> = Path::new(file.path).ancestors().skip(1).collect();
        for folder in above.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
            if folders.insert(folder.to_owned()) {
                let mut header = header(tar::EntryType::Directory, 0o755, 0);
                builder.append_data(&mut header, format!("./{}/", folder.display()), io::empty())?;
            }
        }
        let mut header = header(tar::EntryType::Regular, file.mode, file.content.len());
        builder.append_data(&mut header, format!("./{}", file.path), file.content)?;
    }
    Ok(builder.into_inner()?)
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header
}
