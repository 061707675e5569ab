//! Kubernetes, of k3s or of microk8s: its release, its node, its pods. The cluster is asked by the platform's own client, as its
//! documentation has it.

use std::time::Duration;

use serde_json::Value;

use crate::appliance::{ClusterRole, Platform};
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::command;
use crate::k3s;

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "platform.node",
    title: "Node of the cluster",
    phases: &[Phase::Acceptance],
    after: &["platform.versions", "platform.units"],
    documentation: "Asks the server of k3s or microk8s, on this machine, for the nodes of its cluster. Fails where this machine's own is not \
        there or not Ready, with the reason that Kubernetes gives; another machine's that is not Ready warns. A machine that is \
        an agent has no such server to ask.",
    applies: |appliance| matches!(appliance.platform, Platform::K3s { .. } | Platform::Microk8s { .. }),
    run: nodes,
}];

const PROGRAM: &str = "/usr/local/bin/k3s";
const BRIEF: Duration = Duration::from_secs(30);
const LOGS: &str = "journalctl -b -u k3s -u k3s-agent";

/// Who is asked for the cluster, and how a person asks.
#[derive(Clone, Copy)]
struct Client {
    program: &'static str,
    /// What an admin types.
    command: &'static str,
    logs: &'static str,
}

impl Client {
    fn of(platform: &Platform) -> Self {
        match platform {
            Platform::Microk8s { .. } => Self {
                program: "/snap/bin/microk8s",
                command: "sudo microk8s kubectl",
                logs: "journalctl -b -u snapd -u 'snap.microk8s.*'",
            },
            _ => Self { program: PROGRAM, command: "sudo k3s kubectl", logs: LOGS },
        }
    }
}

/// Whether the program is the release `wanted`.
pub(super) fn version(wanted: &str) -> Finding {
    let required = format!("k3s {wanted}");
    match command::run(PROGRAM, &["--version"], BRIEF) {
        Ok(told) => judge_version(&told, wanted, required),
        Err(error) => Finding::fail(format!("k3s does not answer: {}", error.brief()), required, LOGS),
    }
}

/// `k3s version v1.33.1+k3s1 (99d91538)`, and on the next line Go's.
fn judge_version(told: &str, wanted: &str, required: String) -> Finding {
    let found = told.lines().next().and_then(|line| line.strip_prefix("k3s version ")?.split(' ').next());
    match found {
        Some(found) if found == wanted => Finding::pass(format!("k3s {found}"), required),
        Some(found) => {
            Finding::fail(format!("k3s {found}"), required, "build the image anew: its program is another release")
        }
        None => Finding::fail("k3s does not tell its version", required, LOGS),
    }
}

fn ask(client: Client, what: &[&str]) -> Result<Vec<Value>, CouldNotRun> {
    let arguments = [&["kubectl", "get"], what, &["--output", "json"]].concat();
    let told = command::run(client.program, &arguments, BRIEF);
    items(client, &told.map_err(|error| CouldNotRun::new(error.brief(), client.logs))?)
}

fn items(client: Client, told: &str) -> Result<Vec<Value>, CouldNotRun> {
    let list: Option<Value> = serde_json::from_str(told).ok();
    let items = list.and_then(|mut list| list.get_mut("items").map(Value::take));
    match items {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(CouldNotRun::new("kubectl answered with no list of Kubernetes's", client.logs)),
    }
}

fn nodes(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    if k3s::role(context.machine) == ClusterRole::Agent {
        return Ok(vec![Finding::not_applicable("this machine is an agent: its server knows of its node")]);
    }
    let client = Client::of(&context.appliance.platform);
    Ok(judge_nodes(client, &ask(client, &["nodes"])?, &crate::facts::host::name(context.machine)))
}

/// The findings for `nodes`, of which the one called as this host, in lower case as Kubernetes has it, is this machine.
fn judge_nodes(client: Client, nodes: &[Value], host: &str) -> Vec<Finding> {
    const REQUIRED: &str = "Ready";
    let name = |node: &Value| node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let own = host.to_lowercase();
    let mut found = Vec::new();
    if !nodes.iter().any(|node| name(node) == own) {
        let told = "the server does not know this machine as a node";
        found.push(Finding::fail(told, REQUIRED, client.logs).about(own.clone()));
    }
    for node in nodes {
        let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let name = name(node);
        let finding = match ready {
            Some(condition) if condition["status"] == "True" => Finding::pass("Ready", REQUIRED),
            other => {
                let why = other.and_then(|condition| condition["message"].as_str()).unwrap_or("its state is not known");
                let told = format!("not Ready: {}", brief(why));
                let remedy = format!("{} describe node {name}; {}", client.command, client.logs);
                if name == own { Finding::fail(told, REQUIRED, remedy) } else { Finding::warn(told, REQUIRED, remedy) }
            }
        };
        found.push(finding.about(name));
    }
    found
}

/// What Kubernetes says, on one line that is not too long for a console.
fn brief(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(160).collect()
}

/// The findings for every pod.
pub(super) fn pods(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    if k3s::role(context.machine) == ClusterRole::Agent {
        return Ok(vec![Finding::not_applicable("this machine is an agent: its server knows of its pods")]);
    }
    let client = Client::of(&context.appliance.platform);
    let pods = ask(client, &["pods", "--all-namespaces"])?;
    if pods.is_empty() {
        let remedy = format!("{} get events --all-namespaces", client.command);
        return Ok(vec![Finding::fail("no pod", REQUIRED, remedy)]);
    }
    Ok(pods.iter().map(|pod| judge_pod(client, pod)).collect())
}

const REQUIRED: &str = "running and ready, or ended with status 0";

fn judge_pod(client: Client, pod: &Value) -> Finding {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let status = &pod["status"];
    let wrong = match status["phase"].as_str() {
        Some("Succeeded") => {
            return Finding::pass("ended with status 0", REQUIRED).about(format!("{namespace}/{name}"));
        }
        Some("Failed") => Some(reason(status).unwrap_or_else(|| "it failed".to_owned())),
        phase => containers(status).or_else(|| match phase {
            Some("Running") => None,
            Some(phase) => Some(format!("it is `{phase}`{}", scheduled(status))),
            None => Some("its state is not known".to_owned()),
        }),
    };
    let finding = match wrong {
        None => Finding::pass("running", REQUIRED),
        Some(wrong) => {
            let remedy = format!("{} --namespace {namespace} describe pod {name}", client.command);
            Finding::fail(brief(&wrong), REQUIRED, remedy)
        }
    };
    finding.about(format!("{namespace}/{name}"))
}

/// Why a pod that failed did.
fn reason(status: &Value) -> Option<String> {
    let why = status["reason"].as_str()?;
    Some(format!("it failed ({why})"))
}

/// Why a pod that waits for its node does.
fn scheduled(status: &Value) -> String {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let why = conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
    why.and_then(|one| one["message"].as_str()).map(|why| format!(": {why}")).unwrap_or_default()
}

/// The first container of a pod, of those that prepare it and then the others, that is not as it should be.
fn containers(status: &Value) -> Option<String> {
    let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let preparing = list("initContainerStatuses").into_iter().filter(|one| one["state"]["running"].is_null());
    let preparing = preparing.filter(|one| one["state"]["terminated"]["exitCode"] != 0);
    preparing.chain(list("containerStatuses")).find_map(|one| {
        let name = one["name"].as_str().unwrap_or_default();
        let times = one["restartCount"].as_u64().unwrap_or(0);
        let state = &one["state"];
        if let Some(why) = state["waiting"]["reason"].as_str() {
            let again = if times > 0 { format!(", started anew {times} times") } else { String::new() };
            return Some(format!("container {name}: {why}{again}"));
        }
        if let Some(code) = state["terminated"]["exitCode"].as_i64().filter(|code| *code != 0) {
            return Some(format!("container {name} ended with status {code}, started anew {times} times"));
        }
        let waits = one["ready"] == false && state["terminated"].is_null();
        waits.then(|| format!("container {name} runs, but is not ready"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;
    use serde_json::json;

    const CLIENT: Client = Client { program: PROGRAM, command: "sudo k3s kubectl", logs: LOGS };

    #[test]
    fn the_release_must_be_the_recipes() {
        let told = "k3s version v1.33.1+k3s1 (99d91538)\ngo version go1.24.2\n";
        assert_eq!(judge_version(told, "v1.33.1+k3s1", String::new()).state, State::Pass);
        let other = judge_version(told, "v1.33.2+k3s1", String::new());
        assert_eq!((other.state, other.observed.as_str()), (State::Fail, "k3s v1.33.1+k3s1"));
        assert_eq!(judge_version("flag provided but not defined", "v1", String::new()).state, State::Fail);
    }

    fn node(name: &str, ready: &str) -> Value {
        let condition = json!({ "type": "Ready", "status": ready, "message": "container runtime\nnetwork not ready" });
        json!({ "metadata": { "name": name }, "status": { "conditions": [{ "type": "DiskPressure" }, condition] } })
    }

    #[test]
    fn this_machines_node_must_be_there_and_ready_and_anothers_warns() {
        let states =
            |nodes: &[Value]| judge_nodes(CLIENT, nodes, "Rack7").iter().map(|one| one.state).collect::<Vec<_>>();
        assert_eq!(states(&[node("rack7", "True")]), [State::Pass]);
        assert_eq!(states(&[node("rack7", "False")]), [State::Fail]);
        assert_eq!(states(&[node("rack7", "True"), node("rack8", "Unknown")]), [State::Pass, State::Warn]);
        assert_eq!(states(&[node("rack8", "True")]), [State::Fail, State::Pass]);
        assert_eq!(states(&[json!({ "metadata": { "name": "rack7" } })]), [State::Fail]);
        let told = &judge_nodes(CLIENT, &[node("rack7", "False")], "rack7")[0];
        assert_eq!(told.observed, "not Ready: container runtime network not ready");
    }

    #[test]
    fn a_pod_that_crashes_again_and_again_fails_and_one_that_is_done_passes() {
        let pod = |phase: &str, status: Value| {
            let mut pod = json!({ "metadata": { "namespace": "a", "name": "b" }, "status": { "phase": phase } });
            for (key, value) in status.as_object().cloned().unwrap_or_default() {
                pod["status"][key] = value;
            }
            judge_pod(CLIENT, &pod)
        };
        let container = |ready: bool, restarts: u32, state: Value| json!({ "containerStatuses": [{ "name": "c", "ready": ready, "restartCount": restarts, "state": state }] });
        let running = json!({ "running": { "startedAt": "2026-11-21T12:00:00Z" } });
        let looping = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } });
        let preparing = json!({ "initContainerStatuses": [{ "name": "i", "restartCount": 4, "state": looping }] });
        let unscheduled =
            json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "message": "no room" }] });
        for (phase, status, state, observed) in [
            ("Running", container(true, 3, running.clone()), State::Pass, "running"),
            ("Running", container(false, 0, running), State::Fail, "container c runs, but is not ready"),
            (
                "Running",
                container(false, 7, looping),
                State::Fail,
                "container c: CrashLoopBackOff, started anew 7 times",
            ),
            (
                "Succeeded",
                container(false, 0, json!({ "terminated": { "exitCode": 0 } })),
                State::Pass,
                "ended with status 0",
            ),
            ("Running", container(false, 2, json!({ "terminated": { "exitCode": 137 } })), State::Fail, "status 137"),
            ("Failed", json!({ "reason": "Evicted" }), State::Fail, "it failed (Evicted)"),
            ("Pending", preparing, State::Fail, "container i: CrashLoopBackOff, started anew 4 times"),
            ("Pending", unscheduled, State::Fail, "it is `Pending`: no room"),
        ] {
            let finding = pod(phase, status);
            assert_eq!(finding.state, state, "{phase}: {}", finding.observed);
            assert!(finding.observed.contains(observed), "{}", finding.observed);
            assert_eq!(finding.subject.as_deref(), Some("a/b"));
        }
    }

    #[test]
    fn an_answer_that_is_no_list_is_not_taken_for_an_empty_one() {
        assert!(items(CLIENT, "{\"kind\":\"Status\"}").is_err() && items(CLIENT, "Error").is_err());
        assert_eq!(items(CLIENT, "{\"items\":[]}").unwrap(), Vec::<Value>::new());
    }
}
