//! dnf's answer to the script is compared with that of an ordinary dnf, which fetches the repository by itself over HTTP.

use std::process::Command;

use super::super::fixture::{Item, Scene};
use super::*;

/// The distribution's Python, which has dnf, and not one that a developer has put before it.
const PYTHON: &str = "/usr/bin/python3";

fn ours(archive: &Archive, names: &[&str], recommends: bool) -> Result<BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    let (inside, scratch) = (folder.path().join("inside"), folder.path().join("scratch"));
    let packages: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Wanted { packages: &packages, recommends, essential: true };
    let solution = solve_with(archive, &wanted, inside.to_str().unwrap(), scratch.to_str().unwrap(), |state| {
        for (name, path) in &state.files {
            let link = inside.join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(path, link).unwrap();
        }
        let script = inside.join("solve.py");
        let output = Command::new(PYTHON).arg("-I").args([script, inside.join("request.json")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    })?;
    Ok(solution.packages.iter().map(|one| format!("{} {} {}", one.name, one.architecture, one.version)).collect())
}

/// What `dnf install` says that it would do; none where it refuses.
fn ordinary(scene: &Scene, names: &[&str], recommends: bool) -> Option<BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let output = Command::new("dnf")
        .args([
            "--assumeno",
            "--noplugins",
            "--releasever=9",
            "--forcearch=x86_64",
            "--nogpgcheck",
            "--setopt=best=True",
        ])
        .arg(format!("--installroot={}", at("root")))
        .arg(format!("--setopt=cachedir={}", at("cache")))
        .arg(format!("--setopt=reposdir={}", at("none")))
        .arg(format!("--setopt=install_weak_deps={recommends}"))
        .arg(format!("--repofrompath=only,{}/almalinux/9/BaseOS/os", scene.mirror.url()))
        .arg("install")
        .args(names)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = told.split_whitespace().collect();
    // NAME ARCHITECTURE VERSION only SIZE UNIT, broken into lines wherever they are too long.
    let rows = words.windows(4).filter(|row| row[3] == "only" && ["x86_64", "noarch", "i686"].contains(&row[1]));
    let chosen: BTreeSet<String> = rows.map(|row| row[..3].join(" ")).collect();
    (!chosen.is_empty()).then_some(chosen)
}

/// Epochs, tilde and caret, rich and weak dependencies, obsoleted packages, files, several versions and architectures.
fn items() -> Vec<Item> {
    let mut items: Vec<Item> = [
        ("web", "3-1", "Requires: httpd >= 2, (mta or mini), /usr/share/web\nRecommends: doc, (cache if doc)"),
        ("apache", "2-1", "Provides: httpd = 2\nConflicts: nginx"),
        ("nginx", "1:1-1", "Provides: httpd = 1:1"),
        ("mini", "1-1", "Requires: core"),
        ("exim", "4-1", "Provides: mta\nConflicts: postfix"),
        ("postfix", "3-1", "Provides: mta"),
        ("web-data", "1-1", "Other: /usr/share/web\nArch: noarch"),
        ("doc", "1-1", "Arch: noarch"),
        ("cache", "1-1", ""),
        ("plug", "1-1", "Supplements: (web and core)"),
        ("core", "1.0-1", ""),
        ("core", "1.0~rc2-1", ""),
        ("core", "1.0^git1-1", "Arch: i686"),
        ("core", "0.9-1", "Requires: absent"),
        ("tool", "2-1", "Requires: core < 1.0"),
        ("edge", "1-1", "Requires: (core >= 0.5 with core < 1.0)"),
        ("caret", "1.0^2-1", ""),
        ("caret", "1.0-9", ""),
        ("caret", "1.0~9-9", ""),
        ("new-name", "5-1", "Obsoletes: old-name < 5\nProvides: old-name = 5-1"),
        ("old-name", "4-1", ""),
        ("both", "1-1", "Requires: exim, postfix"),
        ("needy", "1-1", "Requires: core >= 9"),
        ("epoch", "9-1", ""),
        ("epoch", "1:1-1", "Files: /usr/bin/epoch"),
        ("by-file", "1-1", "Requires: /usr/bin/epoch, (plug unless doc)"),
    ]
    .map(|(name, version, fields)| Item::new(name, version, fields))
    .into();
    items.extend((0..12).map(|number| {
        let next = format!("Requires: ring{} = 1-1, core", (number + 1) % 12);
        Item::new(&format!("ring{number}"), "1-1", &next)
    }));
    items
}

#[test]
fn the_choice_is_dnfs_own() {
    let scene = Scene::new(items());
    let archive = scene.open().unwrap();
    let lists: &[&[&str]] = &[
        &["web"],
        &["web", "nginx"],
        &["exim", "web"],
        &["tool", "edge"],
        &["caret", "epoch", "new-name"],
        &["old-name"],
        &["old-name", "new-name"],
        &["mta"],
        &["httpd"],
        &["by-file", "doc"],
        &["ring3", "core"],
        &["both"],
        &["needy"],
    ];
    for (number, names) in lists.iter().enumerate() {
        let recommends = number % 2 == 0;
        let expected = ordinary(&scene, names, recommends);
        match ours(&archive, names, recommends) {
            Ok(found) => assert_eq!(Some(found), expected, "{names:?}"),
            Err(Error::Unsatisfiable { explanation, .. }) => assert_eq!(expected, None, "{names:?}: {explanation}"),
            Err(error) => panic!("{names:?}: {error}"),
        }
    }
}

#[test]
fn the_fixture_tells_choices_apart() {
    let scene = Scene::new(items());
    let archive = scene.open().unwrap();
    let choose = |names: &[&str], recommends| ours(&archive, names, recommends).unwrap();
    let web = choose(&["web"], false);
    assert!(web.contains("web-data noarch 1-1") && !web.contains("doc noarch 1-1"), "{web:?}");
    let more = choose(&["web"], true);
    assert!(["doc noarch 1-1", "cache x86_64 1-1"].iter().all(|name| more.contains(*name)), "{more:?}");
    let newest = choose(&["caret", "epoch"], false);
    assert_eq!(newest, ["caret x86_64 1.0^2-1", "epoch x86_64 1:1-1"].map(str::to_owned).into());
    assert_eq!(choose(&["tool"], false).len(), 2);
    assert_eq!(choose(&[], false), BTreeSet::new());
}

#[test]
fn modules_are_filtered_as_dnf_does_and_their_default_streams_count() {
    let stream = |stream: &str, version: &str| {
        format!(
            "---\ndocument: modulemd\nversion: 2\ndata:\n  name: server\n  stream: \"{stream}\"\n  version: 1\n  context: 00000000\n  \
             arch: x86_64\n  summary: s\n  description: d\n  license:\n    module: [MIT]\n  dependencies:\n  - requires:\n      \
             platform: [el9]\n  artifacts:\n    rpms:\n    - server-0:{version}.x86_64\n...\n"
        )
    };
    let default = "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: server\n  stream: \"1\"\n...\n";
    let packages = || {
        let platform = "Provides: system-release = 9, base-module(platform:el9)\nArch: noarch";
        let one = |version: &str| Item::new("server", version, "");
        vec![one("1-1.module"), one("2-1.module"), Item::new("almalinux-release", "9.6-1", platform)]
    };
    let mut scene = Scene::new(packages());
    scene.modules = Some(stream("1", "1-1.module") + &stream("2", "2-1.module") + default);
    scene.publish(".gz");
    let found = ours(&scene.open().unwrap(), &["server"], false).unwrap();
    assert_eq!(found, BTreeSet::from(["server x86_64 1-1.module".to_owned()]));
    scene.modules = Some(stream("1", "1-1.module") + &stream("2", "2-1.module"));
    scene.publish(".gz");
    let error = ours(&scene.open().unwrap(), &["server"], false).unwrap_err().to_string();
    assert!(error.contains("filtered out by modular filtering"), "{error}");
}

#[test]
fn what_can_not_be_installed_is_explained_in_dnfs_words() {
    let scene = Scene::new(items());
    let archive = scene.open().unwrap();
    let error = ours(&archive, &["needy"], false).unwrap_err().to_string();
    let told = "choosing packages: dnf finds no way to install them together\n  Problem: conflicting requests\n    - nothing \
                provides core >= 9 needed by needy-1-1.x86_64";
    assert_eq!(error, told);
}

#[test]
fn a_reason_is_told_once_and_very_many_are_cut() {
    let told = explain("\n Problem 1: x\n  - conflicting requests\n  - a\n Problem 2: y\n  - a\n  - b\n");
    assert_eq!(told, "  Problem 1: x\n    - a\n  Problem 2: y\n    - b");
    let many: String = (0..50).map(|number| format!(" - {number}\n")).collect();
    assert!(explain(&many).ends_with("    - 39\n  and 10 lines more"));
}

#[test]
fn names_that_are_none_never_reach_dnf() {
    let scene = Scene::new(items());
    let archive = scene.open().unwrap();
    for name in ["--best", "we*", "@core", "web-3", "we b", "", "wep", "/usr/bin/epoch"] {
        let packages = [name.to_owned()];
        let wanted = Wanted { packages: &packages, recommends: false, essential: true };
        let error = solve_with(&archive, &wanted, "/x", "/y", |_| panic!("dnf is asked")).unwrap_err();
        assert!(matches!(error, Error::UnknownPackage { .. }), "{name}: {error}");
    }
}

#[test]
fn an_answer_that_the_indices_do_not_have_is_refused() {
    let scene = Scene::new(items());
    let archive = scene.open().unwrap();
    let packages = ["doc".to_owned()];
    let wanted = Wanted { packages: &packages, recommends: false, essential: true };
    let doc = archive.newest("doc").unwrap().sha256;
    let answer = format!(
        "{{\"packages\":[{{\"repository\":\"BaseOS-os\",\"name\":\"doc\",\"version\":\"1-1\",\"architecture\":\"noarch\",\"sha256\":\"{doc}\"}}]}}"
    );
    let answered = |text: String| solve_with(&archive, &wanted, "/x", "/y", |_| Ok(text.into_bytes()));
    assert_eq!(answered(answer.clone()).unwrap().packages.len(), 1);
    for (from, to) in
        [("\"1-1\"", "\"2-1\""), ("noarch", "x86_64"), ("BaseOS-os", "BaseOS"), (&doc[..8], "00000000"), ("{\"p", "x")]
    {
        let error = answered(answer.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(error, Error::Unmapped { .. }), "{to}: {error}");
    }
}
