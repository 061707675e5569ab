use std::fs;
use std::time::Duration;

use super::*;
use crate::mirror::{Fault, Mirror};
use crate::recipe;
use crate::store::Network;

/// A recipe with one container image, whose archive is what the test says, a server, and an empty cache.
struct Scene {
    folder: tempfile::TempDir,
    mirror: Mirror,
}

/// More than one read, and than one part of a broken transfer.
fn content() -> Vec<u8> {
    (0..1_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("www")).unwrap();
        fs::write(folder.path().join("www/app.tar"), content()).unwrap();
        let mirror = Mirror::serve(&folder.path().join("www")).unwrap();
        Self { folder, mirror }
    }

    fn url(&self) -> String {
        format!("{}/app.tar", self.mirror.url())
    }

    fn sums(&self, text: &str) -> String {
        fs::write(self.folder.path().join("www/sums.txt"), text).unwrap();
        format!("{}/sums.txt", self.mirror.url())
    }

    fn store(&self, offline: bool) -> Store {
        let network = Network {
            stall: Duration::from_millis(400),
            pause: Duration::from_millis(10),
            offline,
            ..Network::default()
        };
        Store::with_network(&self.folder.path().join("cache"), network).unwrap()
    }

    fn recipe(&self, archive: &str) -> Loaded {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
        let text = "name = 'x'\nversion = '1'\nbases = ['debian-13']\nplatform = { kind = 'docker' }\n";
        let path = self.folder.path().join("x.toml");
        fs::write(&path, format!("{text}[[images]]\nname = 'app:1'\narchive = {archive}\n")).unwrap();
        if !self.folder.path().join("bases").exists() {
            std::os::unix::fs::symlink(shipped.join("bases"), self.folder.path().join("bases")).unwrap();
        }
        recipe::load(&path, None).unwrap_or_else(|error| panic!("{error}"))
    }

    fn pin(&self, archive: &str) -> Result<Vec<Pin>, Error> {
        pin(&self.recipe(archive), &self.store(false), &Progress::silent())
    }

    fn requests(&self) -> usize {
        self.mirror.requests().iter().filter(|request| request.path.ends_with("app.tar")).count()
    }
}

fn digest() -> String {
    store::digest_of(&mut &content()[..]).unwrap()
}

#[test]
fn a_file_from_a_url_is_pinned_kept_and_then_there_offline() {
    let scene = Scene::new();
    scene.mirror.fail("app.tar", Fault::Truncate(1_500_000), 1);
    scene.mirror.fail("app.tar", Fault::Status(503), 1);
    let archive = format!("'{}'", scene.url());
    let pins = scene.pin(&archive).unwrap();
    let expected =
        Pin { name: "image app:1".into(), from: scene.url(), size: content().len() as u64, sha256: digest() };
    assert_eq!(pins, [expected]);
    let from: Vec<_> = scene.mirror.requests().iter().map(|request| request.from).collect();
    assert!(from[0].is_none() && from[2].is_some_and(|from| from > 0), "resumed: {from:?}");
    let (recipe, offline) = (scene.recipe(&archive), scene.store(true));
    offline.fetch(&downloads(&pins), &Progress::silent()).unwrap();
    let files = Files::of(&recipe.folder, &pins, &offline);
    assert_eq!(fs::read(files.path("image app:1").unwrap()).unwrap(), content());
    assert!(files.path("image other:1").is_err());
}

/// As with a lock that came from another machine.
#[test]
fn a_file_that_is_fetched_later_is_found_then() {
    let scene = Scene::new();
    let archive = format!("'{}'", scene.url());
    let (recipe, pins) = (scene.recipe(&archive), scene.pin(&archive).unwrap());
    let elsewhere = Store::open(&scene.folder.path().join("elsewhere")).unwrap();
    let files = Files::of(&recipe.folder, &pins, &elsewhere);
    assert!(files.path("image app:1").is_err());
    elsewhere.fetch(&downloads(&pins), &Progress::silent()).unwrap();
    assert_eq!(fs::read(files.path("image app:1").unwrap()).unwrap(), content());
}

#[test]
fn the_publishers_checksums_decide_and_spare_a_second_download() {
    let scene = Scene::new();
    let sums = scene.sums(&format!("{}  other.tar\n{}  app.tar\n", "0".repeat(64), digest()));
    let archive = format!("{{ from = '{}', checksums = '{sums}' }}", scene.url());
    scene.pin(&archive).unwrap();
    scene.pin(&archive).unwrap();
    assert_eq!(scene.requests(), 1);
    // Without them nobody can say that the file is still the same.
    scene.pin(&format!("'{}'", scene.url())).unwrap();
    assert_eq!(scene.requests(), 2);
}

#[test]
fn other_bytes_than_the_publishers_are_refused_and_not_kept() {
    let scene = Scene::new();
    let sums = scene.sums(&format!("{}  app.tar\n", "0".repeat(64)));
    let error = scene.pin(&format!("{{ from = '{}', checksums = '{sums}' }}", scene.url())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("expected sha256 {}", "0".repeat(64))) && text.contains(&digest()), "{text}");
    assert!(text.contains("sums.txt") && text.contains("app.tar") && error.is_input(), "{text}");
    assert_eq!(scene.store(true).path(&digest()), None);
    let error = scene.pin(&format!("{{ from = '{}', sha256 = '{}' }}", scene.url(), "1".repeat(64))).unwrap_err();
    assert!(matches!(&error, Error::Differs { by, .. } if by == "the recipe"), "{error}");
    let both = format!("{{ from = '{}', sha256 = '{}', checksums = '{sums}' }}", scene.url(), digest());
    assert!(matches!(scene.pin(&both).unwrap_err(), Error::Contradicts { .. }));
    assert_eq!(scene.store(true).path(&digest()), None);
}

#[test]
fn checksums_that_are_not_there_or_name_another_file_are_told() {
    let scene = Scene::new();
    let sums = scene.sums("<html></html>");
    let named = |sums: &str| scene.pin(&format!("{{ from = '{}', checksums = '{sums}' }}", scene.url())).unwrap_err();
    assert!(named(&sums).to_string().contains("gives no one digest for `app.tar`"));
    let text = named(&format!("{}/gone.txt", scene.mirror.url())).to_string();
    assert!(text.contains("checksums of image app:1") && text.contains("404"), "{text}");
    assert_eq!(scene.requests(), 0, "nothing is fetched that could not be judged");
}

#[test]
fn a_file_beside_the_recipe_must_stay_the_one_that_was_locked() {
    let scene = Scene::new();
    let path = scene.folder.path().join("app.tar");
    fs::write(&path, "one").unwrap();
    fs::write(scene.folder.path().join("sums"), format!("{}  app.tar\n", "0".repeat(64))).unwrap();
    let pins = scene.pin("'app.tar'").unwrap();
    let recipe = scene.recipe("'app.tar'");
    compare(&recipe, &pins).unwrap();
    assert_eq!(downloads(&pins), []);
    assert!(matches!(scene.pin("{ from = 'app.tar', checksums = 'sums' }"), Err(Error::Differs { .. })));
    fs::write(&path, "two").unwrap();
    assert!(matches!(compare(&recipe, &pins), Err(Error::Changed { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(compare(&recipe, &pins), Err(Error::Io { .. })));
}

#[test]
fn a_server_that_breaks_off_for_ever_or_has_nothing_is_given_up() {
    let scene = Scene::new();
    scene.mirror.fail("app.tar", Fault::Status(503), 100);
    let text = scene.pin(&format!("'{}'", scene.url())).unwrap_err().to_string();
    assert!(text.contains("503"), "{text}");
    let text = scene.pin(&format!("'{}/gone.tar'", scene.mirror.url())).unwrap_err().to_string();
    assert!(text.contains("404"), "{text}");
    let offline = pin(&scene.recipe(&format!("'{}'", scene.url())), &scene.store(true), &Progress::silent());
    assert!(matches!(offline, Err(Error::Store(store::Error::Offline { .. }))));
    let left = fs::read_dir(scene.folder.path().join("cache/store/v1/partial")).unwrap().count();
    assert_eq!(left, 0, "nothing half fetched stays");
}
