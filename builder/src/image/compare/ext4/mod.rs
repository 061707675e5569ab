//! The files of two ext4 file systems, folder by folder.

mod attributes;
mod inode;
mod volume;

use std::io;

use self::inode::{FileKind, Inode};
use self::volume::{Name, Volume};
use super::{Aspect, Extent, Findings, Moved, Pair, values};

/// How much of each file is read at once, in bytes.
const CHUNK: usize = 1 << 16;

/// Adds what differs between the files of the file systems at `extent` to `found`, and answers which are the same but lie
/// elsewhere.
pub(super) fn compare(pair: Pair<'_>, extent: Extent, label: &str, found: &mut Findings) -> io::Result<Moved> {
    let first = Volume::open(pair.first, extent.first)?;
    let second = Volume::open(pair.second, extent.second)?;
    let (one, other) = (first.inode(inode::ROOT)?, second.inode(inode::ROOT)?);
    let mut walk = Walk { first, second, label, found, moved: Moved::default() };
    walk.pair("/", &one, &other)?;
    Ok(walk.moved)
}

struct Walk<'a, 'f> {
    first: Volume<'a>,
    second: Volume<'a>,
    label: &'a str,
    found: &'f mut Findings,
    moved: Moved,
}

impl Walk<'_, '_> {
    /// Compares what is called `path` in both, and everything below it.
    fn pair(&mut self, path: &str, one: &Inode, other: &Inode) -> io::Result<()> {
        let mut differs = values(&self.first.facts(one)?, &self.second.facts(other)?);
        if one.kind() == FileKind::Regular && other.kind() == FileKind::Regular {
            differs.extend(self.content(one, other)?);
        }
        if !differs.is_empty() {
            self.found.add(self.label, Some(path), differs);
        } else if one.number != other.number || self.first.places(one)? != self.second.places(other)? {
            self.moved.count += 1;
            self.moved.example.get_or_insert_with(|| path.to_owned());
        }
        if one.kind() == FileKind::Folder && other.kind() == FileKind::Folder {
            self.folder(path.trim_end_matches('/'), &self.first.names(one)?, &self.second.names(other)?)?;
        }
        Ok(())
    }

    /// Compares the contents of a folder, which are sorted by name.
    fn folder(&mut self, path: &str, one: &[Name], other: &[Name]) -> io::Result<()> {
        let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
        loop {
            let order = match (one.peek(), other.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.name.cmp(&other.name),
            };
            let first = order.is_le().then(|| one.next()).flatten();
            let second = order.is_ge().then(|| other.next()).flatten();
            let Some(name) = first.or(second) else { return Ok(()) };
            let path = format!("{path}/{}", String::from_utf8_lossy(&name.name));
            if path.len() > nix::libc::PATH_MAX as usize {
                return Err(volume::broken(format!("{path}: longer than any path; folders that contain themselves?")));
            }
            match (first, second) {
                (Some(first), Some(second)) => {
                    let (first, second) = (self.first.inode(first.inode)?, self.second.inode(second.inode)?);
                    self.pair(&path, &first, &second)?;
                }
                (Some(_), None) => self.found.add(self.label, Some(&path), vec![Aspect::OnlyInFirst]),
                _ => self.found.add(self.label, Some(&path), vec![Aspect::OnlyInSecond]),
            }
        }
    }

    /// Where the bytes of two files begin to differ.
    fn content(&self, one: &Inode, other: &Inode) -> io::Result<Option<Aspect>> {
        let (first_size, second_size) = (one.size(), other.size());
        let told = |from| Some(Aspect::Content { first_size, second_size, from });
        let (mut first, mut second) = (self.first.content(one)?, self.second.content(other)?);
        let (mut one, mut other) = (vec![0; CHUNK], vec![0; CHUNK]);
        let common = first_size.min(second_size);
        let mut position = 0;
        while position < common {
            let count = usize::try_from(common - position).unwrap_or(CHUNK).min(CHUNK);
            first.read(position, &mut one[..count])?;
            second.read(position, &mut other[..count])?;
            if let Some(at) = (0..count).find(|at| one[*at] != other[*at]) {
                return Ok(told(position + at as u64));
            }
            position += count as u64;
        }
        Ok(if first_size == second_size { None } else { told(common) })
    }
}
