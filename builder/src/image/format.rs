//! The formats of disk images: what a raw one can be converted to, and what a file is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use clap::ValueEnum;
use serde::Serialize;

use super::{qcow2, vhd};

/// What a raw image can be converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// QEMU's format, version 3, compressed with zstd: Proxmox, OpenStack, libvirt (QEMU 5.1 and newer)
    Qcow2,
    /// A fixed virtual hard disk, as Azure and AWS import it; Hyper-V takes it for machines of generation 1
    Vhd,
    /// The raw image, compressed, to be carried and flashed: `zstd -dc IMAGE.raw.zst | sudo dd of=/dev/DISK bs=4M`
    Zst,
}

impl Format {
    /// Everything behind the first dot of a file's name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Zst => "raw.zst",
        }
    }
}

/// What a file is that holds a disk whose bytes can be read where they lie or by a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's format.
    Qcow2,
    /// A fixed virtual hard disk.
    Vhd,
}

impl Kind {
    /// What `file` is, by its own signature, and the size of its disk in bytes. Anything without one is raw.
    ///
    /// # Errors
    /// It can't be read.
    pub fn of(file: &File) -> io::Result<(Self, u64)> {
        let length = file.metadata()?.len();
        if let Some(size) = number(file, 0, qcow2::MAGIC, qcow2::SIZE_AT)? {
            return Ok((Self::Qcow2, size));
        }
        let footer = length.checked_sub(vhd::FOOTER as u64);
        let vhd = footer.map(|footer| number(file, footer, vhd::COOKIE, vhd::SIZE_AT)).transpose()?.flatten();
        Ok(vhd.map_or((Self::Raw, length), |size| (Self::Vhd, size)))
    }

    /// What QEMU calls it.
    #[must_use]
    pub fn of_qemu(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vpc",
        }
    }
}

/// The number `at` bytes behind `start`, where `signature` lies; nothing where that does not.
fn number(file: &File, start: u64, signature: &[u8], at: usize) -> io::Result<Option<u64>> {
    let mut bytes = [0; 64];
    match file.read_exact_at(&mut bytes, start) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    Ok(bytes.starts_with(signature).then(|| u64::from_be_bytes(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_signature() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Kind::of(&file).unwrap(), (Kind::Raw, 0));
        file.set_len(3 << 20).unwrap();
        assert_eq!(Kind::of(&file).unwrap(), (Kind::Raw, 3 << 20));
        let (qcow2, vhd) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        qcow2::write(&file, &qcow2, &mut |_| ()).unwrap();
        assert_eq!(Kind::of(&qcow2).unwrap(), (Kind::Qcow2, 3 << 20));
        vhd::write(&file, &vhd, &mut |_| ()).unwrap();
        assert_eq!(Kind::of(&vhd).unwrap(), (Kind::Vhd, 3 << 20));
    }
}
