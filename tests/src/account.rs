//! An ordinary user of this host, made for a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{image, judge};

/// Where `useradd` looks for free subordinate ids, beyond those of real users.
const IDS: &str = "2000000000-2000065535";

/// An account with subordinate ids and a home folder; gone when this value is.
#[derive(Debug)]
pub struct Account {
    /// Its name, and that of its group.
    pub name: &'static str,
    /// Its home folder.
    pub home: PathBuf,
}

impl Account {
    /// Makes it.
    ///
    /// # Errors
    /// This is not run by root, or the system's tools refuse.
    pub fn make(name: &'static str) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "only root can make the account that this test builds as");
        // In the system's folder for what is temporary: every folder above it must let the account pass.
        let account = Self { name, home: std::env::temp_dir().join(name) };
        // Of a run that was killed.
        account.remove();
        fs::create_dir(&account.home)?;
        let home = account.home.display().to_string();
        judge::run("useradd", &["--no-create-home", "--home-dir", &home, "--shell", "/bin/sh", name])?;
        // useradd may have given ids of its own choice; then these are more than enough.
        judge::run("usermod", &["--add-subuids", IDS, "--add-subgids", IDS, name])?;
        judge::run("chown", &[name, &home])?;
        Ok(account)
    }

    /// `program` as this user with all its groups, and with nothing of root's environment.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", self.name, "--regid", self.name, "--init-groups", "--reset-env", "--"]).arg(program);
        command.current_dir(&self.home);
        command
    }

    /// Copies what a build takes to where the account can read it: the programs, recipes and overlays. Gives the folder.
    ///
    /// # Errors
    /// Something can't be copied.
    pub fn lay_out(&self) -> Result<PathBuf> {
        let top = self.home.join("firstlight");
        image::lay_out(&top)?;
        judge::run("chown", &["-R", self.name, &top.display().to_string()])?;
        Ok(top)
    }

    fn remove(&self) {
        let _ = Command::new("userdel").arg(self.name).output();
        // userdel leaves a group that has other members.
        let _ = Command::new("groupdel").arg(self.name).output();
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.remove();
    }
}
