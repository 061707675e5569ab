//! `tls.self_signed`.

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;

use super::material::{called, certificates, parse, put, requirement};
use crate::check::{Context, CouldNotRun, Finding};
use crate::requirements::TlsMode;
use crate::site::CERTIFICATE;

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let certificates = certificates(context)?;
    let leaf = parse(certificates.first().map_or(&[][..], Vec::as_slice))?;
    let who = called(leaf.subject());
    let required = "a certificate that an authority signed";
    if !is(&leaf)? {
        return Ok(vec![Finding::pass(format!("{who} is signed by {}", called(leaf.issuer())), required)]);
    }
    let observed = format!("{who} is signed by itself");
    let remedy =
        put(context, CERTIFICATE, "a certificate from an authority that your clients trust, your own included,");
    Ok(vec![match requirement(context).mode {
        TlsMode::Production => Finding::fail(observed, required, remedy),
        TlsMode::Test => Finding::warn(observed, format!("{required}; mode `test` lets this pass"), remedy),
    }])
}

/// Whether `certificate` is signed by its own key.
pub(super) fn is(certificate: &X509Certificate<'_>) -> Result<bool, CouldNotRun> {
    Ok(certificate.issuer().as_raw() == certificate.subject().as_raw() && signed_by(certificate, certificate)?)
}

/// Whether `issuer`'s key made the signature of `certificate`.
pub(super) fn signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<bool, CouldNotRun> {
    match certificate.verify_signature(Some(issuer.public_key())) {
        Ok(()) => Ok(true),
        Err(X509Error::SignatureUnsupportedAlgorithm) => Err(CouldNotRun::new(
            format!(
                "the signature of {} is of a kind that can't be verified here (algorithm {})",
                called(certificate.subject()),
                certificate.signature_algorithm.algorithm
            ),
            "ask the authority for a certificate signed with RSA, ECDSA on P-256 or P-384, or Ed25519, and SHA-256 or SHA-384",
        )),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Made, Scene};
    use super::*;
    use crate::check::State;

    #[test]
    fn an_authoritys_signature_passes() {
        let scene = Scene::new().with(&Authority::root("Root").leaf("a.example"));
        assert_eq!(run(&scene.context()).unwrap()[0].state, State::Pass);
    }

    #[test]
    fn its_own_signature_fails_in_production_and_warns_in_a_test() {
        let mut scene = Scene::new().with(&Made::self_signed("a.example"));
        assert_eq!(run(&scene.context()).unwrap()[0].state, State::Fail);
        scene.tls().mode = TlsMode::Test;
        assert_eq!(run(&scene.context()).unwrap()[0].state, State::Warn);
    }

    #[test]
    fn a_signature_that_cannot_be_verified_is_not_a_verdict() {
        let scene = Scene::new().file(CERTIFICATE, include_str!("testdata/p521.crt"));
        let error = run(&scene.context()).unwrap_err();
        assert!(error.what.contains("can't be verified"), "{}", error.what);
    }
}
