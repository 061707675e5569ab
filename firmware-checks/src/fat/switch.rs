//! Replaces a folder of the root with everything below it, by the write of one sector.
//!
//! FAT has no journal, so the order of the writes is all there is. Each group is durable before the next begins:
//!
//! 1. What an earlier, interrupted replacement left is removed: first its name, then its clusters.
//! 2. The new folder's clusters, which were free; the tables, which say that they no longer are; and its name, which is
//!    not the old folder's. A power cut leaves the old folder as it was, and at worst clusters that nobody holds.
//! 3. All of it is read back from the disk and compared.
//! 4. The old name gets the new folder's first cluster, and the new name is removed. Both lie in the root folder, as a rule in one
//!    sector; else the old name's sector is written first.
//! 5. The old folder's clusters are freed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;

use jiff::Timestamp;

use super::geometry::{DELETED, Geometry, LONG_NAME, Slot, damaged};
use super::sweep::sweep;
use super::{Error, Volume};
use crate::ordered::{self, Write};

/// The extension of the new folder's name, while it has one.
const SPARE: &str = "NEW";

/// What is to be written, in groups.
pub(super) struct Plan {
    /// Up to the new folder, beside the old one.
    pub beside: Vec<Vec<Write>>,
    /// From then on.
    pub switch: Vec<Vec<Write>>,
}

/// Makes the folder `name` of the root hold `files`, by their paths in it, and nothing else. `name` is of at most eight
/// characters, capitals or digits. `time` is what the files will be dated. The file system must not be mounted.
///
/// # Errors
/// [`Error`]: the file system is damaged or has no room for both, reading or writing failed, or what was read back is not what
/// was written. The old folder is then still there, unless the new one was whole on the disk.
pub fn switch_folder(
    file: &File,
    range: Range<u64>,
    time: Timestamp,
    name: &str,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<(), Error> {
    let plan = Volume::open(file, range.clone(), time)?.plan(name, files)?;
    for (groups, folder) in [(plan.beside, format!("{name}.{SPARE}")), (plan.switch, name.to_owned())] {
        let told = |source| Error { doing: format!("replacing the folder `{name}`"), range: range.clone(), source };
        ordered::apply(file, &groups).map_err(told)?;
        ordered::forget(file).map_err(told)?;
        verify(&mut Volume::open(file, range.clone(), time)?, &folder, files)?;
    }
    Ok(())
}

/// Whether `folder` holds `files` and nothing else.
fn verify(volume: &mut Volume, folder: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    let same = volume.folder(folder)? == *files;
    let differs = io::Error::new(io::ErrorKind::InvalidData, "it is not what was written");
    volume.told(if same { Ok(()) } else { Err(differs) }, || format!("reading back the folder `{folder}`"))
}

impl Volume {
    /// The files below the folder `name` of the root, by their paths in it; none where there is no such folder.
    ///
    /// # Errors
    /// [`Error`]: reading failed.
    pub fn folder(&mut self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut files = BTreeMap::new();
        for entry in self.list()?.into_iter().filter(|entry| !entry.folder) {
            if let Some((folder, inside)) = entry.path.split_once('/')
                && folder.eq_ignore_ascii_case(name)
            {
                let content = self.read_file(&entry.path)?;
                files.insert(inside.to_owned(), content.unwrap_or_default());
            }
        }
        Ok(files)
    }

    /// The writes of [`switch_folder`]; nothing is written yet.
    pub(super) fn plan(mut self, name: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Plan, Error> {
        let spare = format!("{name}.{SPARE}");
        let doing = || format!("replacing the folder `{name}`");
        let removed = self.remove_name(&spare).map(|()| self.region.take_changes(|_| true));
        let mut beside = vec![self.told(removed, doing)?];
        let swept = self.sweep();
        beside.push(self.told(swept, doing)?);
        let free = self.free();
        let free = self.told(free, doing)?;
        for (path, content) in files {
            self.write_file(&format!("{spare}/{path}"), content)?;
        }
        let repaired = super::repair::repair(&mut self.region).and_then(|()| Geometry::read(&mut self.region));
        let geometry = self.told(repaired, doing)?;
        let was_free = |offset: u64| {
            let cluster = offset.checked_sub(geometry.data).map(|offset| offset / geometry.cluster);
            cluster.is_some_and(|cluster| free.get(cluster as usize + 2).is_some_and(|free| *free))
        };
        beside.push(self.region.take_changes(was_free));
        beside.push(self.region.take_changes(|offset| offset < geometry.tables_end()));
        beside.push(self.region.take_changes(|_| true));
        let switched = self.give_cluster(name, &spare);
        let named = self.told(switched, doing)? / super::region::SECTOR;
        let mut switch = vec![self.region.take_changes(|offset| offset / super::region::SECTOR == named)];
        switch.push(self.region.take_changes(|_| true));
        let swept = self.sweep();
        switch.push(self.told(swept, doing)?);
        Ok(Plan { beside, switch })
    }

    /// Frees what nothing holds, and counts again; the changes.
    fn sweep(&mut self) -> io::Result<Vec<Write>> {
        sweep(&mut self.region)?;
        self.with(|_| Ok(()))?;
        Ok(self.region.take_changes(|_| true))
    }

    /// By each cluster's number, whether it is free.
    fn free(&mut self) -> io::Result<Vec<bool>> {
        let geometry = Geometry::read(&mut self.region)?;
        Ok(geometry.table(&mut self.region)?.into_iter().map(|next| next == 0).collect())
    }

    /// The slots of the folder `name` in the root: those of its long name, and last its own.
    fn named(&mut self, name: &str) -> io::Result<Vec<Slot>> {
        let geometry = Geometry::read(&mut self.region)?;
        let table = geometry.table(&mut self.region)?;
        let slots = geometry.slots(&mut self.region, &table, None)?;
        let wanted = short_name(name);
        let found = slots.iter().position(|slot| slot.is_entry() && slot.is_folder() && slot.name() == wanted);
        let Some(at) = found else { return Ok(Vec::new()) };
        let long = slots[..at].iter().rev().take_while(|slot| slot.bytes[11] == LONG_NAME && slot.bytes[0] != DELETED);
        let first = at - long.count();
        Ok(slots[first..=at].to_vec())
    }

    /// Takes the name of the folder `name` in the root away, and leaves its clusters; one that is not there is no error.
    fn remove_name(&mut self, name: &str) -> io::Result<()> {
        for slot in self.named(name)? {
            self.put(slot.at, &[DELETED])?;
        }
        Ok(())
    }

    /// Gives the folder `name` the first cluster of the folder `spare`, whose name goes. Answers where the slot of `name` is.
    fn give_cluster(&mut self, name: &str, spare: &str) -> io::Result<u64> {
        let Some(old) = self.named(name)?.pop() else {
            self.with(|fs| fs.root_dir().rename(spare, &fs.root_dir(), name))?;
            return Ok(self.named(name)?.pop().map_or(0, |slot| slot.at));
        };
        let new = self.named(spare)?.pop().ok_or_else(|| damaged(format!("`{spare}` was not made")))?;
        self.put(old.at + 20, &new.bytes[20..22])?;
        self.put(old.at + 26, &new.bytes[26..28])?;
        self.remove_name(spare)?;
        Ok(old.at)
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.region.seek(SeekFrom::Start(offset))?;
        io::Write::write_all(&mut self.region, bytes)
    }
}

/// `name` as a slot has it: eight characters and three.
fn short_name(name: &str) -> [u8; 11] {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let mut short = [b' '; 11];
    for (place, byte) in short[..8].iter_mut().zip(stem.bytes()) {
        *place = byte;
    }
    for (place, byte) in short[8..].iter_mut().zip(extension.bytes()) {
        *place = byte;
    }
    short
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::fat::tests::assert_clean;
    use crate::ordered::cuts::{sectors, survivors};

    const START: u64 = 1 << 20;

    fn files(version: &str) -> BTreeMap<String, Vec<u8>> {
        let text = |path: &str, size: usize| (path.to_owned(), version.repeat(size / version.len()).into_bytes());
        BTreeMap::from([
            text("BOOT/BOOTX64.EFI", 60_000),
            text("debian/grubx64.efi", 90_000),
            text("debian/grub.cfg", 90),
        ])
    }

    /// A file system with other files, the folder EFI of `version`, and its range in the file.
    fn made(size: u64, version: Option<&str>) -> (File, Range<u64>) {
        let file = tempfile::tempfile().unwrap();
        let range = START..START + size;
        file.set_len(range.end + START).unwrap();
        let mut volume = Volume::format(&file, range.clone(), "ESP", 7, Timestamp::UNIX_EPOCH).unwrap();
        volume.write_file("mine/notes.txt", &[b'n'; 3000]).unwrap();
        for (path, content) in version.map(files).unwrap_or_default() {
            volume.write_file(&format!("EFI/{path}"), &content).unwrap();
        }
        volume.finish().unwrap();
        (file, range)
    }

    fn open(file: &File, range: &Range<u64>) -> Volume {
        Volume::open(file, range.clone(), Timestamp::UNIX_EPOCH).unwrap()
    }

    fn switch(file: &File, range: &Range<u64>, version: &str) -> Result<(), Error> {
        switch_folder(file, range.clone(), Timestamp::UNIX_EPOCH, "EFI", &files(version))
    }

    #[test]
    fn the_folder_is_replaced_again_and_again_and_all_else_stays() {
        for size in [16 << 20, 40 << 20] {
            let (file, range) = made(size, Some("one"));
            for version in ["two", "three", "four"] {
                switch(&file, &range, version).unwrap();
                assert_clean(&file, range.clone());
                let mut volume = open(&file, &range);
                assert_eq!(volume.folder("EFI").unwrap(), files(version));
                assert_eq!(volume.read_file("mine/notes.txt").unwrap().unwrap(), [b'n'; 3000]);
                assert!(volume.list().unwrap().iter().all(|entry| !entry.path.contains("NEW")));
            }
        }
    }

    #[test]
    fn a_missing_folder_is_made() {
        let (file, range) = made(40 << 20, None);
        switch(&file, &range, "one").unwrap();
        assert_clean(&file, range.clone());
        assert_eq!(open(&file, &range).folder("efi").unwrap(), files("one"));
    }

    #[test]
    fn both_names_are_in_one_sector() {
        let (file, range) = made(40 << 20, Some("one"));
        let plan = open(&file, &range).plan("EFI", &files("two")).unwrap();
        assert_eq!(sectors(&plan.switch[0], 512).len(), 1);
        assert!(plan.switch[1].is_empty());
    }

    #[test]
    fn without_room_for_both_nothing_is_written() {
        let (file, range) = made(16 << 20, Some("one"));
        let before = bytes(&file, &range);
        let large = BTreeMap::from([("BOOT/BOOTX64.EFI".to_owned(), vec![1; 17 << 20])]);
        assert!(switch_folder(&file, range.clone(), Timestamp::UNIX_EPOCH, "EFI", &large).is_err());
        assert!(before == bytes(&file, &range));
    }

    #[test]
    fn a_damaged_file_system_is_told_and_not_written() {
        let (file, range) = made(40 << 20, Some("one"));
        let mut volume = open(&file, &range);
        let notes = Geometry::read(&mut volume.region).unwrap();
        // The first cluster of EFI is said to be free.
        let first = notes.first(volume.named("EFI").unwrap().last().unwrap()).unwrap();
        file.write_all_at(&[0; 4], range.start + notes.fat + u64::from(first) * 4).unwrap();
        let before = bytes(&file, &range);
        let error = switch(&file, &range, "two").unwrap_err().to_string();
        assert!(error.contains(&format!("the chain from cluster {first} breaks")), "{error}");
        assert!(before == bytes(&file, &range));
    }

    fn bytes(file: &File, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        file.read_exact_at(&mut bytes, range.start).unwrap();
        bytes
    }

    #[test]
    fn after_a_power_cut_at_any_moment_one_of_the_two_is_whole_and_the_next_try_ends_clean() {
        let (file, range) = made(16 << 20, Some("one"));
        let start = bytes(&file, &range);
        let plan = open(&file, &range).plan("EFI", &files("two")).unwrap();
        let groups: Vec<Vec<Write>> = plan.beside.into_iter().chain(plan.switch).collect();
        assert!(groups.iter().filter(|group| !group.is_empty()).count() >= 5);
        let mut seen = [0, 0];
        for number in 0..groups.len() {
            let unsynced = sectors(&groups[number], 512);
            for survived in survivors(unsynced.len()) {
                for write in groups.iter().flatten() {
                    let at = usize::try_from(write.offset - range.start).unwrap();
                    file.write_all_at(&start[at..at + write.bytes.len()], write.offset).unwrap();
                }
                ordered::apply(&file, &groups[..number]).unwrap();
                for (write, _) in unsynced.iter().zip(&survived).filter(|(_, survived)| **survived) {
                    file.write_all_at(&write.bytes, write.offset).unwrap();
                }
                let found = open(&file, &range).folder("EFI").unwrap();
                let which = [files("one"), files("two")].iter().position(|files| *files == found);
                seen[which.unwrap_or_else(|| panic!("group {number}, {survived:?}: neither of the two"))] += 1;
                // Not after every one, for the sake of time.
                if survived.len() < 3 || survived.iter().filter(|survived| **survived).count() % 17 == 1 {
                    switch(&file, &range, "three").unwrap();
                    assert_clean(&file, range.clone());
                    assert_eq!(open(&file, &range).folder("EFI").unwrap(), files("three"));
                    file.write_all_at(&start, range.start).unwrap();
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }
}
