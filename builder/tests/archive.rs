//! The real archive of Debian 13, by way of the host's own apt sources: opened, and its apt's choice compared with that of
//! the host's apt-get. Needs a network, apt-get, and root or a user with subordinate ids.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use firstlight::archive::deb::{Archive, Keyring, Mirrors, Package, Wanted, solve};
use firstlight::progress::Progress;
use firstlight::recipe::base::Base;
use firstlight::recipe::schema::Target;
use firstlight::rootfs::extract::{Owners, extract_all};
use firstlight::sandbox::set_program;
use firstlight::store::Store;

const BASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/bases");

fn base() -> (Base, PathBuf) {
    let text = fs::read_to_string(format!("{BASES}/debian-13.toml")).unwrap();
    let base: Base = toml::from_str(&text).unwrap();
    let keyring = Path::new(BASES).join(&base.keyring);
    (base, keyring)
}

fn open(base: &Base, keyring: &Path, store: &Store) -> Archive {
    let keyring = Keyring::parse(&fs::read_to_string(keyring).unwrap()).unwrap();
    let mirrors = Mirrors::new(&[], Path::new("/etc/apt"));
    Archive::open(base, &keyring, &mirrors, store, &Progress::new(), jiff::Timestamp::now()).unwrap()
}

/// A root with apt in it.
fn tools_root(base: &Base, archive: &Archive, store: &Store) -> tempfile::TempDir {
    let tools = archive.closure(&base.tools).unwrap();
    store.fetch(&archive.downloads(&tools), &Progress::new()).unwrap();
    let debs: Vec<PathBuf> = tools.iter().map(|package| store.path(&package.sha256).unwrap()).collect();
    let root = tempfile::tempdir().unwrap();
    extract_all(&debs, root.path(), Owners::Keep).unwrap();
    root
}

/// What the host's apt-get chooses on an empty system after an update of its own.
fn hosts_choice(base: &Base, keyring: &Path, archive: &Archive, names: &[String]) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for part in ["lists/partial", "cache/archives/partial", "none"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    let mut sources = String::new();
    for (number, source) in base.sources.iter().enumerate() {
        let package = Package { source: number, path: "x".to_owned(), ..archive.newest("bash").unwrap() };
        let mirror = archive.downloads(&[package]).remove(0).urls.remove(0).trim_end_matches("/x").to_owned();
        for suite in &source.suites {
            let signed = keyring.display();
            sources +=
                &format!("deb [arch=amd64 signed-by={signed}] {mirror} {suite} {}\n", source.components.join(" "));
        }
    }
    fs::write(root.join("sources.list"), sources).unwrap();
    fs::write(root.join("status"), "").unwrap();
    let inside = root.display();
    let configuration = format!(
        "Dir::Etc::sourcelist \"{inside}/sources.list\"; Dir::Etc::sourceparts \"{inside}/none\";\
         Dir::Etc::preferencesparts \"{inside}/none\"; Dir::State \"{inside}\"; Dir::State::status \"{inside}/status\";\
         Dir::Cache \"{inside}/cache\"; APT::Sandbox::User \"root\"; Acquire::Languages \"none\";\
         APT::Architectures {{ \"amd64\"; }};"
    );
    fs::write(root.join("apt.conf"), configuration).unwrap();
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("APT_CONFIG", root.join("apt.conf")).env("LC_ALL", "C.UTF-8");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    apt_get(&["update"]);
    let mut arguments = vec!["-s", "--no-install-recommends", "install"];
    arguments.extend(names.iter().map(String::as_str));
    let told = apt_get(&arguments);
    let words = told.lines().filter(|line| line.starts_with("Inst ")).map(|line| line.split(' ').collect::<Vec<_>>());
    words.map(|words| format!("{} {}", words[1], words[2].trim_start_matches('('))).collect()
}

#[test]
fn the_choice_for_a_docker_appliance_is_that_of_the_hosts_apt() {
    set_program(env!("CARGO_BIN_EXE_firstlight"));
    let (base, keyring) = base();
    let store = Store::open(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let archive = open(&base, &keyring, &store);
    assert!(archive.len() > 60_000);
    let began = Instant::now();
    assert_eq!(open(&base, &keyring, &store).digest(), archive.digest());
    println!("opened again in {:?}", began.elapsed());

    let mut packages = base.packages.clone();
    packages.extend(base.kernel[&Target::Metal].clone());
    packages.extend(base.platforms["docker"].clone());
    let root = tools_root(&base, &archive, &store);
    let began = Instant::now();
    let wanted = Wanted { packages: &packages, recommends: false, essential: true };
    let solution = solve(&archive, root.path(), &wanted).unwrap();
    println!("chose {} packages in {:?}", solution.packages.len(), began.elapsed());
    let found: BTreeSet<String> =
        solution.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    let names = [archive.essential(), packages.clone()].concat();
    assert_eq!(found, hosts_choice(&base, &keyring, &archive, &names));

    let impossible = ["exim4".to_owned(), "postfix".to_owned()];
    let error = solve(&archive, root.path(), &Wanted { packages: &impossible, ..wanted }).unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains("exim4") && error.contains("postfix"), "{error}");
}
