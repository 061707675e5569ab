//! Our verdict is compared with gpgv's on the same message and certificates; apt takes `GOODSIG` for a good one.

use std::process::Command;

use openpgp::types::{HashAlgorithm, ReasonForRevocation};

use super::super::fixture::{DAY, Key, sign};
use super::*;

const TEXT: &str = "Origin: Test\nCodename: trixie\n- dashes: need escaping\nSHA256:\n ab 1 main\n";

fn gpgv_says_good(message: &str, keys: &[&Key]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (keyring, file) = (folder.path().join("keyring.gpg"), folder.path().join("InRelease"));
    std::fs::write(&keyring, keys.iter().flat_map(|key| key.binary()).collect::<Vec<u8>>()).unwrap();
    std::fs::write(&file, message).unwrap();
    let output = Command::new("gpgv")
        .args(["--status-fd", "1", "--weak-digest", "SHA1", "--keyring"])
        .args([&keyring, &file])
        .env("GNUPGHOME", folder.path())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains("[GNUPG:] GOODSIG")
}

fn keyring(keys: &[&Key]) -> Keyring {
    Keyring::parse(&keys.iter().map(|key| key.armored()).collect::<String>()).unwrap()
}

fn ours(message: &str, keys: &[&Key]) -> Result<String> {
    verify("http://m.example/InRelease", message.as_bytes(), &keyring(keys), Timestamp::now())
}

fn both_accept(message: &str, keys: &[&Key]) {
    assert!(gpgv_says_good(message, keys));
    let text = ours(message, keys).unwrap();
    assert_eq!(text.trim_end(), TEXT.trim_end());
}

/// Gives our reason.
fn both_refuse(message: &str, keys: &[&Key]) -> String {
    assert!(!gpgv_says_good(message, keys), "gpgv accepts it");
    let error = ours(message, keys).unwrap_err().to_string();
    assert!(error.starts_with("verifying http://m.example/InRelease: ") && error.contains("hint:"), "{error}");
    error
}

#[test]
fn a_good_signature_by_a_subkey_is_accepted() {
    let key = Key::new();
    both_accept(&key.sign(TEXT), &[&key]);
}

#[test]
fn one_good_signature_of_several_is_enough() {
    let (known, unknown, at) = (Key::new(), Key::new(), SystemTime::now() - DAY);
    for keys in [[&known, &unknown], [&unknown, &known]] {
        let message = sign(TEXT, &keys, HashAlgorithm::SHA512, at);
        both_accept(&message, &[&known]);
        both_accept(&message, &[&unknown, &known]);
        both_refuse(&message, &[&Key::new()]);
    }
}

#[test]
fn a_flipped_bit_in_text_or_signature_is_refused() {
    let key = Key::new();
    let message = key.sign(TEXT);
    both_refuse(&message.replace("trixie", "trixif"), &[&key]);
    let at = message.find("-----BEGIN PGP SIGNATURE").unwrap() + 80;
    let mut bytes = message.into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    both_refuse(&String::from_utf8(bytes).unwrap(), &[&key]);
}

#[test]
fn a_key_that_expired_after_signing_is_refused() {
    let key = Key::made(SystemTime::now() - 400 * DAY, Some(200 * DAY));
    let message = sign(TEXT, &[&key], HashAlgorithm::SHA256, SystemTime::now() - 300 * DAY);
    let error = both_refuse(&message, &[&key]);
    assert!(error.contains("expired"), "{error}");
    // At the time of signing it was good.
    let then = Timestamp::try_from(SystemTime::now() - 299 * DAY).unwrap();
    assert!(verify("u", message.as_bytes(), &keyring(&[&key]), then).is_ok());
}

#[test]
fn a_revoked_key_is_refused_for_whatever_reason() {
    let key = Key::new();
    let message = key.sign(TEXT);
    for reason in [ReasonForRevocation::KeyCompromised, ReasonForRevocation::KeySuperseded] {
        let error = both_refuse(&message, &[&key.revoked(reason)]);
        assert!(error.contains("revoked"), "{error}");
    }
}

#[test]
fn a_signature_over_sha1_is_refused() {
    let key = Key::made(SystemTime::UNIX_EPOCH + 16_000 * DAY, None);
    let message = sign(TEXT, &[&key], HashAlgorithm::SHA1, SystemTime::UNIX_EPOCH + 16_100 * DAY);
    let error = both_refuse(&message, &[&key]);
    assert!(error.contains("SHA1"), "{error}");
    both_accept(&key.sign(TEXT), &[&key]);
}

#[test]
fn a_signature_by_another_key_is_refused_and_both_are_named() {
    let (key, other) = (Key::new(), Key::new());
    let error = both_refuse(&other.sign(TEXT), &[&key]);
    assert!(error.contains("a signature by the unknown key"), "{error}");
    assert!(error.contains(&key.cert.fingerprint().to_hex()), "{error}");
}

#[test]
fn what_is_not_signed_is_refused() {
    let key = Key::new();
    let message = key.sign(TEXT);
    let error = both_refuse(TEXT, &[&key]);
    assert!(error.contains("it is not signed: found `Origin: Test`"), "{error}");
    both_refuse("", &[&key]);
    both_refuse(&message[..message.find("-----BEGIN PGP SIGNATURE").unwrap()], &[&key]);
    // gpgv does not miss the last line, apt does.
    assert!(ours(&message[..message.find("-----END PGP SIGNATURE").unwrap()], &[&key]).is_err());
}

#[test]
fn text_outside_the_signature_is_refused() {
    let key = Key::new();
    let message = key.sign(TEXT);
    let evil = "Codename: evil\n";
    let (head, body) = message.split_once("\n\n").unwrap();
    let (body, signature) = body.split_once("-----BEGIN PGP SIGNATURE-----\n").unwrap();
    for smuggled in [
        format!("{evil}\n{message}"),
        format!("{message}{evil}"),
        format!("{message}{}", Key::new().sign(evil)),
        format!("{}{message}", Key::new().sign(evil)),
        format!("{head}\n{evil}\n{body}-----BEGIN PGP SIGNATURE-----\n{signature}"),
        format!("{head}\n\n{body}-----BEGIN PGP SIGNATURE-----\n{evil}\n{signature}-----END"),
        message.replace("\nHash:", " \nHash:"),
    ] {
        assert!(ours(&smuggled, &[&key]).is_err(), "{smuggled}");
    }
    assert!(ours(&format!("{message}\n\n"), &[&key]).is_ok(), "empty lines at the end mean nothing");
}

#[test]
fn a_keyring_without_certificates_is_refused() {
    for text in ["", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnonsense\n-----END PGP PUBLIC KEY BLOCK-----\n"] {
        assert!(Keyring::parse(text).is_err());
    }
}

#[test]
fn debian_13s_certificates_are_the_known_three() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/bases/keys/debian-13.asc");
    let keyring = Keyring::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected = "04B54C3CDCA79751B16BC6B5225629DF75B188BD, 5E04A1E3223A19A20706E20F9904613D4CCE68C6, \
                    41587F7DB8C774BCCF131416762F67A0B2C39DE4";
    assert_eq!(keyring.fingerprints(), expected);
}
