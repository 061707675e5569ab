//! The machine's place in the network.

mod containers;
mod remedy;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;

use crate::appliance::Platform;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::network::{self, Address};
use crate::requirements::Need;

const BOTH: &[Phase] = &[Phase::Admission, Phase::Acceptance];

/// The checks of this folder.
pub const CHECKS: &[Check] = &[
    Check {
        id: "network.address",
        title: "Network address",
        phases: BOTH,
        after: &[],
        documentation: "Each fixed address of site.toml is on an interface that is up; without any, some interface that \
            is up has an address (link-local ones do not count). Interfaces of containers and the loopback are not \
            looked at. Fails with the addresses that were found, and names the interface without a cable.",
        applies: |_| true,
        run: address,
    },
    Check {
        id: "network.route",
        title: "Default route",
        phases: BOTH,
        after: &[],
        documentation: "There is a default route, IPv4 or IPv6, by an interface that is up. Its absence warns, or fails \
            where requirements.default_route is `required`.",
        applies: |_| true,
        run: route,
    },
    Check {
        id: "network.cidr",
        title: "Networks of containers",
        phases: BOTH,
        after: &["network.address"],
        documentation: "The networks that Docker cuts out for containers, by /etc/docker/daemon.json, overlap none in \
            which the machine has an address, and hold neither a gateway nor a name server: what lies there could not \
            be reached from containers, or from the machine. Fails with both networks.",
        applies: |appliance| matches!(appliance.platform, Platform::Docker { .. }),
        run: containers::run,
    },
];

fn address(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let found = network::addresses(context.machine).map_err(unread)?;
    let observed = if found.is_empty() { "no address on an interface that is up".to_owned() } else { listed(&found) };
    let wanted = fixed(context);
    if wanted.is_empty() {
        let required = "an address on an interface that is up";
        return Ok(vec![if found.is_empty() {
            Finding::fail(observed, required, remedy::no_address(context, &links(context)?))
        } else {
            Finding::pass(observed, required)
        }]);
    }
    let texts: Vec<String> = wanted.iter().map(IpAddr::to_string).collect();
    let required = format!("{} on an interface that is up", texts.join(", "));
    let missing: Vec<IpAddr> =
        wanted.into_iter().filter(|wanted| !found.iter().any(|found| found.address == *wanted)).collect();
    if missing.is_empty() {
        return Ok(vec![Finding::pass(observed, required)]);
    }
    let everywhere = context.machine.kernel().addresses().map_err(unread)?;
    let remedy = remedy::not_there(context, &links(context)?, &missing, &everywhere);
    Ok(vec![Finding::fail(observed, required, remedy)])
}

fn route(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let links = links(context)?;
    let routes = network::default_routes(context.machine).map_err(|error| {
        CouldNotRun::new(format!("reading the kernel's routes: {error}"), "see what ip route and ip -6 route say")
    })?;
    let (usable, useless): (Vec<_>, Vec<_>) =
        routes.into_iter().partition(|route| links.iter().any(|link| link.up && link.name == route.interface));
    let required = "a default route by an interface that is up";
    if !usable.is_empty() {
        let texts: Vec<String> = usable.iter().map(ToString::to_string).collect();
        return Ok(vec![Finding::pass(texts.join(", "), required)]);
    }
    let observed = match useless.first() {
        Some(route) => format!("only {route}, which is not up"),
        None => "none".to_owned(),
    };
    let remedy = remedy::no_route(context, &links);
    Ok(vec![match context.appliance.requirements.default_route {
        Need::Required => Finding::fail(observed, required, remedy),
        Need::Recommended => Finding::warn(observed, required, remedy),
    }])
}

/// The site's fixed addresses.
pub(super) fn fixed(context: &Context<'_>) -> Vec<IpAddr> {
    let addresses = context.site.into_iter().flat_map(|site| site.network.addresses());
    addresses.filter_map(|text| text.split('/').next()?.parse().ok()).collect()
}

fn links(context: &Context<'_>) -> Result<Vec<network::Link>, CouldNotRun> {
    network::links(context.machine).map_err(unread)
}

/// The facts about interfaces could not be had.
pub(super) fn unread(error: io::Error) -> CouldNotRun {
    CouldNotRun::new(
        format!("reading the machine's interfaces: {error}"),
        "see what ip address and ls /sys/class/net say",
    )
}

fn listed(addresses: &[Address]) -> String {
    let texts: Vec<String> = addresses.iter().map(|address| format!("{address} on {}", address.interface)).collect();
    texts.join(", ")
}
