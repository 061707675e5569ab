//! Images of the host's mke2fs, changed by its debugfs: what was changed must be told, and nothing else.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::process::Command;

use firmware_checks::units::{Size, Unit};
use tempfile::{NamedTempFile, TempDir};

use super::*;
use crate::disk::ids::Ids;
use crate::disk::layout::{Content, Layout, Part};
use crate::disk::table as written;
use crate::recipe::schema;
use firmware_checks::fat::Volume;

const HELLO: &[u8] = b"hello, world\n";

fn host(program: &str, arguments: &[&str]) -> String {
    let time = ("E2FSPROGS_FAKE_TIME", "1767323045");
    let output = Command::new(program).args(arguments).envs([time, ("LC_ALL", "C"), ("TZ", "UTC")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // debugfs always answers 0, and e2fsck 1 where it has mended something.
    assert!(output.status.code().is_some_and(|code| code < 2), "{program} {arguments:?}: {text}");
    text.into_owned()
}

fn layout() -> Layout {
    let disk = schema::Disk { root: Some(Size::new(64, Unit::MiB)), ..schema::Disk::default() };
    Layout::new(&disk, Content { bytes: 1 << 20, inodes: 100 }, true).unwrap()
}

/// What the root file system is made of: a file, links short and long, and a folder of several blocks.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("etc/many")).unwrap();
    fs::write(tree.path().join("etc/hello"), HELLO).unwrap();
    fs::write(tree.path().join("etc/large"), vec![b'x'; 3 << 20]).unwrap();
    symlink("hello", tree.path().join("etc/short")).unwrap();
    symlink("x".repeat(100), tree.path().join("etc/long")).unwrap();
    for number in 0..400 {
        fs::write(tree.path().join(format!("etc/many/a-file-with-a-name-{number}")), "").unwrap();
    }
    tree
}

/// An image of [`tree`] with `inodes` inodes.
fn image_with(inodes: &str) -> NamedTempFile {
    let (layout, ids) = (layout(), Ids::new("test"));
    let mut image = NamedTempFile::new().unwrap();
    image.as_file().set_len(layout.size).unwrap();
    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    for part in [Part::Esp, Part::Site] {
        let mut volume = Volume::format(image.as_file(), layout.of(part).range(), "FAT", 7, time).unwrap();
        volume.write_file("EFI/BOOT/A long name.efi", &[1; 70_000]).unwrap();
        volume.finish().unwrap();
    }
    let (root, tree) = (layout.of(Part::Root), tree());
    let uuid = "0e4b8f8e-5f3c-4b57-9d6e-3c1f5d1c7a11";
    let options = format!("offset={},hash_seed={uuid},lazy_itable_init=0,root_owner=0:0", root.start);
    let features =
        "none,64bit,dir_index,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,large_file,metadata_csum";
    let size = format!("{}k", root.size / 1024);
    let (tree, path) = (tree.path().to_str().unwrap(), image.path().to_str().unwrap().to_owned());
    let made =
        ["-qF", "-t", "ext4", "-b", "4096", "-I", "256", "-O", features, "-U", uuid, "-E", &options, "-N", inodes];
    host("/usr/sbin/mke2fs", &[&made[..], &["-d", tree, &path, &size]].concat());
    // Copies of one tree are made at different times.
    let names = ["etc", "etc/hello", "etc/large", "etc/short", "etc/long", "etc/many"].map(str::to_owned);
    let many = (0..400).map(|number| format!("etc/many/a-file-with-a-name-{number}"));
    let names: Vec<String> = names.into_iter().chain(many).chain(["".to_owned(), "lost+found".to_owned()]).collect();
    let times = ["atime", "ctime", "mtime", "crtime"];
    let script = names.iter().flat_map(|name| times.map(|time| format!("sif /{name} {time} 20260102030405\n")));
    debug_script(&image, &script.collect::<String>());
    written::write(image.as_file_mut(), &layout, &ids, [0x90; 440]).unwrap();
    image
}

fn image() -> NamedTempFile {
    image_with("1024")
}

fn debug_script(image: &NamedTempFile, script: &str) -> String {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    let at = format!("{}?offset={}", image.path().display(), layout().of(Part::Root).start);
    let text = host("/usr/sbin/debugfs", &["-w", "-f", file.path().to_str().unwrap(), &at]);
    let wrong = ["not found", "rror", "nvalid", "sage:", "nknown"].iter().any(|word| text.contains(word));
    assert!(!wrong, "debugfs: {text}");
    text
}

fn copy(image: &NamedTempFile) -> NamedTempFile {
    let copy = NamedTempFile::new().unwrap();
    fs::copy(image.path(), copy.path()).unwrap();
    copy
}

/// What is told when debugfs does `script` to a copy of `image`.
fn after(image: &NamedTempFile, script: &str) -> String {
    let changed = copy(image);
    debug_script(&changed, script);
    let told = compared(image, &changed);
    assert!(!told.same);
    told.to_string()
}

fn compared(first: &NamedTempFile, second: &NamedTempFile) -> Comparison {
    compare(first.path(), second.path()).unwrap()
}

#[test]
fn what_was_changed_of_one_file_is_told_and_nothing_else() {
    let image = image();
    assert_eq!(compared(&image, &copy(&image)), Comparison { same: true, ..Comparison::default() });
    for (script, told) in [
        ("sif /etc/hello mode 0100600", "root /etc/hello: mode 100644 in the first, 100600 in the second"),
        ("sif /etc/hello uid 70000", "root /etc/hello: owner 0:0 in the first, 70000:0 in the second"),
        (
            "sif /etc/hello mtime 20200101000000",
            "root /etc/hello: modified 2026-01-02T03:04:05Z in the first, 2020-01-01T00:00:00Z in the second",
        ),
        (
            "sif /etc/many/a-file-with-a-name-399 ctime_extra 8",
            "root /etc/many/a-file-with-a-name-399: changed 2026-01-02T03:04:05Z in the first, \
             2026-01-02T03:04:05.000000002Z in the second",
        ),
        (
            "ea_set /etc/hello user.note text",
            "root /etc/hello: extended attribute user.note none in the first, `text` in the second",
        ),
    ] {
        assert_eq!(after(&image, script), told, "{script}");
    }
    let large = "v".repeat(1000);
    let told = after(&image, &format!("ea_set /etc/hello user.large {large}"));
    let expected = format!("root /etc/hello: extended attribute user.large none in the first, `{large}` in the second");
    assert_eq!(told, expected);
}

#[test]
fn what_is_in_only_one_of_them_is_told() {
    let image = image();
    let told = after(&image, "cd /etc\nunlink hello\nmknod disk b 8 1");
    assert!(
        told.contains("root /etc/disk: only in the second image\nroot /etc/hello: only in the first image"),
        "{told}"
    );
    let (first, second) = (copy(&image), copy(&image));
    debug_script(&first, "cd /etc\nmknod disk b 8 1");
    debug_script(&second, "cd /etc\nmknod disk b 259 300");
    let told = compared(&first, &second).to_string();
    assert!(
        told.contains("root /etc/disk: ") && told.contains("device 8:1 in the first, 259:300 in the second"),
        "{told}"
    );
    let told = after(&image, "cd /etc\nunlink short\nsymlink short elsewhere\nunlink long\nsymlink long other");
    assert!(told.contains("link target hello in the first, elsewhere in the second"), "{told}");
    assert!(told.contains(&format!("link target {} in the first, other in the second", "x".repeat(100))), "{told}");
}

#[test]
fn where_the_content_of_a_file_begins_to_differ_is_told() {
    let image = image();
    let changed = copy(&image);
    let blocks = debug_script(&image, "blocks /etc/large");
    let blocks: Vec<u64> = blocks.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let block = blocks[blocks.len() - 10];
    changed.as_file().write_all_at(b"yy", layout().of(Part::Root).start + block * 4096 + 5).unwrap();
    let comparison = compared(&image, &changed);
    let place = (3 << 20) - 10 * 4096 + 5;
    let told = format!("root /etc/large: content differs from byte {place} of {} on", 3 << 20);
    assert_eq!(comparison.to_string(), told);
    let expected = serde_json::json!({ "same": false, "more": 0, "differences": [{
        "place": "root", "path": "/etc/large",
        "differs": [{ "what": "content", "first_size": 3 << 20, "second_size": 3 << 20, "from": place }],
    }]});
    assert_eq!(serde_json::to_value(&comparison).unwrap(), expected);
}

#[test]
fn the_file_system_itself_is_told_only_where_every_file_is_the_same() {
    let image = image();
    let told = after(&image, "ssv mkfs_time 20200101000000");
    assert!(told.starts_with("root: every file is the same; the file system's own structures differ in "), "{told}");
    let roomier = image_with("4096");
    let told = compared(&image, &roomier);
    let [Difference { place, path: None, differs }] = told.differences.as_slice() else { panic!("{told}") };
    let [Aspect::Structures { moved, example: Some(example), .. }] = differs.as_slice() else { panic!("{told}") };
    assert!(place == "root" && *moved > 2 && example.starts_with('/'), "{told}");
}

#[test]
fn a_folder_with_an_index_is_read_to_its_end() {
    let image = image();
    let at = format!("{}?offset={}", image.path().display(), layout().of(Part::Root).start);
    host("/usr/sbin/e2fsck", &["-fyD", &at]);
    assert!(debug_script(&image, "htree /etc/many").contains("Root node dump"), "the folder has no index");
    let script = "sif /etc/many/a-file-with-a-name-7 mode 0100600\nsif /etc/many/a-file-with-a-name-390 mode 0100600";
    let told = after(&image, script);
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn a_long_list_is_cut_and_the_rest_counted() {
    let image = image();
    let script = (0..30).map(|number| format!("sif /etc/many/a-file-with-a-name-{number} mode 0100600\n"));
    let told = after(&image, &script.collect::<String>());
    assert!(told.lines().count() == TOLD + 1 && told.ends_with("\nand 10 more"), "{told}");
}

#[test]
fn files_on_fat_are_told_too() {
    let image = image();
    let changed = copy(&image);
    let write = |text: &[u8], path: &str, part| {
        let time = "2026-01-02T03:04:07Z".parse().unwrap();
        let mut volume = Volume::open(changed.as_file(), layout().of(part).range(), time).unwrap();
        volume.write_file(path, text).unwrap();
        volume.finish().unwrap();
    };
    write(&[2; 70_001], "EFI/BOOT/A long name.efi", Part::Esp);
    write(b"new", "site.toml", Part::Site);
    let told = compared(&image, &changed).to_string();
    let expected = "esp /EFI/BOOT/A long name.efi: modified 2026-01-02T03:04:04.000 in the first, 2026-01-02T03:04:06.000 \
                    in the second; content differs from byte 0 on: 70000 bytes in the first, 70001 in the second\n\
                    site /site.toml: only in the second image";
    assert_eq!(told, expected);
}

#[test]
fn what_is_in_no_file_system_is_told_by_its_place() {
    let image = image();
    let changed = copy(&image);
    changed.as_file().write_all_at(b"code", 100).unwrap();
    changed.as_file().write_all_at(b"core", layout().of(Part::Bios).start + 4096).unwrap();
    let expected = "boot code: bytes differ in 1 block between bytes 100 and 103\n\
                    bios: bytes differ in 1 block between bytes 4096 and 4099";
    assert_eq!(compared(&image, &changed).to_string(), expected);
}

#[test]
fn partition_tables_are_told_in_their_words() {
    let image = image();
    let mut changed = copy(&image);
    written::write(changed.as_file_mut(), &layout(), &Ids::new("other"), [0x90; 440]).unwrap();
    let told = compared(&image, &changed).to_string();
    assert!(told.starts_with("partition table: guid ") && told.lines().count() == 6, "{told}");
    assert!(told.lines().skip(1).all(|line| line.contains(": guid ")), "{told}");
    changed.as_file().set_len(layout().size / 2).unwrap();
    let told = compared(&image, &changed).to_string();
    assert!(told.starts_with("image: size ") && told.contains("which files can't be told"), "{told}");
}

#[test]
fn a_file_system_that_cannot_be_read_is_told_as_such() {
    let image = image();
    let changed = copy(&image);
    changed.as_file().write_all_at(&[0xff; 4], layout().of(Part::Root).start + 1024 + 0x60).unwrap();
    let told = compared(&image, &changed).to_string();
    assert!(told.starts_with("root: bytes differ in ") && told.contains("features 0x"), "{told}");
}
