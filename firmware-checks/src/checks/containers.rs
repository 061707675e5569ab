//! The containers of the compose projects: a unit that is active says nothing of one that ends again and again.

use std::time::Duration;

use jiff::Timestamp;

use crate::appliance::Platform;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::command;

use super::k3s;

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "platform.containers",
    title: "Containers of the platform",
    phases: &[Phase::Acceptance],
    after: &["platform.versions", "platform.units"],
    documentation: "Asks Docker for each container of each compose project. One must run, and not have been started anew \
        within the last minute; or have ended with status 0, as one does that only prepares. Fails where one ended otherwise, \
        is started again and again, or is unhealthy by its own health check, and where a project has no container. Of k3s and \
        microk8s it asks the server for each pod: all its containers are ready, or it has ended well.",
    applies: |appliance| match &appliance.platform {
        Platform::Docker { projects, .. } => !projects.is_empty(),
        Platform::K3s { .. } | Platform::Microk8s { .. } => true,
    },
    run: containers,
}];

const BRIEF: Duration = Duration::from_secs(30);
/// So long a container that was started anew must have run to count as running.
const STEADY: f64 = 60.0;
const REQUIRED: &str = "running, or ended with status 0";
/// One line for each container: what [`judge`] reads.
const FORMAT: &str = "{{.Name}}\t{{.State.Status}}\t{{.State.ExitCode}}\t{{.RestartCount}}\t{{.State.StartedAt}}\t\
    {{if .State.Health}}{{.State.Health.Status}}{{end}}";

fn containers(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    match &context.appliance.platform {
        Platform::Docker { projects, .. } => composed(context, projects),
        Platform::K3s { .. } | Platform::Microk8s { .. } => k3s::pods(context),
    }
}

fn composed(context: &Context<'_>, projects: &[String]) -> Result<Vec<Finding>, CouldNotRun> {
    let mut findings = Vec::new();
    for project in projects {
        let ask = |arguments: &[&str]| {
            command::run("docker", arguments, BRIEF)
                .map_err(|error| CouldNotRun::new(error.brief(), "journalctl -b -u docker"))
        };
        let filter = format!("label=com.docker.compose.project={project}");
        let listed = ask(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])?;
        let ids: Vec<&str> = listed.split_whitespace().collect();
        if ids.is_empty() {
            let remedy = format!("journalctl -b -u firstlight-compose@{project}");
            findings.push(Finding::fail("no container", REQUIRED, remedy).about(project));
            continue;
        }
        let told = ask(&[&["inspect", "--format", FORMAT], ids.as_slice()].concat())?;
        findings.extend(told.lines().filter(|line| !line.is_empty()).map(|line| judge(line, context.now)));
    }
    Ok(findings)
}

/// What [`FORMAT`] says of one container.
fn judge(line: &str, now: Timestamp) -> Finding {
    let mut fields = line.split('\t');
    let mut field = || fields.next().unwrap_or_default();
    let name = field().trim_start_matches('/').to_owned();
    let (state, status, restarts, started, health) = (field(), field(), field(), field(), field());
    let ran = started.parse::<Timestamp>().map_or(0.0, |started| now.duration_since(started).as_secs_f64());
    let wrong = match state {
        "running" if health == "unhealthy" => Some("it runs, but its own health check fails".to_owned()),
        "running" if restarts != "0" && ran < STEADY => Some(format!("started anew {restarts} times, just now again")),
        "running" => None,
        "exited" if status == "0" => None,
        "exited" | "dead" => Some(format!("ended with status {status}")),
        "restarting" => Some(format!("started anew {restarts} times, ended with status {status}")),
        other => Some(format!("it is `{other}`")),
    };
    let finding = match wrong {
        None if state == "exited" => Finding::pass("ended with status 0", REQUIRED),
        None => Finding::pass("running", REQUIRED),
        Some(wrong) => Finding::fail(wrong, REQUIRED, format!("sudo docker logs --tail 50 {name}")),
    };
    finding.about(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    #[test]
    fn what_runs_or_has_done_its_work_passes_and_what_ends_again_and_again_fails() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let (before, just_now) = ("2026-11-21T11:00:00.123456789Z", "2026-11-21T11:59:57.1Z");
        for (line, state, observed) in [
            (format!("/web-1\trunning\t0\t0\t{just_now}\t"), State::Pass, "running"),
            (format!("/web-1\trunning\t0\t3\t{before}\thealthy"), State::Pass, "running"),
            (format!("/setup\texited\t0\t0\t{before}\t"), State::Pass, "ended with status 0"),
            (format!("/web-1\trunning\t0\t7\t{just_now}\t"), State::Fail, "started anew 7 times"),
            (format!("/web-1\trestarting\t137\t7\t{just_now}\t"), State::Fail, "ended with status 137"),
            (format!("/web-1\texited\t1\t0\t{before}\t"), State::Fail, "ended with status 1"),
            (format!("/web-1\trunning\t0\t0\t{before}\tunhealthy"), State::Fail, "health check"),
            (format!("/web-1\tcreated\t0\t0\t{just_now}\t"), State::Fail, "`created`"),
        ] {
            let finding = judge(&line, now);
            assert_eq!(finding.state, state, "{line}");
            assert!(finding.observed.contains(observed), "{line}: {}", finding.observed);
            assert!(finding.subject.is_some_and(|name| !name.starts_with('/')));
        }
    }
}
