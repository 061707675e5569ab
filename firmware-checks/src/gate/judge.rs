//! From a machine to a report.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::appliance::{Appliance, ClusterRole};
use crate::checks::run::Scene;
use crate::facts::{Machine, host, network};
use crate::report::{Gate, Report, SCHEMA, Verdict};
use crate::waivers::{self, Waivers};
use crate::{k3s, site};

/// What there is to judge on `machine` now.
#[must_use]
pub fn scene(appliance: &Appliance, machine: &Machine) -> Arc<Scene> {
    let appliance = match k3s::role(machine) {
        ClusterRole::Agent => appliance.clone().of_an_agent(),
        ClusterRole::Server => appliance.clone(),
    };
    Arc::new(Scene {
        appliance,
        site: site::status(machine.root()).site,
        site_dir: machine.path(site::DIRECTORY),
        machine: machine.clone(),
    })
}

/// The report that `verdicts` come to, with the machine's waivers applied.
#[must_use]
pub fn assemble(scene: &Scene, mut verdicts: Vec<Verdict>, gate: Gate) -> Report {
    let now = Timestamp::now();
    // A file that can't be read holds no waivers; the check `waivers.file` tells why.
    let waivers = Waivers::load(&waivers_file(&scene.machine)).unwrap_or_default();
    for verdict in &mut verdicts {
        verdict.waived = None;
        waivers.apply(verdict, now);
    }
    let addresses = network::addresses(&scene.machine).unwrap_or_default();
    Report {
        schema: SCHEMA,
        ready: !verdicts.iter().any(Verdict::in_the_way),
        appliance: scene.appliance.name.clone(),
        version: scene.appliance.version.clone(),
        base: scene.appliance.base.clone(),
        hostname: host::name(&scene.machine),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        time: now,
        gate,
        next_run: None,
        checks: verdicts,
    }
}

fn waivers_file(machine: &Machine) -> std::path::PathBuf {
    machine.path(waivers::PATH)
}

/// Whether the file that marks the open gate is there.
#[must_use]
pub fn is_open(machine: &Machine) -> bool {
    Path::exists(&machine.path(super::OPEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::firewall::samples::{appliance, port};
    use crate::requirements::Tls;

    #[test]
    fn an_agent_is_not_asked_for_what_its_server_has() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let mut appliance = appliance(vec![port("https", 443, &["any"])]);
        appliance.requirements.tls = Some(Tls::default());
        assert_eq!(scene(&appliance, &machine).appliance, appliance);
        files::replace(&machine.path(k3s::AGENT_ROLE), b"", 0o644).unwrap();
        let asked = &scene(&appliance, &machine).appliance.requirements;
        assert_eq!(asked.tls, None);
        // Its firewall lets them in all the same.
        assert!(asked.ports.len() == 1 && !asked.ports[0].promised);
    }
}
