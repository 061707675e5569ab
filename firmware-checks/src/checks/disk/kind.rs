//! Whether a data folder's disk turns.

use super::{judge_all, remedy};
use crate::check::{Context, CouldNotRun, Finding};
use crate::facts::{block, hypervisor};
use crate::requirements::Need;

const REQUIRED: &str = "a solid-state drive";

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let machine = context.machine;
    let kind = hypervisor::kind(machine).map_err(|error| {
        CouldNotRun::new(format!("telling what the machine is: {error}"), "see what is in /proc/cpuinfo")
    })?;
    if kind.is_virtual() {
        let told = format!("what is under a disk of {} can't be seen from here", kind.name());
        let asked = context.appliance.requirements.data.iter().filter(|folder| folder.solid_state.is_some());
        return Ok(asked.map(|folder| Finding::not_applicable(&told).about(&folder.name)).collect());
    }
    judge_all(
        context,
        |folder| folder.solid_state.is_some(),
        |folder, place, _| {
            let disk = block::disk_under(machine, &place.mount.device).ok().flatten();
            let Some(disk) = disk else {
                return Finding::not_applicable(format!("{} is on no disk of its own", place.point()));
            };
            let name = &disk.name;
            match machine.told(&format!("/sys/block/{name}/queue/rotational")).as_deref() {
                Some("1") => {
                    let observed = format!("{}: {name} is a disk that turns", folder.path);
                    let remedy = remedy::solid(machine, &disk);
                    match folder.solid_state {
                        Some(Need::Required) => Finding::fail(observed, REQUIRED, remedy),
                        _ => Finding::warn(observed, REQUIRED, remedy),
                    }
                }
                Some("0") => Finding::pass(format!("{}: {name} does not turn", folder.path), REQUIRED),
                _ => Finding::not_applicable(format!("the kernel does not say what {name} is")),
            }
        },
    )
}
