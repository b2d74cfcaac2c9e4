//! Takes items from a line, has a stage work on them, and hands them on.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    item::{Item, Job, Stop},
    ledger::{Failure, Ledger},
    line::{Kind, Line},
    pace::Pace,
    shop::{Plan, Shop, failed_in},
};
use crate::{
    context::{Context, Site},
    error,
    stage::Stage,
    stopwatch::Stopwatch,
};

/// A stage in its place.
pub(super) struct Post<S> {
    pub(super) stage: S,
    pub(super) index: usize,
    pub(super) shop: Arc<Shop>,
}

/// Starts as many workers as the stage has items to work on at a time.
pub(super) fn hire<S, In, Out>(post: Post<S>, source: &Arc<Line<In>>, next: &Arc<Line<Out>>)
where
    S: Stage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    let workers = post.plan().concurrency;
    let post = Arc::new(post);
    for _ in 0..workers {
        let (post, source, next) = (Arc::clone(&post), Arc::clone(source), Arc::clone(next));
        tokio::spawn(async move {
            let _duty = Duty(&source);
            // What an item is made of may panic when it is dropped: its ticket ends it, and the
            // worker goes on.
            while AssertUnwindSafe(work(&post, &source, &next))
                .catch_unwind()
                .await
                .is_err()
            {}
        });
    }
}

/// Ends items that have come through.
pub(super) fn deliver<Out>(last: Arc<Line<Out>>, ledger: Arc<Ledger<Out>>)
where
    Out: Send + 'static,
{
    tokio::spawn(async move {
        let _duty = Duty(&last);
        while let Some((Job { ticket, value }, _)) = last.take().await {
            ledger.complete(&ticket.item, value);
        }
    });
}

/// Whoever takes from a line.
struct Duty<'a, T>(&'a Line<T>);

impl<T> Drop for Duty<'_, T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

async fn work<S, In, Out>(post: &Post<S>, source: &Line<In>, next: &Line<Out>)
where
    S: Stage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    while let Some((Job { ticket, value }, turn)) = source.take().await {
        let item = Arc::clone(&ticket.item);
        if source.kind() == Kind::First && !item.begin() {
            item.ask_to_stop(Stop::Cancelled(item.reporter.cancel_reason()));
        }
        match post.serve(&item, value).await {
            Ok(value) => {
                if let Some(turn) = &turn {
                    tokio::select! {
                        () = turn.wait() => {}
                        () = item.cancel.cancelled() => {}
                    }
                }
                // Given back, it ends with the job.
                drop(next.push(Job { ticket, value }).await);
            }
            Err(failure) => post.shop.ends.fail(&item, failure),
        }
    }
}

impl<S> Post<S> {
    fn plan(&self) -> &Plan {
        &self.shop.plans[self.index]
    }

    async fn serve<In, Out>(&self, item: &Item, value: In) -> Result<Out, Failure>
    where
        S: Stage<In, Out>,
    {
        if item.is_stopped() {
            return Err(Failure::Stopped(None));
        }
        let plan = self.plan();
        let path = item.path(&plan.name);
        let reporter = item.reporter.stage(&path);
        // Its first sign of life.
        reporter.inc(0);
        let stopwatch = Stopwatch::start();
        let expected = match plan.opaque {
            true => self.shop.prior.lock().expected(&plan.name),
            false => None,
        };
        let mut pace = expected.and_then(|expected| Pace::new(&reporter, &stopwatch, expected));
        let cx = Context::new(
            reporter.clone(),
            item.cancel.clone(),
            Site {
                stage: Arc::clone(&plan.name),
                opaque: plan.opaque,
                deadline: item.deadline,
                metadata: Arc::clone(&item.metadata),
                paused: item.watch_pauses(),
                stopwatch: stopwatch.clone(),
                pool: self.shop.pool.clone(),
            },
        );
        let run = async { self.stage.run(cx, value).await };
        let mut run = std::pin::pin!(AssertUnwindSafe(run).catch_unwind());
        let result = loop {
            tokio::select! {
                biased;
                result = &mut run => break result,
                () = item.cancel.cancelled() => {
                    // Whatever it comes to: the item is to stop.
                    let _ended = timeout(plan.grace, run).await;
                    return Err(Failure::Stopped(Some(path)));
                }
                () = Pace::keep(&mut pace) => {}
            }
        };
        let took = stopwatch.elapsed();
        drop(pace);
        match result {
            Ok(Ok(output)) => {
                self.shop.prior.lock().learn(&plan.name, took);
                reporter.finish();
                Ok(output)
            }
            // It has seen the flag before this did.
            Ok(Err(_)) if item.is_stopped() => Err(Failure::Stopped(Some(path))),
            Ok(Err(error)) => Err(failed_in(error, &path)),
            // What it said was told to the panic hook.
            Err(_) => Err(failed_in(error::stage_panicked(&plan.name), &path)),
        }
    }
}
