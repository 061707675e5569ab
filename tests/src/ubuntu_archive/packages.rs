//! What Ubuntu's packages have that Debian's have not, and the other way round.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use firmware_checks::architecture::Architecture;

use super::deb::{Deb, Entry};
use super::debian::Debian;
use crate::image;

/// Where a package is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pocket {
    Release,
    Updates,
    Security,
}

/// A release: its version, and the name of its suites.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    pub version: &'static str,
    pub codename: &'static str,
    /// What its systemd needs besides Debian's: before 24.04 the resolver is a part of it.
    systemd: &'static str,
}

pub const RELEASES: [Release; 2] = [
    Release { version: "24.04", codename: "noble", systemd: "" },
    Release { version: "22.04", codename: "jammy", systemd: ", systemd-resolved" },
];

/// A package as it is published.
pub struct Made {
    /// The release that it is for, where it is not for all.
    pub release: Option<&'static Release>,
    /// The fields of its control file.
    pub fields: String,
    pub pocket: Pocket,
    /// What share of machines gets it so far, in percent, where not all do.
    pub phased: Option<u8>,
    pub deb: PathBuf,
    pub size: u64,
    pub sha256: String,
}

/// The kernel's package in Ubuntu's words.
pub const KERNEL: &str = "linux-image-6.12-generic";
/// Newer in the updates, in the security updates, and in an update that few machines get yet; and the endings of their versions.
pub const UPDATED: (&str, &str) = ("nano", "ubuntu0.1");
pub const SECURED: (&str, &str) = ("less", "ubuntu0.24.04.1");
pub const PHASED: (&str, &str) = ("netbase", "ubuntu1");

const MOTD_SERVICE: &str = "[Unit]\nDescription=Message of the Day\n[Service]\nType=oneshot\nExecStart=/bin/true\n";
const MOTD_TIMER: &str =
    "[Unit]\nDescription=Message of the Day\n[Timer]\nOnCalendar=00,12:00:00\n[Install]\nWantedBy=timers.target\n";
/// As deb-systemd-helper does for Ubuntu's base-files.
const ENABLE_MOTD: &str = "mkdir -p /etc/systemd/system/timers.target.wants\n\
    ln -sf /usr/lib/systemd/system/motd-news.timer /etc/systemd/system/timers.target.wants/motd-news.timer\n";

/// What GRUB can do without reading modules: much like the distributions' signed ones.
const MODULES: &str = "part_gpt fat ext2 normal configfile search search_fs_uuid search_label linux gzio test echo sleep ls cat \
    minicmd halt reboot serial terminal terminfo all_video efi_gop true";

/// Makes every package for machines of `architecture`, in `work`.
pub fn make(debian: &Debian, architecture: Architecture, work: &Path) -> Result<Vec<Made>> {
    let folder = work.join("packages");
    fs::create_dir(&folder)?;
    let publish = |deb: &Deb, release: Option<&'static Release>, pocket: Pocket, phased: Option<u8>| -> Result<Made> {
        let fields = deb.control("control")?;
        let codename = release.map_or("", |release| release.codename);
        let path = folder.join(format!("{}_{}_{codename}.deb", field(&fields, "Package")?, field(&fields, "Version")?));
        let (size, sha256) = deb.write(&path)?;
        Ok(Made { release, fields, pocket, phased, deb: path, size, sha256 })
    };
    let made = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let grub = grub(debian, architecture, work)?;
    let one = |index: usize| -> Result<()> {
        let package = &debian.packages[index];
        let mut deb = Deb::read(&debian.deb(package)?)?;
        change(&package.name, architecture, &mut deb, &grub)?;
        if OF_A_RELEASE.contains(&package.name.as_str()) {
            let each = RELEASES.iter().map(|release| {
                let deb = of_release(&package.name, Deb::read(&debian.deb(package)?)?, release)?;
                publish(&deb, Some(release), Pocket::Release, None)
            });
            let published = each.collect::<Result<Vec<_>>>()?;
            made.lock().map_err(|_| anyhow::anyhow!("another package failed"))?.extend(published);
            return Ok(());
        }
        let mut published = vec![publish(&deb, None, Pocket::Release, None)?];
        for ((name, ending), pocket, phased) in
            [(UPDATED, Pocket::Updates, None), (SECURED, Pocket::Security, None), (PHASED, Pocket::Updates, Some(10))]
        {
            if package.name == name {
                let fields = deb.control("control")?;
                let newer = format!("{}{ending}", field(&fields, "Version")?);
                deb.set_control("control", &set(&fields, "Version", &newer)?)?;
                published.push(publish(&deb, None, pocket, phased)?);
            }
        }
        made.lock().map_err(|_| anyhow::anyhow!("another package failed"))?.extend(published);
        Ok(())
    };
    let work_off = || -> Result<()> {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                index if index < debian.packages.len() => {
                    one(index).with_context(|| debian.packages[index].name.clone())?
                }
                _ => return Ok(()),
            }
        }
    };
    thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(work_off));
        workers.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a package panicked"))?)
    })?;
    let mut all = made.into_inner().map_err(|_| anyhow::anyhow!("a package failed"))?;
    let firmware =
        debian.packages.iter().map(|package| package.name.as_str()).filter(|name| name.starts_with("firmware-"));
    let firmware = firmware.collect::<Vec<_>>().join(", ");
    let depending = |name, on: &str| depending(name, architecture, on);
    for deb in [
        shim(debian, architecture)?,
        depending("linux-firmware", &firmware)?,
        depending("linux-image-virtual", KERNEL)?,
    ] {
        all.push(publish(&deb, None, Pocket::Release, None)?);
    }
    all.sort_by(|left, right| left.deb.cmp(&right.deb));
    Ok(all)
}

/// Makes Ubuntu's package of Debian's.
fn change(name: &str, architecture: Architecture, deb: &mut Deb, grub: &[u8]) -> Result<()> {
    let fields = deb.control("control")?;
    let word = architecture.of_debian();
    let changed = match name {
        _ if name == format!("linux-image-{word}") => {
            let depends = field(&fields, "Depends")?;
            let kernel = depends.split([' ', ',']).next().unwrap_or_default();
            set(&set(&fields, "Package", "linux-image-generic")?, "Depends", &depends.replace(kernel, KERNEL))?
        }
        // The one whose version is in its name; Ubuntu's calls it without Debian's own release.
        kernel if kernel.starts_with("linux-image-") => set(&fields, "Package", KERNEL)?,
        // Not as in Debian: the shim of Ubuntu is one package, made below.
        "shim-signed" => set(&fields, "Package", "shim-signed-debian")?,
        "docker-compose" => set(&fields, "Package", "docker-compose-v2")?,
        "docker.io" => set(&fields, "Depends", &format!("{}, docker-cli", field(&fields, "Depends")?))?,
        _ if name == format!("grub-efi-{word}-signed") => {
            let path =
                format!("usr/lib/grub/{}-signed/grub{}.efi.signed", platform(architecture), architecture.of_efi());
            deb.change(&[&path], &[Entry { path: &path, content: grub, mode: 0o644 }])?;
            fields
        }
        _ => return Ok(()),
    };
    deb.set_control("control", &changed)
}

/// Those that differ from release to release; others depend on their exact versions.
const OF_A_RELEASE: [&str; 2] = ["base-files", "systemd"];

/// The package of this name as the release has it.
fn of_release(name: &str, mut deb: Deb, release: &Release) -> Result<Deb> {
    let fields = deb.control("control")?;
    if name == "systemd" {
        let depends = format!("{}{}", field(&fields, "Depends")?, release.systemd);
        deb.set_control("control", &set(&fields, "Depends", &depends)?)?;
    } else {
        let units = "usr/lib/systemd/system/motd-news";
        let (service, timer, os_release) = (format!("{units}.service"), format!("{units}.timer"), os_release(release));
        let files = [("usr/lib/os-release", os_release.as_str()), (&service, MOTD_SERVICE), (&timer, MOTD_TIMER)];
        let files = files.map(|(path, content)| Entry { path, content: content.as_bytes(), mode: 0o644 });
        deb.change(&["usr/lib/os-release"], &files)?;
        let script = deb.control("postinst")?;
        let (shebang, rest) = script.split_once('\n').context("an empty postinst")?;
        deb.set_control("postinst", &format!("{shebang}\n{ENABLE_MOTD}{rest}"))?;
    }
    Ok(deb)
}

fn os_release(release: &Release) -> String {
    let Release { version, codename, .. } = release;
    format!(
        "PRETTY_NAME=\"Ubuntu {version}.3 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"{version}\"\nVERSION=\"{version}.3 LTS\"\n\
         VERSION_CODENAME={codename}\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME={codename}\n"
    )
}

fn depending(name: &str, architecture: Architecture, on: &str) -> Result<Deb> {
    Deb::new(&format!("{}Depends: {on}\n", fields_of(name, architecture)), &[], &[])
}

fn fields_of(name: &str, architecture: Architecture) -> String {
    let word = architecture.of_debian();
    format!(
        "Package: {name}\nVersion: 1ubuntu1\nArchitecture: {word}\nMaintainer: Tests <tests@firstlight.invalid>\n\
         Installed-Size: 100\nPriority: optional\nDescription: made in a test\n"
    )
}

fn shim(debian: &Debian, architecture: Architecture) -> Result<Deb> {
    let name = format!("shim{}.efi.signed", architecture.of_efi());
    let shim = Deb::read(&debian.deb(debian.named("shim-signed")?)?)?.file(&format!("usr/lib/shim/{name}"))?;
    let helpers = format!("shim-helpers-{}-signed", architecture.of_debian());
    let helpers = Deb::read(&debian.deb(debian.named(&helpers)?)?)?;
    let mok_manager = format!("usr/lib/shim/mm{}.efi", architecture.of_efi());
    let content = helpers.file(&format!("{mok_manager}.signed"))?;
    let files = [(format!("usr/lib/shim/{name}.latest"), &shim), (mok_manager, &content)];
    let files = files.each_ref().map(|(path, content)| Entry { path, content, mode: 0o644 });
    // Debian's name is a link to what was not revoked.
    let script = format!(
        "#!/bin/sh\nset -e\nupdate-alternatives --install /usr/lib/shim/{name} {name} /usr/lib/shim/{name}.latest 100\n"
    );
    let script = Entry { path: "postinst", content: script.as_bytes(), mode: 0o755 };
    Deb::new(&fields_of("shim-signed", architecture), &files, &[script])
}

/// What GRUB calls UEFI on machines of `architecture`.
fn platform(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64-efi",
        Architecture::Aarch64 => "arm64-efi",
    }
}

/// GRUB for UEFI that looks into `EFI/ubuntu`, by Debian's grub-mkimage with Debian's libraries.
fn grub(debian: &Debian, architecture: Architecture, work: &Path) -> Result<Vec<u8>> {
    let root = work.join("grub");
    let modules = format!("grub-efi-{}-bin", architecture.of_debian());
    let libraries = |name: &str| name.starts_with("lib") || ["grub-common", &modules, "zlib1g"].contains(&name);
    for package in debian.packages.iter().filter(|package| libraries(&package.name) && package.size < 4_000_000) {
        let deb = debian.deb(package)?;
        crate::judge::run("dpkg-deb", &["-x", &deb.display().to_string(), &root.display().to_string()])?;
    }
    let (sbat, to) = (work.join("sbat.csv"), work.join("grub.efi"));
    fs::write(&sbat, "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n")?;
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", architecture.name()));
    let loader = match architecture {
        Architecture::X86_64 => "ld-linux-x86-64.so.2",
        Architecture::Aarch64 => "ld-linux-aarch64.so.1",
    };
    let loader = libraries.join(loader).into_os_string();
    let emulator = (architecture != Architecture::HERE).then(|| format!("qemu-{}-static", architecture.name()).into());
    let mut words = emulator.into_iter().chain([loader]);
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin/grub-mkimage"))
        .args(["-O", platform(architecture), "-p", "/EFI/ubuntu", "-d"])
        .arg(root.join("usr/lib/grub").join(platform(architecture)))
        .arg("--sbat")
        .arg(&sbat)
        .arg("-o")
        .arg(&to)
        .args(MODULES.split_whitespace())
        .output()
        .context("starting grub-mkimage")?;
    ensure!(output.status.success(), "grub-mkimage: {}", image::text(&output));
    Ok(fs::read(to)?)
}

/// The value of a field of one line.
pub fn field<'a>(fields: &'a str, name: &str) -> Result<&'a str> {
    let line = fields.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim).with_context(|| format!("no {name} in {fields}"))
}

/// The fields with another value of one.
fn set(fields: &str, name: &str, value: &str) -> Result<String> {
    field(fields, name)?;
    let line = |line: &str| match line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')) {
        true => format!("{name}: {value}\n"),
        false => format!("{line}\n"),
    };
    Ok(fields.lines().map(line).collect())
}
