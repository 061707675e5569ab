//! `tls.files`: both files are there and are what they are called.

use std::os::unix::fs::MetadataExt;

use super::material::{Kind, in_place, path, put, read};
use crate::check::{Context, CouldNotRun, Finding};
use crate::site::{AUTHORITY, CERTIFICATE, KEY};

const CERTIFICATE_REQUIRED: &str = "certificates in PEM, the server's first";
const KEY_REQUIRED: &str = "one private key in PEM, without a passphrase, mode 0600";

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let certificate = read(context, CERTIFICATE)?.map(|bytes| Kind::of(&bytes));
    let key = read(context, KEY)?.map(|bytes| Kind::of(&bytes));
    if let (Some(Kind::Key), Some(Kind::Certificates)) = (certificate, key) {
        return Ok(vec![swapped(context)]);
    }
    let mut findings = vec![judge_certificate(context, certificate), judge_key(context, key)?];
    let authority = read(context, AUTHORITY)?.map(|bytes| Kind::of(&bytes));
    findings.extend(authority.and_then(|kind| judge_authority(context, kind)));
    Ok(findings)
}

fn swapped(context: &Context<'_>) -> Finding {
    Finding::fail(
        format!("the files are swapped: {CERTIFICATE} holds the private key and {KEY} the certificate"),
        format!("{CERTIFICATE}: {CERTIFICATE_REQUIRED}; {KEY}: {KEY_REQUIRED}"),
        format!(
            "give each the other's name in {}; then chmod 600 {KEY}, and make a new key if the old one could be read",
            context.site_dir.display()
        ),
    )
}

fn judge_certificate(context: &Context<'_>, found: Option<Kind>) -> Finding {
    let finding = match found {
        Some(Kind::Certificates) => Finding::pass(Kind::Certificates.words(), CERTIFICATE_REQUIRED),
        None => Finding::fail("missing", CERTIFICATE_REQUIRED, put(context, CERTIFICATE, "the certificate chain")),
        Some(kind) => Finding::fail(
            format!("holds {}", kind.words()),
            CERTIFICATE_REQUIRED,
            certificate_remedy(kind).map_or_else(|| put(context, CERTIFICATE, "the certificate chain"), str::to_owned),
        ),
    };
    finding.about(CERTIFICATE)
}

fn certificate_remedy(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::DerCertificate => {
            Some("convert it: openssl x509 -inform der -in tls.crt -out tls.pem, and name that tls.crt")
        }
        Kind::Pkcs12 => Some(
            "take it apart: openssl pkcs12 -in FILE -nokeys -out tls.crt, and openssl pkcs12 -in FILE -nocerts -noenc -out tls.key",
        ),
        Kind::CertificatesAndKey => {
            Some("leave only the certificates in tls.crt, and put the private key into tls.key")
        }
        Kind::Request => Some("send the request to your certificate authority, and put what it answers into tls.crt"),
        _ => None,
    }
}

fn judge_key(context: &Context<'_>, found: Option<Kind>) -> Result<Finding, CouldNotRun> {
    let remedy = |text: &str| text.to_owned();
    let finding = match found {
        Some(Kind::Key) => return mode(context).map(|finding| finding.about(KEY)),
        None => Finding::fail("missing", KEY_REQUIRED, put(context, KEY, "the certificate's private key")),
        Some(kind) => Finding::fail(
            format!("holds {}", kind.words()),
            KEY_REQUIRED,
            match kind {
                Kind::EncryptedKey => {
                    remedy("take the passphrase off: openssl pkey -in tls.key -out plain.key, and name that tls.key")
                }
                Kind::DerKey => {
                    remedy("convert it: openssl pkey -inform der -in tls.key -out plain.key, and name that tls.key")
                }
                Kind::Pkcs12 => remedy("take the key out: openssl pkcs12 -in FILE -nocerts -noenc -out tls.key"),
                Kind::CertificatesAndKey => {
                    remedy("leave only the private key in tls.key; the certificates belong into tls.crt")
                }
                _ => put(context, KEY, "the certificate's private key"),
            },
        ),
    };
    Ok(finding.about(KEY))
}

/// The key's permissions. On an admin's own computer (where a stick's FAT has none to keep) wide ones warn: the import
/// sets them.
fn mode(context: &Context<'_>) -> Result<Finding, CouldNotRun> {
    let path = path(context, KEY);
    let found = std::fs::metadata(&path).map_err(|error| {
        CouldNotRun::new(format!("looking at {}: {error}", path.display()), "see whether the folder can be read")
    })?;
    let mode = found.mode() & 0o7777;
    let observed = format!("{}, mode {mode:04o}", Kind::Key.words());
    let remedy = format!("{}chmod 600 {}", if in_place(context) { "sudo " } else { "" }, path.display());
    Ok(match (mode & 0o077, in_place(context)) {
        (0, _) => Finding::pass(observed, KEY_REQUIRED),
        (_, true) => Finding::fail(format!("{observed}: others may use it"), KEY_REQUIRED, remedy),
        (_, false) => {
            let remedy = format!("{remedy} (the machine keeps its own copy with mode 0600)");
            Finding::warn(format!("{observed}: others on this computer may use it"), KEY_REQUIRED, remedy)
        }
    })
}

fn judge_authority(context: &Context<'_>, kind: Kind) -> Option<Finding> {
    let required = "certificates in PEM, or no such file";
    (kind != Kind::Certificates).then(|| {
        let remedy = match kind {
            Kind::DerCertificate => {
                "convert it: openssl x509 -inform der -in ca.crt -out ca.pem, and name that ca.crt".into()
            }
            _ => put(context, AUTHORITY, "the certificate of your authority, or remove it"),
        };
        Finding::fail(format!("holds {}", kind.words()), required, remedy).about(AUTHORITY)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::{Authority, Scene};
    use super::*;
    use crate::check::State;

    fn told(scene: &Scene) -> (State, String, String) {
        let findings = run(&scene.context()).unwrap();
        let worst = findings.iter().find(|finding| finding.state != State::Pass).unwrap_or(&findings[0]);
        (worst.state, worst.observed.clone(), worst.remedy.clone().unwrap_or_default())
    }

    fn good() -> Scene {
        Scene::new().with(&Authority::root("Root").leaf("a.example"))
    }

    #[test]
    fn a_certificate_and_its_key_pass() {
        assert_eq!(told(&good()).0, State::Pass);
    }

    #[test]
    fn a_missing_file_fails_with_where_it_belongs() {
        for file in [CERTIFICATE, KEY] {
            let scene = good();
            fs::remove_file(scene.folder().join(file)).unwrap();
            let (state, observed, remedy) = told(&scene);
            assert_eq!((state, observed.as_str()), (State::Fail, "missing"));
            assert!(remedy.contains(file) && remedy.contains("firmware-checks site import"), "{remedy}");
        }
    }

    #[test]
    fn swapped_files_are_named_as_such() {
        let leaf = Authority::root("Root").leaf("a.example");
        let scene = Scene::new().file(CERTIFICATE, &leaf.key_pem()).file(KEY, &leaf.certificate_pem());
        let (state, observed, _) = told(&scene);
        assert_eq!(state, State::Fail);
        assert!(observed.contains("swapped"), "{observed}");
    }

    #[test]
    fn an_encrypted_key_is_named_as_such() {
        let leaf = Authority::root("Root").leaf("a.example");
        for text in [
            leaf.key_pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
                .into(),
        ] {
            let (state, observed, remedy) = told(&good().file(KEY, &text));
            assert_eq!((state, observed.as_str()), (State::Fail, "holds an encrypted private key"));
            assert!(remedy.contains("openssl pkey"), "{remedy}");
        }
    }

    #[test]
    fn der_is_told_from_pem_with_the_command_that_converts_it() {
        let leaf = Authority::root("Root").leaf("a.example");
        let scene = good();
        fs::write(scene.folder().join(CERTIFICATE), leaf.certificate_der()).unwrap();
        let (state, observed, remedy) = told(&scene);
        assert_eq!(state, State::Fail);
        assert!(observed.contains("DER") && remedy.contains("-inform der"), "{observed}: {remedy}");
    }

    #[test]
    fn a_key_that_others_can_read_fails_on_the_machine_and_warns_elsewhere() {
        let scene = good();
        fs::set_permissions(scene.folder().join(KEY), Permissions::from_mode(0o644)).unwrap();
        let (state, observed, remedy) = told(&scene);
        assert_eq!(state, State::Fail);
        assert!(observed.contains("0644") && remedy.contains("chmod 600"), "{observed}: {remedy}");
        let elsewhere = crate::facts::Machine::at("/nonexistent");
        let context = Context { machine: &elsewhere, ..scene.context() };
        assert!(run(&context).unwrap().iter().any(|finding| finding.state == State::Warn));
    }

    #[test]
    fn an_authority_that_is_none_fails() {
        assert_eq!(told(&good().file(AUTHORITY, "hello")).0, State::Fail);
        assert_eq!(told(&good().file(AUTHORITY, &Authority::root("Own").certificate_pem())).0, State::Pass);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_a_verdict() {
        let scene = good();
        fs::remove_file(scene.folder().join(KEY)).unwrap();
        fs::create_dir(scene.folder().join(KEY)).unwrap();
        let error = run(&scene.context()).unwrap_err();
        assert!(error.what.contains("tls.key"), "{}", error.what);
    }
}
