//! The bases that come with Firstlight: each is right, and each one's certificates are those that its distribution names.

use std::fs;
use std::path::{Path, PathBuf};

use firstlight::archive::Keyring;
use firstlight::recipe::{self, base::Base};

/// As the distributions publish them: <https://ftp-master.debian.org/keys.html>, <https://wiki.ubuntu.com/SecurityTeam/FAQ>.
const DEBIAN_12: &[&str] = &[
    "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
    "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
    "4D64FEC119C2029067D6E791F8D2585B8783D481",
];
const DEBIAN_13: &[&str] = &[
    "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
    "5E04A1E3223A19A20706E20F9904613D4CCE68C6",
    "41587F7DB8C774BCCF131416762F67A0B2C39DE4",
];
const UBUNTU: &[&str] = &["F6ECB3762474EDA9D21B7022871920D1991BC93C"];

/// <https://almalinux.org/security/>.
const ALMALINUX_9: &[&str] = &["BF18AC2876178908D6E71267D36CB86CB86B3716"];
/// <https://rockylinux.org/resources/gpg-key-info>.
const ROCKY_9: &[&str] = &["21CB256AE16FC54C6E652949702D426D350D275D"];

/// The bases, with the certificates that may sign each one's archive or packages.
const BASES: &[(&str, &[&str])] = &[
    ("debian-12", DEBIAN_12),
    ("debian-13", DEBIAN_13),
    ("debian-14", DEBIAN_13),
    ("ubuntu-22.04", UBUNTU),
    ("ubuntu-24.04", UBUNTU),
    ("debian-13-arm64", DEBIAN_13),
    ("ubuntu-22.04-arm64", UBUNTU),
    ("ubuntu-24.04-arm64", UBUNTU),
    ("almalinux-9", ALMALINUX_9),
    ("rocky-9", ROCKY_9),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("recipes/bases")
}

#[test]
fn every_base_is_right() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let bases: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    assert!(bases.len() >= BASES.len(), "{bases:?}");
    for path in bases {
        recipe::read_base(&path).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_certificates_are_those_of_the_distribution_and_may_sign() {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    for (name, fingerprints) in BASES {
        let base = recipe::read_base(&folder().join(format!("{name}.toml"))).unwrap_or_else(|error| panic!("{error}"));
        let keyring = Keyring::parse(&fs::read_to_string(folder().join(base.keyring)).unwrap()).unwrap();
        let certificates = keyring.certificates(now);
        let found: Vec<&str> = certificates.iter().map(|certificate| certificate.fingerprint.as_str()).collect();
        assert_eq!(found, *fingerprints, "{name}");
        assert!(certificates.iter().all(|certificate| certificate.refused.is_none()), "{name}: {certificates:?}");
    }
}

/// So that what is proved on AlmaLinux's shape holds for its sibling.
#[test]
fn rocky_is_almalinux_by_other_names() {
    let read = |name: &str| recipe::read_base(&folder().join(name)).unwrap_or_else(|error| panic!("{error}"));
    let (alma, rocky) = (read("almalinux-9.toml"), read("rocky-9.toml"));
    let renamed = |names: &[String]| names.iter().map(|name| name.replace("almalinux", "rocky")).collect::<Vec<_>>();
    let suites = |base: &Base| base.sources.iter().map(|source| source.suites.clone()).collect::<Vec<_>>();
    assert_eq!(suites(&alma), suites(&rocky));
    assert!(!rocky.sources.iter().any(|source| format!("{source:?}").contains("alma")), "{:?}", rocky.sources);
    assert_eq!(alma.boot.shim.replace("almalinux", "rocky"), rocky.boot.shim);
    assert_eq!((renamed(&alma.packages), renamed(&alma.tools)), (rocky.packages, rocky.tools));
    assert_eq!((alma.kernel, alma.platforms, alma.overlays), (rocky.kernel, rocky.platforms, rocky.overlays));
    assert_eq!((alma.ext4, alma.cpu_level, alma.os.version_id), (rocky.ext4, rocky.cpu_level, rocky.os.version_id));
}

/// So that what is proved of a release on PCs holds on 64-bit ARM, too, but for what boots there.
#[test]
fn arm_differs_from_pcs_in_what_boots_alone() {
    let read = |name: &str| recipe::read_base(&folder().join(name)).unwrap_or_else(|error| panic!("{error}"));
    for name in ["debian-13", "ubuntu-22.04", "ubuntu-24.04"] {
        let (pc, arm) = (read(&format!("{name}.toml")), read(&format!("{name}-arm64.toml")));
        let of_pc = |package: &str| package.contains("grub") || package.contains("microcode");
        let others = |packages: &[String]| {
            packages.iter().filter(|name| !of_pc(name)).map(|name| name.replace("amd64", "arm64")).collect::<Vec<_>>()
        };
        assert_eq!((others(&pc.packages), others(&pc.tools)), (others(&arm.packages), others(&arm.tools)), "{name}");
        for (target, packages) in &pc.kernel {
            assert_eq!(others(packages), others(&arm.kernel[target]), "{name}");
        }
        let suites = |base: &Base| {
            base.sources.iter().map(|one| (one.suites.clone(), one.components.clone())).collect::<Vec<_>>()
        };
        assert_eq!(suites(&pc), suites(&arm), "{name}");
        let paths = [pc.boot.shim, pc.boot.mok_manager, pc.boot.grub];
        let paths = paths.map(|path| path.replace("x86_64-efi", "arm64-efi").replace("x64.efi", "aa64.efi"));
        assert_eq!(paths, [arm.boot.shim, arm.boot.mok_manager, arm.boot.grub], "{name}");
        assert!(pc.boot.bios_modules.is_some() && arm.boot.bios_modules.is_none(), "{name}");
        assert_eq!(
            (pc.platforms, pc.overlays, pc.ext4, pc.os),
            (arm.platforms, arm.overlays, arm.ext4, arm.os),
            "{name}"
        );
        assert!(arm.packages.iter().chain(arm.kernel.values().flatten()).all(|one| !one.contains("amd64")), "{name}");
    }
}

#[test]
fn the_hello_recipe_is_right_on_each_of_its_bases() {
    let recipe = folder().with_file_name("hello.toml");
    let loaded = recipe::load_all(&recipe, None).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.len() > 1);
}
