//! Whether anything is let in that the recipe does not name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::judge::{APPLY, listed, number, untold};
use super::packets::Tried;
use super::{Evidence, could_not};
use crate::check::{CouldNotRun, Finding};
use crate::facts::Machine;
use crate::facts::sockets::{Bound, holders};
use crate::firewall::probe::Outcome;
use crate::firewall::ruleset::{FAMILY, TABLE};
use crate::requirements::Protocol;

/// Ports from the first to the last.
type Stretch = (Protocol, u16, u16);

impl Evidence {
    /// Whether anything is let in that the recipe does not name, or from where it does not name it.
    pub(super) fn others(&self, machine: &Machine) -> Result<Finding, CouldNotRun> {
        let names: Vec<String> =
            self.exposure.ports().map(|port| number(port.protocol, port.port, port.port)).collect();
        let required =
            if names.is_empty() { "nothing let in".into() } else { format!("nothing let in but {}", listed(&names)) };
        let open = self.open();
        if !open.is_empty() {
            return Ok(self.told(&open, machine, required));
        }
        if let Some((opening, why)) = self.openings.iter().find_map(|o| Some((o, o.unclear.as_ref()?))) {
            let ports = number(opening.protocol, opening.first, opening.last);
            return Err(untold(format!("whether {ports} is open to {}: {why}", opening.source)));
        }
        let unwanted: Vec<&Tried> =
            self.tried.as_ref().map_err(could_not)?.iter().filter(|tried| !tried.allowed).collect();
        if let Some(Tried { shot, .. }) = unwanted.iter().find(|tried| tried.outcome == Outcome::Lost) {
            return Err(untold(format!("the packet from {} to {} got lost before any rule", shot.source, shot.port)));
        }
        let observed =
            format!("{} packets to other ports or from elsewhere were dropped{}", unwanted.len(), self.busy());
        Ok(Finding::pass(observed, required).about("others"))
    }

    /// What is open for certain, shown by a packet or by rules that are understood, and to whom. A port that lies in
    /// a stretch of open ones is named by itself only where somebody listens there.
    fn open(&self) -> BTreeMap<Stretch, BTreeSet<IpAddr>> {
        let mut open: BTreeMap<Stretch, BTreeSet<IpAddr>> = BTreeMap::new();
        for opening in self.openings.iter().filter(|opening| opening.unclear.is_none()) {
            open.entry((opening.protocol, opening.first, opening.last)).or_default().insert(opening.source);
        }
        let stretches: Vec<Stretch> = open.keys().copied().collect();
        let tried = self.tried.as_ref().map(Vec::as_slice).unwrap_or_default();
        for Tried { shot, .. } in tried.iter().filter(|tried| !tried.allowed && tried.outcome == Outcome::LetIn) {
            let port = (shot.protocol, shot.port, shot.port);
            let inside = |(protocol, first, last): &Stretch| {
                *protocol == shot.protocol && (*first..=*last).contains(&shot.port) && first != last
            };
            if self.listening_in(port).is_some() || !stretches.iter().any(inside) {
                open.entry(port).or_default().insert(shot.source);
            }
        }
        open
    }

    fn listening_in(&self, (protocol, first, last): Stretch) -> Option<&Bound> {
        self.listeners.iter().find(|l| l.protocol == protocol && (first..=last).contains(&l.address.port()))
    }

    /// Ports that somebody holds come first: those are what matters.
    fn told(&self, open: &BTreeMap<Stretch, BTreeSet<IpAddr>>, machine: &Machine, required: String) -> Finding {
        let line = |stretch: &Stretch, sources: &BTreeSet<IpAddr>| {
            let (protocol, first, last) = *stretch;
            let shown = format!("{} to {}", number(protocol, first, last), listed(&Vec::from_iter(sources)));
            match self.listening_in(*stretch) {
                Some(socket) if first == last => format!("{shown}, held by {}", holder(socket, machine)),
                _ => shown,
            }
        };
        let (held, free): (Vec<_>, Vec<_>) =
            open.iter().partition(|(stretch, _)| stretch.1 == stretch.2 && self.listening_in(**stretch).is_some());
        let lines: Vec<String> =
            held.into_iter().chain(free).map(|(stretch, sources)| line(stretch, sources)).collect();
        let remedy = if self.difference.is_some() {
            format!("{APPLY} closes what the recipe does not name")
        } else {
            format!("the table {FAMILY} {TABLE} is as it should be: `sudo nft list ruleset` shows what goes round it")
        };
        Finding::fail(format!("open: {}", listed(&lines)), required, remedy).about("others")
    }

    /// The ports on which anything listens that the recipe does not name.
    fn busy(&self) -> String {
        let named = |l: &&Bound| self.exposure.ports().any(|p| p.port == l.address.port() && p.protocol == l.protocol);
        let held = self.listeners.iter().filter(|listener| !named(listener));
        let ports: BTreeSet<String> = held.map(|l| number(l.protocol, l.address.port(), l.address.port())).collect();
        if ports.is_empty() {
            return String::new();
        }
        format!(", also those to {} where something listens", listed(&Vec::from_iter(ports)))
    }
}

/// The processes that hold `socket`; the kernel holds some of its own.
fn holder(socket: &Bound, machine: &Machine) -> String {
    let found = holders(machine, &BTreeSet::from([socket.inode])).unwrap_or_default();
    if found.is_empty() { "no process that can be seen".into() } else { listed(&found) }
}
