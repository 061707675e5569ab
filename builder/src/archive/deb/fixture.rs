//! Archives made and signed for tests.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::stream::{Message, Signer};
use openpgp::serialize::{Serialize, SerializeInto};
use openpgp::types::{HashAlgorithm, ReasonForRevocation};
use sequoia_openpgp as openpgp;

use super::{Keyring, Mirrors};
use crate::mirror::Mirror;
use crate::recipe::base::{Base, Source};
use crate::store::{Network, Store, digest_of};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A certificate with its secret parts: a primary key and a subkey that signs, as Debian's are.
#[derive(Clone)]
pub(super) struct Key {
    pub cert: Cert,
}

impl Key {
    pub fn new() -> Self {
        Self::made(SystemTime::now() - 900 * DAY, None)
    }

    pub fn made(created: SystemTime, validity: Option<Duration>) -> Self {
        let builder = CertBuilder::new()
            .set_creation_time(created)
            .set_validity_period(validity)
            .add_userid("Archive <archive@example.org>")
            .add_signing_subkey();
        Self { cert: builder.generate().unwrap().0 }
    }

    pub fn revoked(&self, reason: ReasonForRevocation) -> Self {
        let mut signer = self.cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(SystemTime::now() - DAY)
            .unwrap()
            .set_reason_for_revocation(reason, b"test")
            .unwrap()
            .build(&mut signer, &self.cert, None)
            .unwrap();
        Self { cert: self.cert.clone().insert_packets(revocation).unwrap().0 }
    }

    pub fn armored(&self) -> String {
        String::from_utf8(self.cert.armored().to_vec().unwrap()).unwrap()
    }

    /// As gpgv reads it.
    pub fn binary(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.cert.serialize(&mut bytes).unwrap();
        bytes
    }

    pub fn sign(&self, text: &str) -> String {
        sign(text, &[self], HashAlgorithm::SHA256, SystemTime::now() - 300 * DAY)
    }
}

/// A clear-signed message with a signature of each key's subkey.
pub(super) fn sign(text: &str, keys: &[&Key], hash: HashAlgorithm, at: SystemTime) -> String {
    // As of the time of signing, and of a time when SHA-1 was still in use.
    let policy = StandardPolicy::at(at);
    let pairs = keys.iter().map(|key| {
        let found = key.cert.keys().with_policy(&policy, at).secret().subkeys().for_signing().next().unwrap();
        found.key().clone().into_keypair().unwrap()
    });
    let mut sink = Vec::new();
    let mut signer: Option<Signer> = None;
    let message = Message::new(&mut sink);
    let mut pairs: Vec<_> = pairs.collect();
    let first = pairs.remove(0);
    signer.replace(Signer::new(message, first).unwrap().cleartext().creation_time(at).hash_algo(hash).unwrap());
    let mut signer = signer.unwrap();
    for pair in pairs {
        signer = signer.add_signer(pair).unwrap();
    }
    let mut writer = signer.build().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finalize().unwrap();
    String::from_utf8(sink).unwrap()
}

/// An archive with one suite `stable`, a mirror of it, and a cache.
pub(super) struct Scene {
    pub folder: tempfile::TempDir,
    pub cache: tempfile::TempDir,
    pub mirror: Mirror,
    pub key: Key,
    pub packages: String,
    /// Lines of the Release before its list of digests.
    pub head: String,
}

pub(super) const NOW: &str = "2026-06-15T12:00:00Z";

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
            let bytes = pack(&self.packages, format);
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
            snapshot: None,
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

    pub fn open(&self) -> super::Result<super::Archive> {
        self.open_with(&self.base(), &[])
    }

    pub fn open_with(&self, base: &Base, named: &[String]) -> super::Result<super::Archive> {
        let keyring = Keyring::parse(&self.key.armored()).unwrap();
        let mirrors = Mirrors::new(named, Path::new("/nonexistent"));
        let progress = crate::progress::Progress::silent();
        super::Archive::open(base, &keyring, &mirrors, &self.store(), &progress, NOW.parse().unwrap())
    }
}

fn pack(text: &str, format: &str) -> Vec<u8> {
    match format {
        ".xz" => {
            let mut writer = xz2::write::XzEncoder::new(Vec::new(), 1);
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        }
        ".gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        }
        ".zst" => zstd::encode_all(text.as_bytes(), 1).unwrap(),
        _ => text.as_bytes().to_vec(),
    }
}

/// A stanza of an index: name, version, and further lines.
pub(super) fn stanza(name: &str, version: &str, more: &str) -> String {
    let sha256 = digest_of(&mut format!("{name} {version}").as_bytes()).unwrap();
    let more = if more.is_empty() { String::new() } else { format!("{more}\n") };
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example.org>\nInstalled-Size: 10\n{more}\
         Filename: pool/main/{name}_{version}_amd64.deb\nSize: 1000\nSHA256: {sha256}\nDescription: {name}\n\n"
    )
}
