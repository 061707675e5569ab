//! Which mirrors are asked for an archive, and in which order.
//!
//! - `--mirror URL` before all. The URL is that of one of the base's archives (`http://host/debian`, or with the archive's name
//!   further ahead as in `http://host/archive/debian/20261120T000000Z`): the other archives are then looked for beside it, by putting
//!   their name in its place. Any other URL is taken for the folder that holds the archives. For the archive that it names
//!   (else: the base's first one) only the mirrors of the user are asked, so that a named mirror is never silently left for another
//!   one; another archive that all of them lack comes from the usual mirrors, and the user is told.
//! - Else the host's own apt sources that end in the archive's name, then the base's own list.

use std::path::Path;

use super::deb::apt_sources;
use super::package::Package;
use super::past::Past;
use crate::recipe::base::Source;
use crate::store::Download;

/// What the user and the host say about mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    user: Vec<String>,
    host: Vec<String>,
}

/// The mirrors of one archive, as URLs without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Asked first. Where they fail for another reason than lacking the archive, so does the build.
    pub named: Vec<String>,
    /// Asked where no mirror is named, or where all those lack the archive.
    pub usual: Vec<String>,
}

impl Choice {
    /// The mirrors in the order in which packages are asked for: where the archive's suites were found, packages are; the
    /// others follow.
    pub(super) fn order<'a>(&'a self, found: &[&'a str]) -> Vec<String> {
        let named = found.iter().all(|mirror| self.named.iter().any(|one| one == mirror));
        let rest = if named { &self.named } else { &self.usual };
        let mut order: Vec<String> = Vec::new();
        found
            .iter()
            .copied()
            .chain(rest.iter().map(String::as_str))
            .for_each(|url| push_new(&mut order, url.to_owned()));
        order
    }
}

impl Mirrors {
    /// The user's URLs (each `--mirror`), and the apt sources below `apt` (`/etc/apt`).
    #[must_use]
    pub fn new(user: &[String], apt: &Path) -> Self {
        Self {
            user: user.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            host: apt_sources::read(apt),
        }
    }

    /// Whether the user names mirrors.
    pub(super) fn named(&self) -> bool {
        !self.user.is_empty()
    }

    /// The mirrors of one of a base's sources that are to be tried: those that the user names, else the base's own.
    #[must_use]
    pub fn tried(&self, sources: &[Source], wanted: usize) -> Vec<String> {
        let own = || sources[wanted].mirrors.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        let named = self.choose(sources, wanted).named;
        if named.is_empty() { own() } else { named }
    }

    /// For one of a base's sources.
    pub(super) fn choose(&self, sources: &[Source], wanted: usize) -> Choice {
        let source = &sources[wanted];
        let mut named = Vec::new();
        let mut exclusive = false;
        for url in &self.user {
            let (url, meant) = beside(url, sources, wanted);
            exclusive |= meant;
            push_new(&mut named, url);
        }
        let mut usual = Vec::new();
        if !exclusive {
            hosts(&self.host, sources, wanted).into_iter().for_each(|url| push_new(&mut usual, url.clone()));
            source.mirrors.iter().for_each(|url| push_new(&mut usual, url.trim_end_matches('/').to_owned()));
        }
        Choice { named, usual }
    }

    /// What to fetch for packages whose digests are known already, of archives as they were in the `past`: from every mirror that
    /// may be asked, and where none is named for the archive, from its snapshot service or its vault at last.
    #[must_use]
    pub fn downloads(&self, sources: &[Source], packages: &[Package], past: Past<'_>) -> Vec<Download> {
        let roots = |number: usize| {
            let Choice { mut named, usual } = self.choose(sources, number);
            let kept = if usual.is_empty() { Vec::new() } else { past.of(&sources[number]) };
            usual.into_iter().chain(kept).for_each(|url| push_new(&mut named, url));
            named
        };
        let roots: Vec<Vec<String>> = (0..sources.len()).map(roots).collect();
        packages.iter().map(|package| package.download(&roots[package.source])).collect()
    }
}

/// The host's own URLs for one of a base's sources. Where several sources have the same archive on servers of their own, as
/// Ubuntu's security updates have, a source's own server goes first if the host knows it, and another one's is left to that one.
fn hosts<'a>(host: &'a [String], sources: &[Source], wanted: usize) -> Vec<&'a String> {
    let source = &sources[wanted];
    let names = |source: &Source, url: &str| source.mirrors.iter().any(|own| own.trim_end_matches('/') == url);
    let siblings = |(at, other): &(usize, &Source)| *at != wanted && other.archive == source.archive;
    let siblings: Vec<&Source> = sources.iter().enumerate().filter(siblings).map(|(_, other)| other).collect();
    let own = |url: &String| !siblings.is_empty() && names(source, url);
    let theirs = |url: &String| siblings.iter().any(|other| names(other, url));
    let suffix = format!("/{}", source.archive);
    let fit = host.iter().filter(|url| url.ends_with(&suffix) && (own(url) || !theirs(url)));
    let (first, rest): (Vec<_>, Vec<_>) = fit.partition(|url| own(url));
    [first, rest].concat()
}

fn push_new(urls: &mut Vec<String>, url: String) {
    if !urls.contains(&url) {
        urls.push(url);
    }
}

/// The wanted archive's URL on the mirror that the user's URL names, and whether it is this archive that the URL means.
fn beside(url: &str, sources: &[Source], wanted: usize) -> (String, bool) {
    let archive = &sources[wanted].archive;
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    // The last place where an archive's name stands as whole parts of the path.
    let stands = |name: &str| {
        let ends = |(at, _): &(usize, &str)| matches!(path.as_bytes().get(at + 1 + name.len()), None | Some(b'/'));
        path.match_indices(&format!("/{name}")).filter(ends).map(|(at, _)| at).last()
    };
    let named = sources.iter().filter_map(|source| Some((stands(&source.archive)?, &source.archive)));
    let Some((at, name)) = named.max_by_key(|(at, name)| (*at, name.len())) else {
        return (format!("{scheme}://{host}{path}/{archive}"), wanted == 0);
    };
    let (before, after) = (&path[..at], &path[at + 1 + name.len()..]);
    (format!("{scheme}://{host}{before}/{archive}{after}"), name == archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<Source> {
        ["debian", "debian-security"]
            .map(|archive| Source {
                archive: archive.to_owned(),
                mirrors: vec![format!("http://base.example/{archive}")],
                snapshot: Some(format!("http://past.example/{archive}/{{time}}")),
                ..Source::default()
            })
            .to_vec()
    }

    fn choose(user: &[&str], host: &[&str], wanted: usize) -> Choice {
        let own = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
        Mirrors { user: own(user), host: own(host) }.choose(&sources(), wanted)
    }

    #[test]
    fn a_named_mirror_is_the_only_one_for_the_archive_that_it_names() {
        for url in ["http://m.example/debian", "http://m.example"] {
            let choice = choose(&[url], &["http://host.example/debian"], 0);
            assert_eq!(choice, Choice { named: vec!["http://m.example/debian".to_owned()], usual: vec![] });
        }
    }

    #[test]
    fn a_named_mirror_is_asked_first_for_the_archives_beside() {
        for url in ["http://m.example/debian", "http://m.example"] {
            let choice = choose(&[url], &["http://host.example/debian-security"], 1);
            assert_eq!(choice.named, ["http://m.example/debian-security"]);
            assert_eq!(choice.usual, ["http://host.example/debian-security", "http://base.example/debian-security"]);
        }
        let choice = choose(&["http://m.example/debian-security"], &[], 1);
        assert_eq!(choice.usual, [] as [&str; 0]);
    }

    #[test]
    fn the_archives_name_may_stand_further_ahead() {
        let choice = choose(&["http://s.example/archive/debian/20261120T000000Z"], &[], 1);
        assert_eq!(choice.named, ["http://s.example/archive/debian-security/20261120T000000Z"]);
        assert_eq!(choose(&["http://debian/debian"], &[], 1).named, ["http://debian/debian-security"]);
    }

    #[test]
    fn an_archives_name_may_have_several_parts() {
        let named = |archive: &str| Source { archive: archive.to_owned(), ..sources().remove(0) };
        let sources = [named("almalinux/9"), named("epel/9")];
        let beside = |url: &str, wanted| beside(url, &sources, wanted);
        assert_eq!(beside("http://m.example/almalinux/9", 0), ("http://m.example/almalinux/9".to_owned(), true));
        assert_eq!(beside("http://m.example/almalinux/9", 1), ("http://m.example/epel/9".to_owned(), false));
        assert_eq!(beside("http://m.example/x", 1), ("http://m.example/x/epel/9".to_owned(), false));
        assert_eq!(beside("http://m.example/almalinux/90", 0).0, "http://m.example/almalinux/90/almalinux/9");
    }

    #[test]
    fn the_hosts_sources_come_before_the_bases_and_are_matched_by_their_last_part() {
        let host = ["http://h.example/debian-security", "http://h.example/debian", "http://base.example/debian"];
        let choice = choose(&[], &host, 0);
        assert_eq!(choice.named, [] as [&str; 0]);
        assert_eq!(choice.usual, ["http://h.example/debian", "http://base.example/debian"]);
    }

    #[test]
    fn servers_of_several_sources_of_one_archive_are_kept_apart() {
        let mut sources = sources();
        for (source, server) in sources.iter_mut().zip(["archive", "security"]) {
            source.archive = "ubuntu".to_owned();
            source.mirrors = vec![format!("http://{server}.example/ubuntu")];
        }
        let host = ["de.example", "security.example", "archive.example"].map(|host| format!("http://{host}/ubuntu"));
        let usual =
            |host: &[String], wanted| Mirrors { user: Vec::new(), host: host.to_vec() }.choose(&sources, wanted).usual;
        assert_eq!(usual(&host, 0), ["http://archive.example/ubuntu", "http://de.example/ubuntu"]);
        assert_eq!(usual(&host[..2], 0), ["http://de.example/ubuntu", "http://archive.example/ubuntu"]);
        assert_eq!(usual(&host, 1), ["http://security.example/ubuntu", "http://de.example/ubuntu"]);
        // One that the user names is asked for both.
        let user = vec!["http://m.example/ubuntu".to_owned()];
        let choice = Mirrors { user, host: host.to_vec() }.choose(&sources, 1);
        assert_eq!(choice, Choice { named: vec!["http://m.example/ubuntu".to_owned()], usual: vec![] });
    }

    #[test]
    fn a_locked_package_is_asked_from_every_mirror_and_the_past_unless_a_mirror_is_named() {
        let package = Package { source: 1, ..Package::named("a", "1") };
        let urls = |user: &[&str]| {
            let user = user.iter().map(|url| (*url).to_owned()).collect();
            let mirrors = Mirrors { user, host: vec!["http://host.example/debian-security".to_owned()] };
            let past = Past { released: "2026-11-20T02:00:00Z".parse().unwrap(), system: &[] };
            mirrors.downloads(&sources(), std::slice::from_ref(&package), past).remove(0).urls
        };
        let usual = [
            "http://host.example/debian-security/pool/a.deb",
            "http://base.example/debian-security/pool/a.deb",
            "http://past.example/debian-security/20261121T020000Z/pool/a.deb",
            "http://past.example/debian-security/20261120T080000Z/pool/a.deb",
        ];
        assert_eq!(urls(&[]), usual);
        assert_eq!(urls(&["http://m.example/debian"])[1..], usual);
        assert_eq!(urls(&["http://m.example/debian-security"]), ["http://m.example/debian-security/pool/a.deb"]);
    }
}
