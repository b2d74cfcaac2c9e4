//! Parents that end while their children begin or end.

use std::{hint, thread};

use progress_core::{ProgressTracker, StartError, TaskState};

use crate::common::ready;

#[test]
fn no_child_outlives_an_end_that_it_starts_beside() {
    for _ in 0..300 {
        let tracker = ProgressTracker::new();
        let parent = tracker.task("parent").start().unwrap();
        let middle = parent.child("middle", "part").start().unwrap();
        let (one, two) = (parent.reporter(), middle.reporter());
        thread::scope(|scope| {
            let started = scope.spawn(|| one.child("a", "part").start());
            let below = scope.spawn(|| two.child("b", "part").start());
            parent.complete(()).unwrap();
            for child in [started.join().unwrap(), below.join().unwrap()] {
                match child {
                    Ok(child) => assert_eq!(child.snapshot().state, TaskState::Cancelled),
                    Err(error) => assert!(matches!(error, StartError::ParentEnded(_))),
                }
            }
        });
    }
}

#[test]
fn finish_counts_a_child_whose_end_a_watcher_has_just_seen() {
    for _ in 0..300 {
        let tracker = ProgressTracker::new();
        let parent = tracker.task("parent").start().unwrap();
        let child = parent.child("child", "part").start().unwrap();
        let mut watcher = tracker.subscribe("child");
        ready(&mut watcher);
        thread::scope(|scope| {
            scope.spawn(|| child.complete(()).unwrap());
            while ready(&mut watcher).is_empty() {
                hint::spin_loop();
            }
            parent.finish().unwrap();
        });
        let ended = tokio_test::block_on(tracker.snapshot("parent")).unwrap();
        assert_eq!(ended.state, TaskState::Completed);
    }
}
