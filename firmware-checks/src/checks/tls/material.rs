//! The site's certificate files: what is in them, told apart from what should be.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::PrivateKeyDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;
use x509_parser::x509::X509Name;

use crate::check::{Context, CouldNotRun};
use crate::requirements::Tls;
use crate::site::{AUTHORITY, CERTIFICATE, DIRECTORY, KEY};

/// What a file holds, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One certificate or more, PEM.
    Certificates,
    /// One private key, PEM, perhaps with certificates beside it.
    Key,
    /// Certificates first, then a private key.
    CertificatesAndKey,
    /// More than one private key.
    Keys,
    /// A private key under a passphrase.
    EncryptedKey,
    /// A request for a certificate (PKCS #10).
    Request,
    /// A public key alone.
    PublicKey,
    /// A certificate in DER.
    DerCertificate,
    /// A private key in DER.
    DerKey,
    /// A PKCS #12 container (`.p12`, `.pfx`).
    Pkcs12,
    /// A PEM block that is cut off or altered.
    Broken,
    /// Nothing.
    Empty,
    /// None of these.
    Other,
}

impl Kind {
    /// In words, as "holds …".
    pub fn words(self) -> &'static str {
        match self {
            Self::Certificates => "certificates in PEM",
            Self::Key => "a private key",
            Self::CertificatesAndKey => "a private key besides the certificates",
            Self::Keys => "several private keys",
            Self::EncryptedKey => "an encrypted private key",
            Self::Request => "a signing request (CSR), not a certificate",
            Self::PublicKey => "a public key alone",
            Self::DerCertificate => "a certificate in DER, not PEM",
            Self::DerKey => "a private key in DER, not PEM",
            Self::Pkcs12 => "a PKCS #12 container (.p12, .pfx), not PEM",
            Self::Broken => "PEM that is cut off or altered",
            Self::Empty => "nothing",
            Self::Other => "neither a certificate nor a key in PEM",
        }
    }

    /// What `bytes` are.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.trim_ascii().is_empty() {
            return Self::Empty;
        }
        if bytes.starts_with(&[0x30]) {
            return Self::of_der(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        // PKCS #8 says it in the label, OpenSSL's older form in a header (RFC 1421 §4.6.1.1).
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Self::EncryptedKey;
        }
        let Ok(blocks) = blocks(bytes) else { return Self::Broken };
        let keys = blocks.iter().filter(|block| is_key(block)).count();
        let certificates: Vec<&Pem> = blocks.iter().filter(|block| is_certificate(block)).collect();
        let labelled = |label: &str| blocks.iter().any(|block| block.label.ends_with(label));
        match (keys, certificates.len()) {
            (_, 1..) if certificates.iter().any(|block| parse_x509_certificate(&block.contents).is_err()) => {
                Self::Broken
            }
            (0, 1..) => Self::Certificates,
            (1, 1..) if blocks.first().is_some_and(is_certificate) => Self::CertificatesAndKey,
            (1, _) => Self::Key,
            (2.., _) => Self::Keys,
            (0, 0) if labelled("CERTIFICATE REQUEST") => Self::Request,
            (0, 0) if labelled("PUBLIC KEY") => Self::PublicKey,
            (0, 0) => Self::Other,
        }
    }

    fn of_der(bytes: &[u8]) -> Self {
        /// OID 1.2.840.113549.1.7.1 and .2 (PKCS #7 data and signed data), which a PKCS #12 begins with.
        const PKCS7: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
        /// An Ed25519 key in PKCS #8 (RFC 8410 §7), in bytes; no other kind is shorter.
        const SHORTEST_KEY: usize = 48;
        if parse_x509_certificate(bytes).is_ok() {
            Self::DerCertificate
        } else if bytes.get(..40).unwrap_or(bytes).windows(PKCS7.len()).any(|window| window == PKCS7) {
            Self::Pkcs12
        } else if bytes.len() >= SHORTEST_KEY && PrivateKeyDer::try_from(bytes).is_ok() {
            Self::DerKey
        } else {
            Self::Other
        }
    }
}

fn blocks(bytes: &[u8]) -> Result<Vec<Pem>, x509_parser::error::PEMError> {
    Pem::iter_from_buffer(bytes).collect()
}

fn is_certificate(block: &Pem) -> bool {
    matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
}

fn is_key(block: &Pem) -> bool {
    matches!(block.label.as_str(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY")
}

/// Where `file` of the site lies.
pub fn path(context: &Context<'_>, file: &str) -> PathBuf {
    context.site_dir.join(file)
}

/// Whether what is judged is the machine's own imported configuration, and not a folder on an admin's computer.
pub fn in_place(context: &Context<'_>) -> bool {
    context.site_dir == context.machine.path(DIRECTORY)
}

/// A remedy: `what` belongs into `file`. On the machine, also how to bring it there.
pub fn put(context: &Context<'_>, file: &str, what: &str) -> String {
    let how = if in_place(context) {
        ", or correct it on a medium and run: sudo firmware-checks site import PATH"
    } else {
        ""
    };
    format!("put {what} into {}{how}", path(context, file).display())
}

/// What the recipe asks. Every check here is only run where it asks something.
pub fn requirement(context: &Context<'_>) -> Tls {
    context.appliance.requirements.tls.clone().unwrap_or_default()
}

/// The content of `file`; nothing where it is not there.
pub fn read(context: &Context<'_>, file: &str) -> Result<Option<Vec<u8>>, CouldNotRun> {
    let path = path(context, file);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CouldNotRun::new(
            format!("reading {}: {error}", path.display()),
            format!("look at it as root: ls -l {}", path.display()),
        )),
    }
}

/// The certificates of `file`, in DER, in the file's order; none where the file is not there.
pub fn certificates_of(context: &Context<'_>, file: &str) -> Result<Vec<Vec<u8>>, CouldNotRun> {
    let Some(bytes) = read(context, file)? else { return Ok(Vec::new()) };
    Ok(certificates_in(&bytes))
}

/// The certificates among the PEM blocks of `bytes`; blocks that can't be read are left out.
pub fn certificates_in(bytes: &[u8]) -> Vec<Vec<u8>> {
    Pem::iter_from_buffer(bytes).flatten().filter(is_certificate).map(|block| block.contents).collect()
}

/// The site's certificates, the server's first.
pub fn certificates(context: &Context<'_>) -> Result<Vec<Vec<u8>>, CouldNotRun> {
    let found = certificates_of(context, CERTIFICATE)?;
    if found.is_empty() { Err(gone(context, CERTIFICATE)) } else { Ok(found) }
}

/// The site's private certificate authorities; none is no error.
pub fn authorities(context: &Context<'_>) -> Result<Vec<Vec<u8>>, CouldNotRun> {
    certificates_of(context, AUTHORITY)
}

/// The site's key.
pub fn key(context: &Context<'_>) -> Result<PrivateKeyDer<'static>, CouldNotRun> {
    let bytes = read(context, KEY)?.ok_or_else(|| gone(context, KEY))?;
    let block = Pem::iter_from_buffer(&bytes).flatten().find(is_key).ok_or_else(|| gone(context, KEY))?;
    Ok(match block.label.as_str() {
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(block.contents.into()),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(block.contents.into()),
        _ => PrivateKeyDer::Pkcs8(block.contents.into()),
    })
}

/// The file changed since tls.files looked at it.
fn gone(context: &Context<'_>, file: &str) -> CouldNotRun {
    let path = path(context, file);
    CouldNotRun::new(format!("{} no longer holds what it held", path.display()), "see tls.files")
}

/// The certificate that `der` is.
pub fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CouldNotRun> {
    parse_x509_certificate(der).map(|(_, certificate)| certificate).map_err(|error| {
        CouldNotRun::new(format!("reading a certificate: {error}"), "look at it: openssl x509 -noout -text -in tls.crt")
    })
}

/// How people call `name`: by its common name, else by all of it.
pub fn called(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok()).map(|name| format!("CN={name}"));
    common
        .or_else(|| Some(name.to_string()).filter(|all| !all.is_empty()))
        .unwrap_or_else(|| "a nameless subject".into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, pkcs8};
    use super::*;

    #[test]
    fn every_kind_of_file_is_told_by_its_content() {
        let made = Authority::root("Root").leaf("a.example");
        let (certificate, key) = (made.certificate_pem(), made.key_pem());
        let der = made.certificate_der();
        for (bytes, kind) in [
            (certificate.clone().into_bytes(), Kind::Certificates),
            (certificate.replace('\n', "\r\n").into_bytes(), Kind::Certificates),
            (key.clone().into_bytes(), Kind::Key),
            (format!("{certificate}{key}").into_bytes(), Kind::CertificatesAndKey),
            (format!("{key}{certificate}").into_bytes(), Kind::Key),
            (format!("{key}{key}").into_bytes(), Kind::Keys),
            (key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").into_bytes(), Kind::EncryptedKey),
            (certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST").into_bytes(), Kind::Request),
            (key.replace("PRIVATE", "PUBLIC").into_bytes(), Kind::PublicKey),
            (der.clone(), Kind::DerCertificate),
            (pkcs8(&made), Kind::DerKey),
            (certificate.as_bytes()[..certificate.len() / 2].to_vec(), Kind::Broken),
            (certificate.replace("MII", "AAA").into_bytes(), Kind::Broken),
            (b" \n".to_vec(), Kind::Empty),
            (b"hello".to_vec(), Kind::Other),
            (b"\x30\x03\x02\x01\x01".to_vec(), Kind::Other),
        ] {
            assert_eq!(Kind::of(&bytes), kind, "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_pkcs12_container_is_told_from_other_der() {
        // PFX ::= SEQUENCE { version 3, ContentInfo { pkcs7-data … } }, RFC 7292 §4.
        let pfx = [
            &[0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03, 0x30, 0x82, 0x00, 0xf0][..],
            &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01],
            &[0; 200],
        ]
        .concat();
        assert_eq!(Kind::of(&pfx), Kind::Pkcs12);
    }
}
