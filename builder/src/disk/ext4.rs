//! ext4 file systems, made by the mke2fs of the tools root in the sandbox.
//!
//! Every choice that mke2fs would take from its configuration, from the clock or from chance is given on its command
//! line, so that the bytes follow from the inputs alone.

use std::path::Path;

use jiff::Timestamp;

use super::layout::{self, Content, MIB, Partition};
use crate::recipe::base::Ext4;
use crate::sandbox::{self, Sandbox};

/// The size in blocks of 4 KiB up to which the data file system reserves room for its group descriptors: 8 TiB, the most
/// that mke2fs can. Beyond it the kernel goes on with `meta_bg`.
const GROWS_TO: u64 = 1 << 31;

/// The least size in MiB of the journal of a file system that grows. Kernels before 6.12 add groups in one transaction, which
/// they take to touch every reserved block of descriptors (1023 of them), and a transaction is at most a quarter of the journal.
const GROWING_JOURNAL: u64 = 24;

/// A file system in one partition of the image.
pub(super) struct FileSystem<'a> {
    /// Where it goes.
    pub partition: &'a Partition,
    /// Features and inode size of the base.
    pub base: &'a Ext4,
    pub uuid: uuid::Uuid,
    pub hash_seed: uuid::Uuid,
    /// No time in it is later.
    pub time: Timestamp,
}

impl FileSystem<'_> {
    /// Makes the root file system of what lies in `root`. It does not grow; 1 % is reserved for root.
    pub(super) fn make_root(
        &self,
        tools: &Path,
        image: &Path,
        root: &Path,
        content: Content,
    ) -> Result<(), sandbox::Error> {
        let size = self.partition.size;
        let inodes = layout::inodes(size, content).to_string();
        let sandbox = Sandbox::of_tools(tools).bind_ro(root, "/run/content");
        let arguments = ["-m", "1", "-N", &inodes, "-d", "/run/content"];
        self.make(sandbox, image, layout::journal(size), &arguments, None)
    }

    /// Makes the empty data file system, ready to be grown from its small size in the image to many TiB.
    ///
    /// Growing adds groups of 128 MiB with as many inodes as the first group has; so a first group that is smaller
    /// than that gets, for its size, more of them: 8192, one for every 16 KiB of a whole group. Nothing is reserved for root.
    pub(super) fn make_data(&self, tools: &Path, image: &Path) -> Result<(), sandbox::Error> {
        let size = self.partition.size;
        let ratio = (16384 * size.min(128 * MIB) / (128 * MIB)).max(4096).to_string();
        let journal = (size / 4 / MIB).clamp(GROWING_JOURNAL, 128) * MIB;
        let grows = self.base.features.iter().any(|feature| feature == "resize_inode");
        let growth = grows.then(|| format!("resize={}", GROWS_TO.max(size / 4096 + 1)));
        self.make(Sandbox::of_tools(tools), image, journal, &["-m", "0", "-i", &ratio], growth)
    }

    fn make(
        &self,
        sandbox: Sandbox,
        image: &Path,
        journal: u64,
        arguments: &[&str],
        extended: Option<String>,
    ) -> Result<(), sandbox::Error> {
        let time = self.time.as_second().to_string();
        let features = format!("none,{}", self.base.features.join(","));
        let inode_size = self.base.inode_size.to_string();
        let journal = format!("size={}", journal / MIB);
        let uuid = self.uuid.to_string();
        let size = format!("{}k", self.partition.size / 1024);
        let mut options = format!(
            "offset={},hash_seed={},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
            self.partition.start, self.hash_seed
        );
        if let Some(option) = extended {
            options = format!("{options},{option}");
        }
        let mut command = vec!["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", &inode_size, "-O", &features];
        command.extend(["-L", self.partition.part.label(), "-U", &uuid, "-J", &journal, "-E", &options]);
        command.extend(arguments);
        command.extend(["/run/disk.raw", &size]);
        // mke2fs heeds SOURCE_DATE_EPOCH from 1.47.1 on, E2FSPROGS_FAKE_TIME long before.
        let sandbox = sandbox.bind(image, "/run/disk.raw");
        sandbox.env("SOURCE_DATE_EPOCH", &time).env("E2FSPROGS_FAKE_TIME", &time).run(&command)?;
        Ok(())
    }
}
