//! The payload: `cpio(5)` "newc", and rpm's own form of it for files beyond 4 GiB, in which an entry is only the number of a
//! file in the header (`lib/cpio.c` of rpm's source).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::archive::rpm_header::Header;

const TRAILER: &[u8] = b"TRAILER!!!";
/// The longest name that is believed.
const LONGEST_NAME: u64 = 4096;

const FILESIZES: u32 = 1028;
const FILEMODES: u32 = 1030;
const FILEMTIMES: u32 = 1034;
const FILEDEVICES: u32 = 1095;
const FILEINODES: u32 = 1096;
const DIRINDEXES: u32 = 1116;
const BASENAMES: u32 = 1117;
const DIRNAMES: u32 = 1118;
const LONGFILESIZES: u32 = 5008;

/// An entry: all but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) mtime: i64,
    /// Bytes that follow.
    pub(super) size: u64,
    /// What it shares with the other names of the same file, if there are any.
    pub(super) links: Option<(u64, u64)>,
}

/// A payload that is being read.
pub(super) struct Cpio<'a> {
    from: &'a mut dyn Read,
    position: u64,
    /// What is left of the entry that was read last.
    left: u64,
    header: &'a Header,
    listed: Option<Vec<Entry>>,
}

impl<'a> Cpio<'a> {
    pub(super) fn new(from: &'a mut dyn Read, header: &'a Header) -> Self {
        Self { from, position: 0, left: 0, header, listed: None }
    }

    /// The next entry; none after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let left = self.left;
        if io::copy(&mut (&mut *self.from).take(left), &mut io::sink())? != left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += left;
        self.align()?;
        let mut magic = [0; 6];
        self.fill(&mut magic)?;
        let entry = match &magic {
            b"070701" | b"070702" => self.newc()?,
            b"07070X" => Some(self.stripped()?),
            other => return Err(io::Error::other(format!("an entry of the payload begins with {other:02x?}"))),
        };
        self.align()?;
        self.left = entry.as_ref().map_or(0, |entry| entry.size);
        Ok(entry)
    }

    fn newc(&mut self) -> io::Result<Option<Entry>> {
        let mut fields = [0; 13];
        for field in &mut fields {
            *field = self.hex()?;
        }
        let [inode, mode, _, _, links, mtime, size, major, minor, _, _, name, _] = fields;
        if name == 0 || name > LONGEST_NAME {
            return Err(io::Error::other(format!("a name of {name} bytes")));
        }
        let mut path = vec![0; usize::try_from(name).map_err(io::Error::other)?];
        self.fill(&mut path)?;
        path.pop();
        if path == TRAILER {
            return Ok(None);
        }
        Ok(Some(Entry {
            path: PathBuf::from(OsStr::from_bytes(&path)),
            mode: u32::try_from(mode).map_err(io::Error::other)?,
            mtime: i64::try_from(mtime).map_err(io::Error::other)?,
            size,
            links: (links > 1 && is_file(mode)).then_some((major << 32 | minor, inode)),
        }))
    }

    fn stripped(&mut self) -> io::Result<Entry> {
        let index = self.hex()?;
        if self.listed.is_none() {
            let listed = list(self.header).ok_or_else(|| io::Error::other("the header does not list its files"))?;
            self.listed = Some(listed);
        }
        let listed = self.listed.as_deref().unwrap_or_default();
        let entry = usize::try_from(index).ok().and_then(|index| listed.get(index)).cloned();
        entry.ok_or_else(|| io::Error::other(format!("the header has no file {index}")))
    }

    fn hex(&mut self) -> io::Result<u64> {
        let mut digits = [0; 8];
        self.fill(&mut digits)?;
        let number = str::from_utf8(&digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.ok_or_else(|| io::Error::other(format!("{digits:02x?} is no hexadecimal number")))
    }

    fn align(&mut self) -> io::Result<()> {
        let padding = self.position.next_multiple_of(4) - self.position;
        self.fill(&mut [0; 4][..usize::try_from(padding).unwrap_or(0)])
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// The content of the entry that [`Cpio::next`] gave last.
impl Read for Cpio<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(buffer.len()).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The files of a package in the header's order; of several names of one file the last one has its content.
fn list(header: &Header) -> Option<Vec<Entry>> {
    let (names, folders) = (header.texts(BASENAMES)?, header.texts(DIRNAMES)?);
    let (of, modes, times) = (header.numbers(DIRINDEXES)?, header.numbers(FILEMODES)?, header.numbers(FILEMTIMES)?);
    let sizes = header.numbers(LONGFILESIZES).or_else(|| header.numbers(FILESIZES))?;
    let (devices, inodes) = (header.numbers(FILEDEVICES)?, header.numbers(FILEINODES)?);
    let mut last = BTreeMap::new();
    let mut entries = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let folder = folders.get(usize::try_from(*of.get(index)?).ok()?)?;
        let mode = *modes.get(index)?;
        let links = (*devices.get(index)?, *inodes.get(index)?);
        if is_file(mode) {
            last.entry(links).or_insert_with(Vec::new).push(index);
        }
        let size = if is_file(mode) || is_link(mode) { *sizes.get(index)? } else { 0 };
        entries.push(Entry {
            path: PathBuf::from(OsStr::from_bytes(&[folder, *name].concat())),
            mode: u32::try_from(mode).ok()?,
            mtime: i64::try_from(*times.get(index)?).ok()?,
            size,
            links: None,
        });
    }
    for (links, names) in last.into_iter().filter(|(_, names)| names.len() > 1) {
        for (number, index) in names.iter().enumerate() {
            entries[*index].links = Some(links);
            if number + 1 < names.len() {
                entries[*index].size = 0;
            }
        }
    }
    Some(entries)
}

fn is_file(mode: u64) -> bool {
    mode & 0o170_000 == 0o100_000
}

fn is_link(mode: u64) -> bool {
    mode & 0o170_000 == 0o120_000
}
