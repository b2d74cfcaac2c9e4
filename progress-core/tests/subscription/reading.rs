//! What a subscription yields: lag, replay, resume, a task that comes later, the end.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};

use futures_util::{FutureExt, StreamExt};
use progress_core::{
    Frame, GapReason, OnLag, Position, ProgressTracker, Replay, ResetReason, Resume, Seq,
    SubscribeOptions, Task, TaskState,
};
use tokio_test::{assert_pending, assert_ready};

use crate::{
    common::{
        Gauge, Mark, assert_continuous, events, gaps, marks, ready, seqs, to_end, types, verdict,
    },
    watched,
};

/// Twelve events behind `started`: two keys in turn, and a mark as every fourth.
fn publish_twelve(task: &Task) {
    for n in 0..12 {
        match n % 4 {
            0 => task.emit(Mark { n }).unwrap(),
            _ => task.emit(Gauge::new(format!("k{}", n % 2), n)).unwrap(),
        };
    }
}

#[test]
fn subscriber_queue_full() {
    let small = |on_lag| SubscribeOptions::new().buffer(4).on_lag(on_lag);

    // Conflate, the default: superseded State is skipped, and ranges say so.
    let (_tracker, task, mut subscription) = watched(small(OnLag::default()));
    publish_twelve(&task);
    let frames = ready(&mut subscription);
    assert_eq!(marks(&frames), [0, 4, 8]);
    // Marks at 2, 6 and 10; the newest of k0 at 12, of k1 at 13.
    assert_eq!(seqs(&frames), [2, 6, 10, 12, 13]);
    assert_eq!(assert_continuous(&frames, 1), 13);
    assert!(gaps(&frames).is_empty());
    // It has caught up: nothing is skipped while it keeps up.
    for n in 0..4 {
        task.emit(Gauge::new("k0", n)).unwrap();
    }
    assert_eq!(seqs(&ready(&mut subscription)), [14, 15, 16, 17]);

    // Gap: what is older than the buffer is declared missing, but for milestones.
    let (_tracker, task, mut subscription) = watched(small(OnLag::Gap));
    publish_twelve(&task);
    let frames = ready(&mut subscription);
    let [gap] = gaps(&frames)[..] else {
        panic!("not one gap: {frames:?}");
    };
    assert_eq!((gap.from, gap.to), (Seq::new(2), Seq::new(9)));
    assert_eq!(gap.reason, GapReason::Lag);
    assert_eq!(gap.snapshot.seq, Seq::new(13));
    assert!(matches!(frames[0], Frame::Gap(_)));
    assert_eq!(seqs(&frames), [2, 6, 10, 11, 12, 13]);
    assert_continuous(&frames, 1);
    task.emit(Mark { n: 12 }).unwrap();
    let frames = ready(&mut subscription);
    assert_eq!((gaps(&frames).len(), seqs(&frames)), (0, vec![14]));

    // Close: the subscription ends, and its position leads on.
    let (tracker, task, mut subscription) = watched(small(OnLag::Close));
    publish_twelve(&task);
    let frames = ready(&mut subscription);
    let [Frame::Lagged(lagged)] = frames[..] else {
        panic!("not closed: {frames:?}");
    };
    assert_eq!(lagged.behind, 12);
    assert!(ready(&mut subscription).is_empty());
    let position = subscription.position().unwrap();
    assert_eq!(position.seq(), Seq::new(1));
    let again = small(OnLag::Close).after(position);
    let frames = ready(&mut tracker.subscribe_with("t", again));
    assert_eq!(verdict(&frames).0, Resume::Resumed);
    assert_eq!(seqs(&frames), (2..=13).collect::<Vec<_>>());
}

#[test]
fn a_full_buffer_that_is_not_over_it_loses_nothing() {
    for on_lag in [OnLag::Conflate, OnLag::Gap, OnLag::Close] {
        let options = SubscribeOptions::new().buffer(12).on_lag(on_lag);
        let (_tracker, task, mut subscription) = watched(options);
        publish_twelve(&task);
        let frames = ready(&mut subscription);
        assert_eq!(seqs(&frames), (2..=13).collect::<Vec<_>>());
    }
}

#[test]
fn replay_does_not_count_as_lag() {
    for on_lag in [OnLag::Conflate, OnLag::Gap, OnLag::Close] {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").start().unwrap();
        publish_twelve(&task);
        let options = SubscribeOptions::new().buffer(2).on_lag(on_lag);
        let mut subscription = tracker.subscribe_with("t", options);
        task.emit(Gauge::new("k0", 12)).unwrap();
        task.emit(Gauge::new("k0", 13)).unwrap();
        let frames = ready(&mut subscription);
        assert_eq!(seqs(&frames), (1..=15).collect::<Vec<_>>(), "{on_lag:?}");
    }
}

#[test]
fn conflate_skips_superseded_state_once() {
    let (_tracker, task, mut subscription) = watched(SubscribeOptions::new());
    publish_twelve(&task);
    subscription.conflate();
    let frames = ready(&mut subscription);
    assert_eq!(seqs(&frames), [2, 6, 10, 12, 13]);
    assert_eq!(assert_continuous(&frames, 1), 13);
    publish_twelve(&task);
    assert_eq!(ready(&mut subscription).len(), 12);
}

#[test]
fn replay_all_latest_none() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    publish_twelve(&task);
    let subscribe = |replay| {
        let mut subscription = tracker.subscribe_with("t", SubscribeOptions::new().replay(replay));
        let frames = ready(&mut subscription);
        let (resume, snapshot) = verdict(&frames);
        assert_eq!(resume, Resume::Fresh);
        // Each has the whole truth before the first event.
        assert_eq!(snapshot.unwrap().seq, task.head().seq());
        (seqs(&frames), subscription)
    };
    let (all, _) = subscribe(Replay::All);
    assert_eq!(all, (1..=13).collect::<Vec<_>>());
    let (latest, mut latest_subscription) = subscribe(Replay::Latest);
    assert_eq!(latest, [13]);
    let (none, mut none_subscription) = subscribe(Replay::None);
    assert!(none.is_empty());
    task.emit(Mark { n: 12 }).unwrap();
    assert_eq!(seqs(&ready(&mut latest_subscription)), [14]);
    assert_eq!(seqs(&ready(&mut none_subscription)), [14]);

    task.complete(()).unwrap();
    for replay in [Replay::All, Replay::Latest, Replay::None] {
        let options = SubscribeOptions::new().replay(replay);
        let frames = tokio_test::block_on(to_end(&mut tracker.subscribe_with("t", options)));
        assert_eq!(types(&frames).last().unwrap(), "complete");
        let expected = if replay == Replay::All { 15 } else { 1 };
        assert_eq!(events(&frames).len(), expected, "{replay:?}");
    }
}

#[test]
fn resume_after_a_position_gives_exactly_the_rest() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    publish_twelve(&task);
    let epoch = task.head().epoch();
    task.complete(()).unwrap();
    let all = events(&ready(&mut tracker.subscribe("t")));
    for last in 0..=13 {
        let position = Position::new(epoch, Seq::new(last));
        let options = SubscribeOptions::new().after(position);
        let mut subscription = tracker.subscribe_with("t", options);
        assert_eq!(subscription.position(), Some(position));
        let frames = ready(&mut subscription);
        assert_eq!(verdict(&frames).0, Resume::Resumed);
        assert_eq!(events(&frames), all[last as usize..]);
        assert_eq!(assert_continuous(&frames, last), 14);
        assert_eq!(subscription.position().unwrap().seq(), Seq::new(14));
    }
}

#[test]
fn a_reader_that_comes_back_again_and_again_misses_and_repeats_nothing() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut position = None;
    let mut seen = Vec::new();
    for n in 0..100 {
        task.emit(Mark { n }).unwrap();
        let options = SubscribeOptions::new().after(position);
        let mut subscription = tracker.subscribe_with("t", options);
        // Two frames of it: the verdict, and one event or two.
        for _ in 0..=n % 3 {
            let frame = tokio_test::block_on(subscription.next()).unwrap();
            seen.extend(frame.event().map(|event| event.seq().get()));
        }
        position = subscription.position();
    }
    assert!(seen.len() > 50);
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_task_that_is_awaited_comes_as_reset_and_then_whole() {
    let tracker = ProgressTracker::new();
    let position = Position::new(progress_core::Epoch::new(7), Seq::new(3));
    let early: Vec<SubscribeOptions> = vec![
        SubscribeOptions::new(),
        SubscribeOptions::new().replay(Replay::None),
        SubscribeOptions::new().after(position),
    ];
    let mut waiting: Vec<_> = early
        .into_iter()
        .map(|options| tokio_test::task::spawn(tracker.subscribe_with("t", options)))
        .collect();
    let mut polled_late = tracker.subscribe("t");
    for subscription in &mut waiting {
        let first = assert_ready!(subscription.poll_next()).unwrap();
        assert!(matches!(first, Frame::Verdict(verdict) if verdict.resume == Resume::Unknown));
        assert_pending!(subscription.poll_next());
    }
    assert_eq!(polled_late.head(), None);

    let task = tracker.task("t").start().unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    assert!(waiting.iter().all(|subscription| subscription.is_woken()));
    assert_eq!(ready(&mut polled_late).len(), 4);
    for mut subscription in waiting {
        let frames = ready(&mut subscription);
        let Frame::Reset(reset) = &frames[0] else {
            panic!("no reset first: {frames:?}");
        };
        assert_eq!(reset.reason, ResetReason::Created);
        assert_eq!(
            reset.position(),
            Position::new(task.head().epoch(), Seq::ZERO)
        );
        assert_eq!(reset.snapshot.seq, Seq::new(2));
        assert_eq!(seqs(&frames), [1, 2]);
        assert_eq!(subscription.head(), Some(task.head()));
    }
}

/// Looks at the task when it is woken.
struct Looks {
    tracker: ProgressTracker,
    seen: Mutex<Vec<(TaskState, Seq)>>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let seen = self.tracker.snapshot("t").now_or_never();
        let seen = seen.unwrap().unwrap();
        self.seen.lock().unwrap().push((seen.state, seen.seq));
    }
}

#[tokio::test]
async fn who_waited_for_a_task_is_woken_when_it_has_begun() {
    for shared in [false, true] {
        let tracker = ProgressTracker::new();
        let mut subscription = tracker.subscribe("t");
        let looks = Arc::new(Looks {
            tracker: tracker.clone(),
            seen: Mutex::default(),
        });
        let waker = Waker::from(Arc::clone(&looks));
        let mut frames = Vec::new();
        while subscription
            .poll_batch(&mut Context::from_waker(&waker), &mut frames)
            .is_ready()
        {}
        let begun = match shared {
            false => Some(tracker.task("t").start().unwrap()),
            true => {
                tracker.task("t").share().await.unwrap();
                None
            }
        };
        assert_eq!(
            looks.seen.lock().unwrap()[0],
            (TaskState::Running, Seq::new(1))
        );
        drop(begun);
    }
}

#[test]
fn a_task_that_came_and_went_while_it_was_awaited_is_still_awaited() {
    let tracker = ProgressTracker::new();
    let mut subscription = tracker.subscribe("t");
    assert_eq!(ready(&mut subscription).len(), 1);
    tracker.task("t").start().unwrap().complete(()).unwrap();
    tokio_test::block_on(tracker.remove("t")).unwrap();
    assert!(ready(&mut subscription).is_empty());
    let _again = tracker.task("t").start().unwrap();
    assert_eq!(types(&ready(&mut subscription)), ["started"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_after_complete() {
    let (_tracker, task, subscription) = watched(SubscribeOptions::new());
    let reader = tokio::spawn(subscription.collect::<Vec<_>>());
    task.emit(Mark { n: 1 }).unwrap();
    task.complete(()).unwrap();
    let frames = reader.await.unwrap();
    assert_eq!(types(&frames), ["mark", "complete"]);

    let (_tracker, task, mut subscription) = watched(SubscribeOptions::new());
    task.complete(()).unwrap();
    assert_eq!(
        subscription
            .next()
            .await
            .unwrap()
            .event()
            .unwrap()
            .event_type(),
        "complete"
    );
    for _ in 0..3 {
        assert!(subscription.next().await.is_none());
        assert_eq!(subscription.next_batch(&mut Vec::new()).await, 0);
    }
    assert_eq!(subscription.head(), subscription.position());
    assert_eq!(subscription.position().unwrap().seq(), Seq::new(2));
    let end = subscription.snapshot().unwrap();
    assert_eq!((end.seq, end.state), (Seq::new(2), TaskState::Completed));
}
