//! The distribution as a base of the product: served by HTTP, and the shipped base with the servers' names and keys replaced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use firstlight::archive::Keyring;
use jiff::Timestamp;

use super::RpmDistribution;
use crate::image;
use crate::mirror::Mirror;

/// The file of the shipped base, in `recipes/bases/` and where it is written to.
const BASE: &str = "almalinux-9.toml";

/// Real servers, in the words of the shipped base; below each lies what lies below the test's own.
const SERVERS: [&str; 4] = [
    "https://repo.almalinux.org",
    "https://dl.fedoraproject.org/pub",
    "https://download.docker.com",
    "https://rpm.rancher.io",
];

/// Files of certificates in the shipped base, and whose packages they are for.
const KEYRINGS: [(&str, &str); 3] =
    [("keys/almalinux-9.asc", "AlmaLinux"), ("keys/epel-9.asc", "EPEL"), ("keys/docker-rpm.asc", "Docker")];

/// The file of the certificate that is fetched, below the test's server.
const RANCHERS: &str = "RPM-GPG-KEY-Rancher-9";
/// Where Rancher has its own, and its fingerprint.
const PUBLISHED: [&str; 2] = ["rpm.rancher.io/public.key", "C8CFF216455126E9B9C918BE925EA29AE257814A"];

impl RpmDistribution {
    /// Serves it on the loopback address.
    ///
    /// # Errors
    /// No port can be had.
    pub fn serve(&self) -> Result<Mirror> {
        Ok(Mirror::serve(self.folder())?)
    }

    /// Writes the shipped base, with `mirror` in place of its servers and the test's certificates in place of its own, into
    /// the folder `into`, and gives its path. Debian's kernel has to be told to use SELinux.
    ///
    /// # Errors
    /// The shipped base does not name what is replaced.
    pub fn write_base(&self, mirror: &Mirror, into: &Path) -> Result<PathBuf> {
        let shipped = image::repository().join("recipes/bases").join(BASE);
        let text = fs::read_to_string(&shipped).with_context(|| format!("reading {}", shipped.display()))?;
        let mut text: String =
            text.lines().filter(|line| !line.starts_with("mirrorlist")).map(|line| format!("{line}\n")).collect();
        fs::create_dir_all(into)?;
        let mut replace = |from: &str, to: &str| {
            ensure!(text.contains(from), "{}: no `{from}`", shipped.display());
            text = text.replace(from, to);
            Ok(())
        };
        replace("https://vault.almalinux.org", &format!("{}/vault", mirror.url()))?;
        replace(PUBLISHED[0], &format!("rpm.rancher.io/{RANCHERS}"))?;
        replace(PUBLISHED[1], &self.ranchers_fingerprint()?)?;
        for server in SERVERS {
            replace(server, &mirror.url())?;
        }
        for (file, vendor) in KEYRINGS {
            let to = format!("{vendor}.asc");
            fs::copy(self.key(vendor), into.join(&to))?;
            replace(file, &to)?;
        }
        // EPEL's snapd is not among its packages.
        replace("microk8s = [\"snapd\"]\n", "")?;
        replace("# Classic snaps look for each other below /snap.\nmicrok8s = [\"snap-link\"]\n", "")?;
        replace("family = \"rpm\"\n", "family = \"rpm\"\nkernel_parameters = [\"security=selinux\"]\n")?;
        let path = into.join(BASE);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn ranchers_fingerprint(&self) -> Result<String> {
        let keyring = Keyring::parse(&fs::read_to_string(self.key("Rancher"))?)?;
        let one = keyring.certificates(Timestamp::now()).into_iter().next();
        Ok(one.context("no certificate")?.fingerprint)
    }
}
