//! G8: the first frame carries the verdict and the snapshot.

use progress_core::{
    Epoch, Frame, GapReason, Position, ProgressTracker, Replay, ResetReason, Resume, Seq,
    SubscribeOptions, Task, TaskState, log::LogLimits,
};

use crate::common::{Mark, assert_continuous, gaps, ready, seqs, tracker_with, verdict};

const OTHER_RUN: Epoch = Epoch::new(7);

fn after(epoch: Epoch, seq: u64) -> SubscribeOptions {
    SubscribeOptions::new().after(Position::new(epoch, Seq::new(seq)))
}

/// A live task with eleven events, and its epoch.
fn eleven_events(limits: LogLimits) -> (ProgressTracker, Task, Epoch) {
    let tracker = tracker_with(limits);
    let task = tracker.task("t").name("T").start().unwrap();
    for n in 0..10 {
        task.emit(Mark { n }).unwrap();
    }
    let epoch = task.head().epoch();
    (tracker, task, epoch)
}

/// The first frame is the verdict with the task as it stands; gives all frames.
fn subscribe(tracker: &ProgressTracker, options: SubscribeOptions, expected: Resume) -> Vec<Frame> {
    let mut subscription = tracker.subscribe_with("t", options);
    assert_eq!(subscription.resume(), Some(expected));
    let frames = ready(&mut subscription);
    let (resume, snapshot) = verdict(&frames);
    assert_eq!(resume, expected);
    match snapshot {
        Some(snapshot) => {
            assert_eq!(snapshot.task_id.as_str(), "t");
            assert_eq!(snapshot.name.as_deref(), Some("T"));
            assert_eq!(snapshot.seq, Seq::new(11));
        }
        None => assert_eq!(expected, Resume::Unknown),
    }
    frames
}

#[test]
fn g8_first_frame_is_the_verdict_with_the_snapshot_fresh() {
    let (tracker, _task, _) = eleven_events(LogLimits::default());
    let frames = subscribe(&tracker, SubscribeOptions::new(), Resume::Fresh);
    assert_eq!(assert_continuous(&frames, 0), 11);
    assert_eq!(frames[0].snapshot().unwrap().state, TaskState::Running);
}

#[test]
fn g8_first_frame_is_the_verdict_with_the_snapshot_resumed() {
    let (tracker, _task, epoch) = eleven_events(LogLimits::default());
    let frames = subscribe(&tracker, after(epoch, 4), Resume::Resumed);
    assert_eq!(seqs(&frames), (5..=11).collect::<Vec<_>>());
    // At the head there is nothing to replay, and that is no other verdict.
    let frames = subscribe(&tracker, after(epoch, 11), Resume::Resumed);
    assert_eq!(frames.len(), 1);
    // Before the first event is a place like any other.
    let frames = subscribe(&tracker, after(epoch, 0), Resume::Resumed);
    assert_eq!(assert_continuous(&frames, 0), 11);
}

#[test]
fn g8_first_frame_is_the_verdict_with_the_snapshot_gap() {
    let small = LogLimits::default().window(2).milestones(2);
    let (tracker, _task, epoch) = eleven_events(small);
    // 10 and 11 in the window, 8 and 9 below it.
    for options in [SubscribeOptions::new(), after(epoch, 0), after(epoch, 6)] {
        let frames = subscribe(&tracker, options, Resume::Gap);
        assert_eq!(gaps(&frames)[0].to, Seq::new(7));
        assert_eq!(gaps(&frames)[0].reason, GapReason::Floor);
        assert_eq!(seqs(&frames), [8, 9, 10, 11]);
    }
    subscribe(&tracker, after(epoch, 7), Resume::Resumed);
}

#[test]
fn g8_a_position_past_the_head_is_a_gap() {
    let (tracker, task, epoch) = eleven_events(LogLimits::default());
    let mut ahead = tracker.subscribe_with("t", after(epoch, 20));
    let frames = ready(&mut ahead);
    assert_eq!(verdict(&frames).0, Resume::Gap);
    let gap = gaps(&frames)[0];
    assert_eq!((gap.from, gap.to), (Seq::new(12), Seq::new(20)));
    assert_eq!(gap.reason, GapReason::Ahead);
    assert_eq!(gap.snapshot.seq, Seq::new(11));
    // It goes on from the head.
    task.emit(Mark { n: 10 }).unwrap();
    assert_eq!(assert_continuous(&ready(&mut ahead), 11), 12);
}

#[test]
fn g8_first_frame_is_the_verdict_with_the_snapshot_ended() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").name("T").start().unwrap();
    for n in 0..9 {
        task.emit(Mark { n }).unwrap();
    }
    let epoch = task.head().epoch();
    task.complete(9).unwrap();
    // At the end, and past it.
    for seq in [11, 12, u64::MAX] {
        let mut subscription = tracker.subscribe_with("t", after(epoch, seq));
        let frames = ready(&mut subscription);
        assert_eq!(frames.len(), 1, "nothing is to come");
        let (resume, snapshot) = verdict(&frames);
        assert_eq!(resume, Resume::Ended);
        let snapshot = snapshot.unwrap();
        assert_eq!(snapshot.state, TaskState::Completed);
        assert_eq!(snapshot.result.as_ref().unwrap().json(), "9");
        assert!(tokio_test::block_on(subscription.next()).is_none());
    }
    // Before it the end itself is still to come.
    let frames = subscribe(&tracker, after(epoch, 10), Resume::Resumed);
    assert_eq!(seqs(&frames), [11]);
}

#[test]
fn g8_first_frame_is_the_verdict_with_the_snapshot_reset() {
    let (tracker, _task, _) = eleven_events(LogLimits::default());
    let frames = subscribe(&tracker, after(OTHER_RUN, 4), Resume::Reset);
    // Read as by a fresh reader, and said once only.
    assert_eq!(assert_continuous(&frames, 0), 11);
    assert!(!frames.iter().any(|frame| matches!(frame, Frame::Reset(_))));
    // The replay option applies as for a fresh reader.
    let none = after(OTHER_RUN, 4).replay(Replay::None);
    assert_eq!(subscribe(&tracker, none, Resume::Reset).len(), 1);
    let latest = after(OTHER_RUN, 4).replay(Replay::Latest);
    assert_eq!(seqs(&subscribe(&tracker, latest, Resume::Reset)), [11]);
    // So do positions that nobody here ever made.
    let foreign: Position = "ABCdef123:99".parse().unwrap();
    let options = SubscribeOptions::new().after(foreign);
    subscribe(&tracker, options, Resume::Reset);
}

#[test]
fn g8_a_position_of_an_earlier_run_is_a_reset() {
    let (tracker, task, epoch) = eleven_events(LogLimits::default());
    task.complete(()).unwrap();
    tokio_test::block_on(tracker.remove("t")).unwrap();
    subscribe(&tracker, after(epoch, 5), Resume::Unknown);
    let task = tracker.task("t").start().unwrap();
    // Also one made within the same millisecond is a later one.
    assert!(task.head().epoch() > epoch);
    for seq in [0, 1, 12] {
        let frames = ready(&mut tracker.subscribe_with("t", after(epoch, seq)));
        assert_eq!(verdict(&frames).0, Resume::Reset);
        assert_eq!(seqs(&frames), [1]);
    }
}

#[test]
fn g8_first_frame_is_the_verdict_unknown_and_the_reset_brings_the_snapshot() {
    let tracker = ProgressTracker::new();
    let mut waiting = tracker.subscribe("t");
    let frames = ready(&mut waiting);
    assert_eq!(frames.len(), 1);
    assert_eq!(verdict(&frames), (Resume::Unknown, None));

    let task = tracker.task("t").start().unwrap();
    let frames = ready(&mut waiting);
    let Frame::Reset(reset) = &frames[0] else {
        panic!("no reset first: {frames:?}");
    };
    assert_eq!(reset.reason, ResetReason::Created);
    assert_eq!(reset.epoch, task.head().epoch());
    assert_eq!(reset.snapshot.seq, Seq::new(1));
    assert_eq!(assert_continuous(&frames, 0), 1);
}

#[test]
fn g8_unknown_comes_before_reset() {
    let tracker = ProgressTracker::new();
    subscribe(&tracker, after(OTHER_RUN, 4), Resume::Unknown);
}

#[test]
fn g8_reset_comes_before_ended_and_gap() {
    let small = LogLimits::default().window(2).milestones(2);
    let (tracker, task, _) = eleven_events(small);
    // Below the floor, and past the head.
    for seq in [0, 3, 99] {
        let frames = subscribe(&tracker, after(OTHER_RUN, seq), Resume::Reset);
        // A fresh reader over a raised floor is told what is missing all the same.
        assert_eq!(gaps(&frames)[0].to, Seq::new(7));
    }
    task.complete(()).unwrap();
    let frames = ready(&mut tracker.subscribe_with("t", after(OTHER_RUN, 99)));
    assert_eq!(verdict(&frames).0, Resume::Reset);
    assert!(seqs(&frames).ends_with(&[12]));
}

#[test]
fn g8_ended_comes_before_gap_and_gap_before_resumed() {
    let small = LogLimits::default().window(2).milestones(2);
    let (tracker, task, epoch) = eleven_events(small);
    task.complete(()).unwrap();
    let resume = |seq| {
        let frames = ready(&mut tracker.subscribe_with("t", after(epoch, seq)));
        verdict(&frames).0
    };
    assert_eq!(resume(13), Resume::Ended, "past the head of an ended log");
    assert_eq!(resume(12), Resume::Ended);
    assert_eq!(resume(11), Resume::Resumed);
    assert_eq!(resume(8), Resume::Resumed);
    assert_eq!(resume(7), Resume::Gap);
}

#[test]
fn g8_a_position_beats_replay() {
    let (tracker, _task, epoch) = eleven_events(LogLimits::default());
    for replay in [Replay::All, Replay::Latest, Replay::None] {
        let frames = subscribe(&tracker, after(epoch, 8).replay(replay), Resume::Resumed);
        assert_eq!(seqs(&frames), [9, 10, 11]);
    }
}

#[test]
fn g8_the_verdict_of_a_bad_id_is_a_rejection() {
    let tracker = ProgressTracker::new();
    let frames = ready(&mut tracker.subscribe("no spaces"));
    assert!(matches!(
        frames[..],
        [Frame::Rejected(
            progress_core::SubscribeError::InvalidTaskId(_)
        )]
    ));
}
