use std::os::unix::fs::FileExt;
use std::process::Command;

use super::*;

const MIB: u64 = 1 << 20;

fn time() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// Asserts that `fsck.vfat -n` has nothing to say about the bytes `range` of `file`.
pub(super) fn assert_clean(file: &File, range: Range<u64>) {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
    file.read_exact_at(&mut bytes, range.start).unwrap();
    let copy = tempfile::NamedTempFile::new().unwrap();
    copy.as_file().write_all_at(&bytes, 0).unwrap();
    let fsck = Command::new("/usr/sbin/fsck.vfat").arg("-n").arg(copy.path()).output().unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

fn image(range: &Range<u64>) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(range.end + MIB).unwrap();
    file
}

fn filled(range: Range<u64>) -> File {
    let file = image(&range);
    let mut volume = Volume::format(&file, range, "SITE", 0x1234_5678, time()).unwrap();
    volume.write_file("EFI/BOOT/BOOTX64.EFI", &[1; 70_000]).unwrap();
    volume.write_file("EFI/debian/grub.cfg", b"search").unwrap();
    volume.write_file("a rather long name with spaces.toml", b"x = 1").unwrap();
    volume.finish().unwrap();
    file
}

#[test]
fn both_kinds_satisfy_fsck_with_folders_in_folders() {
    for size in [16 * MIB, 33 * MIB, 34 * MIB, 64 * MIB, 512 * MIB] {
        let range = MIB..MIB + size;
        assert_clean(&filled(range.clone()), range);
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let range = 0..16 * MIB;
    let read = |file: File| {
        let mut bytes = vec![0; 17 << 20];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    assert!(read(filled(range.clone())) == read(filled(range)));
}

#[test]
fn the_boot_sector_names_kind_and_id() {
    for (size, kind, at) in [(16 * MIB, b"FAT16   ", 54), (64 * MIB, b"FAT32   ", 82)] {
        let file = filled(0..size);
        let mut boot = [0; 512];
        file.read_exact_at(&mut boot, 0).unwrap();
        assert_eq!(&boot[at..at + 8], kind);
        assert_eq!(boot[at - 15..at - 11], 0x1234_5678_u32.to_le_bytes());
    }
}

#[test]
fn an_opened_volume_takes_new_files_in_place_of_old_ones() {
    let range = MIB..17 * MIB;
    let file = filled(range.clone());
    let mut volume = Volume::open(&file, range.clone(), time()).unwrap();
    assert_eq!(volume.label().unwrap(), "SITE");
    volume.write_file("EFI/debian/grub.cfg", b"a longer one than before").unwrap();
    volume.write_file("EFI/debian/new/deeper/file", b"y").unwrap();
    volume.remove("EFI/BOOT/BOOTX64.EFI").unwrap();
    volume.remove("EFI/BOOT/was-never-there").unwrap();
    volume.finish().unwrap();
    assert_clean(&file, range.clone());
    let mut volume = Volume::open(&file, range, time()).unwrap();
    assert_eq!(volume.read_file("EFI/debian/grub.cfg").unwrap().unwrap(), b"a longer one than before");
    assert_eq!(volume.read_file("EFI/BOOT/BOOTX64.EFI").unwrap(), None);
    let paths: Vec<String> = volume.list().unwrap().into_iter().map(|entry| entry.path).collect();
    let expected = [
        "EFI",
        "EFI/BOOT",
        "EFI/debian",
        "EFI/debian/grub.cfg",
        "EFI/debian/new",
        "EFI/debian/new/deeper",
        "EFI/debian/new/deeper/file",
        "a rather long name with spaces.toml",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_volume_made_by_another_tool_is_changed_without_harm() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(16 * MIB).unwrap();
    let made = Command::new("/usr/sbin/mkfs.vfat").args(["-n", "SITE"]).arg(image.path()).output().unwrap();
    assert!(made.status.success());
    let mut volume = Volume::open(image.as_file(), 0..16 * MIB, time()).unwrap();
    volume.write_file("folder/tls.crt", &[b'x'; 5000]).unwrap();
    volume.finish().unwrap();
    assert_clean(image.as_file(), 0..16 * MIB);
}

#[test]
fn nothing_is_changed_without_finish() {
    let file = filled(0..16 * MIB);
    let mut volume = Volume::open(&file, 0..16 * MIB, time()).unwrap();
    volume.write_file("gone", b"x").unwrap();
    drop(volume);
    let mut volume = Volume::open(&file, 0..16 * MIB, time()).unwrap();
    assert_eq!(volume.read_file("gone").unwrap(), None);
}

#[test]
fn refuses_what_does_not_fit_and_what_is_no_fat() {
    let file = filled(0..16 * MIB);
    let mut volume = Volume::open(&file, 0..16 * MIB, time()).unwrap();
    let error = volume.write_file("big", &vec![0; 20 << 20]).unwrap_err();
    assert!(error.to_string().starts_with("writing `big` (20971520 bytes)"), "{error}");
    let empty = image(&(0..MIB));
    assert!(Volume::open(&empty, 0..MIB, time()).is_err());
    assert!(Volume::format(&empty, 0..MIB, "twelve bytes", 1, time()).is_err());
}
