//! Makes a site folder with a private CA, for trying an appliance out: `make-site DIR`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use end_to_end::site::{HOSTNAME, PASSWORD, TestSite};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: make-site DIR")?);
    let site = TestSite::make(&folder).with_context(|| format!("making a site in {}", folder.display()))?;
    eprintln!("{}: a site for {HOSTNAME} whose certificate is by the private CA in ca.crt.", folder.display());
    eprintln!("Log in as admin: ssh -i {} (or on the console: {PASSWORD})", site.ssh_key.display());
    Ok(())
}
