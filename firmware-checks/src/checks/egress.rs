//! Servers of others that the appliance needs: each is asked as the appliance would ask it.

#[cfg(test)]
mod tests;

use std::thread;

use url::Url;

use super::server::{Answer, Asker, Obstacle};
use super::tls;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::requirements::{Egress, Need};
use crate::site::AUTHORITY;

/// The checks of this folder.
pub const CHECKS: &[Check] = &[Check {
    id: "egress.reachable",
    title: "Servers that it needs",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &["site.configuration", "network.address"],
    documentation: "Each server that the recipe names answers: its name is known to the name servers, a connection comes about, \
        its certificate is signed by an authority that the system or the site's ca.crt trusts, and the HTTP status is one that \
        the recipe expects. Asked through the site's proxy where it has one for that server. Fails, or warns where the recipe \
        only recommends the server, with the first of these steps that went wrong.",
    applies: |appliance| !appliance.requirements.egress.is_empty(),
    run,
}];

fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let targets = &context.appliance.requirements.egress;
    let roots = if targets.iter().any(|egress| egress.url.starts_with("https")) {
        tls::trusted_roots(context)?
    } else {
        Vec::new()
    };
    // Beside each other: each may take as long as it is given.
    let judge = |egress: &Egress| -> Result<Finding, CouldNotRun> {
        let url = egress.target().map_err(|error| {
            let what = format!("`{}` of the recipe {error}", egress.url);
            CouldNotRun::new(what, "build the image anew from a recipe that names a URL")
        })?;
        let proxy = context.site.and_then(|site| {
            let proxy = site.proxy.as_ref()?;
            proxy.on_the_way_to(url.host_str()?, url.scheme() == "https")
        });
        let asker = Asker::new(&roots, proxy.map(|proxy| proxy.expose()));
        Ok(finding(context, egress, &url, proxy.is_some(), asker.ask(&url)))
    };
    thread::scope(|scope| {
        let asked: Vec<_> = targets.iter().map(|egress| scope.spawn(move || judge(egress))).collect();
        asked.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn finding(
    context: &Context<'_>,
    egress: &Egress,
    url: &Url,
    by_proxy: bool,
    asked: Result<Answer, Obstacle>,
) -> Finding {
    let host = url.host_str().unwrap_or_default();
    let required = format!("{host} answers with {}", egress.expected());
    let way = if by_proxy { " through the proxy" } else { "" };
    let (observed, remedy) = match asked {
        Ok(Answer { status, .. }) if egress.expects(status) => {
            return Finding::pass(format!("{host} answers with status {status}{way}"), required).about(&egress.name);
        }
        Ok(Answer { status, location }) => {
            let on = location.map(|to| format!(", and sends on to {to}")).unwrap_or_default();
            (format!("{host} answers with status {status}{way}{on}"), in_its_place(url))
        }
        Err(obstacle) => words(context, url, by_proxy, &obstacle),
    };
    let finding = match egress.need {
        Need::Required => Finding::fail(observed, required, remedy),
        Need::Recommended => Finding::warn(observed, required, remedy),
    };
    finding.about(&egress.name)
}

/// What came in the way, and what the admin can do about it with what every image has.
fn words(context: &Context<'_>, url: &Url, by_proxy: bool, obstacle: &Obstacle) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    match obstacle {
        Obstacle::Name { host, said } => (
            format!("the name {host} leads nowhere: {said}"),
            format!(
                "correct the name servers, `dns` of [network] in site.toml, or have them know it: getent ahosts {host} says whether they do"
            ),
        ),
        Obstacle::Connection(said) if by_proxy => (
            format!("no connection through the proxy: {said}"),
            format!("correct [proxy] of site.toml, or have the proxy let this machine reach {host}:{port}"),
        ),
        Obstacle::Connection(said) => (
            format!("no connection to {host}:{port}: {said}"),
            format!(
                "have the network let this machine reach {host}:{port} by TCP, or name the site's proxy in [proxy] of site.toml"
            ),
        ),
        Obstacle::Certificate(said) => (
            format!("the certificate of {host}: {said}"),
            tls::put(context, AUTHORITY, "the authority of a firewall that opens TLS, where there is one"),
        ),
        Obstacle::Answer(said) => (format!("{host}: {said}"), in_its_place(url)),
    }
}

fn in_its_place(url: &Url) -> String {
    format!(
        "have the network's admins look at what answers {url} in its place: a proxy, a portal, a mirror that is being changed"
    )
}
