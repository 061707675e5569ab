//! The way out for dnf, which reads one file alone: `dnf.conf` (5) of dnf 4 knows no folder of further ones, and the variables of a
//! login shell do not pass sudo. So a few lines are kept in it, and all others are left as they are.
//!
//! dnf has one proxy for all addresses, and no exceptions of its own; it heeds those of the variable `no_proxy`, where it is set.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Error, file_error, text};
use crate::facts::Machine;
use crate::files;
use crate::site::{Proxy, Secret};

const FILE: &str = "/etc/dnf/dnf.conf";
const MAIN: &str = "[main]";
const FIRST: &str = "# From site.toml; written at every boot, up to the end of these lines.";
const LAST: &str = "# The end of what site.toml says.";
/// Its mode as its package has it, and where a login stands in our lines.
const MODES: [u32; 2] = [0o644, 0o600];

/// Puts `proxy` into dnf's file, or takes an earlier one out of it. With a login in it, the file is root's alone; else its mode is
/// left as it was before such a one came.
pub(super) fn apply(machine: &Machine, proxy: Option<&Proxy>) -> Result<(), Error> {
    if !machine.path(FILE).is_file() {
        return Ok(());
    }
    let old = text(machine, FILE)?;
    let (ours, others) = taken_apart(&old);
    // Most addresses of repositories are https.
    let url = proxy.and_then(|proxy| proxy.https.as_ref().or(proxy.http.as_ref())).map(Secret::expose);
    let new = put_together(others, url);
    let found = fs::metadata(machine.path(FILE)).map_err(file_error(FILE))?.permissions().mode() & 0o7777;
    let login = |text: &str| text.contains('@');
    let mode = match (url.is_some_and(login), ours.iter().any(|line| login(line))) {
        (true, _) => MODES[1],
        (false, true) => MODES[0],
        (false, false) => found,
    };
    if old == new && found == mode {
        return Ok(());
    }
    files::replace(&machine.path(FILE), new.as_bytes(), mode).map_err(file_error(FILE))
}

/// The lines of a file that an earlier [`apply`] wrote, and all others.
fn taken_apart(text: &str) -> (Vec<&str>, Vec<&str>) {
    let mut inside = false;
    text.lines().partition(|line| {
        let ours = inside || *line == FIRST;
        inside = ours && *line != LAST;
        ours
    })
}

/// The file of these lines, with ours behind the head of its main section.
fn put_together(others: Vec<&str>, url: Option<&str>) -> String {
    let proxy = url.map(|url| format!("proxy={url}"));
    let mut lines = others;
    if let Some(proxy) = &proxy {
        let at = lines.iter().position(|line| line.trim() == MAIN).unwrap_or_else(|| {
            lines.insert(0, MAIN);
            0
        });
        lines.splice(at + 1..at + 1, [FIRST, proxy, LAST]);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;

    /// As AlmaLinux 9 has it.
    const SHIPPED: &str = "[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\n";

    fn proxy(text: &str) -> Option<Proxy> {
        let site = crate::site::parse(std::path::Path::new("s"), format!("[proxy]\n{text}\n").as_bytes());
        site.unwrap_or_else(|error| panic!("{error}")).proxy
    }

    #[test]
    fn dnf_is_told_of_the_proxy_and_the_rest_of_its_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let mode = || fs::metadata(machine.path(FILE)).unwrap().permissions().mode() & 0o7777;
        apply(&machine, proxy("http = \"http://proxy\"").as_ref()).unwrap();
        assert!(!machine.path(FILE).exists(), "where there is no dnf, there is no file of it");
        fs::create_dir_all(machine.path("/etc/dnf")).unwrap();
        fs::write(machine.path(FILE), SHIPPED).unwrap();
        for (text, url) in [
            ("http = \"http://one:1\"", "http://one:1"),
            ("http = \"http://one:1\"\nhttps = \"http://two:2\"", "http://two:2"),
        ] {
            for _ in 0..2 {
                apply(&machine, proxy(text).as_ref()).unwrap();
                let expected = SHIPPED.replace("[main]\n", &format!("[main]\n{FIRST}\nproxy={url}\n{LAST}\n"));
                assert_eq!((fs::read_to_string(machine.path(FILE)).unwrap(), mode()), (expected, 0o644));
            }
        }
        apply(&machine, proxy("https = \"http://u:canary@two:2\"").as_ref()).unwrap();
        assert!(fs::read_to_string(machine.path(FILE)).unwrap().contains("\nproxy=http://u:canary@two:2\n"));
        assert_eq!(mode(), 0o600, "a login is root's alone");
        apply(&machine, Site::default().proxy.as_ref()).unwrap();
        assert_eq!((fs::read_to_string(machine.path(FILE)).unwrap().as_str(), mode()), (SHIPPED, 0o644));
        // What an admin hides there stays hidden.
        fs::set_permissions(machine.path(FILE), fs::Permissions::from_mode(0o600)).unwrap();
        apply(&machine, proxy("http = \"http://one:1\"").as_ref()).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_file_without_its_section_gets_it_and_an_admins_lines_stay() {
        let with = put_together(vec!["[extra]", "baseurl=http://x"], Some("http://p"));
        assert_eq!(with, format!("[main]\n{FIRST}\nproxy=http://p\n{LAST}\n[extra]\nbaseurl=http://x\n"));
        let own = ["# mine", "[main]", "proxy=http://mine", "[extra]"];
        let with = put_together(own.to_vec(), Some("http://p"));
        let (ours, others) = taken_apart(&with);
        assert_eq!((ours, others), (vec![FIRST, "proxy=http://p", LAST], own.to_vec()));
    }
}
