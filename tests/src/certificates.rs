//! A certificate authority of our own, and certificates by it that are right or wrong in one way.

use std::net::IpAddr;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A private CA, as a clinic would have one.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Pair {
    /// `tls.crt`.
    pub certificate: String,
    /// `tls.key`.
    pub key: String,
}

impl Authority {
    /// A new one, valid from 1975 to 4096 as rcgen's are.
    ///
    /// # Errors
    /// No key could be made.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Firstlight test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its certificate, PEM: `ca.crt`.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A server certificate for `names` and `addresses` that ends a year from now.
    ///
    /// # Errors
    /// A name that can't be in a certificate.
    pub fn issue(&self, names: &[&str], addresses: &[IpAddr]) -> Result<Pair> {
        let mut all: Vec<String> = names.iter().map(ToString::to_string).collect();
        all.extend(addresses.iter().map(ToString::to_string));
        let mut params = CertificateParams::new(all)?;
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("appliance"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(86_400);
        params.not_before = (now - day).into();
        params.not_after = (now + day * 365).into();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}
