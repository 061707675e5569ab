//! Running the two programs that this room needs: `nft` (nftables) and `ip` (iproute2).

use std::io::Write;
use std::process::{Command, Stdio};

use super::Error;

/// A program that may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Reads and writes the rules.
    Nft,
    /// Makes and removes interfaces, addresses and routing rules.
    Ip,
}

impl Program {
    /// Its name, for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Ip => "ip",
        }
    }

    /// Where distributions put it; a service's search path need not hold the system's folders.
    fn path(self) -> &'static str {
        let candidates: &[&str] = match self {
            Self::Nft => &["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"],
            Self::Ip => &["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"],
        };
        candidates.iter().find(|path| std::path::Path::new(path).exists()).unwrap_or(&candidates[0])
    }

    /// Runs it in the network namespace of the calling thread with `input` on its standard input; gives its
    /// standard output.
    ///
    /// # Errors
    /// It is not there, could not be run or did not succeed; with the last KiB of what it said.
    pub fn run(self, arguments: &[&str], input: &str) -> Result<Vec<u8>, Error> {
        let doing = || format!("{} {}", self.name(), arguments.join(" "));
        let start = |source| Error::Start { program: self.name(), source };
        let mut child = Command::new(self.path())
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        // Neither program answers before it has read all; one that ends early tells why by its status.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = &output.stderr[output.stderr.len().saturating_sub(1024)..];
        let said = String::from_utf8_lossy(said).trim().to_owned();
        Err(Error::Failed { doing: doing(), status: output.status, said })
    }
}
