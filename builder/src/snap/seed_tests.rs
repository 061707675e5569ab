use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;

use super::super::fixture::{AUTHORITY, authority, pack};
use super::*;

/// Snaps in a folder, and everything that is said of them.
struct Given {
    folder: tempfile::TempDir,
    snaps: Vec<Snap>,
    assertions: Vec<String>,
}

const SNAPS: [(&str, &str); 5] = [
    ("microk8s", "base: core20\nconfinement: classic\narchitectures: [amd64]"),
    ("helm", "base: core24\nconfinement: classic"),
    ("core20", "type: base"),
    ("core24", "type: base"),
    ("snapd", "type: snapd"),
];

impl Given {
    fn new(snaps: &[(&str, &str)]) -> Self {
        let mut given = Self { folder: tempfile::tempdir().unwrap(), snaps: Vec::new(), assertions: Vec::new() };
        given.assertions = vec![AUTHORITY.common(), AUTHORITY.model()];
        snaps.iter().for_each(|(name, yaml)| given.put(name, yaml));
        given
    }

    fn put(&mut self, name: &str, yaml: &str) {
        let path = self.folder.path().join(format!("{name}.snap"));
        pack(&format!("name: {name}\nversion: 1\n{yaml}\n"), &path);
        let bytes = fs::read(&path).unwrap();
        let digest = authority::sha3_384(&bytes);
        self.assertions.push(AUTHORITY.declaration(&format!("{name}-id"), name));
        self.assertions.push(AUTHORITY.revision(&digest, bytes.len() as u64, &format!("{name}-id"), 7));
        self.snaps.push(Snap { name: name.to_owned(), channel: "1.33/stable".to_owned(), path });
    }

    fn judge(&self) -> Result<Seed> {
        let read = |text: &str| Assertion::stream(text, "test").unwrap();
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let mut judged = Judged::new(&read(&AUTHORITY.roots()), Some(now)).unwrap();
        judged.add(read(&self.assertions.join("\n"))).unwrap();
        Seed::judge(&self.snaps, &judged, "amd64")
    }

    fn told(&self) -> String {
        self.judge().unwrap_err().to_string()
    }
}

#[test]
fn a_seed_is_laid_as_snapd_reads_it() {
    let given = Given::new(&SNAPS);
    let seed = given.judge().unwrap();
    let names: Vec<&str> = seed.snaps().iter().map(|one| one.snap.name.as_str()).collect();
    assert_eq!(names, ["snapd", "core20", "microk8s", "core24", "helm"], "snapd first, each after its base");
    let root = tempfile::tempdir().unwrap();
    seed.lay(root.path()).unwrap();
    let at = |path: &str| root.path().join(FOLDER).join(path);
    let yaml = fs::read_to_string(at("seed.yaml")).unwrap();
    seed_yaml_is_as_snapd_reads_it(&yaml);
    let mode = fs::metadata(at("snaps/microk8s_7.snap")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600, "as snapd lays snaps");
    let files = fs::read_dir(at("assertions")).unwrap().map(|one| fs::read_to_string(one.unwrap().path()).unwrap());
    let kinds: Vec<String> = files.map(|text| Assertion::stream(&text, "test").unwrap()[0].name()).collect();
    assert_eq!(kinds.len(), 2 + 1 + 2 * SNAPS.len(), "{kinds:?}");
    assert!(!kinds.iter().any(|name| name == "account testroot"), "the roots are snapd's own: {kinds:?}");
}

/// Every entry with its own keys, read again by the words that snapd reads (`seed/internal`, `Snap16`).
fn seed_yaml_is_as_snapd_reads_it(yaml: &str) {
    #[derive(serde::Deserialize)]
    struct Read {
        snaps: Vec<std::collections::BTreeMap<String, serde_json::Value>>,
    }
    let read: Read = serde_saphyr::from_str(yaml).unwrap();
    let microk8s = serde_json::to_value(&read.snaps[2]).unwrap();
    let expected = serde_json::json!({
        "name": "microk8s", "snap-id": "microk8s-id", "channel": "1.33/stable", "classic": true, "file": "microk8s_7.snap",
    });
    assert_eq!(microk8s, expected, "{yaml}");
    assert!(!read.snaps[1].contains_key("classic"), "{yaml}");
}

#[test]
fn a_changed_file_is_not_what_its_assertions_are_about() {
    let given = Given::new(&SNAPS);
    let path = &given.snaps[0].path;
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    let told = given.told();
    assert!(told.contains("the snap microk8s: there is no assertion snap-revision of its SHA3-384"), "{told}");
}

#[test]
fn a_snap_is_told_when_it_is_another_than_named() {
    let mut given = Given::new(&SNAPS);
    let path = given.folder.path().join("helm.snap");
    given.snaps[0].path = path;
    assert!(
        given.told().contains("found the name `helm` in its snap-declaration, expected `microk8s`"),
        "{}",
        given.told()
    );
    let mut given = Given::new(&SNAPS);
    let path = given.folder.path().join("liar.snap");
    pack("name: other\nversion: 1\ntype: base\n", &path);
    let bytes = fs::read(&path).unwrap();
    given.assertions.push(AUTHORITY.declaration("liar-id", "liar"));
    given.assertions.push(AUTHORITY.revision(&authority::sha3_384(&bytes), bytes.len() as u64, "liar-id", 1));
    given.snaps.push(Snap { name: "liar".into(), channel: "stable".into(), path });
    assert!(given.told().contains("`other` in its snap.yaml, expected `liar`"), "{}", given.told());
}

#[test]
fn sizes_and_architectures_must_fit() {
    let mut given = Given::new(&SNAPS[1..]);
    given.put("arm", "architectures: [arm64]\ntype: base");
    assert!(given.told().contains("found the architectures arm64, expected amd64"), "{}", given.told());
    let mut given = Given::new(&SNAPS[2..]);
    let path = given.folder.path().join("helm.snap");
    pack("name: helm\nversion: 1\ntype: base\n", &path);
    let digest = authority::sha3_384(&fs::read(&path).unwrap());
    given.assertions.push(AUTHORITY.declaration("helm-id", "helm"));
    given.assertions.push(AUTHORITY.revision(&digest, 5, "helm-id", 1));
    given.snaps.push(Snap { name: "helm".into(), channel: "stable".into(), path });
    assert!(given.told().contains("found the size") && given.told().contains("expected 5"), "{}", given.told());
}

#[test]
fn a_seed_is_complete_or_refused() {
    let without = |name: &str| Given::new(&SNAPS.iter().copied().filter(|one| one.0 != name).collect::<Vec<_>>());
    let told = without("core20").told();
    assert!(told.contains("the snap microk8s runs on core20, which is not among them"), "{told}");
    let told = without("snapd").told();
    assert!(told.contains("the snap snapd is not among them"), "{told}");
    let mut given = Given::new(&SNAPS);
    given.snaps.push(given.snaps[0].clone());
    assert!(given.told().contains("microk8s is named twice"), "{}", given.told());
}

#[test]
fn the_model_is_one_of_a_classic_system_and_its_snaps_are_there() {
    let mut given = Given::new(&SNAPS);
    given.assertions.retain(|one| !one.starts_with("type: model"));
    assert!(given.told().contains("found 0 models"), "{}", given.told());
    let model = |rest: &[(&'static str, &'static str)]| {
        let all = [("type", "model"), ("authority-id", authority::ROOT), ("series", "16")];
        let all = [&all[..], &[("brand-id", authority::ROOT), ("model", "m")], rest].concat();
        AUTHORITY.root.sign(&all, "")
    };
    given.assertions.push(model(&[("classic", "true"), ("gadget", "pc=22")]));
    assert!(given.told().contains("requires the snap pc"), "{}", given.told());
    given.assertions.pop();
    given.assertions.push(model(&[("base", "core22")]));
    assert!(given.told().contains("is not that of a classic system"), "{}", given.told());
}
