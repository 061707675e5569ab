//! Opening archives: what is right is read, what is wrong is refused with a clear word.

use std::fs;

use super::fixture::{Scene, stanza};
use crate::archive::fixture::Key;
use crate::mirror::Fault;

fn packages() -> String {
    stanza("alpha", "1.0", "Essential: yes\nDepends: beta (>= 2) | gamma")
        + &stanza("beta", "2.1", "")
        + &stanza("gamma", "1", "Provides: word (= 3)")
}

fn refused(scene: &Scene) -> String {
    let error = scene.open().unwrap_err().to_string();
    assert!(!error.is_empty());
    error
}

#[test]
fn an_archive_is_read_in_every_format_and_unpacked_once() {
    for formats in [&["", ".xz"][..], &["", ".zst"], &["", ".gz"], &[""], &[".xz"]] {
        let scene = Scene::new(&packages());
        scene.publish(formats);
        let archive = scene.open().unwrap();
        assert_eq!((archive.len(), archive.essential()), (3, vec!["alpha".to_owned()]));
        assert_eq!(archive.released().to_string(), "2026-06-15T06:00:00Z");
        let beta = archive.newest("beta").unwrap();
        assert_eq!((beta.version.as_str(), beta.source), ("2.1", 0));
        let urls = archive.downloads(&[beta]).remove(0).urls;
        assert_eq!(urls, [format!("{}/debian/pool/main/beta_2.1_amd64.deb", scene.mirror.url())]);
        let again = scene.open().unwrap();
        assert_eq!(again.digest(), archive.digest());
        let asked = scene.mirror.requests().into_iter().filter(|request| request.path.contains("by-hash")).count();
        assert_eq!(asked, 1, "{formats:?}");
    }
}

#[test]
fn an_index_is_asked_for_by_its_name_where_its_digest_is_unknown_to_the_mirror() {
    let mut scene = Scene::new(&packages());
    fs::remove_dir_all(scene.folder.path().join("debian/dists/stable/main/binary-amd64/by-hash")).unwrap();
    assert_eq!(scene.open().unwrap().len(), 3);
    scene.head = scene.head.replace("Acquire-By-Hash: yes", "Acquire-By-Hash: no");
    scene.packages += &stanza("delta", "1", "");
    scene.publish(&[".xz"]);
    fs::remove_dir_all(scene.folder.path().join("debian/dists/stable/main/binary-amd64/by-hash")).unwrap();
    assert_eq!(scene.open().unwrap().len(), 4);
    assert!(!scene.mirror.requests().last().unwrap().path.contains("by-hash"));
}

#[test]
fn an_expired_release_is_refused_with_both_times() {
    let mut scene = Scene::new(&packages());
    scene.head = scene.head.replace("22 Jun", "15 Jun");
    scene.publish(&[".xz"]);
    let error = refused(&scene);
    assert!(
        error.contains("InRelease: it was valid until 2026-06-15T06:00:00Z, and it is 2026-06-15T12:00:00Z"),
        "{error}"
    );
}

#[test]
fn a_release_of_another_suite_component_or_architecture_is_refused() {
    for (from, to, told) in [
        ("Suite: stable\nCodename: testing-suite", "Suite: old\nCodename: older", "found the suite `older`"),
        ("Components: main", "Components: contrib", "found the components `contrib`, expected `main`"),
        ("Architectures: amd64", "Architectures: arm64", "found the architectures `arm64`, expected `amd64`"),
        ("Date: Mon, 15 Jun", "Date: Wed, 17 Jun", "it was made at 2026-06-17"),
    ] {
        let mut scene = Scene::new(&packages());
        scene.head = scene.head.replace(from, to);
        scene.publish(&[".xz"]);
        let error = refused(&scene);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_flipped_bit_in_in_release_is_refused_and_nothing_kept() {
    let scene = Scene::new(&packages());
    scene.mirror.fail("InRelease", Fault::FlipBit(90), 9);
    let error = refused(&scene);
    assert!(error.contains("verifying") && error.contains("expected a good signature by one of"), "{error}");
    assert_eq!(scene.mirror.requests().len(), 1);
}

#[test]
fn a_flipped_bit_in_an_index_is_refused() {
    let scene = Scene::new(&packages());
    scene.mirror.fail("Packages", Fault::FlipBit(20), 9);
    scene.mirror.fail("by-hash", Fault::FlipBit(20), 9);
    let error = refused(&scene);
    assert!(
        error.contains("fetching stable main/binary-amd64/Packages.xz from") && error.contains("digest differs"),
        "{error}"
    );
}

#[test]
fn an_index_that_unpacks_to_other_bytes_than_listed_is_refused() {
    let scene = Scene::new(&packages());
    let release = fs::read_to_string(scene.release_path()).unwrap();
    let text = release.split("\n\n").nth(1).unwrap().split("-----BEGIN").next().unwrap();
    let plain = text.lines().find(|line| line.ends_with("/Packages")).unwrap();
    let other = plain.replacen(&plain[1..9], "00000000", 1);
    scene.write_release(&scene.sign(&text.replace(plain, &other)));
    let error = refused(&scene);
    assert!(error.contains("(unpacked)") && error.contains("digest differs"), "{error}");
}

#[test]
fn a_release_by_another_key_is_refused() {
    let mut scene = Scene::new(&packages());
    scene.key = Key::new();
    let error = refused(&scene);
    assert!(error.contains("a signature by the unknown key"), "{error}");
}

#[test]
fn another_mirror_makes_good_what_the_first_one_lacks_or_spoils() {
    for fault in [Fault::Status(404), Fault::Status(503), Fault::FlipBit(90), Fault::Stall(10)] {
        let scene = Scene::new(&packages());
        let mut base = scene.base();
        let good = base.sources[0].mirrors[0].clone();
        base.sources[0].mirrors.insert(0, format!("{}/broken/debian", scene.mirror.url()));
        scene.mirror.fail("/broken/debian/dists", fault, 99);
        let archive = scene.open_with(&base, &[]).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let urls = archive.downloads(&[archive.newest("beta").unwrap()]).remove(0).urls;
        assert!(urls[0].starts_with(&good), "what was found goes first: {urls:?}");
        assert_eq!(urls.len(), 2);
    }
}

#[test]
fn a_named_mirror_is_not_left_for_another_one() {
    for (fault, told) in [
        (Fault::Status(404), "404 Not Found"),
        (Fault::Status(503), "503 Service Unavailable"),
        (Fault::Stall(10), "no mirror delivered it"),
        (Fault::FlipBit(90), "verifying"),
    ] {
        let scene = Scene::new(&packages());
        scene.mirror.fail("/named/debian/dists", fault, 99);
        let folder = scene.folder.path();
        fs::create_dir(folder.join("named")).unwrap();
        std::os::unix::fs::symlink(folder.join("debian"), folder.join("named/debian")).unwrap();
        let error = scene.open_with(&scene.base(), &[format!("{}/named", scene.mirror.url())]).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("/named/debian/dists/stable/InRelease"), "{error}");
    }
}

#[test]
fn an_archive_beside_the_named_one_comes_from_the_usual_mirrors_where_the_named_one_lacks_it() {
    let scene = Scene::new(&packages());
    let folder = scene.folder.path();
    fs::create_dir(folder.join("usual")).unwrap();
    std::os::unix::fs::symlink(folder.join("debian"), folder.join("usual/debian-security")).unwrap();
    let mut base = scene.base();
    let mut security = base.sources[0].clone();
    security.archive = "debian-security".to_owned();
    security.mirrors = vec![format!("{}/usual/debian-security", scene.mirror.url())];
    base.sources.push(security);
    let archive = scene.open_with(&base, &[format!("{}/debian", scene.mirror.url())]).unwrap();
    assert_eq!(archive.len(), 6);
}

#[test]
fn a_closure_follows_alternatives_and_providers() {
    let text = stanza("alpha", "1", "Depends: missing | beta (>= 2), word (>= 2), gamma | beta")
        + &stanza("beta", "1", "")
        + &stanza("beta", "2", "Pre-Depends: delta")
        + &stanza("delta", "1", "")
        + &stanza("aword", "1", "Provides: word\nPriority: required")
        + &stanza("gamma", "1", "Provides: word (= 3)")
        + &stanza("bad", "1", "Depends: missing (>= 1) | missing-too");
    let scene = Scene::new(&text);
    let archive = scene.open().unwrap();
    let names = |wanted: &str| -> Vec<String> {
        let closure = archive.closure(&[wanted.to_owned()]).unwrap();
        closure.into_iter().map(|package| format!("{}={}", package.name, package.version)).collect()
    };
    assert_eq!(names("alpha"), ["alpha=1", "beta=2", "delta=1", "gamma=1"]);
    assert_eq!(names("word"), ["aword=1"]);
    let error = archive.closure(&["bad".to_owned()]).unwrap_err().to_string();
    assert_eq!(error, "`bad` needs `missing (>= 1) | missing-too`, which no package of stable satisfies");
    let error = archive.closure(&["alhpa".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("no package `alhpa` in stable\n  hint: the nearest name is `alpha`"), "{error}");
}
