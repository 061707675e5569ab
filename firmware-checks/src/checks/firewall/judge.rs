//! From what is known about the firewall to findings.

use std::net::IpAddr;

use super::{Evidence, could_not};
use crate::check::{CouldNotRun, Finding, State};
use crate::facts::Machine;
use crate::firewall::compare::Difference;
use crate::firewall::evaluate::Answer;
use crate::firewall::probe::Outcome;
use crate::firewall::ruleset::{FAMILY, TABLE, protocol};
use crate::requirements::{Port, Protocol};

pub(super) const APPLY: &str = "sudo firmware-checks firewall apply";
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
}

fn closed(port: &Port, source: IpAddr, what: &str, answer: &Answer, required: String) -> Finding {
    let ours = format!("table {FAMILY} {TABLE}");
    let (by, remedy) = match answer {
        Answer::Drop(by) if by.starts_with(&ours) => {
            (format!(" by {by}"), format!("{APPLY} loads the recipe's rules again"))
        }
        Answer::Drop(by) => {
            let table = by.split(',').next().unwrap_or(by);
            let remedy =
                format!("let {} in there too, or stop the service that loads it: sudo nft list {table}", port.port);
            (format!(" by {by}"), remedy)
        }
        Answer::CannotTell(_) => (
            String::new(),
            "`sudo nft list ruleset` shows the rules for forwarded packets, which decide here".to_owned(),
        ),
        Answer::Accept => {
            let remedy = "no rule drops it: look at `sysctl net.ipv4.conf.all.rp_filter` and `ip rule`";
            (String::new(), remedy.to_owned())
        }
    };
    Finding::fail(format!("{what} from {source} is dropped{by}"), required, remedy).about(port.name.clone())
}

pub(super) fn untold(what: String) -> CouldNotRun {
    CouldNotRun::new(
        what,
        "`sudo nft list ruleset` shows every rule; remove tables that other software has left behind",
    )
}

pub(super) fn number(of: Protocol, first: u16, last: u16) -> String {
    let name = protocol(of);
    if first == last { format!("{first}/{name}") } else { format!("{first}-{last}/{name}") }
}

pub(super) fn listed<T: ToString>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(NAMED).map(ToString::to_string).collect();
    let rest = items.len().saturating_sub(NAMED);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
