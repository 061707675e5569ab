use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn error(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let values = json!({"name": "hello", "vars": {"port": "443"}});
    let text = Overlay::load(folder.path(), &values).unwrap_err().to_string();
    text.replace(folder.path().to_str().unwrap(), "")
}

#[test]
fn templates_are_filled_in_and_lose_their_ending() {
    let folder = folder(&[
        (
            "etc/a.conf.hbs",
            "{{#if vars.port}}{{/if}}{{#unless name}}-{{/unless}}name={{name}} port={{vars.port}} <&>\n",
        ),
        ("etc/b", "{{name}}"),
    ]);
    let overlay = Overlay::load(folder.path(), &json!({"name": "a<b", "vars": {"port": "443"}})).unwrap();
    let root = tempfile::tempdir().unwrap();
    overlay.lay(&Tree::open(root.path()).unwrap(), 1_700_000_000).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("etc/a.conf")).unwrap(), "name=a<b port=443 <&>\n");
    assert_eq!(fs::read_to_string(root.path().join("etc/b")).unwrap(), "{{name}}");
    assert!(!root.path().join("etc/a.conf.hbs").exists());
    assert_eq!(fs::metadata(root.path().join("etc/b")).unwrap().mtime(), 1_700_000_000);
}

#[test]
fn an_undefined_variable_is_told_with_its_line() {
    let told = error(&[("etc/x.hbs", "first\nsecond {{vars.prot}}\n")]);
    assert!(told.starts_with("/etc/x.hbs:2:"), "{told}");
    assert!(told.contains("`vars.prot` is not defined"), "{told}");
    for text in [
        "{{#if vars.prot}}x{{/if}}",
        "{{#unless prot}}x{{/unless}}",
        "{{#each vars.prot}}x{{/each}}",
        "{{#if (eq prot 1)}}x{{/if}}",
    ] {
        let told = error(&[("etc/x.hbs", text)]);
        assert!(told.starts_with("/etc/x.hbs:1:"), "{told}");
    }
    assert!(error(&[("etc/x.hbs", "a\n{{#if name}}\n")]).contains("/etc/x.hbs:"), "a block without an end");
}

#[test]
fn mistakes_in_the_declarations_are_told_with_their_line() {
    let cases = [
        ("\n[paths.\"etc/b\"]\nmode = \"0600\"\n", ":2:", "the overlay has no `etc/b`"),
        ("[paths.\"etc/a\"]\nmode = \"0x600\"\n", ":2:", "`0x600` is not a mode"),
        ("[paths.\"etc/a\"]\nmod = \"0600\"\n", ":2:", "unknown field `mod`"),
        ("[paths.\"etc/../a\"]\n", ":1:", "not a path below the root"),
        ("[paths.\"etc/a\"]\nfolder = true\n", ":1:", "a folder is made only where none is"),
        ("[files]\n", ":1:", "unknown field `files`"),
    ];
    for (text, line, reason) in cases {
        let told = error(&[("etc/a", "x"), ("overlay.toml", text)]);
        assert!(told.starts_with(&format!("/overlay.toml{line}")), "{told}");
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn modes_and_owners_are_as_declared() {
    let text = "[paths.\"etc/secret\"]\nmode = \"0640\"\ngroup = \"own\"\n[paths.\"var/made\"]\nfolder = true\nmode = \"0700\"\n";
    let overlay_folder = folder(&[("etc/secret", "x"), ("etc/run", "#!/bin/sh\n"), ("overlay.toml", text)]);
    fs::set_permissions(overlay_folder.path().join("etc/run"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/etc/secret", overlay_folder.path().join("link")).unwrap();
    let overlay = Overlay::load(overlay_folder.path(), &json!({})).unwrap();
    let root = tempfile::tempdir().unwrap();
    let tree = Tree::open(root.path()).unwrap();
    overlay.lay(&tree, 0).unwrap();
    let unknown = overlay.give(&tree, &Accounts::default()).unwrap_err().to_string();
    assert!(unknown.contains("overlay.toml:1:") && unknown.contains("no group `own`"), "{unknown}");
    let own = nix::unistd::getgid().as_raw();
    tree.write(Path::new("etc/group"), format!("root:x:0:\nown:x:{own}:\n").as_bytes(), 0o644, Owner::ROOT).unwrap();
    overlay.give(&tree, &Accounts::load(&tree).unwrap()).unwrap();
    let mode = |name: &str| fs::symlink_metadata(root.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("etc/secret"), mode("etc/run"), mode("etc"), mode("var/made")), (0o640, 0o755, 0o755, 0o700));
    assert_eq!(fs::read_link(root.path().join("link")).unwrap(), Path::new("/etc/secret"));
    assert!(!root.path().join("overlay.toml").exists());
}

#[test]
fn a_link_of_the_tree_is_kept_as_a_folder_and_never_left() {
    let outside = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("usr/lib")).unwrap();
    symlink("usr/lib", root.path().join("lib")).unwrap();
    symlink(outside.path(), root.path().join("trap")).unwrap();
    let tree = Tree::open(root.path()).unwrap();
    let good = folder(&[("lib/a", "x")]);
    Overlay::load(good.path(), &json!({})).unwrap().lay(&tree, 0).unwrap();
    assert!(root.path().join("usr/lib/a").exists() && root.path().join("lib").is_symlink());
    let bad = folder(&[("trap/a", "x")]);
    Overlay::load(bad.path(), &json!({})).unwrap().lay(&tree, 0).unwrap_err();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn the_digest_follows_content_mode_and_owner() {
    let digest = |files: &[(&str, &str)]| Overlay::load(folder(files).path(), &json!({})).unwrap().digest();
    let plain = digest(&[("etc/a", "x")]);
    assert_eq!(plain, digest(&[("etc/a", "x")]));
    assert_ne!(plain, digest(&[("etc/a", "y")]));
    assert_ne!(plain, digest(&[("etc/a", "x"), ("overlay.toml", "[paths.\"etc/a\"]\nmode = \"0600\"\n")]));
    assert_ne!(plain, digest(&[("etc/a", "x"), ("overlay.toml", "[paths.\"etc/a\"]\nowner = \"daemon\"\n")]));
}
