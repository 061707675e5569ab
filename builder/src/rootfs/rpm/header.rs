//! Headers, as they lie in packages and in the database (`docs/manual/format_header.md` of rpm's source): an index of tags,
//! and a store of their values, everything big-endian.

use std::io::{self, Read};

/// `RPM_HEADER_MAGIC`, version 1, and four reserved bytes.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// The length of the preamble: magic, number of index entries, size of the store.
const PREAMBLE: usize = 16;
/// The length of an index entry: tag, type, offset, count.
const ENTRY: usize = 16;
/// The most that rpm itself takes (`hdrblobInit`): entries, and bytes of the store.
const LIMITS: (usize, usize) = (0xffff, 256 << 20);

/// A header in its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    bytes: Vec<u8>,
    entries: usize,
}

/// An entry of the index.
#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

impl Header {
    /// Reads one header from `from`; none at its end.
    pub(super) fn read(from: &mut dyn Read) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; PREAMBLE];
        match from.read(&mut bytes[..1])? {
            0 => return Ok(None),
            _ => from.read_exact(&mut bytes[1..])?,
        }
        if bytes[..8] != MAGIC {
            return Err(io::Error::other(format!("a header begins with {:02x?}, not {MAGIC:02x?}", &bytes[..8])));
        }
        let (entries, store) = (number(&bytes[8..12]), number(&bytes[12..16]));
        if entries > LIMITS.0 || store > LIMITS.1 {
            return Err(io::Error::other(format!("a header of {entries} entries and {store} bytes is none")));
        }
        bytes.resize(PREAMBLE + entries * ENTRY + store, 0);
        from.read_exact(&mut bytes[PREAMBLE..])?;
        Ok(Some(Self { bytes, entries }))
    }

    /// The header in its own bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn entry(&self, tag: u32) -> Option<Entry> {
        let index = self.bytes[PREAMBLE..PREAMBLE + self.entries * ENTRY].chunks_exact(ENTRY);
        let word = |entry: &[u8], at: usize| number(&entry[at..at + 4]);
        let of_tag = |entry: &&[u8]| word(entry, 0) == tag as usize;
        index.into_iter().find(of_tag).map(|entry| Entry {
            kind: u32::try_from(word(entry, 4)).unwrap_or(0),
            offset: word(entry, 8),
            count: word(entry, 12),
        })
    }

    /// Where the values of `tag` lie, if they are of the kind `kind` and `size` bytes each.
    fn place(&self, tag: u32, kind: u32, size: usize) -> Option<std::ops::Range<usize>> {
        let entry = self.entry(tag).filter(|entry| entry.kind == kind)?;
        let start = PREAMBLE + self.entries * ENTRY + entry.offset;
        let end = start.checked_add(entry.count.checked_mul(size)?)?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    /// The numbers of `tag`, of the types `INT16`, `INT32` or `INT64`.
    pub(super) fn numbers(&self, tag: u32) -> Option<Vec<u64>> {
        let (kind, size) = [(3, 2), (4, 4), (5, 8)].into_iter().find(|(kind, _)| {
            let entry = self.entry(tag);
            entry.is_some_and(|entry| entry.kind == *kind)
        })?;
        let values = &self.bytes[self.place(tag, kind, size)?];
        Some(
            values
                .chunks_exact(size)
                .map(|value| value.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
                .collect(),
        )
    }

    /// The texts of `tag`, of the types `STRING`, `STRING_ARRAY` or `I18NSTRING`.
    pub(super) fn texts(&self, tag: u32) -> Option<Vec<&[u8]>> {
        let entry = self.entry(tag).filter(|entry| matches!(entry.kind, 6 | 8 | 9))?;
        let store = self.bytes.get(PREAMBLE + self.entries * ENTRY + entry.offset..)?;
        let texts: Vec<&[u8]> = store.split(|byte| *byte == 0).take(entry.count).collect();
        (texts.len() == entry.count).then_some(texts)
    }

    /// Puts `value` in place of each `INT32` of `tag`, where the header has it.
    pub(super) fn set_numbers(&mut self, tag: u32, value: u32) {
        if let Some(place) = self.place(tag, 4, 4) {
            self.bytes[place].chunks_exact_mut(4).for_each(|number| number.copy_from_slice(&value.to_be_bytes()));
        }
    }

    /// Puts `new` in place of each `CHAR` of `tag` that is `old`.
    pub(super) fn replace_chars(&mut self, tag: u32, old: u8, new: u8) {
        if let Some(place) = self.place(tag, 1, 1) {
            self.bytes[place].iter_mut().filter(|byte| **byte == old).for_each(|byte| *byte = new);
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of these entries: tag, type, count, value.
    pub(crate) fn header(entries: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, kind, count, value) in entries {
            let align = [1, 1, 1, 2, 4, 8, 1, 1, 1, 1][*kind as usize];
            store.resize(store.len().next_multiple_of(align), 0);
            let offset = u32::try_from(store.len()).unwrap();
            index.extend([*tag, *kind, offset, *count].into_iter().flat_map(u32::to_be_bytes));
            store.extend_from_slice(value);
        }
        let sizes = [entries.len(), store.len()].map(|size| u32::try_from(size).unwrap());
        [&MAGIC[..], &sizes.map(u32::to_be_bytes).concat(), &index, &store].concat()
    }

    #[test]
    fn values_are_read_and_replaced_in_their_place() {
        let bytes = header(&[(1, 8, 2, b"a\0bc\0"), (2, 4, 2, &[0, 0, 0, 7, 0, 0, 1, 0]), (3, 1, 3, &[0, 3, 1])]);
        let mut header = Header::read(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!(header.texts(1).unwrap(), [b"a".as_slice(), b"bc"]);
        assert_eq!(header.numbers(2).unwrap(), [7, 256]);
        assert_eq!((header.numbers(1), header.texts(9)), (None, None));
        header.set_numbers(2, 5);
        header.replace_chars(3, 3, 0);
        assert_eq!(header.numbers(2).unwrap(), [5, 5]);
        assert_eq!(header.bytes()[header.bytes().len() - 3..], [0, 0, 1]);
        assert_eq!(header.bytes().len(), bytes.len());
    }

    #[test]
    fn what_is_no_header_is_told_and_an_end_is_none() {
        assert_eq!(Header::read(&mut &b""[..]).unwrap(), None);
        let bytes = header(&[(1, 6, 1, b"text\0")]);
        Header::read(&mut &bytes[..bytes.len() - 1]).unwrap_err();
        let mut huge = bytes.clone();
        huge[8] = 0xff;
        Header::read(&mut &huge[..]).unwrap_err();
        let mut outside = bytes;
        outside[PREAMBLE + 8] = 0x7f;
        assert_eq!(Header::read(&mut &outside[..]).unwrap().unwrap().texts(1), None);
    }
}
