//! What a build would download, how big it would get, and what the machine must be for it.

use std::collections::BTreeMap;
use std::fmt;

use firmware_checks::document::{KeyPath, Problem};
use firmware_checks::requirements::{Boot, Clock, Need, Owner, Port, Requirements, TlsMode};
use firmware_checks::site::Site;
use serde::Serialize;

use crate::archive::Solution;
use crate::artifact::Pin;
use crate::disk::layout::{self, Content, Layout, MIB, Part};
use crate::lock::Lock;
use crate::progress;
use crate::recipe::artifact::{is_url, of_image};
use crate::recipe::platform::of_snap;
use crate::recipe::{self, Loaded};
use crate::store::Store;

/// What packages make of themselves when they are installed, the initramfs first of all, which is in no package's own estimate.
const GENERATED: u64 = 160 * MIB;

/// The plan of a build. Its JSON form is for scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The recipe's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The base.
    pub base: String,
    /// The base's architecture.
    pub architecture: String,
    /// What is downloaded: the packages of the root file system and of container images, each once, and files that go in whole.
    pub downloads: Downloads,
    /// What the root file system is estimated to hold.
    pub root: Root,
    /// The container images.
    pub images: Vec<Image>,
    /// The files that go into the image whole, the archives of container images among them.
    pub artifacts: Vec<Pin>,
    /// The disk as it will be in the image.
    pub disk: Layout,
    /// What the machine must be.
    pub requirements: Requirements,
}

/// Packages to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Downloads {
    /// How many packages.
    pub packages: usize,
    /// How many files that go into the image whole.
    pub artifacts: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// How many are in the store already.
    pub stored: usize,
    /// Bytes of those.
    pub stored_bytes: u64,
}

/// What a root file system is estimated to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Root {
    /// How many packages are installed.
    pub packages: usize,
    /// Bytes that they take, as their maintainers estimate.
    pub installed_bytes: u64,
    /// Bytes of container images.
    pub image_bytes: u64,
    /// Bytes of the platform's files.
    pub artifact_bytes: u64,
}

/// A container image that lies in the root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Name and tag.
    pub name: String,
    /// Packages that it is made of; none where it is an archive.
    pub packages: usize,
    /// Bytes that it takes in the root file system; of an image of packages, as their maintainers estimate.
    pub bytes: u64,
}

/// A plan could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe's partitions don't fit their content.
    #[error("planning the disk")]
    Layout(#[from] layout::Error),
    /// The same, of a size that the recipe gives.
    #[error("planning the disk")]
    Recipe(#[from] recipe::Error),
}

/// Plans the build of `recipe` from `lock`.
///
/// # Errors
/// [`Error`].
pub fn plan(recipe: &Loaded, lock: &Lock, store: &Store) -> Result<Plan, Error> {
    let solutions = || std::iter::once(&lock.system).chain(lock.images.iter().map(|(_, solution)| solution));
    let (images, root, disk) = sizes(recipe, lock)?;
    Ok(Plan {
        name: recipe.recipe.name.clone(),
        version: recipe.recipe.version.clone(),
        base: recipe.base.name.clone(),
        architecture: recipe.base.architecture.to_string(),
        downloads: downloads(solutions(), &lock.artifacts, |sha256| store.path(sha256).is_some()),
        artifacts: lock.artifacts.clone(),
        root,
        images,
        disk,
        requirements: recipe.recipe.requirements.clone(),
    })
}

/// Whether what is to be installed has room in the partitions that the recipe asks for, as far as that can be told before.
///
/// # Errors
/// [`Error`]: it has not.
pub fn fits(recipe: &Loaded, lock: &Lock) -> Result<(), Error> {
    sizes(recipe, lock).map(drop)
}

/// What goes into the root file system, and the disk that has room for it.
fn sizes(recipe: &Loaded, lock: &Lock) -> Result<(Vec<Image>, Root, Layout), Error> {
    let images = images(recipe, lock);
    let platform = &recipe.recipe.platform;
    let own: Vec<String> = platform.artifacts().into_iter().map(|named| named.name).collect();
    let stored: Vec<String> = platform.stored_snaps().map(of_snap).collect();
    let laid = lock.artifacts.iter().filter(|pin| own.contains(&pin.name) || stored.contains(&pin.name));
    let root = Root {
        packages: lock.system.packages.len(),
        installed_bytes: lock.system.installed_size(),
        image_bytes: images.iter().map(|image| image.bytes).sum(),
        artifact_bytes: laid.map(|pin| pin.size).sum(),
    };
    let bytes = root.installed_bytes + root.image_bytes + root.artifact_bytes + GENERATED;
    // Where files are as small as those of a system are, one inode stands for 16 KiB.
    let disk = disk(recipe, Content { bytes, inodes: bytes / (16 << 10) })?;
    Ok((images, root, disk))
}

fn disk(recipe: &Loaded, content: Content) -> Result<Layout, Error> {
    Layout::new(&recipe.recipe.disk, content, recipe.base.boot.bios_modules.is_some()).map_err(|error| match error {
        layout::Error::RootTooSmall { found, required, default } => {
            let at = KeyPath::root().key("disk").key("root");
            let problem = Problem::value(at, format!("the root partition is smaller than its content: {found}"))
                .label(format!("expected at least about {required}"))
                .hint(format!("without `disk.root` it gets room to spare: {default}"));
            recipe.refuse(problem).into()
        }
        other => other.into(),
    })
}

fn downloads<'a>(
    solutions: impl Iterator<Item = &'a Solution>,
    artifacts: &'a [Pin],
    stored: impl Fn(&str) -> bool,
) -> Downloads {
    let mut once: BTreeMap<&str, u64> = solutions
        .flat_map(|solution| &solution.packages)
        .map(|package| (package.sha256.as_str(), package.size))
        .collect();
    let packages = once.len();
    once.extend(artifacts.iter().filter(|pin| is_url(&pin.from)).map(|pin| (pin.sha256.as_str(), pin.size)));
    let mut found = Downloads { packages, artifacts: once.len() - packages, ..Downloads::default() };
    for (sha256, size) in once {
        found.bytes += size;
        if stored(sha256) {
            found.stored += 1;
            found.stored_bytes += size;
        }
    }
    found
}

fn images(recipe: &Loaded, lock: &Lock) -> Vec<Image> {
    let images = recipe.recipe.images.iter().enumerate().map(|(index, image)| {
        let solution = lock.images.iter().find(|(of, _)| *of == index).map(|(_, solution)| solution);
        let archive = of_image(&image.name);
        let (packages, bytes) = match solution {
            Some(solution) => (solution.packages.len(), solution.installed_size()),
            None => (0, lock.artifacts.iter().find(|pin| pin.name == archive).map_or(0, |pin| pin.size)),
        };
        Image { name: image.name.clone(), packages, bytes }
    });
    images.collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Downloads { packages, artifacts, bytes, stored, stored_bytes } = self.downloads;
        writeln!(f, "{} {} on {} ({})", self.name, self.version, self.base, self.architecture)?;
        let files = match artifacts {
            0 => String::new(),
            1 => " and 1 file".to_owned(),
            count => format!(" and {count} files"),
        };
        line(f, "download", &format!("{packages} packages{files}, {}", progress::bytes(bytes)))?;
        if stored > 0 {
            line(f, "", &format!("{stored} of them, {}, are in the store already", progress::bytes(stored_bytes)))?;
        }
        let Root { packages, installed_bytes, .. } = self.root;
        line(f, "root", &format!("{packages} packages, about {} unpacked", progress::bytes(installed_bytes)))?;
        for image in &self.images {
            let made =
                if image.packages > 0 { format!("of {} packages, about ", image.packages) } else { String::new() };
            line(f, "container", &format!("{}: {made}{}", image.name, progress::bytes(image.bytes)))?;
        }
        for Pin { name, from, size, .. } in &self.artifacts {
            line(f, "file", &format!("{name}: {}, {from}", progress::bytes(*size)))?;
        }
        line(f, "disk", &self.partitions())?;
        self.machine(f)
    }
}

impl Plan {
    fn partitions(&self) -> String {
        let parts = self.disk.partitions.iter().map(|partition| {
            let grows = if partition.part == Part::Data { ", grows to fill the machine's disk" } else { "" };
            format!("{} {} MiB{grows}", partition.part.label(), partition.size / MIB)
        });
        format!("{}: {}", progress::bytes(self.disk.size), parts.collect::<Vec<_>>().join(", "))
    }

    /// What the machine must be, a line for each requirement.
    fn machine(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requirements { cpu, memory, sizes, data, boot, clock, default_route, ports, egress, tls, site } =
            &self.requirements;
        if let Some(cpu) = cpu {
            line(f, "cpu", &least(&cpu.minimum.to_string(), cpu.recommended.map(|more| more.to_string())))?;
        }
        if let Some(memory) = memory {
            line(f, "memory", &least(&memory.minimum.to_string(), memory.recommended.map(|more| more.to_string())))?;
        }
        for row in sizes {
            let cpu = least(&row.cpu.minimum.to_string(), row.cpu.recommended.map(|more| more.to_string()));
            let memory = least(&row.memory.minimum.to_string(), row.memory.recommended.map(|more| more.to_string()));
            line(f, "users", &format!("from {} on: cpu {cpu}, memory {memory}", row.users))?;
        }
        for folder in data {
            let sizes = least(&folder.minimum.to_string(), folder.recommended.map(|more| more.to_string()));
            line(f, "data", &format!("{} ({}): {sizes}", folder.path, folder.name))?;
        }
        match boot {
            Boot::Any => {}
            Boot::Uefi => line(f, "firmware", "UEFI")?,
            Boot::Secure => line(f, "firmware", "UEFI with Secure Boot")?,
        }
        if *clock == Clock::Required {
            line(f, "clock", "confirmed by NTP, PTP, the hypervisor or an admin")?;
        }
        if *default_route == Need::Required {
            line(f, "network", "a default route")?;
        }
        for port in ports {
            line(f, "port", &describe(port))?;
        }
        if ports.is_empty() {
            line(f, "port", "none can be reached from outside")?;
        }
        for server in egress {
            let need = if server.need == Need::Recommended { ", recommended" } else { "" };
            line(f, "reaches", &format!("{} ({}){need}", server.url, server.name))?;
        }
        if let Some(tls) = tls {
            let mode = match tls.mode {
                TlsMode::Production => "that clients can trust",
                TlsMode::Test => "which may be self-signed",
            };
            line(f, "tls", &format!("a certificate {mode}"))?;
        }
        for used in site.uses(&Site::default()) {
            let need = match used.need {
                _ if used.generated => ", else made by the machine",
                Need::Required => "",
                Need::Recommended => ", recommended",
            };
            line(f, "site", &format!("{}: {}{need}", used.field, used.title))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {what:<10} {text}")
}

fn least(minimum: &str, recommended: Option<String>) -> String {
    match recommended {
        Some(recommended) => format!("at least {minimum}, recommended {recommended}"),
        None => format!("at least {minimum}"),
    }
}

fn describe(port: &Port) -> String {
    let from = if port.from.is_empty() { "any".to_owned() } else { port.from.join(", ") };
    let owner = if port.owner == Owner::System { ", held by the system" } else { "" };
    format!("{}/{} {} from {from}{owner}", port.port, format!("{:?}", port.protocol).to_lowercase(), port.name)
}

#[cfg(test)]
mod tests {
    use firmware_checks::units::{Size, Unit};
    use jiff::Timestamp;

    use super::*;
    use crate::archive::Package;
    use crate::recipe::schema::Disk;

    fn pin(from: &str) -> Pin {
        Pin { name: "k3s".into(), from: from.into(), size: 1_000_000, sha256: "a".repeat(64) }
    }

    fn package(name: &str, size: u64) -> Package {
        Package { size, ..Package::named(name, "1") }
    }

    #[test]
    fn a_package_of_the_root_and_of_an_image_is_downloaded_once() {
        let solution = |packages: &[Package]| Solution { packages: packages.to_vec(), released: Timestamp::UNIX_EPOCH };
        let root = solution(&[package("libc6", 100), package("systemd", 10)]);
        let image = solution(&[package("libc6", 100), package("nginx", 1)]);
        let files = [pin("https://a.example/k3s"), pin("beside.tar")];
        let found = downloads([&root, &image].into_iter(), &files, |sha256| sha256 == package("systemd", 10).sha256);
        assert_eq!(found, Downloads { packages: 3, artifacts: 1, bytes: 1_000_111, stored: 1, stored_bytes: 10 });
    }

    #[test]
    fn a_plan_is_told_with_every_requirement() {
        let requirements: Requirements = toml::from_str(
            "clock = 'required'\nboot = 'secure'\ndefault_route = 'required'\ncpu = { minimum = 2 }\n\
             memory = { minimum = '2 GB', recommended = '4 GB' }\ntls = { mode = 'test' }\n\
             [[data]]\nname = 'fast'\npath = '/srv/fast'\nminimum = '1 TB'\n\
             [[ports]]\nname = 'ssh'\nport = 22\nowner = 'system'\nfrom = ['10.0.0.0/8', 'local']\n\
             [[egress]]\nname = 'models'\nurl = 'https://models.example/'\nneed = 'recommended'\n",
        )
        .unwrap();
        let disk = Disk { root: Some(Size::new(4, Unit::GiB)), ..Disk::default() };
        let pin = pin("https://a.example/k3s");
        let plan = Plan {
            name: "hello".into(),
            version: "1.0".into(),
            base: "debian-13".into(),
            architecture: "amd64".into(),
            downloads: Downloads { packages: 3, artifacts: 1, bytes: 2_000_000, stored: 1, stored_bytes: 1_000_000 },
            root: Root { packages: 2, installed_bytes: 5_000_000, image_bytes: 1_000_000, artifact_bytes: 0 },
            images: vec![Image { name: "a/b:1".into(), packages: 2, bytes: 1_000_000 }],
            artifacts: vec![pin],
            disk: Layout::new(&disk, Content::default(), true).unwrap(),
            requirements,
        };
        let told = "\
hello 1.0 on debian-13 (amd64)
  download   3 packages and 1 file, 2 MB
             1 of them, 1 MB, are in the store already
  root       2 packages, about 5 MB unpacked
  container  a/b:1: of 2 packages, about 1 MB
  file       k3s: 1 MB, https://a.example/k3s
  disk       4.45 GB: bios 1 MiB, esp 64 MiB, site 16 MiB, root 4096 MiB, data 64 MiB, grows to fill the machine's disk
  cpu        at least 2
  memory     at least 2 GB, recommended 4 GB
  data       /srv/fast (fast): at least 1 TB
  firmware   UEFI with Secure Boot
  clock      confirmed by NTP, PTP, the hypervisor or an admin
  network    a default route
  port       22/tcp ssh from 10.0.0.0/8, local, held by the system
  reaches    https://models.example/ (models), recommended
  tls        a certificate which may be self-signed
";
        assert_eq!(plan.to_string(), told);
    }
}
