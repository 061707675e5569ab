//! Servers of others that the appliance needs: each is asked as the appliance would ask it.

mod ask;
#[cfg(test)]
mod tests;

use std::thread;

use url::Url;

use self::ask::{Answer, Asker, Obstacle};
use super::tls;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::requirements::{Egress, Need};

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
            let remedy = format!("see whether a proxy or portal answers in its place: curl -v {url}");
            (format!("{host} answers with status {status}{way}{on}"), remedy)
        }
        Err(obstacle) => {
            let (observed, remedy) = words(context, url, by_proxy, &obstacle);
            (format!("{observed}{way}"), remedy)
        }
    };
    let finding = match egress.need {
        Need::Required => Finding::fail(observed, required, remedy),
        Need::Recommended => Finding::warn(observed, required, remedy),
    };
    finding.about(&egress.name)
}

/// What came in the way, and what the admin can do about it.
fn words(context: &Context<'_>, url: &Url, by_proxy: bool, obstacle: &Obstacle) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let asked = if by_proxy { "the proxy of site.toml".to_owned() } else { format!("{host}:{port}") };
    match obstacle {
        Obstacle::Name { host, said } => (
            format!("the name {host} leads nowhere: {said}"),
            format!(
                "see which name servers are asked: resolvectl query {host}; other ones go into `dns` of [network] in site.toml"
            ),
        ),
        Obstacle::Connection(said) => (
            format!("no connection to {asked}: {said}"),
            format!(
                "have the network let this machine reach {asked} by TCP, or name the site's proxy in [proxy] of site.toml"
            ),
        ),
        Obstacle::Certificate(said) => (
            format!("the certificate of {host}: {said}"),
            format!(
                "see who signed it: openssl s_client -connect {host}:{port} </dev/null; where a firewall opens TLS, put its authority into {}",
                context.site_dir.join(crate::site::AUTHORITY).display()
            ),
        ),
        Obstacle::Http(said) => (format!("{host}: {said}"), format!("see what answers: curl -v {url}")),
    }
}
