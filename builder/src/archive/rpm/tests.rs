//! Opening repositories: what is right is read, what is wrong is refused with a clear word.

use std::fs;

use super::fixture::{Item, Scene};
use crate::archive::Opening;
use crate::archive::fixture::Key;
use crate::mirror::Fault;
use crate::recipe::base::Source;

fn items() -> Vec<Item> {
    vec![
        Item::new("alpha", "1-1", "Requires: beta >= 2"),
        Item::new("beta", "2.1-1", ""),
        Item::new("beta", "1:1-1", "Arch: i686"),
        Item::new("beta", "2.1~rc1-1", ""),
        Item::new("gamma", "1-1", "Arch: noarch\nProvides: word = 3"),
    ]
}

fn refused(scene: &Scene) -> String {
    let error = scene.open().unwrap_err().to_string();
    assert!(!error.is_empty());
    error
}

#[test]
fn a_repository_is_read_in_every_format_and_fetched_once() {
    for format in [".gz", ".xz", ".zst", ""] {
        let scene = Scene::new(items());
        scene.publish(format);
        let archive = scene.open().unwrap();
        assert_eq!((archive.len(), archive.released().to_string()), (5, "2026-06-15T06:00:00Z".to_owned()));
        let beta = archive.newest("beta").unwrap();
        assert_eq!((beta.version.as_str(), beta.architecture.as_str()), ("2.1-1", "x86_64"));
        let urls = archive.downloads(std::slice::from_ref(&beta)).remove(0).urls;
        assert_eq!(urls, [format!("{}/almalinux/9/BaseOS/os/Packages/beta-2.1-1.x86_64.rpm", scene.mirror.url())]);
        assert!(archive.has(&beta));
        let asked = scene.mirror.requests().len();
        assert_eq!(scene.open().unwrap().digest(), archive.digest());
        assert_eq!(scene.mirror.requests().len(), asked + 2, "only repomd.xml and its signature are asked for anew");
        let kinds: Vec<_> = archive.indices().map(|index| (index.suite, index.source)).collect();
        assert_eq!(kinds, [("BaseOS/os", 0), ("BaseOS/os", 0)]);
    }
}

#[test]
fn a_list_that_must_be_signed_and_is_not_is_refused() {
    let mut scene = Scene::new(items());
    let path = scene.repository().join("repodata/repomd.xml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("<revision>", " <revision>")).unwrap();
    assert!(refused(&scene).contains("repomd.xml: "));
    fs::remove_file(path.with_extension("xml.asc")).unwrap();
    assert!(refused(&scene).contains("it is not signed: "));
    let mut base = scene.base();
    base.sources[0].signed = false;
    assert_eq!(scene.open_with(&base, &[]).unwrap().len(), 5, "where it need not be, nobody asks");
    scene.key = Key::new();
    let known = scene.keyring();
    scene.key = Key::new();
    scene.publish(".gz");
    let trust = crate::archive::Trust::all(&known, &scene.base());
    let mirrors = crate::archive::Mirrors::new(&[], std::path::Path::new("/nonexistent"));
    let (progress, now) = (crate::progress::Progress::silent(), super::fixture::NOW.parse().unwrap());
    let error = super::Archive::open(&Opening {
        base: &scene.base(),
        trust: &trust,
        mirrors: &mirrors,
        store: &scene.store(),
        progress: &progress,
        now,
    })
    .unwrap_err();
    assert!(error.to_string().contains("a signature by the unknown key"), "{error}");
}

#[test]
fn an_index_that_is_not_as_listed_or_not_as_it_must_be_is_refused() {
    let scene = Scene::new(items());
    scene.mirror.fail("primary", Fault::FlipBit(20), 99);
    let error = refused(&scene);
    assert!(error.contains("fetching BaseOS/os primary.xml.gz from") && error.contains("digest differs"), "{error}");

    let scene = Scene::new(items());
    scene.publish_as(&scene.primary(), ".xz", |size| size - 1);
    assert!(refused(&scene).contains("bytes unpacked"));
    scene.publish_as(&scene.primary().replace("<metadata", "<!DOCTYPE x [<!ENTITY a 'a'>]><metadata"), ".xz", |size| {
        size
    });
    assert!(refused(&scene).contains("a document type"));
    scene.publish_as(&scene.primary().replace("</metadata>", ""), ".xz", |size| size);
    let told = refused(&scene);
    assert!(told.contains("reading http") && told.contains("primary.xml.xz: byte"), "{told}");
    scene.publish_as(&scene.primary().replace("Packages/beta-2.1-1", "../../beta-2.1-1"), ".gz", |size| size);
    let error = scene.open().unwrap().newest("beta").unwrap_err().to_string();
    assert!(
        error.contains("package `beta`: its location `../../beta-2.1-1.x86_64.rpm` is not as it must be"),
        "{error}"
    );
}

#[test]
fn a_list_from_the_future_or_without_an_index_is_refused() {
    let scene = Scene::new(items());
    let text = fs::read_to_string(scene.repository().join("repodata/repomd.xml")).unwrap();
    scene.write_repomd(&text.replace("<revision>1781503200", "<revision>1791503200"));
    assert!(refused(&scene).contains("set this machine's clock"));
    scene.write_repomd(&text.replace("\"filelists\"", "\"files\""));
    assert!(refused(&scene).contains("it does not list `filelists`"));
}

#[test]
fn a_list_that_was_not_renewed_for_long_is_told_with_its_age() {
    let scene = Scene::new(items());
    let (mut base, archive) = (scene.base(), scene.open().unwrap());
    let after = |days: i64| archive.released() + jiff::SignedDuration::from_hours(days * 24 + 1);
    let stale =
        |base: &_, days| crate::archive::stale(&super::super::Archive::Rpm(scene.open().unwrap()), base, after(days));
    assert_eq!((stale(&base, 0), stale(&base, 60)), (Vec::new(), Vec::new()));
    let [told] = &stale(&base, 61)[..] else { panic!("one suite, told once") };
    let words = told.to_string();
    assert!(
        words.contains("`BaseOS/os` of `almalinux/9` was last renewed 61 days ago, on 2026-06-15, expected at most 60"),
        "{words}"
    );
    base.sources[0].stale_after_days = Some(400);
    assert_eq!(stale(&base, 61), Vec::new());
    assert_eq!(stale(&base, 401).len(), 1);
}

#[test]
fn another_mirror_makes_good_what_the_first_one_lacks_and_a_list_of_mirrors_is_asked() {
    for fault in [Fault::Status(404), Fault::Status(503), Fault::FlipBit(90)] {
        let scene = Scene::new(items());
        let mut base = scene.base();
        base.sources[0].mirrors = vec![format!("{}/broken/almalinux/9", scene.mirror.url())];
        scene.mirror.fail("/broken/", fault, 99);
        scene.open_with(&base, &[]).unwrap_err();
        let list = format!("ftp://x.example/a\n# a comment\n{}/almalinux/9/BaseOS/$basearch/\n", scene.mirror.url());
        fs::write(scene.folder.path().join("list"), list).unwrap();
        fs::rename(scene.repository(), scene.repository().with_file_name("x86_64")).unwrap();
        let mirrorlist = Some(format!("{}/list", scene.mirror.url()));
        let source = base.sources.remove(0);
        base.sources = vec![Source { mirrorlist, suites: vec!["BaseOS/x86_64".to_owned()], ..source }];
        let archive = scene.open_with(&base, &[]).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let urls = archive.downloads(&[archive.newest("alpha").unwrap()]).remove(0).urls;
        let good = format!("{}/almalinux/9/BaseOS/x86_64/Packages/alpha-1-1.x86_64.rpm", scene.mirror.url());
        assert_eq!((urls.len(), urls[0].as_str()), (2, good.as_str()));
        let asked = scene.mirror.requests().iter().filter(|request| request.path == "/list").count();
        scene.open_with(&base, &[format!("{}/almalinux/9", scene.mirror.url())]).unwrap();
        assert_eq!(scene.mirror.requests().iter().filter(|request| request.path == "/list").count(), asked);
    }
}

#[test]
fn a_closure_follows_files_conditions_and_providers() {
    let mut scene = Scene::new(vec![
        Item::new(
            "root",
            "1-1",
            "Requires: /usr/bin/tool, /usr/share/deep, rpmlib(X) <= 1-1, word >= 2, (absent or beta)",
        ),
        Item::new("tool", "1-1", "Files: /usr/bin/tool\nRequires: (extra if word), (never if absent)"),
        Item::new("deep", "1-1", "Other: /usr/share/deep\nRequires: (lib with lib < 2), (late if last)"),
        Item::new("a-long-provider", "1-1", "Provides: word = 3"),
        Item::new("short", "1-1", "Provides: word = 2"),
        Item::new("old", "1-1", "Provides: word = 1"),
        Item::new("beta", "1-1", ""),
        Item::new("beta", "2-1", "Requires: last"),
        Item::new("beta", "3-1", "Arch: i686"),
        Item::new("beta", "4-1.module_x", ""),
        Item::new("lib", "2-1", ""),
        Item::new("lib", "1-1", ""),
        Item::new("extra", "1-1", ""),
        Item::new("last", "1-1", ""),
        Item::new("late", "1-1", ""),
        Item::new("bad", "1-1", "Requires: (absent >= 1 and beta)"),
        Item::new("own", "1-1", "Requires: absent >= 1"),
    ]);
    scene.modules = Some("data:\n  artifacts:\n    rpms:\n    - beta-0:4-1.module_x.x86_64\n".to_owned());
    scene.publish(".zst");
    let archive = scene.open().unwrap();
    let closure = |name: &str| archive.closure(&[name.to_owned()]);
    let names: Vec<String> =
        closure("root").unwrap().into_iter().map(|package| format!("{}={}", package.name, package.version)).collect();
    let expected =
        ["beta=2-1", "deep=1-1", "extra=1-1", "last=1-1", "late=1-1", "lib=1-1", "root=1-1", "short=1-1", "tool=1-1"];
    assert_eq!(names, expected);
    assert_eq!(closure("/usr/bin/tool").unwrap().len(), 1, "nobody provides `word` then, nor needs it");
    let error = closure("own").unwrap_err().to_string();
    assert_eq!(error, "`own` needs `absent >= 1`, which no package of BaseOS/os satisfies");
    assert!(closure("bad").unwrap_err().to_string().starts_with("`bad` needs `(absent >= 1 and beta)`"));
    let error = closure("tolo").unwrap_err().to_string();
    assert!(error.contains("no package `tolo` in BaseOS/os\n  hint: the nearest name is `tool`"), "{error}");
}
