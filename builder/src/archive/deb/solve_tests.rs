//! apt's answer is compared with that of the host's own apt-get after a real `apt-get update` from the same archive.

use std::process::Command;

use super::super::fixture::{Scene, stanza};
use super::*;

/// Runs the host's own apt-get on the state, instead of the base's.
fn on_host(folder: &Path, state: &State, arguments: &[&str]) -> String {
    for (name, path) in &state.files {
        let link = folder.join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(path, link).unwrap();
    }
    apt_get(&folder.join("apt.conf"), arguments)
}

fn apt_get(configuration: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("apt-get");
    let output = command.args(arguments).env("APT_CONFIG", configuration).env("LC_ALL", "C.UTF-8").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    format!("{text}{STATUS}{}\n", output.status.code().unwrap())
}

fn ours(archive: &Archive, wanted: &Wanted) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().to_str().unwrap().to_owned();
    let solution =
        solve_with(archive, wanted, &inside, |state, arguments| Ok(on_host(folder.path(), state, arguments)))?;
    Ok(solution.packages.into_iter().map(|package| format!("{}={}", package.name, package.version)).collect())
}

/// An ordinary apt that updates itself from the mirror over HTTP.
struct Ordinary {
    folder: tempfile::TempDir,
}

impl Ordinary {
    fn new(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("lists/partial")).unwrap();
        fs::create_dir_all(root.join("cache/archives/partial")).unwrap();
        let source = format!("deb [trusted=yes arch=amd64] {}/debian stable main\n", scene.mirror.url());
        fs::write(root.join("sources.list"), source).unwrap();
        fs::write(root.join("status"), "").unwrap();
        let more = "Acquire::Check-Valid-Until \"false\";\n";
        fs::write(root.join("apt.conf"), configuration(root.to_str().unwrap(), "amd64") + more).unwrap();
        let told = apt_get(&root.join("apt.conf"), &["update"]);
        assert!(told.ends_with(&format!("{STATUS}0\n")), "{told}");
        Self { folder }
    }

    fn choose(&self, names: &[&str], recommends: bool) -> Vec<String> {
        let mut arguments = vec!["-s", "-o"];
        let recommends = format!("APT::Install-Recommends={recommends}");
        arguments.extend([recommends.as_str(), "install"]);
        arguments.extend(names);
        let told = apt_get(&self.folder.path().join("apt.conf"), &arguments);
        let line = |line: &str| parse_inst(line).map(|(name, version, _)| format!("{name}={version}"));
        told.lines().filter_map(line).collect()
    }
}

/// Alternatives, virtual and versioned virtual packages, conflicts, replaced packages, several versions, recommended ones.
fn packages() -> String {
    [
        ("base", "1", "Essential: yes\nPriority: required\nPre-Depends: core (>= 2)"),
        ("core", "2.1", "Priority: required"),
        ("core", "2.0", ""),
        ("other-essential", "1", "Essential: yes\nPriority: required\nDepends: base"),
        ("web", "3", "Depends: httpd (>= 2) | mini, mta\nRecommends: doc, cache"),
        ("apache", "2", "Provides: httpd (= 2)\nConflicts: nginx"),
        ("nginx", "1", "Provides: httpd (= 1)\nConflicts: apache"),
        ("mini", "1", "Depends: core"),
        ("exim", "4", "Provides: mta\nConflicts: mta\nReplaces: mta"),
        ("postfix", "3", "Provides: mta\nConflicts: mta\nReplaces: mta\nPriority: important"),
        ("doc", "1", ""),
        ("cache", "1", "Depends: doc"),
        ("plugin", "1", "Depends: nginx"),
        ("both", "1", "Depends: web, plugin"),
        ("impossible", "1", "Depends: exim, postfix"),
        ("needy", "1", "Depends: core (>= 9)"),
        ("loop-a", "1", "Depends: loop-b"),
        ("loop-b", "1", "Depends: loop-a"),
    ]
    .map(|(name, version, more)| stanza(name, version, more))
    .concat()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_choice_is_apts_own() {
    let scene = Scene::new(&packages());
    let (archive, ordinary) = (scene.open().unwrap(), Ordinary::new(&scene));
    for names in [
        &["web"][..],
        &["web", "postfix"],
        &["web", "nginx"],
        &["exim", "web"],
        &["both"],
        &["plugin", "mini", "web"],
        &["loop-b"],
        &["httpd"],
        &["core", "cache"],
    ] {
        for recommends in [false, true] {
            let packages = owned(names);
            let wanted = Wanted { packages: &packages, recommends, essential: false };
            let expected = ordinary.choose(names, recommends);
            let told = |error: Error| error.to_string();
            match ours(&archive, &wanted) {
                Ok(found) => assert_eq!(found, expected, "{names:?}"),
                Err(error) => assert_eq!(expected, [] as [&str; 0], "{names:?}: {}", told(error)),
            }
            let with = [&["base", "other-essential"][..], names].concat();
            let essential = Wanted { essential: true, ..wanted };
            if let Ok(found) = ours(&archive, &essential) {
                assert_eq!(found, ordinary.choose(&with, recommends));
                assert!(found.contains(&"base=1".to_owned()) && found.contains(&"core=2.1".to_owned()));
            }
        }
    }
}

#[test]
fn the_fixture_tells_choices_apart() {
    let scene = Scene::new(&packages());
    let archive = scene.open().unwrap();
    let choose = |names: &[&str], recommends| {
        let packages = owned(names);
        ours(&archive, &Wanted { packages: &packages, recommends, essential: false }).unwrap()
    };
    assert!(choose(&["web"], false).contains(&"apache=2".to_owned()));
    assert!(!choose(&["web"], false).contains(&"doc=1".to_owned()));
    assert!(choose(&["web"], true).contains(&"cache=1".to_owned()));
    assert!(choose(&["web", "nginx"], false).contains(&"mini=1".to_owned()));
    assert!(choose(&["exim", "web"], false).contains(&"exim=4".to_owned()));
    assert_eq!(choose(&[], false), [] as [&str; 0]);
}

#[test]
fn what_can_not_be_installed_is_explained_in_apts_words() {
    let scene = Scene::new(&packages());
    let archive = scene.open().unwrap();
    for (name, told) in [("impossible", "impossible : Depends: "), ("needy", "needy : Depends: core (>= 9)")] {
        let packages = owned(&[name]);
        let wanted = Wanted { packages: &packages, recommends: false, essential: true };
        let error = ours(&archive, &wanted).unwrap_err().to_string();
        assert!(error.starts_with("choosing packages: apt finds no way to install them together\n"), "{error}");
        assert!(error.contains(told) && !error.contains("Reading package lists"), "{error}");
    }
}

#[test]
fn names_that_are_none_never_reach_apt() {
    let scene = Scene::new(&packages());
    let archive = scene.open().unwrap();
    for name in ["--option=x", "web-", "web=3", "web/stable", "we b", "", "wep"] {
        let packages = owned(&[name]);
        let error = ours(&archive, &Wanted { packages: &packages, recommends: false, essential: false }).unwrap_err();
        assert!(matches!(error, Error::UnknownPackage { .. }), "{name}: {error}");
    }
}

#[test]
fn an_answer_that_the_indices_do_not_have_is_refused() {
    let scene = Scene::new(&packages());
    let archive = scene.open().unwrap();
    for line in ["Inst doc (2 x [amd64])", "Inst doc (1 x [i386])", "Inst nothing (1 x [amd64])", "Inst garbage"] {
        let packages = owned(&["doc"]);
        let wanted = Wanted { packages: &packages, recommends: false, essential: false };
        let error = solve_with(&archive, &wanted, "/x", |_, _| Ok(format!("{line}\n{STATUS}0\n"))).unwrap_err();
        assert!(matches!(error, Error::Unmapped { .. }), "{error}");
    }
}

#[test]
fn apts_answer_is_read() {
    let parse = |line| parse_inst(line).unwrap();
    let line = "Inst libc6 (2.41-12+deb13u1 Debian:13.7/stable, Debian-Security:13/stable-security [amd64]) []";
    assert_eq!(parse(line), ("libc6", "2.41-12+deb13u1", "amd64"));
    assert_eq!(parse("Inst base-files [1] (13.8 Debian:13.7/stable [all])"), ("base-files", "13.8", "all"));
    for line in ["Conf libc6 (2.41 x [amd64])", "Inst libc6", "Inst libc6 (2.41)", "Inst libc6 (2.41 x [amd64"] {
        assert_eq!(parse_inst(line), None, "{line}");
    }
}
