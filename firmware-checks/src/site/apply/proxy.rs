//! The way out, for those who ask for things outside: the platform's services, apt, and login shells.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Error, remove, write_as};
use crate::facts::Machine;
use crate::site::{Proxy, Site};

/// For systemd's `EnvironmentFile=`; root's alone, since a login may stand in it.
pub const ENVIRONMENT: &str = "/run/firstlight/proxy.env";
const APT: &str = "/etc/apt/apt.conf.d/90-firstlight-proxy";
const SHELLS: &str = "/etc/profile.d/firstlight-proxy.sh";

pub(super) fn apply(machine: &Machine, site: &Site) -> Result<(), Error> {
    let Some(proxy) = &site.proxy else {
        return [ENVIRONMENT, APT, SHELLS].into_iter().try_for_each(|path| remove(machine, path));
    };
    let variables = variables(proxy);
    let lines = |start: &str, quote: char| -> String {
        variables.iter().map(|(name, value)| format!("{start}{name}={quote}{value}{quote}\n")).collect()
    };
    replace(machine, ENVIRONMENT, &lines("", '"'), 0o600)?;
    // Who reads these two is anybody; where a login stands in the address, root alone has a way out.
    let mode = if proxy.has_login() { 0o600 } else { 0o644 };
    replace(machine, SHELLS, &format!("# From site.toml; written at every boot.\n{}", lines("export ", '\'')), mode)?;
    if machine.path("/etc/apt/apt.conf.d").is_dir() {
        let of = |kind: &str, secret: &Option<crate::site::Secret>| {
            secret.as_ref().map(|url| format!("Acquire::{kind}::Proxy \"{}\";\n", url.expose())).unwrap_or_default()
        };
        let text = format!(
            "// From site.toml; written at every boot.\n{}{}",
            of("http", &proxy.http),
            of("https", &proxy.https)
        );
        replace(machine, APT, &text, mode)?;
    }
    Ok(())
}

/// Both spellings: curl heeds `http_proxy` in lower case alone, Go's programs the first that is there.
fn variables(proxy: &Proxy) -> Vec<(String, String)> {
    let of = |name: &str, secret: &Option<crate::site::Secret>| {
        secret.as_ref().map(|url| (name.to_owned(), url.expose().to_owned()))
    };
    let upper = [
        of("HTTP_PROXY", &proxy.http),
        of("HTTPS_PROXY", &proxy.https),
        Some(("NO_PROXY".to_owned(), proxy.exceptions())),
    ];
    let upper = upper.into_iter().flatten();
    upper.flat_map(|(name, value)| [(name.to_lowercase(), value.clone()), (name, value)]).collect()
}

/// As [`write_as`], and with the right mode where the content is the same.
fn replace(machine: &Machine, path: &str, content: &str, mode: u32) -> Result<(), Error> {
    let right = fs::metadata(machine.path(path)).is_ok_and(|found| found.permissions().mode() & 0o7777 == mode);
    if !right {
        remove(machine, path)?;
    }
    write_as(machine, path, content, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(proxy: &str) -> Site {
        let text = format!("[proxy]\nhttps = \"{proxy}\"\nno_proxy = [\".a.example\"]\n");
        crate::site::parse(std::path::Path::new("s"), text.as_bytes()).unwrap()
    }

    fn mode(machine: &Machine, path: &str) -> u32 {
        fs::metadata(machine.path(path)).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_proxy_comes_and_goes_and_a_login_is_roots_alone() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        fs::create_dir_all(machine.path("/etc/apt/apt.conf.d")).unwrap();
        apply(&machine, &site("http://proxy:3128")).unwrap();
        let environment = machine.read(ENVIRONMENT).unwrap();
        assert!(environment.contains("HTTPS_PROXY=\"http://proxy:3128\"\n"), "{environment}");
        assert!(environment.contains("no_proxy=\"localhost,127.0.0.0/8,::1,.a.example\""), "{environment}");
        assert!(!environment.contains("HTTP_PROXY="), "{environment}");
        assert!(machine.read(APT).unwrap().ends_with("Acquire::https::Proxy \"http://proxy:3128\";"));
        assert_eq!([mode(&machine, ENVIRONMENT), mode(&machine, APT), mode(&machine, SHELLS)], [0o600, 0o644, 0o644]);
        apply(&machine, &site("http://u:canary@proxy:3128")).unwrap();
        assert!(machine.read(SHELLS).unwrap().contains("export https_proxy='http://u:canary@proxy:3128'"));
        assert_eq!([mode(&machine, ENVIRONMENT), mode(&machine, APT), mode(&machine, SHELLS)], [0o600; 3]);
        apply(&machine, &Site::default()).unwrap();
        for path in [ENVIRONMENT, APT, SHELLS] {
            assert!(!machine.path(path).exists(), "{path}");
        }
    }
}
