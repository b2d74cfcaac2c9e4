//! One that is paused within a stage holds up nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pipeline_gpu::{Admission, BatchContext, Batched, Context, CpuPool, Pipeline, Stage, blocking};
use progress_core::{Reporter, TaskError, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{Gate, Log, Takes, settle, soon};

/// Fails each item's first attempt, and notes them all.
fn flaky(log: &Log) -> impl Stage<u32, u32> {
    let log = log.clone();
    let stage = move |cx: Context, n: u32| {
        log.note(format!("{n}.{}", cx.attempt()));
        std::future::ready(match cx.attempt() {
            1 => Err(TaskError::new("BUSY", "Busy").retryable(true)),
            _ => Ok(n),
        })
    };
    stage.retry(RetryPolicy::new())
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_between_attempts_lets_others_pass() {
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky(&log))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let first = pipeline.item(1).run(&nobody);
    settle().await;
    first.pause(None);
    let second = pipeline.item(2).run(&nobody);
    assert_eq!(soon(second).await, Ok(2));
    assert_eq!(log.all(), ["1.1", "2.1", "2.2"]);
    first.resume();
    assert_eq!(soon(first).await, Ok(1));
    assert_eq!(log.all(), ["1.1", "2.1", "2.2", "1.2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_while_it_waits_for_a_device_lets_others_pass() {
    let device = Admission::new("gpu", 1);
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("work", Takes::millis(1).noting(&log).on(&device))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let elsewhere = device.admit(&Context::detached("s", nobody.clone())).await;
    let [first, second] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    first.pause(None);
    drop(elsewhere);
    assert_eq!(soon(second).await, Ok(2));
    assert_eq!(log.all(), ["work begins 2", "work ends 2"]);
    first.resume();
    assert_eq!(soon(first).await, Ok(1));
}

#[tokio::test]
async fn one_that_is_paused_while_it_waits_for_a_thread_lets_others_pass() {
    let pool = CpuPool::new("busy", 1).unwrap();
    let (free, busy) = std::sync::mpsc::channel::<()>();
    let detached = Context::detached("s", Reporter::noop());
    let elsewhere = pool.run(&detached, move || {
        let _freed = busy.recv();
        Ok(())
    });
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage("work", blocking(|_cx: &Context, n: u32| Ok(n)))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let [first, second] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    let others = async {
        settle().await;
        first.pause(None);
        drop(free);
        assert_eq!(soon(second).await, Ok(2));
        assert!(!first.is_ended());
        first.resume();
        assert_eq!(soon(first).await, Ok(1));
    };
    assert!(tokio::join!(elsewhere, others).0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_with_a_device_keeps_its_place_as_well() {
    // Else it would wait for a place of one that waits for the device.
    let device = Admission::new("gpu", 1);
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky(&log).on(&device))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let [first, second] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    first.pause(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), ["1.1"]);
    first.resume();
    assert_eq!(soon(first).await, Ok(1));
    assert_eq!(soon(second).await, Ok(2));
    assert_eq!(log.all(), ["1.1", "1.2", "2.1", "2.2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_in_a_batch_keeps_its_place_as_well() {
    let batched = Batched::new(|cx: BatchContext, inputs: Vec<u32>| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for item in cx.items() {
            item.ready().await?;
        }
        Ok(inputs.into_iter().map(Ok).collect())
    });
    let pipeline = Pipeline::builder("p")
        .stage("batch", batched.max_size(1))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs: Vec<_> = (0..5).map(|n| pipeline.item(n).run(&nobody)).collect();
    settle().await;
    runs[0].pause(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    runs[0].resume();
    for (n, run) in (0..).zip(runs) {
        assert_eq!(soon(run).await, Ok(n));
    }
}

#[tokio::test]
async fn one_that_is_paused_on_a_thread_keeps_its_place_as_well() {
    let pool = CpuPool::new("one", 1).unwrap();
    let gate = Gate::new();
    let looks = {
        let gate = gate.clone();
        blocking(move |cx: &Context, n: u32| {
            if n == 1 {
                pollster::block_on(gate.run(cx.clone(), n))?;
            }
            pollster::block_on(cx.ready())?;
            Ok(n)
        })
    };
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage("looks", looks)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let [first, second] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    gate.begun().await;
    first.pause(None);
    gate.let_through(1);
    settle().await;
    assert_eq!(pipeline.waiting(), 1);
    first.resume();
    assert_eq!(soon(first).await, Ok(1));
    assert_eq!(soon(second).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_waits_for_a_desk() {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stage = {
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        move |cx: Context, n: u32| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                cx.ready().await?;
                most.fetch_max(
                    at_once.fetch_add(1, Ordering::Relaxed) + 1,
                    Ordering::Relaxed,
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
                at_once.fetch_sub(1, Ordering::Relaxed);
                Ok::<_, TaskError>(n)
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("looks", stage)
        .concurrency(2)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs: Vec<_> = (0..20).map(|n| pipeline.item(n).run(&nobody)).collect();
    // Half of them come aside, and go on while the others work.
    for run in runs.iter().step_by(2) {
        run.pause(None);
    }
    settle().await;
    for run in runs.iter().step_by(2) {
        run.resume();
        tokio::time::sleep(Duration::from_millis(700)).await;
        run.pause(None);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    for run in &runs {
        run.resume();
    }
    for (n, run) in (0..).zip(runs) {
        assert_eq!(soon(run).await, Ok(n));
    }
    assert_eq!(most.load(Ordering::Relaxed), 2);
    // Every desk is there again, and none is there twice.
    let began = Instant::now();
    let runs: Vec<_> = (0..4).map(|n| pipeline.item(n).run(&nobody)).collect();
    for run in runs {
        soon(run).await.unwrap();
    }
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn many_that_are_paused_between_stages_let_others_pass() {
    let gate = Gate::new();
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .stage("next", Takes::millis(1).noting(&log))
        .queue(2)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let mut paused = Vec::new();
    for n in 0..10 {
        let run = pipeline.item(n).run(&nobody);
        gate.begun().await;
        run.pause(None);
        gate.let_through(1);
        paused.push(run);
    }
    gate.let_through(1);
    assert_eq!(soon(pipeline.run(&nobody, 99)).await, Ok(99));
    assert_eq!(log.all(), ["next begins 99", "next ends 99"]);
    // Those that gave up their places keep their order.
    for run in &paused {
        run.resume();
    }
    for (n, run) in (0..).zip(paused) {
        assert_eq!(soon(run).await, Ok(n));
    }
    let begun = log.all().into_iter().filter(|line| line.contains("begins"));
    let expected = (0..10).map(|n| format!("next begins {n}"));
    assert!(begun.skip(1).eq(expected));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_while_another_waits_for_its_place_gives_it_up() {
    let first = Gate::new();
    let next = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("first", first.clone())
        .stage("next", next.clone())
        .queue(1)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let mut runs: Vec<_> = (0..4).map(|n| pipeline.item(n).run(&nobody)).collect();
    first.let_through(3);
    next.begun().await;
    settle().await;
    // One in the second stage, one in front of it, one in the hands of the first.
    assert_eq!(first.log.all(), ["0", "1", "2"]);
    runs[1].pause(None);
    settle().await;
    assert_eq!(first.log.all(), ["0", "1", "2", "3"]);
    first.let_through(1);
    next.let_through(3);
    let paused = runs.remove(1);
    for run in runs {
        soon(run).await.unwrap();
    }
    assert_eq!(next.log.all(), ["0", "2", "3"]);
    paused.cancel(None);
    assert!(soon(paused).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_paused_keeps_the_order_of_those_within_a_stage() {
    let log = Log::default();
    let looks = |cx: Context, n: u32| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        cx.ready().await?;
        // Later ones are quicker.
        tokio::time::sleep(Duration::from_millis(u64::from(100 - n * 10))).await;
        Ok::<_, TaskError>(n)
    };
    let pipeline = Pipeline::builder("p")
        .stage("looks", looks)
        .concurrency(4)
        .stage("note", Takes::millis(0).noting(&log))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs: Vec<_> = (0..4).map(|n| pipeline.item(n).run(&nobody)).collect();
    settle().await;
    pipeline.pause(None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    pipeline.resume();
    for run in runs {
        soon(run).await.unwrap();
    }
    let log = log.all();
    let begun = log.iter().filter(|line| line.contains("begins"));
    let expected = (0..4).map(|n| format!("note begins {n}"));
    assert!(begun.eq(&expected.collect::<Vec<_>>()), "{log:?}");
}
