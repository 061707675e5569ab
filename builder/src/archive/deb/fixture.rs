//! Archives made and signed for tests.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sequoia_openpgp::types::HashAlgorithm;

use crate::archive::fixture::{Key, pack, sign};
use crate::archive::{Keyring, Mirrors, Opening, Trust};
use crate::mirror::Mirror;
use crate::recipe::base::{Base, Source};
use crate::store::{Network, Store, digest_of};

/// An archive with one suite `stable`, a mirror of it, and a cache.
pub(in crate::archive) struct Scene {
    pub folder: tempfile::TempDir,
    pub cache: tempfile::TempDir,
    pub mirror: Mirror,
    pub key: Key,
    pub packages: String,
    /// Lines of the Release before its list of digests.
    pub head: String,
}

pub(in crate::archive) const NOW: &str = "2026-06-15T12:00:00Z";

impl Scene {
    pub fn new(packages: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::serve(folder.path()).unwrap();
        let head = "Origin: Test\nSuite: stable\nCodename: testing-suite\nDate: Mon, 15 Jun 2026 06:00:00 UTC\n\
                    Valid-Until: Mon, 22 Jun 2026 06:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: amd64\n\
                    Components: main\n";
        let created = SystemTime::from("2025-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let scene = Self {
            folder,
            cache: tempfile::tempdir().unwrap(),
            mirror,
            key: Key::made(created, None),
            packages: packages.to_owned(),
            head: head.to_owned(),
        };
        scene.publish(&["", ".gz", ".xz", ".zst"]);
        scene
    }

    /// Writes the suite, its index packed in these formats (all are listed in the Release that are served).
    pub fn publish(&self, formats: &[&str]) {
        let suite = self.folder.path().join("debian/dists/stable");
        let by_hash = suite.join("main/binary-amd64/by-hash/SHA256");
        fs::create_dir_all(&by_hash).unwrap();
        let mut release = format!("{}SHA256:\n", self.head);
        for format in formats {
            let bytes = pack(self.packages.as_bytes(), format);
            let digest = digest_of(&mut &bytes[..]).unwrap();
            release += &format!(" {digest} {} main/binary-amd64/Packages{format}\n", bytes.len());
            fs::write(by_hash.join(&digest), &bytes).unwrap();
            fs::write(suite.join(format!("main/binary-amd64/Packages{format}")), &bytes).unwrap();
        }
        self.write_release(&self.sign(&release));
    }

    pub fn sign(&self, release: &str) -> String {
        let at = SystemTime::from("2026-06-15T06:00:00Z".parse::<Timestamp>().unwrap());
        sign(release, &[&self.key], HashAlgorithm::SHA512, at)
    }

    pub fn release_path(&self) -> std::path::PathBuf {
        self.folder.path().join("debian/dists/stable/InRelease")
    }

    pub fn write_release(&self, message: &str) {
        fs::write(self.release_path(), message).unwrap();
    }

    pub fn base(&self) -> Base {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/bases/debian-13.toml");
        let mut base: Base = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        base.sources = vec![Source {
            archive: "debian".to_owned(),
            mirrors: vec![format!("{}/debian", self.mirror.url())],
            suites: vec!["stable".to_owned()],
            components: vec!["main".to_owned()],
            ..Source::default()
        }];
        base
    }

    pub fn store(&self) -> Store {
        let network = Network {
            stall: Duration::from_millis(400),
            rounds: 2,
            pause: Duration::from_millis(10),
            ..Network::default()
        };
        Store::with_network(self.cache.path(), network).unwrap()
    }

    pub fn open(&self) -> crate::archive::Result<super::Archive> {
        self.open_with(&self.base(), &[])
    }

    pub fn open_with(&self, base: &Base, named: &[String]) -> crate::archive::Result<super::Archive> {
        let keyring = Keyring::parse(&self.key.armored()).unwrap();
        let mirrors = Mirrors::new(named, Path::new("/nonexistent"));
        let progress = crate::progress::Progress::silent();
        super::Archive::open(&Opening {
            base,
            trust: &Trust::all(&keyring, base),
            mirrors: &mirrors,
            store: &self.store(),
            progress: &progress,
            now: NOW.parse().unwrap(),
        })
    }
}

/// A stanza of an index: name, version, and further lines.
pub(in crate::archive) fn stanza(name: &str, version: &str, more: &str) -> String {
    let sha256 = digest_of(&mut format!("{name} {version}").as_bytes()).unwrap();
    let more = if more.is_empty() { String::new() } else { format!("{more}\n") };
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example.org>\nInstalled-Size: 10\n{more}\
         Filename: pool/main/{name}_{version}_amd64.deb\nSize: 1000\nSHA256: {sha256}\nDescription: {name}\n\n"
    )
}
