//! Every kind of mistake in a recipe or base, and exactly what is told about it.

use std::fs;
use std::path::PathBuf;

use firmware_checks::document::listed;

use super::base::Source;
use super::share::Share;
use super::*;

const RECIPE: &str = include_str!("recipe.toml");
const BASE: &str = include_str!("base.toml");

/// A repository with a base, overlays and a valid recipe.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["overlays/base", "overlays/deb", "overlays/docker", "overlays/extra", "recipes/bases"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for folder in ["hello/compose", "hello/image", "hello/empty"] {
            fs::create_dir_all(dir.path().join("recipes").join(folder)).unwrap();
        }
        let fixture = Self(dir);
        fixture.write("recipes/hello/compose/compose.yaml", "services: {}\n");
        fixture.write("recipes/other.tar", "");
        fixture.write("recipes/bases/debian-13.asc", "");
        fixture.write("recipes/bases/debian-13.toml", BASE);
        fixture.write("recipes/hello.toml", RECIPE);
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn load(&self, base: Option<&str>) -> Result<Loaded, Error> {
        load(&self.path("recipes/hello.toml"), base)
    }

    /// What is told about the recipe, with the temporary folder's own path taken away.
    fn told(&self, base: Option<&str>) -> String {
        let error = self.load(base).expect_err("nothing was found wrong");
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// A mistake: which file, what stands there in place of what.
struct Mistake(File, &'static str, &'static str);

#[derive(Clone, Copy)]
enum File {
    Recipe,
    Base,
}

use File::{Base as B, Recipe as R};

const MISTAKES: &[Mistake] = &[
    // Words that nothing knows.
    Mistake(R, "version = \"1.0\"\n", "version = \"1.0\"\noverlay = []\n"),
    Mistake(R, "[requirements]\n", "[requirements]\ncolour = 1\n"),
    Mistake(R, "port = 22\n", "prot = 22\n"),
    Mistake(R, "protocol = \"tcp\"", "protocol = \"dicom\""),
    Mistake(R, "protocol = \"tcp\"", "protocol = \"tpc\""),
    Mistake(R, "kind = \"docker\"", "kind = \"dokcer\""),
    Mistake(B, "metal = [\"linux-image-amd64\"]", "metl = [\"linux-image-amd64\"]"),
    // What is missing.
    Mistake(R, "kind = \"docker\"\n", ""),
    Mistake(R, "[platform]\nkind = \"docker\"\ncompose = [\"hello/compose\"]\n", ""),
    Mistake(R, "version = \"1.0\"\n", ""),
    Mistake(R, "port = 443\n", ""),
    // Types.
    Mistake(R, "port = 22\n", "port = \"22\"\n"),
    Mistake(R, "[\"curl\"]", "[\"curl\", 7]"),
    Mistake(R, "[\"curl\"]", "\"curl\""),
    Mistake(R, "\"2 GB\"", "2"),
    Mistake(R, "kind = \"docker\"", "kind = 1"),
    // Values.
    Mistake(R, "port = 22\n", "port = 70000\n"),
    Mistake(R, "\"2 GB\"", "\"2 gigs\""),
    Mistake(R, "minimum = 2, recommended = 4", "minimum = 0"),
    Mistake(R, "recommended = 4", "recommended = 1"),
    Mistake(R, "minimum = \"1 GB\"", "minimum = \"1 GB\"\nrecommended = \"900 MB\"\nfree = \"2 GB\""),
    Mistake(R, "[requirements]\n", "[disk]\nroot = \"10 MB\"\nesp = \"1 MiB\"\n[requirements]\n"),
    Mistake(R, "\"local\"", "\"10.0.0.0/33\", \"lokal\", \"clinic.example\""),
    Mistake(R, "path = \"/srv\"", "path = \"srv\""),
    Mistake(R, "path = \"/srv\"", "path = \"/srv/../etc\""),
    Mistake(R, "path = \"/srv\"", "path = \"/var/lib\""),
    Mistake(R, "name = \"hello\"", "name = \"Hello App\""),
    Mistake(R, "version = \"1.0\"", "version = \"1/0\""),
    Mistake(R, "[\"curl\"]", "[\"Curl\"]"),
    Mistake(R, "[requirements]\n", "[vars]\n\"my-name\" = \"x\"\n[requirements]\n"),
    Mistake(B, "inode_size = 256", "inode_size = 200"),
    Mistake(B, "https://mirror.example/debian", "https://mirror.example/ubuntu"),
    Mistake(B, "https://mirror.example/debian", "ftp://mirror.example/debian"),
    Mistake(B, "suites = [\"trixie\", \"trixie-updates\"]", "suites = []"),
    Mistake(B, "components = [\"main\"]", "components = []"),
    Mistake(B, "family = \"deb\"", "family = \"rpm\""),
    Mistake(B, "\"/usr/lib/grub/i386-pc\"", "\"grub/i386-pc\""),
    Mistake(B, "[kernel]\nmetal = ", "[kernel]\ncloud = "),
    Mistake(B, "architecture = \"amd64\"", "architecture = \"arm64\"\ncpu_level = \"x86-64-v2\""),
    Mistake(B, "architecture = \"amd64\"", "architecture = \"amd64\"\ncpu_level = \"x86-64-2\""),
    Mistake(B, "architecture = \"amd64\"", "architecture = \"arm46\""),
    Mistake(B, "components = [\"main\"]", "components = [\"main\"]\nkeyring = \"debian-13.asc\""),
    Mistake(
        B,
        "components = [\"main\"]",
        "components = [\"main\"]\ninstalled_as = \"x\"\nkeyring = { from = \"x.asc\", fingerprint = \"\" }",
    ),
    Mistake(
        B,
        "components = [\"main\"]",
        "components = [\"main\"]\ninstalled_as = \"x\"\nkeyring = { from = \"https://a.example/key\", fingerprint = \"c8cff\" }",
    ),
    Mistake(
        B,
        "components = [\"main\"]",
        "components = [\"main\"]\ninstalled_as = \"x\"\nkeyring = { from = \"https://a.example/key\" }",
    ),
    Mistake(B, "components = [\"main\"]", "components = [\"main\"]\ninstalled_as = \"debian\""),
    Mistake(B, "components = [\"main\"]", "components = [\"main\"]\ninstalled_as = \"../x\""),
    // The same thing twice.
    Mistake(R, "port = 443", "port = 22"),
    Mistake(R, "name = \"ssh\"", "name = \"https\""),
    Mistake(R, "[\"curl\"]", "[\"curl\", \"curl\"]"),
    Mistake(R, "[\"debian-13\"]", "[\"debian-13\", \"debian-13\"]"),
    Mistake(R, "\"example/other:2\"", "\"firstlight/hello:1\""),
    Mistake(R, "[\"hello/compose\"]", "[\"hello/compose\", \"hello/compose\"]"),
    Mistake(
        R,
        "minimum = \"1 GB\"",
        "minimum = \"1 GB\"\n[[requirements.data]]\nname = \"b\"\npath = \"/srv\"\nminimum = \"1 GB\"",
    ),
    // Container images.
    Mistake(R, "packages = [\"nginx\"]\n", ""),
    Mistake(R, "archive = \"other.tar\"", "archive = \"other.tar\"\npackages = [\"nginx\"]"),
    Mistake(R, "archive = \"other.tar\"", "archive = \"other.tar\"\nfiles = \"hello/image\""),
    Mistake(R, "\"other.tar\"", "{ form = \"other.tar\" }"),
    Mistake(R, "\"other.tar\"", "{ from = \"other.tar\", sha256 = \"12\", checksums = \"sums\" }"),
    Mistake(R, "\"other.tar\"", "{ from = \"ftp://a.example/other.tar\", checksums = \"/sums\" }"),
    Mistake(R, "\"other.tar\"", "7"),
    Mistake(R, "entrypoint = [\"/usr/sbin/nginx\"]\n", ""),
    Mistake(R, "\"example/other:2\"", "\"example/Other\""),
    // Files that are not there, and bases that don't fit.
    Mistake(R, "[\"extra\"]", "[\"exrta\", \"docker\"]"),
    Mistake(R, "hello/compose", "hello/compos"),
    Mistake(R, "hello/compose", "hello/empty"),
    Mistake(R, "hello/compose", "other.tar"),
    Mistake(R, "other.tar", "othr.tar"),
    Mistake(R, "hello/image", "../image"),
    Mistake(R, "[\"debian-13\"]", "[\"debain-13\"]"),
    Mistake(B, "debian-13.asc", "debian-14.asc"),
    Mistake(B, "name = \"debian-13\"", "name = \"debian-12\""),
    Mistake(B, "[platforms]\ndocker = [\"docker.io\"]", "[platforms]\nk3s = [\"k3s\"]"),
    Mistake(R, "version = \"1.0\"", "version = \"1.0\"\ntarget = \"cloud\""),
    Mistake(B, "[boot]\n", "[overlays]\nbase = [\"extr\"]\nk3s = [\"extra\"]\n\n[boot]\n"),
    // TOML itself.
    Mistake(R, "name = \"hello\"\n", "name = \"hello\"\nname = \"hello\"\nx = = 3\n"),
    Mistake(R, "version = \"1.0\"", "version = \"1.0"),
    // Servers of others.
    Mistake(R, "https://registry.example/v2/", "registry.example"),
    Mistake(R, "https://registry.example/v2/", "oci://registry.example/v2/"),
    Mistake(R, "https://registry.example/v2/", "https://me:secret@registry.example/v2/"),
    Mistake(R, "[200, 401]", "[200, 99]"),
];

impl Mistake {
    /// The mistake made in the valid file, and what is told about it.
    fn told(&self) -> String {
        let Self(file, from, to) = self;
        let (path, text) = match file {
            R => ("recipes/hello.toml", RECIPE),
            B => ("recipes/bases/debian-13.toml", BASE),
        };
        assert_eq!(text.matches(from).count(), 1, "{from:?} stands once in {path}");
        let fixture = Fixture::new();
        fixture.write(path, &text.replace(from, to));
        // The repository in which the tests were built has bases, too.
        let all = Share::of(&fixture.path("recipes")).base_names();
        let told = fixture.told(None).replace(&listed(all.iter().map(String::as_str), "or"), "`debian-13`");
        format!("{from:?} -> {to:?}\n{told}\n\n")
    }
}

/// Compares with `told.txt`. After a change that is meant, put the words that the failure prints there, and read them.
#[test]
fn every_mistake_is_told_with_its_place_what_is_allowed_and_what_to_do() {
    let expected: Vec<&str> = include_str!("told.txt").split("---- ").skip(1).collect();
    for (index, mistake) in MISTAKES.iter().enumerate() {
        let told = mistake.told();
        let expected = expected.get(index).copied().unwrap_or_default();
        assert_eq!(told, expected, "\nthis is told:\n---- {told}\nand this was expected:\n---- {expected}");
    }
    assert_eq!(expected.len(), MISTAKES.len(), "told.txt has a text for each mistake");
}

#[test]
fn the_fixture_itself_is_valid() {
    let fixture = Fixture::new();
    let loaded = fixture.load(None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.stem(), "hello-1.0-debian-13-amd64");
    assert_eq!(loaded.projects(), [("hello".to_owned(), fixture.path("recipes/hello/compose"))]);
    assert_eq!(loaded.packages(), ["systemd", "openssh-server", "linux-image-amd64", "docker.io", "curl"]);
    let overlays: Vec<_> = loaded.overlays().into_iter().map(|(name, _)| name).collect();
    assert_eq!(overlays, ["base", "deb", "docker", "extra"]);
}

#[test]
fn what_a_base_adds_is_laid_after_what_it_adds_to() {
    let fixture = Fixture::new();
    for folder in ["overlays/one", "overlays/two"] {
        fs::create_dir_all(fixture.path(folder)).unwrap();
    }
    let added = "[overlays]\nbase = [\"one\"]\ndocker = [\"two\"]\n\n[boot]\n";
    fixture.write("recipes/bases/debian-13.toml", &BASE.replace("[boot]\n", added));
    let loaded = fixture.load(None).unwrap_or_else(|error| panic!("{error}"));
    let overlays: Vec<_> = loaded.overlays().into_iter().map(|(name, _)| name).collect();
    assert_eq!(overlays, ["base", "deb", "one", "docker", "two", "extra"]);
}

#[test]
fn sources_of_one_archive_are_told_apart_by_their_suite() {
    let source = |archive: &str, suite: &str| Source {
        archive: archive.to_owned(),
        suites: vec![suite.to_owned()],
        ..Source::default()
    };
    let mut base = Fixture::new().load(None).unwrap_or_else(|error| panic!("{error}")).base;
    base.sources = vec![source("ubuntu", "noble"), source("ubuntu", "noble-security"), source("extra", "noble")];
    assert_eq!(base.source_names(), ["ubuntu noble", "ubuntu noble-security", "extra"]);
}

#[test]
fn a_base_that_the_recipe_does_not_name_is_refused_with_the_nearest() {
    let told = Fixture::new().told(Some("debian-12"));
    let shown = "recipes/hello.toml:3:9: base `debian-12` is not among the recipe's\n  |\n3 | bases = [\"debian-13\"]\n  \
                 |         ^^^^^^^^^^^^^ supported: `debian-13`\n  = hint: did you mean `--base debian-13`?";
    assert_eq!(told, shown);
}

#[test]
fn mistakes_of_all_bases_are_told_at_once() {
    let fixture = Fixture::new();
    fixture.write("recipes/hello.toml", &RECIPE.replace("[\"debian-13\"]", "[\"debian-13\", \"debian-14\"]"));
    fixture.write("recipes/bases/debian-13.toml", &BASE.replace("inode_size = 256", "inode_size = 3"));
    fixture.write("recipes/bases/debian-14.toml", &BASE.replace("name = \"debian-13\"", "name = \"debian-14\"\nx = 1"));
    let Err(Error::Invalid(found)) = load_all(&fixture.path("recipes/hello.toml"), None) else { panic!("all is well") };
    let lines: Vec<_> = found.0.iter().map(|one| (one.file.file_stem().unwrap().to_str().unwrap(), one.line)).collect();
    assert_eq!(lines, [("debian-13", 30), ("debian-14", 2)]);
}

#[test]
fn a_file_that_is_not_utf_8_or_not_there_is_told() {
    let fixture = Fixture::new();
    fs::write(fixture.path("recipes/hello.toml"), b"name = \"h\xff\"\n").unwrap();
    assert!(fixture.told(None).starts_with("recipes/hello.toml:1:10: this is not UTF-8\n"), "{}", fixture.told(None));
    fs::remove_file(fixture.path("recipes/hello.toml")).unwrap();
    assert_eq!(fixture.told(None), "reading recipes/hello.toml");
}

#[test]
fn the_identity_changes_with_the_content_and_not_with_its_layout_or_its_snapshots() {
    let fixture = Fixture::new();
    fixture.write("recipes/hello/image/page", "hello");
    let identity = || fixture.load(None).unwrap_or_else(|error| panic!("{error}")).identity().unwrap();
    let first = identity();
    fixture.write("recipes/hello.toml", &format!("# A comment.\n{RECIPE}"));
    let snapshot = "snapshot = \"https://past.example/{time}/debian\"\nmirrors = ";
    fixture.write("recipes/bases/debian-13.toml", &BASE.replacen("mirrors = ", snapshot, 1));
    assert_eq!(identity(), first);
    let mut seen = vec![first];
    // They become the machine's own package sources.
    fixture.write("recipes/bases/debian-13.toml", &BASE.replace("mirror.example", "other.example"));
    seen.push(identity());
    fixture.write("recipes/hello.toml", &RECIPE.replace("\"2 GB\"", "\"3 GB\""));
    seen.push(identity());
    fixture.write("recipes/bases/debian-13.toml", &BASE.replace("\"systemd\"", "\"systemd\", \"nano\""));
    seen.push(identity());
    for path in ["recipes/hello/image/page", "recipes/hello/compose/compose.yaml", "recipes/other.tar"] {
        fixture.write(path, "changed");
        seen.push(identity());
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn a_vault_takes_the_version_of_a_package_that_every_lock_has() {
    let told = |family: &str, vault: &str| {
        let fixture = Fixture::new();
        let base = BASE.replace("family = \"deb\"", &format!("family = \"{family}\""));
        let base = base.replacen("mirrors = ", &format!("vault = \"{vault}\"\nmirrors = "), 1);
        fixture.write("recipes/bases/debian-13.toml", &base);
        fixture.told(None)
    };
    for (family, vault, words) in [
        ("deb", "https://vault.example/{systemd}", "packages in dpkg's format lie in no vault"),
        ("rpm", "https://vault.example/9.6", "is not the URL of a vault"),
        ("rpm", "vault.example/{systemd}", "is not the URL of a vault"),
        ("rpm", "https://vault.example/{example-release}", "`example-release`, whose version the vault takes"),
    ] {
        let told = told(family, vault);
        assert!(told.contains(words), "{told}");
    }
    assert!(!told("rpm", "https://vault.example/{systemd}").contains("vault"));
}

#[test]
fn what_a_later_stage_finds_is_told_at_the_recipes_line() {
    let fixture = Fixture::new();
    let loaded = fixture.load(None).unwrap_or_else(|error| panic!("{error}"));
    let at = |name: &str| loaded.names_package(name).map(|at| at.to_string());
    assert_eq!(at("curl").as_deref(), Some("packages[0]"));
    assert_eq!(at("nginx").as_deref(), Some("images[0].packages[0]"));
    assert_eq!(at("systemd"), None, "that one is the base's");
    let problem = firmware_checks::document::Problem::value(
        loaded.names_package("nginx").unwrap(),
        "there is no package `nginx`",
    );
    assert!(loaded.refuse(problem).to_string().contains("hello.toml:13:13: there is no package `nginx`\n"));
}
