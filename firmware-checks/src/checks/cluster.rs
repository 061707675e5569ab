//! The machine's place in a cluster.

mod joined;

use crate::appliance::{Appliance, ClusterRole, Platform};
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};

const BOTH: &[Phase] = &[Phase::Admission, Phase::Acceptance];

/// The checks of this file and its folder.
pub const CHECKS: &[Check] = &[
    Check {
        id: "cluster.place",
        title: "Place in a cluster",
        phases: BOTH,
        after: &["site.configuration"],
        documentation: "What the machine is in a cluster of k3s: alone, the first of several, or one that joins a server, as the \
            image and the site's table `cluster` say together. Fails where it is to be an agent and is given no server or no token.",
        applies: is_k3s,
        run: place,
    },
    Check {
        id: "cluster.server",
        title: "Server of the cluster",
        phases: BOTH,
        after: &["site.configuration", "network.address", "time.synchronised"],
        documentation: "The server that the machine joins ([cluster] of site.toml) is reached and has its authorities at /cacerts; the \
            token's digest, where it has one (K10…::), is that of one of them; and the server's own certificate is signed by one, \
            names the server and is valid. This is what k3s sees before it sends the token. Fails with the first of these that \
            went wrong. Whether the server takes the token is not tried.",
        applies: is_k3s,
        run: joined::run,
    },
];

fn is_k3s(appliance: &Appliance) -> bool {
    matches!(appliance.platform, Platform::K3s { .. })
}

fn place(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Platform::K3s { role, .. } = &context.appliance.platform else {
        return Ok(vec![Finding::not_applicable("the platform has no cluster")]);
    };
    let cluster = context.site.and_then(|site| site.cluster.clone()).unwrap_or_default();
    let given = (cluster.server.as_deref(), cluster.token.is_some());
    Ok(vec![judge(cluster.role.unwrap_or(*role), given, cluster.nodes.len())])
}

/// By the server that is joined and whether there is a token.
fn judge(role: ClusterRole, (server, token): (Option<&str>, bool), nodes: usize) -> Finding {
    const REQUIRED: &str = "an agent's server and token";
    match (role, server, token) {
        (ClusterRole::Agent, Some(server), true) => Finding::pass(format!("agent of {server}"), REQUIRED),
        (ClusterRole::Agent, ..) => Finding::fail(
            "an agent that is given no server and token",
            REQUIRED,
            "add to site.toml a table [cluster] with `server`, `token` and `nodes`, then sudo firmware-checks site import FOLDER",
        ),
        (ClusterRole::Server, Some(server), _) => Finding::pass(format!("server, beside {server}"), REQUIRED),
        (ClusterRole::Server, None, _) if nodes > 0 => Finding::pass("the first server of several machines", REQUIRED),
        (ClusterRole::Server, None, _) => Finding::pass("alone", REQUIRED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    #[test]
    fn an_agent_needs_a_server_and_a_token() {
        let server = Some("https://10.3.7.11:6443");
        for (role, given, nodes, state, observed) in [
            (ClusterRole::Agent, (server, true), 1, State::Pass, "agent of https://10.3.7.11:6443"),
            (ClusterRole::Agent, (None, true), 1, State::Fail, "no server"),
            (ClusterRole::Agent, (server, false), 1, State::Fail, "no server and token"),
            (ClusterRole::Server, (None, false), 0, State::Pass, "alone"),
            (ClusterRole::Server, (None, true), 2, State::Pass, "the first server"),
            (ClusterRole::Server, (server, true), 1, State::Pass, "beside"),
        ] {
            let finding = judge(role, given, nodes);
            assert_eq!(finding.state, state, "{}", finding.observed);
            assert!(finding.observed.contains(observed), "{}", finding.observed);
        }
    }
}
