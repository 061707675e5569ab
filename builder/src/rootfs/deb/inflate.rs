//! Packages without their compression, made on all processors while dpkg already installs the first of them: dpkg itself
//! inflates one after the other, and waits for each.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::package::{self, Error, Member};

/// An ar archive's first bytes, and the first member of a package (`deb(5)`), in full.
const START: &[u8] = b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n";
/// The length of the header of a member.
const HEADER: i64 = 60;
/// How much is written at once, in bytes.
const PIECE: usize = 1 << 18;

/// A package to inflate, and where to.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The package.
    pub deb: PathBuf,
    /// The file that is made.
    pub to: PathBuf,
}

/// Packages that are being inflated, in the order in which they are wanted.
pub(super) struct Inflating<'a> {
    jobs: &'a [Job],
    next: AtomicUsize,
    stopped: AtomicBool,
    done: Mutex<Vec<Option<Result<(), Error>>>>,
    changed: Condvar,
}

impl<'a> Inflating<'a> {
    /// Inflates `jobs` on all processors for as long as `meanwhile` runs, which waits for those that it needs. The first
    /// come first.
    pub(super) fn during<T>(jobs: &'a [Job], meanwhile: impl FnOnce(&Self) -> T) -> T {
        let this = Self {
            jobs,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            done: Mutex::new(jobs.iter().map(|_| None).collect()),
            changed: Condvar::new(),
        };
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| this.work());
            }
            // Also where it panics, or the workers would go on for nothing.
            let _stop = Stop(&this.stopped);
            meanwhile(&this)
        })
    }

    fn work(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(index) else { return };
            let outcome = inflate(job);
            self.done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
            self.changed.notify_all();
        }
    }

    /// Waits for the package that job `index` makes.
    ///
    /// # Errors
    /// That of inflating it, the first time that it is asked for.
    pub(super) fn wait(&self, index: usize) -> Result<(), Error> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = self.changed.wait_while(done, |done| done[index].is_none());
        ready.unwrap_or_else(PoisonError::into_inner)[index].replace(Ok(())).unwrap_or(Ok(()))
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes the package of `job` anew, its two archives without compression.
fn inflate(job: &Job) -> Result<(), Error> {
    let write = |source| Error::Write { deb: job.deb.clone(), entry: job.to.clone(), source };
    let mut file = File::create_new(&job.to).map_err(write)?;
    file.write_all(START).map_err(write)?;
    for member in [Member::Control, Member::Data] {
        let header = file.stream_position().map_err(write)?;
        file.seek(SeekFrom::Current(HEADER)).map_err(write)?;
        let size = package::with_member(&job.deb, member, |tar| {
            let damaged = |error: io::Error| Error::Format { deb: job.deb.clone(), reason: error.to_string() };
            let mut piece = vec![0; PIECE];
            let mut size = 0;
            loop {
                match tar.read(&mut piece).map_err(damaged)? {
                    0 => return Ok(size),
                    count => file.write_all(&piece[..count]).map_err(write)?,
                }
                size = file.stream_position().map_err(write)? - header - HEADER.cast_unsigned();
            }
        })?;
        file.write_all(if size % 2 == 1 { b"\n" } else { b"" }).map_err(write)?;
        let words = format!("{:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", member.stem(), 0, 0, 0, "100644");
        file.write_all_at(words.as_bytes(), header).map_err(write)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn package(folder: &Path, content: &[u8]) -> PathBuf {
        let tar = |name: &str, content: &[u8]| {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content).unwrap();
            tar.into_inner().unwrap()
        };
        let path = folder.join("a.deb");
        let mut archive = ar::Builder::new(File::create(&path).unwrap());
        let control = zstd::encode_all(tar("./control", b"Package: a\n").as_slice(), 1).unwrap();
        let mut data = tar("./file", content);
        data.push(0);
        let data = zstd::encode_all(data.as_slice(), 1).unwrap();
        for (name, member) in
            [("debian-binary", b"2.0\n".as_slice()), ("control.tar.zst", &control), ("data.tar.zst", &data)]
        {
            archive.append(&ar::Header::new(name.as_bytes().to_vec(), member.len() as u64), member).unwrap();
        }
        path
    }

    fn member(deb: &Path, member: Member) -> Vec<u8> {
        let read = |tar: &mut dyn io::Read| {
            let mut all = Vec::new();
            tar.read_to_end(&mut all).unwrap();
            Ok(all)
        };
        package::with_member(deb, member, read).unwrap()
    }

    #[test]
    fn an_inflated_package_holds_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let job = Job { deb: package(folder.path(), &vec![7; 300_000]), to: folder.path().join("inflated.deb") };
        let wait_twice = |inflating: &Inflating<'_>| inflating.wait(0).and_then(|()| inflating.wait(0));
        Inflating::during(std::slice::from_ref(&job), wait_twice).unwrap();
        for which in [Member::Control, Member::Data] {
            assert_eq!(member(&job.to, which), member(&job.deb, which));
        }
        let mut archive = ar::Archive::new(File::open(&job.to).unwrap());
        let mut names = Vec::new();
        while let Some(entry) = archive.next_entry() {
            names.push(String::from_utf8(entry.unwrap().header().identifier().to_vec()).unwrap());
        }
        assert_eq!(names, ["debian-binary", "control.tar", "data.tar"]);
    }

    #[test]
    fn a_damaged_package_is_told_to_whoever_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let deb = package(folder.path(), b"x");
        let length = std::fs::metadata(&deb).unwrap().len();
        File::options().write(true).open(&deb).unwrap().set_len(length - 10).unwrap();
        let job = Job { deb: deb.clone(), to: folder.path().join("inflated.deb") };
        let error = Inflating::during(&[job], |inflating| inflating.wait(0)).unwrap_err();
        assert!(error.to_string().contains(&deb.display().to_string()), "{error}");
    }
}
