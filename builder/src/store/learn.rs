//! A file whose digest or size nobody knows yet: downloaded whole, resumed where it broke off, and then known.

use std::fs;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use ureq::Body;
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::http::{self, Failure};
use super::{Error, Result, Store, TEMPORARY};
use crate::progress::{Progress, Transfer, grouped};

impl Store {
    /// Fetches the file at `url` into the store. Gives its digest and its size in bytes. Where its digest is `wanted`, it is
    /// taken from the store if it is there, and kept only if it has that digest.
    ///
    /// # Errors
    /// It can't be had, or not be written.
    pub fn learn(&self, label: &str, url: &str, wanted: Option<&str>, progress: &Progress) -> Result<(String, u64)> {
        if let Some((sha256, path)) = wanted.and_then(|sha256| Some((sha256, self.path(sha256)?))) {
            let size = fs::metadata(&path).map_err(Error::io("reading", &path))?.len();
            return Ok((sha256.to_owned(), size));
        }
        self.online(label)?;
        let mut arriving = Arriving::new(self, label, progress)?;
        let mut vain = 0;
        loop {
            let before = arriving.length;
            let failure = match arriving.receive(url)? {
                Ok(()) => break,
                Err(failure) => failure,
            };
            vain = if arriving.length > before { 0 } else { vain + 1 };
            if matches!(failure, Failure::Lasting(_)) || vain >= self.network.rounds {
                let attempts = vec![(url.to_owned(), failure.reason())];
                return Err(Error::Unavailable { label: label.to_owned(), attempts });
            }
            std::thread::sleep(self.network.pause_after(vain.max(1)));
        }
        let Arriving { file, length, digest, .. } = arriving;
        let sha256 = hex::encode(digest.finalize());
        if wanted.is_none_or(|wanted| wanted == sha256) {
            self.keep(label, file, &sha256)?;
            self.seen().insert(sha256.clone());
        }
        Ok((sha256, length))
    }
}

/// The beginning of a file, as far as it was downloaded.
struct Arriving<'a> {
    store: &'a Store,
    label: &'a str,
    progress: &'a Progress,
    transfer: Option<Transfer>,
    file: NamedTempFile,
    digest: Sha256,
    length: u64,
    /// What the server calls this version of the file (RFC 9110 §8.8): a part of another version does not fit.
    version: Option<HeaderValue>,
}

impl<'a> Arriving<'a> {
    fn new(store: &'a Store, label: &'a str, progress: &'a Progress) -> Result<Self> {
        let folder = store.root.join("partial");
        let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&folder);
        let file = file.map_err(Error::io("making a file in", &folder))?;
        Ok(Self { store, label, progress, transfer: None, file, digest: Sha256::new(), length: 0, version: None })
    }

    /// Appends what the server sends, until its end.
    fn receive(&mut self, url: &str) -> Result<std::result::Result<(), Failure>> {
        let response = match http::request(&self.store.agent, url, self.length) {
            Ok(response) => response,
            Err(Failure::Passing(reason)) if reason.starts_with("416") => {
                self.begin_anew()?;
                return Ok(Err(Failure::Passing(reason)));
            }
            Err(failure) => return Ok(Err(failure)),
        };
        if !self.continues(&response) {
            self.begin_anew()?;
            if response.status() == StatusCode::PARTIAL_CONTENT {
                let reason = "the server sent a part that does not fit the one before".to_owned();
                return Ok(Err(Failure::Passing(reason)));
            }
        }
        self.version = version(response.headers());
        let whole = http::announced_length(&response).map(|rest| rest + self.length);
        let (progress, known) = (self.progress, whole.unwrap_or(0));
        let transfer = self.transfer.get_or_insert_with(|| progress.transfer("fetching", known));
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let written = self.file.as_file_mut().write_all(&buffer[..count]);
                    written.map_err(|source| self.store.write_failed(self.label, known, source))?;
                    self.digest.update(&buffer[..count]);
                    self.length += count as u64;
                    transfer.received(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let reason = format!("broke off after {} bytes ({error})", grouped(self.length));
                    return Ok(Err(Failure::Passing(reason)));
                }
            }
        }
        match whole {
            Some(whole) if whole != self.length => {
                let (length, whole) = (grouped(self.length), grouped(whole));
                Ok(Err(Failure::Passing(format!("the connection ended after {length} of {whole} bytes"))))
            }
            _ => Ok(Ok(())),
        }
    }

    /// Whether what comes goes on where this file ends.
    fn continues(&self, response: &Response<Body>) -> bool {
        response.status() == StatusCode::PARTIAL_CONTENT
            && http::range_start(response) == Some(self.length)
            && version(response.headers()) == self.version
    }

    fn begin_anew(&mut self) -> Result<()> {
        let path = self.file.path().to_owned();
        let emptied = self.file.as_file_mut().set_len(0).and_then(|()| io::Seek::rewind(self.file.as_file_mut()));
        emptied.map_err(Error::io("truncating", path))?;
        if let Some(transfer) = &self.transfer {
            transfer.lost(self.length);
        }
        (self.digest, self.length, self.version) = (Sha256::new(), 0, None);
        Ok(())
    }
}

/// The version that an answer is of: its entity tag, else when it was last modified.
fn version(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ETAG).or_else(|| headers.get(header::LAST_MODIFIED)).cloned()
}
