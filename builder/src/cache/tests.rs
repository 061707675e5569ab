use std::fs::File;
use std::time::Duration;

use super::*;
use crate::progress::Progress;
use crate::stage::{Key, Stages, Temporary};
use crate::store::Store;

const SIZE: usize = 1 << 16;

/// A stage of the kind `name`, made by a build that has ended and last used so many days ago.
fn stage(cache: &Path, name: &'static str, days: u64) -> PathBuf {
    let elsewhere = tempfile::tempdir().unwrap();
    let key = Key::new(name).input("of", name);
    let make = |path: &Path| {
        fs::write(path, vec![b'x'; SIZE]).unwrap();
        Ok::<(), stage::Error>(())
    };
    let made = Stages::open(elsewhere.path()).unwrap().file(&key, &Progress::silent(), make).unwrap();
    // This process uses what it has made until it ends; nobody uses a copy.
    let (made, copy) = (made.parent().unwrap(), stage::below(cache).join(key.name()));
    fs::create_dir_all(&copy).unwrap();
    for file in children(made) {
        fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    }
    age(&copy.join("used"), days);
    copy
}

fn age(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    File::open(path).unwrap().set_modified(time).unwrap();
}

/// A download last used so many days ago.
fn download(cache: &Path, text: &str, days: u64) -> PathBuf {
    let store = Store::open(cache).unwrap();
    let (sha256, _) = store.insert_reader(text, &mut text.repeat(SIZE / text.len()).as_bytes()).unwrap();
    let path = store.path(&sha256).unwrap();
    age(&path, days);
    path
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - jiff::SignedDuration::from_hours(24 * days)
}

fn paths(items: &[Item]) -> Vec<&Path> {
    items.iter().map(|item| item.path.as_path()).collect()
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_first() {
    let scene = tempfile::tempdir().unwrap();
    let cache = scene.path();
    let (old, middle, new) = (stage(cache, "old", 9), download(cache, "middle", 6), stage(cache, "new", 1));
    let total = |items: &[Item]| items.iter().map(|item| item.size.on_disk).sum::<u64>();
    let all = total(&list(cache));
    let told = prune(cache, Limit::Bytes(all - 1), true).unwrap();
    assert_eq!(paths(&told.removed), [&old]);
    assert!(old.exists(), "a dry run removes nothing");
    let pruned = prune(cache, Limit::Bytes(total(&list(cache)[2..])), false).unwrap();
    assert_eq!(paths(&pruned.removed), [&old, &middle]);
    assert!(!old.exists() && !middle.exists() && new.exists());
    assert!(prune(cache, Limit::Useful, false).unwrap().removed.is_empty());
}

#[test]
fn what_was_not_used_for_so_long_goes() {
    let scene = tempfile::tempdir().unwrap();
    let cache = scene.path();
    let (old, older, new) = (download(cache, "old", 6), stage(cache, "older", 9), stage(cache, "new", 1));
    let partial = store::below(cache).join("partial/beginning.part");
    fs::write(&partial, "x").unwrap();
    age(&partial, 7);
    let pruned = prune(cache, Limit::UsedSince(days_ago(5)), false).unwrap();
    assert_eq!(paths(&pruned.removed), [&older, &partial, &old]);
    assert_eq!(paths(&list(cache)), [&new]);
}

#[test]
fn what_a_running_build_uses_stays() {
    let scene = tempfile::tempdir().unwrap();
    let cache = scene.path();
    let (unused, used) = (stage(cache, "unused", 9), stage(cache, "used", 9));
    let bytes = download(cache, "bytes", 9);
    // This process is that build.
    let store = Store::open(cache).unwrap();
    let make = |_: &Path| panic!("it is there");
    let key = Key::new("used").input("of", "used");
    Stages::open(cache).unwrap().file::<stage::Error>(&key, &Progress::silent(), make).unwrap();
    for dry_run in [true, false] {
        let pruned = prune(cache, Limit::Bytes(0), dry_run).unwrap();
        assert_eq!((paths(&pruned.removed), pruned.in_use.len()), (vec![unused.as_path()], 2));
    }
    assert!(used.exists() && bytes.exists());
    drop(store);
    assert_eq!(paths(&prune(cache, Limit::Bytes(0), false).unwrap().removed), [&bytes]);
}

#[test]
fn leftovers_and_older_formats_go_and_living_and_newer_ones_stay() {
    let scene = tempfile::tempdir().unwrap();
    let cache = scene.path();
    stage(cache, "new", 1);
    let stages = cache.join("stages");
    let living = Temporary::new_in(&stage::below(cache)).unwrap();
    let dead = stage::below(cache).join("firstlight-work-dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.with_extension("owner"), "").unwrap();
    for name in ["v1", "v2", "v99"] {
        fs::create_dir_all(stages.join(name)).unwrap();
        fs::write(stages.join(name).join("root.lock"), "").unwrap();
    }
    let busy = File::open(stages.join("v2/root.lock")).unwrap();
    busy.lock().unwrap();
    let pruned = prune(cache, Limit::Useful, false).unwrap();
    assert_eq!(paths(&pruned.removed), [&dead, &stages.join("v1")]);
    assert_eq!(paths(&pruned.in_use), [&stages.join("v2")]);
    assert!(!dead.exists() && !stages.join("v1").exists());
    assert!(living.path().exists() && stages.join("v2").exists() && stages.join("v99").exists());
}

#[test]
fn verifying_removes_what_is_damaged_and_nothing_else() {
    let scene = tempfile::tempdir().unwrap();
    let cache = scene.path();
    let kept = (stage(cache, "good", 1), download(cache, "good", 1));
    let damaged = (stage(cache, "bad", 1), download(cache, "bad", 1));
    assert_eq!(verify(cache).unwrap(), Verified { good: 4, bad: Vec::new() });
    fs::write(damaged.0.join("content"), "other").unwrap();
    fs::write(&damaged.1, "other").unwrap();
    let verified = verify(cache).unwrap();
    assert_eq!((verified.good, verified.bad.len()), (2, 2));
    assert!(verified.bad.iter().all(|bad| bad.reason.contains("found")), "{verified:?}");
    assert!(kept.0.exists() && kept.1.exists() && !damaged.0.exists() && !damaged.1.exists());
}

#[test]
fn what_is_shown_says_what_a_stage_is_and_what_it_takes() {
    let scene = tempfile::tempdir().unwrap();
    let key = Key::new("root").about("3 packages");
    let make = |path: &Path| {
        File::create(path).unwrap().set_len(10 << 20).unwrap();
        Ok::<(), stage::Error>(())
    };
    Stages::open(scene.path()).unwrap().file(&key, &Progress::silent(), make).unwrap();
    let items = list(scene.path());
    assert_eq!((items.len(), items[0].about.as_str(), items[0].name()), (1, "3 packages", key.name()));
    assert!(items[0].size.bytes >= 10 << 20 && items[0].size.on_disk < 1 << 20, "{:?}", items[0].size);
}
