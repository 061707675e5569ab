//! microk8s: the revision of its snap.

use crate::check::Finding;
use crate::facts::Machine;

/// What snapd links to the revision in use.
const CURRENT: &str = "/snap/microk8s/current";

/// Whether the snap in use is of the revision `wanted`.
pub(super) fn revision(machine: &Machine, wanted: u64) -> Finding {
    let required = format!("revision {wanted}");
    let logs = "snap changes; journalctl -b -u snapd";
    match std::fs::read_link(machine.path(CURRENT)) {
        Ok(found) if found.as_os_str() == wanted.to_string().as_str() => {
            Finding::pass(format!("revision {wanted}"), required)
        }
        Ok(found) => {
            let remedy = format!("the snap was refreshed since the image was made: sudo snap revert microk8s; {logs}");
            Finding::fail(format!("revision {}", found.display()), required, remedy)
        }
        Err(error) => Finding::fail(format!("microk8s is not installed: {CURRENT}: {error}"), required, logs),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::check::State;
    use crate::facts::recorded::Recorded;

    #[test]
    fn the_snap_in_use_must_be_the_one_that_was_locked() {
        let recorded = Recorded::new();
        let judge = || {
            let finding = revision(&recorded.machine(), 7);
            (finding.state, finding.observed)
        };
        assert_eq!(judge().0, State::Fail, "not there");
        let folder = recorded.machine().path("/snap/microk8s");
        std::fs::create_dir_all(&folder).unwrap();
        symlink("7", folder.join("current")).unwrap();
        assert_eq!(judge(), (State::Pass, "revision 7".to_owned()));
        std::fs::remove_file(folder.join("current")).unwrap();
        symlink("8", folder.join("current")).unwrap();
        assert_eq!(judge(), (State::Fail, "revision 8".to_owned()));
    }
}
