//! Whether two disk images are the same and, where they are not, what differs, in an admin's words: which partition,
//! which file, what of it.
//!
//! That they are the same is decided by their bytes alone. The readers of partition tables and file systems here only
//! explain a difference that the bytes have shown.

mod bytes;
mod ext4;
mod fat;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::bytes::Extent;
pub use self::bytes::Span;
use self::table::{Partition, Table};

/// How many differences are told one by one.
const TOLD: usize = 20;

/// What two images have and have not in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether every byte is the same.
    pub same: bool,
    /// Some twenty of the differences, in the order on the disk. Empty where there are none.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more: u64,
}

/// One thing that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The label of the partition; or `image`, `boot code`, `partition table`, `between the partitions`.
    pub place: String,
    /// The file or folder in the partition's file system, from its root.
    pub path: Option<String>,
    /// What of it differs; never empty.
    pub differs: Vec<Aspect>,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Aspect {
    /// The second image does not have it.
    OnlyInFirst,
    /// The first image does not have it.
    OnlyInSecond,
    /// The bytes of a file.
    Content {
        /// Bytes in the first image.
        first_size: u64,
        /// Bytes in the second image.
        second_size: u64,
        /// The first byte that differs.
        from: u64,
    },
    /// One property, such as `mode`, `owner`, `modified`, `link target` or `extended attribute NAME`.
    Value {
        /// Which.
        name: String,
        /// In the first image; `none` where it has none.
        first: String,
        /// In the second.
        second: String,
    },
    /// Bytes that belong to no file system.
    Bytes(Span),
    /// Every file is the same in all that can be seen of it; how the file system keeps them is not.
    Structures {
        /// Where, from the beginning of the partition.
        #[serde(flatten)]
        span: Span,
        /// How many files lie in other blocks or have another inode number.
        moved: u64,
        /// One of those.
        example: Option<String>,
    },
    /// The bytes differ, and the file system can't be read to say more.
    Unreadable {
        /// Where, from the beginning of the partition.
        #[serde(flatten)]
        span: Span,
        /// Why.
        reason: String,
    },
}

/// An image could not be read.
#[derive(Debug, thiserror::Error)]
#[error("comparing {path}: {source}")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Compares the raw images `first` and `second`. Holes cost no reading, and no more than a few MiB are in memory.
///
/// # Errors
/// [`Error`]: one of them can't be read. A file system that can't be understood is no error but [`Aspect::Unreadable`].
pub fn compare(first: &Path, second: &Path) -> Result<Comparison, Error> {
    let open = |path: &Path| {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        opened.map_err(|source| Error { path: path.to_owned(), source })
    };
    let ((first_size, first_file), (second_size, second_file)) = (open(first)?, open(second)?);
    let pair = Pair { first: &first_file, second: &second_file };
    let compared = pair.compare(first_size, second_size);
    compared.map_err(|source| Error {
        path: PathBuf::from(format!("{} and {}", first.display(), second.display())),
        source,
    })
}

/// Two images.
#[derive(Clone, Copy)]
struct Pair<'a> {
    first: &'a File,
    second: &'a File,
}

impl Pair<'_> {
    fn compare(self, first_size: u64, second_size: u64) -> io::Result<Comparison> {
        let whole = Extent { first: 0, second: 0, length: first_size.min(second_size) };
        if first_size == second_size && bytes::differing(self, whole)?.is_none() {
            return Ok(Comparison { same: true, ..Comparison::default() });
        }
        let mut found = Findings::default();
        if first_size != second_size {
            found.add("image", None, vec![value("size", first_size, second_size)]);
        }
        match (Table::read(self.first), Table::read(self.second)) {
            (Ok(first), Ok(second)) => self.by_partition(&first, &second, whole.length, &mut found)?,
            (first, second) => {
                let reason = first.and(second).err().unwrap_or_default();
                self.unreadable("image", whole, reason, &mut found)?;
            }
        }
        Ok(found.0)
    }

    /// Everything in the order on the disk; what lies outside of the partitions is compared as bytes.
    fn by_partition(self, first: &Table, second: &Table, size: u64, found: &mut Findings) -> io::Result<()> {
        let at = |start: u64, end: u64| Extent { first: start, second: start, length: end.saturating_sub(start) };
        self.raw("boot code", at(0, table::BOOT_CODE), found)?;
        let before = found.count();
        table::differences(first, second, found);
        let begin = first.begin().min(second.begin());
        if found.count() == before {
            self.raw("partition table", at(table::BOOT_CODE, begin.min(table::END)), found)?;
        }
        let mut end = begin.min(table::END);
        for partition in &first.partitions {
            if partition.start > end {
                self.raw("between the partitions", at(end, partition.start), found)?;
            }
            end = end.max(partition.start + partition.size);
            if let Some(other) = second.partitions.iter().find(|other| other.label == partition.label) {
                self.partition(partition, other, found)?;
            }
        }
        if found.count() == before {
            self.raw("partition table", at(end, size), found)?;
        }
        Ok(())
    }

    fn raw(self, place: &str, extent: Extent, found: &mut Findings) -> io::Result<()> {
        if let Some(span) = bytes::differing(self, extent)? {
            found.add(place, None, vec![Aspect::Bytes(span)]);
        }
        Ok(())
    }

    fn unreadable(self, place: &str, extent: Extent, reason: String, found: &mut Findings) -> io::Result<()> {
        if let Some(span) = bytes::differing(self, extent)? {
            found.add(place, None, vec![Aspect::Unreadable { span, reason }]);
        }
        Ok(())
    }

    fn partition(self, first: &Partition, second: &Partition, found: &mut Findings) -> io::Result<()> {
        let extent = Extent { first: first.start, second: second.start, length: first.size.min(second.size) };
        let Some(span) = bytes::differing(self, extent)? else { return Ok(()) };
        let before = found.count();
        let label = first.label.as_str();
        let kinds = (Kind::of(self.first, first)?, Kind::of(self.second, second)?);
        let compared = match kinds {
            (Kind::Ext4, Kind::Ext4) => ext4::compare(self, extent, label, found),
            (Kind::Fat, Kind::Fat) => fat::compare(self, first, second, found).map(|()| Moved::default()),
            (Kind::Other, Kind::Other) => return self.raw(label, extent, found),
            (one, other) => {
                found.add(label, None, vec![value("file system", one, other)]);
                return Ok(());
            }
        };
        match compared {
            Ok(Moved { count: moved, example }) if found.count() == before => {
                found.add(label, None, vec![Aspect::Structures { span, moved, example }]);
            }
            Ok(_) => {}
            Err(error) => found.add(label, None, vec![Aspect::Unreadable { span, reason: error.to_string() }]),
        }
        Ok(())
    }
}

/// Files that are the same but lie elsewhere.
#[derive(Default)]
struct Moved {
    count: u64,
    example: Option<String>,
}

/// What a partition holds, by its magic numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ext4,
    Fat,
    Other,
}

impl Kind {
    fn of(file: &File, partition: &Partition) -> io::Result<Self> {
        let mut head = [0; 2048];
        if partition.size < head.len() as u64 {
            return Ok(Self::Other);
        }
        std::os::unix::fs::FileExt::read_exact_at(file, &mut head, partition.start)?;
        let fat = head[510..512] == [0x55, 0xaa] && (head[54..57] == *b"FAT" || head[82..85] == *b"FAT");
        let ext4 = head[0x438..0x43a] == [0x53, 0xef];
        Ok(if ext4 {
            Self::Ext4
        } else if fat {
            Self::Fat
        } else {
            Self::Other
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Fat => "vfat",
            Self::Other => "none",
        })
    }
}

/// The differences on their way into a [`Comparison`].
#[derive(Default)]
struct Findings(Comparison);

impl Findings {
    fn add(&mut self, place: &str, path: Option<&str>, differs: Vec<Aspect>) {
        if self.0.differences.len() < TOLD {
            let (place, path) = (place.to_owned(), path.map(str::to_owned));
            self.0.differences.push(Difference { place, path, differs });
        } else {
            self.0.more += 1;
        }
    }

    fn count(&self) -> u64 {
        self.0.differences.len() as u64 + self.0.more
    }
}

/// The properties of a file by their names.
type Facts = BTreeMap<String, String>;

/// What differs between `first` and `second`, sorted by name.
fn values(first: &Facts, second: &Facts) -> Vec<Aspect> {
    let mut names: Vec<&String> = first.keys().chain(second.keys()).collect();
    names.sort();
    names.dedup();
    let text = |facts: &Facts, name: &String| facts.get(name).map_or("none", String::as_str).to_owned();
    let differing = names.into_iter().filter(|name| first.get(*name) != second.get(*name));
    differing.map(|name| value(name, text(first, name), text(second, name))).collect()
}

fn value(name: &str, first: impl ToString, second: impl ToString) -> Aspect {
    Aspect::Value { name: name.to_owned(), first: first.to_string(), second: second.to_string() }
}

impl fmt::Display for Comparison {
    /// One line for each difference, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.same {
            return f.write_str("the same bytes");
        }
        let lines: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(path) = &self.path {
            write!(f, " {path}")?;
        }
        let told: Vec<String> = self.differs.iter().map(ToString::to_string).collect();
        write!(f, ": {}", told.join("; "))
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyInFirst => f.write_str("only in the first image"),
            Self::OnlyInSecond => f.write_str("only in the second image"),
            Self::Content { first_size, second_size, from } if first_size == second_size => {
                write!(f, "content differs from byte {from} of {first_size} on")
            }
            Self::Content { first_size, second_size, from } => {
                write!(
                    f,
                    "content differs from byte {from} on: {first_size} bytes in the first, {second_size} in the second"
                )
            }
            Self::Value { name, first, second } => write!(f, "{name} {first} in the first, {second} in the second"),
            Self::Bytes(span) => write!(f, "bytes differ {span}"),
            Self::Structures { span, moved: 0, .. } => {
                write!(f, "every file is the same; the file system's own structures differ {span}")
            }
            Self::Structures { span, moved, example } => {
                let example = example.as_deref().unwrap_or_default();
                write!(
                    f,
                    "every file is the same; {moved} of them, such as {example}, lie elsewhere in the file system, which differs {span}"
                )
            }
            Self::Unreadable { span, reason } => write!(f, "bytes differ {span}; which files can't be told: {reason}"),
        }
    }
}
