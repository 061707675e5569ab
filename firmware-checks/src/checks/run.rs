//! Runs checks: each for a bounded time, in an order in which none comes before those it waits for; what could
//! not run, panicked or did not answer becomes `unknown`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use crate::appliance::Appliance;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase, State};
use crate::facts::Machine;
use crate::report::Verdict;
use crate::site::Site;

/// How long one check may take. Generous: a container on an emulated processor takes most of a minute.
const LIMIT: Duration = Duration::from_secs(150);

/// What is judged: owned, so that a check which hangs can be left behind.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the image was built to be.
    pub appliance: Appliance,
    /// What the site gave, where it is valid.
    pub site: Option<Site>,
    /// The folder with the site's files.
    pub site_dir: PathBuf,
    /// The machine.
    pub machine: Machine,
}

/// How far a run is; told before each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Checks that have answered.
    pub done: usize,
    /// Checks of this run.
    pub total: usize,
    /// The check that runs now.
    pub current: &'static str,
}

/// Judges `scene` in `phase` by those of `catalogue` that the appliance asks for, and gives their verdicts in the
/// catalogue's order. Checks that have no say in `phase` are not run: of them stand the verdicts in `before`, from a
/// run of their own phase; acceptance checks without one wait for the platform.
pub fn run(
    catalogue: impl IntoIterator<Item = &'static Check>,
    scene: &Arc<Scene>,
    phase: Phase,
    before: &[Verdict],
    mut progress: impl FnMut(Progress),
) -> Vec<Verdict> {
    let wanted: Vec<&'static Check> = catalogue.into_iter().filter(|check| (check.applies)(&scene.appliance)).collect();
    let mut answers: Vec<Option<Vec<Verdict>>> =
        wanted.iter().map(|check| (!check.phases.contains(&phase)).then(|| standing(check, before))).collect();
    let total = answers.iter().filter(|answer| answer.is_none()).count();
    let mut done = 0;
    while let Some(next) = next(&wanted, &answers) {
        let check = wanted[next];
        progress(Progress { done, total, current: check.id });
        done += 1;
        let verdicts = match blocker(check, &wanted, &answers) {
            Some(blocker) => vec![waits(check, phase, &blocker)],
            None => judged(check, phase, answer(check, scene, phase, LIMIT)),
        };
        answers[next] = Some(verdicts);
    }
    answers.into_iter().flatten().flatten().collect()
}

/// The first check that has not answered and waits for none that has not; a circle is cut at its first member.
fn next(wanted: &[&'static Check], answers: &[Option<Vec<Verdict>>]) -> Option<usize> {
    let open = |id: &str| wanted.iter().zip(answers).any(|(check, answer)| check.id == id && answer.is_none());
    let free = |check: &Check| !check.after.iter().any(|id| open(id));
    let unanswered = || answers.iter().enumerate().filter(|(_, answer)| answer.is_none()).map(|(index, _)| index);
    unanswered().find(|index| free(wanted[*index])).or_else(|| unanswered().next())
}

/// The first verdict that keeps `check` from telling anything.
fn blocker(check: &Check, wanted: &[&'static Check], answers: &[Option<Vec<Verdict>>]) -> Option<Verdict> {
    let of = |id: &str| wanted.iter().position(|other| other.id == id).and_then(|index| answers[index].as_ref());
    check.after.iter().filter_map(|id| of(id)).flatten().find(|verdict| !verdict.state.lets_open()).cloned()
}

/// What stands of a check that has no say in the phase that is judged.
fn standing(check: &Check, before: &[Verdict]) -> Vec<Verdict> {
    let kept: Vec<Verdict> = before.iter().filter(|verdict| verdict.id == check.id).cloned().collect();
    match check.phases {
        _ if !kept.is_empty() => kept,
        [Phase::Acceptance] => vec![verdict(
            check,
            Phase::Acceptance,
            Finding { state: State::Waiting, ..Finding::pass("waits for the platform to start", check.title) },
        )],
        _ => vec![verdict(
            check,
            Phase::Admission,
            Finding::not_applicable("looked at before the platform starts, and it was running already"),
        )],
    }
}

/// Waits for what `blocker` is, or for what that itself waits for: it is there that an admin begins.
fn waits(check: &Check, phase: Phase, blocker: &Verdict) -> Verdict {
    let how = match blocker.state {
        State::Unknown => "could not be checked",
        _ => "failed",
    };
    let (observed, remedy) = match blocker.state {
        State::Waiting => (blocker.observed.clone(), blocker.remedy.clone()),
        _ => (format!("waits for {}, which {how}", blocker.id), Some(format!("see to {} first", blocker.id))),
    };
    let finding = Finding { state: State::Waiting, remedy, ..Finding::pass(observed, check.title) };
    verdict(check, phase, finding)
}

fn judged(check: &Check, phase: Phase, answer: Result<Vec<Finding>, CouldNotRun>) -> Vec<Verdict> {
    match answer {
        Ok(findings) if findings.is_empty() => {
            let nothing = CouldNotRun::new("the check answered nothing", REPORT_A_BUG);
            judged(check, phase, Err(nothing))
        }
        Ok(findings) => findings.into_iter().map(|finding| verdict(check, phase, finding)).collect(),
        Err(CouldNotRun { what, remedy }) => {
            let finding = Finding { state: State::Unknown, remedy: Some(remedy), ..Finding::pass(what, check.title) };
            vec![verdict(check, phase, finding)]
        }
    }
}

fn verdict(check: &Check, phase: Phase, finding: Finding) -> Verdict {
    let Finding { state, subject, observed, required, remedy } = finding;
    Verdict {
        id: check.id.to_owned(),
        subject,
        title: check.title.to_owned(),
        phase,
        gates: state != State::NotApplicable,
        state,
        observed,
        required,
        remedy,
        waived: None,
    }
}

const REPORT_A_BUG: &str =
    "this is a fault of firmware-checks: please report it with the output of journalctl -u firmware-checks";

/// Checks whose thread has not ended: those of a run, and those that were left behind hanging.
static RUNNING: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<&'static str>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands for a check whose thread runs; gone when the thread ends, by a panic too.
struct Running(&'static str);

impl Running {
    fn start(id: &'static str) -> Option<Self> {
        let fresh = running().insert(id);
        // Not `then_some`: a mark that is made and dropped would take away that of the thread that runs.
        fresh.then(|| Self(id))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        running().remove(self.0);
    }
}

/// Runs one check on a thread of its own, so that neither a panic nor a system call that never returns (a dead NFS
/// server, a failing disk) takes the gate's service with it. A check that still hangs is not started twice.
fn answer(
    check: &'static Check,
    scene: &Arc<Scene>,
    phase: Phase,
    limit: Duration,
) -> Result<Vec<Finding>, CouldNotRun> {
    let stuck = || {
        CouldNotRun::new(
            format!("the check has not answered within {} s", limit.as_secs()),
            "look for a device or server that hangs: journalctl -k -b",
        )
    };
    let Some(mark) = Running::start(check.id) else { return Err(stuck()) };
    let (sender, receiver) = mpsc::sync_channel(1);
    let scene = Arc::clone(scene);
    // The mark goes with the closure where no thread can be had.
    let thread = thread::Builder::new().name(check.id.to_owned()).spawn(move || {
        let context = Context {
            appliance: &scene.appliance,
            site: scene.site.as_ref(),
            site_dir: &scene.site_dir,
            machine: &scene.machine,
            now: Timestamp::now(),
            phase,
        };
        let answer = (check.run)(&context);
        drop(mark);
        // Nobody listens any more where the check was left behind.
        let _ = sender.send(answer);
    });
    let thread = thread.map_err(|error| {
        CouldNotRun::new(format!("starting a thread for the check: {error}"), "look for what fills the memory: ps aux")
    })?;
    match receiver.recv_timeout(limit) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => Err(stuck()),
        Err(RecvTimeoutError::Disconnected) => {
            let why = thread.join().err().map(|payload| panic_message(payload.as_ref())).unwrap_or_default();
            Err(CouldNotRun::new(format!("the check stopped by a fault of its own: {why}"), REPORT_A_BUG))
        }
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::{OsRelease, Platform};

    const BOTH: &[Phase] = &[Phase::Admission, Phase::Acceptance];

    type Run = fn(&Context<'_>) -> Result<Vec<Finding>, CouldNotRun>;

    fn check(id: &'static str, phases: &'static [Phase], after: &'static [&'static str], run: Run) -> &'static Check {
        Box::leak(Box::new(Check { id, title: "a title", phases, after, documentation: "", applies: |_| true, run }))
    }

    fn scene() -> Arc<Scene> {
        Arc::new(Scene {
            appliance: Appliance {
                name: "hello".to_owned(),
                version: "1".to_owned(),
                base: "debian-13".to_owned(),
                os: OsRelease { id: "debian".to_owned(), version_id: "13".to_owned() },
                cpu_level: None,
                locked: Timestamp::UNIX_EPOCH,
                platform: Platform::Docker { probe_image: String::new(), projects: Vec::new() },
                boot: crate::boot_loader::BootLoader::sample(),
                requirements: crate::requirements::Requirements::default(),
            },
            site: None,
            site_dir: PathBuf::from("/nonexistent"),
            machine: Machine::at("/nonexistent"),
        })
    }

    fn states(verdicts: &[Verdict]) -> Vec<(&str, State)> {
        verdicts.iter().map(|verdict| (verdict.id.as_str(), verdict.state)).collect()
    }

    fn passes(_: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
        Ok(vec![Finding::pass("2", "1")])
    }

    fn fails(_: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
        Ok(vec![Finding::fail("0", "1", "add one")])
    }

    #[test]
    fn what_waits_for_a_failure_waits_and_names_it() {
        let catalogue = [
            check("run.dependent", BOTH, &["run.failing"], |_| panic!("must not run")),
            check("run.failing", BOTH, &[], fails),
            check("run.free", BOTH, &[], passes),
        ];
        let verdicts = run(catalogue, &scene(), Phase::Admission, &[], |_| {});
        let expected = [("run.dependent", State::Waiting), ("run.failing", State::Fail), ("run.free", State::Pass)];
        assert_eq!(states(&verdicts), expected);
        assert_eq!(verdicts[0].observed, "waits for run.failing, which failed");
        assert_eq!(verdicts[0].remedy.as_deref(), Some("see to run.failing first"));
    }

    #[test]
    fn what_waits_for_one_that_waits_names_where_it_begins() {
        let catalogue = [
            check("run.failing", BOTH, &[], fails),
            check("run.second", BOTH, &["run.failing"], passes),
            check("run.third", BOTH, &["run.second"], passes),
        ];
        let verdicts = run(catalogue, &scene(), Phase::Admission, &[], |_| {});
        assert_eq!(verdicts[2].observed, "waits for run.failing, which failed");
        assert_eq!(verdicts[2].remedy.as_deref(), Some("see to run.failing first"));
    }

    #[test]
    fn what_waits_runs_once_the_other_passes_even_if_listed_before_it() {
        let catalogue = [check("run.second", BOTH, &["run.first"], passes), check("run.first", BOTH, &[], passes)];
        let verdicts = run(catalogue, &scene(), Phase::Admission, &[], |_| {});
        assert_eq!(states(&verdicts), [("run.second", State::Pass), ("run.first", State::Pass)]);
    }

    #[test]
    fn a_circle_of_dependencies_still_ends() {
        let catalogue = [check("run.a", BOTH, &["run.b"], fails), check("run.b", BOTH, &["run.a"], passes)];
        let verdicts = run(catalogue, &scene(), Phase::Admission, &[], |_| {});
        assert_eq!(states(&verdicts), [("run.a", State::Fail), ("run.b", State::Waiting)]);
    }

    #[test]
    fn a_check_that_could_not_run_panicked_or_said_nothing_is_unknown_with_a_remedy() {
        let catalogue = [
            check("run.cannot", BOTH, &[], |_| Err(CouldNotRun::new("reading /x: gone", "look at /x"))),
            check("run.panics", BOTH, &[], |_| panic!("out of cheese")),
            check("run.silent", BOTH, &[], |_| Ok(Vec::new())),
        ];
        let verdicts = run(catalogue, &scene(), Phase::Admission, &[], |_| {});
        assert!(verdicts.iter().all(|verdict| verdict.state == State::Unknown && verdict.remedy.is_some()));
        assert_eq!(verdicts[0].observed, "reading /x: gone");
        assert!(verdicts[1].observed.contains("out of cheese"), "{}", verdicts[1].observed);
    }

    #[test]
    fn a_check_that_hangs_is_left_behind_and_not_started_twice() {
        let slow = check("run.hangs", BOTH, &[], |_| {
            thread::sleep(Duration::from_millis(400));
            passes_slowly()
        });
        let brief = Duration::from_millis(20);
        assert!(answer(slow, &scene(), Phase::Admission, brief).is_err());
        let started = std::time::Instant::now();
        assert!(answer(slow, &scene(), Phase::Admission, Duration::from_secs(5)).is_err());
        assert!(started.elapsed() < Duration::from_millis(200), "it waited for the one that hangs");
        thread::sleep(Duration::from_millis(600));
        assert!(answer(slow, &scene(), Phase::Admission, Duration::from_secs(5)).is_ok());
    }

    fn passes_slowly() -> Result<Vec<Finding>, CouldNotRun> {
        Ok(vec![Finding::pass("late", "any time")])
    }

    #[test]
    fn each_phase_runs_its_own_checks_and_keeps_the_others_verdicts() {
        let catalogue = [
            check("run.before", &[Phase::Admission], &[], passes),
            check("run.always", BOTH, &[], passes),
            check("run.after", &[Phase::Acceptance], &["run.before"], passes),
        ];
        let first = run(catalogue, &scene(), Phase::Admission, &[], |_| {});
        let expected = [("run.before", State::Pass), ("run.always", State::Pass), ("run.after", State::Waiting)];
        assert_eq!(states(&first), expected);
        let second = run(catalogue, &scene(), Phase::Acceptance, &first, |_| {});
        assert!(second.iter().all(|verdict| verdict.state == State::Pass), "{second:?}");
        assert_eq!(second[0].phase, Phase::Admission);
        assert_eq!(second[1].phase, Phase::Acceptance);
    }

    #[test]
    fn progress_counts_what_runs_alone() {
        let catalogue = [check("run.one", BOTH, &[], passes), check("run.later", &[Phase::Acceptance], &[], passes)];
        let mut told = Vec::new();
        run(catalogue, &scene(), Phase::Admission, &[], |progress| told.push(progress));
        assert_eq!(told, [Progress { done: 0, total: 1, current: "run.one" }]);
    }

    #[test]
    fn every_dependency_of_the_catalogue_is_in_it_and_none_is_named_twice() {
        let ids: Vec<&str> = crate::checks::all().map(|check| check.id).collect();
        for check in crate::checks::all() {
            assert_eq!(ids.iter().filter(|id| **id == check.id).count(), 1, "{}", check.id);
            for after in check.after {
                assert!(ids.contains(after), "{} waits for {after}, which is not in the catalogue", check.id);
            }
            assert!(!check.phases.is_empty(), "{} has no phase", check.id);
        }
    }
}
