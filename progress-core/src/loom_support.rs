//! What the models of threads share: the shell as it is, on locks and atomics that loom explores.
//!
//! Nothing runs in the background of a model; what a model needs of that, it does itself.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    event::Data,
    subscription::{Frame, Subscription},
    sync::{Mutex, wake_all},
    tracker::ProgressTracker,
};

/// Explores the ways in which the threads of a model can run, those of them with up to three
/// preemptions: four find the same, in ten times the time.
pub(crate) fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.max_branches = 10_000;
    builder.check(run);
}

/// Runs a future on this thread. One that is never woken is a deadlock, which loom reports.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark(loom::sync::Notify::new()));
    let waker = Waker::from(Arc::clone(&unpark));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(out) => return out,
            Poll::Pending => unpark.0.wait(),
        }
    }
}

struct Unpark(loom::sync::Notify);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Reads to the end; gives how often the end was told, having checked that nothing is missing.
pub(crate) fn read_to_end(mut events: Subscription) -> usize {
    block_on(async move {
        let (mut last, mut ends) = (0, 0);
        while let Some(frame) = events.next().await {
            let Frame::Event(delivered) = frame else {
                continue;
            };
            assert_eq!(delivered.from.get(), last + 1);
            last = delivered.event.seq().get();
            ends += usize::from(matches!(delivered.event.data(), Data::Complete(_)));
        }
        ends
    })
}

/// A tracker that forgets a task as soon as it can.
pub(crate) fn tracker() -> ProgressTracker {
    let builder = ProgressTracker::builder();
    builder.retention(std::time::Duration::ZERO).build()
}

/// What this crate asks of tokio's `Notify`: whoever was made before a call is told of it.
#[derive(Debug, Default)]
pub(crate) struct Notify(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    calls: u64,
    wakers: Vec<Waker>,
}

impl Notify {
    pub(crate) fn notified(&self) -> impl Future<Output = ()> {
        let calls = self.0.lock().calls;
        poll_fn(move |cx| {
            let mut waiting = self.0.lock();
            if waiting.calls != calls {
                return Poll::Ready(());
            }
            waiting.wakers.push(cx.waker().clone());
            Poll::Pending
        })
    }

    pub(crate) fn notify_waiters(&self) {
        let wakers = {
            let mut waiting = self.0.lock();
            waiting.calls += 1;
            std::mem::take(&mut waiting.wakers)
        };
        wake_all(wakers);
    }
}
