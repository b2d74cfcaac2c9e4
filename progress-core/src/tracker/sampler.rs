//! The background task: samples counters each tick, notices stalls, forgets old tasks.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, timeout_at},
};

use crate::{background::spawn, sync::Mutex, task::TaskShared, tracker::TrackerShared};

/// Samples the counters of tasks that have moved, and nothing else: an idle tracker sleeps.
#[derive(Debug)]
pub(crate) struct Sampler {
    tick: Duration,
    /// Tasks with watched values. Holds each once: a task adds itself when its own list was empty.
    due: Mutex<Vec<Arc<TaskShared>>>,
    next_tick: Mutex<Option<Instant>>,
    running: AtomicBool,
    wake: Arc<Notify>,
}

impl Sampler {
    pub(super) fn new(tick: Duration) -> Self {
        Self {
            tick,
            due: Mutex::default(),
            next_tick: Mutex::default(),
            running: AtomicBool::new(false),
            wake: Arc::default(),
        }
    }

    pub(crate) fn add(&self, task: Arc<TaskShared>) {
        self.due.lock().push(task);
    }

    pub(crate) fn notify(&self) {
        self.wake.notify_one();
    }

    /// Starts the background task if it does not run: on the current runtime, else on a thread.
    /// It starts anew if the runtime that it ran on has gone.
    pub(crate) fn ensure_running(&self, tracker: &Arc<TrackerShared>) {
        // Acquire pairs with the Release in Running::drop.
        if self.running.swap(true, Ordering::Acquire) {
            return;
        }
        let running = Running(Arc::downgrade(tracker));
        let wake = Arc::clone(&self.wake);
        let sampling = async move {
            // Owned here, so that it is dropped also if the runtime drops the task.
            let running = running;
            run(&running.0, &wake).await;
        };
        drop(spawn("progress-sampler", sampling));
    }

    /// Samples if a tick is over; tells when the next one is, if there is anything to look at.
    fn step(&self, now: Instant) -> Option<Instant> {
        let mut next = *self.next_tick.lock();
        if next.is_some_and(|at| at <= now) {
            let due = std::mem::take(&mut *self.due.lock());
            let again: Vec<_> = due.into_iter().filter(|task| task.sample()).collect();
            self.due.lock().extend(again);
            next = None;
        }
        if next.is_none() && !self.due.lock().is_empty() {
            next = Some(now + self.tick);
        }
        *self.next_tick.lock() = next;
        next
    }
}

/// Says that the background task runs, as long as it does.
struct Running(Weak<TrackerShared>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(tracker) = self.0.upgrade() {
            let sampler = &tracker.sampler;
            sampler.running.store(false, Ordering::Release);
            // Nobody looks at them any more: the next change of each starts it all anew.
            let due = std::mem::take(&mut *sampler.due.lock());
            for task in due {
                task.unwatch();
            }
        }
    }
}

async fn run(tracker: &Weak<TrackerShared>, wake: &Notify) {
    loop {
        let next = {
            let Some(tracker) = tracker.upgrade() else {
                return;
            };
            let now = Instant::now();
            tracker.clock.follow_steps(now);
            let tick = tracker.sampler.step(now);
            let stall = tracker.check_stalls(now);
            let sweep = tracker.sweep(now);
            tick.into_iter().chain(stall).chain(sweep).min()
        };
        match next {
            // More to do already: others have their turn first.
            Some(at) if at <= Instant::now() => yield_now().await,
            Some(at) => drop(timeout_at(at, wake.notified()).await),
            None => wake.notified().await,
        }
    }
}
