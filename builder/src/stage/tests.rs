use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn key(value: &str) -> Key {
    Key::new("root").input("package", value)
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
    assert_eq!(key("a").name(), names[0]);
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
            std::thread::sleep(std::time::Duration::from_millis(100));
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
    let left: Vec<_> =
        fs::read_dir(cache.path().join("stages").join(FORMAT)).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().ends_with(".lock")), "{left:?}");
    let fill = |path: &Path| fs::write(path.join("whole"), "").map_err(Error::io("writing", path));
    let path = stages.folder(&key("a"), &Progress::silent(), fill).unwrap();
    assert!(path.join("whole").exists() && !path.join("half").exists());
}

#[test]
fn what_a_killed_build_left_is_removed_and_a_living_ones_is_not() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("stages").join(FORMAT);
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
