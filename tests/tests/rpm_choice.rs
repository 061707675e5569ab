//! What is chosen of an RPM distribution, by the dnf of its own tools root in the sandbox, compared with what an ordinary dnf
//! of the host chooses, which fetches the same repositories by itself. `FIRSTLIGHT_TEST_SEED` repeats the lists that a run
//! drew. Needs root, dnf, and what the distribution is made with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use end_to_end::image;
use end_to_end::mirror::Mirror;
use end_to_end::rpm_distribution::RpmDistribution;
use firstlight::archive::{Archive, Error, Larder, Mirrors, Opening, Trust, Wanted};
use firstlight::artifact::Files;
use firstlight::progress::Progress;
use firstlight::recipe::{self, base::Base};
use firstlight::rootfs::rpm::extract;
use firstlight::sandbox::set_program;
use firstlight::store::Store;

/// The distribution as Firstlight opens it, and a root with its tools.
struct Court {
    base: Base,
    mirror: Mirror,
    archive: Archive,
    tools: PathBuf,
}

static COURT: LazyLock<Court> = LazyLock::new(|| {
    set_program(image::firstlight());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpm-choice");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let distribution = RpmDistribution::made().unwrap();
    let mirror = distribution.serve().unwrap();
    let file = distribution.write_base(&mirror, &folder.join("bases")).unwrap();
    let base = recipe::read_base(&file).unwrap().for_platform("docker");
    let store = Store::open(&folder.join("cache")).unwrap();
    let trust = Trust::read(&base, &file, &Files::of(Path::new(""), &[], &store)).unwrap();
    let (mirrors, progress) = (Mirrors::new(&[], Path::new("/nonexistent")), Progress::silent());
    let archive = Archive::open(&Opening {
        base: &base,
        trust: &trust,
        mirrors: &mirrors,
        store: &store,
        progress: &progress,
        now: jiff::Timestamp::now(),
    })
    .unwrap();
    let packages = archive.closure(&base.tools).unwrap();
    store.fetch(&archive.downloads(&packages), &progress).unwrap();
    let files = Larder { base: &base, trust: &trust, store: &store }.files(&packages).unwrap();
    let tools = folder.join("tools");
    fs::create_dir(&tools).unwrap();
    extract::extract_all(&files, &tools).unwrap();
    Court { base, mirror, archive, tools }
});

impl Court {
    fn ours(&self, packages: &[String], recommends: bool) -> Result<BTreeSet<String>, Error> {
        let solution = self.archive.solve(&self.tools, &Wanted { packages, recommends, essential: true })?;
        Ok(solution.packages.iter().map(|one| format!("{} {} {}", one.name, one.architecture, one.version)).collect())
    }

    /// What the host's dnf writes for these arguments, in a new installation root.
    fn dnf(&self, arguments: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut command = Command::new("dnf");
        command.args(["--assumeno", "--noplugins", "--releasever=9", "--forcearch=x86_64", "--nogpgcheck"]);
        command.args(["--setopt=best=True", &format!("--installroot={}", at("root"))]);
        command.args([format!("--setopt=cachedir={}", at("cache")), format!("--setopt=reposdir={}", at("none"))]);
        for (number, source) in self.base.sources.iter().enumerate() {
            for (part, suite) in source.suites.iter().enumerate() {
                command.arg(format!("--repofrompath=only{number}{part},{}/{suite}", source.mirrors[0]));
            }
        }
        let output = command.args(arguments).env("LC_ALL", "C.UTF-8").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the host's dnf would install; none where it refuses.
    fn judge(&self, names: &[String], recommends: bool) -> Option<BTreeSet<String>> {
        let weak = format!("--setopt=install_weak_deps={recommends}");
        let mut arguments = vec![weak.as_str(), "install"];
        arguments.extend(names.iter().map(String::as_str));
        let told = self.dnf(&arguments);
        let words: Vec<&str> = told.split_whitespace().collect();
        // NAME ARCHITECTURE VERSION REPOSITORY SIZE UNIT, broken into lines wherever they are too long.
        let rows = words.windows(4).filter(|row| row[3].starts_with("only") && ["x86_64", "noarch"].contains(&row[1]));
        let chosen: BTreeSet<String> = rows.map(|row| row[..3].join(" ")).collect();
        (!chosen.is_empty()).then_some(chosen)
    }

    fn agreed(&self, names: &[String], recommends: bool) -> Option<BTreeSet<String>> {
        let expected = self.judge(names, recommends);
        match self.ours(names, recommends) {
            Ok(found) => assert_eq!(Some(&found), expected.as_ref(), "{names:?}, recommends: {recommends}"),
            Err(Error::Unsatisfiable { explanation, .. }) => {
                assert_eq!(expected, None, "{names:?}, recommends: {recommends}: {explanation}");
            }
            Err(error) => panic!("{names:?}: {error}"),
        }
        expected
    }
}

#[test]
fn lists_drawn_at_random_are_chosen_as_dnf_chooses_them() {
    let clock = || u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs());
    let seed = std::env::var("FIRSTLIGHT_TEST_SEED").map_or_else(|_| clock(), |seed| seed.parse().unwrap());
    println!("FIRSTLIGHT_TEST_SEED={seed}");
    let (court, mut random) = (&*COURT, fastrand::Rng::with_seed(seed));
    let told = court.dnf(&["--quiet", "repoquery", "--qf", "%{name}"]);
    let names: Vec<String> = told.lines().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect();
    assert!(names.len() > 100 && names.contains(&"kernel-core".to_owned()), "{names:?}");
    let mut chosen = BTreeSet::new();
    for number in 0..10 {
        let list: Vec<String> = (0..=random.usize(..5)).map(|_| names[random.usize(..names.len())].clone()).collect();
        let list: Vec<String> = list.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        chosen.extend(court.agreed(&list, number % 2 == 0).unwrap_or_default());
    }
    assert!(chosen.len() > 30, "only {chosen:?}");
    assert!(!court.mirror.requests().is_empty());
}

#[test]
fn the_shipped_base_itself_is_chosen_as_dnf_chooses_it() {
    let court = &*COURT;
    let kernel = court.base.kernel.values().next().unwrap();
    let names: Vec<String> = court.base.packages.iter().chain(kernel).cloned().collect();
    let chosen = court.agreed(&names, false).expect("the distribution has all that the base names");
    assert!(chosen.len() > names.len());
}
