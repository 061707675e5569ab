//! A site configuration judged as the machine will judge it, by the very same checks.

use std::path::Path;
use std::sync::Arc;

use firmware_checks::appliance::{Appliance, OsRelease, Platform};
use firmware_checks::boot_loader::BootLoader;
use firmware_checks::check::{Phase, State};
use firmware_checks::checks::{self, run, tls};
use firmware_checks::facts::Machine;
use firmware_checks::report::Verdict;
use firmware_checks::requirements::{Requirements, Tls};
use firmware_checks::site::{self, AUTHORITY, CERTIFICATE, KEY};
use jiff::Timestamp;

use crate::recipe::schema::Recipe;

/// What the checks of certificates, of needed parts and of disks for data folders say of the configuration in `folder` for the appliance `recipe`. Without
/// a recipe certificates alone are judged, where the folder has any, as strictly as for production. The trusted roots and the
/// clock are this computer's.
///
/// # Errors
/// `site.toml` can't be read or is not valid.
pub fn judge(folder: &Path, recipe: Option<&Recipe>) -> Result<Vec<Verdict>, site::Error> {
    let site = site::load(folder)?;
    let brings = [CERTIFICATE, KEY, AUTHORITY].iter().any(|name| folder.join(name).exists());
    let requirements = match recipe {
        Some(recipe) => recipe.requirements.clone(),
        None => Requirements { tls: brings.then(Tls::default), ..Requirements::default() },
    };
    let scene = run::Scene {
        appliance: appliance(recipe, requirements),
        site: Some(site),
        site_dir: folder.to_path_buf(),
        machine: Machine::here(),
    };
    // Without a recipe nobody knows which data folders there are.
    let disks = recipe.map(|_| &checks::disk::NAMED);
    let checks = std::iter::once(&checks::site::FIELDS).chain(disks).chain(tls::CHECKS);
    Ok(run::run(checks, &Arc::new(scene), Phase::Admission, &[], |_| {}))
}

/// The appliance as far as the certificate checks look at it.
fn appliance(recipe: Option<&Recipe>, requirements: Requirements) -> Appliance {
    let of = |get: fn(&Recipe) -> String| recipe.map(get).unwrap_or_default();
    Appliance {
        name: of(|recipe| recipe.name.clone()),
        version: of(|recipe| recipe.version.clone()),
        base: of(|recipe| recipe.bases.first().cloned().unwrap_or_default()),
        os: OsRelease { id: String::new(), version_id: String::new() },
        cpu_level: None,
        locked: Timestamp::UNIX_EPOCH,
        platform: Platform::Docker { probe_image: String::new(), projects: Vec::new() },
        boot: BootLoader::default(),
        requirements,
    }
}

/// The exit status that `verdicts` stand for: 0 nothing keeps the gate shut, 1 something fails, 2 it could not be told.
#[must_use]
pub fn outcome(verdicts: &[Verdict]) -> u8 {
    let any = |state: State| verdicts.iter().any(|verdict| verdict.state == state);
    match () {
        () if any(State::Fail) => 1,
        () if verdicts.iter().all(|verdict| verdict.state.lets_open()) => 0,
        () => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(names: &[&str], certificate_of: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let pairs: Vec<_> =
            (0..2).map(|_| rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap()).collect();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write("site.toml", "hostname = \"a.example\"\n".into());
        for name in names {
            match *name {
                CERTIFICATE | AUTHORITY => write(name, pairs[certificate_of].cert.pem()),
                _ => write(name, pairs[0].signing_key.serialize_pem()),
            }
        }
        folder
    }

    fn state(verdicts: &[Verdict], id: &str) -> State {
        verdicts.iter().find(|verdict| verdict.id == id).unwrap().state
    }

    #[test]
    fn a_site_without_certificates_is_judged_by_its_configuration_alone() {
        let folder = folder(&[], 0);
        assert_eq!(judge(folder.path(), None).unwrap(), []);
        fs::write(folder.path().join("site.toml"), "hostnam = 1").unwrap();
        assert!(judge(folder.path(), None).is_err());
    }

    #[test]
    fn a_key_of_another_certificate_fails_before_anything_is_flashed() {
        let good = judge(folder(&[CERTIFICATE, KEY, AUTHORITY], 0).path(), None).unwrap();
        assert_eq!(state(&good, "tls.pair"), State::Pass);
        assert_eq!(state(&good, "tls.names"), State::Pass);
        let bad = judge(folder(&[CERTIFICATE, KEY, AUTHORITY], 1).path(), None).unwrap();
        assert_eq!((state(&bad, "tls.pair"), outcome(&bad)), (State::Fail, 1));
    }

    #[test]
    fn what_could_not_be_told_is_not_ready() {
        let mut verdicts = judge(folder(&[CERTIFICATE, KEY, AUTHORITY], 0).path(), None).unwrap();
        verdicts.retain(|verdict| verdict.state.lets_open());
        assert_eq!(outcome(&verdicts), 0);
        verdicts[0].state = State::Unknown;
        assert_eq!(outcome(&verdicts), 2);
    }
}
