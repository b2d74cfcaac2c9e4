//! How long tasks are kept, and that nothing stays when they go.

mod common;

use std::{sync::Arc, time::Duration};

use progress_core::{
    Limits, LookupError, ProgressTracker, RemoveError, StartError, Task, TaskState, TrackerStats,
};
use tokio::{runtime::Handle, time::sleep};

use crate::common::{Gauge, Mark, marks, ready, to_end};

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

async fn is_kept(tracker: &ProgressTracker, id: &str) -> bool {
    match tracker.snapshot(id).await {
        Ok(_) => true,
        Err(LookupError::NotFound(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn assert_empty(stats: TrackerStats) {
    assert_eq!(stats, TrackerStats::default(), "something stayed");
}

#[tokio::test(start_paused = true)]
async fn a_task_is_kept_an_hour_from_its_end_and_then_gone() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    // Not from its start.
    sleep(HOUR * 3).await;
    task.complete("done").unwrap();
    sleep(HOUR - SECOND).await;
    let kept = tracker.snapshot("t").await.unwrap();
    assert_eq!(kept.result.unwrap().json(), "\"done\"");
    assert_eq!(ready(&mut tracker.subscribe("t")).len(), 3);
    assert!(matches!(
        tracker.task("t").start(),
        Err(StartError::AlreadyExists(_))
    ));
    sleep(SECOND * 2).await;
    assert!(!is_kept(&tracker, "t").await);
    assert_empty(tracker.stats());
    // The id is free.
    drop(tracker.task("t").start().unwrap());
}

#[tokio::test(start_paused = true)]
async fn each_end_counts_for_itself() {
    let tracker = ProgressTracker::builder().retention(SECOND * 10).build();
    for n in 0..10 {
        drop(tracker.task(format!("t{n}")).start().unwrap());
        sleep(SECOND).await;
    }
    sleep(SECOND / 2).await;
    // t0 ended 10.5 s ago, t1 9.5 s ago.
    assert!(!is_kept(&tracker, "t0").await);
    assert!(is_kept(&tracker, "t1").await);
    assert_eq!((tracker.stats().tasks, tracker.stats().ended), (9, 9));
    sleep(SECOND).await;
    assert!(!is_kept(&tracker, "t1").await);
    sleep(SECOND * 10).await;
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn cleanup_is_incremental() {
    let tracker = ProgressTracker::new();
    for n in 0..10_000 {
        let task = tracker.task(format!("t{n}")).start().unwrap();
        task.complete(n).unwrap();
    }
    assert!(tracker.stats().bytes > 10_000);
    sleep(HOUR - SECOND).await;
    assert_eq!(tracker.stats().tasks, 10_000);
    tokio::time::advance(SECOND * 2).await;
    // Others on this very thread have their turn while it goes on.
    let mut seen = vec![tracker.stats().tasks];
    while tracker.stats().tasks > 0 {
        tokio::task::yield_now().await;
        seen.push(tracker.stats().tasks);
    }
    seen.dedup();
    assert!(seen.len() > 5, "{seen:?}");
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_handle_is_held_is_never_forgotten() {
    let tracker = ProgressTracker::new();
    let live = tracker.task("live").start().unwrap();
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "part").start().unwrap();
    // The child has ended, and its worker does not know yet.
    parent.complete(()).unwrap();
    assert_eq!(child.snapshot().state, TaskState::Cancelled);
    sleep(HOUR * 5).await;
    assert!(is_kept(&tracker, "live").await);
    assert!(is_kept(&tracker, "child").await);
    assert!(!is_kept(&tracker, "parent").await);

    drop(child);
    live.emit(Mark { n: 1 }).unwrap();
    live.complete(()).unwrap();
    sleep(HOUR + SECOND).await;
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn remove_forgets_an_ended_task_before_its_time() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let id = task.id().clone();
    assert_eq!(
        tracker.remove("t").await,
        Err(RemoveError::StillRunning(id.clone()))
    );
    task.emit(Mark { n: 1 }).unwrap();
    assert!(is_kept(&tracker, "t").await);
    let queued = tracker.task("queued").queue().unwrap();
    assert!(matches!(
        tracker.remove("queued").await,
        Err(RemoveError::StillRunning(_))
    ));
    drop(queued);
    tracker.remove("queued").await.unwrap();

    let mut watcher = tracker.subscribe("t");
    task.complete(()).unwrap();
    tracker.remove("t").await.unwrap();
    let not_found = RemoveError::Lookup(LookupError::NotFound(id));
    assert_eq!(tracker.remove("t").await, Err(not_found));
    let invalid = tracker.remove("no spaces").await.unwrap_err();
    assert!(matches!(
        invalid,
        RemoveError::Lookup(LookupError::InvalidTaskId(_))
    ));
    assert_eq!((tracker.stats().tasks, tracker.stats().ended), (0, 0));
    assert_eq!(tracker.stats().bytes, 0);
    // Who watches it reads on to the end.
    assert_eq!(marks(&to_end(&mut watcher).await), [1]);
    drop(watcher);
    // The id is free at once, for another run.
    let again = tracker.task("t").start().unwrap();
    drop(again);
    sleep(HOUR + SECOND).await;
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn starting_and_removing_for_long_leaves_nothing() {
    let tracker = ProgressTracker::new();
    for n in 0..5_000 {
        tracker.task("t").start().unwrap().complete(n).unwrap();
        tracker.remove("t").await.unwrap();
    }
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn memory_counters_return_to_0() {
    let limits = Limits::default().bytes(3_000_000);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let fill = |id: String| -> Task {
        let task = tracker.task(id).stage("a", 1.0).start().unwrap();
        for n in 0..1_000 {
            task.emit(Mark { n }).unwrap();
            task.emit(Gauge::new(format!("k{}", n % 7), n)).unwrap();
            task.log(progress_core::Level::INFO, "x".repeat(200));
            task.stage("a").inc(1);
            task.metadata("n", "y".repeat(n as usize));
        }
        task
    };
    let mut watchers = Vec::new();
    for round in 0..5 {
        let parent = fill(format!("parent{round}"));
        let child = parent.child(format!("child{round}"), "a").start().unwrap();
        watchers.push(tracker.subscribe(parent.id()));
        watchers.push(tracker.subscribe(child.id()));
        watchers.push(tracker.subscribe("unknown"));
        for watcher in &mut watchers {
            ready(watcher);
        }
        parent.finish().unwrap();
        drop(fill(format!("dropped{round}")));
    }
    assert!(tracker.stats().bytes > 100_000);
    drop(watchers);
    sleep(HOUR + SECOND).await;
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn the_drop_of_the_tracker_ends_cleanup_and_the_streams_that_wait() {
    let tracker = ProgressTracker::new();
    let background = || Handle::current().metrics().num_alive_tasks();
    assert_eq!(background(), 0);
    tracker.task("t").start().unwrap().complete(()).unwrap();
    assert_eq!(background(), 1);

    let mut polled = tracker.subscribe("unknown");
    assert_eq!(ready(&mut polled).len(), 1);
    let mut waiting = tokio_test::task::spawn(async move { polled.next().await });
    tokio_test::assert_pending!(waiting.poll());
    let mut never_polled = tracker.subscribe("unknown");
    let mut ended = tracker.subscribe("t");

    drop(tracker);
    assert!(waiting.is_woken());
    assert!(tokio_test::assert_ready!(waiting.poll()).is_none());
    assert_eq!(to_end(&mut never_polled).await.len(), 1);
    // What is read already known stays readable.
    assert_eq!(to_end(&mut ended).await.len(), 3);
    while background() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_task_keeps_its_tracker_at_work() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    let tracker = Arc::new(tracker);
    drop(tracker);
    let stage = task.stage("a").total(10);
    stage.inc(1);
    stage.inc(1);
    ready(&mut watcher);
    common::a_tick().await;
    let update = common::updates(&ready(&mut watcher)).pop().unwrap();
    assert_eq!(update.current, Some(2));
    drop(task);
    assert_eq!(common::types(&to_end(&mut watcher).await), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn retention_counts_from_the_end_also_for_a_task_that_was_held_past_it() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let held_long = parent.child("long", "part").start().unwrap();
    let held_short = parent.child("short", "part").start().unwrap();
    parent.complete(()).unwrap();
    sleep(HOUR / 2).await;
    drop(held_short);
    sleep(HOUR / 2 + SECOND).await;
    // Half an hour after it was let go, an hour after its end.
    assert!(!is_kept(&tracker, "short").await);
    assert!(is_kept(&tracker, "long").await);
    assert_eq!((tracker.stats().tasks, tracker.stats().ended), (1, 1));
    sleep(HOUR * 5).await;
    drop(held_long);
    // Its time was up long ago: it gets no new one.
    sleep(SECOND).await;
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn a_held_task_is_passed_over_for_room_and_keeps_its_place() {
    let limits = Limits::default().tasks(3);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let parent = tracker.task("parent").start().unwrap();
    let held = parent.child("held", "part").start().unwrap();
    parent.complete(()).unwrap();
    drop(tracker.task("a").start().unwrap());
    // The oldest end is the held one's, then the parent's.
    drop(tracker.task("b").start().unwrap());
    assert!(is_kept(&tracker, "held").await);
    assert!(!is_kept(&tracker, "parent").await);
    drop(held);
    // Now it is the oldest again.
    drop(tracker.task("c").start().unwrap());
    assert!(!is_kept(&tracker, "held").await);
    assert!(is_kept(&tracker, "a").await && is_kept(&tracker, "b").await);
    sleep(HOUR + SECOND).await;
    assert_empty(tracker.stats());
}

#[tokio::test(start_paused = true)]
async fn many_held_tasks_are_set_aside_in_turns_and_cost_nothing_more() {
    let tracker = ProgressTracker::builder().retention(SECOND).build();
    let parent = tracker.task("parent").start().unwrap();
    let held: Vec<_> = (0..5_000)
        .map(|n| parent.child(format!("c{n}"), "part").start().unwrap())
        .collect();
    parent.complete(()).unwrap();
    sleep(SECOND * 100).await;
    assert_eq!(tracker.stats().ended, 5_000);
    // One who is let go among them goes at once.
    let mut held = held.into_iter();
    drop(held.next());
    sleep(SECOND / 10).await;
    assert_eq!(tracker.stats().ended, 4_999);
    drop(held);
    sleep(SECOND).await;
    assert_empty(tracker.stats());
}

#[test]
fn handles_that_drop_while_their_tasks_are_swept_leave_nothing() {
    for _ in 0..20 {
        let tracker = ProgressTracker::builder()
            .limits(Limits::default().tasks(64))
            .build();
        let parent = tracker.task("parent").start().unwrap();
        let held: Vec<_> = (0..60)
            .map(|n| parent.child(format!("c{n}"), "part").start().unwrap())
            .collect();
        parent.complete(()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(held));
            // Each of these looks for an ended task to make room.
            for n in 0..200 {
                if let Ok(task) = tracker.task(format!("t{n}")).start() {
                    task.complete(()).unwrap();
                }
            }
        });
        // Nothing is set aside for ever: all can go.
        for n in 0..64 {
            drop(tracker.task(format!("u{n}")).start().unwrap());
        }
        for n in 0..64 {
            tokio_test::block_on(tracker.remove(format!("u{n}"))).unwrap();
        }
        assert_empty(tracker.stats());
    }
}

#[test]
fn idle_live_logs_give_way_under_the_common_budget() {
    let limits = Limits::default().bytes(400_000);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let idle: Vec<_> = (0..4)
        .map(|n| tracker.task(format!("idle{n}")).start().unwrap())
        .collect();
    for task in &idle {
        for _ in 0..200 {
            task.log(progress_core::Level::INFO, "x".repeat(200));
        }
    }
    let busy = tracker.task("busy").start().unwrap();
    for n in 0..100 {
        busy.emit(Mark { n }).unwrap();
    }
    assert!(tracker.stats().bytes <= 400_000);
    // The small log that grew kept everything; large ones that slept gave.
    assert_eq!(marks(&ready(&mut tracker.subscribe("busy"))).len(), 100);
    let kept = |task: &Task| ready(&mut tracker.subscribe(task.id())).len();
    assert!(idle.iter().any(|task| kept(task) < 200));
}
