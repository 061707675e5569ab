//! FAT file systems in a range of a file: the ESP and SITE.
//!
//! A [`Volume`] works in memory; the file changes when [`Volume::finish`] is called, and only where bytes differ.

mod geometry;
mod region;
mod repair;
mod sweep;
mod switch;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::region::Region;

pub use self::switch::switch_folder;

/// The smallest size in bytes that is formatted as FAT32: with clusters of 512 bytes it has the 65,525 clusters
/// below which the specification calls a file system FAT16, and some to spare.
const FAT32_FROM: u64 = 34 << 20;

/// What could not be done in a FAT file system.
#[derive(Debug, thiserror::Error)]
#[error("{doing} in the FAT file system at bytes {}..{}: {source}", .range.start, .range.end)]
pub struct Error {
    doing: String,
    range: Range<u64>,
    source: io::Error,
}

impl Error {
    /// Why, in the words of the system or of the file system's reader.
    #[must_use]
    pub fn cause(&self) -> &io::Error {
        &self.source
    }
}

/// A file or folder of a [`Volume`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, with `/`, without one in front.
    pub path: String,
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// Whether it is a folder.
    pub folder: bool,
}

/// A FAT file system in a range of a file.
#[derive(Debug)]
pub struct Volume {
    region: Region,
    range: Range<u64>,
    clock: &'static FixedClock,
}

/// Every file gets the same time: an image must not say when it was built.
#[derive(Debug)]
struct FixedClock(DateTime);

impl TimeProvider for FixedClock {
    fn get_current_date(&self) -> Date {
        self.0.date
    }

    fn get_current_date_time(&self) -> DateTime {
        self.0
    }
}

/// `time` in UTC, to the two seconds that FAT keeps, between the years 1980 and 2107.
fn fat_time(time: Timestamp) -> DateTime {
    let civil = time.to_zoned(TimeZone::UTC).datetime();
    let of = |value: i8| u16::try_from(value).unwrap_or(0);
    let date =
        Date { year: civil.year().clamp(1980, 2107).cast_unsigned(), month: of(civil.month()), day: of(civil.day()) };
    DateTime {
        date,
        time: Time { hour: of(civil.hour()), min: of(civil.minute()), sec: of(civil.second()) & !1, millis: 0 },
    }
}

impl Volume {
    /// Makes an empty file system in the bytes `range` of `file`, which should be zero there: FAT32 from 34 MiB on, FAT16 below.
    /// `label` has at most 11 ASCII characters, capitals by custom. `time` is what every file will be dated.
    ///
    /// # Errors
    /// [`Error`]: the range is too small or beyond the file, the label is not one, reading or writing failed.
    pub fn format(file: &File, range: Range<u64>, label: &str, id: u32, time: Timestamp) -> Result<Self, Error> {
        let mut volume = Self::over(file, range, time)?;
        let fat_type = if volume.region.len() >= FAT32_FROM { FatType::Fat32 } else { FatType::Fat16 };
        let made = padded(label).and_then(|label| {
            let options = FormatVolumeOptions::new().fat_type(fat_type).volume_id(id).volume_label(label);
            fatfs::format_volume(&mut volume.region, options)
        });
        volume.told(made, || format!("making `{label}`"))?;
        Ok(volume)
    }

    /// Opens the file system in the bytes `range` of `file`. `time` is what files written from now on will be dated.
    ///
    /// # Errors
    /// [`Error`]: there is no FAT file system, or it can't be read.
    pub fn open(file: &File, range: Range<u64>, time: Timestamp) -> Result<Self, Error> {
        let mut volume = Self::over(file, range, time)?;
        let label = volume.with(|fs| Ok(fs.volume_label()));
        volume.told(label, || "opening it".to_owned())?;
        Ok(volume)
    }

    fn over(file: &File, range: Range<u64>, time: Timestamp) -> Result<Self, Error> {
        let region = Region::new(file, range.clone());
        let region = region.map_err(|source| Error { doing: "opening it".to_owned(), range: range.clone(), source })?;
        // fatfs wants a clock that lives for ever; twelve bytes per volume are what that costs.
        let clock = Box::leak(Box::new(FixedClock(fat_time(time))));
        Ok(Self { region, range, clock })
    }

    /// The label in the root folder, without padding; empty where there is none.
    ///
    /// # Errors
    /// [`Error`]: reading failed.
    pub fn label(&mut self) -> Result<String, Error> {
        let label = self.with(|fs| Ok(fs.read_volume_label_from_root_dir()?.unwrap_or_default()));
        self.told(label, || "reading the label".to_owned())
    }

    /// Writes a file, in place of one of that name, and makes the folders above it.
    ///
    /// # Errors
    /// [`Error`]: no space, a folder of that name, a name that FAT can't hold.
    pub fn write_file(&mut self, path: &str, content: &[u8]) -> Result<(), Error> {
        let done = self.with(|fs| {
            let mut folder = fs.root_dir();
            let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
            for part in folders.split('/').filter(|part| !part.is_empty()) {
                folder = folder.create_dir(part)?;
            }
            let mut file = folder.create_file(name)?;
            file.truncate()?;
            file.write_all(content)?;
            file.flush()
        });
        self.told(done, || format!("writing `{path}` ({} bytes)", content.len()))
    }

    /// Copies the files and folders below `folder` of the host to `inside` (`""` is the root), in the order of their names.
    ///
    /// # Errors
    /// [`Error`]: as [`Self::write_file`]; or `folder` can't be read, or holds something other than files and folders.
    pub fn write_tree(&mut self, folder: &Path, inside: &str) -> Result<(), Error> {
        let mut names: Vec<PathBuf> = Vec::new();
        let listed = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>());
        names.extend(self.told(listed, || format!("reading the folder {}", folder.display()))?);
        names.sort();
        for host in names {
            let name = host.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            if host.is_dir() {
                self.write_tree(&host, &path)?;
            } else {
                let content = fs::read(&host);
                let content = self.told(content, || format!("reading {}", host.display()))?;
                self.write_file(&path, &content)?;
            }
        }
        Ok(())
    }

    /// A file's content; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error`]: reading failed, or the path names a folder.
    pub fn read_file(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let read = self.with(|fs| {
            let mut content = Vec::new();
            match fs.root_dir().open_file(path) {
                Ok(mut file) => file.read_to_end(&mut content)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(Some(content))
        });
        self.told(read, || format!("reading `{path}`"))
    }

    /// Removes a file or an empty folder; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error`]: the folder is not empty, reading or writing failed.
    pub fn remove(&mut self, path: &str) -> Result<(), Error> {
        let done = self.with(|fs| match fs.root_dir().remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        self.told(done, || format!("removing `{path}`"))
    }

    /// Every file and folder, sorted by path.
    ///
    /// # Errors
    /// [`Error`]: reading failed.
    pub fn list(&mut self) -> Result<Vec<Entry>, Error> {
        let mut listed = self.with(|fs| {
            let mut found = Vec::new();
            list_folder(&fs.root_dir(), "", &mut found)?;
            Ok(found)
        });
        if let Ok(found) = &mut listed {
            found.sort_by(|a, b| a.path.cmp(&b.path));
        }
        self.told(listed, || "listing it".to_owned())
    }

    /// Writes what changed into the file. Without this call the file stays as it was.
    ///
    /// # Errors
    /// [`Error`]: writing failed.
    pub fn finish(mut self) -> Result<(), Error> {
        let repaired = repair::repair(&mut self.region).and_then(|()| self.region.write_back());
        self.told(repaired, || "writing the changes".to_owned())
    }

    /// Mounts the region, does `work`, and unmounts it with a true count of free clusters.
    fn with<T>(&mut self, work: impl FnOnce(&FileSystem<&mut Region>) -> io::Result<T>) -> io::Result<T> {
        io::Seek::rewind(&mut self.region)?;
        let fs = FileSystem::new(&mut self.region, FsOptions::new().time_provider(self.clock))?;
        let done = work(&fs)?;
        fs.stats()?;
        fs.unmount()?;
        Ok(done)
    }

    fn told<T>(&self, result: io::Result<T>, doing: impl FnOnce() -> String) -> Result<T, Error> {
        result.map_err(|source| Error { doing: doing(), range: self.range.clone(), source })
    }
}

fn list_folder(folder: &fatfs::Dir<'_, &mut Region>, above: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let path = if above.is_empty() { name } else { format!("{above}/{name}") };
        found.push(Entry { path: path.clone(), size: entry.len(), folder: entry.is_dir() });
        if entry.is_dir() {
            list_folder(&entry.to_dir(), &path, found)?;
        }
    }
    Ok(())
}

fn padded(label: &str) -> io::Result<[u8; 11]> {
    let mut bytes = [b' '; 11];
    if label.is_empty() || label.len() > bytes.len() || !label.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        let what = format!("`{label}` is no FAT label: expected 1 to 11 ASCII characters");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    bytes[..label.len()].copy_from_slice(label.as_bytes());
    Ok(bytes)
}
