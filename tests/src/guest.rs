//! A machine that runs the image under test, by `firstlight boot`: its console, its newest report, its shell.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use firmware_checks::report::{Report, Verdict};

use crate::image;
use crate::site::TestSite;

/// How long a machine that reports may take until it lets its admin in.
const LOGIN: Duration = Duration::from_secs(120);
/// What a kernel says that found no working timer.
const EMULATOR_PANIC: &str = "IO-APIC + timer doesn't work";

/// For its shell: everything that SELinux has denied since the machine was switched on.
pub const DENIED_BY_SELINUX: &str =
    "sudo journalctl --boot --no-pager --output cat | grep -E 'avc: +denied|SELINUX_ERR' | sort --unique || true";

/// How a machine under test differs from the usual one.
pub struct Settings<'a> {
    /// Names its folder below `target/e2e`.
    pub name: &'a str,
    /// The image.
    pub image: &'a Path,
    /// The site on its stick.
    pub site: Option<&'a TestSite>,
    /// Further arguments of `firstlight boot`.
    pub arguments: &'a [&'a str],
    /// Ports of the machine to reach.
    pub ports: &'a [u16],
    /// Whether it stays on after its verdict.
    pub keep: bool,
}

/// A running machine; it is switched off with this value.
pub struct Guest {
    command: Command,
    child: Child,
    restarts: u32,
    folder: PathBuf,
    ssh_key: Option<PathBuf>,
    forwards: Vec<(u16, u16)>,
}

impl Guest {
    /// Starts a machine.
    ///
    /// # Errors
    /// `firstlight` is not there.
    pub fn start(settings: &Settings<'_>) -> Result<Self> {
        let folder = image::scratch(settings.name);
        fs::create_dir_all(&folder)?;
        for stale in ["report.json", "console.log", "boot.log"] {
            let _ = fs::remove_file(folder.join(stale));
        }
        let mut command = image::command();
        command.arg("boot").arg(settings.image).args(["--accel", "tcg"]).args(settings.arguments);
        command.arg("--report").arg(folder.join("report.json"));
        if let Some(site) = settings.site {
            command.arg("--site").arg(&site.folder);
        }
        if settings.keep {
            command.arg("--keep");
        }
        let mut forwards = Vec::new();
        for guest in settings.ports {
            let host = free_port()?;
            command.arg("--forward").arg(format!("{host}:{guest}"));
            forwards.push((host, *guest));
        }
        let child = spawn(&mut command, &folder)?;
        let ssh_key = settings.site.map(|site| site.ssh_key.clone());
        Ok(Self { command, child, restarts: 0, folder, ssh_key, forwards })
    }

    /// Starts the machine anew where the emulator's clock, not the image, kept its kernel from starting: on a busy host
    /// TCG sometimes gives the kernel too few timer interrupts while it looks for them.
    fn restart_after_emulator_panic(&mut self) -> Result<()> {
        if self.restarts < 2 && self.console()?.contains(EMULATOR_PANIC) {
            self.restarts += 1;
            self.child.kill()?;
            self.child.wait()?;
            self.child = spawn(&mut self.command, &self.folder)?;
        }
        Ok(())
    }

    /// Logs in with `key` from now on, for a machine that got its site by another way than the stick.
    pub fn log_in_with(&mut self, key: &Path) {
        self.ssh_key = Some(key.to_owned());
    }

    /// The port of this host that leads to the machine's `port`.
    #[must_use]
    pub fn port(&self, port: u16) -> u16 {
        self.forwards.iter().find(|(_, guest)| *guest == port).map_or(0, |(host, _)| *host)
    }

    /// Everything that the console has shown, escape sequences taken out.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn console(&self) -> Result<String> {
        Ok(without_escapes(&String::from_utf8_lossy(&fs::read(self.folder.join("console.log"))?)))
    }

    /// Types `line` and Return at the console.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let keyboard = self.child.stdin.as_mut().context("the console has no keyboard")?;
        keyboard.write_all(format!("{line}\r").as_bytes()).context("typing at the console")
    }

    /// Waits until the console has shown `text` after its first `from` characters, and answers how many characters it
    /// has shown up to the end of that.
    ///
    /// # Errors
    /// It is not seen within `limit`: with the end of the console.
    pub fn wait_for_console(&mut self, text: &str, from: usize, limit: Duration) -> Result<usize> {
        let started = Instant::now();
        loop {
            let console = self.console()?;
            let fresh = console.get(from..).unwrap_or_default();
            if let Some(at) = fresh.find(text) {
                return Ok(from + at + text.len());
            }
            self.restart_after_emulator_panic()?;
            if started.elapsed() > limit {
                bail!("the console has not shown `{text}` within {} s:\n{fresh}", limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The newest report.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        serde_json::from_slice(&fs::read(self.folder.join("report.json")).ok()?).ok()
    }

    /// Waits until the newest report is as `wanted`.
    ///
    /// # Errors
    /// The machine ended, or `limit` has passed: with the newest report and the end of the console.
    pub fn wait_for(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Report) -> bool) -> Result<Report> {
        let started = Instant::now();
        loop {
            let report = self.report();
            if let Some(report) = report.as_ref().filter(|report| wanted(report)) {
                return Ok(report.clone());
            }
            self.restart_after_emulator_panic()?;
            let ended = self.child.try_wait()?;
            if ended.is_some() || started.elapsed() > limit {
                let console = self.console()?;
                let tail: String =
                    console.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
                let told = fs::read_to_string(self.folder.join("boot.log")).unwrap_or_default();
                bail!(
                    "{what}: not seen within {} s (machine {ended:?})\n{told}\nnewest report: {report:#?}\nconsole:\n{tail}",
                    started.elapsed().as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until `firstlight boot` ends by itself.
    ///
    /// # Errors
    /// It does not end within `limit`.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("firstlight boot did not end within {} s\n{}", limit.as_secs(), self.console()?)
    }

    /// Runs a shell command on the machine as `admin` and answers its standard output.
    ///
    /// # Errors
    /// It can't be reached, or the command's exit status is not 0.
    pub fn shell(&self, command: &str) -> Result<String> {
        self.shell_with(command, "")
    }

    /// Runs a shell command, as [`shell`](Self::shell) does, whose output must be `expected` but for white space around it.
    ///
    /// # Errors
    /// As there; or it says something else.
    pub fn answers(&self, command: &str, expected: &str) -> Result<()> {
        let found = self.shell(command)?;
        ensure!(found.trim() == expected, "{command}: found `{}`, expected `{expected}`", found.trim());
        Ok(())
    }

    /// As [`shell`](Self::shell), with `input` on the command's standard input.
    ///
    /// # Errors
    /// As there.
    pub fn shell_with(&self, command: &str, input: &str) -> Result<String> {
        let started = Instant::now();
        loop {
            let mut child =
                self.ssh(command)?.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            // A connection that broke off is told by the exit status.
            let _ = child.stdin.take().context("no standard input")?.write_all(input.as_bytes());
            let output = child.wait_with_output()?;
            // 255 is ssh's own: the first verdict may be there before sshd is.
            if output.status.code() == Some(255) && started.elapsed() < LOGIN {
                std::thread::sleep(Duration::from_secs(2));
                continue;
            }
            ensure!(output.status.success(), "on the machine: {command}: {}", image::text(&output));
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
    }

    fn ssh(&self, command: &str) -> Result<Command> {
        let key = self.ssh_key.as_ref().context("a machine without a site has no SSH key")?;
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-o", "ConnectionAttempts=3"])
            .args(["-p", &self.port(22).to_string(), "-i"])
            .arg(key)
            .arg("admin@127.0.0.1")
            .arg(command);
        Ok(ssh)
    }
}

fn spawn(command: &mut Command, folder: &Path) -> Result<Child> {
    command
        .stdin(Stdio::piped())
        .stdout(File::create(folder.join("console.log"))?)
        .stderr(File::create(folder.join("boot.log"))?)
        .spawn()
        .context("starting firstlight boot")
}

impl Drop for Guest {
    fn drop(&mut self) {
        // QEMU dies with its parent's pipe or is killed by it; what counts is that the next test has the cores.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The verdict of the check `id`.
///
/// # Errors
/// The report has none.
pub fn verdict<'a>(report: &'a Report, id: &str) -> Result<&'a Verdict> {
    let ids = || report.checks.iter().map(|check| check.id.as_str()).collect::<Vec<_>>().join(" ");
    report.checks.iter().find(|check| check.id == id).with_context(|| format!("no {id} among {}", ids()))
}

/// A TCP port that nothing on this host listens on just now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// `text` without the escape sequences of ECMA-48 and without carriage returns.
#[must_use]
pub fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' if characters.next_if_eq(&'[').is_some() => {
                while characters.next_if(|next| !('@'..='~').contains(next)).is_some() {}
                characters.next();
            }
            '\u{1b}' => drop(characters.next()),
            '\r' => {}
            other => plain.push(other),
        }
    }
    plain
}
