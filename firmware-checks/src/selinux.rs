//! SELinux labels of new files. One that is made has its folder's label, or one by the policy's rules of transition; which label the policy
//! wants for its path is the distribution's own program to say.

use std::path::Path;
use std::time::Duration;

use crate::command;

/// There where SELinux is on.
const ENFORCE: &str = "/sys/fs/selinux/enforce";
/// Ample for some hundred files.
const LIMIT: Duration = Duration::from_secs(60);

/// Gives what lies at `paths`, folders with all that they hold, the labels that the policy wants there. What is not there is passed over;
/// where SELinux is off, all is.
///
/// # Errors
/// restorecon (8) can't be run, or failed.
pub fn restore(paths: &[&str]) -> Result<(), command::Error> {
    if !Path::new(ENFORCE).exists() {
        return Ok(());
    }
    command::run("restorecon", &[&["-i", "-R"], paths].concat(), LIMIT).map(drop)
}
