//! Whether the networks of containers are nobody else's.

use std::io;
use std::net::IpAddr;

use super::unread;
use crate::check::{Context, CouldNotRun, Finding};
use crate::facts::{Machine, network};
use crate::site::{interface_address, overlap};

const CONFIGURATION: &str = "/etc/docker/daemon.json";
/// The name servers that programs are told, and those behind systemd-resolved.
const RESOLVERS: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];
const REQUIRED: &str = "networks that neither the machine nor its site is in";

type Net = (IpAddr, u8);

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let pools = pools(context.machine)?;
    if pools.is_empty() {
        return Ok(vec![Finding::not_applicable(format!("{CONFIGURATION} names none"))]);
    }
    let taken = taken(context.machine)?;
    let clash = pools.iter().find_map(|pool| taken.iter().find(|(net, _)| overlap(*pool, *net)).map(|one| (pool, one)));
    let Some((pool, (_, who))) = clash else {
        let texts: Vec<String> = pools.iter().map(text).collect();
        return Ok(vec![Finding::pass(texts.join(", "), REQUIRED)]);
    };
    let remedy = "set containers.network in site.toml to a private network that the site uses for nothing else, then \
                  sudo firmware-checks site import FOLDER; restart the machine where Docker has run already";
    Ok(vec![Finding::fail(format!("Docker's {} holds {who}", text(pool)), REQUIRED, remedy)])
}

fn text(net: &Net) -> String {
    format!("{}/{}", crate::site::network(net.0, net.1), net.1)
}

/// Docker's bridge, and the pools of its other networks.
fn pools(machine: &Machine) -> Result<Vec<Net>, CouldNotRun> {
    let wrong =
        |what: String| CouldNotRun::new(format!("{CONFIGURATION}: {what}"), format!("see what is in {CONFIGURATION}"));
    let told = match machine.read(CONFIGURATION) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| wrong(error.to_string()))?,
    };
    let all: serde_json::Value = serde_json::from_str(&told).map_err(|error| wrong(error.to_string()))?;
    let bases = all["default-address-pools"].as_array().into_iter().flatten().map(|pool| &pool["base"]);
    let texts = std::iter::once(&all["bip"]).chain(bases).filter_map(serde_json::Value::as_str);
    texts.map(|text| net(text).ok_or_else(|| wrong(format!("`{text}` is not a network")))).collect()
}

/// A network, or an address in one.
fn net(text: &str) -> Option<Net> {
    let (address, bits) = text.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 128)?))
}

/// What is somebody's, and whose.
fn taken(machine: &Machine) -> Result<Vec<(Net, String)>, CouldNotRun> {
    let mut taken = Vec::new();
    for address in network::addresses(machine).map_err(unread)? {
        let who = format!("{}'s {address}", address.interface);
        taken.extend(interface_address(&address.to_string()).ok().map(|net| (net, who)));
    }
    let routes = network::default_routes(machine).map_err(unread)?;
    taken.extend(routes.into_iter().filter_map(|route| {
        let gateway = route.gateway?;
        Some(((gateway, if gateway.is_ipv4() { 32 } else { 128 }), format!("the gateway {gateway}")))
    }));
    for path in RESOLVERS {
        let text = machine.read(path).unwrap_or_default();
        let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse::<IpAddr>().ok());
        let servers = servers.filter(|server| !server.is_loopback());
        taken
            .extend(servers.map(|server| {
                ((server, if server.is_ipv4() { 32 } else { 128 }), format!("the name server {server}"))
            }));
    }
    Ok(taken)
}
