//! What makes two images the same: one digest over everything in a recipe that decides their content.
//!
//! A [`Fingerprint`] is SHA-256 over named fields, each written as its name and value with their lengths before them (64 bits,
//! little-endian), so that no two lists of fields give the same bytes. A recipe's identity has these fields, in this order:
//!
//! | field | value |
//! |---|---|
//! | `recipe` | the recipe as JSON, with its keys in the order of the types: comments and layout don't count, nor which other bases it has |
//! | `base` | the base as JSON, without what gets into no image: snapshots, vaults, keyrings, ages; its mirrors become the machine's own |
//! | `certificates` | of each source that the machine gets as a file of its own: the keyring, or the fingerprint of one that is fetched |
//! | `compose` | for each project: its name and its tree |
//! | `platform` | for each file beside the recipe that only the platform names (manifests, values of charts): its name and its content |
//! | `image` | for each container image: its name, and the SHA-256 of its archive or the tree of its files |
//!
//! A tree is every entry below a folder, sorted by the bytes of its path: folders, files (whether executable, and the SHA-256 of
//! the content) and symbolic links (the target). Other modes, owners and times don't count, for they vary from one checkout to the
//! next. What the builder itself adds (the overlays with their templates filled in, the locked
//! packages, the static binary, the builder's own version) is not in here;
//! whoever names an image by its identity adds it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::Loaded;
use super::keyring::Keyring;

/// A digest over named fields that grows field by field.
#[derive(Clone, Debug)]
pub struct Fingerprint(Sha256);

/// Something that counts could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading {}", path.display())]
pub struct Unreadable {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Unreadable {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { path, source }
    }
}

impl Fingerprint {
    /// A digest for `purpose`: digests for different purposes are never the same.
    #[must_use]
    pub fn new(purpose: &str) -> Self {
        Self(Sha256::new()).field("purpose", purpose)
    }

    /// With the bytes `value` as the field `name`.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// With `value` as JSON as the field `name`. The types of recipes and bases always have such a form.
    #[must_use]
    pub fn json(self, name: &str, value: &impl Serialize) -> Self {
        let text = serde_json::to_vec(value).expect("recipes and bases have string keys only");
        self.field(name, text)
    }

    /// With the content of the file `path` as the field `name`.
    ///
    /// # Errors
    /// [`Unreadable`] with the file.
    pub fn file(self, name: &str, path: &Path) -> Result<Self, Unreadable> {
        Ok(self.field(name, digest(path)?))
    }

    /// With the tree below the folder `path` as the field `name`.
    ///
    /// # Errors
    /// [`Unreadable`] with the first entry that could not be read, or that is neither folder, file nor symbolic link.
    pub fn tree(self, name: &str, path: &Path) -> Result<Self, Unreadable> {
        let mut entries = Vec::new();
        for entry in WalkDir::new(path).min_depth(1) {
            let entry = entry.map_err(|error| Unreadable::at(path)(error.into()))?;
            let name = entry.path().strip_prefix(path).unwrap_or(entry.path()).as_os_str().as_bytes().to_vec();
            entries.push((name, entry));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut tree = Self::new("tree");
        for (name, entry) in entries {
            let path = entry.path();
            let kind = entry.file_type();
            tree = if kind.is_dir() {
                tree.field("folder", name)
            } else if kind.is_symlink() {
                let target = std::fs::read_link(path).map_err(Unreadable::at(path))?;
                tree.field("link", name).field("target", target.as_os_str().as_bytes())
            } else if kind.is_file() {
                let mode = entry.metadata().map_err(|error| Unreadable::at(path)(error.into()))?.permissions().mode();
                let kind = if mode & 0o100 == 0 { "file" } else { "program" };
                tree.field(kind, name).file("content", path)?
            } else {
                let what = "neither folder, file nor symbolic link";
                return Err(Unreadable::at(path)(io::Error::new(io::ErrorKind::Unsupported, what)));
            };
        }
        Ok(self.field(name, tree.0.finalize()))
    }

    /// The digest: 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

fn digest(path: &Path) -> Result<impl AsRef<[u8]>, Unreadable> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(Unreadable::at(path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(Unreadable::at(path))? {
            0 => return Ok(hash.finalize()),
            count => hash.update(&buffer[..count]),
        }
    }
}

impl Loaded {
    /// The digest of everything in the recipe that decides the content of the image, as this module's documentation says.
    ///
    /// # Errors
    /// [`Unreadable`] with the first file that could not be read.
    pub fn identity(&self) -> Result<String, Unreadable> {
        let (mut recipe, mut base) = (self.recipe.clone(), self.base.clone());
        recipe.bases.clear();
        base.keyring.clear();
        for source in &mut base.sources {
            (source.snapshot, source.vault, source.keyring, source.stale_after_days) = (None, None, None, None);
        }
        let mut print = Fingerprint::new("firstlight recipe 1").json("recipe", &recipe).json("base", &base);
        for (_, _, certificates) in self.third_parties() {
            print = match certificates {
                Keyring::Beside(name) => print.file("certificates", &self.beside_base(&name))?,
                // Its bytes are in the lock.
                Keyring::Published(published) => print.field("certificates", published.name()),
            };
        }
        for (name, folder) in self.projects() {
            print = print.field("compose", name).tree("compose", &folder)?;
        }
        for (name, path) in self.platform_files() {
            print = print.field("platform", name).file("platform", &path)?;
        }
        for image in &self.recipe.images {
            print = print.field("image", &image.name);
            if let Some(archive) = self.archive(image) {
                print = print.file("image", &archive)?;
            }
            if let Some(files) = self.files(image) {
                print = print.tree("image", &files)?;
            }
        }
        Ok(print.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::symlink;

    use super::*;

    fn print(folder: &Path) -> String {
        Fingerprint::new("test").tree("t", folder).unwrap().finish()
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/file"), "one").unwrap();
        symlink("a/file", dir.path().join("link")).unwrap();
        dir
    }

    /// Pinned: whoever changes it changes the identity of every image.
    #[test]
    fn the_digest_of_a_known_tree_never_changes() {
        assert_eq!(print(tree().path()), "70d6a106f777607a728ed083161e3810e5b3d32928a9f7604cc43e20d828d68e");
    }

    #[test]
    fn what_decides_the_content_counts_and_what_varies_by_checkout_does_not() {
        let dir = tree();
        let at = |path: &str| dir.path().join(path);
        let before = print(dir.path());
        fs::set_permissions(at("a/file"), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(print(dir.path()), before);
        let changes: [&dyn Fn(); 4] = [
            &|| fs::set_permissions(at("a/file"), Permissions::from_mode(0o755)).unwrap(),
            &|| fs::write(at("a/file"), "two").unwrap(),
            &|| fs::rename(at("a/b"), at("a/c")).unwrap(),
            &|| {
                fs::remove_file(at("link")).unwrap();
                symlink("a/other", at("link")).unwrap();
            },
        ];
        let mut seen = vec![before];
        for change in changes {
            change();
            seen.push(print(dir.path()));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let print = |name, value| Fingerprint::new("test").field(name, value).finish();
        assert_ne!(print("ab", "c"), print("a", "bc"));
        assert_ne!(Fingerprint::new("a").finish(), Fingerprint::new("b").finish());
    }

    #[test]
    fn what_cannot_be_in_an_image_is_refused_by_name() {
        let dir = tree();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("a/socket")).unwrap();
        let error = Fingerprint::new("test").tree("t", dir.path()).unwrap_err();
        assert_eq!(error.path, dir.path().join("a/socket"));
    }
}
