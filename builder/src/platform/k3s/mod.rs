//! k3s: its program, its images and what it is configured by, started by `platform.target`.
//!
//! What k3s keeps lies below `/var/lib/rancher/k3s`, which is bound to the data partition; what the image brings for it lies in
//! [`SHARE`] and is linked there when it starts (`tmpfiles.conf`, in the form of tmpfiles.d (5)).

mod chart;
mod config;

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use firmware_checks::appliance::{self, ClusterRole};
use firmware_checks::k3s::{AGENT_ROLE, CONFIGURATION, registries};

use super::docker::Prepared;
use crate::artifact::{self, Files};
use crate::recipe::platform::K3s;
use crate::recipe::platform::k3s::{HELM, PROGRAM, archive};

/// Where the image keeps what k3s takes when it starts.
const SHARE: &str = "/usr/share/firstlight/k3s";
/// Where k3s looks for it.
const STATE: &str = "/var/lib/rancher/k3s";
/// What `platform.target` starts: one of the two, by the machine's role.
const UNITS: [&str; 2] = ["k3s.service", "k3s-agent.service"];
/// Names under which the program is a client of its cluster or of its containers.
const CLIENTS: [&str; 3] = ["kubectl", "crictl", "ctr"];

/// k3s could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that goes in whole is not to be had.
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    /// A chart can't be embedded.
    #[error(transparent)]
    Chart(#[from] chart::Error),
    /// The archive of Helm holds no program.
    #[error("helm: {0} holds no file `helm`\n  hint: expected Helm's own archive for Linux, or the program itself")]
    NoHelm(String),
    /// A file could not be read or written.
    #[error("laying out k3s: {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// What is laid out, and onto what.
pub struct Layout<'a> {
    /// The root file system.
    pub root: &'a Path,
    /// The recipe's fields.
    pub k3s: &'a K3s,
    /// The recipe's folder.
    pub folder: &'a Path,
    /// Where the artifacts lie.
    pub files: Files<'a>,
    /// The recipe's container images.
    pub images: &'a [Prepared],
}

impl Layout<'_> {
    /// Lays k3s out and hangs it below `platform.target`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn add(&self) -> Result<appliance::Platform, Error> {
        let k3s = self.k3s;
        self.programs()?;
        let mut links = Vec::new();
        for (name, from) in self.archives()? {
            self.copy(&from, &format!("{SHARE}/images/{name}"), 0o644)?;
            links.push(format!("agent/images/{name}"));
        }
        for (name, content) in self.manifests()? {
            self.put(&format!("{SHARE}/manifests/{name}"), &content, 0o644)?;
            links.push(format!("server/manifests/{name}"));
        }
        self.put(&format!("{SHARE}/tmpfiles.conf"), tmpfiles(&links).as_bytes(), 0o644)?;
        self.put(&format!("{CONFIGURATION}/config.yaml"), config::server(k3s).as_bytes(), 0o600)?;
        self.put(&format!("{CONFIGURATION}/agent.yaml"), config::agent(k3s).as_bytes(), 0o600)?;
        self.put(&format!("{CONFIGURATION}/registries.yaml"), registries(&k3s.registries, &[]).as_bytes(), 0o600)?;
        if k3s.role == ClusterRole::Agent {
            self.put(AGENT_ROLE, b"", 0o644)?;
        }
        for unit in UNITS {
            let wants = "/usr/lib/systemd/system/platform.target.wants";
            self.link(&format!("{wants}/{unit}"), &Path::new("..").join(unit))?;
        }
        Ok(appliance::Platform::K3s {
            version: k3s.version.clone(),
            role: k3s.role,
            pods: k3s.pods.clone(),
            services: k3s.services.clone(),
            registries: k3s.registries.clone(),
            secrets: k3s.secrets.clone(),
        })
    }

    fn programs(&self) -> Result<(), Error> {
        self.copy(&self.files.path(PROGRAM)?, "/usr/local/bin/k3s", 0o755)?;
        for client in CLIENTS {
            self.link(&format!("/usr/local/bin/{client}"), Path::new("k3s"))?;
        }
        if self.k3s.helm.is_some() {
            let program = helm(&self.files.path(HELM)?)?;
            self.put("/usr/local/bin/helm", &program, 0o755)?;
        }
        Ok(())
    }

    /// The archives of images by the name that they get, and where they are.
    fn archives(&self) -> Result<Vec<(String, PathBuf)>, Error> {
        let own = self
            .images
            .iter()
            .map(|image| Ok((format!("{}.tar", image.name.replace(['/', ':'], "_")), image.archive.clone())));
        let named = self
            .k3s
            .archives
            .iter()
            .map(|artifact| Ok((artifact.file_name().into_owned(), self.files.path(&archive(artifact))?)));
        named.chain(own).collect()
    }

    /// The manifests by name: the recipe's own, and one for each chart.
    fn manifests(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut all = Vec::new();
        for path in &self.k3s.manifests {
            let file = self.folder.join(path);
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            all.push((name, fs::read(&file).map_err(at(&file))?));
        }
        for one in &self.k3s.charts {
            let values = one.values.as_ref().map(|path| self.folder.join(path));
            let values = values.map(|path| fs::read_to_string(&path).map_err(at(&path))).transpose()?;
            let packed = self.files.path(&one.artifact())?;
            let packed = fs::read(&packed).map_err(at(&packed))?;
            all.push((format!("chart-{}.yaml", one.name), chart::manifest(one, &packed, values.as_deref())?.into()));
        }
        Ok(all)
    }

    fn place(&self, path: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(path.trim_start_matches('/'));
        let folder = path.parent().unwrap_or(self.root);
        fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(path)
    }

    fn put(&self, path: &str, content: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.place(path)?;
        let written = fs::write(&path, content).and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)));
        written.map_err(at(&path))
    }

    fn copy(&self, from: &Path, path: &str, mode: u32) -> Result<(), Error> {
        let path = self.place(path)?;
        let copied = fs::copy(from, &path).and_then(|_| fs::set_permissions(&path, Permissions::from_mode(mode)));
        copied.map_err(at(&path))
    }

    fn link(&self, path: &str, target: &Path) -> Result<(), Error> {
        let path = self.place(path)?;
        match symlink(target, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(at(&path)),
        }
    }
}

/// What is made below [`STATE`] before k3s starts. Where `.cache.json` lies beside the archives, k3s keeps in it which of them
/// it has imported, and does not import them anew at its next start; it never makes the file itself.
fn tmpfiles(links: &[String]) -> String {
    let mut text = String::from("# What the image brings for k3s, linked to where it looks for it (tmpfiles.d (5)).\n");
    for (folder, mode) in
        [("agent", "0755"), ("agent/images", "0755"), ("server", "0700"), ("server/manifests", "0700")]
    {
        let _ = writeln!(text, "d {STATE}/{folder} {mode} root root -");
    }
    let _ = writeln!(text, "f {STATE}/agent/images/.cache.json 0644 root root -");
    for link in links {
        let inside = link.split_once('/').map_or(link.as_str(), |(_, inside)| inside);
        let _ = writeln!(text, "L+ {STATE}/{link} - - - - {SHARE}/{inside}");
    }
    text
}

/// The program in Helm's archive `path`, or the file itself where it is no archive.
fn helm(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(path).map_err(at(path))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let file = File::open(path).map_err(at(path))?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().map_err(at(path))? {
        let mut entry = entry.map_err(at(path))?;
        let is_helm = entry.path().map_err(at(path))?.file_name().is_some_and(|name| name == "helm");
        if is_helm && entry.header().entry_type().is_file() {
            let mut program = Vec::new();
            io::Read::read_to_end(&mut entry, &mut program).map_err(at(path))?;
            return Ok(program);
        }
    }
    Err(Error::NoHelm(path.display().to_string()))
}
