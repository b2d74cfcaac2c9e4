//! Devices that pipelines share.

use std::time::Duration;

use futures_util::future::join_all;
use pipeline_gpu::{Admission, Context, Pipeline, Stage};
use progress_core::{ProgressTracker, Reporter, TaskError, batch::RetryPolicy};
use serde_json::Value;
use tokio::time::Instant;

use crate::common::{Gate, Log, Takes, settle, snapshot, soon};

#[tokio::test(start_paused = true)]
async fn a_device_admits_pipelines_in_the_order_of_asking() {
    let log = Log::default();
    let device = Admission::new("cuda:0", 1);
    let build = |name: &str| {
        Pipeline::builder(name)
            .stage(name, Takes::millis(10).noting(&log).on(&device))
            .concurrency(4)
            .build()
            .unwrap()
    };
    let (one, two) = (build("one"), build("two"));
    let nobody = Reporter::noop();
    let mut runs = Vec::new();
    for n in 1..=3 {
        for pipeline in [&one, &two] {
            runs.push(pipeline.item(n).run(&nobody));
            settle().await;
        }
    }
    assert_eq!(device.waiting(), 5);
    join_all(runs).await;
    let expected: Vec<_> = (1..=3)
        .flat_map(|n| ["one", "two"].map(|name| (name, n)))
        .flat_map(|(name, n)| ["begins", "ends"].map(|what| format!("{name} {what} {n}")))
        .collect();
    assert_eq!(log.all(), expected);
    assert_eq!(device.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_device_sees_its_place() {
    let tracker = ProgressTracker::new();
    let device = Admission::new("cuda:0", 1);
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone().on(&device))
        .concurrency(4)
        .build()
        .unwrap();
    let submit = |n: u32| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap();
    let [zero, one, two, three] = [0, 1, 2, 3].map(submit);
    let told = async |id: &str| {
        // What a stage says of itself is published within a tick.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let metadata = snapshot(&tracker, id).await.metadata;
        ["waiting_for", "position"].map(|name| metadata.get(name).cloned().unwrap_or_default())
    };
    assert_eq!(told("t0").await, [Value::Null, Value::Null]);
    assert_eq!(told("t1").await, ["cuda:0".into(), Value::from(1)]);
    assert_eq!(told("t2").await, ["cuda:0".into(), Value::from(2)]);

    one.cancel(None);
    assert!(soon(one).await.is_err());
    assert_eq!(told("t2").await, ["cuda:0".into(), Value::from(1)]);
    assert_eq!(told("t3").await, ["cuda:0".into(), Value::from(2)]);
    gate.let_through(1);
    assert_eq!(zero.await, Ok(0));
    assert_eq!(told("t3").await, ["cuda:0".into(), Value::from(1)]);
    assert_eq!(told("t2").await, [Value::Null, Value::Null]);
    gate.let_through(2);
    assert_eq!((two.await, three.await), (Ok(2), Ok(3)));
}

#[tokio::test(start_paused = true)]
async fn a_device_is_free_again_after_a_panic_and_a_cancel() {
    let device = Admission::new("cuda:0", 1);
    let stage = |_cx: Context, n: u32| async move {
        match n {
            0 => panic!("meant"),
            1 => std::future::pending().await,
            n => Ok::<_, TaskError>(n),
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("s", stage.on(&device))
        .concurrency(2)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    assert!(pipeline.run(&nobody, 0).await.is_err());
    let stuck = pipeline.item(1).run(&nobody);
    settle().await;
    let next = pipeline.item(2).run(&nobody);
    settle().await;
    assert_eq!(device.waiting(), 1);
    drop(stuck);
    assert_eq!(soon(next).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_device_works_for_as_many_as_it_has_slots() {
    let device = Admission::new("cuda:0", 2);
    let pipeline = Pipeline::builder("p")
        .stage("s", Takes::millis(100).on(&device))
        .concurrency(8)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let began = Instant::now();
    join_all((0..8).map(|n| pipeline.run(&nobody, n))).await;
    let took = began.elapsed().as_millis();
    assert!((400..=410).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn who_has_left_the_line_is_not_shown_in_it() {
    let tracker = ProgressTracker::new();
    let device = Admission::new("cuda:0", 1);
    let gate = Gate::new();
    let policy = RetryPolicy::new().first_delay(Duration::from_secs(60));
    let stage = gate
        .clone()
        .on(&device)
        .timeout(Duration::from_secs(10))
        .retry(policy.longest_delay(Duration::from_secs(60)));
    let pipeline = Pipeline::builder("p").stage("s", stage).build().unwrap();
    let cx = Context::detached("holds", Reporter::noop());
    let holder = device.admit(&cx).await.unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    let told = async || {
        let metadata = snapshot(&tracker, "t").await.metadata;
        ["waiting_for", "position"].map(|name| metadata.get(name).cloned().unwrap_or_default())
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told().await, ["cuda:0".into(), Value::from(1)]);
    // Its time is up; the next attempt is a minute away.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(device.waiting(), 0);
    assert_eq!(told().await, [Value::Null, Value::Null]);
    drop(holder);
    gate.let_through(1);
    assert_eq!(run.await, Ok(1));
}
