//! Packages that are signed as they must be, and all that are not.

use std::fs;
use std::time::SystemTime;

use super::super::fixture::{Entries, header, main_entries, rpm, signed_at};
use super::*;
use crate::archive::fixture::{DAY, Key, sign_detached};

const PAYLOAD: &[u8] = b"a payload";

fn package() -> Package {
    Package { version: "2:1.5-3".to_owned(), architecture: "x86_64".to_owned(), ..Package::named("tool", "") }
}

fn key() -> Key {
    Key::made(signed_at() - 30 * DAY, None)
}

fn keyring(keys: &[&Key]) -> Keyring {
    Keyring::parse(&keys.iter().map(|key| key.armored()).collect::<String>()).unwrap()
}

fn judge(file: &[u8], keys: &[&Key]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool.rpm");
    fs::write(&path, file).unwrap();
    verify(&path, &package(), &keyring(keys))
}

fn signature(main: &[u8], key: &Key, at: SystemTime) -> Entries {
    let bytes = sign_detached(main, key, at);
    vec![(tag::SIGNATURE_RSA, 7, u32::try_from(bytes.len()).unwrap(), bytes)]
}

fn signed(main: &Entries, key: &Key) -> Vec<u8> {
    let main = header(main);
    rpm(&signature(&main, key, signed_at()), &main, PAYLOAD)
}

#[test]
fn a_package_signed_by_one_of_the_certificates_is_accepted() {
    let (ours, other) = (key(), key());
    let main = header(&main_entries("tool", PAYLOAD));
    judge(&signed(&main_entries("tool", PAYLOAD), &ours), &[&other, &ours]).unwrap();
    let mut signatures = signature(&main, &other, signed_at());
    signatures.extend(
        signature(&main, &ours, signed_at())
            .into_iter()
            .map(|(_, kind, count, value)| (tag::SIGNATURE_DSA, kind, count, value)),
    );
    judge(&rpm(&signatures, &main, PAYLOAD), &[&ours]).unwrap();
}

#[test]
fn packages_outlive_keys_but_not_what_was_signed_after_them() {
    let short = Key::made(signed_at() - 30 * DAY, Some(40 * DAY));
    let main = header(&main_entries("tool", PAYLOAD));
    judge(&rpm(&signature(&main, &short, signed_at()), &main, PAYLOAD), &[&short]).unwrap();
}

#[test]
fn an_unsigned_or_wrongly_signed_package_is_refused() {
    let (ours, other) = (key(), key());
    let main = header(&main_entries("tool", PAYLOAD));
    let error = judge(&rpm(&Vec::new(), &main, PAYLOAD), &[&ours]).unwrap_err();
    assert_eq!(error, "its header is not signed");
    let error = judge(&signed(&main_entries("tool", PAYLOAD), &other), &[&ours]).unwrap_err();
    assert!(error.contains("a signature by the unknown key"), "{error}");
    let of_another = signature(&header(&main_entries("other", PAYLOAD)), &ours, signed_at());
    let error = judge(&rpm(&of_another, &main, PAYLOAD), &[&ours]).unwrap_err();
    assert!(!error.is_empty());
    let garbage = vec![(tag::SIGNATURE_RSA, 7, 4, vec![1, 2, 3, 4])];
    judge(&rpm(&garbage, &main, PAYLOAD), &[&ours]).unwrap_err();
}

#[test]
fn every_byte_of_header_and_payload_counts() {
    let ours = key();
    let file = signed(&main_entries("tool", PAYLOAD), &ours);
    let main = file.len() - PAYLOAD.len() - header(&main_entries("tool", PAYLOAD)).len();
    for at in main..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        judge(&changed, &[&ours]).expect_err(&format!("byte {at} of {}", file.len()));
    }
    judge(&[&file[..], b"more"].concat(), &[&ours]).unwrap_err();
    judge(&file[..file.len() - 1], &[&ours]).unwrap_err();
    judge(&file[..300], &[&ours]).unwrap_err();
}

#[test]
fn a_signed_package_in_place_of_another_one_is_refused() {
    let ours = key();
    let told = |entries: &Entries| judge(&signed(entries, &ours), &[&ours]).unwrap_err();
    assert_eq!(told(&main_entries("shell", PAYLOAD)), "its name is `shell`, expected `tool`");
    let mut older = main_entries("tool", PAYLOAD);
    older.retain(|(tag, ..)| *tag != tag::EPOCH);
    assert_eq!(told(&older), "its version is `1.5-3`, expected `2:1.5-3`");
    let mut source = main_entries("tool", PAYLOAD);
    source.push((tag::SOURCE_PACKAGE, 4, 1, 1u32.to_be_bytes().to_vec()));
    assert_eq!(told(&source), "it is a source package");
}

#[test]
fn a_payload_without_a_strong_digest_is_refused() {
    let ours = key();
    let without = |tag: u32| {
        let mut entries = main_entries("tool", PAYLOAD);
        entries.retain(|(found, ..)| *found != tag);
        judge(&signed(&entries, &ours), &[&ours]).unwrap_err()
    };
    assert_eq!(without(tag::PAYLOAD_DIGEST), "its header has no digest of the payload");
    assert!(without(tag::PAYLOAD_DIGEST_ALGORITHM).contains("of the kind None, expected SHA-256"));
}

#[test]
fn entries_outside_of_the_signed_region_are_refused() {
    let ours = key();
    let mut main = header(&main_entries("tool", PAYLOAD));
    // One more entry and its text, behind the region.
    let entries = main_entries("tool", PAYLOAD).len() + 1;
    main[8..12].copy_from_slice(&u32::try_from(entries + 1).unwrap().to_be_bytes());
    let size = u32::from_be_bytes(main[12..16].try_into().unwrap());
    main[12..16].copy_from_slice(&(size + 2).to_be_bytes());
    let entry = [1085, 6, size, 1].map(u32::to_be_bytes).concat();
    main.splice(16 + entries * 16..16 + entries * 16, entry);
    main.extend(b"x\0");
    let error = judge(&rpm(&signature(&main, &ours, signed_at()), &main, PAYLOAD), &[&ours]).unwrap_err();
    assert_eq!(error, "its header has parts that no signature covers");
}
