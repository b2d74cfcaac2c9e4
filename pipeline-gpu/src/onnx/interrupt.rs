//! Stops what the runtime does from outside, whatever it does at that moment.

use std::sync::Arc;

use crate::sync::Mutex;

/// Set once; then what runs is stopped, and what would begin is stopped at once.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    set: bool,
    stop: Option<Box<dyn Fn() + Send>>,
}

impl Interrupt {
    /// Stops what runs.
    pub(super) fn set(&self) {
        let mut state = self.0.lock();
        state.set = true;
        // Under the lock: what it stops cannot end, and something else begin, in between.
        if let Some(stop) = &state.stop {
            stop();
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.lock().set
    }

    /// Says how to stop what begins now, until what is returned is dropped.
    pub(super) fn arm(&self, stop: impl Fn() + Send + 'static) -> Armed<'_> {
        let mut state = self.0.lock();
        if state.set {
            stop();
        }
        state.stop = Some(Box::new(stop));
        Armed(self)
    }
}

/// Sets the interrupt when it is dropped, unless it was let go.
pub(super) struct SetOnDrop(Option<Interrupt>);

impl SetOnDrop {
    pub(super) fn new(interrupt: &Interrupt) -> Self {
        Self(Some(interrupt.clone()))
    }

    pub(super) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        if let Some(interrupt) = &self.0 {
            interrupt.set();
        }
    }
}

/// While it lives the interrupt stops what it was [armed](Interrupt::arm) with.
pub(super) struct Armed<'a>(&'a Interrupt);

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.0.0.lock().stop = None;
    }
}
