//! Repositories and packages made and signed for tests.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::header::tag;
use crate::archive::fixture::{Key, pack, sign_detached};
use crate::archive::{Keyring, Mirrors, Opening, Result, Trust};
use crate::mirror::Mirror;
use crate::progress::Progress;
use crate::recipe::architecture::Named;
use crate::recipe::base::{Base, Family, Source};
use crate::store::{Network, Store, digest_of};

pub(super) const NOW: &str = "2026-06-15T12:00:00Z";

/// The time at which all is signed.
pub(super) fn signed_at() -> SystemTime {
    SystemTime::from("2026-06-15T06:00:00Z".parse::<Timestamp>().unwrap())
}

/// A package's lines in the indices: `name-[epoch:]version-release`, and fields such as `Requires: a >= 1, (b or c)`, one on
/// each line: `Arch`, `Requires`, `Provides`, `Obsoletes`, `Conflicts`, `Recommends`, `Supplements`, `Files` (which primary lists),
/// `Other` (files that it does not list).
pub(super) struct Item {
    pub name: String,
    pub evr: (String, String, String),
    fields: Vec<(String, Vec<String>)>,
}

impl Item {
    pub fn new(name: &str, version: &str, fields: &str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (version, release) = rest.split_once('-').unwrap_or((rest, "1"));
        let field = |line: &str| {
            let (name, values) = line.split_once(": ").unwrap();
            (name.to_owned(), values.split(", ").map(str::to_owned).collect())
        };
        let evr = (epoch.to_owned(), version.to_owned(), release.to_owned());
        Self { name: name.to_owned(), evr, fields: fields.lines().map(field).collect() }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &String> {
        self.fields.iter().filter(move |(found, _)| found == name).flat_map(|(_, values)| values)
    }

    pub fn arch(&self) -> String {
        self.values("Arch").next().cloned().unwrap_or_else(|| "x86_64".to_owned())
    }

    pub fn nevra(&self) -> String {
        let (epoch, version, release) = &self.evr;
        let epoch = if epoch == "0" { String::new() } else { format!("{epoch}:") };
        format!("{}-{epoch}{version}-{release}.{}", self.name, self.arch())
    }

    fn digest(&self) -> String {
        digest_of(&mut self.nevra().as_bytes()).unwrap()
    }

    fn primary(&self) -> String {
        let (epoch, version, release) = &self.evr;
        let mut lists = String::new();
        let own = format!("{} = {epoch}:{version}-{release}", self.name);
        for list in ["provides", "requires", "conflicts", "obsoletes", "recommends", "supplements"] {
            let field = list[..1].to_uppercase() + &list[1..];
            let own = (list == "provides").then_some(&own);
            let entries: String = self.values(&field).chain(own).map(|text| entry(text)).collect();
            let _ = write!(lists, "<rpm:{list}>{entries}</rpm:{list}>");
        }
        let files: String = self.values("Files").map(|path| format!("<file>{path}</file>")).collect();
        format!(
            "<package type=\"rpm\"><name>{}</name><arch>{}</arch><version epoch=\"{epoch}\" ver=\"{version}\" rel=\"{release}\"/>\
             <checksum type=\"sha256\" pkgid=\"YES\">{}</checksum><summary>s</summary><description>d</description><packager/><url/>\
             <time file=\"1\" build=\"1\"/><size package=\"1000\" installed=\"2000\" archive=\"2100\"/>\
             <location href=\"Packages/{}.rpm\"/><format><rpm:license>x</rpm:license>{lists}{files}</format></package>\n",
            self.name,
            self.arch(),
            self.digest(),
            self.nevra().replace(':', "_")
        )
    }

    fn filelists(&self) -> String {
        let (epoch, version, release) = &self.evr;
        let files: String =
            self.values("Files").chain(self.values("Other")).map(|path| format!("<file>{path}</file>")).collect();
        format!(
            "<package pkgid=\"{}\" name=\"{}\" arch=\"{}\"><version epoch=\"{epoch}\" ver=\"{version}\" rel=\"{release}\"/>{files}</package>\n",
            self.digest(),
            self.name,
            self.arch()
        )
    }
}

fn entry(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').filter(|_| !text.starts_with('(')).collect();
    let [name, operator, version] = words[..] else {
        return format!("<rpm:entry name=\"{}\"/>", text.replace('<', "&lt;"));
    };
    let flags = match operator {
        "=" => "EQ",
        "<" => "LT",
        "<=" => "LE",
        ">" => "GT",
        _ => "GE",
    };
    let (epoch, version) = version.split_once(':').unwrap_or(("0", version));
    let (version, release) = match version.split_once('-') {
        Some((version, release)) => (version, format!(" rel=\"{release}\"")),
        None => (version, String::new()),
    };
    format!("<rpm:entry name=\"{name}\" flags=\"{flags}\" epoch=\"{epoch}\" ver=\"{version}\"{release}/>")
}

/// A repository `BaseOS/os` of an archive `almalinux/9`, a mirror of it, and a cache.
pub(super) struct Scene {
    pub folder: tempfile::TempDir,
    pub cache: tempfile::TempDir,
    pub mirror: Mirror,
    pub key: Key,
    pub items: Vec<Item>,
    pub modules: Option<String>,
}

impl Scene {
    pub fn new(items: Vec<Item>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::serve(folder.path()).unwrap();
        let created = SystemTime::from("2025-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let key = Key::made(created, None);
        let scene = Self { folder, cache: tempfile::tempdir().unwrap(), mirror, key, items, modules: None };
        scene.publish(".gz");
        scene
    }

    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("almalinux/9/BaseOS/os")
    }

    pub fn primary(&self) -> String {
        let packages: String = self.items.iter().map(Item::primary).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata xmlns=\"http://linux.duke.edu/metadata/common\" \
             xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"{}\">\n{packages}</metadata>\n",
            self.items.len()
        )
    }

    /// Writes the indices, packed in this format, and their list with its signature.
    pub fn publish(&self, format: &str) {
        self.publish_as(&self.primary(), format, |size| size);
    }

    /// With another `primary`, of which the list says another unpacked size.
    pub fn publish_as(&self, primary: &str, format: &str, open_size: impl Fn(usize) -> usize) {
        let lists: String = self.items.iter().map(Item::filelists).collect();
        let lists = format!(
            "<filelists xmlns=\"http://linux.duke.edu/metadata/filelists\" packages=\"{}\">{lists}</filelists>",
            self.items.len()
        );
        let modules = self.modules.as_ref().map(|text| ("modules", "modules.yaml", text.as_str()));
        let parts = [("primary", "primary.xml", primary), ("filelists", "filelists.xml", lists.as_str())];
        let folder = self.repository().join("repodata");
        fs::create_dir_all(&folder).unwrap();
        let mut text =
            "<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>1781503200</revision>".to_owned();
        for (kind, name, content) in parts.into_iter().chain(modules) {
            let bytes = pack(content.as_bytes(), format);
            let digest = digest_of(&mut &bytes[..]).unwrap();
            let name = format!("{digest}-{name}{format}");
            fs::write(folder.join(&name), &bytes).unwrap();
            let _ = write!(
                text,
                "<data type=\"{kind}\"><checksum type=\"sha256\">{digest}</checksum><location href=\"repodata/{name}\"/>\
                 <timestamp>1781503200</timestamp><size>{}</size><open-size>{}</open-size></data>",
                bytes.len(),
                open_size(content.len())
            );
        }
        self.write_repomd(&(text + "</repomd>"));
    }

    pub fn write_repomd(&self, text: &str) {
        let path = self.repository().join("repodata/repomd.xml");
        fs::write(path.with_extension("xml.asc"), sign_detached(text.as_bytes(), &self.key, signed_at())).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn base(&self) -> Base {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/bases/debian-13.toml");
        let mut base: Base = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        (base.family, base.architecture, base.os.version_id) = (Family::Rpm, Named::X86_64, "9".to_owned());
        base.sources = vec![Source {
            archive: "almalinux/9".to_owned(),
            mirrors: vec![format!("{}/almalinux/9", self.mirror.url())],
            suites: vec!["BaseOS/os".to_owned()],
            signed: true,
            ..Source::default()
        }];
        base
    }

    pub fn store(&self) -> Store {
        let (stall, pause) = (Duration::from_millis(400), Duration::from_millis(10));
        let network = Network { stall, rounds: 2, pause, ..Network::default() };
        Store::with_network(self.cache.path(), network).unwrap()
    }

    pub fn keyring(&self) -> Keyring {
        Keyring::parse(&self.key.armored()).unwrap()
    }

    pub fn open(&self) -> Result<super::Archive> {
        self.open_with(&self.base(), &[])
    }

    pub fn open_with(&self, base: &Base, named: &[String]) -> Result<super::Archive> {
        let mirrors = Mirrors::new(named, Path::new("/nonexistent"));
        let trust = Trust::all(&self.keyring(), base);
        super::Archive::open(&Opening {
            base,
            trust: &trust,
            mirrors: &mirrors,
            store: &self.store(),
            progress: &Progress::silent(),
            now: NOW.parse().unwrap(),
        })
    }
}

/// Entries of a header: tag, type, count, value.
pub(super) type Entries = Vec<(u32, u32, u32, Vec<u8>)>;

/// A header whose entries all lie in its immutable region.
pub(super) fn header(entries: &Entries) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::new());
    for (tag, kind, count, value) in entries {
        store.resize(store.len().next_multiple_of(if *kind == 4 { 4 } else { 1 }), 0);
        let offset = u32::try_from(store.len()).unwrap();
        index.extend([*tag, *kind, offset, *count].into_iter().flat_map(u32::to_be_bytes));
        store.extend_from_slice(value);
    }
    let count = u32::try_from(entries.len()).unwrap() + 1;
    let region = [tag::IMMUTABLE, 7, u32::try_from(store.len()).unwrap(), 16].map(u32::to_be_bytes).concat();
    store.extend([tag::IMMUTABLE, 7, (count * 16).wrapping_neg(), 16].into_iter().flat_map(u32::to_be_bytes));
    let sizes = [count, u32::try_from(store.len()).unwrap()].map(u32::to_be_bytes).concat();
    [&[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0][..], &sizes, &region, &index, &store].concat()
}

/// What the header of `name`, version `2:1.5-3`, says, with a payload of these bytes.
pub(super) fn main_entries(name: &str, payload: &[u8]) -> Entries {
    let text = |tag, text: &str| (tag, 6, 1, [text.as_bytes(), b"\0"].concat());
    let digest = hex::encode(Sha256::digest(payload));
    vec![
        text(tag::NAME, name),
        text(tag::VERSION, "1.5"),
        text(tag::RELEASE, "3"),
        (tag::EPOCH, 4, 1, 2u32.to_be_bytes().to_vec()),
        text(tag::ARCH, "x86_64"),
        (tag::PAYLOAD_DIGEST, 8, 1, [digest.as_bytes(), b"\0"].concat()),
        (tag::PAYLOAD_DIGEST_ALGORITHM, 4, 1, 8u32.to_be_bytes().to_vec()),
    ]
}

/// An RPM of this header and payload, with these signatures.
pub(super) fn rpm(signatures: &Entries, main: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    lead.resize(96, 0);
    let mut signatures = header(signatures);
    signatures.resize(signatures.len().next_multiple_of(8), 0);
    [&lead[..], &signatures, main, payload].concat()
}
