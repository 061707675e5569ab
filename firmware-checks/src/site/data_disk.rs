//! Disks besides the one that the machine runs from, for the appliance's data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{KeyPath, Problem};
use crate::facts::block::Disk;
use crate::units::Size;

/// A disk for one of the appliance's data folders. What it is told by must fit one disk and no other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataDisk {
    /// The recipe's name for the data folder, such as `fast`.
    pub folder: String,
    /// What its maker calls it: a name from `/dev/disk/by-id`, such as `nvme-eui.0025385b01411e9c`, or a WWID or serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its model, as the kernel says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its size, as on its label: two in a hundred more or less count as the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

impl DataDisk {
    /// Whether `disk`, which has these `names` in `/dev/disk/by-id` and is of this `model`, is meant.
    #[must_use]
    pub fn means(&self, disk: &Disk, names: &[String], model: Option<&str>) -> bool {
        let by_id = |id: &String| names.contains(id) || disk.identifier.as_ref() == Some(id);
        let by_model = |wanted: &String| model.is_some_and(|model| model.trim() == wanted.trim());
        let by_size = |size: &Size| disk.bytes.abs_diff(size.bytes()) <= size.bytes() / 50;
        self.id.as_ref().is_none_or(by_id)
            && self.model.as_ref().is_none_or(by_model)
            && self.size.as_ref().is_none_or(by_size)
    }

    fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.id.is_none() && self.model.is_none() && self.size.is_none() {
            let problem = Problem::value(at.clone(), format!("disk for `{}`: nothing says which one", self.folder));
            found.push(problem.hint("add `id = …` from /dev/disk/by-id, or `model` or `size`"));
        }
        if let Some(id) = self.id.as_ref().filter(|id| id.is_empty() || id.contains(['/', ' '])) {
            let problem = Problem::value(at.key("id"), format!("`{id}` is not what a disk is called"));
            let hint = "sda, nvme0n1 and their like may be another disk after the next start: /dev/disk/by-id has lasting names";
            found.push(problem.label("expected such as `nvme-eui.0025385b01411e9c`, without a folder").hint(hint));
        }
        if self.size.is_some_and(|size| size.bytes() == 0) {
            found.push(Problem::value(at.key("size"), "no disk has 0 bytes").label("expected such as \"1.9 TB\""));
        }
        found
    }
}

/// What is wrong with `disks`, which stand at `at`.
pub(super) fn problems(disks: &[DataDisk], at: &KeyPath) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, disk) in disks.iter().enumerate() {
        let at = at.item(index);
        if disks[..index].iter().any(|earlier| earlier.folder == disk.folder) {
            let problem = Problem::value(at.key("folder"), format!("data folder `{}` is given two disks", disk.folder));
            found
                .push(problem.hint(
                    "several disks as one are the business of a RAID controller, or of an overlay of the recipe",
                ));
        }
        found.extend(disk.problems(&at));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), text.as_bytes()).map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    #[test]
    fn a_disk_is_told_by_something_that_lasts() {
        assert_eq!(
            told("[[disks]]\nfolder = \"fast\"\nid = \"nvme-eui.00\"\n[[disks]]\nfolder = \"slow\"\nsize = \"8 TB\""),
            "fine"
        );
        assert!(told("[[disks]]\nfolder = \"fast\"\n").contains("nothing says which one"));
        assert!(told("[[disks]]\nfolder = \"fast\"\nid = \"/dev/sdb\"").contains("s:3:6"));
        assert!(told("[[disks]]\nfolder = \"fast\"\nsize = \"0 GB\"").contains("s:3:8"));
        assert!(
            told("[[disks]]\nfolder = \"a\"\nid = \"x\"\n[[disks]]\nfolder = \"a\"\nid = \"y\"").contains("two disks")
        );
    }

    #[test]
    fn all_that_is_said_must_fit() {
        let disk = Disk { name: "sdb".into(), bytes: 1_920_383_410_176, identifier: Some("SN7".into()) };
        let means = |id: Option<&str>, model: Option<&str>, size: Option<&str>| {
            let [id, model] = [id, model].map(|text| text.map(str::to_owned));
            let size = size.map(|size| size.parse().unwrap());
            DataDisk { folder: "a".into(), id, model, size }.means(&disk, &["wwn-7".into()], Some("PM9A3 "))
        };
        assert!(means(Some("wwn-7"), None, None) && means(Some("SN7"), Some("PM9A3"), Some("1.9 TB")));
        assert!(!means(Some("SN8"), Some("PM9A3"), None) && !means(None, Some("PM9"), None));
        assert!(!means(None, None, Some("1.6 TB")) && !means(None, None, Some("2.0 TB")));
    }
}
