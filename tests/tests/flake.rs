//! Every output of the project's flake, evaluated without a network against a small stand-in for nixpkgs
//! (`tests/flake/nixpkgs`) by the `nix` of Debian's `nix-bin`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What the flake gives, each by system; a derivation stands at every leaf.
const OUTPUTS: [&str; 5] = ["checks", "devShells", "formatter", "images", "packages"];

/// A copy of the files that a flake sees, with a Nix store of its own beside it.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let checkout = Self(tempfile::tempdir().unwrap());
        let files = ["flake.nix", "flake.lock", "Cargo.toml", "Cargo.lock", "rustfmt.toml"];
        let folders = ["builder", "firmware-checks", "overlays", "recipes", "tests/flake"];
        for name in files.into_iter().chain(folders) {
            let target = checkout.source().join(name);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            let copied = Command::new("cp").arg("-a").arg(repository.join(name)).arg(&target).status().unwrap();
            assert!(copied.success(), "copying {name}");
        }
        checkout
    }

    fn source(&self) -> PathBuf {
        self.0.path().join("source")
    }

    /// What `nix` prints, or what it writes to standard error where it fails.
    fn nix(&self, arguments: &[&str]) -> Result<String, String> {
        let features = "nix-command flakes impure-derivations ca-derivations";
        let mut command = Command::new("nix");
        command.args(["--extra-experimental-features", features, "--offline"]).args(arguments);
        command.env("HOME", self.0.path().join("home")).env_remove("NIX_PATH").env_remove("NIX_REMOTE");
        for (name, folder) in [("STORE", "store"), ("STATE", "var"), ("LOG", "log"), ("CONF", "etc")] {
            command.env(format!("NIX_{name}_DIR"), self.0.path().join("nix").join(folder));
        }
        let output = command.output().expect("running nix: install Debian's nix-bin, as ./make.sh test does");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn flake(&self, before: &[&str], attribute: &str, after: &[&str]) -> Result<String, String> {
        let source = self.source();
        let flake = format!("path:{}{attribute}", source.display());
        let stand_in = format!("path:{}/tests/flake/nixpkgs", source.display());
        let input = ["--no-write-lock-file", "--override-input", "nixpkgs", &stand_in, &flake];
        self.nix(&[before, &input, after].concat())
    }

    /// The derivation of each leaf of `output`, by system and name.
    fn derivations(&self, output: &str) -> Result<Value, String> {
        let apply = "let walk = value: if value ? drvPath then value.drvPath \
                     else builtins.mapAttrs (name: walk) value; in walk";
        let json = self.flake(&["eval", "--json"], &format!("#{output}"), &["--apply", apply])?;
        Ok(serde_json::from_str(&json).unwrap())
    }
}

/// The names below the one system, each of which is a derivation.
fn names(derivations: &Value) -> Vec<&str> {
    let all = derivations["x86_64-linux"].as_object().unwrap();
    assert!(all.values().all(|path| path.as_str().is_some_and(|path| path.ends_with(".drv"))), "{all:?}");
    all.keys().map(String::as_str).collect()
}

#[test]
fn every_output_evaluates() {
    let checkout = Checkout::new();
    let given = format!(
        "builtins.attrNames ((import {0}/flake.nix).outputs {{ self = {{ }}; \
         nixpkgs = (import {0}/tests/flake/nixpkgs/flake.nix).outputs {{ self = {{ }}; }}; }})",
        checkout.source().display()
    );
    let given = checkout.nix(&["eval", "--impure", "--json", "--expr", &given]).unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&given).unwrap(), OUTPUTS, "a new output is to be tested here");
    for output in OUTPUTS {
        let found = checkout.derivations(output).unwrap_or_else(|error| panic!("{output}: {error}"));
        match output {
            "formatter" => assert!(found["x86_64-linux"].as_str().is_some_and(|path| path.ends_with(".drv"))),
            "packages" => assert_eq!(names(&found), ["default", "firmware-checks", "firstlight"]),
            "checks" => assert_eq!(names(&found), ["format", "package", "recipes"]),
            "images" => {
                assert!(names(&found).contains(&"hello-debian-13"), "{found}");
                assert!(!names(&found).iter().any(|name| name.ends_with("-arm64")), "{found}");
            }
            _ => assert!(!names(&found).is_empty()),
        }
    }
    checkout.flake(&["flake", "check", "--no-build"], "", &[]).unwrap();
}

#[test]
fn a_name_that_nixpkgs_does_not_have_is_noticed() {
    let checkout = Checkout::new();
    let path = checkout.source().join("flake.nix");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("          clippy\n").count(), 1);
    fs::write(&path, text.replace("          clippy\n", "          clipy\n")).unwrap();
    let error = checkout.derivations("devShells").unwrap_err();
    assert!(error.contains("clipy"), "{error}");
}
