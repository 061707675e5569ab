//! The files of two FAT file systems.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use fatfs::{Date, DateTime, Dir, FileSystem, FsOptions};

use super::table::Partition;
use super::{Aspect, Facts, Findings, Pair, values};

/// A file or folder.
struct Entry {
    facts: Facts,
    content: Vec<u8>,
}

/// Adds what differs between the files of `first` and of `second` to `found`. Each file system is read whole: those of an
/// image hold a boot loader and a few small texts.
pub(super) fn compare(pair: Pair<'_>, first: &Partition, second: &Partition, found: &mut Findings) -> io::Result<()> {
    let (one, other) = (entries(pair.first, first)?, entries(pair.second, second)?);
    let mut paths: Vec<&String> = one.keys().chain(other.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let differs = match (one.get(path), other.get(path)) {
            (Some(one), Some(other)) => {
                let mut differs = values(&one.facts, &other.facts);
                differs.extend(content(&one.content, &other.content));
                differs
            }
            (Some(_), None) => vec![Aspect::OnlyInFirst],
            _ => vec![Aspect::OnlyInSecond],
        };
        if !differs.is_empty() {
            found.add(&first.label, Some(path), differs);
        }
    }
    Ok(())
}

fn content(one: &[u8], other: &[u8]) -> Option<Aspect> {
    let common = one.iter().zip(other).position(|(one, other)| one != other);
    let from = common.or((one.len() != other.len()).then_some(one.len().min(other.len())))? as u64;
    Some(Aspect::Content { first_size: one.len() as u64, second_size: other.len() as u64, from })
}

fn entries(image: &File, partition: &Partition) -> io::Result<BTreeMap<String, Entry>> {
    let slice = Slice { file: image, start: partition.start, size: partition.size, position: 0 };
    let fs = FileSystem::new(slice, FsOptions::new())?;
    let mut found = BTreeMap::new();
    let root = Facts::from([
        ("label".to_owned(), fs.read_volume_label_from_root_dir()?.unwrap_or_default()),
        ("volume id".to_owned(), format!("{:08x}", fs.volume_id())),
    ]);
    found.insert("/".to_owned(), Entry { facts: root, content: Vec::new() });
    list(&fs.root_dir(), "", &mut found)?;
    Ok(found)
}

fn list(folder: &Dir<'_, Slice<'_>>, above: &str, found: &mut BTreeMap<String, Entry>) -> io::Result<()> {
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{above}/{name}");
        let facts = Facts::from([
            ("attributes".to_owned(), format!("{:#04x}", entry.attributes().bits())),
            ("short name".to_owned(), entry.short_file_name()),
            ("created".to_owned(), time(entry.created())),
            ("modified".to_owned(), time(entry.modified())),
            ("accessed".to_owned(), date(entry.accessed())),
        ]);
        let mut content = Vec::new();
        if entry.is_dir() {
            list(&entry.to_dir(), &path, found)?;
        } else {
            entry.to_file().read_to_end(&mut content)?;
        }
        found.insert(path, Entry { facts, content });
    }
    Ok(())
}

fn date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

fn time(DateTime { date: day, time }: DateTime) -> String {
    format!("{}T{:02}:{:02}:{:02}.{:03}", date(day), time.hour, time.min, time.sec, time.millis)
}

/// A range of a file that can't be written to, although fatfs wants to be able to.
struct Slice<'a> {
    file: &'a File,
    start: u64,
    size: u64,
    position: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (self.position, by),
            SeekFrom::End(by) => (self.size, by),
        };
        let position = base.checked_add_signed(by).filter(|position| *position <= self.size);
        self.position = position.ok_or_else(|| io::Error::other("a seek out of the file system"))?;
        Ok(self.position)
    }
}
