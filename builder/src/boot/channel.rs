//! The virtio channel through which the appliance sends each changed report, one line of JSON each.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use firmware_checks::report::Report;

/// The name of the channel, under which the guest finds it in `/dev/virtio-ports/`.
pub(super) const NAME: &str = "org.firstlight.report";

/// The host's end.
pub(super) struct Channel {
    path: PathBuf,
    stream: Option<UnixStream>,
    pending: Vec<u8>,
}

impl Channel {
    /// The channel behind the socket `path`, which QEMU makes.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), stream: None, pending: Vec::new() }
    }

    /// The newest report that has arrived whole since the last call.
    pub(super) fn newest(&mut self) -> Option<Report> {
        self.read();
        let end = self.pending.iter().rposition(|byte| *byte == b'\n')?;
        let lines: Vec<u8> = self.pending.drain(..=end).collect();
        lines.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty()).find_map(|line| {
            serde_json::from_slice(line)
                .inspect_err(|error| eprintln!("firstlight: a report could not be read: {error}"))
                .ok()
        })
    }

    fn read(&mut self) {
        if self.stream.is_none() {
            let stream = UnixStream::connect(&self.path).ok();
            self.stream = stream.filter(|stream| stream.set_nonblocking(true).is_ok());
        }
        let Some(stream) = &mut self.stream else { return };
        let mut chunk = [0; 65536];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => break self.stream = None,
                Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break self.stream = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn line(version: &str) -> String {
        format!(
            r#"{{"schema":1,"ready":true,"appliance":"a","version":"{version}","base":"b","hostname":"h",
            "addresses":[],"time":"2026-01-01T00:00:00Z","gate":"shut","checks":[]}}"#
        )
        .replace('\n', " ")
    }

    #[test]
    fn gives_the_newest_whole_line_and_waits_for_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let mut channel = Channel::at(&path);
        assert!(channel.newest().is_none());
        let (mut guest, _) = listener.accept().unwrap();
        let half = line("3");
        write!(guest, "{}\n{}\n{}", line("1"), line("2"), &half[..40]).unwrap();
        assert_eq!(channel.newest().unwrap().version, "2");
        assert!(channel.newest().is_none());
        writeln!(guest, "{}", &half[40..]).unwrap();
        assert_eq!(channel.newest().unwrap().version, "3");
    }
}
