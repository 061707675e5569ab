//! Mending Docker after a power cut, where a compose project can't start any more.
//!
//! Docker's network store may know an endpoint, with its published port, of a container that its container store has
//! lost: a cut fell between the two. The engine then holds the port for nobody, and every start of the container fails
//! with "port is already allocated". Taking the project down removes the endpoint from the store, and an engine that is
//! started anew no longer holds the port.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::files;

/// Marks below this folder, one for each project that was mended since the machine started.
const MENDED: &str = "/run/firstlight";

/// Takes the project `name` down and starts the engine anew, which starts the project again: once in each boot, so that
/// a project that can't start for another reason does not disturb its neighbours for ever. Answers whether it was done.
///
/// # Errors
/// The mark can't be written, or a program can't be started.
pub fn mend(name: &str) -> io::Result<bool> {
    once(Path::new(MENDED), name, || {
        // What it can't take down, the engine's new start may mend all the same.
        Command::new("docker").args(["compose", "--project-name", name, "down"]).status()?;
        Command::new("systemctl").args(["--no-block", "restart", "docker.service"]).status()?;
        Ok(())
    })
}

fn once(folder: &Path, name: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
    let mark = folder.join(format!("mended-{name}"));
    if mark.exists() {
        return Ok(false);
    }
    files::replace(&mark, b"", 0o644)?;
    work().map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_mended_once_and_each_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut calls = 0;
        let mut mend = |name| {
            let count = || {
                calls += 1;
                Ok(())
            };
            once(folder.path(), name, count).unwrap()
        };
        assert_eq!([mend("a"), mend("a"), mend("b")], [true, false, true]);
        assert_eq!(calls, 2);
    }
}
