//! The bases that come with Firstlight: each is right, and each one's certificates are those that its distribution names.

use std::fs;
use std::path::{Path, PathBuf};

use firstlight::archive::Keyring;
use firstlight::recipe;

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

/// The bases of apt's family, with the certificates that may sign each one's archive.
const BASES: &[(&str, &[&str])] = &[
    ("debian-12", DEBIAN_12),
    ("debian-13", DEBIAN_13),
    ("debian-14", DEBIAN_13),
    ("ubuntu-22.04", UBUNTU),
    ("ubuntu-24.04", UBUNTU),
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

#[test]
fn the_hello_recipe_is_right_on_each_of_its_bases() {
    let recipe = folder().with_file_name("hello.toml");
    let loaded = recipe::load_all(&recipe, None).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.len() > 1);
}
