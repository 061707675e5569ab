//! Reads what `docker save`, Podman, skopeo or a build tool wrote: is it whole, and what is in it?

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Error;

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Names with tags under which it will be loaded.
    pub names: Vec<String>,
    /// The image's id: SHA-256 of its configuration, lower-case hexadecimal.
    pub id: String,
}

/// One entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Entries larger than this are only hashed: configurations and manifests are a few KiB.
const TEXT_LIMIT: u64 = 4 << 20;

/// Reads the archive `path` from end to end: every blob must have the digest that its name says, and every layer
/// that the manifest names must be there.
///
/// # Errors
/// [`Error::Io`] where it can't be read, [`Error::Archive`] where it is not an archive that `docker load` takes, is
/// damaged, incomplete, or holds several images.
pub fn inspect(path: &Path) -> Result<Contents, Error> {
    let wrong =
        |what: String, hint: &str| Error::Archive { archive: path.display().to_string(), what, hint: hint.to_owned() };
    let save = "make it with `docker save NAME:TAG -o FILE` or `skopeo copy … docker-archive:FILE:NAME:TAG`";
    let (digests, texts) = read(path).map_err(Error::io(format!("reading {}", path.display())))?;
    for (name, digest) in &digests {
        if name.strip_prefix("blobs/sha256/").is_some_and(|expected| expected != digest) {
            return Err(wrong(format!("{name} is damaged: its content's digest is {digest}"), "copy it again"));
        }
    }
    let text = texts.get("manifest.json").ok_or_else(|| wrong("there is no manifest.json in it".into(), save))?;
    let entries: Vec<Entry> =
        serde_json::from_slice(text).map_err(|error| wrong(format!("manifest.json: {error}"), save))?;
    let [entry] = entries.as_slice() else {
        return Err(wrong(format!("{} images are in it, expected one", entries.len()), "save each image by itself"));
    };
    if let Some(missing) = entry.layers.iter().chain([&entry.config]).find(|name| !digests.contains_key(*name)) {
        return Err(wrong(
            format!("{missing} is missing"),
            "it was cut short or made for one layer only: save it again",
        ));
    }
    let names = entry.repo_tags.clone().unwrap_or_default();
    Ok(Contents { names, id: digests[&entry.config].clone() })
}

type Digests = BTreeMap<String, String>;
type Texts = BTreeMap<String, Vec<u8>>;

fn read(path: &Path) -> io::Result<(Digests, Texts)> {
    let mut archive = tar::Archive::new(decompressed(path)?);
    let (mut digests, mut texts) = (Digests::new(), Texts::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        if let Some(target) = entry.link_name()? {
            // Old `docker save` names a layer that it has already written by a link.
            let target = path_beside(&name, &target.to_string_lossy());
            if let Some(digest) = digests.get(&target).cloned() {
                digests.insert(name, digest);
            }
        } else if entry.header().entry_type().is_file() {
            let mut text = Vec::new();
            let mut hash = Sha256::new();
            if entry.size() <= TEXT_LIMIT {
                entry.read_to_end(&mut text)?;
                hash.update(&text);
            } else {
                copy(&mut entry, &mut hash)?;
            }
            digests.insert(name.clone(), hex::encode(hash.finalize()));
            texts.insert(name, text);
        }
    }
    Ok((digests, texts))
}

fn path_beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.rsplit_once('/').map_or(Vec::new(), |(folder, _)| folder.split('/').collect());
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn copy(from: &mut impl Read, hash: &mut Sha256) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 16];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            count => hash.update(&chunk[..count]),
        }
    }
}

/// The archive without the compression that its first bytes tell of.
pub fn decompressed(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut magic = [0; 6];
    let count = File::open(path)?.take(6).read(&mut magic)?;
    let file = BufReader::new(File::open(path)?);
    Ok(match &magic[..count] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(file)?),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(xz2::read::XzDecoder::new(file)),
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.reopen().unwrap());
        for (name, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
        file
    }

    const MANIFEST: &str = r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]"#;

    #[test]
    fn reads_what_docker_save_wrote_before_it_spoke_oci() {
        let file = archive(&[("c.json", "{}"), ("l/layer.tar", "x"), ("manifest.json", MANIFEST)]);
        let contents = inspect(file.path()).unwrap();
        assert_eq!(contents, Contents { names: vec!["a:1".into()], id: hex::encode(Sha256::digest("{}")) });
    }

    #[test]
    fn refuses_what_docker_load_would_choke_on() {
        let blob = format!("blobs/sha256/{}", hex::encode(Sha256::digest("right")));
        for (entries, expected) in [
            (vec![("index.json", "{}")], "no manifest.json"),
            (vec![("c.json", "{}"), ("manifest.json", MANIFEST)], "l/layer.tar is missing"),
            (vec![(blob.as_str(), "wrong"), ("manifest.json", MANIFEST)], "is damaged"),
            (vec![("manifest.json", "[]")], "0 images"),
        ] {
            let error = inspect(archive(&entries).path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
