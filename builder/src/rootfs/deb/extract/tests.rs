use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tar::EntryType;

use super::*;

/// One entry of a package to be made: type, path, link, mode, content.
type Entry<'a> = (EntryType, &'a str, &'a str, u32, &'a [u8]);

fn deb(folder: &Path, compression: &str, entries: &[Entry<'_>]) -> PathBuf {
    let mut tar = tar::Builder::new(Vec::new());
    for (kind, path, link, mode, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(*mode);
        header.set_uid(u64::from(nix::unistd::getuid().as_raw()));
        header.set_gid(u64::from(nix::unistd::getgid().as_raw()));
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let data = match compression {
        ".xz" => {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(&tar).unwrap();
            encoder.finish().unwrap()
        }
        ".gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&tar).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(tar.as_slice(), 1).unwrap(),
        _ => tar,
    };
    let path = folder.join("a.deb");
    let mut ar = ar::Builder::new(File::create(&path).unwrap());
    let data_name = format!("data.tar{compression}");
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar", b""), (&data_name, &data)] {
        ar.append(&ar::Header::new(name.as_bytes().to_vec(), content.len() as u64), content).unwrap();
    }
    path
}

#[test]
fn files_links_modes_and_times_are_as_in_the_archive() {
    for compression in ["", ".gz", ".xz", ".zst"] {
        let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deb = deb(
            work.path(),
            compression,
            &[
                (EntryType::Directory, "./", "", 0o755, b""),
                (EntryType::Directory, "./usr/", "", 0o2750, b""),
                (EntryType::Regular, "./usr/su", "", 0o4755, b"x"),
                (EntryType::Link, "./usr/other", "./usr/su", 0o4755, b""),
                (EntryType::Symlink, "./bin", "usr", 0o777, b""),
                (EntryType::Regular, "./bin/late", "", 0o600, b"through the link"),
            ],
        );
        extract(&deb, root.path(), Owners::Keep).unwrap();
        let stat = |name: &str| fs::symlink_metadata(root.path().join(name)).unwrap();
        assert_eq!(stat("usr/su").permissions().mode() & 0o7777, 0o4755, "{compression}");
        assert_eq!(stat("usr").permissions().mode() & 0o7777, 0o2750);
        assert_eq!(stat("usr").mtime(), 1_700_000_000);
        assert_eq!(stat("usr/other").ino(), stat("usr/su").ino());
        assert_eq!((stat("bin").mtime(), stat("bin").is_symlink()), (1_700_000_000, true));
        assert_eq!(fs::read(root.path().join("usr/late")).unwrap(), b"through the link");
    }
}

#[test]
fn the_owner_can_remove_whatever_the_tools_root_gets() {
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries: [Entry<'_>; 2] =
        [(EntryType::Directory, "./locked/", "", 0o500, b""), (EntryType::Regular, "./locked/su", "", 0o4511, b"x")];
    extract(&deb(work.path(), ".xz", &entries), root.path(), Owners::Root).unwrap();
    let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("locked"), mode("locked/su")), (0o700, 0o711));
}

#[test]
fn nothing_leaves_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    fs::write(outside.path().join("kept"), "old").unwrap();
    let kept = format!("{target}/kept");
    let traps: [&[Entry<'_>]; 4] = [
        &[(EntryType::Regular, "./../evil", "", 0o644, b"x")],
        &[(EntryType::Symlink, "./way", target, 0o777, b""), (EntryType::Regular, "./way/evil", "", 0o644, b"x")],
        &[(EntryType::Link, "./stolen", "../../kept", 0o644, b"")],
        &[(EntryType::Symlink, "./way", &kept, 0o777, b""), (EntryType::Link, "./stolen", "./way/../kept", 0o644, b"")],
    ];
    for trap in traps {
        let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(extract(&deb(work.path(), "", trap), root.path(), Owners::Keep).is_err(), "{trap:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{trap:?}");
        assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"old");
    }
}

#[test]
fn device_nodes_are_refused_by_name() {
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = deb(work.path(), "", &[(EntryType::Block, "./dev/sda", "", 0o660, b"")]);
    let error = extract(&package, root.path(), Owners::Keep).unwrap_err();
    assert!(matches!(&error, Error::Refused { entry, .. } if entry == Path::new("./dev/sda")), "{error}");
}

#[test]
fn a_file_that_is_no_package_is_named() {
    let (work, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = work.path().join("b.deb");
    for content in [b"".as_slice(), b"<html>not found</html>", b"!<arch>\nshort"] {
        fs::write(&path, content).unwrap();
        let error = extract(&path, root.path(), Owners::Keep).unwrap_err();
        assert!(error.to_string().contains("b.deb"), "{error}");
    }
    let whole = fs::read(deb(work.path(), ".xz", &[(EntryType::Regular, "./a", "", 0o644, &[7; 4096])])).unwrap();
    fs::write(&path, &whole[..whole.len() - 60]).unwrap();
    assert!(extract(&path, root.path(), Owners::Keep).is_err());
}

#[test]
fn packages_that_hold_the_same_paths_are_extracted_side_by_side() {
    let (root, names) = (tempfile::tempdir().unwrap(), (0..3000).map(|n| (format!("./etc/{n}"), format!("./lib{n}"))));
    let names: Vec<(String, String)> = names.collect();
    let entries: Vec<Entry<'_>> = names
        .iter()
        .flat_map(|(file, link)| {
            [
                (EntryType::Regular, file.as_str(), "", 0o644, b"x".as_slice()),
                (EntryType::Symlink, link, "etc", 0o777, b""),
            ]
        })
        .collect();
    let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let debs: Vec<PathBuf> = folders.iter().map(|folder| deb(folder.path(), "", &entries)).collect();
    extract_all(&debs, root.path(), Owners::Root).unwrap();
    for (file, link) in &names {
        let file = fs::metadata(root.path().join(file)).unwrap();
        assert_eq!((file.len(), file.mtime()), (1, 1_700_000_000));
        assert_eq!(fs::symlink_metadata(root.path().join(link)).unwrap().mtime(), 1_700_000_000);
    }
}
