//! Whether anybody can log in.

use crate::admin::{self, Access, Enrolled};
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};

/// The only one of [`CHECKS`]. Where it warns, whoever shows a report says how to log in.
pub const LOGIN: &str = "admin.login";

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: LOGIN,
    title: "A way to log in",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "The account `admin` has a password for the console, or SSH keys, as /etc/shadow and its \
        authorized_keys say. Warns where there is neither: then the first one who logs in as admin at a console chooses \
        the password, once; nobody can do so over the network. Shows where and when that was done. Fails where it was \
        done before and is of no use any more.",
    applies: |_| true,
    run: login,
}];

fn login(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let failed =
        |error: std::io::Error| CouldNotRun::new(error.to_string(), "run it as root: sudo firmware-checks run");
    let access = admin::access(context.machine).map_err(failed)?;
    // A mark that can't be read keeps the next one from enrolling all the same.
    let earlier = admin::enrolled(context.machine).unwrap_or_default();
    let open = admin::may_enrol(context.machine).map_err(failed)?;
    Ok(vec![judge(access, earlier, open)])
}

fn judge(access: Access, earlier: Option<Enrolled>, open: bool) -> Finding {
    const REQUIRED: &str = "a password or an SSH key";
    let chosen =
        earlier.map(|mark| format!("chosen at {} on {}", mark.console, mark.at.strftime("%Y-%m-%d %H:%M:%SZ")));
    if access.none() {
        return if open {
            let remedy = "at a console of this machine log in as admin: it asks for a new password";
            Finding::warn("nobody can log in yet", REQUIRED, remedy)
        } else {
            let observed = "nobody can log in any more: the password is locked, and there is no key";
            Finding::fail(observed, REQUIRED, "put [admin] ssh_keys or password_hash into site.toml, and import it")
        };
    }
    let password = access.password.then(|| match chosen {
        Some(chosen) => format!("a password for the console, {chosen}"),
        None => "a password for the console".to_owned(),
    });
    let keys = match access.keys {
        0 => None,
        1 => Some("1 SSH key".to_owned()),
        count => Some(format!("{count} SSH keys")),
    };
    Finding::pass(password.into_iter().chain(keys).collect::<Vec<_>>().join("; "), REQUIRED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    #[test]
    fn a_machine_that_nobody_can_enter_warns_and_says_how_one_can() {
        let none = Access { password: false, keys: 0 };
        let fresh = judge(none, None, true);
        assert_eq!(fresh.state, State::Warn);
        assert!(fresh.remedy.unwrap().contains("log in as admin"));
        let locked = judge(none, None, false);
        assert_eq!(locked.state, State::Fail);
        assert!(locked.remedy.unwrap().contains("site.toml"));
    }

    #[test]
    fn who_chose_the_password_where_and_when_is_shown() {
        let mark = Enrolled { console: "ttyS0".to_owned(), at: "2026-11-21T14:02:51Z".parse().unwrap() };
        let found = judge(Access { password: true, keys: 2 }, Some(mark), false);
        let expected = "a password for the console, chosen at ttyS0 on 2026-11-21 14:02:51Z; 2 SSH keys";
        assert_eq!((found.state, found.observed.as_str()), (State::Pass, expected));
    }

    #[test]
    fn a_machine_without_the_account_could_not_be_judged() {
        let root = tempfile::tempdir().unwrap();
        let machine = crate::facts::Machine::at(root.path());
        assert!(admin::access(&machine).is_err());
    }
}
