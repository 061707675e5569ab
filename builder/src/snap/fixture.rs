//! Snaps and a root of trust for the unit tests of this room.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use backhand::{FilesystemWriter, NodeHeader};

#[path = "../../../tests/src/snap_authority.rs"]
#[allow(dead_code)]
pub mod snap_authority;
#[path = "../../../tests/src/snap_store.rs"]
pub mod snap_store;

pub use snap_authority as authority;
use snap_authority::Authority;

/// One root of trust for all tests: keys take their time.
pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::generate);

/// Writes a snap with this `meta/snap.yaml`.
pub fn pack(yaml: &str, path: &Path) {
    let mut snap = FilesystemWriter::default();
    snap.push_dir("meta", NodeHeader::default()).unwrap();
    snap.push_file(Cursor::new(yaml.as_bytes().to_vec()), "meta/snap.yaml", NodeHeader::default()).unwrap();
    snap.write(&mut File::create(path).unwrap()).unwrap();
}
