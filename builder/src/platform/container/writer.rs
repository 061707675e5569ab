//! Writes one image as an archive that Docker, Podman and containerd load.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Error, Layer};

/// What a container of the image runs.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// Name and tag, such as `firstlight/hello:1`.
    pub name: &'a str,
    /// In the words of the OCI specification (Go's): `amd64`.
    pub architecture: &'a str,
    /// What runs in the container.
    pub entrypoint: &'a [String],
    /// The image's date.
    pub created: Timestamp,
}

/// Writes an image of one layer to the new file `path` and answers its id: SHA-256 of its configuration.
///
/// # Errors
/// [`Error::Io`] where the layer can't be read or the archive not be written.
pub fn write(config: &Config<'_>, layer: &Layer, path: &Path) -> Result<String, Error> {
    let doing = || format!("writing the container image {}", path.display());
    let text = configuration(config, layer).to_string();
    let id = hex::encode(Sha256::digest(&text));
    let manifest = manifest(&text, &id, layer).to_string();
    let file = File::create_new(path).map_err(Error::io(doing()))?;
    let mut archive = Archive { tar: tar::Builder::new(BufWriter::new(file)), time: config.created };
    archive
        .text("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}).to_string())
        .and_then(|()| archive.text("index.json", &index(config, &manifest).to_string()))
        .and_then(|()| archive.text("manifest.json", &for_docker(config, &id, layer).to_string()))
        .and_then(|()| archive.text(&blob(&id), &text))
        .and_then(|()| archive.text(&blob(&hex::encode(Sha256::digest(&manifest))), &manifest))
        .and_then(|()| archive.file(&blob(&layer.digest), layer.size, File::open(&layer.path)?))
        .and_then(|()| archive.tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error))
        .map(drop)
        .map_err(Error::io(doing()))?;
    Ok(id)
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

fn configuration(config: &Config<'_>, layer: &Layer) -> Value {
    json!({
        "created": config.created,
        "architecture": config.architecture,
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": config.entrypoint,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
        "history": [{"created": config.created, "created_by": "firstlight"}],
    })
}

fn manifest(configuration: &str, id: &str, layer: &Layer) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{id}"),
            "size": configuration.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{}", layer.digest),
            "size": layer.size,
        }],
    })
}

fn index(config: &Config<'_>, manifest: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", hex::encode(Sha256::digest(manifest))),
            "size": manifest.len(),
            "platform": {"architecture": config.architecture, "os": "linux"},
            "annotations": {
                "io.containerd.image.name": format!("docker.io/{}", config.name),
                "org.opencontainers.image.ref.name": tag(config.name),
            },
        }],
    })
}

fn tag(name: &str) -> &str {
    name.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

fn for_docker(config: &Config<'_>, id: &str, layer: &Layer) -> Value {
    json!([{"Config": blob(id), "RepoTags": [config.name], "Layers": [blob(&layer.digest)]}])
}

struct Archive {
    tar: tar::Builder<BufWriter<File>>,
    time: Timestamp,
}

impl Archive {
    fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.file(name, text.len() as u64, text.as_bytes())
    }

    fn file(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(self.time.as_second()).unwrap_or(0));
        self.tar.append_data(&mut header, name, content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::container::inspect;

    #[test]
    fn what_is_written_is_read_back_and_depends_on_the_content_alone() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("etc")).unwrap();
        std::fs::write(tree.join("etc/motd"), "hello").unwrap();
        std::os::unix::fs::symlink("etc/motd", tree.join("motd")).unwrap();
        let created: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let entrypoint = ["/bin/true".to_owned()];
        let config = Config { name: "a/b:1", architecture: "amd64", entrypoint: &entrypoint, created };
        let mut digests = Vec::new();
        for round in ["one", "two"] {
            let layer = Layer::pack(&tree, &folder.path().join(format!("{round}.layer")), created).unwrap();
            let path = folder.path().join(format!("{round}.tar"));
            let id = write(&config, &layer, &path).unwrap();
            let contents = inspect(&path).unwrap();
            assert_eq!(contents.names, ["a/b:1"]);
            assert_eq!(contents.id, id);
            digests.push(Sha256::digest(std::fs::read(&path).unwrap()));
            std::fs::File::open(tree.join("etc/motd")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        }
        assert_eq!(digests[0], digests[1]);
    }
}
