//! Headers, as they lie in packages and in the database (`docs/manual/format_header.md` of rpm's source): an index of tags,
//! and a store of their values, everything big-endian. And what precedes a package's payload (`format_v4.md`): a lead, a header of
//! signatures, the header.

use std::io::{self, Read};

/// Tags.
pub mod tag {
    /// The region that is signed (`RPMTAG_HEADERIMMUTABLE`).
    pub const IMMUTABLE: u32 = 63;
    /// Of the header of signatures: an OpenPGP signature over the header, by a key that is not RSA's.
    pub const SIGNATURE_DSA: u32 = 267;
    /// Of the header of signatures: an OpenPGP signature over the header, by a key that is RSA's.
    pub const SIGNATURE_RSA: u32 = 268;
    /// Of the header of signatures: SHA-256 of the header, in hexadecimal.
    pub const SIGNATURE_SHA256: u32 = 273;
    /// Name.
    pub const NAME: u32 = 1000;
    /// Version.
    pub const VERSION: u32 = 1001;
    /// Release.
    pub const RELEASE: u32 = 1002;
    /// Epoch.
    pub const EPOCH: u32 = 1003;
    /// Architecture.
    pub const ARCH: u32 = 1022;
    /// There for a source package only.
    pub const SOURCE_PACKAGE: u32 = 1106;
    /// Digests of the packed payload, in hexadecimal.
    pub const PAYLOAD_DIGEST: u32 = 5092;
    /// Their algorithm, by OpenPGP's number (RFC 9580 §9.5).
    pub const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
}

const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// The type of a region's, of a signature's and of other bytes (`BIN`).
const BINARY: u32 = 7;

/// `RPM_HEADER_MAGIC`, version 1, and four reserved bytes.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// The length of the preamble: magic, number of index entries, size of the store.
const PREAMBLE: usize = 16;
/// The length of an index entry: tag, type, offset, count.
const ENTRY: usize = 16;
/// The most that rpm itself takes (`hdrblobInit`): entries, and bytes of the store.
const LIMITS: (usize, usize) = (0xffff, 256 << 20);

/// What precedes a package's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// What was added when the package was signed.
    pub signatures: Header,
    /// What the package says of itself.
    pub main: Header,
}

impl Headers {
    /// Reads all that precedes the payload, at which `from` stands then.
    ///
    /// # Errors
    /// It does not begin as a package does, or ends too early; the reader's own.
    pub fn read(from: &mut dyn Read) -> io::Result<Self> {
        let mut lead = [0; LEAD];
        from.read_exact(&mut lead)?;
        if lead[..4] != LEAD_MAGIC {
            return Err(io::Error::other(format!("it begins with {:02x?}, not {LEAD_MAGIC:02x?}", &lead[..4])));
        }
        let missing = || io::Error::other("it ends before its header");
        let signatures = Header::read(from)?.ok_or_else(missing)?;
        // The header begins at a multiple of eight bytes.
        let padding = signatures.bytes().len().next_multiple_of(8) - signatures.bytes().len();
        from.read_exact(&mut [0; 8][..padding])?;
        Ok(Self { main: Header::read(from)?.ok_or_else(missing)?, signatures })
    }
}

/// A header in its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
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
    ///
    /// # Errors
    /// It is none, or not whole.
    pub fn read(from: &mut dyn Read) -> io::Result<Option<Self>> {
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
        // No more memory than there are bytes, whatever the preamble says.
        let rest = entries * ENTRY + store;
        if from.take(rest as u64).read_to_end(&mut bytes)? != rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Self { bytes, entries }))
    }

    /// The header in its own bytes; of a package's header, what its signature and digest are over.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
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

    /// Whether all of it lies in the region that is signed. rpm keeps to the region, so that the rest would not be verified.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        let size = u32::try_from(self.entries * ENTRY).unwrap_or_default();
        let trailer = [tag::IMMUTABLE, BINARY, size.wrapping_neg(), 16].map(u32::to_be_bytes).concat();
        let first = self.bytes.get(PREAMBLE..PREAMBLE + 4).is_some_and(|first| first == tag::IMMUTABLE.to_be_bytes());
        let place = self.place(tag::IMMUTABLE, BINARY, 1).filter(|place| first && place.end == self.bytes.len());
        place.is_some_and(|place| self.bytes[place] == trailer)
    }

    /// Whether it has this tag.
    #[must_use]
    pub fn has(&self, tag: u32) -> bool {
        self.entry(tag).is_some()
    }

    /// The first number of `tag`.
    #[must_use]
    pub fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag)?.first().copied()
    }

    /// The first text of `tag`, where it is UTF-8.
    #[must_use]
    pub fn text(&self, tag: u32) -> Option<&str> {
        std::str::from_utf8(self.texts(tag)?.first()?).ok()
    }

    /// The bytes of `tag`, of the type `BIN`.
    #[must_use]
    pub fn binary(&self, tag: u32) -> Option<&[u8]> {
        Some(&self.bytes[self.place(tag, BINARY, 1)?])
    }

    /// The numbers of `tag`, of the types `INT16`, `INT32` or `INT64`.
    #[must_use]
    pub fn numbers(&self, tag: u32) -> Option<Vec<u64>> {
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
    #[must_use]
    pub fn texts(&self, tag: u32) -> Option<Vec<&[u8]>> {
        let entry = self.entry(tag).filter(|entry| matches!(entry.kind, 6 | 8 | 9))?;
        let store = self.bytes.get(PREAMBLE + self.entries * ENTRY + entry.offset..)?;
        let texts: Vec<&[u8]> = store.split(|byte| *byte == 0).take(entry.count).collect();
        (texts.len() == entry.count).then_some(texts)
    }

    /// Puts `value` in place of each `INT32` of `tag`, where the header has it.
    pub fn set_numbers(&mut self, tag: u32, value: u32) {
        if let Some(place) = self.place(tag, 4, 4) {
            self.bytes[place].chunks_exact_mut(4).for_each(|number| number.copy_from_slice(&value.to_be_bytes()));
        }
    }

    /// Puts `new` in place of each `CHAR` of `tag` that is `old`.
    pub fn replace_chars(&mut self, tag: u32, old: u8, new: u8) {
        if let Some(place) = self.place(tag, 1, 1) {
            self.bytes[place].iter_mut().filter(|byte| **byte == old).for_each(|byte| *byte = new);
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

#[cfg(test)]
pub(crate) mod tests {
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
