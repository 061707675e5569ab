use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::archive::rpm_header::tests::header;

/// An entry of a payload: path, mode, inode, number of links, content.
type New<'a> = (&'a str, u32, u32, u32, &'a [u8]);

fn newc(entries: &[New<'_>]) -> Vec<u8> {
    let mut cpio = Vec::new();
    let trailer: New<'_> = ("TRAILER!!!", 0, 0, 1, b"");
    for (path, mode, inode, links, content) in entries.iter().chain([&trailer]) {
        let (size, name) = (content.len(), path.len() + 1);
        write!(cpio, "070701{inode:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}", 0, 0, 1_700_000_000)
            .unwrap();
        write!(cpio, "{:08x}{:08x}{:08x}{:08x}{name:08x}{:08x}{path}\0", 0, 1, 0, 0, 0).unwrap();
        cpio.resize(cpio.len().next_multiple_of(4), 0);
        cpio.extend_from_slice(content);
        cpio.resize(cpio.len().next_multiple_of(4), 0);
    }
    cpio
}

fn rpm(folder: &Path, compressor: &str, more: &[(u32, u32, u32, &[u8])], payload: &[u8]) -> PathBuf {
    let payload = match compressor {
        "xz" => {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(payload).unwrap();
            encoder.finish().unwrap()
        }
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(payload).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(payload, 1).unwrap(),
        _ => payload.to_vec(),
    };
    let mut file = [0xed, 0xab, 0xee, 0xdb].to_vec();
    file.resize(96, 0);
    // Signatures of a length that asks for padding.
    file.extend(header(&[(1000, 6, 1, b"abc\0")]));
    file.resize(file.len().next_multiple_of(8), 0);
    let compressor = format!("{compressor}\0");
    let tags = [(1124, 6, 1, b"cpio\0".as_slice()), (1125, 6, 1, compressor.as_bytes())];
    file.extend(header(&[&tags, more].concat()));
    file.extend(payload);
    let path = folder.join("a.rpm");
    fs::write(&path, file).unwrap();
    path
}

#[test]
fn files_links_modes_and_times_are_as_in_the_payload() {
    let entries: [New<'_>; 8] = [
        ("./usr", 0o040_555, 1, 2, b""),
        ("./usr/su", 0o104_755, 2, 1, b"x"),
        ("./usr/first", 0o100_644, 3, 3, b""),
        ("./usr/second", 0o100_644, 3, 3, b""),
        ("./usr/last", 0o100_644, 3, 3, b"content"),
        ("./usr/empty", 0o100_644, 4, 2, b""),
        ("./usr/empty2", 0o100_644, 4, 2, b""),
        ("./way", 0o120_777, 5, 1, b"usr"),
    ];
    for compressor in ["none", "gzip", "xz", "zstd"] {
        let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        extract_all(&[rpm(work.path(), compressor, &[], &newc(&entries))], root.path()).unwrap();
        let stat = |name: &str| fs::symlink_metadata(root.path().join(name)).unwrap();
        assert_eq!(stat("usr/su").permissions().mode() & 0o7777, 0o755, "{compressor}");
        assert_eq!(stat("usr/su").mtime(), 1_700_000_000);
        assert_eq!(
            (stat("usr/first").ino(), stat("usr/second").ino()),
            (stat("usr/last").ino(), stat("usr/last").ino())
        );
        assert_eq!(fs::read(root.path().join("usr/first")).unwrap(), b"content");
        assert_eq!((stat("usr/empty").ino(), stat("usr/empty").len()), (stat("usr/empty2").ino(), 0));
        assert_eq!(fs::read_link(root.path().join("way")).unwrap(), Path::new("usr"));
    }
}

#[test]
fn an_entry_may_be_a_number_of_the_headers_list() {
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let words = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let modes: Vec<u8> = [0o100_755_u16, 0o100_755, 0o120_777].iter().flat_map(|mode| mode.to_be_bytes()).collect();
    let (folders, times) = (words(&[0, 0, 1]), words(&[1_700_000_000; 3]));
    let (devices, inodes) = (words(&[1; 3]), words(&[7, 7, 8]));
    let sizes: Vec<u8> = [5_u64, 5, 3].iter().flat_map(|size| size.to_be_bytes()).collect();
    let tags: [(u32, u32, u32, &[u8]); 8] = [
        (1030, 3, 3, &modes),
        (1034, 4, 3, &times),
        (1095, 4, 3, &devices),
        (1096, 4, 3, &inodes),
        (1116, 4, 3, &folders),
        (1117, 8, 3, b"one\0two\0link\0"),
        (1118, 8, 2, b"/usr/bin/\0/usr/\0"),
        (5008, 5, 3, &sizes),
    ];
    let mut payload = Vec::new();
    for (index, content) in [(0, b"".as_slice()), (1, b"hello"), (2, b"bin")] {
        write!(payload, "07070X{index:08x}").unwrap();
        payload.resize(payload.len().next_multiple_of(4), 0);
        payload.extend_from_slice(content);
        payload.resize(payload.len().next_multiple_of(4), 0);
    }
    payload.extend(newc(&[]));
    extract_all(&[rpm(work.path(), "zstd", &tags, &payload)], root.path()).unwrap();
    let path = |name: &str| root.path().join("usr").join(name);
    assert_eq!(fs::read(path("bin/one")).unwrap(), b"hello");
    assert_eq!(fs::metadata(path("bin/one")).unwrap().ino(), fs::metadata(path("bin/two")).unwrap().ino());
    assert_eq!(fs::read_link(path("link")).unwrap(), Path::new("bin"));
}

#[test]
fn paths_through_the_links_of_merged_usr_find_their_place() {
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries: [New<'_>; 2] =
        [("./lib64/libc.so.6", 0o100_755, 1, 1, b"x"), ("./lib64", 0o120_777, 2, 1, b"usr/lib64")];
    extract_all(&[rpm(work.path(), "zstd", &[], &newc(&entries))], root.path()).unwrap();
    assert_eq!(fs::read(root.path().join("usr/lib64/libc.so.6")).unwrap(), b"x");
}

#[test]
fn nothing_leaves_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let traps: [&[New<'_>]; 3] = [
        &[("./../evil", 0o100_644, 1, 1, b"x")],
        &[("./way", 0o120_777, 1, 1, target.as_bytes()), ("./way/evil", 0o100_644, 2, 1, b"x")],
        &[("./dev/sda", 0o060_660, 1, 1, b"")],
    ];
    for trap in traps {
        let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        extract_all(&[rpm(work.path(), "none", &[], &newc(trap))], root.path()).unwrap_err();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{trap:?}");
    }
}

#[test]
fn a_file_that_is_no_package_or_not_whole_is_named() {
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = rpm(work.path(), "zstd", &[], &newc(&[("./a", 0o100_644, 1, 1, &[7; 5000])]));
    let whole = fs::read(&path).unwrap();
    for content in [b"".as_slice(), b"<html>not found</html>", &whole[..120], &whole[..whole.len() - 9]] {
        fs::write(&path, content).unwrap();
        let error = extract_all(std::slice::from_ref(&path), root.path()).unwrap_err();
        assert!(error.to_string().contains("a.rpm"), "{error}");
    }
    let other = rpm(work.path(), "lzma", &[], &newc(&[]));
    let error = extract_all(&[other], root.path()).unwrap_err().to_string();
    assert!(error.contains("`lzma`"), "{error}");
}
