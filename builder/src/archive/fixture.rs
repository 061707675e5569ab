//! Keys made for tests, and what they sign.

use std::io::Write;
use std::time::{Duration, SystemTime};

use openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::stream::{Message, Signer};
use openpgp::serialize::{Serialize, SerializeInto};
use openpgp::types::{HashAlgorithm, ReasonForRevocation};
use sequoia_openpgp as openpgp;

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

/// A detached signature by the key's subkey.
pub(super) fn sign_detached(content: &[u8], key: &Key, at: SystemTime) -> Vec<u8> {
    let policy = StandardPolicy::at(at);
    let found = key.cert.keys().with_policy(&policy, at).secret().subkeys().for_signing().next().unwrap();
    let pair = found.key().clone().into_keypair().unwrap();
    let mut sink = Vec::new();
    let signer = Signer::new(Message::new(&mut sink), pair).unwrap().detached().creation_time(at);
    let mut writer = signer.build().unwrap();
    writer.write_all(content).unwrap();
    writer.finalize().unwrap();
    sink
}

/// Packed as the end of a name says: `.xz`, `.gz`, `.zst`, or not at all.
pub(super) fn pack(content: &[u8], format: &str) -> Vec<u8> {
    match format {
        ".xz" => {
            let mut writer = xz2::write::XzEncoder::new(Vec::new(), 1);
            writer.write_all(content).unwrap();
            writer.finish().unwrap()
        }
        ".gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(content).unwrap();
            writer.finish().unwrap()
        }
        ".zst" => zstd::encode_all(content, 1).unwrap(),
        _ => content.to_vec(),
    }
}
