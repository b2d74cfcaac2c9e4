//! What one that was paused within a stage finds when it goes on.

use std::{sync::Arc, time::Duration};

use pipeline_gpu::{Admission, Context, Pipeline, Stage};
use progress_core::{Reporter, TaskError, batch::RetryPolicy};
use tokio::time::sleep;

use crate::common::{Gate, settle, soon};

#[tokio::test(start_paused = true)]
async fn one_that_comes_into_a_full_line_paused_gives_up_its_place() {
    let first = Gate::new();
    let next = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("first", first.clone())
        .concurrency(2)
        .unordered()
        .stage("next", next.clone())
        .queue(1)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let mut runs: Vec<_> = (0..4).map(|n| pipeline.item(n).run(&nobody)).collect();
    first.let_through(2);
    settle().await;
    assert_eq!(first.log.all(), ["0", "1", "2", "3"]);
    // In no line as yet, so that nobody there is woken for it.
    runs[2].pause(None);
    for _ in 0..2 {
        first.let_through(1);
        settle().await;
    }
    next.let_through(3);
    let paused = runs.remove(2);
    for run in runs {
        soon(run).await.unwrap();
    }
    assert_eq!(next.log.all(), ["0", "1", "3"]);
    paused.cancel(None);
    assert!(soon(paused).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_desk_is_none_of_the_stages_time() {
    let looks = |cx: Context, n: u32| async move {
        sleep(Duration::from_secs(2)).await;
        cx.ready().await?;
        Ok::<_, TaskError>(n)
    };
    let pipeline = Pipeline::builder("p")
        .stage("looks", looks.timeout(Duration::from_secs(3)))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let [first, second] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    sleep(Duration::from_millis(1_900)).await;
    first.pause(None);
    sleep(Duration::from_millis(110)).await;
    // The second has begun by now, and works for longer than the first has time.
    first.resume();
    assert_eq!(soon(first).await, Ok(1));
    assert_eq!(soon(second).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn one_without_a_desk_does_not_take_the_device_that_those_with_one_wait_for() {
    let gpu = Admission::new("gpu", 1);
    let half = (|_cx: Context, n: u32| async move { Ok::<_, TaskError>(n) })
        .retry(RetryPolicy::new())
        .on(&gpu);
    let half = Arc::new(half);
    let halves = move |cx: Context, n: u32| {
        let half = Arc::clone(&half);
        async move {
            let looks = async {
                sleep(Duration::from_secs(1)).await;
                cx.ready().await
            };
            let (_, n) = tokio::try_join!(looks, half.run(cx.clone(), n))?;
            Ok::<_, TaskError>(n)
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("halves", halves)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let elsewhere = gpu
        .admit(&Context::detached("s", nobody.clone()))
        .await
        .unwrap();
    let [first, second] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    first.pause(None);
    sleep(Duration::from_secs(2)).await;
    // The second waits for the device behind the first, which waits for the second's desk.
    first.resume();
    settle().await;
    drop(elsewhere);
    assert_eq!(soon(second).await, Ok(2));
    assert_eq!(soon(first).await, Ok(1));
}
