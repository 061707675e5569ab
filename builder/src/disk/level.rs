//! The archive that comes behind the initramfs of a base with a least level of processor: what tells of it where nothing else
//! would run ([`firmware_checks::machine::level`]).

use std::io::{self, Write};

use firmware_checks::machine::level::{PROGRAM, WANTED, Wanted};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Where it lies in the root file system, for GRUB.
pub const ARCHIVE: &str = "/boot/firstlight/level.img";

/// The archive with `program` and what it is to know: an initramfs as the kernel's
/// `Documentation/driver-api/early-userspace/buffer-format.rst` describes it, compressed by gzip.
///
/// # Errors
/// A file is longer than the format allows, 4 GiB.
pub fn archive(program: &[u8], wanted: &Wanted) -> io::Result<Vec<u8>> {
    let wanted = serde_json::to_vec(wanted)?;
    let mut archive = GzEncoder::new(Vec::new(), Compression::default());
    let files = [(PROGRAM, 0o100_755, program), (WANTED, 0o100_644, &wanted), ("TRAILER!!!", 0, &[])];
    for (number, (path, mode, content)) in (1..).zip(files) {
        entry(&mut archive, number, path.trim_start_matches('/'), mode, content)?;
    }
    archive.finish()
}

/// One file, header and content each filled up to four bytes.
fn entry(to: &mut impl Write, number: u32, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = |length: usize| u32::try_from(length).map_err(io::Error::other);
    // Inode, mode, owner, group, links, time, size, device and its own device (major, minor), length of the name, checksum.
    let fields = [number, mode, 0, 0, 1, 0, size(content.len())?, 0, 0, 0, 0, size(path.len() + 1)?, 0];
    let header = fields.iter().fold("070701".to_owned(), |text, field| format!("{text}{field:08x}")) + path + "\0";
    for bytes in [header.as_bytes(), content] {
        to.write_all(bytes)?;
        to.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use firmware_checks::cpu_level::CpuLevel;

    use super::*;

    /// By the cpio of those who wrote the format.
    #[test]
    fn cpio_finds_the_program_and_what_it_is_to_know() {
        let wanted = Wanted { level: CpuLevel::V2, by: "hello".to_owned() };
        let packed = archive(b"a program", &wanted).unwrap();
        assert_eq!(packed, archive(b"a program", &wanted).unwrap());
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut cpio = Command::new("cpio");
        let mut cpio =
            cpio.args(["--extract", "--quiet"]).current_dir(folder.path()).stdin(Stdio::piped()).spawn().unwrap();
        cpio.stdin.take().unwrap().write_all(&plain).unwrap();
        assert!(cpio.wait().unwrap().success());
        let read = |path: &str| std::fs::read(folder.path().join(path.trim_start_matches('/'))).unwrap();
        assert_eq!(read(PROGRAM), b"a program");
        assert_eq!(serde_json::from_slice::<Wanted>(&read(WANTED)).unwrap(), wanted);
    }
}
