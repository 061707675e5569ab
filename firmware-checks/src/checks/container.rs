//! The platform itself, once it has been started: acceptance.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::appliance::Platform;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::cli::container_probe::Answer;
use crate::command::{self, Error};
use crate::k3s;

const AFTER_START: &[Phase] = &[Phase::Acceptance];
/// Long enough for an emulated processor.
const LIMIT: Duration = Duration::from_secs(90);
const BRIEF: Duration = Duration::from_secs(30);

const LOGS: &str = "journalctl -b -u docker -u containerd";

/// The checks of this file.
pub const CHECKS: &[Check] = &[
    Check {
        id: "platform.units",
        title: "Units of the platform",
        phases: AFTER_START,
        after: &[],
        documentation: "docker.service and the unit of each compose project, or the unit of k3s, or snapd and the unit that waits for microk8s, are active, as systemd \
            says. Fails where one is not, with the state that it is in.",
        applies: |_| true,
        run: units,
    },
    Check {
        id: "platform.versions",
        title: "Versions of the platform",
        phases: AFTER_START,
        after: &[],
        documentation: "Asks Docker Engine itself and Compose for their versions. Fails where Compose is older than \
            1.27, the first that reads the Compose specification. Of k3s: it is the release that the recipe names; of microk8s: the snap is of the revision that was locked.",
        applies: |_| true,
        run: versions,
    },
    Check {
        id: "platform.container",
        title: "A container runs",
        phases: AFTER_START,
        after: &["platform.versions"],
        documentation: "Really runs a container, from an image that lies in the appliance and without a network: it \
            must give back a word made up for this run, be the first process of its PID namespace, and see no \
            interface but its own loopback. Fails where one of these does not hold.",
        applies: |appliance| matches!(appliance.platform, Platform::Docker { .. }),
        run: container,
    },
];

fn units(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let names = match &context.appliance.platform {
        Platform::Docker { projects, .. } => {
            let projects = projects.iter().map(|project| format!("firstlight-compose@{project}.service"));
            std::iter::once("docker.service".to_owned()).chain(projects).collect::<Vec<_>>()
        }
        Platform::K3s { .. } => vec![k3s::unit(k3s::role(context.machine)).to_owned()],
        Platform::Microk8s { .. } => ["snapd.service", "firstlight-microk8s.service"].map(str::to_owned).to_vec(),
    };
    let mut arguments = vec!["show", "--property=Id,ActiveState,SubState,Result"];
    arguments.extend(names.iter().map(String::as_str));
    let shown = command::run("systemctl", &arguments, BRIEF)
        .map_err(|error| CouldNotRun::new(error.to_string(), "systemctl status"))?;
    Ok(names.iter().map(|name| unit(name, &shown)).collect())
}

/// What `systemctl show` says of the unit `name`: properties of one unit after another, with an empty line between.
fn unit(name: &str, shown: &str) -> Finding {
    let of = |block: &str, key: &str| {
        block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).unwrap_or_default()
    };
    let block = shown.split("\n\n").find(|block| of(block, "Id") == name).unwrap_or_default();
    let (active, sub, result) = (of(block, "ActiveState"), of(block, "SubState"), of(block, "Result"));
    let finding = if active == "active" {
        Finding::pass(format!("active ({sub})"), "active")
    } else {
        Finding::fail(words(&active, &sub, &result), "active", format!("journalctl -b -u {name}"))
    };
    finding.about(name)
}

/// A unit's state in words: ActiveState, SubState and Result as org.freedesktop.systemd1 (5) has them.
fn words(active: &str, sub: &str, result: &str) -> String {
    let why = if matches!(result, "" | "success") { String::new() } else { format!(" ({result})") };
    match (active, sub) {
        ("", _) => "not known to systemd".to_owned(),
        ("activating", "auto-restart") => format!("it failed{why} and is started anew"),
        ("activating", _) => format!("it is being started{why}"),
        ("failed", _) => format!("it failed{why}"),
        ("inactive", _) => format!("it is not running{why}"),
        _ => format!("{active} ({sub}){why}"),
    }
}

fn versions(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    if let Platform::K3s { version, .. } = &context.appliance.platform {
        return Ok(vec![super::k3s::version(version)]);
    }
    if let Platform::Microk8s { revision } = context.appliance.platform {
        return Ok(vec![super::microk8s::revision(context.machine, revision)]);
    }
    let engine = ask(&["version", "--format", "{{.Server.Version}}"]);
    let compose = ask(&["compose", "version", "--short"]);
    Ok(vec![judge_versions(engine, compose)])
}

fn ask(arguments: &[&str]) -> Result<String, Error> {
    command::run("docker", arguments, BRIEF).map(|text| text.trim().to_owned())
}

/// What `error` comes to in a few words, without what Docker's client puts around them. The whole goes to the journal,
/// once for as long as the words are the same.
fn said(error: &Error) -> String {
    static LAST: Mutex<String> = Mutex::new(String::new());
    let brief = error.brief();
    let brief = brief.trim_start_matches("docker: ").trim_start_matches("Error response from daemon: ");
    let brief = brief.split(" See 'docker ").next().unwrap_or_default().trim_end_matches('.').to_owned();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != brief {
        eprintln!("{error}");
        last.clone_from(&brief);
    }
    brief
}

fn judge_versions(engine: Result<String, Error>, compose: Result<String, Error>) -> Finding {
    const REQUIRED: &str = "Docker Engine and Compose 1.27 or newer, both answering";
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return Finding::fail(format!("the engine does not answer: {}", said(&error)), REQUIRED, LOGS),
    };
    let compose = match compose {
        Ok(compose) => compose,
        Err(error) => {
            return Finding::fail(
                format!("Docker Engine {engine}; no Compose: {}", said(&error)),
                REQUIRED,
                "docker compose version",
            );
        }
    };
    let found = format!("Docker Engine {engine}, Compose {compose}");
    let mut numbers = compose.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (1, 27) => Finding::pass(found, REQUIRED),
        _ => Finding::fail(
            found,
            REQUIRED,
            "remove what stands before a newer Compose in docker's plugins: sudo docker info",
        ),
    }
}

fn container(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Platform::Docker { probe_image, .. } = &context.appliance.platform else {
        return Ok(vec![Finding::not_applicable("the platform is not Docker")]);
    };
    // The kernel's, fresh with each reading; only a container that really ran can know it.
    let nonce = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|error| CouldNotRun::new(format!("reading /proc/sys/kernel/random/uuid: {error}"), "mount /proc"))?;
    let nonce = nonce.trim();
    let name = format!("firstlight-probe-{nonce}");
    let run = [
        "run",
        "--rm",
        "--pull=never",
        "--network=none",
        "--name",
        &name,
        "--entrypoint=/firmware-checks",
        probe_image,
        "container-probe",
        nonce,
    ];
    let answer = command::run("docker", &run, LIMIT);
    if matches!(answer, Err(Error::Late { .. })) {
        // The client was killed; the container may still be there. Where it is not, there is nothing to do.
        let _ = command::run("docker", &["rm", "--force", &name], BRIEF);
    }
    Ok(vec![judge_container(probe_image, nonce, answer)])
}

fn judge_container(image: &str, nonce: &str, answer: Result<String, Error>) -> Finding {
    const REQUIRED: &str = "a container that answers from namespaces of its own";
    let fail = |what: String| Finding::fail(what, REQUIRED, LOGS);
    let text = match answer {
        Ok(text) => text,
        Err(error) => {
            let why = said(&error);
            if why.contains("No such image") {
                let remedy = "journalctl -b -u firstlight-images tells how loading it goes";
                return Finding::fail(format!("the image {image} is not loaded"), REQUIRED, remedy);
            }
            return fail(format!("no container ran: {why}"));
        }
    };
    let Ok(answer) = serde_json::from_str::<Answer>(text.trim()) else {
        return fail(format!("{image} gave no answer, but `{}`", text.trim().chars().take(80).collect::<String>()));
    };
    if answer.nonce != nonce {
        return fail(format!("{image} answered `{}`, not the word of this run", answer.nonce));
    }
    if answer.pid != 1 {
        return fail(format!("the container's process is number {}, not the first of a namespace", answer.pid));
    }
    if answer.interfaces.iter().any(|interface| interface != "lo") {
        return fail(format!("without a network, the container still sees {}", answer.interfaces.join(", ")));
    }
    Finding::pass(format!("{image} ran and answered (root on {})", answer.root), REQUIRED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    fn failed() -> Error {
        Error::Missing("docker".to_owned())
    }

    const SHOWN: &str = "Id=docker.service\nActiveState=active\nSubState=running\nResult=success\n\n\
        Id=firstlight-compose@hello.service\nActiveState=failed\nSubState=failed\nResult=exit-code\n\n\
        Id=firstlight-compose@slow.service\nActiveState=activating\nSubState=start\nResult=success\n";

    #[test]
    fn each_unit_is_told_with_its_state() {
        assert_eq!(unit("docker.service", SHOWN).state, State::Pass);
        let hello = unit("firstlight-compose@hello.service", SHOWN);
        assert_eq!((hello.state, hello.observed.as_str()), (State::Fail, "it failed (exit-code)"));
        assert_eq!(hello.remedy.as_deref(), Some("journalctl -b -u firstlight-compose@hello.service"));
        let slow = unit("firstlight-compose@slow.service", SHOWN);
        assert_eq!((slow.state, slow.observed.as_str()), (State::Fail, "it is being started"));
        assert_eq!(words("activating", "auto-restart", "exit-code"), "it failed (exit-code) and is started anew");
        assert_eq!(words("inactive", "dead", "success"), "it is not running");
        assert_eq!(unit("firstlight-compose@gone.service", SHOWN).observed, "not known to systemd");
    }

    #[test]
    fn an_engine_that_does_not_answer_and_an_old_compose_fail() {
        let versions = |engine: &str, compose: &str| judge_versions(Ok(engine.into()), Ok(compose.into()));
        assert_eq!(versions("26.1.5", "2.26.1").observed, "Docker Engine 26.1.5, Compose 2.26.1");
        assert_eq!(versions("26.1.5", "v5.0.1").state, State::Pass);
        assert_eq!(versions("20.10.24", "1.29.2").state, State::Pass);
        assert_eq!(versions("26.1.5", "1.25.0").state, State::Fail);
        assert_eq!(versions("26.1.5", "").state, State::Fail);
        let silent = judge_versions(Err(failed()), Ok("2.26.1".to_owned()));
        assert!(silent.observed.contains("docker is not installed"), "{}", silent.observed);
        assert_eq!(judge_versions(Ok("26.1.5".to_owned()), Err(failed())).state, State::Fail);
    }

    fn answered(nonce: &str, pid: u32, interfaces: &[&str]) -> Finding {
        let interfaces = interfaces.iter().map(ToString::to_string).collect();
        let answer = Answer { nonce: nonce.to_owned(), pid, root: "overlay".to_owned(), interfaces };
        judge_container("firstlight/probe:1", "4f", Ok(serde_json::to_string(&answer).unwrap() + "\n"))
    }

    #[test]
    fn only_a_container_of_this_run_in_its_own_namespaces_passes() {
        assert_eq!(answered("4f", 1, &["lo"]).state, State::Pass);
        assert_eq!(answered("5f", 1, &["lo"]).state, State::Fail);
        assert_eq!(answered("4f", 812, &["lo"]).state, State::Fail);
        assert!(answered("4f", 1, &["ens3", "lo"]).observed.contains("ens3"));
    }

    #[test]
    fn a_container_that_did_not_run_or_babbles_fails() {
        assert_eq!(judge_container("i", "4f", Err(failed())).state, State::Fail);
        assert_eq!(judge_container("i", "4f", Ok("hello".to_owned())).state, State::Fail);
        assert_eq!(judge_container("i", "4f", Ok(String::new())).state, State::Fail);
    }

    fn refused(said: &str) -> Error {
        let doing = "docker run --rm --pull=never firstlight/probe:1 container-probe 4f".to_owned();
        Error::Failed { doing, status: std::process::ExitStatus::default(), said: said.to_owned() }
    }

    #[test]
    fn a_failure_of_docker_is_told_without_its_command_line() {
        let not_loaded =
            "docker: Error response from daemon: No such image: firstlight/probe:1. See 'docker run --help'.";
        let finding = judge_container("firstlight/probe:1", "4f", Err(refused(not_loaded)));
        assert_eq!(finding.observed, "the image firstlight/probe:1 is not loaded");
        assert!(finding.remedy.unwrap().contains("firstlight-images"));
        let odd = judge_container("i", "4f", Err(refused("docker: Error response from daemon: no space left.")));
        assert_eq!(odd.observed, "no container ran: no space left");
    }
}
