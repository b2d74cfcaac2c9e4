//! The hot path: a counter that tells the sampler once, then stays out of the way.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A count that many threads raise and one sampler reads.
///
/// While nobody watches it, the first change takes the slow path, which publishes at once and has
/// the sampler watch it; from then on a change is one atomic addition and one predicted branch,
/// until the sampler has seen a whole tick without a change.
///
/// The top bit says whether it is watched, so that the addition itself answers: a second load would
/// be a second miss of the cache line that two threads fight for. Counts therefore end at 2⁶³ - 1.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

const WATCHED: u64 = 1 << 63;
const MAX: u64 = WATCHED - 1;

impl Counter {
    /// Adds, and tells whether the slow path is due.
    #[inline]
    pub(crate) fn add(&self, by: u64) -> bool {
        let by = by.min(MAX);
        // AcqRel pairs with `unwatch`: of the two, the later one sees what the other side did
        // before its own.
        let old = self.0.fetch_add(by, Ordering::AcqRel);
        let new = old.wrapping_add(by);
        // Watched before, and the sum has not carried out of the bit.
        if old & new & WATCHED != 0 {
            return false;
        }
        self.add_slowly(old, new)
    }

    #[cold]
    fn add_slowly(&self, old: u64, new: u64) -> bool {
        if (old ^ new) & WATCHED != 0 {
            // The sum has carried into the bit or out of it. Unwatched is the safe side: the slow
            // path has it watched again.
            self.0.store(MAX, Ordering::Release);
        }
        true
    }

    /// Sets, and tells whether the slow path is due.
    #[inline]
    pub(crate) fn set(&self, to: u64) -> bool {
        // Watched from now on: if it was not, the slow path that is due has the sampler watch it.
        self.0.swap(to.min(MAX) | WATCHED, Ordering::AcqRel) & WATCHED == 0
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire) & MAX
    }

    /// From now on changes are left to the sampler.
    pub(crate) fn watch(&self) {
        self.0.fetch_or(WATCHED, Ordering::AcqRel);
    }

    /// From now on the next change takes the slow path. Returns the count, read in such a way that
    /// a change is either in it or takes the slow path.
    pub(crate) fn unwatch(&self) -> u64 {
        self.0.fetch_and(MAX, Ordering::AcqRel) & MAX
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_end_at_the_largest_and_stay_there() {
        for watched in [false, true] {
            for by in [1, MAX, u64::MAX] {
                let counter = Counter::default();
                assert!(counter.set(MAX - 1));
                if !watched {
                    counter.unwatch();
                }
                counter.add(1);
                assert_eq!(counter.count(), MAX);
                assert!(counter.add(by), "the slow path has it watched again");
                assert_eq!(counter.count(), MAX);
                counter.watch();
                assert!(counter.add(by));
                assert_eq!(counter.count(), MAX);
            }
        }
    }

    #[test]
    fn a_count_past_the_largest_is_set_to_the_largest() {
        let counter = Counter::default();
        assert!(counter.set(u64::MAX));
        assert_eq!(counter.count(), MAX);
        assert!(!counter.set(7), "it is watched since");
        assert_eq!(counter.count(), 7);
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

    /// A value that is set says itself that it is watched: whoever adds to it unannounced is
    /// published by the setter's slow path, or by the sampler.
    #[test]
    fn loom_a_set_value_and_what_is_added_to_it_are_seen_or_take_the_slow_path() {
        loom::model(|| {
            let counter = Arc::new(Counter::default());
            counter.watch();
            let setter = {
                let counter = Arc::clone(&counter);
                thread::spawn(move || {
                    // The slow path publishes the count as it stands then.
                    counter.set(5).then(|| counter.count())
                })
            };
            let adder = {
                let counter = Arc::clone(&counter);
                thread::spawn(move || counter.add(1).then(|| counter.count()))
            };
            let seen = counter.unwatch();
            let shown = [setter, adder].map(|worker| worker.join().unwrap());
            let newest = counter.count();
            let watched = !counter.add(0);
            // Either somebody has shown the newest count, or it is watched and somebody's slow path
            // has told the sampler to look.
            let told = shown.iter().any(Option::is_some);
            assert!(seen == newest || shown.contains(&Some(newest)) || (watched && told));
        });
    }
}
