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

#[test]
fn the_hello_recipe_is_right_on_each_of_its_bases() {
    let recipe = folder().with_file_name("hello.toml");
    let loaded = recipe::load_all(&recipe, None).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.len() > 1);
}
