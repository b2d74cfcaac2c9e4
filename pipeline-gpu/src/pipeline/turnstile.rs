//! Has items leave a stage in the order in which they came to it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::sync::Mutex;

/// Numbers those that come; holds at most as many numbers as the stage works on at a time.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    next: AtomicU64,
    gate: Mutex<Gate>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Gate {
    /// Whose turn it is.
    turn: u64,
    /// Who has left before its turn.
    left: BTreeSet<u64>,
}

impl Turnstile {
    /// Numbers the next to come. Callers hold the lock of the line that they take it from.
    pub(super) fn next(self: &Arc<Self>) -> Turn {
        Turn {
            // The lock orders it.
            number: self.next.fetch_add(1, Ordering::Relaxed),
            turnstile: Arc::clone(self),
        }
    }
}

/// A place in the order; dropped, the next is let through.
#[derive(Debug)]
pub(super) struct Turn {
    turnstile: Arc<Turnstile>,
    number: u64,
}

impl Turn {
    /// Waits until all who came before have left.
    pub(super) async fn wait(&self) {
        loop {
            let mut moved = std::pin::pin!(self.turnstile.moved.notified());
            moved.as_mut().enable();
            if self.turnstile.gate.lock().turn == self.number {
                return;
            }
            moved.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let gate = &mut *self.turnstile.gate.lock();
            gate.left.insert(self.number);
            while gate.left.remove(&gate.turn) {
                gate.turn += 1;
            }
        }
        self.turnstile.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_that_leaves_early_lets_nobody_past_those_before_it() {
        let turnstile = Arc::new(Turnstile::default());
        let [first, second, third] = [(); 3].map(|()| turnstile.next());
        assert!(first.wait().now_or_never().is_some());
        drop(second);
        assert!(third.wait().now_or_never().is_none());
        drop(first);
        assert!(third.wait().now_or_never().is_some());
        drop(third);
        assert!(turnstile.gate.lock().left.is_empty());
    }
}
