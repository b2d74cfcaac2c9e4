//! Tasks that come and go, and many at a time.

use std::time::Duration;

use progress_core::{Limits, ProgressTracker, SubscribeOptions};

use super::bounds::{
    IDLE_TASK, INDEX, LogBound, SMALL, TRACKER, assert_within, held, measure, most, runtime,
};
use crate::common::Mark;

#[test]
fn a_million_tasks_that_come_and_go_take_the_room_of_those_that_are_kept() {
    const KEPT: usize = 10_000;
    let (_, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let limits = Limits::default().tasks(KEPT);
        let tracker = ProgressTracker::builder().limits(limits).build();
        let mut list = tracker.subscribe_channel("_tasks", SubscribeOptions::new());
        for n in 0..TASKS {
            let task = tracker.task(format!("task-{n}")).start().unwrap();
            task.complete(()).unwrap();
        }
        assert_eq!(tracker.stats().tasks, KEPT);
        let mut frames = Vec::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(list.poll_batch(&mut cx, &mut frames).is_ready());
    });
    let list = LogBound {
        keys: 65_536,
        ..LogBound::DEFAULT
    };
    // Of the list of tasks milestones alone are left.
    let bound = KEPT * (IDLE_TASK + INDEX) + list.milestones * 1024 + TRACKER;
    assert_within("at any time", most(&info), bound);
    assert_within("left behind", held(&info), SMALL);
}

#[test]
fn a_hundred_thousand_live_tasks_take_what_is_documented_and_give_it_back() {
    const LIVE: usize = 100_000;
    let (_, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let retention = Duration::from_secs(60);
        let tracker = ProgressTracker::builder().retention(retention).build();
        let mut tasks = Vec::with_capacity(LIVE);
        let (_, live) = measure(|| {
            for n in 0..LIVE {
                let task = tracker.task(format!("task-{n:06}")).start().unwrap();
                for n in 0..3 {
                    task.emit(Mark { n }).unwrap();
                }
                tasks.push(task);
            }
        });
        assert_within("live", held(&live), LIVE * (IDLE_TASK + INDEX) + TRACKER);
        let (_, ended) = measure(|| {
            for task in tasks.drain(..) {
                task.complete(()).unwrap();
            }
            runtime.block_on(tokio::time::sleep(2 * retention));
        });
        assert_eq!((tracker.stats().tasks, tracker.stats().bytes), (0, 0));
        let back = usize::try_from(-ended.bytes_current).unwrap_or(0);
        let rest = held(&live).saturating_sub(back);
        // The list of tasks tells the newest of them.
        assert_within("after the retention", rest, 1_400 * 1024);
    });
    assert_within("left behind", held(&info), SMALL);
}

const TASKS: u64 = 1_000_000;
