//! What an idle task and an idle subscription hold, by a counting allocator: a program of its own,
//! because counting would slow down whatever else is measured.
//!
//! Prints a line each: a name and bytes.
#![forbid(unsafe_code)]

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use progress_benches::PhotoApproved;
use progress_core::{ProgressTracker, SubscribeOptions, Subscription};
use tokio::runtime::{Builder, Runtime};

fn main() {
    println!("plain_task {}", idle_task(false));
    println!("staged_task {}", idle_task(true));
    println!("subscription {}", idle_subscription());
}

/// A task with four events: `started` and three of its own, or with a stage `started`,
/// `stage_change`, `progress_update` and one of its own. Its part of the tracker's indices is in it,
/// its handle is not.
fn idle_task(staged: bool) -> i64 {
    const TASKS: i64 = 20_000;
    let runtime = runtime();
    let _in_runtime = runtime.enter();
    let tracker = ProgressTracker::new();
    let mut tasks = Vec::with_capacity(TASKS as usize);
    let held = allocation_counter::measure(|| {
        for number in 0..TASKS {
            let task = tracker.task(format!("task-{number:05}")).start().unwrap();
            if staged {
                task.stage("render").total(100).inc(1);
            }
            while task.head().seq().get() < 4 {
                task.emit(PhotoApproved { photo: 9 }).unwrap();
            }
            tasks.push(task);
        }
        // Past the ticks after which nobody looks at the counters any more. Here, because the
        // sampler runs on this thread, whose allocations are counted.
        runtime.block_on(tokio::time::sleep(Duration::from_millis(500)));
    });
    for task in &tasks {
        assert_eq!(task.head().seq().get(), 4);
    }
    held.bytes_current / TASKS
}

/// A subscription that has read what there was and sleeps, itself included; what polls it is not.
fn idle_subscription() -> i64 {
    const SUBSCRIPTIONS: i64 = 20_000;
    let runtime = runtime();
    let _in_runtime = runtime.enter();
    let tracker = ProgressTracker::new();
    let task = tracker.task("task").start().unwrap();
    let mut subscriptions = Vec::new();
    let held = allocation_counter::measure(|| {
        subscriptions.reserve_exact(SUBSCRIPTIONS as usize);
        for _ in 0..SUBSCRIPTIONS {
            let mut subscription = tracker.subscribe_with("task", SubscribeOptions::new());
            poll(&mut subscription);
            subscriptions.push(subscription);
        }
        // Woken once and asleep again, as they will be for most of their lives.
        task.emit(PhotoApproved { photo: 9 }).unwrap();
        subscriptions.iter_mut().for_each(poll);
    });
    held.bytes_current / SUBSCRIPTIONS
}

fn poll(subscription: &mut Subscription) {
    let mut cx = Context::from_waker(Waker::noop());
    while pin!(subscription.next()).poll(&mut cx).is_ready() {}
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}
