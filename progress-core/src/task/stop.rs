//! Whether the work on a task is still wanted.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::sync::{
    Mutex, Notify,
    atomic::{AtomicBool, Ordering},
};

/// A flag that is raised once, when cancellation was asked for or the task has ended, and those
/// who wait for it. Apart from the log's sleepers, so that a busy log does not wake them.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    raised: AtomicBool,
    /// Made by the first who waits: for most tasks nobody does.
    wake: Mutex<Option<Arc<Notify>>>,
}

impl Stop {
    pub(crate) fn is_raised(&self) -> bool {
        // Relaxed: it is a hint to stop and publishes nothing.
        self.raised.load(Ordering::Relaxed)
    }

    /// Raises the flag and wakes who waits. Call it without any lock.
    pub(crate) fn raise(&self) {
        // Release pairs with the Acquire in `wait`, which looks once more after it has enlisted.
        if self.raised.swap(true, Ordering::Release) {
            return;
        }
        // Whoever takes the lock after this sees the flag.
        let wake = self.wake.lock().take();
        if let Some(wake) = wake {
            // A waker that panics is no business of who publishes.
            let _woken = catch_unwind(AssertUnwindSafe(|| wake.notify_waiters()));
        }
    }

    pub(crate) async fn wait(&self) {
        let Some(wake) = self.wake() else {
            return;
        };
        // Before the look: it is told of every call of `notify_waiters` from here on.
        let woken = wake.notified();
        if !self.raised.load(Ordering::Acquire) {
            woken.await;
        }
    }

    /// What wakes who waits; none if the flag is raised.
    fn wake(&self) -> Option<Arc<Notify>> {
        let mut wake = self.wake.lock();
        match self.raised.load(Ordering::Acquire) {
            true => None,
            false => Some(Arc::clone(wake.get_or_insert_default())),
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::thread;

    use super::Stop;
    use crate::loom_support::{block_on, model};

    #[test]
    fn loom_whoever_waits_is_woken_when_it_is_raised() {
        model(|| {
            let stop = Arc::new(Stop::default());
            let waits = [(); 2].map(|()| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || block_on(stop.wait()))
            });
            stop.raise();
            // Twice is once.
            stop.raise();
            assert!(stop.is_raised());
            for wait in waits {
                wait.join().unwrap();
            }
        });
    }
}
