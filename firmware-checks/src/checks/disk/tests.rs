use super::*;
use crate::check::State;
use crate::facts::recorded::{Recorded, only};
use crate::requirements::{Need, Requirements};

const GB: u64 = 1_000_000_000;

fn folder(name: &str, minimum: &str) -> DataFolder {
    let path = format!("/srv/{name}");
    DataFolder {
        name: name.to_owned(),
        path,
        minimum: minimum.parse().unwrap(),
        recommended: None,
        free: None,
        solid_state: None,
    }
}

fn asks(data: &[DataFolder]) -> Requirements {
    Requirements { data: data.to_vec(), ..Requirements::default() }
}

/// A disk of 100 GB, all of it partitioned, whose last partition is mounted at /srv.
fn machine(size: u64, available: u64) -> Recorded {
    Recorded::new()
        .disk("sda", "195312500\n")
        .partition("sda", "sda5", "8:5")
        .file("/sys/devices/sda/sda5/size", "195312500\n")
        .mount("8:4", "/", "ext4", "/dev/sda4")
        .mount("8:5", "/srv", "ext4", "/dev/sda5")
        .folder("/srv")
        .file("/proc/cpuinfo", "flags\t: fpu\n")
        .space("/srv", size, available)
}

#[test]
fn a_folder_that_is_large_enough_passes_even_before_it_is_made() {
    let finding = only(machine(93 * GB, 90 * GB).run("disk.size", &asks(&[folder("fast", "90 GB")]), None));
    assert_eq!(finding, Finding::pass("/srv/fast: 93 GB", "90 GB").about("fast"));
}

#[test]
fn less_than_recommended_warns_and_less_than_the_least_fails_with_the_way_out() {
    let mut fast = folder("fast", "90 GB");
    fast.recommended = Some("200 GB".parse().unwrap());
    assert_eq!(only(machine(93 * GB, 0).run("disk.size", &asks(&[fast]), None)).state, State::Warn);
    let finding = only(machine(93 * GB, 0).run("disk.size", &asks(&[folder("fast", "100 GB")]), None));
    assert_eq!((finding.state, finding.required.as_str()), (State::Fail, "100 GB"));
    assert!(finding.remedy.unwrap().contains("no unused disk was found"));
}

#[test]
fn what_folders_on_one_file_system_ask_adds_up() {
    let data = [folder("fast", "60 GB"), folder("slow", "40 GB")];
    let findings = machine(93 * GB, 0).run("disk.size", &asks(&data), None).unwrap();
    assert!(findings.iter().all(|finding| finding.state == State::Fail), "{findings:?}");
    assert_eq!(findings[1].required, "100 GB for fast, slow together");
    let apart = machine(93 * GB, 0).mount("8:17", "/srv/slow", "ext4", "/dev/sdb1").folder("/srv/slow").space(
        "/srv/slow",
        50 * GB,
        0,
    );
    let findings = apart.run("disk.size", &asks(&data), None).unwrap();
    assert!(findings.iter().all(|finding| finding.state == State::Pass), "{findings:?}");
}

#[test]
fn an_unused_disk_is_named_and_one_that_carries_something_is_not() {
    let with = |content: &str| {
        let recorded = machine(93 * GB, 0).disk("nvme1n1", "3906250000\n").file("/sys/devices/nvme1n1/dev", "259:1\n");
        recorded.file("/run/udev/data/b259:1", content).link("/dev/disk/by-id/nvme-eui.0025", "../../nvme1n1")
    };
    let remedy =
        |recorded: Recorded| only(recorded.run("disk.size", &asks(&[folder("fast", "100 GB")]), None)).remedy.unwrap();
    let told = remedy(with("I:1\nE:ID_SERIAL=x\n"));
    let named = "/dev/nvme1n1 (2 TB, empty) is not used: add [[disks]] with folder = \"fast\" and id = \"nvme-eui.0025\" to site.toml";
    assert!(told.starts_with(named), "{told}");
    let told = remedy(with("I:1\n").file("/srv/fast/study.dcm", "x"));
    assert!(told.contains("sudo mkfs.ext4 /dev/disk/by-id/nvme-eui.0025; move away what is in /srv/fast"), "{told}");
    for taken in ["E:ID_FS_TYPE=xfs\n", "E:ID_PART_TABLE_TYPE=gpt\n"] {
        assert!(!remedy(with(taken)).contains("nvme1n1"), "{taken}");
    }
    let partitioned = with("I:1\n").file("/sys/devices/nvme1n1/nvme1n1p1/partition", "1\n");
    assert!(!remedy(partitioned).contains("nvme1n1"));
    let held = with("I:1\n").folder("/sys/devices/nvme1n1/holders/dm-0");
    assert!(!remedy(held).contains("nvme1n1"));
}

#[test]
fn a_disk_that_udev_does_not_know_is_called_empty_when_its_start_is() {
    let with = |start: Vec<u8>| {
        let recorded = machine(93 * GB, 0)
            .disk("sdb", "3906250000\n")
            .file("/sys/devices/sdb/dev", "8:16\n")
            .file("/dev/sdb", start);
        only(recorded.run("disk.size", &asks(&[folder("fast", "100 GB")]), None)).remedy.unwrap()
    };
    assert!(with(vec![0; 1 << 20]).contains("/dev/sdb (2 TB, empty)"));
    let mut start = vec![0; 1 << 20];
    start[1080] = 0x53;
    assert!(!with(start).contains("sdb"));
}

#[test]
fn what_is_left_of_the_disk_is_to_be_grown_into() {
    let recorded = machine(10 * GB, 0).file("/sys/devices/sda/sda5/size", "20000000\n");
    let remedy = only(recorded.run("disk.size", &asks(&[folder("fast", "50 GB")]), None)).remedy.unwrap();
    assert!(remedy.contains("firmware-checks machine grow"), "{remedy}");
}

#[test]
fn a_file_system_that_should_be_mounted_and_is_not_fails() {
    let recorded = Recorded::new().mount("8:4", "/", "ext4", "/dev/sda4").folder("/srv").space("/", 500 * GB, 500 * GB);
    let recorded = recorded.file("/etc/fstab", "# data\nUUID=x /srv ext4 nofail 0 2\n");
    let finding = only(recorded.run("disk.size", &asks(&[folder("fast", "100 GB")]), None));
    assert_eq!((finding.state, finding.observed.as_str()), (State::Fail, "/srv/fast: /srv is not mounted"));
}

#[test]
fn free_space_is_what_is_free_and_not_what_there_is() {
    let mut fast = folder("fast", "90 GB");
    fast.free = Some("50 GB".parse().unwrap());
    let requirements = asks(&[fast, folder("slow", "1 GB")]);
    let finding = only(machine(93 * GB, 51 * GB).run("disk.free", &requirements, None));
    assert_eq!(finding, Finding::pass("/srv/fast: 51 GB free", "50 GB free").about("fast"));
    let finding = only(machine(93 * GB, 49 * GB).run("disk.free", &requirements, None));
    assert_eq!(finding.state, State::Fail);
    assert!(finding.remedy.unwrap().contains("du -xh --max-depth=2 /srv"));
    let finding = only(machine(93 * GB, 51 * GB).read_only("/srv").run("disk.free", &requirements, None));
    assert_eq!((finding.state, finding.observed.as_str()), (State::Fail, "/srv/fast: /srv is mounted read-only"));
}

#[test]
fn without_the_table_of_mounts_or_the_kernels_word_it_cannot_run() {
    let mut fast = folder("fast", "1 GB");
    fast.free = Some("1 GB".parse().unwrap());
    let silent = Recorded::new().mount("8:4", "/", "ext4", "/dev/sda4");
    for id in ["disk.size", "disk.free"] {
        assert!(Recorded::new().run(id, &asks(&[fast.clone()]), None).is_err());
        assert!(silent.run(id, &asks(&[fast.clone()]), None).unwrap_err().what.contains("measuring"));
    }
}

#[test]
fn a_disk_that_turns_warns_where_one_that_does_not_is_preferred() {
    let run = |rotational: &str, need| {
        let mut data = folder("fast", "1 GB");
        data.solid_state = Some(need);
        let recorded = machine(93 * GB, 90 * GB).file("/sys/devices/sda/queue/rotational", rotational);
        only(recorded.run("disk.kind", &asks(&[data]), None))
    };
    let turns = run("1\n", Need::Recommended);
    assert_eq!((turns.state, turns.observed.as_str()), (State::Warn, "/srv/fast: sda is a disk that turns"));
    assert_eq!(run("1\n", Need::Required).state, State::Fail);
    assert_eq!(run("0\n", Need::Required).state, State::Pass);
    assert_eq!(run("", Need::Required).state, State::NotApplicable);
    let mut data = folder("fast", "1 GB");
    data.solid_state = Some(Need::Required);
    let guest = machine(93 * GB, 0).file("/proc/cpuinfo", "flags\t: fpu hypervisor\n");
    assert_eq!(only(guest.run("disk.kind", &asks(&[data]), None)).state, State::NotApplicable);
}
