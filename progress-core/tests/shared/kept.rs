//! How long a task without an owner is kept, and who sees it.

use std::{sync::Arc, thread};

use progress_core::{Limits, ProgressTracker, StartError, TaskFilter};
use serde_json::json;

use crate::{
    common::{assert_continuous, seqs, to_end},
    input, publish,
};

#[tokio::test]
async fn it_lives_without_a_handle_and_ends_by_a_publication() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().tasks(1))
        .build();
    drop(tracker.task("t").share().await.unwrap());
    assert_eq!(
        tracker.task("u").share().await.map(drop),
        Err(StartError::TooManyTasks { limit: 1 })
    );
    assert_eq!(
        tracker
            .tasks(TaskFilter::new().active())
            .await
            .unwrap()
            .tasks
            .len(),
        1
    );
    publish(&tracker, "complete", json!({"status": "completed"})).await;
    // Nobody holds it, so that it goes for another.
    tracker.task("u").share().await.unwrap();
    assert!(tracker.snapshot("t").await.is_err());
}

#[test]
fn many_publishers_get_each_their_own_numbers() {
    const THREADS: u64 = 4;
    const EVENTS: u64 = 200;
    let tracker = ProgressTracker::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let shared = runtime.block_on(tracker.task("t").share()).unwrap();
    let mut watcher = tracker.subscribe("t");
    let shared = Arc::new(shared);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let mut last = 0;
                for n in 0..EVENTS {
                    let event = match n % 2 {
                        0 => input("log", json!({"message": "m"})),
                        _ => input(
                            "progress_update",
                            json!({"metadata": {format!("{thread}"): n}}),
                        ),
                    };
                    let published = runtime.block_on(shared.publish(vec![event])).unwrap();
                    let seq = published.last.unwrap().seq().get();
                    assert!(seq > last);
                    last = seq;
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    runtime.block_on(async {
        publish(&tracker, "complete", json!({"status": "completed"})).await;
        let frames = to_end(&mut watcher).await;
        assert_eq!(assert_continuous(&frames, 0), 1 + THREADS * EVENTS + 1);
        assert_eq!(seqs(&frames).last(), Some(&(2 + THREADS * EVENTS)));
        // Nobody's part of the whole value was lost.
        let snapshot = tracker.snapshot("t").await.unwrap();
        for thread in 0..THREADS {
            assert_eq!(
                snapshot.metadata.get(&thread.to_string()),
                Some(&json!(EVENTS - 1))
            );
        }
    });
}
