use std::process::Command;

use super::*;

/// Runs the host's own apt-get on the state, instead of the base's.
pub(crate) fn on_host(folder: &Path, state: &State, arguments: &[&str]) -> Result<String> {
    for (name, path) in &state.files {
        let link = folder.join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(path, link).unwrap();
    }
    let output = Command::new("apt-get")
        .args(arguments)
        .env("APT_CONFIG", folder.join("apt.conf"))
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(format!("{text}{STATUS}{}\n", output.status.code().unwrap()))
}
pub(crate) fn solve_on_host(archive: &Archive, wanted: &Wanted) -> Result<Solution> {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().to_str().unwrap().to_owned();
    solve_with(archive, wanted, &inside, |state, arguments| on_host(folder.path(), state, arguments))
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
