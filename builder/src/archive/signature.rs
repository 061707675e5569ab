//! Clear-signed messages (RFC 9580 §7) and detached signatures: is this signed by a certificate of the base?

use std::io::Read;
use std::time::SystemTime;

use jiff::Timestamp;
use sequoia_openpgp as openpgp;

use openpgp::cert::{Cert, CertParser};
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, GoodChecksum, MessageLayer, MessageStructure, VerificationError, VerificationHelper,
    VerifierBuilder,
};
use openpgp::policy::StandardPolicy;
use openpgp::types::RevocationStatus;
use openpgp::{KeyHandle, packet::Signature};

use super::error::{Error, Result};

const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// A certificate of a keyring, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its fingerprint, in hexadecimal.
    pub fingerprint: String,
    /// Whose it says that it is: its first user id.
    pub name: String,
    /// When it ends, if ever.
    pub until: Option<Timestamp>,
    /// Why nothing that it signs would be taken.
    pub refused: Option<String>,
}

/// The certificates that may sign an archive.
#[derive(Clone, Debug)]
pub struct Keyring {
    certificates: Vec<Cert>,
}

impl Keyring {
    /// Reads ASCII-armored certificates: one block or several, of one certificate or several.
    ///
    /// # Errors
    /// There is none, or one can't be read.
    pub fn parse(armored: &str) -> Result<Self> {
        let unreadable = |error: anyhow::Error| Error::Keyring { reason: chain(&error) };
        let parser = CertParser::from_bytes(armored.as_bytes()).map_err(unreadable)?;
        let certificates = parser.collect::<openpgp::Result<Vec<Cert>>>().map_err(unreadable)?;
        if certificates.is_empty() {
            return Err(Error::Keyring { reason: format!("found no block `{BEGIN_KEY}`") });
        }
        Ok(Self { certificates })
    }

    /// Its certificates as they are at `now`.
    #[must_use]
    pub fn certificates(&self, now: Timestamp) -> Vec<Certificate> {
        let (policy, now) = (StandardPolicy::at(SystemTime::from(now)), SystemTime::from(now));
        let describe = |cert: &Cert| {
            let ends = |time| Timestamp::try_from(time).ok();
            let (until, refused) = match cert.with_policy(&policy, now) {
                Err(error) => (None, Some(chain(&error))),
                Ok(valid) => {
                    let usable = valid.keys().alive().revoked(false).for_signing().next().is_some();
                    let refused = match (valid.alive(), valid.revocation_status()) {
                        (Err(error), _) => Some(chain(&error)),
                        (_, RevocationStatus::Revoked(_)) => Some("it was revoked".to_owned()),
                        _ if !usable => Some("none of its keys may sign".to_owned()),
                        _ => None,
                    };
                    (valid.primary_key().key_expiration_time().and_then(ends), refused)
                }
            };
            let name = cert.userids().next().map(|id| String::from_utf8_lossy(id.userid().value()).into_owned());
            Certificate { fingerprint: cert.fingerprint().to_hex(), name: name.unwrap_or_default(), until, refused }
        };
        self.certificates.iter().map(describe).collect()
    }

    /// Whether it has the certificate with this fingerprint, and no other.
    pub(super) fn is_only(&self, fingerprint: &str) -> bool {
        self.certificates.iter().all(|cert| cert.fingerprint().to_hex() == fingerprint)
    }

    /// Their fingerprints, for a person.
    pub(super) fn fingerprints(&self) -> String {
        self.certificates.iter().map(|cert| cert.fingerprint().to_hex()).collect::<Vec<_>>().join(", ")
    }
}

/// Gives the signed text of a clear-signed message, if at least one of its signatures is good and by one of the certificates:
/// valid at the time of signing and at `now`, neither expired nor revoked, no weak hash.
///
/// # Errors
/// It is not, or there is anything outside the signed text.
pub(super) fn verify(url: &str, message: &[u8], keyring: &Keyring, now: Timestamp) -> Result<String> {
    let refuse = |reason: String| Error::Signature { url: url.to_owned(), reason, expected: keyring.fingerprints() };
    let framed = std::str::from_utf8(message).map_err(|_| "it is not text".to_owned()).and_then(frame);
    framed.map_err(refuse)?;
    let now = SystemTime::from(now);
    let policy = StandardPolicy::at(now);
    let judge = Judge { keyring, policy: &policy, now, moment: Moment::Now, findings: Vec::new() };
    let mut verifier = VerifierBuilder::from_bytes(message)
        .and_then(|builder| builder.with_policy(&policy, now, judge))
        .map_err(|error| refuse(error.to_string()))?;
    let mut text = String::new();
    verifier.read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
    Ok(text)
}

/// When a certificate must be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Now, too: of what is signed time and again.
    Now,
    /// At the time of signing, and not withdrawn for a cause that reaches back: of what is signed once.
    Signing,
}

/// Whether at least one signature (armored or not) over `content` is good and by one of the certificates, as of `now`.
///
/// # Errors
/// It is not: for each signature, what is wrong with it.
pub(super) fn verify_detached(
    keyring: &Keyring,
    signature: &[u8],
    content: &[u8],
    now: Timestamp,
    moment: Moment,
) -> std::result::Result<(), String> {
    let now = SystemTime::from(now);
    let policy = StandardPolicy::at(now);
    let judge = Judge { keyring, policy: &policy, now, moment, findings: Vec::new() };
    let mut verifier = DetachedVerifierBuilder::from_bytes(signature)
        .and_then(|builder| builder.with_policy(&policy, now, judge))
        .map_err(|error| chain(&error))?;
    verifier.verify_bytes(content).map_err(|error| chain(&error))
}

/// Refuses anything before, after or between the signed text and its signature, as apt does: a reader that frames the
/// message differently could take it for signed.
fn frame(message: &str) -> std::result::Result<(), String> {
    let mut lines = message.lines();
    match lines.next() {
        Some(BEGIN_MESSAGE) => {}
        Some(line) => return Err(format!("it is not signed: found `{}`", line.chars().take(60).collect::<String>())),
        None => return Err("it is empty".to_owned()),
    }
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        if !line.starts_with("Hash: ") {
            return Err(format!("found `{line}` outside the signed text"));
        }
    }
    let text_end = lines.by_ref().find(|line| line.starts_with('-') && !line.starts_with("- "));
    if text_end != Some(BEGIN_SIGNATURE) {
        return Err("it ends without a signature".to_owned());
    }
    let signature_end = lines.by_ref().find(|line| line.starts_with('-'));
    if signature_end != Some(END_SIGNATURE) {
        return Err("its signature has no end".to_owned());
    }
    match lines.find(|line| !line.trim().is_empty()) {
        Some(line) => Err(format!("found `{line}` outside the signed text")),
        None => Ok(()),
    }
}

struct Judge<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'a>,
    now: SystemTime,
    moment: Moment,
    findings: Vec<String>,
}

impl VerificationHelper for Judge<'_> {
    fn get_certs(&mut self, _ids: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(self.keyring.certificates.clone())
    }

    fn check(&mut self, structure: MessageStructure) -> openpgp::Result<()> {
        let layers: Vec<MessageLayer> = structure.into_iter().collect();
        let [MessageLayer::SignatureGroup { results }] = layers.as_slice() else {
            return Err(anyhow::anyhow!("it is not a signed message"));
        };
        let mut good = false;
        for result in results {
            match result {
                Ok(GoodChecksum { .. }) if self.moment == Moment::Signing => good = true,
                Ok(GoodChecksum { ka, .. }) => match self.still_good(ka.cert(), &ka.key().fingerprint()) {
                    Ok(()) => good = true,
                    Err(reason) => self.findings.push(reason),
                },
                Err(error) => self.findings.push(describe(error)),
            }
        }
        match (good, self.findings.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => Err(anyhow::anyhow!("it has no signature")),
            (false, false) => Err(anyhow::anyhow!("{}", self.findings.join("; "))),
        }
    }
}

impl Judge<'_> {
    /// sequoia judges a key as of the signature's own time; a key that has expired or was withdrawn since then is worth nothing
    /// either, since whoever holds it can antedate.
    fn still_good(&self, certificate: &Cert, key: &openpgp::Fingerprint) -> std::result::Result<(), String> {
        let name = key.to_hex();
        let valid = certificate.with_policy(self.policy, self.now).map_err(|error| format!("key {name}: {error}"))?;
        valid.alive().map_err(|error| format!("the certificate of key {name} has expired: {error}"))?;
        if let RevocationStatus::Revoked(_) = valid.revocation_status() {
            return Err(format!("the certificate of key {name} was revoked"));
        }
        let usable = valid.keys().alive().revoked(false).for_signing().any(|found| found.key().fingerprint() == *key);
        if usable { Ok(()) } else { Err(format!("key {name} has expired, was revoked or is not for signing")) }
    }
}

fn describe(error: &VerificationError) -> String {
    let issuer = |signature: &Signature| match signature.get_issuers().first() {
        Some(issuer) => issuer.to_hex(),
        None => "unnamed".to_owned(),
    };
    match error {
        VerificationError::MissingKey { sig } => format!("a signature by the unknown key {}", issuer(sig)),
        VerificationError::UnboundKey { sig, error, .. } => {
            format!("key {} is not bound to its certificate: {}", issuer(sig), chain(error))
        }
        VerificationError::BadKey { sig, error, .. } => format!("key {}: {}", issuer(sig), chain(error)),
        VerificationError::BadSignature { sig, error, .. } => {
            format!("the signature by key {} is bad: {}", issuer(sig), chain(error))
        }
        VerificationError::MalformedSignature { sig, error } => {
            format!("the signature by key {} can't be judged: {}", issuer(sig), chain(error))
        }
        VerificationError::UnknownSignature { .. } => "a signature of an unknown form".to_owned(),
        other => other.to_string(),
    }
}

fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
