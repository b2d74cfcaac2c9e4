//! Runs beside each other, runs that are stopped, and the end of a model.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use pipeline_gpu::{
    Cancel,
    onnx::{ElementType, OnnxError, OnnxModel, Tensor},
};

use crate::support::{builder, load, model, red_on_grey, run, soon, until};

/// Minutes of work, of which nothing is done before a test asks for it.
fn slow(
    change: impl FnOnce(pipeline_gpu::onnx::ModelBuilder) -> pipeline_gpu::onnx::ModelBuilder,
) -> OnnxModel {
    load(change(builder("slow").without_warm_up())).unwrap()
}

fn work() -> [(&'static str, Tensor); 1] {
    [("x", Tensor::zeros(ElementType::F32, [256, 256]).unwrap())]
}

/// Begins a run, and returns when a session has it.
async fn begun(
    model: &OnnxModel,
    cancel: &Cancel,
) -> tokio::task::JoinHandle<Result<(), OnnxError>> {
    let (own, cancel, running) = (model.clone(), cancel.clone(), model.running());
    let run = tokio::spawn(async move { own.run(work(), &cancel).await.map(drop) });
    until(|| model.running() == running + 1).await;
    run
}

/// The runtime looks at the flag between operations, here of a millisecond or so; the rest is for a
/// busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_run_stops_in_its_middle_and_the_session_goes_on() {
    let model = slow(|builder| builder);
    for _ in 0..3 {
        let cancel = Cancel::new();
        let run = begun(&model, &cancel).await;
        let asked = Instant::now();
        cancel.cancel();
        assert_eq!(soon(run).await.unwrap(), Err(OnnxError::Cancelled));
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        // It says so only when the session is free.
        assert_eq!(model.running(), 0);
    }
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_stops() {
    let model = slow(|builder| builder);
    let run = begun(&model, &Cancel::new()).await;
    run.abort();
    until(|| model.running() == 0).await;
}

#[tokio::test]
async fn who_waits_for_a_session_is_cancelled_at_once() {
    let model = slow(|builder| builder);
    let (first, second) = (Cancel::new(), Cancel::new());
    let running = begun(&model, &first).await;
    let waiting = tokio::spawn({
        let (model, second) = (model.clone(), second.clone());
        async move { model.run(work(), &second).await.map(drop) }
    });
    until(|| model.waiting() == 1).await;
    second.cancel();
    assert_eq!(soon(waiting).await.unwrap(), Err(OnnxError::Cancelled));
    assert!(!running.is_finished());
    first.cancel();
    assert_eq!(soon(running).await.unwrap(), Err(OnnxError::Cancelled));
    // The one that was given up is passed over.
    until(|| model.waiting() == 0 && model.running() == 0).await;
}

#[tokio::test]
async fn a_full_queue_makes_who_comes_wait_outside() {
    let model = slow(|builder| builder.queue(NonZeroUsize::MIN));
    let cancel = Cancel::new();
    let running = begun(&model, &cancel).await;
    let start = || {
        let (model, cancel) = (model.clone(), cancel.clone());
        tokio::spawn(async move { model.run(work(), &cancel).await.map(drop) })
    };
    let inside = start();
    until(|| model.waiting() == 1).await;
    let outside = start();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(model.waiting(), 1);
    cancel.cancel();
    for run in [running, inside, outside] {
        assert_eq!(soon(run).await.unwrap(), Err(OnnxError::Cancelled));
    }
}

#[tokio::test]
async fn a_flag_that_is_set_already_runs_nothing() {
    let model = slow(|builder| builder);
    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(
        soon(model.run(work(), &cancel)).await.unwrap_err(),
        OnnxError::Cancelled
    );
    assert_eq!(model.waiting() + model.running(), 0);
}

#[tokio::test]
async fn two_workers_run_two_at_a_time() {
    let two = NonZeroUsize::new(2).unwrap();
    let model = slow(|builder| builder.workers(two));
    assert_eq!(model.workers(), 2);
    let cancel = Cancel::new();
    let runs = [begun(&model, &cancel).await, begun(&model, &cancel).await];
    assert_eq!(model.running(), 2);
    cancel.cancel();
    for run in runs {
        assert_eq!(soon(run).await.unwrap(), Err(OnnxError::Cancelled));
    }
}

#[tokio::test]
async fn many_runs_at_once_all_get_their_own_answer() {
    let two = NonZeroUsize::new(2).unwrap();
    let model = load(builder("not_finite").workers(two).queue(two)).unwrap();
    let runs = (0..200_u16).map(|number| {
        let model = model.clone();
        tokio::spawn(async move {
            let input = Tensor::new([1], vec![f32::from(number) * f32::from(number)]).unwrap();
            let mut outputs = model.run([("x", input)], &Cancel::new()).await?;
            assert_eq!(outputs.take_vec::<f32>("root")?, [f32::from(number)]);
            Ok::<_, OnnxError>(())
        })
    });
    for run in runs.collect::<Vec<_>>() {
        soon(run).await.unwrap().unwrap();
    }
}

#[test]
fn a_run_from_a_thread_is_stopped_from_another() {
    let model = slow(|builder| builder);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| model.run_blocking(work(), &cancel).map(drop));
        let asked = Instant::now();
        while model.running() == 0 {
            assert!(asked.elapsed() < crate::support::PATIENCE, "it never began");
            std::thread::yield_now();
        }
        cancel.cancel();
        assert_eq!(run.join().unwrap(), Err(OnnxError::Cancelled));
    });
}

#[tokio::test]
async fn a_model_that_is_closed_ends_what_it_began_and_takes_no_more() {
    let model = model("blob_det64");
    let other = model.clone();
    let image = || [("images", red_on_grey(64))];
    soon(model.run(image(), &Cancel::new())).await.unwrap();
    soon(model.close()).await;
    let error = soon(other.run(image(), &Cancel::new())).await.unwrap_err();
    assert_eq!(error, OnnxError::Closed);
    assert_eq!(error.code(), "ONNX_CLOSED");
    // Closing again waits for nothing.
    soon(other.close()).await;
}

#[tokio::test]
async fn closing_waits_for_the_run_that_has_a_session() {
    let model = slow(|builder| builder);
    let cancel = Cancel::new();
    let run = begun(&model, &cancel).await;
    let closing = tokio::spawn({
        let model = model.clone();
        async move { model.close().await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    cancel.cancel();
    soon(closing).await.unwrap();
    assert_eq!(soon(run).await.unwrap(), Err(OnnxError::Cancelled));
}

#[test]
fn handles_go_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send>(_: T) {}
    let model = model("blob_det64");
    shared(&model);
    sent(model.run([("images", red_on_grey(64))], &Cancel::new()));
    run(&model, [("images", red_on_grey(64))]);
}

/// A number that looks like chance, and is the same each time.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_stopped_at_any_moment_leave_the_model_whole() {
    let two = NonZeroUsize::new(2).unwrap();
    let model = load(builder("heavy").workers(two).queue(two)).unwrap();
    let grey = || [("images", crate::support::picture(320, 320, |_, _| false))];
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let (mut done, mut stopped) = (0, 0);
    for _ in 0..12 {
        let runs = (0..8).map(|_| {
            let (model, cancel) = (model.clone(), Cancel::new());
            let (moment, how) = (
                Duration::from_millis(next(&mut seed) % 120),
                next(&mut seed) % 3,
            );
            let run = tokio::spawn({
                let cancel = cancel.clone();
                async move { model.run(grey(), &cancel).await.map(drop) }
            });
            tokio::spawn(async move {
                tokio::time::sleep(moment).await;
                match how {
                    0 => cancel.cancel(),
                    1 => run.abort(),
                    _ => {
                        tokio::time::sleep(moment).await;
                        cancel.cancel();
                    }
                }
                run.await
            })
        });
        for run in runs.collect::<Vec<_>>() {
            match soon(run).await.unwrap() {
                Ok(Ok(())) => done += 1,
                Ok(Err(OnnxError::Cancelled)) => stopped += 1,
                Err(aborted) if aborted.is_cancelled() => stopped += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(done + stopped, 96);
    assert!(stopped > 0);
    until(|| model.running() == 0 && model.waiting() == 0).await;
    let mean = soon(model.run(grey(), &Cancel::new()))
        .await
        .unwrap()
        .take_vec::<f32>("mean");
    crate::support::close(mean.unwrap()[0], 0.488_763, 1e-4);
}
