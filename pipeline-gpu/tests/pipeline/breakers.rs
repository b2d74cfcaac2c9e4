//! Stages behind a breaker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pipeline_gpu::{Breaker, BreakerState, Context, Pipeline, RunError, Stage};
use progress_core::{Reporter, TaskError, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{Log, settle};

/// A service that is down so long.
fn service(
    down: Duration,
    calls: &Arc<AtomicU32>,
) -> impl Fn(Context, u32) -> std::future::Ready<Result<u32, TaskError>> + Send + Sync + use<> {
    let began = Instant::now();
    let calls = Arc::clone(calls);
    move |_cx, n| {
        calls.fetch_add(1, Ordering::Relaxed);
        std::future::ready(match began.elapsed() < down {
            true => Err(TaskError::new("DOWN", "Down").retryable(true)),
            false => Ok(n),
        })
    }
}

fn code(result: Result<u32, RunError>) -> String {
    match result {
        Err(RunError::Failed(error)) => error.code().to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_keeps_failing_is_left_alone_for_a_time() {
    let calls = Arc::default();
    let breaker = Breaker::new("The service")
        .failures(3)
        .open_for(Duration::from_secs(30));
    let pipeline = Pipeline::builder("p")
        .stage(
            "call",
            service(Duration::from_secs(20), &calls).guarded_by(&breaker),
        )
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    for _ in 0..3 {
        assert_eq!(code(pipeline.run(&nobody, 1).await), "DOWN");
    }
    for _ in 0..5 {
        assert_eq!(code(pipeline.run(&nobody, 1).await), "CIRCUIT_OPEN");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(pipeline.run(&nobody, 1).await, Ok(1));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_until_the_breaker_lets_it_through() {
    let calls = Arc::default();
    let breaker = Breaker::new("The service")
        .failures(1)
        .open_for(Duration::from_secs(30));
    let call = service(Duration::from_secs(20), &calls)
        .guarded_by(&breaker)
        .retry(RetryPolicy::new().retries(2));
    let pipeline = Pipeline::builder("p").stage("call", call).build().unwrap();
    let began = Instant::now();
    assert_eq!(pipeline.run(&Reporter::noop(), 1).await, Ok(1));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn bad_input_and_cancelled_calls_do_not_open_it() {
    let breaker = Breaker::new("The service").failures(1);
    let stage = |_cx: Context, n: u32| async move {
        match n {
            0 => Err(TaskError::new("BAD", "Bad input")),
            n => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(n)
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("call", stage.guarded_by(&breaker))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    assert_eq!(code(pipeline.run(&nobody, 0).await), "BAD");
    let run = pipeline.item(1).run(&nobody);
    settle().await;
    drop(run);
    settle().await;
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_timeout_open_it_for_all_that_share_it() {
    let breaker = Breaker::new("The service").failures(2);
    let log = Log::default();
    let stage = |_cx: Context, n: u32| async move {
        assert_ne!(n, 0, "meant");
        std::future::pending::<Result<u32, TaskError>>().await
    };
    let slow = stage.timeout(Duration::from_secs(1)).guarded_by(&breaker);
    let other = {
        let log = log.clone();
        move |_cx: Context, n: u32| {
            log.note("called");
            std::future::ready(Ok::<_, TaskError>(n))
        }
    };
    let nobody = Reporter::noop();
    let one = Pipeline::builder("p").stage("call", slow).build().unwrap();
    let two = Pipeline::builder("q")
        .stage("call", other.guarded_by(&breaker))
        .build()
        .unwrap();
    assert_eq!(code(one.run(&nobody, 0).await), "STAGE_PANICKED");
    assert_eq!(code(one.run(&nobody, 1).await), "STAGE_TIMEOUT");
    assert_eq!(code(two.run(&nobody, 1).await), "CIRCUIT_OPEN");
    assert_eq!(log.all(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_holds_up_the_others_no_longer_than_it_would_be_open() {
    let breaker = Breaker::new("The service")
        .failures(1)
        .open_for(Duration::from_secs(30));
    let stage = |_cx: Context, n: u32| async move {
        match n {
            0 => Err(TaskError::new("DOWN", "Down").retryable(true)),
            1 => std::future::pending().await,
            n => Ok(n),
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("call", stage.guarded_by(&breaker))
        .concurrency(3)
        .unordered()
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    assert_eq!(code(pipeline.run(&nobody, 0).await), "DOWN");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let hangs = pipeline.item(1).run(&nobody);
    settle().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Err(RunError::Failed(error)) = pipeline.run(&nobody, 2).await else {
        panic!("the probe is on its way");
    };
    assert_eq!(error.code(), "CIRCUIT_OPEN");
    let left = error.retry_after_ms().unwrap();
    assert!((19_990..=20_000).contains(&left), "{left}");
    tokio::time::sleep(Duration::from_millis(left)).await;
    assert_eq!(pipeline.run(&nobody, 2).await, Ok(2));
    assert_eq!(breaker.state(), BreakerState::Closed);
    drop(hangs);
}
