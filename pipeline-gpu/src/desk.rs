//! Whether an item may go on, and whether its stage has a desk for it.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::sync::Mutex;

/// Who has paused an item.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pauses {
    pub(crate) by_run: bool,
    pub(crate) by_pipeline: bool,
}

impl Pauses {
    pub(crate) fn any(self) -> bool {
        self.by_run || self.by_pipeline
    }
}

/// What an item's worker and its stage's code know of each other: one of as many desks as the stage
/// has is the item's, but for the time that it waits because it is paused. Clones are one.
///
/// While it keeps a device or a thread from others it keeps its desk too: else it could wait for a
/// desk at which another waits for that device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Calls that wait until the item goes on.
    waits: usize,
    /// What it has that others may wait for.
    keeps: usize,
    /// The desk is for others.
    left: bool,
}

impl Desk {
    /// Says that the item waits, until the guard is dropped.
    pub(crate) fn wait(&self) -> Waits {
        self.change(|state| state.waits += 1);
        Waits(self.clone())
    }

    /// Has the item keep its desk until the guard is dropped.
    pub(crate) fn keep(&self) -> Keeps {
        self.change(|state| state.keeps += 1);
        Keeps(self.clone())
    }

    /// The same, unless the desk is for others.
    pub(crate) fn try_keep(&self) -> Option<Keeps> {
        {
            let mut state = self.0.state.lock();
            if state.left {
                return None;
            }
            state.keeps += 1;
        }
        self.0.moved.notify_waiters();
        Some(Keeps(self.clone()))
    }

    pub(crate) fn is_left(&self) -> bool {
        self.0.state.lock().left
    }

    /// Leaves the desk for others, if the item waits and does not keep it.
    pub(crate) fn leave(&self) -> bool {
        let left = {
            let mut state = self.0.state.lock();
            state.left = state.is_idle();
            state.left
        };
        self.0.moved.notify_waiters();
        left
    }

    /// Says that the item has a desk again.
    pub(crate) fn take(&self) {
        self.change(|state| state.left = false);
    }

    /// Waits until the item waits and does not keep its desk.
    pub(crate) async fn idle(&self) {
        self.until(State::is_idle).await;
    }

    /// Waits until the desk is for others.
    pub(crate) async fn left(&self) {
        self.until(|state| state.left).await;
    }

    /// Waits until the desk is the item's.
    pub(crate) async fn taken(&self) {
        self.until(|state| !state.left).await;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock());
        self.0.moved.notify_waiters();
    }

    async fn until(&self, so: impl Fn(&State) -> bool) {
        loop {
            let mut moved = std::pin::pin!(self.0.moved.notified());
            moved.as_mut().enable();
            if so(&self.0.state.lock()) {
                return;
            }
            moved.await;
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waits > 0 && self.keeps == 0
    }
}

/// An item waits.
#[derive(Debug)]
pub(crate) struct Waits(Desk);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.change(|state| state.waits -= 1);
    }
}

/// An item has something that others may wait for.
#[derive(Debug)]
pub(crate) struct Keeps(Desk);

impl Drop for Keeps {
    fn drop(&mut self) {
        self.0.change(|state| state.keeps -= 1);
    }
}
