//! What is done to a root file system after its packages: overlays, accounts, which units start, and no trace of
//! when and where it was made.

use std::collections::BTreeMap;
use std::path::Path;

use super::accounts::Accounts;
use super::overlay::Overlay;
use super::tree::Tree;
use super::{Error, clean};
use crate::sandbox::Sandbox;

/// Our preset files: these alone are carried out, the others are for whoever resets a unit on the machine.
const PRESETS: &str = "usr/lib/systemd/system-preset";
const OURS: &str = "00-firstlight";

/// Lays `overlays`, in their order, over the root file system `root`, makes the accounts that they declare
/// (sysusers.d (5)), enables and disables units as our presets say, and takes out what must be each machine's own. What
/// is written tells no later time than `released` (seconds since 1970). `log` gets what the programs say.
///
/// # Errors
/// [`Error`]; `root` is then of no use.
pub fn finalise(root: &Path, overlays: &[Overlay], released: i64, log: &Path) -> Result<(), Error> {
    let tree = Tree::open(root).map_err(Error::io("opening the root folder", root))?;
    for overlay in overlays {
        overlay.lay(&tree, released)?;
    }
    let sandbox = Sandbox::new(root).log(log).env("SOURCE_DATE_EPOCH", &released.to_string());
    sandbox.run(&["systemd-sysusers"])?;
    let accounts = Accounts::load(&tree).map_err(Error::io("reading accounts below", Path::new("etc")))?;
    for overlay in overlays {
        overlay.give(&tree, &accounts)?;
    }
    apply_presets(&sandbox, &tree)?;
    clean::after_install(&tree)
}

/// Carries out our presets by the target's own systemctl, and makes sure that what was to be enabled is.
fn apply_presets(sandbox: &Sandbox, tree: &Tree) -> Result<(), Error> {
    let folder = Path::new(PRESETS);
    let mut units = BTreeMap::new();
    for name in tree.list(folder).map_err(Error::io("listing", folder))? {
        let path = folder.join(&name);
        if name.to_str().is_some_and(|name| name.starts_with(OURS) && name.ends_with(".preset")) {
            let text = tree.read(&path).map_err(Error::io("reading", &path))?.unwrap_or_default();
            for (unit, enable) in presets(&path, &String::from_utf8_lossy(&text))? {
                // As systemd reads them: the first line that names a unit holds (systemd.preset (5)).
                units.entry(unit).or_insert(enable);
            }
        }
    }
    for (verb, wanted) in [("disable", false), ("enable", true)] {
        let mut which = Vec::new();
        for (unit, _) in units.iter().filter(|(_, enable)| **enable == wanted) {
            // What is not there can't start.
            if wanted || is_there(tree, unit)? {
                which.push(unit.as_str());
            }
        }
        if !which.is_empty() {
            sandbox.run(&[&["systemctl", "--root=/", "--quiet", verb], which.as_slice()].concat())?;
        }
    }
    let enabled: Vec<&str> = units.iter().filter(|(_, enable)| **enable).map(|(unit, _)| unit.as_str()).collect();
    if enabled.is_empty() {
        return Ok(());
    }
    // Fails, with the states as its output, where no unit has an [Install] section and is not masked.
    let states = sandbox.run(&[&["systemctl", "--root=/", "is-enabled"], enabled.as_slice()].concat())?;
    let states = String::from_utf8_lossy(&states);
    let mut states = states.lines().map(str::trim);
    for unit in enabled {
        let state = states.next().unwrap_or("unknown");
        if !matches!(state, "enabled" | "alias") {
            return Err(Error::NotEnabled { unit: unit.to_owned(), state: state.to_owned() });
        }
    }
    Ok(())
}

/// Whether the tree has the file of `unit`, or of the template that it is made of.
fn is_there(tree: &Tree, unit: &str) -> Result<bool, Error> {
    let template = unit.split_once('@').and_then(|(name, rest)| Some(format!("{name}@.{}", rest.rsplit_once('.')?.1)));
    for folder in ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"] {
        for name in [Some(unit), template.as_deref()].into_iter().flatten() {
            let path = Path::new(folder).join(name);
            let stat = || tree.find(&path)?.map_or(Ok(None), |place| place.stat());
            if stat().map_err(Error::io("looking for", &path))?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The units that a preset file names, and whether each is to be enabled.
fn presets(path: &Path, text: &str) -> Result<Vec<(String, bool)>, Error> {
    let mut units = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["enable", unit] if !unit.contains(['*', '?', '[']) => units.push(((*unit).to_owned(), true)),
            ["disable", unit] if !unit.contains(['*', '?', '[']) => units.push(((*unit).to_owned(), false)),
            _ => return Err(Error::Preset { path: path.to_owned(), line: index + 1, text: line.to_owned() }),
        }
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_name_units_one_by_one() {
        let path = Path::new("00-firstlight.preset");
        let text = "# ours\n\nenable a.service\n disable  b@c.timer \n; end\n";
        assert_eq!(presets(path, text).unwrap(), [("a.service".to_owned(), true), ("b@c.timer".to_owned(), false)]);
        for wrong in ["enable *", "enable", "enable a b", "mask a.service"] {
            let told = presets(path, &format!("enable x\n{wrong}\n")).unwrap_err().to_string();
            assert!(told.contains("00-firstlight.preset:2: ") && told.contains(wrong), "{told}");
        }
    }
}
