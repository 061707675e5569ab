//! From what is known about the firewall to findings.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Evidence, could_not};
use crate::check::{CouldNotRun, Finding, State};
use crate::facts::Machine;
use crate::firewall::compare::Difference;
use crate::firewall::evaluate::Answer;
use crate::firewall::exposure::Opening;
use crate::firewall::probe::Outcome;
use crate::firewall::ruleset::{FAMILY, TABLE, protocol};
use crate::requirements::{Port, Protocol};

const APPLY: &str = "firmware-checks firewall apply";
/// How many of a kind a finding names before it only counts.
const NAMED: usize = 6;

/// One finding for the appliance's table where it is not right, one for each named port, one for everything else.
pub fn findings(evidence: &Evidence, machine: &Machine) -> Result<Vec<Finding>, CouldNotRun> {
    let mut findings: Vec<Finding> = evidence.difference.iter().map(table).collect();
    let mut unknown = None;
    for port in evidence.exposure.ports() {
        match evidence.named(port) {
            Ok(finding) => findings.push(finding),
            Err(why) => unknown = unknown.or(Some(why)),
        }
    }
    match evidence.others(machine) {
        Ok(finding) => findings.push(finding),
        Err(why) => unknown = unknown.or(Some(why)),
    }
    // What does not hold is worth more than what could not be told.
    match unknown {
        Some(why) if findings.iter().all(|finding| finding.state == State::Pass) => Err(why),
        _ => Ok(findings),
    }
}

fn table(difference: &Difference) -> Finding {
    let required = format!("table {FAMILY} {TABLE} as the recipe's ports ask");
    let observed = match difference {
        Difference::Missing => "no such table is loaded".to_owned(),
        Difference::Changed { surplus, lacking } if surplus.is_empty() && lacking.is_empty() => {
            "its rules are in another order".to_owned()
        }
        Difference::Changed { surplus, lacking } => {
            let part = |what: &str, lines: &[String]| match lines {
                [] => None,
                [one] => Some(format!("{what} `{one}`")),
                [first, rest @ ..] => Some(format!("{what} `{first}` and {} more", rest.len())),
            };
            [part("too much:", surplus), part("missing:", lacking)].into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
    };
    Finding::fail(observed, required, format!("{APPLY} loads the recipe's rules again")).about("rules")
}

impl Evidence {
    /// Whether `port` is let in from where the recipe names it.
    fn named(&self, port: &Port) -> Result<Finding, CouldNotRun> {
        let shown = number(port.protocol, port.port, port.port);
        let from = if port.from.is_empty() { "any".to_owned() } else { port.from.join(", ") };
        let required = format!("{shown} let in from {from}");
        let mut by_packet = Vec::new();
        let mut by_rules = Vec::new();
        for source in self.exposure.sources(port) {
            let answer = self.exposure.answer(&self.rules, port.protocol, port.port, source);
            let packet = self.packet(port, source)?;
            match (packet, answer) {
                (Some(Outcome::Dropped), answer) => return Ok(closed(port, source, "a packet", &answer, required)),
                (_, answer @ Answer::Drop(_)) => {
                    return Ok(closed(port, source, "by the rules, one", &answer, required));
                }
                (Some(Outcome::LetIn), _) => by_packet.push(source),
                (_, Answer::Accept) => by_rules.push(source),
                (_, Answer::CannotTell(why)) => {
                    return Err(untold(format!("whether {shown} is open to {source}: {why}")));
                }
            }
        }
        let part =
            |what: &str, sources: &[IpAddr]| (!sources.is_empty()).then(|| format!("{what} {}", listed(sources)));
        let parts = [part("packets came through from", &by_packet), part("by the rules alone from", &by_rules)];
        let observed = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let observed =
            if observed.is_empty() { "nobody but this machine is in those networks".into() } else { observed };
        Ok(Finding::pass(observed, required).about(port.name.clone()))
    }

    /// What became of the packet from `source` to `port`; `None` where such a one could not be sent, because the
    /// machine does not have the family.
    fn packet(&self, port: &Port, source: IpAddr) -> Result<Option<Outcome>, CouldNotRun> {
        let tried = self.tried.as_ref().map_err(could_not)?;
        let sent = tried.iter().find(|tried| {
            tried.allowed
                && tried.shot.protocol == port.protocol
                && tried.shot.port == port.port
                && tried.shot.source == source
        });
        match sent.map(|tried| tried.outcome) {
            Some(Outcome::Lost) => {
                Err(untold(format!("the packet from {source} to {} got lost before any rule", port.port)))
            }
            outcome => Ok(outcome),
        }
    }

    /// Whether anything else is let in.
    fn others(&self, machine: &Machine) -> Result<Finding, CouldNotRun> {
        let names: Vec<String> =
            self.exposure.ports().map(|port| number(port.protocol, port.port, port.port)).collect();
        let required =
            if names.is_empty() { "nothing let in".into() } else { format!("nothing let in but {}", listed(&names)) };
        let (certain, unclear): (Vec<&Opening>, Vec<_>) =
            self.openings.iter().partition(|opening| opening.unclear.is_none());
        let tried = self.tried.as_ref().map(Vec::as_slice).unwrap_or_default();
        let through = tried.iter().filter(|tried| !tried.allowed && tried.outcome == Outcome::LetIn);
        let mut open: BTreeSet<(Protocol, u16, u16, IpAddr)> =
            through.map(|tried| (tried.shot.protocol, tried.shot.port, tried.shot.port, tried.shot.source)).collect();
        // A packet that came through is named by its port; a stretch that the rules tell of, besides.
        open.extend(certain.iter().map(|opening| (opening.protocol, opening.first, opening.last, opening.source)));
        if !open.is_empty() {
            return Ok(self.open(&open, machine, required));
        }
        if let Some(opening) = unclear.first() {
            let ports = number(opening.protocol, opening.first, opening.last);
            let why = opening.unclear.clone().unwrap_or_default();
            return Err(untold(format!("whether {ports} is open to {}: {why}", opening.source)));
        }
        let tried = self.tried.as_ref().map_err(could_not)?;
        let unnamed = || tried.iter().filter(|tried| !tried.allowed);
        if let Some(lost) = unnamed().find(|tried| tried.outcome == Outcome::Lost) {
            return Err(untold(format!("the packet to {} got lost before any rule", lost.shot.port)));
        }
        let busy = self
            .listeners
            .iter()
            .filter(|l| !self.exposure.ports().any(|p| p.port == l.port && p.protocol == l.protocol));
        let busy: BTreeSet<String> =
            busy.map(|listener| number(listener.protocol, listener.port, listener.port)).collect();
        let busy: Vec<String> = busy.into_iter().collect();
        let among = if busy.is_empty() {
            String::new()
        } else {
            format!(", among them to {} where something listens", listed(&busy))
        };
        Ok(Finding::pass(format!("dropped {} packets to or from elsewhere{among}", unnamed().count()), required)
            .about("others"))
    }

    fn open(&self, open: &BTreeSet<(Protocol, u16, u16, IpAddr)>, machine: &Machine, required: String) -> Finding {
        let holder = |protocol: Protocol, first: u16, last: u16| {
            let held =
                |l: &&crate::firewall::listeners::Listener| l.protocol == protocol && (first..=last).contains(&l.port);
            let listener = self.listeners.iter().find(held)?;
            let owner = listener.owner(machine).unwrap_or_else(|| "someone".into());
            Some(if first == last { format!("; {owner}") } else { format!("; {owner} listens on {}", listener.port) })
        };
        // Ports that somebody holds come first: those are what matters.
        let mut lines: Vec<(bool, String)> = open
            .iter()
            .filter(|(protocol, first, last, _)| {
                let wider = |other: &&(Protocol, u16, u16, IpAddr)| {
                    other.0 == *protocol
                        && other.1 <= *first
                        && other.2 >= *last
                        && (other.1, other.2) != (*first, *last)
                };
                first != last || holder(*protocol, *first, *last).is_some() || !open.iter().any(|other| wider(&other))
            })
            .map(|(protocol, first, last, source)| {
                let holder = holder(*protocol, *first, *last);
                let line =
                    format!("{} to {source}{}", number(*protocol, *first, *last), holder.clone().unwrap_or_default());
                (holder.is_none(), line)
            })
            .collect();
        lines.sort();
        lines.dedup();
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        let remedy = if self.difference.is_some() {
            format!("{APPLY} closes what the recipe does not name")
        } else {
            format!("the table {FAMILY} {TABLE} is as it should be; `nft list ruleset` shows what goes round it")
        };
        Finding::fail(format!("open: {}", listed(&lines)), required, remedy).about("others")
    }
}

fn closed(port: &Port, source: IpAddr, what: &str, answer: &Answer, required: String) -> Finding {
    let ours = format!("table {FAMILY} {TABLE}");
    let (by, remedy) = match answer {
        Answer::Drop(by) if by.starts_with(&ours) => {
            (format!(" by {by}"), format!("{APPLY} loads the recipe's rules again"))
        }
        Answer::Drop(by) => {
            let table = by.split(',').next().unwrap_or(by);
            let remedy = format!("let {} in there too, or stop the service that loads it: nft list {table}", port.port);
            (format!(" by {by}"), remedy)
        }
        Answer::CannotTell(_) => {
            (String::new(), "`nft list ruleset` shows the rules for forwarded packets, which decide here".to_owned())
        }
        Answer::Accept => {
            let remedy = "no rule drops it: look at `sysctl net.ipv4.conf.all.rp_filter` and `ip rule`";
            (String::new(), remedy.to_owned())
        }
    };
    Finding::fail(format!("{what} from {source} is dropped{by}"), required, remedy).about(port.name.clone())
}

fn untold(what: String) -> CouldNotRun {
    CouldNotRun::new(what, "`nft list ruleset` shows every rule; remove tables that other software has left behind")
}

fn number(of: Protocol, first: u16, last: u16) -> String {
    let name = protocol(of);
    if first == last { format!("{first}/{name}") } else { format!("{first}-{last}/{name}") }
}

fn listed<T: ToString>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(NAMED).map(ToString::to_string).collect();
    let rest = items.len().saturating_sub(NAMED);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
