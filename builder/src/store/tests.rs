use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Instant;

use super::*;
use crate::mirror::{Fault, Mirror};

/// A mirror of files made for a test, and an empty cache.
struct Scene {
    files: tempfile::TempDir,
    cache: tempfile::TempDir,
    mirror: Mirror,
}

impl Scene {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mirror = Mirror::serve(files.path()).unwrap();
        Self { files, cache: tempfile::tempdir().unwrap(), mirror }
    }

    fn store(&self) -> Store {
        Store::with_network(self.cache.path(), quick()).unwrap()
    }

    fn offer(&self, name: &str, bytes: &[u8]) -> Download {
        fs::write(self.files.path().join(name), bytes).unwrap();
        Download {
            label: name.to_owned(),
            urls: vec![format!("{}/{name}", self.mirror.url())],
            sha256: digest_of(&mut &bytes[..]).unwrap(),
            size: bytes.len() as u64,
        }
    }

    fn requests(&self, name: &str) -> usize {
        self.mirror.requests().iter().filter(|request| request.path.contains(name)).count()
    }

    /// Paths below the store, of files only, but for the lock.
    fn kept(&self) -> Vec<String> {
        walkdir::WalkDir::new(self.cache.path().join("store"))
            .into_iter()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().is_file() && entry.file_name() != IN_USE)
            .map(|entry| entry.path().display().to_string())
            .collect()
    }
}

fn quick() -> Network {
    Network {
        connect: Duration::from_secs(2),
        stall: Duration::from_millis(400),
        rounds: 3,
        pause: Duration::from_millis(10),
        ..Network::default()
    }
}

/// Bytes that no two offsets have in common.
fn content(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(size)
    .collect()
}

fn fetch(store: &Store, downloads: &[Download]) -> Result<Fetched> {
    store.fetch(downloads, &Progress::silent())
}

#[test]
fn what_was_fetched_once_is_not_fetched_again() {
    let scene = Scene::new();
    let wanted: Vec<Download> = (0..20).map(|n| scene.offer(&format!("file-{n}"), &content(1000 + n * 7000))).collect();
    let first = fetch(&scene.store(), &wanted).unwrap();
    assert_eq!((first.new, first.kept), (20, 0));
    assert_eq!(first.received, first.bytes);
    let second = fetch(&scene.store(), &wanted).unwrap();
    assert_eq!((second.new, second.kept, second.received), (0, 20, 0));
    assert_eq!(scene.mirror.requests().len(), 20);
    let path = scene.store().path(&wanted[3].sha256).unwrap();
    assert_eq!(fs::read(path).unwrap(), content(1000 + 3 * 7000));
}

#[test]
fn connections_are_kept_alive() {
    let scene = Scene::new();
    let wanted: Vec<Download> = (0..60).map(|n| scene.offer(&format!("file-{n}"), &content(500 + n))).collect();
    fetch(&scene.store(), &wanted).unwrap();
    let peers: HashSet<_> = scene.mirror.requests().iter().map(|request| request.peer).collect();
    assert!(peers.len() <= quick().connections, "{} connections for 60 files", peers.len());
}

#[test]
fn a_truncated_download_resumes_where_it_broke_off() {
    let scene = Scene::new();
    let wanted = scene.offer("big", &content(900_000));
    scene.mirror.fail("big", Fault::Truncate(300_000), 1);
    scene.mirror.fail("big", Fault::Truncate(200_000), 1);
    let fetched = fetch(&scene.store(), &[wanted]).unwrap();
    let starts: Vec<_> = scene.mirror.requests().iter().map(|request| request.from).collect();
    assert_eq!(starts, [None, Some(300_000), Some(500_000)]);
    assert_eq!(fetched.received, 900_000);
}

#[test]
fn a_later_run_resumes_what_an_earlier_one_left() {
    let scene = Scene::new();
    let wanted = scene.offer("big", &content(900_000));
    scene.mirror.fail("big", Fault::Truncate(300_000), 1);
    scene.mirror.fail("big", Fault::Status(404), 1);
    assert!(matches!(fetch(&scene.store(), std::slice::from_ref(&wanted)), Err(Error::Unavailable { .. })));
    assert!(scene.store().path(&wanted.sha256).is_none());
    fetch(&scene.store(), &[wanted]).unwrap();
    assert_eq!(scene.mirror.requests().last().unwrap().from, Some(300_000));
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole_file() {
    let scene = Scene::new();
    let wanted = scene.offer("big", &content(900_000));
    scene.mirror.fail("big", Fault::Truncate(300_000), 1);
    scene.mirror.fail("big", Fault::IgnoreRange, 1);
    fetch(&scene.store(), std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(fs::read(scene.store().path(&wanted.sha256).unwrap()).unwrap(), content(900_000));
}

#[test]
fn a_partial_file_is_never_trusted_without_the_final_digest() {
    let scene = Scene::new();
    let store = scene.store();
    let wanted = scene.offer("big", &content(900_000));
    fs::write(store.partial(&wanted.sha256), vec![7; 400_000]).unwrap();
    fetch(&store, std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(fs::read(store.path(&wanted.sha256).unwrap()).unwrap(), content(900_000));
    // Too long, and just as long as it should be.
    for size in [900_001, 900_000] {
        fs::remove_file(store.entry(&wanted.sha256)).unwrap();
        fs::write(store.partial(&wanted.sha256), vec![7; size]).unwrap();
        fetch(&store, std::slice::from_ref(&wanted)).unwrap();
    }
    assert_eq!(fs::read(store.path(&wanted.sha256).unwrap()).unwrap(), content(900_000));
}

#[test]
fn a_whole_partial_file_of_a_killed_run_is_taken_without_the_network() {
    let scene = Scene::new();
    let store = scene.store();
    let wanted = scene.offer("big", &content(900_000));
    fs::write(store.partial(&wanted.sha256), content(900_000)).unwrap();
    fetch(&store, &[wanted]).unwrap();
    assert_eq!(scene.mirror.requests().len(), 0);
}

#[test]
fn a_flipped_bit_is_told_with_both_digests_and_nothing_is_kept() {
    let scene = Scene::new();
    let wanted = scene.offer("big", &content(100_000));
    scene.mirror.fail("big", Fault::FlipBit(50_000), 9);
    let error = fetch(&scene.store(), std::slice::from_ref(&wanted)).unwrap_err();
    let mut other = content(100_000);
    other[50_000] ^= 1;
    let text = error.to_string();
    assert!(text.starts_with("fetching big from http://127.0.0.1"), "{text}");
    assert!(text.contains("digest differs"), "{text}");
    assert!(text.contains(&wanted.sha256) && text.contains(&digest_of(&mut &other[..]).unwrap()), "{text}");
    assert!(text.contains("hint:"), "{text}");
    assert_eq!(scene.requests("big"), 1, "the same mirror is not asked again");
    assert_eq!(scene.kept(), [] as [String; 0]);
}

#[test]
fn another_mirror_makes_good_what_the_first_one_spoils() {
    for fault in [Fault::FlipBit(10), Fault::Status(404), Fault::Status(503), Fault::Truncate(5)] {
        let scene = Scene::new();
        let mut wanted = scene.offer("good", &content(100_000));
        fs::copy(scene.files.path().join("good"), scene.files.path().join("bad")).unwrap();
        wanted.urls.insert(0, format!("{}/bad", scene.mirror.url()));
        scene.mirror.fail("bad", fault, 99);
        fetch(&scene.store(), &[wanted]).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(scene.requests("bad"), 1);
    }
}

#[test]
fn a_file_that_is_not_there_is_asked_for_once() {
    let scene = Scene::new();
    let mut wanted = scene.offer("here", &content(1000));
    wanted.urls = vec![format!("{}/gone", scene.mirror.url())];
    let text = fetch(&scene.store(), &[wanted]).unwrap_err().to_string();
    assert!(text.contains("/gone: 404 Not Found"), "{text}");
    assert_eq!(scene.requests("gone"), 1);
    assert_eq!(scene.kept(), [] as [String; 0]);
}

#[test]
fn a_busy_server_is_asked_again_and_not_for_ever() {
    let scene = Scene::new();
    let wanted = scene.offer("file", &content(1000));
    scene.mirror.fail("file", Fault::Status(503), 2);
    fetch(&scene.store(), &[wanted]).unwrap();
    let other = scene.offer("other", &content(2000));
    scene.mirror.fail("other", Fault::Status(503), 99);
    let text = fetch(&scene.store(), &[other]).unwrap_err().to_string();
    assert!(text.contains("503 Service Unavailable"), "{text}");
    assert_eq!(scene.requests("other"), 3);
}

#[test]
fn a_server_that_stalls_is_left_after_the_limit_and_resumed() {
    let scene = Scene::new();
    let wanted = scene.offer("file", &content(200_000));
    scene.mirror.fail("file", Fault::Stall(100_000), 1);
    let began = Instant::now();
    fetch(&scene.store(), &[wanted]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(scene.mirror.requests().last().unwrap().from, Some(100_000));
}

#[test]
fn a_slow_server_is_not_a_stalled_one() {
    let scene = Scene::new();
    let wanted = scene.offer("file", &content(160_000));
    scene.mirror.fail("file", Fault::Slow(Duration::from_millis(100)), 1);
    fetch(&scene.store(), &[wanted]).unwrap();
    assert_eq!(scene.requests("file"), 1);
}

#[test]
fn a_server_that_always_stalls_ends_in_an_error() {
    let scene = Scene::new();
    let wanted = scene.offer("file", &content(200_000));
    scene.mirror.fail("file", Fault::Stall(0), 99);
    let text = fetch(&scene.store(), &[wanted]).unwrap_err().to_string();
    assert!(text.contains("fetching file: no mirror delivered it"), "{text}");
    assert_eq!(scene.requests("file"), 3);
}

#[test]
fn a_server_that_refuses_connections_ends_in_an_error() {
    let scene = Scene::new();
    let mut wanted = scene.offer("file", &content(10));
    wanted.urls = vec!["http://127.0.0.1:1/file".to_owned()];
    let text = fetch(&scene.store(), &[wanted]).unwrap_err().to_string();
    assert!(text.contains("http://127.0.0.1:1/file: ") && text.contains("efused"), "{text}");
}

#[test]
fn a_truncated_or_poisoned_entry_is_noticed_and_replaced() {
    let scene = Scene::new();
    let wanted = scene.offer("file", &content(200_000));
    let store = scene.store();
    fetch(&store, std::slice::from_ref(&wanted)).unwrap();
    for damage in [content(100_000), vec![0; 200_000]] {
        fs::write(store.entry(&wanted.sha256), damage).unwrap();
        let later = scene.store();
        assert!(later.path(&wanted.sha256).is_none());
        assert_eq!(fetch(&later, std::slice::from_ref(&wanted)).unwrap().new, 1);
        assert_eq!(fs::read(later.path(&wanted.sha256).unwrap()).unwrap(), content(200_000));
    }
}

#[test]
fn two_builds_at_once_download_a_file_once() {
    let scene = Scene::new();
    let wanted: Vec<Download> = (0..4).map(|n| scene.offer(&format!("file-{n}"), &content(300_000 + n))).collect();
    scene.mirror.fail("file", Fault::Slow(Duration::from_millis(20)), 99);
    let fetched: Vec<Fetched> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| fetch(&scene.store(), &wanted).unwrap())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(fetched.iter().map(|fetched| fetched.new).sum::<usize>(), 4);
    assert_eq!(scene.mirror.requests().len(), 4);
    assert_eq!(scene.kept().len(), 4, "{:?}", scene.kept());
}

#[test]
fn one_failure_ends_the_others_soon() {
    let scene = Scene::new();
    let slow = scene.offer("slow", &content(3_000_000));
    let bad = scene.offer("bad", &content(1000));
    scene.mirror.fail("slow", Fault::Slow(Duration::from_millis(50)), 99);
    scene.mirror.fail("bad", Fault::Status(404), 1);
    let began = Instant::now();
    let text = fetch(&scene.store(), &[slow, bad]).unwrap_err().to_string();
    assert!(text.contains("fetching bad"), "the cause, not its consequence: {text}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_digest_that_is_none_is_refused() {
    let scene = Scene::new();
    let mut wanted = scene.offer("file", &content(10));
    wanted.sha256 = "../../../../etc/passwd".to_owned();
    assert!(matches!(fetch(&scene.store(), &[wanted]), Err(Error::BadDigest { .. })));
    assert!(scene.store().path("../x").is_none());
}

#[test]
fn a_kept_reader_is_found_by_its_digest() {
    let scene = Scene::new();
    let (sha256, size) = scene.store().insert_reader("stage", &mut &content(5000)[..]).unwrap();
    assert_eq!(size, 5000);
    let path = scene.store().path(&sha256).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content(5000));
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o644);
}

#[test]
fn the_test_mirror_relays_what_it_lacks_once() {
    let folder = tempfile::tempdir().unwrap();
    let origin = |path: &str, file: &Path| match path {
        "/deep/file" => fs::write(file, "text"),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let mirror = Mirror::relay(folder.path(), Box::new(origin)).unwrap();
    let scene = Scene::new();
    let get = |name: &str| scene.store().get(name, &format!("{}{name}", mirror.url()), 9).unwrap();
    assert_eq!(get("/deep/file"), Answer::Found(b"text".to_vec()));
    assert!(matches!(get("/other"), Answer::Absent(_)));
    fs::write(folder.path().join("deep/file"), "kept").unwrap();
    assert_eq!(get("/deep/file"), Answer::Found(b"kept".to_vec()));
}

#[test]
fn a_small_file_is_read_into_memory_within_its_limit() {
    let scene = Scene::new();
    scene.offer("InRelease", b"text");
    let url = format!("{}/InRelease", scene.mirror.url());
    let store = scene.store();
    scene.mirror.fail("InRelease", Fault::Truncate(2), 1);
    assert_eq!(store.get("InRelease", &url, 4).unwrap(), Answer::Found(b"text".to_vec()));
    assert!(store.get("InRelease", &url, 3).unwrap_err().to_string().contains("more than 3 bytes"));
    let absent = store.get("x", &format!("{}/x", scene.mirror.url()), 4).unwrap();
    assert_eq!(absent, Answer::Absent("404 Not Found".to_owned()));
}

#[test]
fn what_killed_runs_left_is_swept_up_after_a_day() {
    let scene = Scene::new();
    let store = scene.store();
    let partial = store.root.join("partial");
    for (name, hours) in [("new-old", 25), ("new-young", 1), ("digest.part", 25)] {
        let file = File::create(partial.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
    }
    drop(scene.store());
    assert!(!partial.join("new-old").exists());
    assert!(partial.join("new-young").exists() && partial.join("digest.part").exists());
}

/// On a full disk: a tmpfs of 1 MiB, in a mount namespace of its own, which needs root or user namespaces.
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    const INSIDE: &str = "FIRSTLIGHT_TEST_FULL_DISK";
    let name = "store::tests::a_full_disk_is_told_and_leaves_nothing";
    let Some(folder) = std::env::var_os(INSIDE).map(PathBuf::from) else {
        let folder = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    };
    let scene = Scene::new();
    let wanted = scene.offer("big", &content(3_000_000));
    let store = Store::with_network(&folder, quick()).unwrap();
    let text = fetch(&store, std::slice::from_ref(&wanted)).unwrap_err().to_string();
    assert!(text.contains("storing big (3,000,000 bytes)") && text.contains("no space left on the device"), "{text}");
    assert!(text.contains("hint:"), "{text}");
    let files =
        walkdir::WalkDir::new(&folder).into_iter().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file());
    assert_eq!(files.filter(|entry| entry.file_name() != IN_USE).count(), 0);
    let text = store.insert_reader("stage", &mut &content(3_000_000)[..]).unwrap_err().to_string();
    assert!(text.contains("no space left"), "{text}");
    let small = scene.offer("small", &content(300_000));
    fetch(&store, &[small]).unwrap();
}

#[test]
fn a_neighbours_download_is_copied_and_a_false_one_is_not_believed() {
    let scene = Scene::new();
    let (good, bad) = (scene.offer("good", b"good bytes"), scene.offer("bad", b"the right bytes"));
    let shared = scene.cache.path();
    let theirs = Store::with_network(&shared.join("user-1"), quick()).unwrap();
    theirs.fetch(&[good.clone(), bad.clone()], &Progress::silent()).unwrap();
    let poisoned = theirs.path(&bad.sha256).unwrap();
    fs::write(&poisoned, b"the wrong bytes").unwrap();
    let before = scene.mirror.requests().len();

    let mine = Store::with_network(&shared.join("user-2"), quick()).unwrap();
    let fetched = mine.fetch(&[good.clone(), bad.clone()], &Progress::silent()).unwrap();
    assert_eq!((fetched.kept, fetched.new), (1, 1));
    assert_eq!(scene.mirror.requests().len() - before, 1, "only what no neighbour has is downloaded");
    for download in [&good, &bad] {
        let path = mine.path(&download.sha256).unwrap();
        assert!(path.starts_with(shared.join("user-2")), "{}", path.display());
        assert_eq!(digest_of(&mut File::open(path).unwrap()).unwrap(), download.sha256);
    }
    assert_eq!(fs::read(poisoned).unwrap(), b"the wrong bytes", "what is another's is left as it is");
}
