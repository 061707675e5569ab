//! One download: the mirrors in turn, resumed where it broke off, kept only when its digest is right.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::http::StatusCode;

use super::http::{self, Failure};
use super::part::Part;
use super::{Download, Error, Result, Store};
use crate::progress::{Transfer, grouped};

/// How a try ended.
enum Outcome {
    Done,
    Failed(Failure),
    /// Other bytes came than were promised. `resumed`: some of them were from an earlier try, and may be to blame.
    Differs {
        found: String,
        resumed: bool,
    },
}

/// A URL and what came of it.
struct Candidate<'a> {
    url: &'a str,
    /// Its last answer.
    answer: String,
    dropped: bool,
    /// It delivered other bytes than were promised, in addition to what lay here.
    doubted: bool,
}

/// Gives false where another process brought the file in the meantime.
pub(super) fn download(store: &Store, wanted: &Download, transfer: &Transfer, stop: &AtomicBool) -> Result<bool> {
    let entry = store.entry(&wanted.sha256);
    let Some(part) = Part::lock(&store.partial(&wanted.sha256), &entry, wanted.size)? else {
        transfer.found(wanted.size);
        // Whoever brought it has verified it; this process verifies it by itself when it is used.
        return Ok(false);
    };
    transfer.found(part.length());
    let mut fetching = Fetching { store, wanted, transfer, stop, part, differs: None };
    let synced = fetching.mirrors_in_turn().and_then(|()| {
        let full = |source| store.write_failed(&wanted.label, wanted.size, source);
        fetching.part.sync().map_err(full)
    });
    let failure = match synced {
        Ok(()) => {
            fetching.part.finish(&entry)?;
            store.seen().insert(wanted.sha256.clone());
            return Ok(true);
        }
        Err(failure) => failure,
    };
    // What is wrong or did not fit is not kept; a beginning is.
    let of_use = matches!(failure, Error::Unavailable { .. } | Error::GivenUp { .. });
    if !of_use || fetching.part.length() == 0 {
        fetching.part.discard();
    }
    Err(failure)
}

struct Fetching<'a> {
    store: &'a Store,
    wanted: &'a Download,
    transfer: &'a Transfer,
    stop: &'a AtomicBool,
    part: Part,
    differs: Option<Error>,
}

impl Fetching<'_> {
    fn mirrors_in_turn(&mut self) -> Result<()> {
        let wanted = self.wanted;
        let mut candidates: Vec<Candidate> = wanted
            .urls
            .iter()
            .map(|url| Candidate { url, answer: String::new(), dropped: false, doubted: false })
            .collect();
        let mut vain = 0;
        loop {
            let mut gained = false;
            for candidate in candidates.iter_mut().filter(|candidate| !candidate.dropped) {
                let before = self.part.length();
                match self.attempt(candidate.url)? {
                    Outcome::Done => return Ok(()),
                    Outcome::Failed(failure) => {
                        candidate.dropped = matches!(failure, Failure::Lasting(_));
                        candidate.answer = failure.reason();
                        gained |= self.part.length() > before;
                    }
                    Outcome::Differs { found, resumed } => {
                        self.begin_anew()?;
                        candidate.dropped = !resumed || candidate.doubted;
                        candidate.doubted = true;
                        candidate.answer = format!("digest differs: {found}");
                        if candidate.dropped && self.differs.is_none() {
                            self.differs = Some(self.differs(candidate.url, found));
                        }
                    }
                }
            }
            vain = if gained { 0 } else { vain + 1 };
            if vain >= self.store.network.rounds || candidates.iter().all(|candidate| candidate.dropped) {
                break;
            }
            self.pause(self.store.network.pause_after(vain.max(1)))?;
        }
        let attempts = candidates.into_iter().map(|candidate| (candidate.url.to_owned(), candidate.answer)).collect();
        let unavailable = Error::Unavailable { label: wanted.label.clone(), attempts };
        Err(self.differs.take().unwrap_or(unavailable))
    }

    fn attempt(&mut self, url: &str) -> Result<Outcome> {
        let resumed = self.part.length() > 0;
        // An earlier run may have been killed between the last byte and the rename.
        let is_whole = self.part.length() == self.wanted.size && self.wanted.size > 0;
        if !is_whole && let Err(failure) = self.receive(url)? {
            return Ok(Outcome::Failed(failure));
        }
        let found = self.part.sha256();
        if self.part.length() == self.wanted.size && found == self.wanted.sha256 {
            return Ok(Outcome::Done);
        }
        let found = match self.part.length() {
            length if length == self.wanted.size => format!("sha256 {found}"),
            length if length > self.wanted.size => "more bytes".to_owned(),
            length => format!("{} bytes", grouped(length)),
        };
        Ok(Outcome::Differs { found, resumed })
    }

    /// Appends what the server sends, until it is whole or too much.
    fn receive(&mut self, url: &str) -> Result<std::result::Result<(), Failure>> {
        let from = self.part.length();
        let response = match http::request(&self.store.agent, url, from) {
            Ok(response) => response,
            Err(Failure::Passing(reason)) if reason.starts_with("416") => {
                self.begin_anew()?;
                return Ok(Err(Failure::Passing(reason)));
            }
            Err(failure) => return Ok(Err(failure)),
        };
        let continues = response.status() == StatusCode::PARTIAL_CONTENT && http::range_start(&response) == Some(from);
        if !continues {
            if response.status() == StatusCode::PARTIAL_CONTENT {
                let reason = "the server sent another part of the file than was asked for".to_owned();
                return Ok(Err(Failure::Lasting(reason)));
            }
            self.begin_anew()?;
        }
        let announced = http::announced_length(&response).map(|length| length + self.part.length());
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 128 * 1024];
        while self.part.length() <= self.wanted.size {
            let count = match reader.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(Failure::Passing(self.broken(&error)))),
            };
            if count == 0 {
                break;
            }
            self.keep(&buffer[..count])?;
        }
        let length = self.part.length();
        // A shorter body than announced was cut off; one as long as announced is another file, and its digest tells.
        if length < self.wanted.size && announced != Some(length) {
            return Ok(Err(Failure::Passing(format!("the connection ended after {} bytes", grouped(length)))));
        }
        Ok(Ok(()))
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::GivenUp { label: self.wanted.label.clone() });
        }
        self.part
            .append(bytes)
            .map_err(|source| self.store.write_failed(&self.wanted.label, self.wanted.size, source))?;
        self.transfer.received(bytes.len() as u64);
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> String {
        let (length, size) = (grouped(self.part.length()), grouped(self.wanted.size));
        format!("broke off after {length} of {size} bytes ({error})")
    }

    fn begin_anew(&mut self) -> Result<()> {
        self.transfer.lost(self.part.length());
        self.part.reset().map_err(Error::io("truncating", self.store.partial(&self.wanted.sha256)))
    }

    fn differs(&self, url: &str, found: String) -> Error {
        Error::Digest {
            label: self.wanted.label.clone(),
            url: url.to_owned(),
            expected: self.wanted.sha256.clone(),
            size: self.wanted.size,
            found,
        }
    }

    /// Sleeps, unless another download has failed.
    fn pause(&self, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::GivenUp { label: self.wanted.label.clone() });
            }
            std::thread::sleep(Duration::from_millis(50).min(pause));
        }
        Ok(())
    }
}
