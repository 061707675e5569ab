//! Certificates made for tests, and a machine to judge them on.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};

use crate::appliance::{Appliance, OsRelease, Platform};
use crate::check::{Context, Phase};
use crate::facts::Machine;
use crate::files;
use crate::requirements::{Requirements, Tls};
use crate::site::{CERTIFICATE, DIRECTORY, KEY, Site};

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    P256,
    P384,
    Ed25519,
    Rsa2048,
}

impl Keys {
    fn pair(self) -> KeyPair {
        match self {
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            // ring makes no RSA keys.
            Self::Rsa2048 => KeyPair::from_pem(include_str!("testdata/rsa2048.key")),
        }
        .unwrap()
    }
}

/// A certificate and its key.
pub struct Made {
    pem: String,
    der: Vec<u8>,
    pair: KeyPair,
}

impl Made {
    /// One that signs itself.
    pub fn self_signed(name: &str) -> Self {
        let pair = Keys::P256.pair();
        let certificate = server(name, &[name]).self_signed(&pair).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().to_vec(), pair }
    }

    pub fn certificate_pem(&self) -> String {
        self.pem.clone()
    }

    pub fn certificate_der(&self) -> Vec<u8> {
        self.der.clone()
    }

    pub fn key_pem(&self) -> String {
        self.pair.serialize_pem()
    }
}

/// The key in DER.
pub fn pkcs8(made: &Made) -> Vec<u8> {
    made.pair.serialize_der()
}

/// A server's certificate for `names` (addresses where they read as such), for the years 2020 to 2099.
fn server(common: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 1, 1));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = server(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = Vec::new();
    params
}

/// A certificate authority.
pub struct Authority {
    params: CertificateParams,
    pub made: Made,
}

impl Authority {
    pub fn root(name: &str) -> Self {
        let (params, pair) = (authority(name), Keys::P256.pair());
        let certificate = params.self_signed(&pair).unwrap();
        Self { params, made: Made { pem: certificate.pem(), der: certificate.der().to_vec(), pair } }
    }

    fn sign(&self, params: &CertificateParams, keys: Keys) -> Made {
        let pair = keys.pair();
        let issuer = Issuer::from_params(&self.params, &self.made.pair);
        let certificate = params.signed_by(&pair, &issuer).unwrap();
        Made { pem: certificate.pem(), der: certificate.der().to_vec(), pair }
    }

    pub fn intermediate(&self, name: &str) -> Self {
        let params = authority(name);
        Self { made: self.sign(&params, Keys::P384), params }
    }

    /// An authority for the years `from` to before `to`.
    pub fn intermediate_between(&self, name: &str, from: i32, to: i32) -> Self {
        let mut params = authority(name);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        Self { made: self.sign(&params, Keys::P256), params }
    }

    pub fn leaf(&self, name: &str) -> Made {
        self.leaf_for(name, &[name])
    }

    pub fn leaf_for(&self, common: &str, names: &[&str]) -> Made {
        self.sign(&server(common, names), Keys::P256)
    }

    pub fn leaf_with(&self, name: &str, keys: Keys) -> Made {
        self.sign(&server(name, &[name]), keys)
    }

    pub fn leaf_for_clients(&self, name: &str) -> Made {
        let mut params = server(name, &[name]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params, Keys::P256)
    }

    /// A certificate for the years `from` to before `to`.
    pub fn leaf_between(&self, name: &str, from: i32, to: i32) -> Made {
        let mut params = server(name, &[name]);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        self.sign(&params, Keys::P256)
    }

    pub fn certificate_pem(&self) -> String {
        self.made.certificate_pem()
    }
}

/// An appliance that asks for a certificate.
pub fn appliance() -> Appliance {
    Appliance {
        name: "hello".into(),
        version: "1".into(),
        base: "debian-13".into(),
        os: OsRelease { id: "debian".into(), version_id: "13".into() },
        cpu_level: None,
        locked: Timestamp::UNIX_EPOCH,
        platform: Platform::Docker { probe_image: String::new(), projects: Vec::new() },
        boot: crate::boot_loader::BootLoader::sample(),
        requirements: Requirements { tls: Some(Tls::default()), ..Requirements::default() },
    }
}

/// A machine with a site, in a folder of its own.
pub struct Scene {
    root: tempfile::TempDir,
    folder: PathBuf,
    appliance: Appliance,
    site: Site,
    machine: Machine,
    pub now: Timestamp,
}

impl Scene {
    /// A machine without any certificate, in the year 2026.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let folder = machine.path(DIRECTORY);
        std::fs::create_dir_all(&folder).unwrap();
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        Self { root, folder, appliance: appliance(), site: Site::default(), machine, now }
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        files::replace(&self.folder.join(name), text.as_bytes(), 0o600).unwrap();
        self
    }

    pub fn with(self, made: &Made) -> Self {
        self.with_chain(made, &[])
    }

    pub fn with_chain(self, made: &Made, above: &[&Authority]) -> Self {
        let chain: String = above.iter().map(|authority| authority.certificate_pem()).collect();
        self.file(CERTIFICATE, &(made.certificate_pem() + &chain)).file(KEY, &made.key_pem())
    }

    /// The same, on a machine whose system trusts `authority` alone.
    pub fn system_root(self, authority: &Authority) -> Self {
        let store = self.root.path().join("etc/ssl/certs/ca-certificates.crt");
        files::replace(&store, authority.certificate_pem().as_bytes(), 0o644).unwrap();
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    pub fn tls(&mut self) -> &mut Tls {
        self.appliance.requirements.tls.get_or_insert_default()
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            appliance: &self.appliance,
            site: Some(&self.site),
            site_dir: &self.folder,
            machine: &self.machine,
            now: self.now,
            phase: Phase::Admission,
        }
    }
}
