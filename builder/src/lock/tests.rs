use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::artifact;
use crate::progress::Progress;
use crate::recipe::base::Family;
use crate::recipe::{self, Loaded};
use crate::store::{Network, Store};

const DIGEST: &str = "b235129b2f112a45ba1a35dec8bfb007b9e655f764fd2ab92f64721cb078e6fd";

/// A copy of the shipped recipes and overlays, which a test may change.
struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        let shelf = Self(tempfile::tempdir().unwrap());
        for folder in ["recipes", "overlays"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
            for entry in walkdir::WalkDir::new(&from) {
                let entry = entry.unwrap();
                let to = shelf.0.path().join(folder).join(entry.path().strip_prefix(&from).unwrap());
                let kind = entry.file_type();
                if kind.is_dir() {
                    fs::create_dir_all(&to).unwrap();
                } else if kind.is_symlink() {
                    symlink(fs::read_link(entry.path()).unwrap(), &to).unwrap();
                } else {
                    fs::copy(entry.path(), &to).unwrap();
                }
            }
        }
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Loaded {
        recipe::load(&self.path("recipes/hello.toml"), None).unwrap()
    }

    fn change(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no `{from}`");
        fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    /// Locks these, and reads the lock after `change`.
    fn read_after(&self, change: impl FnOnce(&Self)) -> Result<Option<Lock>> {
        let recipe = self.load();
        write(&path(&recipe), &recipe, &lock(&recipe)).unwrap();
        change(self);
        read(&path(&recipe), &self.load())
    }
}

fn pins(recipe: &Loaded) -> Vec<Pin> {
    let offline = Network { offline: true, ..Network::default() };
    let store = Store::with_network(&recipe.folder.join("cache"), offline).unwrap();
    artifact::pin(recipe, &store, &Progress::silent()).unwrap()
}

fn lock(recipe: &Loaded) -> Lock {
    let released = "2026-11-20T02:11:10Z".parse().unwrap();
    let package = |name: &str, version: &str| Package { source: 1, ..Package::named(name, version) };
    let solution = |packages: &[Package]| Solution { packages: packages.to_vec(), released };
    let index = recipe.recipe.images.iter().position(|image| !image.packages.is_empty()).unwrap();
    Lock {
        released,
        inputs: inputs::of(recipe).unwrap(),
        indices: vec![Index {
            archive: "debian".to_owned(),
            suite: "trixie".to_owned(),
            path: "main/binary-amd64/Packages".to_owned(),
            released,
            sha256: DIGEST.to_owned(),
        }],
        artifacts: pins(recipe),
        snaps: None,
        tools: vec![package("bash", "5"), package("dpkg", "1")],
        // Not in the order of their names: apt's order is the order of unpacking.
        system: solution(&[package("udev", "2"), Package { essential: true, ..package("bash", "6") }]),
        images: vec![(index, solution(&[package("udev", "2"), package("nginx", "1")]))],
    }
}

#[test]
fn what_was_written_is_read_with_its_orders_and_with_two_versions_of_one_name() {
    let shelf = Shelf::new();
    let recipe = shelf.load();
    assert_eq!(path(&recipe), shelf.path("recipes/hello.debian-13.lock"));
    assert_eq!(shelf.read_after(|_| {}).unwrap(), Some(lock(&recipe)));
    assert_eq!(read(&shelf.path("recipes/other.lock"), &recipe).unwrap(), None);
}

#[test]
fn what_decides_no_download_leaves_a_lock_good() {
    let shelf = Shelf::new();
    let read = shelf.read_after(|shelf| {
        shelf.change("recipes/hello.toml", "title = \"", "title = \"My ");
        shelf.change("recipes/bases/debian-13.toml", "ftp2.de.", "ftp.fr.");
        fs::write(shelf.path("overlays/base/etc/new"), "").unwrap();
    });
    assert!(read.unwrap().is_some());
}

#[test]
fn a_lock_for_something_else_is_refused_with_the_file_and_key_that_changed() {
    type Change<'a> = &'a dyn Fn(&Shelf);
    let packages = |shelf: &Shelf| shelf.change("recipes/hello.toml", "packages = [\"", "packages = [\"rsync\", \"");
    let tools = |shelf: &Shelf| shelf.change("recipes/bases/debian-13.toml", "tools = [", "tools = [\"gzip\",");
    let suites = |shelf: &Shelf| shelf.change("recipes/bases/debian-13.toml", ", \"trixie-updates\"", "");
    let keyring = |shelf: &Shelf| {
        let keys = shelf.path("recipes/bases/keys/debian-13.asc");
        fs::write(&keys, fs::read_to_string(&keys).unwrap() + "\n").unwrap();
    };
    let changes: [(Change<'_>, &str); 4] = [
        (&packages, "recipes/hello.toml: `images.firstlight/hello:1.packages`"),
        (&tools, "recipes/bases/debian-13.toml: `tools`"),
        (&suites, "recipes/bases/debian-13.toml: `sources`"),
        (&keyring, "recipes/bases/debian-13.toml: `keyring`"),
    ];
    for (change, told) in changes {
        let error = Shelf::new().read_after(change).unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, Error::Stale { changed, .. } if changed.len() == 1), "{text}");
        assert!(text.contains(told) && text.contains("firstlight lock") && error.is_input(), "{text}");
    }
}

#[test]
fn a_lock_that_someone_changed_is_refused() {
    let sha256 = Package::named("nginx", "1").sha256;
    let changes = [
        ("version = 1", "version = 2", "another firstlight made it"),
        ("released = ", "unknown = 1\nreleased = ", "unknown"),
        ("path = \"pool/nginx.deb\"", "path = \"../nginx.deb\"", "not a path below a mirror"),
        ("path = \"pool/nginx.deb\"", "path = \"/nginx.deb\"", "not a path below a mirror"),
        ("archive = \"debian-security\"", "archive = \"elsewhere\"", "no archive `elsewhere`"),
        (&sha256[..], &sha256[1..], "not a SHA-256 digest"),
        ("    \"nginx\",\n", "    \"apache\",\n", "no package `apache`"),
        ("name = \"image firstlight/hello:1\"", "name = \"image other\"", "no set `image firstlight/hello:1`"),
    ];
    for (from, to, told) in changes {
        let shelf = Shelf::new();
        let error = shelf.read_after(|shelf| shelf.change("recipes/hello.debian-13.lock", from, to)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(told) && text.contains("hello.debian-13.lock:") && text.contains("hint: "), "{text}");
        assert!(error.is_input());
    }
}

#[test]
fn a_file_that_goes_into_the_image_must_be_the_one_that_was_locked() {
    let shelf = Shelf::new();
    fs::write(shelf.path("recipes/app.tar"), "one").unwrap();
    let text = fs::read_to_string(shelf.path("recipes/hello.toml")).unwrap();
    fs::write(shelf.path("recipes/hello.toml"), text + "\n[[images]]\nname = \"app:1\"\narchive = \"app.tar\"\n")
        .unwrap();
    let error = shelf.read_after(|shelf| fs::write(shelf.path("recipes/app.tar"), "two").unwrap()).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Artifact(artifact::Error::Changed { .. }))
            && text.contains("recipes/app.tar: ")
            && text.contains("image app:1"),
        "{text}"
    );
}

#[test]
fn what_locking_anew_would_change_is_told_package_by_package() {
    let shelf = Shelf::new();
    let (recipe, mut after) = (shelf.load(), lock(&shelf.load()));
    let before = lock(&recipe);
    assert!(diff(Family::Deb, Some(&before), &after).is_empty());
    after.system.packages[0] = Package { size: 3_000_000, ..Package::named("udev", "10") };
    after.images[0].1.packages = vec![Package::named("curl", "8")];
    let told = diff(Family::Deb, Some(&before), &after).to_string();
    let expected = "  added      curl 8  (+1 kB)\n  removed    nginx 1  (-1 kB)\n  \
                    upgraded   udev 2 -> 10  (+3 MB)\n  1 added, 1 removed, 1 changed; 3 MB instead of 3 kB\n";
    assert_eq!(told, expected);
}

#[test]
fn files_that_go_in_whole_are_in_the_lock_and_what_changes_of_them_is_told() {
    let shelf = Shelf::new();
    fs::write(shelf.path("recipes/mine.tar"), "one").unwrap();
    let text = fs::read_to_string(shelf.path("recipes/hello.toml")).unwrap();
    let image = "[[images]]\nname = \"app:1\"\narchive = \"mine.tar\"\n";
    fs::write(shelf.path("recipes/hello.toml"), format!("{text}\n{image}")).unwrap();
    let before = lock(&shelf.load());
    let written = shelf.read_after(|_| {}).unwrap().unwrap();
    assert_eq!(written.artifacts, before.artifacts);
    let mut after = before.clone();
    after.artifacts[0] = Pin { size: 5, sha256: "b".repeat(64), ..after.artifacts[0].clone() };
    after.artifacts.push(Pin {
        name: "k3s".into(),
        from: "https://a.example/k3s".into(),
        ..after.artifacts[0].clone()
    });
    let told = diff(Family::Deb, Some(&before), &after).to_string();
    let expected = "  replaced   image app:1: mine.tar sha256 7692c3ad3540… (3 bytes) -> bbbbbbbbbbbb… (5 bytes)\n  \
                    added      k3s: https://a.example/k3s sha256 bbbbbbbbbbbb… (5 bytes)\n  1 added, 0 removed, 1 changed; ";
    assert!(told.starts_with(expected), "{told}");
    // The recipe names another file, or the lock was changed by hand.
    fs::write(shelf.path("recipes/other.tar"), "one").unwrap();
    let stale = shelf.read_after(|shelf| shelf.change("recipes/hello.toml", "\"mine.tar\"", "\"other.tar\""));
    let text = stale.unwrap_err().to_string();
    assert!(text.contains("`images[1].archive`"), "{text}");
    shelf.change("recipes/hello.toml", "\"other.tar\"", "\"mine.tar\"");
    for (from, to) in [("name = \"image app:1\"", "name = \"image x:1\""), ("7692c3ad", "XXXXXXXX")] {
        let error = shelf.read_after(|shelf| shelf.change("recipes/hello.debian-13.lock", from, to)).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}
