//! `tls.pair`: the key belongs to the certificate, shown by a signature.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::SigningKey;
use sha2::{Digest, Sha256};
use webpki::RawPublicKeyEntity;
use x509_parser::certificate::X509Certificate;

use super::material::{called, certificates, key, parse, put};
use crate::check::{Context, CouldNotRun, Finding};
use crate::site::KEY;

const REQUIRED: &str = "the key of the first certificate in tls.crt";
const SUPPORTED: &str = "use a key that clients and this check support: RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or \
                         Ed25519 (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out tls.key), with a \
                         certificate for it";

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let certificates = certificates(context)?;
    let certificate = parse(certificates.first().map_or(&[][..], Vec::as_slice))?;
    let key = ring::sign::any_supported_type(&key(context)?).map_err(|_| {
        CouldNotRun::new("tls.key is of a kind that this check can't sign with, or it is damaged", SUPPORTED)
    })?;
    let who = called(certificate.subject());
    let kinds = format!("{} certificate", kind(&certificate));
    if signed(&key, &certificate)? {
        return Ok(vec![Finding::pass(format!("the key signs for {who} ({kinds})"), REQUIRED)]);
    }
    let other = fingerprint(&key).map(|print| format!("sha256:{print}.., ")).unwrap_or_default();
    Ok(vec![Finding::fail(
        format!("cert {who} ({}), other key ({other}{:?})", kind(&certificate), key.algorithm()),
        REQUIRED,
        put(context, KEY, &format!("the private key that {who} was made for")),
    )])
}

/// Whether a message signed by `key` verifies by `certificate`'s public key.
fn signed(key: &Arc<dyn SigningKey>, certificate: &X509Certificate<'_>) -> Result<bool, CouldNotRun> {
    const MESSAGE: &[u8] = b"tls.pair: does this key belong to this certificate?";
    let unsupported =
        |what: &str| CouldNotRun::new(format!("proving that key and certificate belong together: {what}"), SUPPORTED);
    let supported = ring::default_provider().signature_verification_algorithms;
    let schemes: Vec<_> = supported.mapping.iter().map(|(scheme, _)| *scheme).collect();
    let signer = key.choose_scheme(&schemes).ok_or_else(|| unsupported("no signature scheme for this key"))?;
    let signature = signer.sign(MESSAGE).map_err(|error| unsupported(&error.to_string()))?;
    let public = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
    let entity = RawPublicKeyEntity::try_from(&public)
        .map_err(|error| unsupported(&format!("the certificate's public key can't be read: {error:?}")))?;
    if !supported.all.iter().any(|algorithm| known(algorithm.public_key_alg_id().as_ref(), certificate)) {
        return Err(unsupported(&format!(
            "the certificate's key is of a kind that can't be verified ({})",
            kind(certificate)
        )));
    }
    let algorithms =
        supported.mapping.iter().filter(|(scheme, _)| *scheme == signer.scheme()).flat_map(|(_, all)| *all);
    Ok(algorithms.into_iter().any(|algorithm| entity.verify_signature(*algorithm, MESSAGE, &signature).is_ok()))
}

/// Whether `identifier`, the content of an AlgorithmIdentifier, is that of `certificate`'s public key, which stands in
/// its SubjectPublicKeyInfo (RFC 5280 §4.1) after the headers of two sequences of 2 to 4 bytes each.
fn known(identifier: &[u8], certificate: &X509Certificate<'_>) -> bool {
    let public = certificate.public_key().raw;
    (4..=8).any(|at| public.get(at..).is_some_and(|rest| rest.starts_with(identifier)))
}

/// The certificate's key, for a person.
fn kind(certificate: &X509Certificate<'_>) -> String {
    use x509_parser::public_key::PublicKey;
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        // 521 bits fill 66 bytes, which the library counts as they are.
        Ok(PublicKey::EC(point)) if point.key_size() == 528 => "ECDSA P-521".into(),
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        _ if certificate.public_key().algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".into(),
        _ => format!("algorithm {}", certificate.public_key().algorithm.algorithm),
    }
}

/// The first bytes of the SHA-256 of the key's public half, as `openssl pkey -pubout -outform der | sha256sum` shows it.
fn fingerprint(key: &Arc<dyn SigningKey>) -> Option<String> {
    let public = key.public_key()?;
    Some(hex::encode(&Sha256::digest(public.as_ref())[..4]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Keys, Scene};
    use super::*;
    use crate::check::State;
    use crate::site::CERTIFICATE;

    #[test]
    fn every_supported_kind_of_key_passes_with_its_own_certificate_alone() {
        let root = Authority::root("Root");
        let kinds = [Keys::P256, Keys::P384, Keys::Ed25519, Keys::Rsa2048];
        for own in kinds {
            for other in kinds {
                let (certificate, key) = (root.leaf_with("a.example", own), root.leaf_with("a.example", other));
                let same = own == other && own == Keys::Rsa2048;
                let scene = Scene::new().file(CERTIFICATE, &certificate.certificate_pem()).file(KEY, &key.key_pem());
                let state = run(&scene.context()).unwrap()[0].state;
                // The RSA key is a fixed one, so that it is the same twice.
                assert_eq!(state, if same { State::Pass } else { State::Fail }, "{own:?} {other:?}");
            }
            let scene = Scene::new().with(&root.leaf_with("a.example", own));
            assert_eq!(run(&scene.context()).unwrap()[0].state, State::Pass, "{own:?}");
        }
    }

    #[test]
    fn another_key_of_the_same_kind_fails_and_is_told_apart() {
        let root = Authority::root("Root");
        let scene =
            Scene::new().with(&root.leaf("imaging.clinic.example")).file(KEY, &root.leaf("b.example").key_pem());
        let found = run(&scene.context()).unwrap().remove(0);
        assert_eq!(found.state, State::Fail);
        assert!(
            found.observed.contains("CN=imaging.clinic.example") && found.observed.contains("other key"),
            "{}",
            found.observed
        );
        assert!(found.remedy.unwrap().contains("tls.key"));
    }

    #[test]
    fn a_key_that_nothing_here_can_sign_with_is_not_a_verdict() {
        let scene = Scene::new().with(&Authority::root("Root").leaf("a.example"));
        let error = run(&scene.file(KEY, include_str!("testdata/p521.key")).context()).unwrap_err();
        assert!(error.what.contains("tls.key") && error.remedy.contains("P-256"), "{}", error.what);
    }

    #[test]
    fn a_certificate_that_nothing_here_can_verify_by_is_not_a_verdict() {
        let scene = Scene::new().with(&Authority::root("Root").leaf("a.example"));
        let error = run(&scene.file(CERTIFICATE, include_str!("testdata/p521.crt")).context()).unwrap_err();
        assert!(error.what.contains("P-521") && error.remedy.contains("P-256"), "{}", error.what);
    }
}
