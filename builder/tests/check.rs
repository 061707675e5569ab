//! `firstlight check` as a script sees it: what it prints, where, and its exit status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a recipe and an overlay of its own; all else is the repository's.
struct Folder(tempfile::TempDir);

const RECIPE: &str = r#"
name = "own"
version = "1"
bases = ["debian-13"]
overlays = ["own"]
platform = { kind = "docker" }
vars = { greeting = "hello" }
"#;

impl Folder {
    fn new(recipe: &str, template: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path("overlays/own/etc")).unwrap();
        fs::write(folder.path("own.toml"), recipe).unwrap();
        fs::write(folder.path("overlays/own/etc/motd.hbs"), template).unwrap();
        folder
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn check(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&self.path("own.toml"), arguments)
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn run(recipe: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    command.arg("check").arg(recipe).args(arguments).env("FIRSTLIGHT_SHARE", repository());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn every_recipe_of_the_repository_is_valid() {
    let mut count = 0;
    for entry in fs::read_dir(repository().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let (status, _, told) = run(&path, &[]);
            assert_eq!((status, told.as_str()), (0, ""), "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn a_valid_recipe_is_told_on_standard_output() {
    let folder = Folder::new(RECIPE, "{{vars.greeting}} from {{name}} {{version}} on {{base}}{{title}}\n");
    let (status, printed, told) = folder.check(&[]);
    let path = folder.path("own.toml");
    assert_eq!((status, told.as_str()), (0, ""));
    assert_eq!(printed, format!("{}: valid for `debian-13`\n", path.display()));
}

#[test]
fn a_template_that_names_an_unknown_variable_is_told_at_its_line() {
    let folder = Folder::new(RECIPE, "Welcome\n{{vars.greting}}\n");
    let (status, printed, told) = folder.check(&[]);
    assert_eq!((status, printed.as_str()), (1, ""));
    let place = format!("error: {}:2:", folder.path("overlays/own/etc/motd.hbs").display());
    assert!(told.starts_with(&place) && told.contains("2 | {{vars.greting}}\n"), "{told}");
}

#[test]
fn mistakes_are_data_where_json_is_asked_for() {
    let folder = Folder::new(&RECIPE.replace("\"1\"", "1"), "");
    let (status, printed, told) = folder.check(&["--json"]);
    assert_eq!((status, told.as_str()), (1, ""));
    let outcome: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(outcome["valid"], false);
    assert_eq!((&outcome["errors"][0]["line"], &outcome["errors"][0]["column"]), (&3.into(), &11.into()));
    let folder = Folder::new(RECIPE, "");
    let (status, printed, _) = folder.check(&["--json", "--base", "debian-13"]);
    let outcome: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((status, &outcome["valid"], &outcome["bases"][0]), (0, &true.into(), &"debian-13".into()));
}

#[test]
fn the_users_mistakes_are_status_1() {
    let folder = Folder::new(RECIPE, "");
    assert_eq!(folder.check(&["--base", "debian-1"]).0, 1);
    assert_eq!(folder.check(&["--bsae", "debian-13"]).0, 1);
    let (status, _, told) = run(&folder.path("absent.toml"), &[]);
    assert_eq!(status, 1);
    assert!(
        told.starts_with("error: reading ") && told.ends_with("No such file or directory (os error 2)\n"),
        "{told}"
    );
}
