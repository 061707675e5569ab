//! Extended attributes as they lie in an inode or in a block of their own (the kernel's
//! `Documentation/filesystems/ext4/attributes.rst`).

use std::collections::BTreeMap;
use std::io;

use super::inode::{le16, le32};
use super::volume::broken;

const MAGIC: u32 = 0xea02_0000;
/// The bytes of an entry before its name.
const ENTRY: usize = 16;

/// The attributes behind an inode's fields, by their names; values as text or in hexadecimal.
pub(super) fn in_inode(rest: &[u8]) -> io::Result<BTreeMap<String, String>> {
    match rest.get(4..) {
        Some(entries) if le32(rest, 0) == MAGIC => read(entries, entries),
        _ => Ok(BTreeMap::new()),
    }
}

/// The attributes in a block.
pub(super) fn in_block(block: &[u8]) -> io::Result<BTreeMap<String, String>> {
    match block.get(32..) {
        Some(entries) if le32(block, 0) == MAGIC => read(entries, block),
        _ => Err(broken("a broken block of extended attributes")),
    }
}

/// Reads `entries`, whose values lie in `values`.
fn read(mut entries: &[u8], values: &[u8]) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    while entries.len() >= ENTRY && entries[..4] != [0; 4] {
        let cut = || broken("an extended attribute that was cut short");
        let length = usize::from(entries[0]);
        let name = entries.get(ENTRY..ENTRY + length).ok_or_else(cut)?;
        let name = format!("{}{}", prefix(entries[1]), String::from_utf8_lossy(name));
        let (inode, begin) = (le32(entries, 4), usize::from(le16(entries, 2)));
        let value = if inode == 0 {
            shown(values.get(begin..begin + le32(entries, 8) as usize).ok_or_else(cut)?)
        } else {
            format!("in inode {inode}")
        };
        found.insert(name, value);
        entries = entries.get((ENTRY + length).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}

fn prefix(index: u8) -> String {
    let known = match index {
        0 => "",
        1 => "user.",
        2 => "system.posix_acl_access",
        3 => "system.posix_acl_default",
        4 => "trusted.",
        6 => "security.",
        7 => "system.",
        other => return format!("{other}."),
    };
    known.to_owned()
}

/// A value as it is where it is text, else in hexadecimal.
fn shown(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => format!("`{text}`"),
        _ => format!("0x{}", hex::encode(value)),
    }
}
