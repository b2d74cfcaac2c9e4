//! Publishing, waking, ending and leaving, through the shell as it is.

use loom::thread;

use crate::{
    loom_support::{block_on, model, read_to_end, tracker},
    subscription::{Frame, Resume},
    task::Task,
    tracker::ProgressTracker,
};

fn started(tracker: &ProgressTracker) -> Task {
    tracker.task("t").start().unwrap()
}

#[test]
fn loom_a_reader_is_woken_to_the_end() {
    model(|| {
        let tracker = tracker();
        let task = started(&tracker);
        let events = tracker.subscribe("t");
        let worker = thread::spawn(move || {
            task.message("half way");
            task.complete(()).unwrap();
        });
        assert_eq!(read_to_end(events), 1);
        worker.join().unwrap();
    });
}

#[test]
fn loom_a_reader_that_leaves_lets_nobody_sleep_on() {
    model(|| {
        let tracker = tracker();
        let task = started(&tracker);
        let stays = tracker.subscribe("t");
        let mut leaves = tracker.subscribe("t");
        let leaving = thread::spawn(move || {
            block_on(async {
                // The verdict, `started`, and one more: it has slept before that, or not.
                for _ in 0..3 {
                    assert!(leaves.next().await.is_some());
                }
            });
        });
        let worker = thread::spawn(move || {
            task.message("half way");
            drop(task);
        });
        assert_eq!(read_to_end(stays), 1);
        leaving.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn loom_of_two_ends_one_counts() {
    model(|| {
        let tracker = tracker();
        let parent = tracker.task("parent").start().unwrap();
        let child = parent.child("t", "part").start().unwrap();
        let events = tracker.subscribe("t");
        let worker = thread::spawn(move || child.complete(()).is_ok());
        parent.complete(()).unwrap();
        let _either = worker.join().unwrap();
        assert_eq!(read_to_end(events), 1);
    });
}

#[test]
fn loom_a_task_that_is_waited_for_wakes_its_reader() {
    model(|| {
        let tracker = tracker();
        let worker = {
            let tracker = tracker.clone();
            thread::spawn(move || started(&tracker).complete(()).unwrap())
        };
        assert_eq!(read_to_end(tracker.subscribe("t")), 1);
        worker.join().unwrap();
    });
}

#[test]
fn loom_nobody_waits_for_a_task_of_a_tracker_that_is_gone() {
    model(|| {
        let tracker = tracker();
        let mut events = tracker.subscribe("t");
        let worker = thread::spawn(move || drop(tracker));
        block_on(async {
            let first = events.next().await;
            assert!(
                matches!(first, Some(Frame::Verdict(first)) if first.resume == Resume::Unknown)
            );
            assert!(events.next().await.is_none());
        });
        worker.join().unwrap();
    });
}
