//! Channels are logs, and bounded like them.

use progress_core::{Limits, ProgressTracker, SubscribeOptions};

use super::bounds::{
    IDLE_TASK, INDEX, LogBound, SMALL, TRACKER, assert_within, held, measure, most, runtime,
};
use crate::common::{Gauge, Mark};

const BOUND: LogBound = LogBound::DEFAULT;

fn tracker() -> ProgressTracker {
    let limits = Limits::default().channel_log(BOUND.limits());
    ProgressTracker::builder().limits(limits).build()
}

#[test]
fn a_million_events_of_a_channel_take_what_its_log_may_hold() {
    let (_, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let tracker = tracker();
        let channel = tracker.channel("jobs");
        // One that never reads.
        let _reader = channel.subscribe(SubscribeOptions::new());
        for n in 0..1_000_000_u64 {
            match n % 4 {
                0 => channel.emit(Mark { n }).unwrap(),
                _ => channel
                    .emit(Gauge::new(format!("{}", n % 1_000), n))
                    .unwrap(),
            }
        }
    });
    assert_within("at any time", most(&info), BOUND.most() + TRACKER);
    assert_within("left behind", held(&info), SMALL);
}

#[test]
fn the_list_of_more_tasks_than_it_can_tell_is_bounded_and_what_it_leaves_out_is_counted() {
    const LIVE: usize = 20_000;
    let (_, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let tracker = tracker();
        let mut tasks = Vec::with_capacity(LIVE);
        for n in 0..LIVE {
            let task = tracker.task(format!("task-{n:05}")).start().unwrap();
            task.progress(50.0);
            tasks.push(task);
        }
        let refused = tracker.stats().refused;
        assert!(refused > 0, "there is room for a State of each");
        assert!(refused < LIVE as u64);
        // The tasks themselves know nothing of it.
        assert!(tasks.iter().all(|task| task.snapshot().progress == 50.0));
        // Where others have ended there is room again.
        tasks.truncate(1);
        tasks[0].progress(60.0);
        assert_eq!(tracker.stats().refused, refused);
    });
    let bound = BOUND.most() + LIVE * (IDLE_TASK + INDEX) + TRACKER;
    assert_within("at any time", most(&info), bound);
    assert_within("left behind", held(&info), SMALL);
}
