//! The same work on many things, on all processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

/// Calls `work` with each of `things`, begun in their order, on all processors. After a failure nothing more is begun.
///
/// # Errors
/// One of those that `work` gives.
pub fn each<T: Sync, E: Send>(things: &[T], work: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(thing) {
                next.store(things.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(things.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| joined(worker))
    })
}

/// What `work` gives for each of `things`, in their order; done on all processors.
///
/// # Errors
/// One of those that `work` gives.
pub fn map<T: Sync, R: Send + Sync, E: Send>(
    things: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let done: Vec<(&T, OnceLock<R>)> = things.iter().map(|thing| (thing, OnceLock::new())).collect();
    each(&done, |(thing, result)| {
        let _ = result.set(work(thing)?);
        Ok(())
    })?;
    Ok(done.into_iter().filter_map(|(_, result)| result.into_inner()).collect())
}

/// Has this thread, and those that it starts, take the processors only where nobody else wants them much (nice(2)): for what is
/// waited for much later.
pub fn unhurried() {
    // Where that is refused, things take longer.
    let _ = rustix::process::nice(10);
}

/// What a thread gave, once it has ended; its panic goes on here.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn everything_is_done_once() {
        let done = Mutex::new(Vec::new());
        let all: Vec<u32> = (0..1000).collect();
        each(&all, |number| {
            done.lock().unwrap().push(*number);
            Ok::<(), ()>(())
        })
        .unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, all);
    }

    #[test]
    fn results_come_in_the_order_of_the_things() {
        let all: Vec<u32> = (0..1000).collect();
        let doubled: Result<Vec<u32>, ()> = map(&all, |number| Ok(number * 2));
        assert_eq!(doubled.unwrap(), all.iter().map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(map(&all, |number| if *number == 999 { Err("last") } else { Ok(()) }), Err("last"));
    }

    #[test]
    fn a_failure_is_told_and_ends_the_work() {
        let things: Vec<u32> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let told = each(&things, |number| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *number == 3 { Err("third") } else { Ok(()) }
        });
        assert_eq!(told, Err("third"));
        assert!(begun.into_inner() < things.len());
    }
}
