//! Many items at a time on many threads: what a paused clock and one thread do not show.

use std::time::Duration;

use pipeline_gpu::{
    Admission, BatchContext, Batched, Context, CpuPool, Pipeline, RunError, Stage, blocking,
};
use progress_core::{ProgressTracker, Reporter, TaskError, TaskState};

use crate::common::soon;

const ITEMS: u64 = 1_500;

/// Numbers that look random, the same each time.
fn scattered(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) % 1_000
}

fn pipeline() -> Pipeline<u64, u64> {
    let device = Admission::new("device", 2);
    let yielding = |_cx: Context, n: u64| async move {
        for _ in 0..scattered(n) % 4 {
            tokio::task::yield_now().await;
        }
        Ok::<_, TaskError>(n)
    };
    let batch = |_cx: BatchContext, inputs: Vec<u64>| async move {
        tokio::task::yield_now().await;
        Ok(inputs
            .into_iter()
            .map(|n| match n % 50 {
                49 => Err(TaskError::new("MEANT", "Meant")),
                _ => Ok(n),
            })
            .collect())
    };
    Pipeline::builder("p")
        .waiting(ITEMS as usize)
        .pool(&CpuPool::new("stress", 2).unwrap())
        .stage("yield", yielding.on(&device))
        .concurrency(4)
        .stage("block", blocking(|_cx: &Context, n: u64| Ok(n)))
        .concurrency(3)
        .unordered()
        .stage(
            "batch",
            Batched::new(batch)
                .max_size(5)
                .max_wait(Duration::from_millis(1)),
        )
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_item_ends_and_every_place_is_free_again() {
    let tracker = ProgressTracker::new();
    let pipeline = pipeline();
    let followed: Vec<_> = (0..ITEMS)
        .map(|n| {
            let chance = scattered(n);
            let item = pipeline.item(n);
            let item = match chance {
                0..50 => item.deadline(Duration::from_millis(chance)),
                _ => item,
            };
            // Some have a task, the others nobody who listens.
            let run = match n % 2 {
                0 => item.submit(tracker.task(format!("t{n}"))).unwrap(),
                _ => item.run(&Reporter::noop()),
            };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(chance % 40)).await;
                match chance {
                    100..200 => run.cancel("meant"),
                    200..300 => {
                        run.pause("meant");
                        tokio::task::yield_now().await;
                        run.resume();
                    }
                    300..330 => {
                        run.pause(None);
                        run.cancel("meant");
                    }
                    330..360 if n % 2 == 1 => {
                        drop(run);
                        return None;
                    }
                    _ => {}
                }
                Some(run.await)
            })
        })
        .collect();
    let pausing = tokio::spawn({
        let pipeline = pipeline.clone();
        async move {
            for _ in 0..20 {
                pipeline.pause("meant");
                tokio::time::sleep(Duration::from_millis(1)).await;
                pipeline.resume();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    for (n, followed) in (0..).zip(followed) {
        let chance = scattered(n);
        match soon(followed).await.unwrap() {
            Some(Ok(output)) => assert_eq!(output, n),
            Some(Err(RunError::Failed(error))) => match error.code() {
                "MEANT" => assert_eq!(n % 50, 49),
                "DEADLINE_EXCEEDED" => assert!(chance < 50),
                code => panic!("{n} came to {code}"),
            },
            Some(Err(RunError::Cancelled { .. })) => assert!((100..330).contains(&chance)),
            Some(Err(other)) => panic!("{n} came to {other:?}"),
            None => {}
        }
        if n % 2 == 0 {
            let state = tracker.snapshot(format!("t{n}")).await.unwrap().state;
            assert!(
                state.is_ended() && state != TaskState::Abandoned,
                "{n} is {state:?}"
            );
        }
    }
    pausing.await.unwrap();
    // As many as ever find room.
    let again: Vec<_> = (0..ITEMS)
        .map(|n| pipeline.item(n).run(&Reporter::noop()))
        .collect();
    for (n, run) in (0..).zip(again) {
        assert_eq!(soon(run).await.is_ok(), n % 50 != 49);
    }
    soon(pipeline.close()).await;
    assert_eq!((pipeline.live(), pipeline.waiting()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn none_is_lost_however_often_they_come_and_go() {
    let stage = |cx: Context, n: u32| async move {
        for _ in 0..20 {
            cx.ready().await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, TaskError>(n)
    };
    let pipeline = Pipeline::builder("p")
        // There is not always room aside.
        .waiting(4)
        .stage("one", stage)
        .stage("many", stage)
        .concurrency(3)
        .queue(1)
        .build()
        .unwrap();
    let users: Vec<_> = (0..10)
        .map(|user| tokio::spawn(be_restless(pipeline.clone(), user)))
        .collect();
    for user in users {
        soon(user).await.unwrap();
    }
    // All desks and places are there.
    let nobody = Reporter::noop();
    for _ in 0..10 {
        let runs = [0, 1, 2, 3].map(|n| pipeline.item(n).run(&nobody));
        for (n, run) in (0..).zip(runs) {
            assert_eq!(soon(run).await, Ok(n));
        }
    }
    soon(pipeline.close()).await;
}

/// Has items run, one after the other, each of which is paused a few times or cancelled.
async fn be_restless(pipeline: Pipeline<u32, u32>, user: u32) {
    let nobody = Reporter::noop();
    let mut done = 0;
    while done < 60 {
        let run = pipeline.item(done).run(&nobody);
        for _ in 0..(user + done) % 7 {
            run.pause(None);
            for _ in 0..done % 5 {
                tokio::task::yield_now().await;
            }
            run.resume();
            tokio::task::yield_now().await;
        }
        let is_cancelled = (user + done).is_multiple_of(11);
        if is_cancelled {
            run.pause(None);
            tokio::task::yield_now().await;
            run.cancel(None);
        }
        match run.await {
            Ok(output) => assert_eq!(output, done),
            Err(RunError::Refused(_)) => {
                tokio::task::yield_now().await;
                continue;
            }
            Err(error) => assert!(is_cancelled, "{error:?}"),
        }
        done += 1;
    }
}
