//! Is this file the package that it is taken for, signed by a certificate of its source?
//!
//! The signature is over the header, which names the digest of the payload. So nothing of a file is believed before both
//! were verified; what an index says of it proves nothing, since an index need not be signed.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::header::{Header, Headers, tag};
use crate::archive::package::Package;
use crate::archive::signature::{Keyring, Moment, verify_detached};
use crate::store::digest_of;

/// OpenPGP's number for SHA-256 (RFC 9580 §9.5).
const SHA256: u64 = 8;

/// Verifies that `file` is `package`: the signature of its header by a certificate of `keyring`, the digests of header and
/// payload, and its name, version and architecture. A certificate that has expired since is no reason to refuse: packages
/// outlive keys.
///
/// # Errors
/// What is wrong, in words.
pub fn verify(file: &Path, package: &Package, keyring: &Keyring) -> Result<(), String> {
    let mut reader = BufReader::with_capacity(128 << 10, File::open(file).map_err(|error| error.to_string())?);
    let Headers { signatures, main } = Headers::read(&mut reader).map_err(|error| error.to_string())?;
    if !main.is_immutable() {
        return Err("its header has parts that no signature covers".to_owned());
    }
    signed(&signatures, &main, keyring)?;
    if let Some(expected) = signatures.text(tag::SIGNATURE_SHA256) {
        let found = hex::encode(Sha256::digest(main.bytes()));
        compare("the digest of its header", &found, &expected.to_ascii_lowercase())?;
    }
    compare("its name", main.text(tag::NAME).unwrap_or_default(), &package.name)?;
    compare("its version", &version(&main), &package.version)?;
    compare("its architecture", main.text(tag::ARCH).unwrap_or_default(), &package.architecture)?;
    if main.has(tag::SOURCE_PACKAGE) {
        return Err("it is a source package".to_owned());
    }
    let Some(expected) = main.text(tag::PAYLOAD_DIGEST) else {
        return Err("its header has no digest of the payload".to_owned());
    };
    match main.number(tag::PAYLOAD_DIGEST_ALGORITHM) {
        Some(SHA256) => {}
        found => {
            return Err(format!("the digest of its payload is of the kind {found:?}, expected SHA-256 ({SHA256})"));
        }
    }
    let found = digest_of(&mut reader).map_err(|error| error.to_string())?;
    compare("the digest of its payload", &found, &expected.to_ascii_lowercase())
}

/// At least one signature over the header is good. The signatures of EL's packages are RSA's; other kinds of keys have
/// theirs beside.
fn signed(header: &Header, main: &Header, keyring: &Keyring) -> Result<(), String> {
    let signatures = [tag::SIGNATURE_RSA, tag::SIGNATURE_DSA].into_iter().filter_map(|tag| header.binary(tag));
    let mut reasons = Vec::new();
    for signature in signatures {
        match verify_detached(keyring, signature, main.bytes(), Timestamp::now(), Moment::Signing) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() { Err("its header is not signed".to_owned()) } else { Err(reasons.join("; ")) }
}

/// `[epoch:]version-release`, without an epoch of 0.
fn version(header: &Header) -> String {
    let text = |tag| header.text(tag).unwrap_or_default();
    let epoch = header.number(tag::EPOCH).filter(|epoch| *epoch != 0);
    let epoch = epoch.map_or_else(String::new, |epoch| format!("{epoch}:"));
    format!("{epoch}{}-{}", text(tag::VERSION), text(tag::RELEASE))
}

fn compare(what: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is `{found}`, expected `{expected}`")) }
}

#[cfg(test)]
#[path = "authenticity_tests.rs"]
mod tests;
