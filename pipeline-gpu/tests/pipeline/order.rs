//! Overlap, order, and what waits for what.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use pipeline_gpu::{Context, Pipeline};
use progress_core::{Reporter, TaskError};
use tokio::time::Instant;

use crate::common::{Gate, Log, Takes, settle, soon};

/// Later items are quicker.
async fn quicker(_cx: Context, n: u32) -> Result<u32, TaskError> {
    tokio::time::sleep(Duration::from_millis(u64::from(100 - n * 10))).await;
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn a_stage_works_on_an_item_while_the_one_before_works_on_the_next() {
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("a", Takes::millis(10).noting(&log))
        .stage("b", Takes::millis(10).noting(&log))
        .build()
        .unwrap();
    let began = Instant::now();
    let nobody = Reporter::noop();
    let results = join_all((1..=10).map(|n| pipeline.run(&nobody, n))).await;
    assert!(results.into_iter().all(|result| result.is_ok()));
    // One after the other it would be 200; the timer has steps of a millisecond.
    let took = began.elapsed().as_millis();
    assert!((110..=130).contains(&took), "{took}");
    let log = log.all();
    let at = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(at("a begins 2") < at("b ends 1"));
    assert!(at("b begins 1") < at("a ends 2"));
}

#[tokio::test(start_paused = true)]
async fn items_leave_a_stage_of_many_workers_in_the_order_in_which_they_came() {
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("race", quicker)
        .concurrency(4)
        .stage("note", Takes::millis(0).noting(&log))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    join_all((1..=8).map(|n| pipeline.run(&nobody, n))).await;
    let begun: Vec<_> = log
        .all()
        .into_iter()
        .filter(|line| line.contains("begins"))
        .collect();
    let expected: Vec<_> = (1..=8).map(|n| format!("note begins {n}")).collect();
    assert_eq!(begun, expected);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_lets_nobody_past_those_before_it() {
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("race", |cx: Context, n: u32| async move {
            match n {
                2 => Err(TaskError::new("TWO", "At once")),
                n => quicker(cx, n).await,
            }
        })
        .concurrency(3)
        .stage("note", Takes::millis(0).noting(&log))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    join_all((1..=3).map(|n| pipeline.run(&nobody, n))).await;
    assert_eq!(
        log.all(),
        [
            "note begins 1",
            "note ends 1",
            "note begins 3",
            "note ends 3"
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn items_leave_an_unordered_stage_as_they_are_done() {
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("race", quicker)
        .concurrency(3)
        .unordered()
        .stage("note", Takes::millis(0).noting(&log))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    join_all((1..=3).map(|n| pipeline.run(&nobody, n))).await;
    assert_eq!(log.all()[0], "note begins 3");
}

#[tokio::test(start_paused = true)]
async fn a_stage_works_on_as_many_at_a_time_as_it_may() {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = {
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        move |_cx: Context, n: u32| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            async move {
                most.fetch_max(
                    at_once.fetch_add(1, Ordering::Relaxed) + 1,
                    Ordering::Relaxed,
                );
                tokio::time::sleep(Duration::from_millis(10)).await;
                at_once.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, TaskError>(n)
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("count", count)
        .concurrency(3)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    join_all((1..=20).map(|n| pipeline.run(&nobody, n))).await;
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_slow_holds_up_those_before_it() {
    let log = Log::default();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(0).noting(&log))
        .stage("slow", gate.clone())
        .queue(2)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs: Vec<_> = (1..=10).map(|n| pipeline.item(n).run(&nobody)).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    settle().await;
    // One in the slow stage, two in front of it, and one in the hands of the stage before.
    let ended = log
        .all()
        .iter()
        .filter(|line| line.contains("ends"))
        .count();
    assert_eq!((ended, pipeline.waiting()), (4, 6));
    gate.let_through(10);
    for run in runs {
        soon(run).await.unwrap();
    }
}
