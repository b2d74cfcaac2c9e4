//! Batches and retries, as the parallel media analyser (system B) asks for them: at most five at
//! once, up to three retries after 1 s, 2 s and 4 s, each attempt visible, cancellation honoured,
//! the batch fails only if all items do.
#![cfg(feature = "batch")]

mod common;

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use progress_core::{
    ChildPolicy, Data, Limits, ProgressTracker, Reporter, StartError, Task, TaskBuilder, TaskError,
    TaskState,
    batch::{Batch, ItemError, RetryPolicy, retry},
};
use serde_json::{Value, json};
use static_assertions::assert_impl_all;
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, task::spawn};

use crate::common::{events, ready, types};

assert_impl_all!(RetryPolicy: Copy, Send, Sync);
assert_impl_all!(ItemError: std::error::Error, Clone, Send, Sync);

const SECOND: Duration = Duration::from_secs(1);

fn busy() -> TaskError {
    TaskError::new("BUSY", "The service is busy").retryable(true)
}

/// The `error` events of a task, as they go over the wire.
fn failures(tracker: &ProgressTracker, id: &str) -> Vec<Value> {
    events(&ready(&mut tracker.subscribe(id)))
        .iter()
        .filter(|event| matches!(event.data(), Data::Error(_)))
        .map(|event| serde_json::from_slice(&event.to_json(event.seq(), 0)).unwrap())
        .map(|mut event: Value| event["data"].take())
        .collect()
}

fn failure(retry: u32, after_ms: Option<u64>) -> Value {
    let mut data = json!({
        "code": "BUSY", "message": "The service is busy", "is_retryable": true,
        "retry_count": retry, "max_retries": 3,
    });
    if let Some(after) = after_ms {
        data["retry_after_ms"] = after.into();
    }
    data
}

#[tokio::test(start_paused = true)]
async fn retry_none_on_success() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let begin = Instant::now();
    let calls = Cell::new(0);
    let got = retry(&task, RetryPolicy::default(), async || {
        calls.set(calls.get() + 1);
        Ok(7)
    });
    assert_eq!(got.await, Ok(7));
    assert_eq!((calls.get(), begin.elapsed()), (1, Duration::ZERO));
    assert!(failures(&tracker, "t").is_empty());
}

#[tokio::test(start_paused = true)]
async fn retry_one_failure_then_success() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let begin = Instant::now();
    let calls = Cell::new(0);
    let got = retry(&task, RetryPolicy::default(), async || {
        calls.set(calls.get() + 1);
        if calls.get() == 1 { Err(busy()) } else { Ok(7) }
    });
    assert_eq!(got.await, Ok(7));
    assert_eq!((calls.get(), begin.elapsed().as_secs()), (2, 1));
    assert_eq!(failures(&tracker, "t"), [failure(1, Some(1_000))]);
    assert_eq!(task.snapshot().state, TaskState::Running);
}

#[tokio::test(start_paused = true)]
async fn retry_limit_exceeded() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let begin = Instant::now();
    let calls = Cell::new(0);
    let got: Result<(), _> = retry(&task, RetryPolicy::default(), async || {
        calls.set(calls.get() + 1);
        Err(busy().detail("call", calls.get()))
    })
    .await;
    // At most four calls; the last error.
    assert_eq!((calls.get(), begin.elapsed().as_secs()), (4, 1 + 2 + 4));
    let error = got.unwrap_err();
    assert_eq!(error.details().get("call"), Some(&json!(4)));
    let mut all = failures(&tracker, "t");
    for (n, failure) in all.iter_mut().enumerate() {
        assert_eq!(failure["details"]["call"], n + 1);
        failure.as_object_mut().unwrap().remove("details");
    }
    assert_eq!(
        all,
        [
            failure(1, Some(1_000)),
            failure(2, Some(2_000)),
            failure(3, Some(4_000)),
            failure(3, None),
        ]
    );
    task.fail(error).unwrap();
    let ended = tracker.snapshot("t").await.unwrap().error.unwrap();
    let ended = serde_json::to_value(&ended).unwrap();
    assert_eq!(ended["retry_count"], 3);
}

#[tokio::test(start_paused = true)]
async fn retry_cancelled() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let calls = Cell::new(0);
    let fail = async || -> Result<(), _> {
        calls.set(calls.get() + 1);
        Err(busy())
    };
    // While it waits for the next attempt.
    let mut waiting = spawn(retry(&task, RetryPolicy::default(), fail));
    assert_pending!(waiting.poll());
    tracker.cancel("t", "enough").await.unwrap();
    assert!(waiting.is_woken());
    let begin = Instant::now();
    assert_eq!(waiting.await.unwrap_err().code(), "BUSY");
    assert_eq!((calls.get(), begin.elapsed()), (1, Duration::ZERO));
    // Told once, with the retry that was to follow.
    assert_eq!(failures(&tracker, "t"), [failure(1, Some(1_000))]);
    // Before the first attempt.
    let error = retry(&task, RetryPolicy::default(), fail).await;
    assert_eq!(error.unwrap_err().code(), "CANCELLED");
    assert_eq!(calls.get(), 1);

    // While an attempt runs: it is not broken off, and no other follows.
    let other = tracker.task("u").start().unwrap();
    let mut running = spawn(retry(&other, RetryPolicy::default(), async || {
        sleep(SECOND * 60).await;
        Err::<(), _>(busy())
    }));
    assert_pending!(running.poll());
    tracker.cancel("u", None).await.unwrap();
    assert_pending!(running.poll());
    let begin = Instant::now();
    assert_eq!(running.await.unwrap_err().code(), "BUSY");
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert_eq!(failures(&tracker, "u"), [failure(0, None)]);
}

#[tokio::test(start_paused = true)]
async fn retry_stops_at_an_error_that_will_not_change() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let calls = Cell::new(0);
    let got: Result<(), _> = retry(&task, RetryPolicy::default(), async || {
        calls.set(calls.get() + 1);
        Err(busy().retryable(calls.get() < 2))
    })
    .await;
    assert_eq!(calls.get(), 2);
    assert!(!got.unwrap_err().is_retryable());
    let all = failures(&tracker, "t");
    assert_eq!(all[0], failure(1, Some(1_000)));
    assert_eq!(all[1]["is_retryable"], false);
    assert_eq!(all[1]["retry_count"], 1);
}

#[tokio::test(start_paused = true)]
async fn delays_double_to_their_bound_and_grow_when_the_error_asks() {
    async fn delays(policy: RetryPolicy, error: &TaskError) -> Vec<u64> {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").start().unwrap();
        let fail = async || Err::<(), _>(error.clone());
        retry(&task, policy, fail).await.unwrap_err();
        failures(&tracker, "t")
            .iter()
            .filter_map(|failure| failure["retry_after_ms"].as_u64())
            .collect()
    }
    let policy = RetryPolicy::default().retries(6);
    assert_eq!(
        delays(policy, &busy()).await,
        [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
    );
    let asks = busy().retry_after(SECOND * 5);
    let mut waited = delays(policy, &asks).await;
    // The last error still says what was asked.
    assert_eq!(waited.pop(), Some(5_000));
    assert_eq!(waited, [5_000, 5_000, 5_000, 8_000, 10_000, 10_000]);
    assert!(delays(policy.retries(0), &busy()).await.is_empty());
    let odd = RetryPolicy::new().factor(f32::NAN).first_delay(SECOND * 60);
    assert_eq!(delays(odd, &busy()).await, [10_000; 3]);
    let steep = RetryPolicy::new().factor(f32::INFINITY);
    assert_eq!(delays(steep, &busy()).await, [1_000, 10_000, 10_000]);
    let jittered = delays(policy.jitter(), &busy()).await;
    assert!((1_000..=2_000).contains(&jittered[0]), "{jittered:?}");
    assert!(
        jittered.iter().all(|delay| *delay <= 20_000),
        "{jittered:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn retry_works_for_nobody_too() {
    let calls = Cell::new(0);
    let nobody = Reporter::noop();
    let got = retry(&nobody, RetryPolicy::default(), async || {
        calls.set(calls.get() + 1);
        if calls.get() < 3 { Err(busy()) } else { Ok(7) }
    });
    assert_eq!(got.await, Ok(7));
}

fn items<'a>(
    task: &'a Task,
    names: &'a [&'static str],
) -> impl Iterator<Item = (TaskBuilder, &'static str)> + 'a {
    names
        .iter()
        .map(|name| (task.child(*name, "files").kind("file"), *name))
}

async fn state(tracker: &ProgressTracker, id: &str) -> TaskState {
    tracker.snapshot(id).await.unwrap().state
}

#[tokio::test(start_paused = true)]
async fn runner_parallel() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("f{n}")).collect();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begin = Instant::now();
    let children = names
        .iter()
        .enumerate()
        .map(|(n, name)| (task.child(name.as_str(), "files"), n));
    let batch = task
        .for_each_tracked(children, 5, ChildPolicy::All, |reporter, n| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                let at_work = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(at_work, Ordering::SeqCst);
                reporter.progress(50.0);
                sleep(SECOND).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n * 2)
            }
        })
        .await;
    assert!(batch.is_success());
    // In the order of the items, whichever was first.
    let results: Vec<_> = batch.results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, (0..12).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 5);
    assert_eq!(begin.elapsed().as_secs(), 3);
    for (n, name) in names.iter().enumerate() {
        let frames = ready(&mut tracker.subscribe(name));
        assert_eq!(
            types(&frames),
            ["queued", "started", "progress_update", "complete"]
        );
        match events(&frames)[0].data() {
            Data::Queued(queued) => assert_eq!(queued.position, Some(n as u64 + 1)),
            other => panic!("{other:?}"),
        }
    }
    let done = tracker.snapshot("f3").await.unwrap();
    assert_eq!(done.result.unwrap().json(), "6");
    task.finish().unwrap();
    assert_eq!(state(&tracker, "batch").await, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn runner_partial_failure() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names = ["a", "bad", "c", "panics", "panics-later", "f"];
    let batch: Batch<()> = task
        .for_each_tracked(items(&task, &names), 2, ChildPolicy::Partial, |_, name| {
            assert_ne!(name, "panics", "before its future");
            async move {
                tokio::task::yield_now().await;
                assert_ne!(name, "panics-later", "in its future");
                if name == "bad" { Err(busy()) } else { Ok(()) }
            }
        })
        .await;
    assert_eq!((batch.completed(), batch.failed()), (3, 3));
    assert!(batch.is_success());
    assert_eq!(batch.results[1], Err(ItemError::Failed(busy())));
    assert_eq!(batch.results[3], Err(ItemError::Panicked));
    assert_eq!(batch.results[4], Err(ItemError::Panicked));
    for id in ["a", "c", "f"] {
        assert_eq!(state(&tracker, id).await, TaskState::Completed);
    }
    assert_eq!(state(&tracker, "bad").await, TaskState::Failed);
    for id in ["panics", "panics-later"] {
        let ended = tracker.snapshot(id).await.unwrap();
        assert_eq!(ended.state, TaskState::Abandoned);
        assert_eq!(ended.cause.as_deref(), Some("panicked"));
    }
    task.finish().unwrap();
    let ended = tracker.snapshot("batch").await.unwrap();
    assert_eq!(ended.state, TaskState::Completed);
    assert_eq!(
        ended.result.unwrap().decode::<Value>().unwrap(),
        json!({"total": 6, "completed": 3, "failed": 3})
    );
}

#[tokio::test(start_paused = true)]
async fn runner_all_fail() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names = ["a", "b", "c"];
    let batch: Batch<()> = task
        .for_each_tracked(
            items(&task, &names),
            5,
            ChildPolicy::Partial,
            |reporter, _| {
                // Each attempt of each item is seen.
                async move { retry(&reporter, RetryPolicy::default(), async || Err(busy())).await }
            },
        )
        .await;
    assert_eq!((batch.completed(), batch.failed()), (0, 3));
    assert!(!batch.is_success());
    for name in names {
        assert_eq!(failures(&tracker, name).len(), 4);
    }
    task.finish().unwrap();
    let ended = tracker.snapshot("batch").await.unwrap();
    assert_eq!(ended.state, TaskState::Failed);
    assert_eq!(ended.error.unwrap().code(), "CHILDREN_FAILED");
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_nothing_is_a_success() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    for policy in [ChildPolicy::All, ChildPolicy::Any, ChildPolicy::Partial] {
        let none = items(&task, &[]);
        let batch = task.for_each_tracked(none, 0, policy, |_, _| async { Ok(()) });
        assert!(batch.await.is_success());
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_parent_asks_those_at_work_and_begins_no_other() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names = ["stops", "errs", "finishes", "waits", "waits-too"];
    let begun = Arc::new(AtomicUsize::new(0));
    let batch = task.for_each_tracked(
        items(&task, &names),
        3,
        ChildPolicy::All,
        |reporter, name| {
            begun.fetch_add(1, Ordering::SeqCst);
            async move {
                reporter.cancelled().await;
                match name {
                    "errs" => Err(busy()),
                    "finishes" => {
                        sleep(SECOND).await;
                        Ok(name)
                    }
                    _ => Err(TaskError::new("STOPPED", "It was stopped")),
                }
            }
        },
    );
    let cancel = async {
        sleep(SECOND).await;
        assert_eq!(state(&tracker, "waits").await, TaskState::Queued);
        tracker.cancel("batch", "enough").await.unwrap();
        sleep(SECOND / 2).await;
        // At once, not when their turn comes.
        assert_eq!(state(&tracker, "waits").await, TaskState::Cancelled);
        assert_eq!(state(&tracker, "finishes").await, TaskState::Running);
    };
    let (batch, ()) = tokio::join!(batch, cancel);
    assert_eq!(begun.load(Ordering::SeqCst), 3);
    let cancelled = Err(ItemError::Cancelled);
    assert_eq!(
        batch.results,
        [
            cancelled.clone(),
            cancelled.clone(),
            Ok("finishes"),
            cancelled.clone(),
            cancelled
        ]
    );
    for name in ["stops", "errs", "waits", "waits-too"] {
        let ended = tracker.snapshot(name).await.unwrap();
        assert_eq!(ended.state, TaskState::Cancelled, "{name}");
        assert_eq!(ended.cause.as_deref(), Some("enough"), "{name}");
    }
    task.cancel("enough").unwrap();
}

#[tokio::test(start_paused = true)]
async fn cancelling_one_item_leaves_the_others_alone() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names = ["a", "b", "c"];
    let batch = task.for_each_tracked(items(&task, &names), 1, ChildPolicy::Any, |_, name| {
        assert_ne!(name, "b", "it is not begun");
        async {
            sleep(SECOND).await;
            Ok(())
        }
    });
    let cancel = async {
        tokio::task::yield_now().await;
        tracker.cancel("b", None).await.unwrap();
    };
    let (batch, ()) = tokio::join!(batch, cancel);
    assert_eq!(batch.results[1], Err(ItemError::Cancelled));
    assert_eq!(batch.completed(), 2);
    let ended = tracker.snapshot("b").await.unwrap();
    assert_eq!(ended.cause.as_deref(), Some("cancel_requested"));
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_task_cannot_be_made_is_one_that_failed() {
    let limits = Limits::default().children(2);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let task = tracker.task("batch").start().unwrap();
    let names = ["a", "no spaces", "b", "c"];
    let batch = task
        .for_each_tracked(items(&task, &names), 5, ChildPolicy::Any, |_, _| async {
            Ok(())
        })
        .await;
    assert!(matches!(
        batch.results[1],
        Err(ItemError::NotStarted(StartError::InvalidTaskId(_)))
    ));
    assert_eq!(
        batch.results[3],
        Err(ItemError::NotStarted(StartError::TooManyChildren {
            limit: 2
        }))
    );
    assert_eq!(batch.completed(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_be_told_is_told_so() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names = ["result", "error"];
    let batch = task
        .for_each_tracked(
            items(&task, &names),
            5,
            ChildPolicy::Any,
            |_, name| async move {
                let large = "x".repeat(100_000);
                match name {
                    "result" => Ok(large),
                    _ => Err(TaskError::new("WORDY", large)),
                }
            },
        )
        .await;
    let code = |result: &Result<_, ItemError>| match result {
        Err(ItemError::Failed(error)) => error.code().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&batch.results[0]), "RESULT_TOO_LARGE");
    assert_eq!(code(&batch.results[1]), "WORDY");
    for (name, code) in [("result", "RESULT_TOO_LARGE"), ("error", "WORDY")] {
        let ended = tracker.snapshot(name).await.unwrap();
        assert_eq!(ended.state, TaskState::Failed);
        assert_eq!(ended.error.unwrap().code(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_batch_stops_its_work() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let names = ["a", "b"];
    {
        let batch =
            task.for_each_tracked(items(&task, &names), 1, ChildPolicy::Any, |_, _| async {
                std::future::pending::<()>().await;
                Ok(())
            });
        let mut batch = spawn(batch);
        assert_pending!(batch.poll());
        assert_eq!(state(&tracker, "a").await, TaskState::Running);
    }
    tokio::task::yield_now().await;
    for name in names {
        let ended = tracker.snapshot(name).await.unwrap();
        assert_eq!(ended.state, TaskState::Abandoned);
        assert_eq!(ended.cause.as_deref(), Some("dropped"));
    }
    assert_eq!(task.snapshot().state, TaskState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_batch_for_nobody_works() {
    let nobody = Reporter::noop();
    let children = (0..10).map(|n| (nobody.child(format!("c{n}"), "part"), n));
    let batch = nobody
        .for_each_tracked(children, 3, ChildPolicy::All, |reporter, n| async move {
            reporter.progress(50.0);
            Ok(n)
        })
        .await;
    assert!(batch.is_success());
    assert_eq!(batch.results[9], Ok(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_can_be_spawned() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("batch").start().unwrap();
    let worker = tokio::spawn(async move {
        let names: Vec<_> = (0..200).map(|n| format!("c{n}")).collect();
        let children = names
            .iter()
            .map(|name| (task.child(name.as_str(), "part"), name.len()));
        let batch = task
            .for_each_tracked(children, 8, ChildPolicy::All, |reporter, len| async move {
                reporter.inc(1);
                Ok(len)
            })
            .await;
        let done = batch.completed();
        task.finish().unwrap();
        done
    });
    assert_eq!(worker.await.unwrap(), 200);
    assert_eq!(state(&tracker, "batch").await, TaskState::Completed);
}
