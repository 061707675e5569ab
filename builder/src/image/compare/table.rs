//! The partition tables of two images (GPT, UEFI 2.10 §5.3).

use std::fs::File;

use gpt::disk::LogicalBlockSize;

use super::{Aspect, Facts, Findings, values};

/// The bytes of the first sector that are code, not table.
pub(super) const BOOT_CODE: u64 = 440;
/// Where the table of 128 entries ends.
pub(super) const END: u64 = 34 * 512;

/// A partition of an image.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    /// `PARTLABEL`, or its number where it has none.
    pub label: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    facts: Facts,
}

/// A partition table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    guid: String,
    /// In the order on the disk.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Reads the table of `image`. What can't be read is told in words.
    pub(super) fn read(image: &File) -> Result<Self, String> {
        let config = gpt::GptConfig::new().logical_block_size(LogicalBlockSize::Lb512);
        let table = config.open_from_device(image).map_err(|error| format!("its partition table: {error}"))?;
        let size = image.metadata().map_err(|error| error.to_string())?.len();
        let mut partitions = Vec::new();
        for (number, entry) in table.partitions() {
            let label = if entry.name.is_empty() { number.to_string() } else { entry.name.clone() };
            let (start, end) = (entry.first_lba.checked_mul(512), entry.last_lba.checked_add(1));
            let (Some(start), Some(end)) = (start, end.and_then(|end| end.checked_mul(512))) else {
                return Err(format!("partition {label} has no place on a disk"));
            };
            if start >= end || end > size {
                return Err(format!("partition {label} lies at bytes {start} to {end} of an image of {size} bytes"));
            }
            let facts = [
                ("number", number.to_string()),
                ("start", start.to_string()),
                ("size", (end - start).to_string()),
                ("guid", entry.part_guid.to_string()),
                ("type", entry.part_type_guid.guid.to_string()),
                ("flags", format!("{:#x}", entry.flags)),
            ];
            let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            partitions.push(Partition { label, start, size: end - start, facts });
        }
        partitions.sort_by_key(|partition| partition.start);
        Ok(Self { guid: table.guid().to_string(), partitions })
    }

    /// Where the first partition begins, in bytes.
    pub(super) fn begin(&self) -> u64 {
        self.partitions.first().map_or(END, |partition| partition.start)
    }
}

/// Adds what the tables say differently to `found`.
pub(super) fn differences(first: &Table, second: &Table, found: &mut Findings) {
    if first.guid != second.guid {
        found.add("partition table", None, vec![super::value("guid", &first.guid, &second.guid)]);
    }
    for partition in &first.partitions {
        let other = second.partitions.iter().find(|other| other.label == partition.label);
        let differs = other.map_or(vec![Aspect::OnlyInFirst], |other| values(&partition.facts, &other.facts));
        if !differs.is_empty() {
            found.add(&partition.label, None, differs);
        }
    }
    let is_new = |partition: &&Partition| first.partitions.iter().all(|other| other.label != partition.label);
    for partition in second.partitions.iter().filter(is_new) {
        found.add(&partition.label, None, vec![Aspect::OnlyInSecond]);
    }
}
