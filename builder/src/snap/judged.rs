//! Assertions whose signatures were judged: each by a key that an assertion before it names, up to a root of trust.
//!
//! The rules are snapd's (`asserts`, database checks): the signing key belongs to the authority, was valid when the assertion
//! was made and is not expired; accounts, their keys, declarations and revisions of snaps are the word of a trusted account; a
//! model is its brand's own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::assertion::Assertion;
use super::error::{Error, Result};
use super::key::PublicKey;

/// The release of snapd's world that all assertions are about.
pub(super) const SERIES: &str = "16";

/// The types whose word only a trusted account has.
const OF_THE_ROOT: [&str; 4] = ["account", "account-key", "snap-declaration", "snap-revision"];
/// Headers of revisions that another account than the store signs.
const DEFAULT_PROVENANCE: &str = "global-upload";

/// Assertions that are believed.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Accounts whose word counts for all others.
    trusted: Vec<String>,
    keys: BTreeMap<String, AccountKey>,
    /// What was added, by type and primary key; the roots are not among them, since snapd has its own.
    added: BTreeMap<String, Assertion>,
    accounts: Vec<String>,
    /// When expiry is judged, if at all.
    now: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct AccountKey {
    account: String,
    key: PublicKey,
    since: Timestamp,
    until: Option<Timestamp>,
    constrained: bool,
}

impl AccountKey {
    fn of(assertion: &Assertion) -> std::result::Result<Self, String> {
        let key = PublicKey::decode(assertion.body()).map_err(|reason| format!("its body: {reason}"))?;
        let id = assertion.required("public-key-sha3-384")?;
        if key.id() != id {
            return Err(format!("its body is the key {}, and it says {id}", key.id()));
        }
        let since = assertion.time("since")?.ok_or("it has no header `since`")?;
        let until = assertion.time("until")?;
        if until.is_some_and(|until| until <= since) {
            return Err("its `until` is not after its `since`".to_owned());
        }
        let account = assertion.required("account-id")?.to_owned();
        Ok(Self { account, key, since, until, constrained: assertion.has("constraints") })
    }

    fn is_valid_at(&self, moment: Timestamp) -> bool {
        self.since <= moment && self.until.is_none_or(|until| moment < until)
    }

    fn validity(&self) -> String {
        match self.until {
            Some(until) => format!("valid from {} until {until}", self.since),
            None => format!("valid from {}", self.since),
        }
    }
}

impl Judged {
    /// Believes the assertions `roots`, which sign themselves: accounts and their keys. `now` is when expiry is judged; none where
    /// it was judged before.
    ///
    /// # Errors
    /// There is no key among them, or one is not signed by itself.
    pub fn new(roots: &[Assertion], now: Option<Timestamp>) -> Result<Self> {
        let mut judged =
            Self { trusted: Vec::new(), keys: BTreeMap::new(), added: BTreeMap::new(), accounts: Vec::new(), now };
        for root in roots.iter().filter(|root| root.kind() == "account-key") {
            let key = AccountKey::of(root).map_err(|reason| judged.refuse(root, reason))?;
            judged.trusted.push(key.account.clone());
            judged.keys.insert(key.key.id().to_owned(), key);
        }
        if judged.keys.is_empty() {
            return Err(Error::malformed("the root of trust", "there is no account-key in it"));
        }
        for root in roots {
            judged.verify(root).map_err(|reason| judged.refuse(root, reason))?;
            if root.kind() == "account" {
                judged.accounts.extend(root.header("account-id").map(str::to_owned));
            }
        }
        Ok(judged)
    }

    /// Judges `assertions`, in whatever order they are, and believes them. What is known already is left as it is, unless it
    /// was revised.
    ///
    /// # Errors
    /// [`Error::Untrusted`] for the first that nothing can be done with.
    pub fn add(&mut self, assertions: impl IntoIterator<Item = Assertion>) -> Result<()> {
        let mut left: Vec<Assertion> = assertions.into_iter().filter(|one| !self.is_root(one)).collect();
        while !left.is_empty() {
            let before = left.len();
            let (ready, waiting): (Vec<_>, Vec<_>) = left.into_iter().partition(|one| self.is_ready(one));
            for one in ready {
                self.check(&one).map_err(|reason| self.refuse(&one, reason))?;
                self.believe(one)?;
            }
            if waiting.len() == before {
                let one = &waiting[0];
                let (authority, key) = (one.authority(), one.signer());
                let reason = match self.keys.contains_key(key) {
                    true => format!("there is no assertion of the account {}", self.subjects(one).join(", ")),
                    false => format!("there is no assertion of the key {key} of `{authority}`, by which it is signed"),
                };
                return Err(self.refuse(one, reason));
            }
            left = waiting;
        }
        Ok(())
    }

    /// Whether it is one of the roots, which need not be told again.
    fn is_root(&self, one: &Assertion) -> bool {
        let of_trusted =
            one.header("account-id").is_some_and(|account| self.trusted.iter().any(|known| known == account));
        match one.kind() {
            "account" => of_trusted,
            "account-key" => {
                of_trusted && one.header("public-key-sha3-384").is_some_and(|id| self.keys.contains_key(id))
            }
            _ => false,
        }
    }

    /// Whether what it builds upon is believed already.
    fn is_ready(&self, one: &Assertion) -> bool {
        self.keys.contains_key(one.signer()) && self.subjects(one).is_empty()
    }

    /// The accounts that it is about and that are not known.
    fn subjects(&self, one: &Assertion) -> Vec<String> {
        let header = match one.kind() {
            "account-key" => "account-id",
            "snap-declaration" => "publisher-id",
            "snap-revision" => "developer-id",
            "model" => "brand-id",
            _ => return Vec::new(),
        };
        let unknown = one.header(header).filter(|account| !self.accounts.iter().any(|known| known == account));
        unknown.map(str::to_owned).into_iter().collect()
    }

    fn check(&self, one: &Assertion) -> std::result::Result<(), String> {
        self.verify(one)?;
        let authority = one.authority();
        let is_trusted = self.trusted.iter().any(|known| known == authority);
        if OF_THE_ROOT.contains(&one.kind()) && !is_trusted {
            return Err(format!("`{authority}` may not sign it; only {} may", self.trusted.join(", ")));
        }
        if let Some(series) = one.header("series").filter(|series| *series != SERIES) {
            return Err(format!("its series is `{series}`, expected `{SERIES}`"));
        }
        match one.kind() {
            "model" if one.required("brand-id")? != authority => {
                Err(format!("its brand is `{}`, and `{authority}` signed it", one.required("brand-id")?))
            }
            "snap-revision" if one.header("provenance").is_some_and(|one| one != DEFAULT_PROVENANCE) => {
                Err(format!("its provenance is `{}`, expected `{DEFAULT_PROVENANCE}`", one.required("provenance")?))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is signed by the key that it names, which is its authority's and was valid.
    fn verify(&self, one: &Assertion) -> std::result::Result<(), String> {
        let unknown = || format!("it is signed by the unknown key {}", one.signer());
        let signer = self.keys.get(one.signer()).ok_or_else(unknown)?;
        if signer.account != one.authority() {
            return Err(format!("it is the word of `{}`, signed by a key of `{}`", one.authority(), signer.account));
        }
        if signer.constrained {
            return Err(format!("the key {} may sign some things only, and which can't be judged", one.signer()));
        }
        let (content, signature) = one.signed();
        signer.key.verify(content, signature)?;
        if let Some(made) = one.time("timestamp")?.filter(|made| !signer.is_valid_at(*made)) {
            return Err(format!("it was made at {made}, and its key is {}", signer.validity()));
        }
        if let Some(now) = self.now.filter(|now| !signer.is_valid_at(*now)) {
            return Err(format!("its key is {}, and it is {now} now", signer.validity()));
        }
        Ok(())
    }

    fn believe(&mut self, one: Assertion) -> Result<()> {
        let name = one.name();
        if self.added.get(&name).is_some_and(|known| known.revision() >= one.revision()) {
            return Ok(());
        }
        match one.kind() {
            "account-key" => {
                let key = AccountKey::of(&one).map_err(|reason| self.refuse(&one, reason))?;
                self.keys.insert(key.key.id().to_owned(), key);
            }
            "account" => self.accounts.extend(one.header("account-id").map(str::to_owned)),
            _ => {}
        }
        self.added.insert(name, one);
        Ok(())
    }

    fn refuse(&self, assertion: &Assertion, reason: String) -> Error {
        let roots = self.keys.values().filter(|key| self.trusted.contains(&key.account));
        let roots = roots.map(|key| format!("{} of `{}`", key.key.id(), key.account)).collect();
        Error::Untrusted { assertion: assertion.name(), reason, roots }
    }

    /// The believed assertion of this type in which each of these headers has this value.
    #[must_use]
    pub fn find(&self, kind: &str, headers: &[(&str, &str)]) -> Option<&Assertion> {
        let fits = |one: &&Assertion| {
            one.kind() == kind && headers.iter().all(|(name, value)| one.header(name) == Some(value))
        };
        self.added.values().find(fits)
    }

    /// What must be believed before `one` can be, and is not yet: types and primary keys.
    #[must_use]
    pub fn prerequisites(&self, one: &Assertion) -> Vec<(&'static str, String)> {
        let key = (!self.keys.contains_key(one.signer())).then(|| ("account-key", one.signer().to_owned()));
        key.into_iter().chain(self.subjects(one).into_iter().map(|account| ("account", account))).collect()
    }

    /// What was added to the roots, by type and primary key.
    pub fn all(&self) -> impl Iterator<Item = &Assertion> {
        self.added.values()
    }
}

#[cfg(test)]
#[path = "judged_tests.rs"]
mod tests;
