use super::super::fixture::AUTHORITY;
use super::super::fixture::authority::{Key, PUBLISHER, ROOT};
use super::super::{CANONICAL, GENERIC_CLASSIC};
use super::*;

fn read(text: &str) -> Vec<Assertion> {
    Assertion::stream(text, "test").unwrap()
}

fn now() -> Option<Timestamp> {
    Some("2026-11-21T00:00:00Z".parse().unwrap())
}

fn trusting() -> Judged {
    Judged::new(&read(&AUTHORITY.roots()), now()).unwrap()
}

fn refused(text: &str) -> String {
    let mut judged = trusting();
    judged.add(read(&AUTHORITY.common())).unwrap();
    judged.add(read(text)).unwrap_err().to_string()
}

#[test]
fn canonicals_real_assertions_are_believed() {
    let mut judged = Judged::new(&read(CANONICAL), now()).unwrap();
    judged.add(read(GENERIC_CLASSIC)).unwrap();
    assert_eq!(judged.find("model", &[("model", "generic-classic")]).unwrap().header("classic"), Some("true"));
}

/// The store's key, a developer and a model of snapd's own tests, signed by snapd's own tools under the root of its tests.
#[test]
fn what_snapd_and_its_store_signed_is_believed() {
    let mut judged = Judged::new(&read(include_str!("fixtures/testrootorg.assert")), now()).unwrap();
    judged.add(read(include_str!("fixtures/developer1.assert"))).unwrap();
    assert_eq!(judged.find("model", &[("model", "my-classic-w-gadget")]).unwrap().authority(), "developer1");
    let mut canonical = Judged::new(&read(CANONICAL), now()).unwrap();
    let told = canonical.add(read(include_str!("fixtures/developer1.assert"))).unwrap_err().to_string();
    assert!(told.contains("by which it is signed"), "{told}");
}

#[test]
fn a_changed_bit_of_a_real_assertion_is_found() {
    for (from, to) in [
        ("display-name: Generic", "display-name: generic"),
        ("classic: true", "classic: no"),
        ("KvEWYvzOWNhN", "KvEWYvzOWNhM"),
    ] {
        let text = GENERIC_CLASSIC.replacen(from, to, 1);
        assert_ne!(text, GENERIC_CLASSIC);
        let mut judged = Judged::new(&read(CANONICAL), now()).unwrap();
        let told = judged.add(read(&text)).unwrap_err().to_string();
        assert!(told.contains("signature") && told.contains("-CvQKAwR"), "{told}");
    }
    let roots = CANONICAL.replacen("name: root", "name: ruut", 1);
    assert!(Judged::new(&read(&roots), now()).unwrap_err().to_string().contains("not over this content"));
}

#[test]
fn a_chain_is_believed_in_whatever_order_it_comes() {
    let chain = [AUTHORITY.revision("abc", 5, "id1", 3), AUTHORITY.declaration("id1", "hello"), AUTHORITY.common()];
    let mut judged = trusting();
    judged.add(read(&chain.join("\n"))).unwrap();
    assert_eq!(judged.find("snap-revision", &[("snap-id", "id1")]).unwrap().header("snap-revision"), Some("3"));
    assert!(judged.find("snap-revision", &[("snap-id", "id2")]).is_none());
    assert_eq!(judged.all().count(), 4, "the roots are snapd's own, and not told again");
}

#[test]
fn a_broken_chain_is_told_with_what_is_missing() {
    let told = trusting().add(read(&AUTHORITY.declaration("id1", "hello"))).unwrap_err().to_string();
    assert!(told.contains("snap-declaration 16 id1") && told.contains(&AUTHORITY.store.id), "{told}");
    let key = AUTHORITY.account_key(ROOT, "store", &AUTHORITY.store);
    let told = trusting().add(read(&[key, AUTHORITY.declaration("id1", "hello")].join("\n"))).unwrap_err().to_string();
    assert!(told.contains(&format!("no assertion of the account {PUBLISHER}")), "{told}");
    let other = Judged::new(&read(CANONICAL), now()).unwrap().add(read(&AUTHORITY.common())).unwrap_err().to_string();
    assert!(other.contains(&AUTHORITY.root.id) && other.contains("-CvQKAwR"), "{other}");
}

#[test]
fn nobody_signs_what_is_not_his_to_say() {
    let stranger = Key::generate();
    let headers = |authority: &'static str| {
        [("type", "snap-declaration"), ("authority-id", authority), ("series", "16"), ("snap-id", "id1")]
    };
    let rest = [("publisher-id", PUBLISHER), ("snap-name", "hello")];
    let sign = |authority| stranger.sign(&[&headers(authority)[..], &rest].concat(), "");
    let key = AUTHORITY.account_key(PUBLISHER, "own", &stranger);
    let told = refused(&format!("{key}\n{}", sign(PUBLISHER)));
    assert!(told.contains(&format!("`{PUBLISHER}` may not sign it; only {ROOT} may")), "{told}");
    let told = refused(&format!("{key}\n{}", sign(ROOT)));
    assert!(told.contains(&format!("the word of `{ROOT}`, signed by a key of `{PUBLISHER}`")), "{told}");
    let model = [("type", "model"), ("authority-id", PUBLISHER), ("series", "16"), ("brand-id", ROOT), ("model", "m")];
    let told = refused(&format!("{key}\n{}", stranger.sign(&model, "")));
    assert!(told.contains(&format!("its brand is `{ROOT}`, and `{PUBLISHER}` signed it")), "{told}");
}

#[test]
fn a_key_counts_in_its_time_alone() {
    let brief = Key::generate();
    let headers = [
        ("type", "account-key"),
        ("authority-id", ROOT),
        ("public-key-sha3-384", &brief.id),
        ("account-id", ROOT),
        ("since", "2021-01-01T00:00:00Z"),
        ("until", "2022-01-01T00:00:00Z"),
    ];
    let key = AUTHORITY.root.sign(&headers, &brief.body);
    let account = |timestamp| {
        let headers = [("type", "account"), ("authority-id", ROOT), ("account-id", "x"), ("timestamp", timestamp)];
        format!("{key}\n{}", brief.sign(&headers, ""))
    };
    let told = refused(&account("2020-06-01T00:00:00Z"));
    assert!(told.contains("made at 2020-06-01T00:00:00Z, and its key is valid from 2021"), "{told}");
    let told = refused(&account("2021-06-01T00:00:00Z"));
    assert!(told.contains("until 2022-01-01T00:00:00Z, and it is 2026-11-21T00:00:00Z now"), "{told}");
    let mut locked = Judged::new(&read(&AUTHORITY.roots()), None).unwrap();
    locked.add(read(&account("2021-06-01T00:00:00Z"))).unwrap();
}

#[test]
fn a_key_is_what_it_says_that_it_is() {
    let (mut mixed, other) = (Key::generate(), Key::generate());
    mixed.body = other.body;
    let told = refused(&AUTHORITY.account_key(ROOT, "mixed", &mixed));
    assert!(told.contains(&other.id) && told.contains(&mixed.id), "{told}");
}
