//! A small HTTP/1.1 server for tests: serves a folder as a mirror would, and breaks on demand.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server answers with this status and an empty body.
    Status(u16),
    /// It announces the whole body, sends so many bytes of it and then nothing, with the connection open.
    Stall(u64),
    /// It announces the whole body, sends so many bytes of it and closes the connection.
    Truncate(u64),
    /// It inverts one bit of the byte at this offset of the file.
    FlipBit(u64),
    /// It sends the whole file although a part was asked for.
    IgnoreRange,
    /// It sends the body this slowly: a pause after each 16 KiB.
    Slow(Duration),
}

/// One request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its path, from the `/` on.
    pub path: String,
    /// The offset that was asked for, if any was.
    pub from: Option<u64>,
    /// The lines of its header, in lower case.
    pub headers: Vec<String>,
    /// Which fault was applied.
    pub fault: Option<Fault>,
    /// The client's end of the connection, by which kept-alive connections can be told.
    pub peer: SocketAddr,
}

struct Rule {
    part_of_path: String,
    fault: Fault,
    times: usize,
}

/// Brings what the folder lacks: the path that was asked for, and the file to write. An error is answered with 404.
pub type Origin = Box<dyn Fn(&str, &Path) -> io::Result<()> + Send + Sync>;

#[derive(Default)]
struct State {
    folder: PathBuf,
    origin: Option<Origin>,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<Request>>,
    closed: AtomicBool,
}

/// A mirror that runs until it is dropped.
pub struct Mirror {
    address: SocketAddr,
    state: Arc<State>,
}

impl Mirror {
    /// Serves `folder` on a free port of the loopback address.
    ///
    /// # Errors
    /// No port can be had.
    pub fn serve(folder: &Path) -> io::Result<Self> {
        Self::start(State { folder: folder.to_owned(), ..State::default() })
    }

    /// As [`serve`](Self::serve), but what `folder` lacks is brought into it by `origin` first: a whole archive can be
    /// served, and made to fail, of which only what is asked for is copied.
    ///
    /// # Errors
    /// No port can be had.
    pub fn relay(folder: &Path, origin: Origin) -> io::Result<Self> {
        Self::start(State { folder: folder.to_owned(), origin: Some(origin), ..State::default() })
    }

    fn start(state: State) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closed.load(Ordering::Relaxed) {
                    break;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&shared)) else { continue };
                std::thread::spawn(move || {
                    // A client that went away is not this server's error.
                    let _ = converse(&stream, &state);
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Its root, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next `times` requests whose path contains `part_of_path` go wrong. Faults of the same path apply in the order in
    /// which they were given.
    pub fn fail(&self, part_of_path: &str, fault: Fault, times: usize) {
        let rule = Rule { part_of_path: part_of_path.to_owned(), fault, times };
        self.state.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of one connection.
fn converse(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    let mut reader = BufReader::new(stream);
    while let Some((path, headers)) = read_request(&mut reader)? {
        let fault = state.take_fault(&path);
        let range = headers.iter().find_map(|header| header.strip_prefix("range: bytes="));
        let from = range.and_then(|range| range.trim_end_matches('-').parse().ok());
        let request = Request { path: path.clone(), from, headers, fault, peer };
        state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        if !answer(stream, state, &path, from, fault)? {
            break;
        }
    }
    Ok(())
}

impl State {
    fn take_fault(&self, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && path.contains(&rule.part_of_path))?;
        rule.times -= 1;
        Some(rule.fault)
    }

    /// The file that `path` names; what follows a `?` names nothing.
    fn file(&self, path: &str) -> Option<std::fs::File> {
        let path = path.split('?').next().unwrap_or(path);
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        let file = self.folder.join(path.trim_start_matches('/'));
        if !file.is_file() {
            self.bring(path, &file).ok()?;
        }
        std::fs::File::open(file).ok()
    }

    fn bring(&self, path: &str, file: &Path) -> io::Result<()> {
        let origin = self.origin.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let folder = file.parent().unwrap_or(file);
        std::fs::create_dir_all(folder)?;
        let temporary = folder.join(format!(".{:?}", std::thread::current().id()));
        let brought = origin(path, &temporary).and_then(|()| std::fs::rename(&temporary, file));
        if brought.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        brought
    }
}

/// Path and header of the next request; none where the client closed the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, Vec<String>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            return Ok(Some((path, headers)));
        }
        headers.push(header.trim().to_ascii_lowercase());
    }
}

/// Whether the connection may be used again.
fn answer(
    mut stream: &TcpStream,
    state: &State,
    path: &str,
    from: Option<u64>,
    fault: Option<Fault>,
) -> io::Result<bool> {
    let empty = |mut stream: &TcpStream, status: u16| {
        write!(stream, "HTTP/1.1 {status} {}\r\nContent-Length: 0\r\n\r\n", reason(status))
    };
    if let Some(Fault::Status(status)) = fault {
        empty(stream, status)?;
        return Ok(true);
    }
    let Some(mut file) = state.file(path) else {
        empty(stream, 404)?;
        return Ok(true);
    };
    let size = file.metadata()?.len();
    let from = from.filter(|_| fault != Some(Fault::IgnoreRange));
    if from.is_some_and(|from| from >= size) {
        empty(stream, 416)?;
        return Ok(true);
    }
    let start = from.unwrap_or(0);
    match from {
        Some(from) => {
            write!(stream, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}\r\n", size - 1)?;
        }
        None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    write!(stream, "Accept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n", size - start)?;
    file.seek(SeekFrom::Start(start))?;
    send(stream, &mut file, start, fault)
}

fn send(mut stream: &TcpStream, file: &mut impl Read, start: u64, fault: Option<Fault>) -> io::Result<bool> {
    let limit = match fault {
        Some(Fault::Stall(bytes) | Fault::Truncate(bytes)) => bytes,
        _ => u64::MAX,
    };
    let (mut buffer, mut offset, mut left) = (vec![0; 16 * 1024], start, limit);
    while left > 0 {
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = file.read(&mut buffer[..room])?;
        if count == 0 {
            return Ok(true);
        }
        if let Some(Fault::FlipBit(at)) = fault
            && (offset..offset + count as u64).contains(&at)
        {
            buffer[usize::try_from(at - offset).unwrap_or(0)] ^= 1;
        }
        stream.write_all(&buffer[..count])?;
        if let Some(Fault::Slow(pause)) = fault {
            std::thread::sleep(pause);
        }
        offset += count as u64;
        left -= count as u64;
    }
    if let Some(Fault::Stall(_)) = fault {
        // Until the client has had enough.
        let _ = stream.read(&mut [0; 1]);
    }
    Ok(false)
}

fn reason(status: u16) -> &'static str {
    match status {
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
