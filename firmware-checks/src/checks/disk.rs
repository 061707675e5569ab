//! The file systems that hold the appliance's data folders.

mod kind;
mod place;
mod remedy;
mod selected;
#[cfg(test)]
mod tests;

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::requirements::DataFolder;
use crate::units::Size;
use place::Place;

/// The checks of this folder.
pub const CHECKS: &[Check] = &[
    Check {
        id: "disk.selected",
        title: "Disks for data folders",
        phases: &[Phase::Admission, Phase::Acceptance],
        after: &[],
        documentation: "For each [[disks]] of site.toml: the one disk that it means is mounted at the data folder's path. An \
            empty disk was given an ext4 file system for it; one that holds anything else is never written, and fails with what \
            it holds. Fails where no disk is meant, with those that are there, or several, and where the folder already holds \
            files that the disk would hide. As long as it fails, the platform is not started, even on a machine that was let \
            through before.",
        applies: |_| true,
        run: selected::run,
    },
    Check {
        id: "disk.size",
        title: "Size of data folders",
        phases: &[Phase::Admission, Phase::Acceptance],
        after: &["disk.selected"],
        documentation: "For each folder of requirements.data: the size of the file system that holds it, without what \
            that keeps for its own structures. Where several folders lie on one file system, what they ask adds up. \
            Less than minimum fails, less than recommended warns. A folder below a mount point of /etc/fstab where \
            nothing is mounted fails.",
        applies: |appliance| !appliance.requirements.data.is_empty(),
        run: size,
    },
    Check {
        id: "disk.free",
        title: "Free space for data folders",
        phases: &[Phase::Admission],
        after: &["disk.selected"],
        documentation: "For each folder of requirements.data that asks for it: the space that is still free on its file \
            system, and not kept for root, before the platform first starts. Where several folders lie on one file \
            system, what they ask adds up. Less than free fails, and so does a file system that is mounted read-only.",
        applies: |appliance| appliance.requirements.data.iter().any(|folder| folder.free.is_some()),
        run: free,
    },
    Check {
        id: "disk.kind",
        title: "Kind of disk under data folders",
        phases: &[Phase::Admission, Phase::Acceptance],
        after: &["disk.selected"],
        documentation: "For each folder of requirements.data with solid_state: whether the kernel calls the disk below it \
            rotational. That warns, or fails where solid_state is `required`. Does not apply to virtual machines, whose \
            disks are what their hypervisor says, nor where no disk of this machine is below the folder.",
        applies: |appliance| appliance.requirements.data.iter().any(|folder| folder.solid_state.is_some()),
        run: kind::run,
    },
];

/// `disk.selected` on the admin's own computer, whose disks say nothing.
pub const NAMED: Check = Check {
    id: "disk.selected",
    title: "Disks for data folders",
    phases: &[Phase::Admission],
    after: &[],
    documentation: "Each [[disks]] of site.toml is for a data folder that the appliance has.",
    applies: |_| true,
    run: selected::named,
};

fn size(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    judge_all(
        context,
        |_| true,
        |folder, place, together| {
            let minimum = together.sum(|folder| Some(folder.minimum));
            let recommended = together.sum(|folder| Some(folder.recommended.unwrap_or(folder.minimum)));
            let shown = folder.minimum;
            let observed = format!("{}: {}", folder.path, shown.like(place.space.size));
            let mut required = shown.like(minimum).to_string();
            if recommended > minimum {
                required += &format!(" (recommended {})", shown.like(recommended));
            }
            required += &together.names();
            let remedy = |wanted| remedy::larger(context.machine, folder, place, shown.like(wanted));
            if place.space.size < minimum {
                Finding::fail(observed, required, remedy(minimum))
            } else if place.space.size < recommended {
                Finding::warn(observed, required, remedy(recommended))
            } else {
                Finding::pass(observed, required)
            }
        },
    )
}

fn free(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    judge_all(
        context,
        |folder| folder.free.is_some(),
        |folder, place, together| {
            let asked = together.sum(|folder| folder.free);
            let shown = folder.free.unwrap_or(folder.minimum);
            let observed = format!("{}: {} free", folder.path, shown.like(place.space.available));
            let required = format!("{} free{}", shown.like(asked), together.names());
            if place.space.read_only {
                let observed = format!("{}: {} is mounted read-only", folder.path, place.point());
                Finding::fail(observed, required, remedy::read_only(place))
            } else if place.space.available < asked {
                Finding::fail(observed, required, remedy::emptier(context.machine, folder, place, shown.like(asked)))
            } else {
                Finding::pass(observed, required)
            }
        },
    )
}

/// The folders that lie on one file system.
struct Together<'a>(Vec<&'a DataFolder>);

impl Together<'_> {
    /// Bytes that they ask for in all.
    fn sum(&self, what: impl Fn(&DataFolder) -> Option<Size>) -> u64 {
        self.0.iter().filter_map(|folder| what(folder)).fold(0, |sum, size| sum.saturating_add(size.bytes()))
    }

    /// Whose sum it is, where it is one.
    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|folder| folder.name.as_str()).collect();
        if names.len() < 2 { String::new() } else { format!(" for {} together", names.join(", ")) }
    }
}

/// Judges each folder that `asked` lets through, with those that lie on the same file system.
fn judge_all(
    context: &Context<'_>,
    asked: impl Fn(&DataFolder) -> bool,
    judge: impl Fn(&DataFolder, &Place, &Together<'_>) -> Finding,
) -> Result<Vec<Finding>, CouldNotRun> {
    let folders = context.appliance.requirements.data.iter().filter(|folder| asked(folder));
    let placed: Vec<(&DataFolder, Place)> = folders
        .map(|folder| Place::of(context.machine, &folder.path).map(|place| (folder, place)))
        .collect::<Result<_, _>>()?;
    let finding = |(folder, place): &(&DataFolder, Place)| {
        if let Some(point) = &place.missing {
            let observed = format!("{}: {point} is not mounted", folder.path);
            return Finding::fail(observed, format!("{point} mounted"), remedy::mount(point)).about(&folder.name);
        }
        let same = placed.iter().filter(|(_, other)| other.file_system == place.file_system);
        judge(folder, place, &Together(same.map(|(folder, _)| *folder).collect())).about(&folder.name)
    };
    Ok(placed.iter().map(finding).collect())
}
