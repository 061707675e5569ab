//! The appliance's ports: free before the platform starts, answering after.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::network::{fixed, unread};
use crate::appliance::{Appliance, Platform};
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::network::addresses;
use crate::facts::sockets::{self, Bound, Holder};
use crate::requirements::{Owner, Port, Protocol};

/// The checks of this folder.
pub const CHECKS: &[Check] = &[
    Check {
        id: "ports.free",
        title: "Ports of the platform are free",
        phases: &[Phase::Admission],
        after: &[],
        documentation: "Before the platform starts, no process holds a port that it will serve, on whatever address. \
            Fails with the process and its systemd unit. Ports whose owner is the system itself, such as sshd's, are \
            not asked.",
        applies: |appliance| appliance.requirements.ports.iter().any(|port| port.owner == Owner::Platform),
        run: free,
    },
    Check {
        id: "ports.listening",
        title: "Promised ports answer",
        phases: &[Phase::Acceptance],
        after: &["network.address"],
        documentation: "After the platform has started, each promised TCP port accepts a connection on an address of \
            the machine (the site's fixed ones, where it has some), and for each promised UDP or SCTP port a socket is \
            bound. A port that answers on the loopback alone fails.",
        applies: |appliance| appliance.requirements.ports.iter().any(|port| port.promised),
        run: listening,
    },
];

/// How long a connection to the machine's own address may take.
const LIMIT: Duration = Duration::from_secs(3);

fn free(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let ports = context.appliance.requirements.ports.iter().filter(|port| port.owner == Owner::Platform);
    ports.map(|port| Ok(free_port(context, port)?.about(&port.name))).collect()
}

fn free_port(context: &Context<'_>, port: &Port) -> Result<Finding, CouldNotRun> {
    let held = bound(context, port)?;
    let name = number(port);
    if held.is_empty() {
        return Ok(Finding::pass(format!("{name} is free"), format!("{name} free")));
    }
    let inodes: BTreeSet<u64> = held.iter().map(|socket| socket.inode).collect();
    let holders = sockets::holders(context.machine, &inodes).map_err(|error| {
        CouldNotRun::new(
            format!("looking for who holds {name}: {error}"),
            format!("see who it is: sudo ss -tulpn | grep :{}", port.port),
        )
    })?;
    let who = if holders.is_empty() { "no process of this machine's own".to_owned() } else { joined(&holders) };
    Ok(Finding::fail(format!("{name} is held by {who}"), format!("{name} free"), release(port, &holders)))
}

fn joined(holders: &[Holder]) -> String {
    /// A server's workers share its socket; the first few tell who it is.
    const SHOWN: usize = 3;
    let texts: Vec<String> = holders.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = holders.len().saturating_sub(SHOWN);
    if more == 0 { texts.join(", ") } else { format!("{} and {more} more", texts.join(", ")) }
}

/// How the port is freed.
fn release(port: &Port, holders: &[Holder]) -> String {
    let units: BTreeSet<&str> = holders.iter().filter_map(|holder| holder.unit.as_deref()).collect();
    let number = port.port;
    if let Some(unit) = units.first() {
        return format!(
            "sudo systemctl stop {unit}; if it is not needed, sudo systemctl disable {unit}, so that it stays away"
        );
    }
    match holders {
        // A socket unit: systemd itself listens, and starts the service when somebody comes.
        [Holder { pid: 1, .. }, ..] => {
            format!(
                "find the socket unit: systemctl list-sockets | grep {number}; then sudo systemctl disable --now that"
            )
        }
        [Holder { pid, .. }, ..] => format!("see what it is: ps -fp {pid}; then sudo kill {pid}"),
        [] => format!(
            "see what holds it: sudo ss -tulpn | grep :{number}; sudo lsns -t net (a container?); rpcinfo -p (the kernel?)"
        ),
    }
}

fn listening(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let mut own = fixed(context);
    if own.is_empty() {
        own = addresses(context.machine).map_err(unread)?.into_iter().map(|address| address.address).collect();
    }
    if own.is_empty() {
        let what = "the machine has no address to connect to";
        return Err(CouldNotRun::new(what, "see to network.address first"));
    }
    let ports = context.appliance.requirements.ports.iter().filter(|port| port.promised);
    ports.map(|port| Ok(answers(context, port, &own)?.about(&port.name))).collect()
}

fn answers(context: &Context<'_>, port: &Port, own: &[IpAddr]) -> Result<Finding, CouldNotRun> {
    let name = number(port);
    let required = format!("{name} answers");
    let met = match port.protocol {
        Protocol::Tcp => connect(context, port, own),
        Protocol::Udp | Protocol::Sctp => {
            let serves = |socket: &Bound| socket.address.ip().is_unspecified() || own.contains(&socket.address.ip());
            let sockets = bound(context, port)?;
            let met = sockets.iter().find(|socket| serves(socket)).map(|socket| format!("bound to {}", socket.address));
            met.ok_or_else(|| "nothing is bound to it".to_owned())
        }
    };
    let why = match met {
        Ok(met) => return Ok(Finding::pass(met, required)),
        Err(why) => why,
    };
    let sockets = bound(context, port)?;
    if !sockets.is_empty() && sockets.iter().all(|socket| socket.address.ip().is_loopback()) {
        let observed = format!("{name} answers on {} alone", sockets[0].address.ip());
        let remedy = "let it listen on all addresses: in a compose.yaml, publish the port without 127.0.0.1 before it";
        return Ok(Finding::fail(observed, required, remedy));
    }
    Ok(Finding::fail(format!("{name}: {why}"), required, start(context.appliance, port)))
}

/// Connects to the port on each address. Where it answered, and where it did not if that is a whole address family;
/// an error where it answered nowhere.
fn connect(context: &Context<'_>, port: &Port, own: &[IpAddr]) -> Result<String, String> {
    let tried = own.iter().map(|address| {
        let address = SocketAddr::new(*address, port.port);
        (address, context.machine.kernel().connect(address, LIMIT))
    });
    let mut met: Vec<SocketAddr> = Vec::new();
    let mut silent: Vec<(SocketAddr, String)> = Vec::new();
    for (address, answer) in tried {
        match answer {
            Ok(()) => met.push(address),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                silent.push((address, format!("{address} refuses connections: nothing listens there")));
            }
            Err(error) => silent.push((address, format!("connecting to {address}: {error}"))),
        }
    }
    let Some(first) = met.first() else {
        return Err(silent.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; "));
    };
    let family = |address: &SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let other = silent.iter().find(|(address, _)| met.iter().all(|met| family(met) != family(address)));
    Ok(match other {
        Some((address, why)) => {
            format!("answers over {} at {first}, not over {}: {why}", family(first), family(address))
        }
        None => format!("answers at {first}"),
    })
}

/// Where to look for what should listen.
fn start(appliance: &Appliance, port: &Port) -> String {
    match (port.owner, &appliance.platform) {
        (Owner::System, _) => {
            format!("see which service should serve {}: systemctl --failed; journalctl -b -p err", port.name)
        }
        (Owner::Platform, Platform::Docker { projects, .. }) => match projects.first() {
            Some(project) => format!(
                "see what became of its containers: sudo docker ps --all; journalctl -b -u firstlight-compose@{project}.service"
            ),
            None => {
                "see what became of its containers: sudo docker ps --all; journalctl -b -u docker.service".to_owned()
            }
        },
        (Owner::Platform, Platform::K3s { .. }) => {
            "see what became of its pods: sudo k3s kubectl get pods --all-namespaces; journalctl -b -u k3s".to_owned()
        }
        (Owner::Platform, Platform::Microk8s { .. }) => {
            "see what became of its pods: sudo microk8s kubectl get pods --all-namespaces; sudo microk8s inspect"
                .to_owned()
        }
    }
}

/// The sockets that are bound to the port.
fn bound(context: &Context<'_>, port: &Port) -> Result<Vec<Bound>, CouldNotRun> {
    let mut sockets = sockets::bound(context.machine, port.protocol).map_err(|error| {
        CouldNotRun::new(
            format!("reading the kernel's table of sockets for {}: {error}", number(port)),
            "see what ss -tuln says",
        )
    })?;
    sockets.retain(|socket| socket.address.port() == port.port);
    Ok(sockets)
}

/// Such as `443/tcp`.
fn number(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.port)
}
