//! A snap store's API, as snapd uses it: what a channel holds, and assertions by their primary keys.

use serde::Deserialize;

use super::assertion::Assertion;
use super::error::{Error, Result};
use super::judged::SERIES;
use super::key::encode_digest;
use crate::store::{Answer, Store};

/// The most that an answer may be: channel maps of snaps with many tracks are the largest.
const LARGEST: u64 = 32 << 20;
/// The newest form of declarations that the oldest snapd of the bases (2.57, Debian 12) reads.
const DECLARATION_FORMAT: u32 = 5;

/// A snap store, at its address.
#[derive(Clone, Copy, Debug)]
pub struct SnapStore<'a> {
    /// Its address, without a slash at the end.
    pub url: &'a str,
    /// How it is asked.
    pub store: &'a Store,
}

/// What a channel holds for one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The snap's identifier.
    pub id: String,
    /// The revision.
    pub revision: u64,
    /// SHA3-384 of the file, as assertions write it.
    pub sha3_384: String,
    /// Where the file is to be had.
    pub url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    snap_id: String,
    channel_map: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    channel: Channel,
    download: Download,
    revision: u64,
}

#[derive(Deserialize)]
struct Channel {
    architecture: String,
    track: String,
    risk: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Download {
    #[serde(rename = "sha3-384")]
    sha3_384: String,
    url: String,
}

impl SnapStore<'_> {
    /// What the channel `track`/`risk` of the snap `name` holds for `architecture`, in Debian's words.
    ///
    /// # Errors
    /// The store can't be reached, or has no such snap or channel.
    pub fn release(&self, name: &str, track: &str, risk: &str, architecture: &str) -> Result<Release> {
        let fields = "channel-map,download,revision,snap-id";
        let url = format!("{}/v2/snaps/info/{name}?architecture={architecture}&fields={fields}", self.url);
        let refuse = |reason: String, hint| Error::Store { url: url.clone(), reason, hint };
        let text = self.ask(&format!("the channels of the snap {name}"), &url, ("Snap-Device-Series", SERIES))?;
        let text = text.ok_or_else(|| refuse(format!("there is no snap `{name}`"), "is its name right?"))?;
        let other = "is it a snap store's API, such as https://api.snapcraft.io?";
        let info: Info = serde_json::from_str(&text).map_err(|error| refuse(error.to_string(), other))?;
        let fits = |channel: &Channel| channel.track == track && channel.risk == risk;
        let mine = |entry: &&Entry| entry.channel.architecture == architecture;
        let entry = info.channel_map.iter().filter(mine).find(|entry| fits(&entry.channel)).ok_or_else(|| {
            let there = info.channel_map.iter().filter(mine);
            let there: Vec<String> = there.map(|one| format!("{}/{}", one.channel.track, one.channel.risk)).collect();
            let found = if there.is_empty() { "none at all".to_owned() } else { there.join(", ") };
            let reason = format!("no channel `{track}/{risk}` for {architecture}; found {found}");
            refuse(reason, "name one of those in the recipe")
        })?;
        let sha3_384 = from_hexadecimal(&entry.download.sha3_384)
            .ok_or_else(|| refuse(format!("`{}` is not a digest", entry.download.sha3_384), other))?;
        let Entry { revision, download, .. } = entry;
        Ok(Release { id: info.snap_id, revision: *revision, sha3_384, url: download.url.clone() })
    }

    /// The assertion of this type with this primary key.
    ///
    /// # Errors
    /// The store can't be reached, has no such assertion, or answers something else.
    pub fn assertion(&self, kind: &str, key: &[&str]) -> Result<Assertion> {
        let format = if kind == "snap-declaration" { DECLARATION_FORMAT } else { 0 };
        let url = format!("{}/v2/assertions/{kind}/{}?max-format={format}", self.url, key.join("/"));
        let label = format!("the assertion {kind} {}", key.join(" "));
        let text = self.ask(&label, &url, ("Accept", "application/x.ubuntu.assertion"))?;
        let refuse = |reason: String| Error::Store {
            url: url.clone(),
            reason,
            hint: "is it a snap store's API, such as https://api.snapcraft.io?",
        };
        let text = text.ok_or_else(|| refuse("there is no such assertion".to_owned()))?;
        let mut all = Assertion::stream(&text, &url)?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) if one.kind() == kind => Ok(one),
            (Some(one), _) => Err(refuse(format!("found {}, expected one {kind}", one.name()))),
            (None, _) => Err(refuse("the answer is empty".to_owned())),
        }
    }

    fn ask(&self, label: &str, url: &str, header: (&str, &str)) -> Result<Option<String>> {
        match self.store.ask(label, url, LARGEST, &[header])? {
            Answer::Absent(_) => Ok(None),
            Answer::Found(bytes) => {
                String::from_utf8(bytes).map(Some).map_err(|_| Error::malformed(url, "the answer is not UTF-8"))
            }
        }
    }
}

/// A digest as assertions write it, from hexadecimal digits.
fn from_hexadecimal(text: &str) -> Option<String> {
    hex::decode(text).ok().filter(|bytes| bytes.len() == 48).map(|bytes| encode_digest(&bytes))
}
