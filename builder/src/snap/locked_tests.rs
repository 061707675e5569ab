use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::super::fixture::snap_store::SnapStore as StandIn;
use super::super::fixture::{AUTHORITY, pack};
use super::*;
use crate::artifact;
use crate::mirror::{Fault, Mirror};
use crate::recipe;
use crate::store::Network;

/// A recipe whose snaps come from a stand-in for a store, and an empty cache.
struct Scene {
    folder: tempfile::TempDir,
    mirror: Mirror,
    stand_in: StandIn,
}

const SNAPS: [(&str, &str, &str); 3] = [
    ("snapd", "latest/stable", "type: snapd"),
    ("core20", "latest/stable", "type: base"),
    ("microk8s", "1.33/stable", "base: core20\nconfinement: classic"),
];

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in ["recipes/bases", "overlays"] {
            let name = Path::new(name);
            std::os::unix::fs::symlink(shipped.join(name), folder.path().join(name.file_name().unwrap())).unwrap();
        }
        let www = folder.path().join("www");
        fs::create_dir_all(&www).unwrap();
        let mirror = Mirror::serve(&www).unwrap();
        let stand_in = StandIn::new(&www, &mirror.url(), &AUTHORITY).unwrap();
        let scene = Self { folder, mirror, stand_in };
        for (number, (name, channel, yaml)) in SNAPS.into_iter().enumerate() {
            let content = fs::read(scene.packed(name, yaml)).unwrap();
            scene.stand_in.publish(&AUTHORITY, name, channel, number as u64 + 1, &content).unwrap();
        }
        fs::write(scene.path("trusted"), AUTHORITY.roots()).unwrap();
        fs::write(scene.path("model"), AUTHORITY.model()).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn packed(&self, name: &str, yaml: &str) -> PathBuf {
        let path = self.path(&format!("{name}.snap"));
        pack(&format!("name: {name}\nversion: 1\n{yaml}\n"), &path);
        path
    }

    /// A recipe with these snaps, each with what else its table has.
    fn recipe(&self, snaps: &[(&str, &str, &str)]) -> Loaded {
        let mut text = "name = 'x'\nversion = '1'\nbases = ['debian-13']\n[platform]\nkind = 'microk8s'\n".to_owned();
        writeln!(text, "store = '{}'\ntrusted = 'trusted'\nmodel = 'model'", self.mirror.url()).unwrap();
        for (name, channel, rest) in snaps {
            writeln!(text, "[[platform.snaps]]\nname = '{name}'\nchannel = '{channel}'\n{rest}").unwrap();
        }
        fs::write(self.path("x.toml"), text).unwrap();
        recipe::load(&self.path("x.toml"), None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn plain(&self) -> Loaded {
        self.recipe(&SNAPS.map(|(name, channel, _)| (name, channel, "")))
    }

    fn store(&self, offline: bool) -> Store {
        let (stall, pause) = (Duration::from_millis(400), Duration::from_millis(10));
        Store::with_network(&self.path("cache"), Network { stall, pause, offline, ..Network::default() }).unwrap()
    }

    fn lock(&self, recipe: &Loaded) -> Result<(Locked, Vec<Pin>)> {
        let (store, progress) = (self.store(false), Progress::silent());
        let pins = artifact::pin(recipe, &store, &progress).unwrap();
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let locked = Locking { recipe, pins: &pins, store: &store, progress: &progress, now }.lock()?;
        locked.map(|(locked, more)| (locked, [pins, more].concat())).ok_or_else(|| unreachable!())
    }

    fn told(&self, recipe: &Loaded) -> String {
        self.lock(recipe).unwrap_err().to_string()
    }
}

#[test]
fn channels_are_resolved_once_and_seeded_without_a_network() {
    let scene = Scene::new();
    let recipe = scene.plain();
    let (locked, pins) = scene.lock(&recipe).unwrap();
    let told: Vec<_> = locked.snap.iter().map(|one| (one.name.as_str(), one.channel.as_str(), one.revision)).collect();
    assert_eq!(told, [("snapd", "latest/stable", 1), ("core20", "latest/stable", 2), ("microk8s", "1.33/stable", 3)]);
    assert!(pins.iter().all(|pin| pin.from.starts_with(&scene.mirror.url())), "{pins:?}");
    let asked = scene.mirror.requests();
    let sent = |part: &str, header: &str| {
        asked.iter().filter(|one| one.path.contains(part)).all(|one| one.headers.iter().any(|line| line == header))
    };
    assert!(sent("/v2/snaps/info/", "snap-device-series: 16"), "{asked:?}");
    assert!(sent("/v2/assertions/", "accept: application/x.ubuntu.assertion"), "{asked:?}");
    let Platform::Microk8s(platform) = &recipe.recipe.platform else { unreachable!() };
    let store = scene.store(true);
    let files = Files::of(&recipe.folder, &pins, &store);
    let seed = locked.seed(&recipe, platform, files).unwrap();
    assert_eq!(Locked::of(&seed), locked);
    assert_eq!(scene.mirror.requests().len(), asked.len(), "nothing more is asked");
}

#[test]
fn a_snap_may_lie_beside_the_recipe_with_its_assertions() {
    let scene = Scene::new();
    let content = fs::read(scene.packed("helm", "base: core20\nconfinement: classic")).unwrap();
    let of_helm = [
        AUTHORITY.common(),
        AUTHORITY.declaration("helm-id", "helm"),
        AUTHORITY.revision(&super::super::fixture::authority::sha3_384(&content), content.len() as u64, "helm-id", 9),
    ];
    fs::write(scene.path("helm.assert"), of_helm.join("\n")).unwrap();
    let own = ("helm", "latest/stable", "file = 'helm.snap'\nassertions = 'helm.assert'");
    let recipe = scene.recipe(&[&SNAPS.map(|(name, channel, _)| (name, channel, ""))[..], &[own]].concat());
    let (locked, pins) = scene.lock(&recipe).unwrap();
    assert_eq!(locked.snap.last().map(|one| (one.name.as_str(), one.revision)), Some(("helm", 9)));
    assert_eq!(pins[0].from, "helm.snap");
    assert!(!scene.mirror.requests().iter().any(|one| one.path.contains("helm")), "the store is not asked for it");
    fs::write(scene.path("helm.assert"), of_helm[..2].join("\n")).unwrap();
    let told = scene.told(&recipe);
    assert!(told.contains("the snap helm: there is no assertion snap-revision"), "{told}");
}

#[test]
fn a_lock_and_its_files_are_judged_again_when_they_are_seeded() {
    let scene = Scene::new();
    let recipe = scene.plain();
    let (locked, pins) = scene.lock(&recipe).unwrap();
    let Platform::Microk8s(platform) = &recipe.recipe.platform else { unreachable!() };
    let store = scene.store(true);
    let files = Files::of(&recipe.folder, &pins, &store);
    let told = |locked: &Locked| locked.seed(&recipe, platform, files).unwrap_err().to_string();
    let mut other = locked.clone();
    other.snap[2].revision = 4;
    assert!(
        told(&other).contains("found the revision microk8s 3 from 1.33/stable, expected microk8s 4"),
        "{}",
        told(&other)
    );
    let mut other = locked.clone();
    other.assertions = locked.assertions.replace("snap-revision: 3", "snap-revision: 4");
    assert!(told(&other).contains("not over this content"), "{}", told(&other));
    let mut other = locked.clone();
    other.assertions = String::new();
    assert!(told(&other).contains("no assertion snap-revision"), "{}", told(&other));
}

#[test]
fn what_the_store_has_not_is_told_with_what_it_has() {
    let scene = Scene::new();
    let with = |channel| scene.recipe(&[("snapd", channel, ""), ("microk8s", "1.33/stable", "")]);
    let told = scene.told(&with("9.99/stable"));
    assert!(told.contains("no channel `9.99/stable` for amd64; found other/edge, latest/stable"), "{told}");
    let told = scene.told(&with("latest/stable"));
    assert!(told.contains("the snap microk8s runs on core20, which is not among them"), "{told}");
    let told = scene.told(&scene.recipe(&[
        ("snapd", "latest/stable", ""),
        ("microk8s", "1.33/stable", ""),
        ("nono", "a/beta", ""),
    ]));
    assert!(told.contains("there is no snap `nono`"), "{told}");
    scene.stand_in.put("v2/snaps/info/snapd", "<html>").unwrap();
    assert!(scene.told(&scene.plain()).contains("is it a snap store's API"), "{}", scene.told(&scene.plain()));
}

#[test]
fn a_download_or_an_assertion_that_was_changed_is_refused() {
    let scene = Scene::new();
    scene.mirror.fail("microk8s-id_3.snap", Fault::FlipBit(100), 1);
    let told = scene.told(&scene.plain());
    assert!(
        told.contains("the snap microk8s: found the SHA3-384") && told.contains("revision 3 of 1.33/stable"),
        "{told}"
    );
    let (key, of_key) = (&AUTHORITY.store.id, AUTHORITY.account_key("testroot", "store", &AUTHORITY.store));
    let path = format!("v2/assertions/account-key/{key}");
    scene.stand_in.put(&path, of_key.replacen("name: store", "name: stare", 1)).unwrap();
    assert!(scene.told(&scene.plain()).contains("not over this content"), "{}", scene.told(&scene.plain()));
    fs::remove_file(scene.path("www").join(&path)).unwrap();
    let told = scene.told(&scene.plain());
    assert!(told.contains("there is no such assertion") && told.contains(key), "{told}");
}
