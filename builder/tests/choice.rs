//! What is chosen of the real archive of Debian 13, compared with what the distribution's own apt chooses after an update
//! of its own (see `judge`). `FIRSTLIGHT_TEST_SEED` repeats the lists that a run drew. Needs a network, mmdebstrap and root.

mod judge;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::thread;

use fastrand::Rng;
use firstlight::archive::{Archive, Error, Mirrors, Opening, Trust, Wanted};
use firstlight::artifact::Files;
use firstlight::progress::Progress;
use firstlight::recipe::base::Base;
use firstlight::recipe::read_base;
use firstlight::recipe::schema::Target;
use firstlight::rootfs::deb::extract::extract_all;
use firstlight::rootfs::item::Owners;
use firstlight::sandbox::{folders_of_tools, set_program};
use firstlight::store::Store;

use judge::{Judge, Verdict};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CACHE: &str = env!("CARGO_TARGET_TMPDIR");

/// The archive as Firstlight opens it, a root with its tools, and the judge.
struct Court {
    base: Base,
    archive: Archive,
    tools: PathBuf,
    judge: Judge,
}

static COURT: LazyLock<Court> = LazyLock::new(|| {
    set_program(env!("CARGO_BIN_EXE_firstlight"));
    let bases = fs::canonicalize(format!("{REPOSITORY}/recipes/bases")).unwrap();
    let base = read_base(&bases.join("debian-13.toml")).unwrap().for_platform("docker");
    let keyring = bases.join(&base.keyring);
    let store = Store::open(Path::new(CACHE)).unwrap();
    let archive = open(&base, &bases.join("debian-13.toml"), &store);
    let tools = tools_root(&base, &archive, &store);
    let judge = Judge::new(&base, keyring.to_str().unwrap(), &archive);
    Court { base, archive, tools, judge }
});

fn open(base: &Base, file: &Path, store: &Store) -> Archive {
    let trust = Trust::read(base, file, &Files::of(Path::new(""), &[], store)).unwrap();
    let mirrors = Mirrors::new(&[], Path::new("/etc/apt"));
    Archive::open(&Opening {
        base,
        trust: &trust,
        mirrors: &mirrors,
        store,
        progress: &Progress::new(),
        now: jiff::Timestamp::now(),
    })
    .unwrap()
}

fn tools_root(base: &Base, archive: &Archive, store: &Store) -> PathBuf {
    let tools = archive.closure(&base.tools).unwrap();
    store.fetch(&archive.downloads(&tools), &Progress::new()).unwrap();
    let debs: Vec<PathBuf> = tools.iter().map(|package| store.path(&package.sha256).unwrap()).collect();
    let root = judge::empty_folder("tools");
    extract_all(&debs, &root, Owners::Keep).unwrap();
    for inside in folders_of_tools() {
        fs::create_dir_all(root.join(inside)).unwrap();
    }
    root
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Court {
    fn ours(&self, packages: &[String], essential: bool) -> Result<BTreeSet<String>, Error> {
        let wanted = Wanted { packages, recommends: false, essential };
        let solution = self.archive.solve(&self.tools, &wanted)?;
        Ok(solution.packages.iter().map(|package| format!("{}={}", package.name, package.version)).collect())
    }

    /// Asserts that Firstlight and apt are of one mind about these packages, and gives it.
    fn agreed(&self, packages: &[String], essential: bool, seen: &str) -> Verdict {
        let expected = self.judge.choose(packages, essential);
        let about = format!("{packages:?}, essential: {essential}{seen}");
        match (self.ours(packages, essential), &expected) {
            (Ok(found), Ok(expected)) => {
                let (more, fewer): (Vec<_>, Vec<_>) =
                    (found.difference(expected).collect(), expected.difference(&found).collect());
                assert!(more.is_empty() && fewer.is_empty(), "{about}: only ours {more:?}, only apt's {fewer:?}");
            }
            (Err(Error::Virtual { name, providers }), Err(told)) => {
                assert!(
                    told.contains(&format!("E: Package '{name}' has no installation candidate")),
                    "{about}: {told}"
                );
                let theirs = reasons(told).into_iter().filter_map(|line| line.split_whitespace().next());
                assert_eq!(providers.iter().map(String::as_str).collect::<BTreeSet<_>>(), theirs.collect(), "{about}");
            }
            (Err(Error::Unsatisfiable { explanation, .. }), Err(told)) => {
                for reason in reasons(told) {
                    assert!(explanation.contains(reason.trim_start()), "{about}: expected `{reason}` in {explanation}");
                }
            }
            (Ok(found), Err(told)) => panic!("{about}: only we find {found:?}; apt says {told}"),
            (Err(error), _) => panic!("{about}: we say {error}; apt's verdict is {expected:?}"),
        }
        expected
    }
}

/// The lines in which apt explains itself: those which it indents, below the sentence that announces them.
fn reasons(told: &str) -> Vec<&str> {
    let announced =
        |line: &&str| line.ends_with("unmet dependencies:") || line.contains("virtual package provided by:");
    let lines: Vec<&str> =
        told.lines().skip_while(|line| !announced(line)).filter(|line| line.starts_with(' ')).collect();
    assert!(!lines.is_empty(), "{told}");
    lines
}

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn twenty_lists_drawn_at_random_are_chosen_as_apt_chooses_them() {
    let seed = std::env::var("FIRSTLIGHT_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("FIRSTLIGHT_TEST_SEED={seed}");
    let (court, mut random) = (&*COURT, Rng::with_seed(seed));
    let names = court.judge.names();
    assert!(names.len() > 60_000 && names.contains(&"linux-image-cloud-amd64".to_owned()));
    let mut lists = Vec::new();
    for number in 0..20 {
        let size = random.usize(1..=6);
        let list: Vec<String> = (0..size).map(|_| names[random.usize(..names.len())].clone()).collect();
        lists.push((list, number % 2 == 0));
    }
    let (left, chosen) = (Mutex::new(lists), Mutex::new(BTreeSet::new()));
    let next = || left.lock().unwrap().pop();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((list, essential)) = next() {
                    let verdict = court.agreed(&list, essential, &format!(", FIRSTLIGHT_TEST_SEED={seed}"));
                    println!("{list:?}, essential: {essential}: {}", verdict.as_ref().map_or(0, BTreeSet::len));
                    chosen.lock().unwrap().extend(verdict.unwrap_or_default());
                }
            });
        }
    });
    // Twenty refusals would be no comparison.
    assert!(chosen.into_inner().unwrap().len() > 100);
}

fn chosen(names: &[&str]) -> BTreeSet<String> {
    let verdict = COURT.agreed(&owned(names), false, "").unwrap();
    verdict.into_iter().map(|one| one.split_once('=').unwrap().0.to_owned()).collect()
}

fn refused(names: &[&str], essential: bool) -> String {
    COURT.agreed(&owned(names), essential, "").unwrap_err()
}

#[test]
fn the_packages_of_an_appliance_are_those_that_apt_would_install() {
    let base = &COURT.base;
    for target in [Target::Metal, Target::Cloud] {
        let packages = [&base.packages[..], &base.kernel[&target], &base.platforms["docker"]].concat();
        let all = COURT.agreed(&packages, true, "").unwrap();
        assert!(all.iter().any(|one| one.starts_with("docker.io=")) && all.len() > 100);
    }
}

#[test]
fn of_alternatives_the_first_is_taken_unless_another_is_asked_for() {
    // bsd-mailx depends on default-mta | mail-transport-agent.
    let alone = chosen(&["bsd-mailx"]);
    assert!(alone.contains("exim4-daemon-light"));
    let with = chosen(&["bsd-mailx", "nullmailer"]);
    assert!(with.contains("nullmailer") && !with.contains("exim4-daemon-light"));
    assert_eq!(chosen(&["nullmailer", "bsd-mailx"]), with);
}

#[test]
fn virtual_packages_are_what_provides_them() {
    assert!(chosen(&["default-mta"]).contains("exim4-daemon-light"), "one package provides it");
    // libgirepository-1.0-1-with-libffi8 (>= 1.62.0-4~) is only provided, with a version.
    assert!(chosen(&["libglib-object-introspection-perl"]).contains("libgirepository-1.0-1"));
    // libsdl2-2.0-0 (>= 2.0.12) is a package, and also provided by one that conflicts with it.
    let (real, shim) = (chosen(&["ezquake"]), chosen(&["ezquake", "libsdl2-compat-shim"]));
    assert!(real.contains("libsdl2-2.0-0") && !shim.contains("libsdl2-2.0-0"));
    for name in ["mail-transport-agent", "awk"] {
        assert!(refused(&[name], false).contains("no installation candidate"), "several packages provide it");
        refused(&[name], true);
    }
}

#[test]
fn what_conflicts_is_refused_for_apts_reasons() {
    for essential in [false, true] {
        let told = refused(&["exim4-daemon-light", "postfix"], essential);
        assert!(told.contains("postfix : Conflicts: mail-transport-agent"));
        refused(&["systemd-sysv", "sysvinit-core"], essential);
    }
    refused(&["bsd-mailx", "nullmailer", "sendmail-bin", "hello"], false);
}

/// What `firstlight lock` says of the recipe hello with these packages, which must be refused, and without a lock.
fn lock(packages: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    for part in ["recipes", "overlays"] {
        let copied = Command::new("cp").arg("-r").arg(Path::new(REPOSITORY).join(part)).arg(folder.path()).status();
        assert!(copied.unwrap().success());
    }
    let recipe = folder.path().join("recipes/hello.toml");
    let text = fs::read_to_string(&recipe).unwrap();
    let (before, after) = text.split_once("\nbases = ").unwrap();
    fs::write(&recipe, format!("{before}\npackages = {packages}\nbases = {after}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    command
        .args(["lock", "recipes/hello.toml", "--lock-file", "new.lock"])
        .current_dir(folder.path())
        .env("FIRSTLIGHT_CACHE", CACHE);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty() && !folder.path().join("new.lock").exists());
    let told = String::from_utf8(output.stderr).unwrap();
    println!("{told}");
    told.split_once("error: ").unwrap().1.to_owned()
}

#[test]
fn the_user_is_told_why_in_apts_words() {
    let told = lock(r#"["exim4-daemon-light", "postfix"]"#);
    let (heading, reasons) = told.split_once('\n').unwrap();
    assert!(heading.ends_with("choosing packages: apt finds no way to install them together"), "{told}");
    assert!(reasons.starts_with("  The following packages have unmet dependencies:\n   exim4-"), "{told}");
    assert!(reasons.contains("\n   postfix : Conflicts: mail-transport-agent\n"), "{told}");
    assert!(
        reasons.contains("\n  Unable to satisfy dependencies. Reached two conflicting decisions:\n  1. "),
        "{told}"
    );
    for noise in ["Reading", "held broken", "--solver", "E: "] {
        assert!(!told.contains(noise), "{noise}: {told}");
    }
}

#[test]
fn a_name_that_can_not_be_taken_is_told_at_the_recipes_line() {
    let line = fs::read_to_string(format!("{REPOSITORY}/recipes/hello.toml")).unwrap();
    let line = line.lines().position(|line| line.starts_with("bases = ")).unwrap() + 1;
    let told = lock(r#"["less", "ngnix"]"#);
    assert!(told.starts_with(&format!("recipes/hello.toml:{line}:21: there is no package `ngnix`\n")), "{told}");
    assert!(told.contains("hint: did you mean `nginx`?"), "{told}");
    let told = lock(r#"["mail-transport-agent"]"#);
    let place = format!("recipes/hello.toml:{line}:13: no package is called `mail-transport-agent`");
    assert!(told.starts_with(&place) && told.contains("nullmailer"), "{told}");
}
