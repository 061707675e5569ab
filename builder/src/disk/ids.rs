//! Identifiers that follow from what an image is, so that the same inputs give the same bytes.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Names every identifier of one image after its identity: any text that differs between images which differ.
#[derive(Clone, Debug)]
pub struct Ids(String);

impl Ids {
    /// Identifiers for the image whose inputs have the digest `identity`.
    #[must_use]
    pub fn new(identity: &str) -> Self {
        Self(identity.to_owned())
    }

    /// The GUID of the partition table.
    #[must_use]
    pub fn disk(&self) -> Uuid {
        self.uuid("disk")
    }

    /// The GUID of the partition named `partition` (`PARTUUID`).
    #[must_use]
    pub fn partition(&self, partition: &str) -> Uuid {
        self.uuid(&format!("partition/{partition}"))
    }

    /// The UUID of the file system in the partition named `partition`, as the kernel command line, `fstab` and GRUB name it.
    #[must_use]
    pub fn file_system(&self, partition: &str) -> Uuid {
        self.uuid(&format!("file-system/{partition}"))
    }

    /// What seeds the hashes of folders in the ext4 of the partition named `partition`.
    #[must_use]
    pub fn hash_seed(&self, partition: &str) -> Uuid {
        self.uuid(&format!("hash-seed/{partition}"))
    }

    /// The volume id of the FAT file system in the partition named `partition`.
    #[must_use]
    pub fn volume(&self, partition: &str) -> u32 {
        let hash = self.hash(&format!("volume/{partition}"));
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Version 8 (RFC 9562 §5.8): the first 128 bits of the hash, with the version and variant bits set.
    fn uuid(&self, what: &str) -> Uuid {
        let hash = self.hash(what);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    fn hash(&self, what: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in ["firstlight disk", self.0.as_str(), what] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// How a volume id is written in `fstab` and by blkid: `1234-ABCD`.
#[must_use]
pub fn volume_text(id: u32) -> String {
    format!("{:04X}-{:04X}", id >> 16, id & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follow_from_the_identity_and_the_name_alone() {
        let ids = Ids::new("a");
        assert_eq!(ids.disk().to_string(), Ids::new("a").disk().to_string());
        assert_eq!(ids.disk().get_version_num(), 8);
        let all = [
            ids.disk(),
            ids.partition("root"),
            ids.partition("data"),
            ids.file_system("root"),
            ids.hash_seed("root"),
            Ids::new("b").disk(),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn stay_what_they_were_in_earlier_releases() {
        assert_eq!(Ids::new("pinned").file_system("root").to_string(), PINNED);
    }

    const PINNED: &str = "9405ce86-5d92-8989-8220-45decfbfb753";

    #[test]
    fn a_volume_id_is_written_as_fstab_wants_it() {
        assert_eq!(volume_text(0x00ab_1234), "00AB-1234");
    }
}
