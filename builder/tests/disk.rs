//! Whole disks of a small root file system, judged by the tools that administrators judge disks with.
//!
//! The tools root holds the host's mke2fs. No GRUB is on the machines that run this: a stand-in for grub-mkimage writes a core
//! image of the right shape, which the end-to-end tests replace by the real one and boot. Needs root, as the sandbox's tests.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use firmware_checks::units::{Size, Unit};
use firstlight::disk::ids::Ids;
use firstlight::disk::{self, Error, SkeletonFiles, Spec, Summary};
use firstlight::recipe::base::Base;
use firstlight::recipe::schema;
use firstlight::rootfs::overlay::LateFile;
use firstlight::sandbox::{folders_of_tools, set_program};

const BASE: &str = r#"
name = "test"
family = "deb"
os = { id = "debian", version_id = "13" }
architecture = "amd64"
keyring = "none"
sources = []
packages = []
tools = []
kernel = {}
platforms = {}
[boot]
vendor = "debian"
shim = "/boot-parts/shim"
mok_manager = "/boot-parts/mm"
grub = "/boot-parts/grub"
bios_modules = "/boot-parts/i386-pc"
[ext4]
features = [
    "64bit", "dir_index", "dir_nlink", "ext_attr", "extent", "extra_isize", "filetype", "flex_bg", "has_journal",
    "huge_file", "large_file", "metadata_csum", "resize_inode", "sparse_super",
]
inode_size = 256
"#;

/// When all of it was released, in seconds since 1970 and in words.
const RELEASED: (u32, &str) = (1_767_323_045, "2026-01-02T03:04:05Z");

/// Runs a program of the host and gives its standard output; its exit status must be 0.
fn host(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).envs([("LC_ALL", "C"), ("TZ", "UTC")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A root with the host's sh, cat, mke2fs and its like, and the libraries they load.
fn tools() -> tempfile::TempDir {
    set_program(env!("CARGO_BIN_EXE_firstlight"));
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["bin", "lib", "lib64", "sbin"] {
        fs::create_dir_all(root.path().join("usr").join(name)).unwrap();
        symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
    }
    for inside in folders_of_tools().chain([Path::new("etc")]) {
        fs::create_dir_all(root.path().join(inside)).unwrap();
    }
    fs::copy("/etc/mke2fs.conf", root.path().join("etc/mke2fs.conf")).unwrap();
    for program in ["/bin/sh", "/bin/cat", "/sbin/debugfs", "/sbin/e2image", "/sbin/mke2fs"] {
        fs::copy(program, root.path().join(&program[1..])).unwrap();
        for library in host("ldd", &[program]).split_whitespace().filter(|word| word.starts_with('/')) {
            let inside = root.path().join(&library[1..]);
            fs::create_dir_all(inside.parent().unwrap()).unwrap();
            fs::copy(library, inside).unwrap();
        }
    }
    let script = root.path().join("usr/bin/grub-mkimage");
    fs::write(&script, "#!/bin/sh\ncat /run/target/boot-parts/core.img\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    root
}

/// What passes for a UEFI program: the headers' signatures, and `text`.
fn program(text: &str) -> Vec<u8> {
    [b"MZ".as_slice(), &[0; 58], &[0x40, 0, 0, 0], b"PE\0\0\x64\x86", text.as_bytes()].concat()
}

/// A root file system with what a disk needs of it.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let parts = root.path().join("boot-parts");
    fs::create_dir_all(parts.join("i386-pc")).unwrap();
    for name in ["shim", "mm", "grub"] {
        fs::write(parts.join(name), program(name)).unwrap();
    }
    let mut boot = [0; 512];
    (boot[0x66], boot[510], boot[511]) = (0xeb, 0x55, 0xaa);
    fs::write(parts.join("i386-pc/boot.img"), boot).unwrap();
    let mut core = [0; 1500];
    core[0x1fe..0x200].copy_from_slice(&[0x20, 0x08]);
    fs::write(parts.join("core.img"), core).unwrap();
    fs::create_dir_all(root.path().join("etc/late")).unwrap();
    let owned = root.path().join("owned");
    fs::write(&owned, vec![b'x'; 100_000]).unwrap();
    fs::set_permissions(&owned, fs::Permissions::from_mode(0o640)).unwrap();
    chown(&owned, Some(1234), Some(42)).unwrap();
    root
}

fn assemble(disk: &schema::Disk, out: &Path) -> Result<Summary, Error> {
    let (base, released) = (toml::from_str::<Base>(BASE).unwrap(), RELEASED.1.parse().unwrap());
    let site: [(&str, &[u8]); 1] = [("README.txt", b"put site.toml here")];
    let late = [LateFile { path: "etc/late/file".into(), content: b"late".to_vec(), mode: 0o640 }];
    let spec = Spec { identity: "test", released, title: "test 1", disk, base: &base, site: &site, late: &late };
    let (folder, tools) = (tempfile::tempdir().unwrap(), tools());
    let skeleton = disk::assemble(&spec, root().path(), tools.path(), folder.path())?;
    let summary = disk::finish(&skeleton, &SkeletonFiles::open(folder.path()).unwrap(), &spec, tools.path(), out)?;
    let image = folder.path().join("disk.raw");
    lay_in_place(&image, &summary);
    host("cmp", &[image.to_str().unwrap(), out.to_str().unwrap()]);
    Ok(summary)
}

/// Lays the late file where the file system lies in `image`, which has no late files yet, as the host's debugfs does it.
fn lay_in_place(image: &Path, summary: &Summary) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "late").unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let root = summary.partitions.iter().find(|partition| partition.label == "root").unwrap();
    let place = format!("{}?offset={}", image.display(), root.start);
    let mut debugfs = Command::new("/sbin/debugfs");
    debugfs.args(["-w", "-f", "-"]).arg(place).env("E2FSPROGS_FAKE_TIME", RELEASED.0.to_string());
    let mut child = debugfs.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "cd /etc/late\nwrite {} file\n", file.path().display()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The default sizes, but for a root that does not take long to make.
fn small() -> schema::Disk {
    schema::Disk { root: Some(Size::new(96, Unit::MiB)), ..schema::Disk::default() }
}

/// The partition `label` of `summary` as a sparse file in `folder`.
fn partition(summary: &Summary, label: &str, folder: &Path) -> PathBuf {
    let found = summary.partitions.iter().find(|partition| partition.label == label).unwrap();
    let (image, path) = (File::open(&summary.image.path).unwrap(), folder.join(label));
    let file = File::create(&path).unwrap();
    file.set_len(found.size).unwrap();
    let mut piece = vec![0; 1 << 20];
    for offset in (0..found.size).step_by(1 << 20) {
        image.read_exact_at(&mut piece, found.start + offset).unwrap();
        if piece.iter().any(|byte| *byte != 0) {
            file.write_all_at(&piece, offset).unwrap();
        }
    }
    path
}

#[test]
fn every_part_of_a_disk_is_clean_and_says_what_the_summary_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out/disk.raw");
    let summary = assemble(&small(), &out).unwrap();
    assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 1, "only the image is left");
    assert!(host("/usr/sbin/sgdisk", &["-v", out.to_str().unwrap()]).contains("No problems found"));
    for label in ["esp", "site"] {
        host("/usr/sbin/fsck.vfat", &["-n", partition(&summary, label, folder.path()).to_str().unwrap()]);
    }
    let mut first = [0; 512];
    File::open(&out).unwrap().read_exact_at(&mut first, 0).unwrap();
    assert_eq!(first[0x5c..0x64], 2048_u64.to_le_bytes(), "the core image's sector");

    let root = partition(&summary, "root", folder.path());
    let root = root.to_str().unwrap();
    host("/usr/sbin/fsck.ext4", &["-fn", root]);
    let facts = host("/usr/sbin/dumpe2fs", &["-h", root]);
    let line = |key: &str| facts.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    let mut features: Vec<String> = line("Filesystem features:").split(' ').map(str::to_owned).collect();
    features.sort();
    assert_eq!(features, toml::from_str::<Base>(BASE).unwrap().ext4.features);
    let uuid = Ids::new("test").file_system("root").to_string();
    assert_eq!((line("Filesystem UUID:"), line("Filesystem volume name:")), (uuid.clone(), "root".to_owned()));
    let stat = host("/usr/sbin/debugfs", &["-R", "stat /owned", root]);
    assert!(stat.contains("Mode:  0640") && stat.contains("User:  1234   Group:    42"), "{stat}");
    let stat = host("/usr/sbin/debugfs", &["-R", "stat /etc/late/file", root]);
    assert!(stat.contains("Mode:  0640") && stat.contains("Size: 4"), "{stat}");
    let times: Vec<&str> = stat.lines().filter(|line| line.contains("time: 0x")).collect();
    assert!(times.len() == 4 && times.iter().all(|line| line.contains("time: 0x695735a5:00000000")), "{stat}");
    assert_eq!(host("/usr/sbin/debugfs", &["-R", "cat /etc/late/file", root]), "late");
    assert!(facts.contains("Last write time:          Fri Jan  2 03:04:05 2026"), "{facts}");
    let menu = host("/usr/sbin/debugfs", &["-R", "cat /boot/firstlight/grub.cfg", root]);
    assert!(menu.contains(&format!("root=UUID={uuid} ro ")), "{menu}");
}

#[test]
fn the_data_file_system_grows_from_64_mib_to_4_tib() {
    let folder = tempfile::tempdir().unwrap();
    let summary = assemble(&small(), &folder.path().join("disk.raw")).unwrap();
    let data = partition(&summary, "data", folder.path());
    host("/usr/sbin/fsck.ext4", &["-fn", data.to_str().unwrap()]);
    File::options().write(true).open(&data).unwrap().set_len(4 << 40).unwrap();
    host("/usr/sbin/resize2fs", &[data.to_str().unwrap()]);
    host("/usr/sbin/fsck.ext4", &["-fn", data.to_str().unwrap()]);
    let facts = host("/usr/sbin/dumpe2fs", &["-h", data.to_str().unwrap()]);
    for (key, value) in [("Block count", "1073741824"), ("Inodes per group", "8192"), ("Reserved block count", "0")] {
        let line = facts.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
}

#[test]
fn a_root_without_room_is_refused_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = schema::Disk { root: Some(Size::new(2, Unit::MiB)), ..schema::Disk::default() };
    let error = assemble(&tiny, &folder.path().join("disk.raw")).unwrap_err();
    assert!(error.to_string().starts_with("`disk.root` is 2 MiB, but what is installed takes"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
