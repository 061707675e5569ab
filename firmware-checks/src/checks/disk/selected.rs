//! Whether each data folder lies on the disk that the site names for it.

use crate::check::{Context, CouldNotRun, Finding};
use crate::machine::data_disks::{self, Choice, Refusal};
use crate::site::DataDisk;

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let wanted = context.site.map(|site| site.disks.as_slice()).unwrap_or_default();
    if wanted.is_empty() {
        return Ok(vec![Finding::not_applicable("the site names no disk for data")]);
    }
    let (machine, folders) = (context.machine, &context.appliance.requirements.data);
    let unread = |what: String| CouldNotRun::new(what, "see what lsblk and findmnt say; sudo dmesg");
    let disks = data_disks::survey(machine).map_err(|error| unread(format!("looking for disks: {error}")))?;
    let record = data_disks::record(machine);
    let record =
        record.map_err(|error| CouldNotRun::new(error.to_string(), "see what became of that file: sudo dmesg"))?;
    let finding = |wanted: &DataDisk| {
        let choice = data_disks::choose(machine, folders, &disks, wanted, &record);
        let choice = choice.map_err(|error| unread(format!("looking for the disk of `{}`: {error}", wanted.folder)))?;
        let required = format!("the disk {} mounted", described(wanted));
        Ok(match choice {
            Choice::Mounted(disk) => Finding::pass(disk.told(), required),
            Choice::Refused(Refusal { found, remedy }) => Finding::fail(found, required, remedy),
            Choice::Mount(disk) | Choice::Make(disk) => {
                let why = data_disks::trouble(machine, &wanted.folder);
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                // A folder below which containers already run is not mounted over.
                let open = machine.path(crate::gate::OPEN).exists();
                let remedy = match open {
                    true => "restart the machine: disks are mounted before the platform starts",
                    false => "sudo systemctl restart firstlight-data-disks; where that fails, journalctl -b -u firstlight-data-disks",
                };
                Finding::fail(format!("{}, and not mounted{why}", disk.told()), required, remedy)
            }
        }
        .about(&wanted.folder))
    };
    wanted.iter().map(finding).collect()
}

/// The same as far as it can be told away from the machine: whether there are such folders.
pub(super) fn named(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let folders = &context.appliance.requirements.data;
    let finding = |wanted: &DataDisk| {
        let required = format!("a data folder for the disk {}", described(wanted));
        let found = match data_disks::folder(folders, wanted) {
            Ok(folder) => Finding::pass(format!("to be mounted at {}", folder.path), required),
            Err(Refusal { found, remedy }) => Finding::fail(found, required, remedy),
        };
        found.about(&wanted.folder)
    };
    Ok(context.site.map(|site| site.disks.iter().map(finding).collect()).unwrap_or_default())
}

/// What the site says of a disk.
fn described(wanted: &DataDisk) -> String {
    let DataDisk { folder, id, model, size } = wanted;
    let size = size.map(|size| size.to_string());
    let parts = [("id", id), ("model", model), ("size", &size)];
    let told: Vec<String> =
        parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
    format!("for `{folder}` ({})", told.join(", "))
}
