//! Disks are files here, and mounting is only noted: everything else is done by the real programs.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;

use super::holds::{BEGUN, content};
use super::*;
use crate::check::State;
use crate::facts::recorded::{Recorded, only};
use crate::requirements::Requirements;

const SIZE: u64 = 16 << 20;

fn folder(name: &str) -> DataFolder {
    let (path, minimum) = (format!("/srv/{name}"), "1 MB".parse().unwrap());
    DataFolder { name: name.to_owned(), path, minimum, recommended: None, free: None, solid_state: None }
}

fn folders() -> Vec<DataFolder> {
    vec![folder("fast"), folder("slow")]
}

fn site(disks: &[(&str, &str)]) -> Site {
    let disk = |(folder, id): &(&str, &str)| DataDisk {
        folder: (*folder).to_owned(),
        id: Some((*id).to_owned()),
        model: None,
        size: None,
    };
    Site { disks: disks.iter().map(disk).collect(), ..Site::default() }
}

/// A machine that runs from vda, with these further disks, each `virtio-NAME` and empty.
fn machine(names: &[&str]) -> Recorded {
    let system = Recorded::new().disk("vda", "32768\n").file("/sys/devices/vda/dev", "254:0\n");
    let system = system.partition("vda", "vda4", "254:4").mount("254:4", "/", "ext4", "/dev/vda4").folder("/srv");
    names.iter().enumerate().fold(system, |machine, (index, name)| {
        let machine = machine
            .disk(name, &format!("{}\n", SIZE / 512))
            .file(&format!("/sys/devices/{name}/dev"), format!("254:{}\n", 16 * (index + 1)))
            .link(&format!("/dev/disk/by-id/virtio-{name}"), &format!("../../{name}"))
            .file(&format!("/dev/{name}"), "");
        File::options()
            .write(true)
            .open(machine.machine().path(&format!("/dev/{name}")))
            .unwrap()
            .set_len(SIZE)
            .unwrap();
        machine
    })
}

/// Prepares the disks; what was mounted is noted as `DEVICE FOLDER`, and nothing is really mounted.
fn prepared(machine: &Recorded, site: &Site) -> (Vec<(String, Done)>, Vec<String>) {
    let (machine, mounted) = (machine.machine(), RefCell::new(Vec::new()));
    let note = |device: &Path, point: &Path| {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        mounted.borrow_mut().push(format!("{} {}", name(device), name(point)));
        Ok(())
    };
    let done = prepare_with(&machine, &folders(), site, &note).unwrap();
    (done, mounted.into_inner())
}

fn bytes(machine: &Recorded, name: &str) -> Vec<u8> {
    fs::read(machine.machine().path(&format!("/dev/{name}"))).unwrap()
}

fn why(done: &[(String, Done)]) -> &str {
    match &done[0].1 {
        Done::Not(why) => why,
        other => panic!("{other:?}"),
    }
}

/// What the check says of it.
fn judged(machine: &Recorded, site: &Site) -> crate::check::Finding {
    let requirements = Requirements { data: folders(), ..Requirements::default() };
    only(machine.run("disk.selected", &requirements, Some(site)))
}

fn run(program: &str, arguments: &[&str], device: &Path) {
    let output = Command::new(program).args(arguments).arg(device).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_empty_disk_gets_a_file_system_and_is_known_again_elsewhere() {
    let machine = machine(&["vdb"]);
    let wanted = site(&[("fast", "virtio-vdb")]);
    assert_eq!(judged(&machine, &wanted).state, State::Fail);
    let (done, mounted) = prepared(&machine, &wanted);
    assert_eq!(done, [("fast".to_owned(), Done::Mounted { disk: "vdb".to_owned(), made: true, note: None })]);
    assert_eq!(mounted, ["vdb fast"]);
    let device = machine.machine().path("/dev/vdb");
    run("e2fsck", &["-fn"], &device);
    let made = ext4::superblock(&device).unwrap().unwrap();
    assert_eq!(record(&machine.machine()).unwrap()["fast"], made.uuid);
    // The next boot: nothing is made again, though the site's words fit it no longer.
    let (_, mounted) = prepared(&machine, &site(&[("fast", "another-name")]));
    assert_eq!(mounted, ["vdb fast"]);
    assert_eq!(ext4::superblock(&device).unwrap().unwrap().uuid, made.uuid);
    // Mounted, the check passes.
    let machine = machine.mount("254:16", "/srv/fast", "ext4", "/dev/vdb");
    assert_eq!(judged(&machine, &wanted).state, State::Pass);
    assert!(all_mounted(&machine.machine(), &folders(), &wanted));
    assert_eq!(prepared(&machine, &wanted).0[0].1, Done::Before);
}

#[test]
fn a_disk_that_holds_anything_is_left_as_it_is_to_the_byte() {
    let contents: [(&str, &[&str]); 5] = [
        ("mkfs.ext4", &["-q", "-F"]),
        ("mkfs.ext4", &["-q", "-F", "-L", "fl-slow"]),
        ("mkfs.vfat", &[]),
        ("mkswap", &[]),
        ("/usr/sbin/sgdisk", &["-o"]),
    ];
    for (program, arguments) in contents {
        let machine = machine(&["vdb"]);
        run(program, arguments, &machine.machine().path("/dev/vdb"));
        let before = bytes(&machine, "vdb");
        let wanted = site(&[("fast", "virtio-vdb")]);
        let (done, mounted) = prepared(&machine, &wanted);
        assert!(why(&done).contains("nothing was written to it") && mounted.is_empty(), "{done:?}");
        assert!(before == bytes(&machine, "vdb"), "{program} {arguments:?}: it was written");
        let finding = judged(&machine, &wanted);
        assert_eq!(finding.state, State::Fail);
        assert!(finding.remedy.unwrap().contains("sudo wipefs -a /dev/disk/by-id/virtio-vdb"));
    }
}

#[test]
fn a_damaged_file_system_of_somebody_elses_is_not_taken_for_nothing() {
    let machine = machine(&["vdb"]);
    let device = machine.machine().path("/dev/vdb");
    run("mkfs.ext4", &["-q", "-F", "-O", "metadata_csum", "-L", "patients"], &device);
    OpenOptions::new().write(true).open(&device).unwrap().write_all_at(b"X", 1024 + 0x88).unwrap();
    let before = bytes(&machine, "vdb");
    let (done, mounted) = prepared(&machine, &site(&[("fast", "virtio-vdb")]));
    // Some releases of blkid look at the checksum and see nothing, others see an ext4.
    assert!(why(&done).contains("labelled `patients`; nothing was written to it") && mounted.is_empty(), "{done:?}");
    assert!(before == bytes(&machine, "vdb"));
}

#[test]
fn a_wiped_disk_is_empty() {
    let machine = machine(&["vdb"]);
    let device = machine.machine().path("/dev/vdb");
    run("mkfs.ext4", &["-q", "-F"], &device);
    run("wipefs", &["-q", "-a"], &device);
    assert_eq!(prepared(&machine, &site(&[("fast", "virtio-vdb")])).1, ["vdb fast"]);
}

/// Every state in which a cut may leave the disk: parts of the finished file system's blocks, the superblock's two sectors
/// among them, under the first label and torn between it and the second.
#[test]
fn a_cut_while_the_file_system_is_made_is_mended_by_the_next_boot() {
    let machine = machine(&["vdb"]);
    let device = machine.machine().path("/dev/vdb");
    run("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "metadata_csum", "-L", BEGUN], &device);
    let begun = bytes(&machine, "vdb");
    run("tune2fs", &["-L", "fl-fast"], &device);
    let finished = bytes(&machine, "vdb");
    let put = |content: &[u8]| fs::write(&device, content).unwrap();
    let empty = vec![0; begun.len()];
    let mixed = |first: &[u8], second: &[u8], rest: &[u8]| {
        [&rest[..1024], &first[1024..1536], &second[1536..2048], &rest[2048..]].concat()
    };
    let states = [
        mixed(&empty, &empty, &begun),
        mixed(&begun, &empty, &empty),
        mixed(&begun, &begun, &empty),
        mixed(&empty, &begun, &begun),
        begun.clone(),
        mixed(&finished, &begun, &begun),
        mixed(&begun, &finished, &begun),
    ];
    for (number, state) in states.iter().enumerate() {
        put(state);
        let found = content(&device).unwrap();
        assert!(matches!(found, Holds::Nothing | Holds::Begun), "{number}: {found:?}");
        fs::remove_file(machine.machine().path(RECORD)).ok();
        assert_eq!(prepared(&machine, &site(&[("fast", "virtio-vdb")])).1, ["vdb fast"], "{number}");
        run("e2fsck", &["-fn"], &device);
    }
    put(&finished);
    assert!(matches!(content(&device).unwrap(), Holds::Folder { label, .. } if label == "fl-fast"));
    let uuid = ext4::superblock(&device).unwrap().unwrap().uuid;
    fs::remove_file(machine.machine().path(RECORD)).ok();
    prepared(&machine, &site(&[("fast", "virtio-vdb")]));
    assert_eq!(ext4::superblock(&device).unwrap().unwrap().uuid, uuid, "a finished one was made again");
}

#[test]
fn what_is_not_there_or_not_one_is_told_with_the_disks_that_are() {
    let machine = machine(&["vdb", "vdc"]);
    let finding = judged(&machine, &site(&[("fast", "virtio-vdx")]));
    assert!(finding.observed.contains("vdb (virtio-vdb, 16.7 MB): empty"), "{}", finding.observed);
    assert!(finding.observed.contains("vda (16.7 MB): has partitions: vda4"), "{}", finding.observed);
    let mut by_size = site(&[("fast", "")]);
    (by_size.disks[0].id, by_size.disks[0].size) = (None, Some("16 MiB".parse().unwrap()));
    let finding = judged(&machine, &by_size);
    assert!(finding.observed.starts_with("several disks are as site.toml says: vda"), "{}", finding.observed);
    assert!(prepared(&machine, &by_size).1.is_empty());
    let finding = judged(&machine, &site(&[("fats", "virtio-vdb")]));
    assert!(finding.observed.contains("no data folder `fats`; it has fast, slow"), "{}", finding.observed);
}

#[test]
fn a_folder_with_files_is_not_hidden_and_a_mount_point_is_left() {
    let wanted = site(&[("fast", "virtio-vdb")]);
    let machine = machine(&["vdb"]).file("/srv/fast/study.dcm", "x");
    assert!(why(&prepared(&machine, &wanted).0).contains("/srv/fast holds files already (study.dcm)"));
    assert_eq!(content(&machine.machine().path("/dev/vdb")).unwrap(), Holds::Nothing, "it was written");
    let machine = machine.mount("8:1", "/srv/fast", "xfs", "/dev/sda1");
    assert!(why(&prepared(&machine, &wanted).0).contains("/srv/fast is a mount point of /dev/sda1 already"));
}

#[test]
fn an_empty_disk_does_not_take_the_place_of_one_with_the_data_unless_that_is_forgotten() {
    let machine = machine(&["vdb", "vdc"]);
    prepared(&machine, &site(&[("fast", "virtio-vdb")]));
    let other = site(&[("fast", "virtio-vdc")]);
    let finding = judged(&machine, &other);
    assert!(finding.observed.contains("its data is on vdb"), "{}", finding.observed);
    assert!(prepared(&machine, &other).1.is_empty());
    fs::write(machine.machine().path("/dev/vdb"), vec![0; SIZE as usize]).unwrap();
    let finding = judged(&machine, &other);
    assert!(finding.observed.contains("is not there"), "{}", finding.observed);
    assert!(finding.remedy.unwrap().contains("--forget fast"));
    assert!(prepared(&machine, &other).1.is_empty());
    assert!(forget(&machine.machine(), "fast").unwrap() && !forget(&machine.machine(), "fast").unwrap());
    assert_eq!(prepared(&machine, &other).1, ["vdc fast"]);
}

#[test]
fn one_disk_is_not_given_to_two_folders() {
    let machine = machine(&["vdb"]);
    let (done, mounted) = prepared(&machine, &site(&[("fast", "virtio-vdb"), ("slow", "virtio-vdb")]));
    assert_eq!(mounted, ["vdb fast"]);
    assert!(
        matches!(&done[1].1, Done::Not(why) if why.contains("holds another data folder, labelled `fl-fast`")),
        "{done:?}"
    );
}

#[test]
fn what_failed_is_told_by_the_check_and_without_the_kernels_word_it_cannot_run() {
    let wanted = site(&[("fast", "virtio-vdb")]);
    let machine = machine(&["vdb"]).file(TROUBLE, "{\"fast\": \"vdb: mkfs.ext4: out of cheese\"}");
    let finding = judged(&machine, &wanted);
    assert!(
        finding.observed.ends_with("empty, and not mounted: vdb: mkfs.ext4: out of cheese"),
        "{}",
        finding.observed
    );
    let requirements = Requirements { data: folders(), ..Requirements::default() };
    assert!(Recorded::new().run("disk.selected", &requirements, Some(&wanted)).is_err());
    let broken = machine.file(RECORD, "{");
    assert!(broken.run("disk.selected", &requirements, Some(&wanted)).unwrap_err().what.contains(RECORD));
    let none = only(broken.run("disk.selected", &requirements, None));
    assert_eq!(none.state, State::NotApplicable);
}

#[test]
fn a_label_fits_and_is_the_folders_alone() {
    assert_eq!(label("fast"), "fl-fast");
    let (long, other) = (label("a-very-long-folder-name"), label("a-very-long-folder-nama"));
    assert!(long.len() <= 16 && long != other && long.starts_with("fl-"), "{long}");
}
