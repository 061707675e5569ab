//! A stand-in for a snap store: a folder that a [`Mirror`](crate::mirror::Mirror) serves, laid out by the paths of the store's API, so that each path is
//! answered as the real one answers it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::snap_authority::{Authority, PUBLISHER, ROOT, sha3_384};

/// The folder of a store.
pub struct SnapStore {
    folder: PathBuf,
    url: String,
}

impl SnapStore {
    /// An empty store in `folder`, served at `url`, with the accounts and keys of `authority`.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn new(folder: &Path, url: &str, authority: &Authority) -> io::Result<Self> {
        let store = Self { folder: folder.to_owned(), url: url.to_owned() };
        for (id, key) in [("root", &authority.root), ("store", &authority.store)] {
            store.put(&format!("v2/assertions/account-key/{}", key.id), authority.account_key(ROOT, id, key))?;
        }
        for account in [ROOT, PUBLISHER] {
            store.put(&format!("v2/assertions/account/{account}"), authority.account(account))?;
        }
        Ok(store)
    }

    /// Publishes the snap `content` as this revision of `name` in `channel` (track and risk).
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn publish(
        &self,
        authority: &Authority,
        name: &str,
        channel: &str,
        revision: u64,
        content: &[u8],
    ) -> io::Result<()> {
        let (id, digest) = (format!("{name}-id"), sha3_384(content));
        let (track, risk) = channel.split_once('/').unwrap_or((channel, "stable"));
        let file = format!("api/v1/snaps/download/{id}_{revision}.snap");
        let entry = |track: &str, risk: &str, digest: &str| {
            let channel = format!(
                r#"{{"architecture": "amd64", "name": "{track}/{risk}", "track": "{track}", "risk": "{risk}"}}"#
            );
            let url = format!("{}/{file}", self.url);
            let download =
                format!(r#"{{"sha3-384": "{digest}", "size": {}, "url": "{url}", "deltas": []}}"#, content.len());
            format!(r#"{{"channel": {channel}, "download": {download}, "revision": {revision}, "version": "1"}}"#)
        };
        let map = [entry("other", "edge", &"0".repeat(96)), entry(track, risk, &hexadecimal(content))].join(", ");
        let info = format!(r#"{{"channel-map": [{map}], "name": "{name}", "snap-id": "{id}", "snap": {{}}}}"#);
        self.put(&format!("v2/snaps/info/{name}"), &info)?;
        self.put(&format!("v2/assertions/snap-declaration/16/{id}"), authority.declaration(&id, name))?;
        let revision = authority.revision(&digest, content.len() as u64, &id, revision);
        self.put(&format!("v2/assertions/snap-revision/{digest}"), &revision)?;
        self.put(&file, content)
    }

    /// Lets `path` be answered with `content`.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        fs::write(path, content)
    }
}

/// SHA3-384 in hexadecimal, as the store's API writes it.
fn hexadecimal(content: &[u8]) -> String {
    use sha3::{Digest, Sha3_384};
    hex::encode(Sha3_384::digest(content))
}
