//! The hot path: a counter that tells the sampler once, then stays out of the way.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A count that many threads raise and one sampler reads.
///
/// While nobody watches it, the first change takes the slow path, which publishes at once and has
/// the sampler watch it; from then on a change is one atomic addition, one load and one predicted
/// branch, until the sampler has seen a whole tick without a change.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: AtomicU64,
    /// [`UNWATCHED`] or [`WATCHED`]: a change takes the slow path when the count reaches it.
    slow_at: AtomicU64,
}

const UNWATCHED: u64 = 0;
const WATCHED: u64 = u64::MAX;

impl Counter {
    /// Adds, and tells whether the slow path is due.
    #[inline]
    pub(crate) fn add(&self, by: u64) -> bool {
        // AcqRel pairs with the addition in `unwatch`: of the two, the later one sees what the
        // other side did before its own.
        let now = self.count.fetch_add(by, Ordering::AcqRel).wrapping_add(by);
        now >= self.slow_at.load(Ordering::Relaxed)
    }

    /// Sets, and tells whether the slow path is due.
    #[inline]
    pub(crate) fn set(&self, to: u64) -> bool {
        self.count.swap(to, Ordering::AcqRel);
        to >= self.slow_at.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// From now on changes are left to the sampler.
    pub(crate) fn watch(&self) {
        self.slow_at.store(WATCHED, Ordering::Relaxed);
    }

    /// From now on the next change takes the slow path. Returns the count, read in such a way that
    /// a change is either in it or takes the slow path.
    pub(crate) fn unwatch(&self) -> u64 {
        self.slow_at.store(UNWATCHED, Ordering::Relaxed);
        self.count.fetch_add(0, Ordering::AcqRel)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::Counter;

    /// Between the sampler's last look and the next change nothing is lost: the sampler sees the
    /// change, or the change takes the slow path.
    #[test]
    fn loom_a_change_is_seen_or_takes_the_slow_path() {
        loom::model(|| {
            let counter = Arc::new(Counter::default());
            assert!(counter.add(1), "the first change takes the slow path");
            counter.watch();
            let published = counter.count();
            let worker = {
                let counter = Arc::clone(&counter);
                thread::spawn(move || counter.add(1))
            };
            let seen = counter.unwatch() > published;
            let slow = worker.join().unwrap();
            assert!(seen || slow);
        });
    }

    #[test]
    fn loom_of_two_changes_one_is_seen_or_takes_the_slow_path() {
        loom::model(|| {
            let counter = Arc::new(Counter::default());
            counter.watch();
            let workers = [5, 7].map(|by| {
                let counter = Arc::clone(&counter);
                thread::spawn(move || counter.add(by))
            });
            let seen = counter.unwatch();
            let slow = workers.map(|worker| worker.join().unwrap());
            // What the sampler did not see is announced by whoever came after it.
            assert!(seen == 12 || slow.contains(&true));
            assert_eq!(counter.count(), 12);
        });
    }
}
