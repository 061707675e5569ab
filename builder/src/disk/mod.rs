//! Lays a root file system onto a disk: partitions, file systems, boot loader.
//!
//! One disk boots three ways: UEFI with Secure Boot and without, through shim and the distribution's signed GRUB on the
//! ESP ([`firmware_checks::boot_loader`]); and legacy BIOS, through GRUB's core image ([`bios`]). All end in the same menu
//! ([`grub`]) on the root file system.

pub mod bios;
mod change_times;
mod debugfs;
mod ext4;
pub mod grub;
pub mod ids;
mod labels;
mod late;
pub mod layout;
mod level;
pub mod table;
mod times;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;

use firmware_checks::architecture::Architecture;
use firmware_checks::boot_loader::{EARLY, esp};
use firmware_checks::cpu_level::CpuLevel;
use firmware_checks::fat;
use firmware_checks::machine::level::Wanted;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::ids::{Ids, volume_text};
use self::labels::Labels;
pub use self::late::room;
use self::layout::{Content, Layout, Part};
use crate::image::{Artifact, file};
use crate::parallel;
use crate::recipe::base::Base;
use crate::recipe::schema;
use crate::rootfs::overlay::LateFile;
use crate::rootfs::tree::Tree;
use crate::sandbox;
use crate::sparse;

/// The files of a disk that lacks only its late files: its bytes, and what its root file system says of itself.
const IMAGE: &str = "disk.raw";
const METADATA: &str = "metadata.raw";

/// Where the static program lies, below the root.
const CHECKS: &str = "usr/bin/firmware-checks";

/// Where the data file system is mounted, below the root.
const DATA: &str = "srv";

/// The label of the SITE file system, by which an admin and the machine know it.
pub const SITE_LABEL: &str = "SITE";

/// What a disk is made of, besides the root file system.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// What every identifier of the disk follows from: a text that differs where the image's inputs differ.
    pub identity: &'a str,
    /// No time on the disk is later.
    pub released: Timestamp,
    /// What the boot menu calls the machine.
    pub title: &'a str,
    /// The sizes that the recipe asks for.
    pub disk: &'a schema::Disk,
    /// Where the boot loader's parts are and what file systems the base understands.
    pub base: &'a Base,
    /// What lies on SITE from the beginning: paths and contents.
    pub site: &'a [(&'a str, &'a [u8])],
    /// Files that are laid onto the finished root file system. What they hold decides nothing else on the disk.
    pub late: &'a [LateFile],
}

/// A finished disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Summary {
    /// The file.
    #[serde(flatten)]
    pub image: Artifact,
    /// The GUID of the partition table.
    pub guid: String,
    /// In the order on the disk.
    pub partitions: Vec<PartitionSummary>,
}

/// A partition of a finished disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PartitionSummary {
    /// `PARTLABEL`.
    pub label: String,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// `PARTUUID`.
    pub guid: String,
    /// `ext4`, `vfat`, or nothing for the BIOS boot partition.
    pub file_system: Option<String>,
    /// `UUID` of the file system.
    pub uuid: Option<String>,
}

/// A disk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe's sizes don't work out.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// The root file system's folder could not be read or written.
    #[error("{doing} {path}: {source}")]
    Root {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// mke2fs failed.
    #[error("making the {part} file system: {source}")]
    Ext4 {
        /// `root` or `data`.
        part: &'static str,
        /// mke2fs's own words.
        source: sandbox::Error,
    },
    /// The times in a file system could not be set.
    #[error("dating the {part} file system: {source}")]
    Dating {
        /// `root` or `data`.
        part: &'static str,
        /// Why.
        source: io::Error,
    },
    /// SELinux labels could not be chosen or written.
    #[error(transparent)]
    Labels(#[from] labels::Error),
    /// The last files could not be laid.
    #[error("laying the last files onto the root file system: {0}")]
    Late(#[source] debugfs::Error),
    /// There is nothing onto which the last files could be laid.
    #[error(
        "the disk in the cache was made without late files\n  hint: firstlight cache verify finds and removes what is damaged"
    )]
    NoMetadata,
    /// The last files would have no labels.
    #[error(
        "/etc/selinux/config of the root file system names a policy, and no package called selinux-policy* is installed\n  \
         hint: take the policy from a package, so that its rules are known before overlays are laid"
    )]
    LateUnlabelled,
    /// Making or filling a FAT file system failed.
    #[error("making the {part} file system: {source}")]
    Fat {
        /// `esp` or `site`.
        part: &'static str,
        /// Why.
        source: fat::Error,
    },
    /// Filling the ESP failed.
    #[error("making the esp file system: {0}")]
    Esp(#[from] esp::Error),
    /// Making GRUB for legacy BIOS failed.
    #[error(transparent)]
    Bios(#[from] bios::Error),
    /// Writing the partition table failed.
    #[error(transparent)]
    Table(#[from] table::Error),
    /// Writing the image failed.
    #[error(transparent)]
    Image(#[from] file::Error),
    /// Writing GRUB's core image failed.
    #[error("writing the bios partition: {0}")]
    Write(io::Error),
}

/// What is known of a disk that lacks only its late files.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Skeleton {
    layout: Layout,
    identity: String,
    /// Bytes that its files hold, about.
    content: u64,
}

/// The files of such a disk.
#[derive(Debug)]
pub struct SkeletonFiles {
    /// Its bytes.
    image: File,
    /// What the root file system says of itself; there where late files are laid.
    metadata: Option<File>,
}

impl SkeletonFiles {
    /// Those that [`assemble`] made in `folder`.
    ///
    /// # Errors
    /// One can't be opened, and its path.
    pub fn open(folder: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let open = |name| File::open(folder.join(name)).map_err(|error| (folder.join(name), error));
        let metadata = match open(METADATA) {
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        Ok(Self { image: open(IMAGE)?, metadata })
    }
}

/// Makes all of a disk but its late files, in the empty folder `folder`, of the root file system in the folder `root`, with the
/// programs of the tools root `tools`. Adds the boot menu to `root` first, and settles its times. Needs the user namespace of
/// [`sandbox::userns::enter`], in which `root` was made.
///
/// # Errors
/// [`Error`].
pub fn assemble(spec: &Spec<'_>, root: &Path, tools: &Path, folder: &Path) -> Result<Skeleton, Error> {
    let ids = Ids::new(spec.identity);
    let root_uuid = ids.file_system(Part::Root.label());
    let policy = labels::policy(root)?;
    if policy.is_some() && !spec.late.is_empty() {
        return Err(Error::LateUnlabelled);
    }
    let early = grub::early(root_uuid);
    lay_menu(spec, root, &early, root_uuid)?;
    let content = measure(root)? + room(spec.late);
    let layout = Layout::new(spec.disk, content, spec.base.boot.bios_modules.is_some())?;
    let settled = times::settle(root, spec.released.as_second());
    settled.map_err(|(path, source)| Error::Root { doing: "dating", path, source })?;
    let image = &folder.join(IMAGE);
    let mut disk = file::create(image, layout.size, content.bytes)?;

    let file_system = |part: Part| ext4::FileSystem {
        partition: layout.of(part),
        base: &spec.base.ext4,
        uuid: ids.file_system(part.label()),
        hash_seed: ids.hash_seed(part.label()),
        time: spec.released,
    };
    let labels = policy.as_ref().map(|policy| Labels::choose(root, policy, tools)).transpose()?;
    let small = || fill_small(spec, &ids, &layout, &early, [root, tools], &disk);
    // Each in its own partition; making the root file system takes longer than all the others.
    let (made, grub) = thread::scope(|scope| {
        let others = scope.spawn(|| {
            let made = file_system(Part::Data).make_data(tools, image);
            made.map_err(|source| Error::Ext4 { part: "data", source })?;
            if let Some(policy) = &policy {
                let labels = Labels::choose_empty(root, policy, tools, Path::new(DATA))?;
                labels.write(tools, image, layout.of(Part::Data), spec.released)?;
            }
            settle(&disk, layout.of(Part::Data), spec.released)?;
            small()
        });
        let made = file_system(Part::Root).make_root(tools, image, root, content);
        (made, parallel::joined(others))
    });
    made.map_err(|source| Error::Ext4 { part: "root", source })?;
    let partition = layout.of(Part::Root);
    if let Some(labels) = &labels {
        labels.write(tools, image, partition, spec.released)?;
    }
    settle(&disk, partition, spec.released)?;
    if !spec.late.is_empty() {
        late::take_metadata(tools, image, partition, &folder.join(METADATA)).map_err(Error::Late)?;
    }
    table::write(&mut disk, &layout, &ids, grub?.map_or([0; bios::CODE], |grub| grub.boot_code))?;
    Ok(Skeleton { layout, identity: spec.identity.to_owned(), content: content.bytes })
}

/// Makes the disk `out` of its `skeleton`, whose files are `files`, and its late files.
///
/// # Errors
/// [`Error`]; there is then no `out` that was not there before.
pub fn finish(
    skeleton: &Skeleton,
    files: &SkeletonFiles,
    spec: &Spec<'_>,
    tools: &Path,
    out: &Path,
) -> Result<Summary, Error> {
    let Skeleton { layout, identity, content } = skeleton;
    let disk = file::begin(out, *content)?;
    let changes = match (&files.metadata, spec.late) {
        (_, []) => Vec::new(),
        (None, _) => return Err(Error::NoMetadata),
        (Some(metadata), late) => {
            late::lay(late, metadata, tools, layout.of(Part::Root), spec.released).map_err(Error::Late)?
        }
    };
    let disk = file::publish(disk, out, |to, reached| sparse::copy(&files.image, &changes, to, reached))?;
    Ok(summary(disk, layout, &Ids::new(identity)))
}

/// Settles the times of change in the file system of `partition`.
fn settle(disk: &File, partition: &layout::Partition, released: Timestamp) -> Result<(), Error> {
    let settled = change_times::settle(disk, partition.start, released.as_second());
    settled.map_err(|source| Error::Dating { part: partition.part.label(), source })
}

/// Lays into `root` what boots it.
fn lay_menu(spec: &Spec<'_>, root: &Path, early: &str, root_uuid: uuid::Uuid) -> Result<(), Error> {
    let level = spec.base.cpu_level.map(|level| level_archive(spec, level, root)).transpose()?;
    let kernel = grub::Kernel {
        parameters: &spec.base.kernel_parameters(),
        has_level: level.is_some(),
        has_serial: spec.base.architecture.architecture() == Architecture::X86_64,
    };
    let menu = grub::menu(spec.title, root_uuid, &kernel);
    write_menu(root, &[(EARLY, early.as_bytes()), (grub::MENU, menu.as_bytes())])?;
    level.map_or(Ok(()), |level| write_menu(root, &[(level::ARCHIVE, &level)]))
}

/// Makes everything that is not ext4: the ESP, SITE, and, where there is a partition for it, GRUB for legacy BIOS, of which the boot sector is left to do.
fn fill_small(
    spec: &Spec<'_>,
    ids: &Ids,
    layout: &Layout,
    early: &str,
    [root, tools]: [&Path; 2],
    disk: &File,
) -> Result<Option<bios::Grub>, Error> {
    let fat_volume = |part: Part, label| {
        fat::Volume::format(disk, layout.of(part).range(), label, ids.volume(part.label()), spec.released)
    };
    let wrong = |part| move |source| Error::Fat { part, source };
    let mut esp = fat_volume(Part::Esp, "ESP").map_err(wrong("esp"))?;
    let tree = Tree::open(root).map_err(|source| Error::Root { doing: "opening", path: root.to_owned(), source })?;
    let architecture = spec.base.architecture.architecture();
    for (path, content) in esp::files(&spec.base.boot, architecture, early, &|path| read(&tree, path))? {
        esp.write_file(&format!("EFI/{path}"), &content).map_err(wrong("esp"))?;
    }
    esp.finish().map_err(wrong("esp"))?;
    let mut site = fat_volume(Part::Site, SITE_LABEL).map_err(wrong("site"))?;
    for (path, content) in spec.site {
        site.write_file(path, content).map_err(wrong("site"))?;
    }
    site.finish().map_err(wrong("site"))?;
    let boot = &spec.base.boot;
    let (Some(modules), Some(bios)) = (&boot.bios_modules, layout.bios()) else { return Ok(None) };
    let grub = bios::Grub::make(tools, root, boot, modules, bios, early)?;
    disk.write_all_at(&grub.core, bios.start).map_err(Error::Write)?;
    Ok(Some(grub))
}

/// The file at `path` in the root file system.
fn read(tree: &Tree, path: &str) -> io::Result<Vec<u8>> {
    tree.read(Path::new(path))?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// What comes before all else on a machine whose processor must have this level.
fn level_archive(spec: &Spec<'_>, level: CpuLevel, root: &Path) -> Result<Vec<u8>, Error> {
    let path = root.join(CHECKS);
    let wanted = Wanted { level, by: format!("{} on {}", spec.title, spec.base.name) };
    let made = fs::read(&path).and_then(|program| level::archive(&program, &wanted));
    made.map_err(|source| Error::Root { doing: "packing", path, source })
}

/// Writes what GRUB reads of the root file system.
fn write_menu(root: &Path, files: &[(&str, &[u8])]) -> Result<(), Error> {
    for (path, content) in files {
        let path = root.join(path.trim_start_matches('/'));
        let written = fs::create_dir_all(path.parent().unwrap_or(root)).and_then(|()| fs::write(&path, content));
        written.map_err(|source| Error::Root { doing: "writing the boot menu", path, source })?;
    }
    Ok(())
}

/// What the files below `root` take on ext4: whole blocks, one for every link, and for every folder its entries' names in
/// blocks that are half full. What the host's file system says of a folder's size is its own matter.
fn measure(root: &Path) -> Result<Content, Error> {
    let mut content = Content::default();
    let mut linked = BTreeSet::new();
    let mut names = 0;
    for entry in walkdir::WalkDir::new(root) {
        let told = |error: walkdir::Error| Error::Root {
            doing: "measuring",
            path: error.path().unwrap_or(root).to_owned(),
            source: error.into(),
        };
        let entry = entry.map_err(told)?;
        let metadata = entry.metadata().map_err(told)?;
        if entry.depth() > 0 {
            names += (8 + entry.file_name().len() as u64).next_multiple_of(4);
        }
        if metadata.nlink() > 1 && !metadata.is_dir() && !linked.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        content.inodes += 1;
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        content.bytes += size.max(1).next_multiple_of(4096);
    }
    content.bytes += (2 * names).next_multiple_of(4096);
    Ok(content)
}

fn summary(image: Artifact, layout: &Layout, ids: &Ids) -> Summary {
    let partition = |partition: &layout::Partition| {
        let label = partition.part.label();
        let (file_system, uuid) = match partition.part {
            Part::Bios => (None, None),
            Part::Esp | Part::Site => (Some("vfat".to_owned()), Some(volume_text(ids.volume(label)))),
            Part::Root | Part::Data => (Some("ext4".to_owned()), Some(ids.file_system(label).to_string())),
        };
        let (start, size, guid) = (partition.start, partition.size, ids.partition(label).to_string());
        PartitionSummary { label: label.to_owned(), start, size, guid, file_system, uuid }
    };
    Summary { image, guid: ids.disk().to_string(), partitions: layout.partitions.iter().map(partition).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_is_measured_once() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), vec![1; 5000]).unwrap();
        fs::hard_link(root.path().join("a"), root.path().join("b")).unwrap();
        fs::write(root.path().join("empty"), "").unwrap();
        let content = measure(root.path()).unwrap();
        // The folder, one file of two blocks, an empty one, and the names.
        assert_eq!(content, Content { bytes: 4096 + 8192 + 4096 + 4096, inodes: 3 });
    }
}
