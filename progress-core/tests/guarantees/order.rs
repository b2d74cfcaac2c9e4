//! G1 order, G2 continuity, G3 milestones, G6 publishing never blocks.

use std::{collections::BTreeMap, sync::Arc, thread};

use progress_core::{
    Data, Event, Frame, GapReason, Level, OnLag, ProgressTracker, Replay, Resume, Seq,
    SubscribeOptions, Subscription, log::LogLimits,
};

use crate::common::{
    Gauge, Mark, assert_continuous, delivered, events, gaps, marks, ready, seqs, to_end,
    tracker_with, types, verdict,
};

/// Milestones, State and log lines from four threads at once.
fn publish_from_threads(task: &progress_core::Task, each: u64) -> BTreeMap<u64, u64> {
    let mut published = BTreeMap::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let reporter = task.reporter();
                scope.spawn(move || {
                    let mut published = Vec::new();
                    for n in thread * each..(thread + 1) * each {
                        match n % 3 {
                            0 => {
                                let position = reporter.emit(Mark { n }).unwrap();
                                published.push((position.seq().get(), n));
                            }
                            1 => drop(reporter.emit(Gauge::new("a", n)).unwrap()),
                            _ => reporter.log(Level::INFO, "line"),
                        }
                    }
                    published
                })
            })
            .collect();
        for thread in threads {
            published.extend(thread.join().unwrap());
        }
    });
    published
}

#[test]
fn g1_seq_is_contiguous_from_1_for_concurrent_publishers() {
    let tracker = tracker_with(LogLimits::default().window(10_000));
    let task = tracker.task("t").start().unwrap();
    let published = publish_from_threads(&task, 300);
    let end = task.complete(()).unwrap();

    let frames = ready(&mut tracker.subscribe("t"));
    assert_eq!(seqs(&frames), (1..=end.seq().get()).collect::<Vec<_>>());
    assert_eq!(end.seq().get(), 1 + 4 * 300 + 1);
    // Each publisher was told the number at which everybody finds its event.
    let found: BTreeMap<_, _> = events(&frames)
        .iter()
        .filter(|event| event.event_type() == "mark")
        .map(|event| event.seq().get())
        .zip(marks(&frames))
        .collect();
    assert_eq!(found, published);
}

#[test]
fn g1_every_watcher_sees_the_same_event_at_the_same_seq() {
    let tracker = tracker_with(LogLimits::default().window(10_000));
    let task = tracker.task("t").start().unwrap();
    let watch = |options: SubscribeOptions| {
        let mut watcher = tracker.subscribe_with("t", options);
        thread::spawn(move || tokio_test::block_on(to_end(&mut watcher)))
    };
    let watchers = [
        watch(SubscribeOptions::new()),
        watch(SubscribeOptions::new().replay(Replay::None)),
        watch(SubscribeOptions::new().buffer(8).on_lag(OnLag::Conflate)),
        watch(SubscribeOptions::new().buffer(8).on_lag(OnLag::Gap)),
    ];
    publish_from_threads(&task, 300);
    task.complete(()).unwrap();

    let all: BTreeMap<u64, Arc<Event>> = events(&ready(&mut tracker.subscribe("t")))
        .into_iter()
        .map(|event| (event.seq().get(), event))
        .collect();
    for watcher in watchers {
        let seen = events(&watcher.join().unwrap());
        assert!(seen.iter().all(|event| **event == *all[&event.seq().get()]));
        assert_eq!(seen.last().unwrap().event_type(), "complete");
    }
}

#[test]
fn g2_late_watcher_gets_every_retained_event_in_order() {
    let tracker = tracker_with(LogLimits::default().window(8).logs(5));
    let task = tracker.task("t").start().unwrap();
    for n in 0..40 {
        task.emit(Mark { n }).unwrap();
        task.emit(Gauge::new("a", n)).unwrap();
        task.emit(Gauge::new(format!("b{}", n % 3), n)).unwrap();
        task.log(Level::INFO, format!("line {n}"));
    }
    let frames = ready(&mut tracker.subscribe("t"));

    assert_eq!(verdict(&frames).0, Resume::Fresh);
    let head = task.head().seq().get();
    assert_eq!(assert_continuous(&frames, 0), head);
    assert_eq!(marks(&frames), (0..40).collect::<Vec<_>>());
    // The window whole; below it five lines and the newest of those keys that are not in it.
    let window: Vec<_> = (head - 7..=head).collect();
    assert!(seqs(&frames).ends_with(&window));
    let lines = types(&frames).iter().filter(|name| *name == "log").count();
    assert_eq!(lines, 2 + 5);
    assert!(gaps(&frames).is_empty());

    let history = tokio_test::block_on(tracker.history("t", None, 1_000)).unwrap();
    let kept: Vec<_> = history.events.iter().map(|d| d.event.seq().get()).collect();
    assert_eq!(seqs(&frames), kept);
}

#[test]
fn g2_ranges_cover_what_a_laggard_skips() {
    let tracker = tracker_with(LogLimits::default().window(16));
    let task = tracker.task("t").start().unwrap();
    let mut laggard = tracker.subscribe("t");
    let mut last = assert_continuous(&ready(&mut laggard), 0);
    for round in 0..20 {
        for n in 0..50 {
            task.emit(Gauge::new(format!("k{}", n % 3), round)).unwrap();
            if n == 25 {
                task.emit(Mark { n: round }).unwrap();
            }
        }
        let frames = ready(&mut laggard);
        assert!(frames.len() <= 16 + 3 + 1, "{} frames", frames.len());
        assert_eq!(marks(&frames), [round]);
        assert!(gaps(&frames).is_empty());
        assert!(delivered(&frames).iter().any(|d| d.from < d.event.seq()));
        // What is skipped is superseded by what is delivered at or after it: each key is there.
        let keys: std::collections::BTreeSet<_> = events(&frames)
            .iter()
            .filter_map(|event| match event.data() {
                Data::Custom(custom) => custom.key.clone(),
                _ => None,
            })
            .collect();
        assert_eq!(keys.len(), 3);
        last = assert_continuous(&frames, last);
        assert_eq!(last, task.head().seq().get());
    }
}

/// Three milestones are kept below a window of four; of marks 0 to 19 behind `started`.
fn with_raised_floor() -> (ProgressTracker, progress_core::Task) {
    let tracker = tracker_with(LogLimits::default().window(4).milestones(3));
    let task = tracker.task("t").start().unwrap();
    for n in 0..20 {
        task.emit(Mark { n }).unwrap();
    }
    (tracker, task)
}

/// A gap up to `floor` with the task as it stands, then the events behind `after`.
fn assert_gap(frames: &[Frame], from: u64, floor: u64, after: u64, head: u64) {
    let [gap] = gaps(frames)[..] else {
        panic!("not one gap: {frames:?}");
    };
    assert_eq!((gap.from, gap.to), (Seq::new(from), Seq::new(floor)));
    assert_eq!(gap.reason, GapReason::Floor);
    assert_eq!(gap.snapshot.seq, Seq::new(head));
    let first_event = frames.iter().position(|frame| frame.event().is_some());
    let gap_at = frames.iter().position(|f| matches!(f, Frame::Gap(_)));
    assert!(gap_at < first_event, "the gap comes first");
    assert_eq!(assert_continuous(frames, after), head);
}

#[test]
fn g2_missing_is_announced_by_gap_with_snapshot_to_a_fresh_watcher() {
    let (tracker, _task) = with_raised_floor();
    let frames = ready(&mut tracker.subscribe("t"));
    assert_eq!(verdict(&frames).0, Resume::Gap);
    // 21 events: 18 to 21 in the window, 15 to 17 below it, 14 lost last.
    assert_gap(&frames, 1, 14, 0, 21);
    assert_eq!(seqs(&frames), (15..=21).collect::<Vec<_>>());
}

#[test]
fn g2_missing_is_announced_by_gap_with_snapshot_to_a_resumed_watcher() {
    let (tracker, task) = with_raised_floor();
    let at = |seq| progress_core::Position::new(task.head().epoch(), Seq::new(seq));
    let resume =
        |seq| ready(&mut tracker.subscribe_with("t", SubscribeOptions::new().after(at(seq))));

    let frames = resume(5);
    assert_eq!(verdict(&frames).0, Resume::Gap);
    assert_gap(&frames, 6, 14, 5, 21);

    let frames = resume(14);
    assert_eq!(verdict(&frames).0, Resume::Resumed);
    assert!(gaps(&frames).is_empty());
    assert_eq!(seqs(&frames), (15..=21).collect::<Vec<_>>());
}

#[test]
fn g2_missing_is_announced_by_gap_with_snapshot_to_a_live_laggard() {
    let tracker = tracker_with(LogLimits::default().window(4).milestones(3));
    let task = tracker.task("t").start().unwrap();
    let mut laggard = tracker.subscribe("t");
    assert_eq!(seqs(&ready(&mut laggard)), [1]);
    for n in 0..20 {
        task.emit(Mark { n }).unwrap();
    }
    assert_gap(&ready(&mut laggard), 2, 14, 1, 21);
    // The floor rises under it once more: one more gap.
    for n in 20..30 {
        task.emit(Mark { n }).unwrap();
    }
    assert_gap(&ready(&mut laggard), 22, 24, 21, 31);
    // It has not fallen behind the floor since: none.
    task.emit(Mark { n: 30 }).unwrap();
    let frames = ready(&mut laggard);
    assert!(gaps(&frames).is_empty());
    assert_eq!(seqs(&frames), [32]);
}

#[test]
fn g2_replay_that_leans_on_the_snapshot_is_no_gap() {
    let (tracker, _task) = with_raised_floor();
    for (replay, expected) in [(Replay::None, vec![]), (Replay::Latest, vec![21])] {
        let options = SubscribeOptions::new().replay(replay);
        let frames = ready(&mut tracker.subscribe_with("t", options));
        assert_eq!(verdict(&frames).0, Resume::Fresh);
        assert!(gaps(&frames).is_empty());
        assert_eq!(seqs(&frames), expected);
    }
}

#[test]
fn g3_milestones_survive_a_flood_of_state() {
    let tracker = tracker_with(LogLimits::default().window(8));
    let task = tracker.task("t").stage("a", 1.0).start().unwrap();
    let mut laggard = tracker.subscribe("t");
    let conflating = SubscribeOptions::new().buffer(2).on_lag(OnLag::Conflate);
    let mut conflating = tracker.subscribe_with("t", conflating);
    let skipping = SubscribeOptions::new().buffer(2).on_lag(OnLag::Gap);
    let mut skipping = tracker.subscribe_with("t", skipping);
    for n in 0..500 {
        task.emit(Mark { n }).unwrap();
        for value in 0..20 {
            task.emit(Gauge::new("a", value)).unwrap();
        }
    }
    task.stage("a").inc(1);
    task.complete(()).unwrap();

    let all: Vec<_> = (0..500).collect();
    let mut late = tracker.subscribe("t");
    for watcher in [&mut laggard, &mut conflating, &mut skipping, &mut late] {
        let frames = ready(watcher);
        assert_eq!(marks(&frames), all);
        let names = types(&frames);
        for name in ["started", "stage_change", "complete"] {
            assert_eq!(names.iter().filter(|found| *found == name).count(), 1);
        }
    }
}

#[test]
fn g6_publishing_never_waits_for_a_reader() {
    let tracker = tracker_with(LogLimits::default());
    let task = tracker.task("t").start().unwrap();
    let mut never_read = tracker.subscribe("t");
    // One that holds on to what it was given and never comes back.
    let mut holding = tracker.subscribe("t");
    let held = ready(&mut holding);
    let mut close = tracker.subscribe_with("t", SubscribeOptions::new().on_lag(OnLag::Close));
    let _crowd: Vec<Subscription> = (0..100).map(|_| tracker.subscribe("t")).collect();
    let mut before = 0;
    for n in 0..50_000_u64 {
        task.emit(Gauge::new("a", 1_000_000 + n)).unwrap();
        if n == 1_000 {
            before = tracker.stats().bytes;
        }
    }
    // Nothing waits for them, in memory either.
    assert_eq!(tracker.stats().bytes, before);
    assert_eq!(held.len(), 2);
    // The next frame of each is about the present.
    assert_eq!(assert_continuous(&ready(&mut never_read), 0), 50_001);
    assert_eq!(assert_continuous(&ready(&mut holding), 1), 50_001);
    assert!(matches!(
        ready(&mut close).last(),
        Some(Frame::Lagged(lagged)) if lagged.behind == 50_000
    ));
}
