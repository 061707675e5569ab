use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::*;

fn key(value: &str) -> Key {
    Key::new("root").input("package", value)
}

/// A cache with one file and one folder in it, each larger than what is always read, and how often each was made.
struct Scene {
    cache: tempfile::TempDir,
    made: Cell<usize>,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { cache: tempfile::tempdir().unwrap(), made: Cell::new(0) };
        scene.file();
        scene.folder();
        assert_eq!(scene.made.take(), 2);
        scene
    }

    fn file(&self) -> PathBuf {
        let make = |path: &Path| {
            self.made.set(self.made.get() + 1);
            fs::write(path, vec![b'x'; 2 << 20]).map_err(Error::io("writing", path))
        };
        Stages::open(self.cache.path()).unwrap().file(&key("file"), &Progress::silent(), make).unwrap()
    }

    fn folder(&self) -> PathBuf {
        let make = |path: &Path| {
            self.made.set(self.made.get() + 1);
            let make = || {
                fs::create_dir_all(path.join("usr/bin"))?;
                fs::write(path.join("usr/bin/apt"), vec![b'x'; 2 << 20])?;
                fs::write(path.join("usr/empty"), "")?;
                symlink("usr/bin", path.join("bin"))
            };
            make().map_err(Error::io("filling", path))
        };
        Stages::open(self.cache.path()).unwrap().folder(&key("folder"), &Progress::silent(), make).unwrap()
    }

    /// How often something was made when both are asked for.
    fn made_anew(&self) -> usize {
        assert!(fs::read(self.file()).unwrap() == vec![b'x'; 2 << 20], "other bytes in the file");
        let folder = self.folder();
        assert!(fs::read(folder.join("bin/apt")).unwrap() == vec![b'x'; 2 << 20], "other bytes in the folder");
        assert_eq!(fs::read_dir(folder.join("usr")).unwrap().count(), 2);
        self.made.take()
    }
}

/// Changes one byte and puts the times of the file back, as far as that can be done.
fn poison(path: &Path) {
    let before = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[1 << 20] ^= 1;
    fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
}

#[test]
fn the_name_follows_every_input() {
    let names = [
        key("a").name(),
        key("b").name(),
        key("a").input("package", "b").name(),
        Key::new("root").input("package", "a\"\npackage \"b").name(),
        Key::new("tools").input("package", "a").name(),
    ];
    assert!(names.iter().enumerate().all(|(index, name)| !names[..index].contains(name)), "{names:?}");
    assert_eq!(key("a").about("words").name(), names[0]);
    assert!(names[0].starts_with("root-") && names[0].len() == 5 + 64);
}

#[test]
fn a_stage_is_made_once_even_by_two_builds_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    let build = || {
        let stages = Stages::open(cache.path()).unwrap();
        let make = |path: &Path| {
            made.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            fs::write(path, "done").map_err(Error::io("writing", path))
        };
        let path = stages.file(&key("a"), &Progress::silent(), make).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "done");
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(build);
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failure_leaves_nothing_and_the_next_try_works() {
    let cache = tempfile::tempdir().unwrap();
    let stages = Stages::open(cache.path()).unwrap();
    let fail = |path: &Path| {
        fs::write(path.join("half"), "").unwrap();
        Err(Error::io("failing", path)(io::Error::other("on purpose")))
    };
    stages.folder(&key("a"), &Progress::silent(), fail).unwrap_err();
    let left: Vec<_> = fs::read_dir(below(cache.path())).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    let fill = |path: &Path| fs::write(path.join("whole"), "").map_err(Error::io("writing", path));
    let path = stages.folder(&key("a"), &Progress::silent(), fill).unwrap();
    assert!(path.join("whole").exists() && !path.join("half").exists());
}

#[test]
fn what_is_as_it_was_made_is_used_and_what_is_not_is_made_anew() {
    let scene = Scene::new();
    assert_eq!(scene.made_anew(), 0);
    poison(&scene.file());
    assert_eq!(scene.made_anew(), 1, "a poisoned file");
    File::options().write(true).open(scene.file()).unwrap().set_len(3 << 19).unwrap();
    assert_eq!(scene.made_anew(), 1, "a truncated file");
    poison(&scene.folder().join("usr/bin/apt"));
    assert_eq!(scene.made_anew(), 1, "a poisoned file in a folder");
    fs::write(scene.folder().join("usr/more"), "").unwrap();
    assert_eq!(scene.made_anew(), 1, "a file too many");
    fs::remove_file(scene.folder().join("usr/empty")).unwrap();
    assert_eq!(scene.made_anew(), 1, "a file too few");
    fs::set_permissions(scene.folder().join("usr/bin/apt"), fs::Permissions::from_mode(0o4755)).unwrap();
    assert_eq!(scene.made_anew(), 1, "another mode");
    for name in ["record.json", "inputs", "used", "content"] {
        fs::remove_file(scene.file().with_file_name(name)).unwrap();
        assert_eq!(scene.made_anew(), 1, "without {name}");
    }
    assert_eq!(scene.made_anew(), 0);
}

#[test]
fn others_may_read_a_folder_and_run_nothing_in_it_as_its_owner() {
    let cache = tempfile::tempdir().unwrap();
    let modes = [("private", 0o600), ("program", 0o4750), ("setgid", 0o2711)];
    let make = |path: &Path| {
        let closed = path.join("closed");
        fs::create_dir(&closed).unwrap();
        for (name, mode) in modes {
            fs::write(closed.join(name), "").unwrap();
            fs::set_permissions(closed.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).map_err(Error::io("closing", path))
    };
    let folder = Stages::open(cache.path()).unwrap().folder(&key("a"), &Progress::silent(), make).unwrap();
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["closed", "closed/private", "closed/program", "closed/setgid"].map(mode), [0o755, 0o644, 0o755, 0o755]);
}

#[test]
fn a_stage_under_the_name_of_another_is_not_used() {
    let scene = Scene::new();
    let other = Entry::at(below(scene.cache.path()).join(key("other").name()));
    fs::rename(scene.file().parent().unwrap(), other.folder()).unwrap();
    let Judged::Bad(reason) = other.judge(Thorough::AsNeeded) else { panic!("it was not refused") };
    assert!(reason.contains("other inputs"), "{reason}");
}

#[test]
fn what_a_cut_of_power_took_is_found_by_the_next_boot() {
    let scene = Scene::new();
    let entry = Entry::at(scene.file().parent().unwrap().to_owned());
    poison(&entry.content());
    let before = |boot: &str| {
        let path = entry.folder().join("record.json");
        let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        record["identity"] = content::identity(&entry.content(), boot).unwrap().into();
        fs::write(path, record.to_string()).unwrap();
        entry.judge(Thorough::AsNeeded)
    };
    // Within one boot the kernel's word is enough, so the scene is one in which only the boot tells the difference.
    assert!(matches!(before(&content::boot().unwrap()), Judged::Good(_)));
    assert!(matches!(before("another boot"), Judged::Bad(_)));
}

#[test]
fn a_copy_is_judged_by_its_bytes_once() {
    let scene = Scene::new();
    let entry = Entry::at(scene.file().parent().unwrap().to_owned());
    let record = || fs::read_to_string(entry.folder().join("record.json")).unwrap();
    let (before, content) = (record(), fs::read(entry.content()).unwrap());
    fs::remove_file(entry.content()).unwrap();
    fs::write(entry.content(), content).unwrap();
    assert_eq!(scene.made_anew(), 0);
    let noted = record();
    assert_ne!(noted, before, "that the copy was read is not noted");
    assert_eq!(scene.made_anew(), 0);
    assert_eq!(record(), noted);
}

#[test]
fn a_judgement_by_all_bytes_does_not_believe_the_kernel() {
    let scene = Scene::new();
    let entry = Entry::at(scene.file().parent().unwrap().to_owned());
    assert!(matches!(entry.judge(Thorough::Wholly), Judged::Good(_)));
    // As rot would: other bytes, and a record that says the kernel had nothing to tell.
    poison(&entry.content());
    let identity = content::identity(&entry.content(), &content::boot().unwrap()).unwrap();
    let record = fs::read_to_string(entry.folder().join("record.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["identity"] = identity.into();
    fs::write(entry.folder().join("record.json"), record.to_string()).unwrap();
    assert!(matches!(entry.judge(Thorough::AsNeeded), Judged::Good(_)));
    assert!(matches!(entry.judge(Thorough::Wholly), Judged::Bad(reason) if reason.contains("expected sha256")));
}

#[test]
fn a_trusted_users_stage_is_used_and_never_touched() {
    let (theirs, mine) = (Scene::new(), tempfile::tempdir().unwrap());
    let made = Cell::new(0);
    let get = |trusted: Vec<PathBuf>| {
        let folder = below(mine.path());
        fs::create_dir_all(&folder).unwrap();
        let make = |path: &Path| {
            made.set(made.get() + 1);
            fs::write(path, "mine").map_err(Error::io("writing", path))
        };
        Stages { folder, trusted }.file(&key("file"), &Progress::silent(), make).unwrap()
    };
    let trusted = vec![below(theirs.cache.path())];
    assert_eq!((get(trusted.clone()), made.get()), (theirs.file(), 0));
    poison(&theirs.file().with_file_name("content"));
    let poisoned = below(theirs.cache.path()).join(key("file").name()).join("content");
    let bytes = fs::read(&poisoned).unwrap();
    assert!(get(trusted).starts_with(mine.path()), "a bad one is not used");
    assert_eq!((made.get(), fs::read(&poisoned).unwrap() == bytes), (1, true));
    fs::remove_dir_all(below(mine.path())).unwrap();
    assert!(get(Vec::new()).starts_with(mine.path()));
}

#[test]
fn using_a_stage_is_noted_without_the_file_systems_help() {
    let scene = Scene::new();
    let entry = Entry::at(scene.file().parent().unwrap().to_owned());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    File::open(entry.folder().join("used")).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(entry.last_used(), Some(long_ago));
    scene.file();
    assert!(entry.last_used().unwrap().elapsed().unwrap() < Duration::from_secs(60));
}

#[test]
fn what_a_killed_build_left_is_removed_and_a_living_ones_is_not() {
    let cache = tempfile::tempdir().unwrap();
    let folder = below(cache.path());
    fs::create_dir_all(folder.join("firstlight-work-dead/root")).unwrap();
    fs::write(folder.join("firstlight-work-dead/root/etc"), "").unwrap();
    fs::write(folder.join("firstlight-work-dead.owner"), "").unwrap();
    let living = Temporary::new_in(&folder).unwrap();
    assert!(!folder.join("firstlight-work-dead").exists() && !folder.join("firstlight-work-dead.owner").exists());
    Stages::open(cache.path()).unwrap();
    assert!(living.path().exists());
    let path = living.path().to_owned();
    drop(living);
    assert!(!path.exists());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
