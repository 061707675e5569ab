//! The virtual machine: its parts as QEMU's arguments, and its process.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, channel};

use firmware_checks::architecture::Architecture;
use firmware_checks::site;
use firmware_checks::units::{Size, Unit};
use jiff::Timestamp;

use super::{Accel, Error, Options, architecture, channel as report_channel};
use crate::image::Kind;
use firmware_checks::fat;

/// The disk of a machine that is tried without a word about its size.
const DEFAULT_DISK: (u64, Unit) = (16, Unit::GB);
/// The stick that carries a site.
const STICK_BYTES: u64 = 64 << 20;
/// Its volume id; any would do.
const STICK_ID: u32 = 0x5173_5173;

/// A port of this host's loopback that leads to a port of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// TCP port on 127.0.0.1 of this host.
    pub host: u16,
    /// TCP port of the machine.
    pub guest: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not HOST:GUEST, two TCP ports such as `8443:443`");
        let (host, guest) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self { host: host.parse().map_err(|_| wrong())?, guest: guest.parse().map_err(|_| wrong())? })
    }
}

/// A disk besides the image's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtraDisk {
    /// A new one of this size, thrown away with the machine.
    Empty(Size),
    /// What this file holds, byte for byte; the machine may write to it.
    File(PathBuf),
}

impl FromStr for ExtraDisk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_file = Path::new(text).is_file();
        match text.parse() {
            Ok(size) => Ok(Self::Empty(size)),
            Err(_) if is_file => Ok(Self::File(text.into())),
            Err(error) => Err(format!("{error}; nor is there a file `{text}`")),
        }
    }
}

/// The image on a disk of its own, ready to be started.
pub(super) struct SystemDisk {
    overlay: PathBuf,
    /// What the image is for.
    pub(super) architecture: Architecture,
}

impl SystemDisk {
    /// Makes the disk in `folder`, or takes the one that was kept: a copy-on-write overlay of the wanted size.
    pub(super) fn new(options: &Options, folder: &Path) -> Result<Self, Error> {
        let overlay = options.state.clone().unwrap_or_else(|| folder.join("disk.qcow2"));
        if options.state.is_none() || !overlay.exists() {
            make_overlay(options, &overlay)?;
        }
        let architecture = architecture::of(&overlay, folder)?;
        Ok(Self { overlay, architecture })
    }
}

/// A running machine; it ends with this value.
pub(super) struct Virtual {
    child: Child,
    stderr: Option<std::thread::JoinHandle<Vec<u8>>>,
    console: Option<std::process::ChildStdout>,
    report_socket: PathBuf,
}

impl Virtual {
    /// Starts the machine with the disk `system`; its other disks and sockets lie in `folder`.
    pub(super) fn start(options: &Options, accel: Accel, system: &SystemDisk, folder: &Path) -> Result<Self, Error> {
        let report_socket = folder.join("report.sock");
        let architecture = system.architecture;
        let program = format!("qemu-system-{}", architecture.name());
        let mut command = Command::new(&program);
        command
            .args(accel.arguments(architecture, options.cpu.as_deref()))
            .args(options.firmware.arguments(architecture, options.variables.as_deref(), folder)?)
            .args(["-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-smp", &options.cpus.to_string()])
            .args(["-m", &format!("{}M", options.memory.bytes() >> 20)])
            .args(["-rtc", "base=utc"])
            .args(screen(architecture))
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
            .args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"])
            .args(["-chardev", &format!("socket,id=report,path={},server=on,wait=off", report_socket.display())])
            .args(["-device", &format!("virtserialport,chardev=report,name={}", report_channel::NAME)])
            .args(disks(options, system, folder)?)
            .args(["-netdev", &network(&options.forwards), "-device", "virtio-net-pci,netdev=net"])
            .stdin(Stdio::inherit())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        end_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing {
                what: format!("`{program}` was not found on this host"),
                hint: match architecture {
                    Architecture::X86_64 => {
                        "install the package `qemu-system-x86` (Debian, Ubuntu) or `qemu-system-x86-core` (Fedora)"
                    }
                    Architecture::Aarch64 => {
                        "install the package `qemu-system-arm` (Debian, Ubuntu) or `qemu-system-aarch64-core` (Fedora)"
                    }
                }
                .into(),
            },
            _ => Error::Io { doing: format!("starting {program}"), source: error },
        })?;
        let console = child.stdout.take();
        let stderr = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What could not be read is only missing from an error message.
                let _ = pipe.read_to_end(&mut text);
                text
            })
        });
        Ok(Self { child, stderr, console, report_socket })
    }

    /// Where the report's channel can be connected to.
    pub(super) fn report_socket(&self) -> &Path {
        &self.report_socket
    }

    /// What the first serial port says from now on. A second call gets nothing.
    pub(super) fn console(&mut self) -> Receiver<Vec<u8>> {
        let (sender, receiver) = channel();
        if let Some(mut pipe) = self.console.take() {
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count) = pipe.read(&mut chunk) {
                    if count == 0 || sender.send(chunk[..count].to_vec()).is_err() {
                        break;
                    }
                }
            });
        }
        receiver
    }

    /// Its exit status and the end of its standard error, once it has ended by itself.
    pub(super) fn ended(&mut self) -> Option<(String, String)> {
        let status = self.child.try_wait().ok().flatten()?;
        let stderr = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let tail = stderr.len().saturating_sub(1024);
        Some((status.to_string(), String::from_utf8_lossy(&stderr[tail..]).trim().to_owned()))
    }
}

/// Has the kernel kill QEMU when this program is killed: a machine that nobody watches only burns the processor.
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec the closure makes one system call, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into));
    }
}

impl Drop for Virtual {
    fn drop(&mut self) {
        // It has ended by itself, or is ended here; either way there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A screen: what every PC has, and what there is without one's ports.
fn screen(architecture: Architecture) -> [&'static str; 2] {
    match architecture {
        Architecture::X86_64 => ["-vga", "std"],
        Architecture::Aarch64 => ["-device", "virtio-gpu-pci"],
    }
}

/// The system's disk, further disks, and the stick with the site.
fn disks(options: &Options, system: &SystemDisk, folder: &Path) -> Result<Vec<String>, Error> {
    let mut arguments = match &options.log_writes {
        Some(log) => recorded_drive("system", &system.overlay, log)?,
        None => drive("system", "qcow2", &system.overlay),
    };
    arguments.extend(["-device".into(), "virtio-blk-pci,drive=system,serial=firstlight-system,bootindex=1".into()]);
    for (number, disk) in options.extra_disks.iter().enumerate() {
        let path = match disk {
            ExtraDisk::File(path) => path.clone(),
            ExtraDisk::Empty(size) => {
                let path = folder.join(format!("extra{number}.raw"));
                let made = File::create(&path).and_then(|file| file.set_len(size.bytes()));
                made.map_err(Error::io(format!("making {}", path.display())))?;
                path
            }
        };
        arguments.extend(drive(&format!("extra{number}"), "raw", &path));
        let device = format!("virtio-blk-pci,drive=extra{number},serial=firstlight-extra{number}");
        arguments.extend(["-device".into(), device]);
    }
    if let Some(site) = &options.site {
        let stick = folder.join("site.raw");
        make_stick(site, &stick)?;
        arguments.extend(drive("site", "raw", &stick));
        arguments.extend(["-device", "qemu-xhci", "-device", "usb-storage,drive=site"].map(String::from));
    }
    Ok(arguments)
}

fn drive(id: &str, format: &str, file: &Path) -> Vec<String> {
    // The disks are thrown away with the machine: nothing is gained by waiting for this host's own disk.
    vec!["-drive".into(), format!("if=none,id={id},format={format},cache=unsafe,file={}", file.display())]
}

/// A drive whose every write and flush also goes into the new file `log`.
fn recorded_drive(id: &str, overlay: &Path, log: &Path) -> Result<Vec<String>, Error> {
    File::create(log).map_err(Error::io(format!("making {}", log.display())))?;
    let (overlay, log) = (overlay.display(), log.display());
    let nodes = [
        format!("driver=file,node-name={id}-file,filename={overlay},cache.no-flush=on"),
        format!("driver=qcow2,node-name={id}-disk,file={id}-file"),
        format!("driver=file,node-name={id}-log,filename={log},cache.no-flush=on"),
        format!("driver=blklogwrites,node-name={id},file={id}-disk,log={id}-log"),
    ];
    Ok(nodes.into_iter().flat_map(|node| ["-blockdev".to_owned(), node]).collect())
}

fn make_overlay(options: &Options, overlay: &Path) -> Result<(), Error> {
    let image = fs::canonicalize(&options.image)
        .map_err(Error::io(format!("opening the image {}", options.image.display())))?;
    let kind = File::open(&image).and_then(|image| Kind::of(&image));
    let (kind, image_size) = kind.map_err(Error::io(format!("opening {}", image.display())))?;
    let wanted = options.disk_size.unwrap_or(Size::new(DEFAULT_DISK.0, DEFAULT_DISK.1)).bytes();
    if options.disk_size.is_some_and(|size| size.bytes() < image_size) {
        return Err(Error::Input(format!(
            "--disk-size: {wanted} bytes are less than the image's {image_size}; an image never shrinks"
        )));
    }
    let output = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", kind.of_qemu(), "-b"])
        .arg(&image)
        .arg(overlay)
        .arg(wanted.max(image_size).to_string())
        .output()
        .map_err(|source| Error::Missing {
            what: format!("`qemu-img` could not be started: {source}"),
            hint: "install the package `qemu-utils` (Debian, Ubuntu) or `qemu-img` (Fedora)".into(),
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Input(format!(
        "qemu-img create {}: {}",
        overlay.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// A stick as an admin would make it: one FAT file system labelled `SITE` with the folder's files.
fn make_stick(folder: &Path, stick: &Path) -> Result<(), Error> {
    let doing = || format!("making a stick of the site folder {}", folder.display());
    let wrong = |error: fat::Error| Error::Input(format!("{}: {error}", doing()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(stick);
    let file = file.map_err(Error::io(doing()))?;
    file.set_len(STICK_BYTES).map_err(Error::io(doing()))?;
    let mut volume =
        fat::Volume::format(&file, 0..STICK_BYTES, site::LABEL, STICK_ID, Timestamp::now()).map_err(wrong)?;
    for name in [site::CONFIGURATION, site::CERTIFICATE, site::KEY, site::AUTHORITY] {
        let path = folder.join(name);
        if path.exists() {
            let content = fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?;
            volume.write_file(name, &content).map_err(wrong)?;
        }
    }
    volume.finish().map_err(wrong)
}

/// A network behind QEMU's own address translation, with the forwards that were asked for.
fn network(forwards: &[Forward]) -> String {
    let mut text = String::from("user,id=net");
    for Forward { host, guest } in forwards {
        text.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_disk_is_a_size_or_a_file_that_is_there() {
        assert_eq!("2 GB".parse(), Ok(ExtraDisk::Empty("2 GB".parse().unwrap())));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(file.path().to_str().unwrap().parse(), Ok(ExtraDisk::File(file.path().into())));
        let told = "no/such/file".parse::<ExtraDisk>().unwrap_err();
        assert!(told.contains("nor is there a file `no/such/file`"), "{told}");
    }

    #[test]
    fn a_forward_is_two_ports() {
        assert_eq!("8443:443".parse(), Ok(Forward { host: 8443, guest: 443 }));
        for wrong in ["8443", "8443:", ":443", "a:b", "70000:1"] {
            assert!(wrong.parse::<Forward>().unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
