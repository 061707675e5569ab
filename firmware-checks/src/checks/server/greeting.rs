//! What a server of a kind says first, or to the least that can be asked: that it is one.

use std::io::{self, Read, Write};

use super::{CONNECT, Obstacle};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// PostgreSQL's frontend/backend protocol, 3.
    Postgresql,
    /// MySQL's and MariaDB's client/server protocol, 10.
    Mysql,
    /// Microsoft SQL Server's TDS 7.
    SqlServer,
    /// Mail (RFC 5321).
    Smtp,
    /// SSH 2 (RFC 4253).
    Ssh,
    /// NFS (RFC 7530, and ONC RPC, RFC 5531).
    Nfs,
}

/// PostgreSQL: may we speak TLS? (`SSLRequest`)
const MAY_WE_USE_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// TDS: a `PRELOGIN` with version 0 and no encryption asked for.
#[rustfmt::skip]
const PRELOGIN: [u8; 26] = [
    0x12, 1, 0, 26, 0, 0, 0, 0,
    0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff,
    0, 0, 0, 0, 0, 0, 0,
];
/// ONC RPC: the procedure of NFS 4 that does nothing.
#[rustfmt::skip]
const NFS_NULL: [u8; 44] = [
    0x80, 0, 0, 40, b'f', b'l', b'n', b'f', 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa3, 0, 0, 0, 4, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// The most that a server's first line or word may be long, in bytes.
const LINE: usize = 512;

impl Protocol {
    /// What such a server is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mysql => "MySQL or MariaDB",
            Self::SqlServer => "SQL Server",
            Self::Smtp => "a mail relay",
            Self::Ssh => "an SSH server",
            Self::Nfs => "an NFS server",
        }
    }

    /// What the server at the other end of `stream` says of itself, in a few words that may be none.
    pub(crate) fn greet(self, stream: impl Read + Write) -> Result<String, Obstacle> {
        let mut conversation = Conversation(stream);
        let said = match self {
            Self::Postgresql => conversation.postgresql(),
            Self::Mysql => conversation.mysql(),
            Self::SqlServer => conversation.sql_server(),
            Self::Smtp => conversation.line().map(|line| line.strip_prefix("220").map(str::to_owned).ok_or(line)),
            Self::Ssh => conversation.line().map(|line| line.strip_prefix("SSH-2.0-").map(str::to_owned).ok_or(line)),
            Self::Nfs => conversation.nfs(),
        };
        match said {
            Ok(Ok(said)) => Ok(said.trim_start_matches(['-', ' ']).to_owned()),
            Ok(Err(said)) => Err(Obstacle::Answer(format!("it says `{said}`, as {} does not", self.name()))),
            Err(error) => Err(Obstacle::Answer(silence(&error))),
        }
    }
}

/// Bytes of a server as text that can be shown.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect::<String>().trim_end().to_owned()
}

fn silence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("it says nothing within {} s", CONNECT.as_secs())
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it hangs up without a word".to_owned()
        }
        _ => error.to_string().to_lowercase(),
    }
}

/// What a server said: of itself, or what such a server does not say.
type Said = io::Result<Result<String, String>>;

struct Conversation<S>(S);

impl<S: Read + Write> Conversation<S> {
    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    fn hear<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The first line, without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        while bytes.len() < LINE {
            let [byte] = self.hear()?;
            if byte == b'\n' {
                break;
            }
            bytes.push(byte);
        }
        Ok(shown(bytes.strip_suffix(b"\r").unwrap_or(&bytes)))
    }

    /// One letter, and nothing behind it: others begin a line with it.
    fn postgresql(&mut self) -> Said {
        self.say(&MAY_WE_USE_TLS)?;
        let mut answer = [0; 64];
        let count = self.0.read(&mut answer)?;
        match &answer[..count] {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            b"S" => Ok(Ok("with TLS".to_owned())),
            b"N" => Ok(Ok("without TLS".to_owned())),
            other => Ok(Err(shown(other))),
        }
    }

    /// A packet: its length in three bytes, its number, and then the protocol's version and the server's, or an error.
    fn mysql(&mut self) -> Said {
        let [low, middle, high, _, first] = self.hear()?;
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        if !matches!(first, 10 | 0xff) || length > LINE {
            return Ok(Err(shown(&[low, middle, high, first])));
        }
        let mut rest = vec![0; length.saturating_sub(1)];
        self.0.read_exact(&mut rest)?;
        Ok(match first {
            10 => Ok(shown(rest.split(|byte| *byte == 0).next().unwrap_or_default())),
            // Such as that it takes no connection from this machine: a number, and words.
            _ => Err(shown(rest.get(2..).unwrap_or_default())),
        })
    }

    fn sql_server(&mut self) -> Said {
        self.say(&PRELOGIN)?;
        let header: [u8; 8] = self.hear()?;
        Ok(if header[0] == 4 { Ok(String::new()) } else { Err(shown(&header)) })
    }

    /// A reply to our call, accepted by the program: even where it knows other versions alone, it is NFS.
    fn nfs(&mut self) -> Said {
        self.say(&NFS_NULL)?;
        let reply: [u8; 28] = self.hear()?;
        let word = |at: usize| u32::from_be_bytes([reply[at], reply[at + 1], reply[at + 2], reply[at + 3]]);
        let ours = reply[4..8] == NFS_NULL[4..8] && word(8) == 1;
        Ok(match (ours, word(12), word(24)) {
            (true, 0, 0 | 2) => Ok(String::new()),
            (true, 0, 1) => Err("no NFS here".to_owned()),
            (true, 1, _) => Err("refused".to_owned()),
            _ => Err(shown(&reply)),
        })
    }
}
