//! Takes items from a line, has a stage work on them, and hands them on.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    aside::{Place, Room},
    item::{Item, Job, Stop},
    ledger::{Failure, Ledger},
    line::{Kind, Line, Taken},
    pace::Pace,
    shop::{Plan, Shop, failed_in},
};
use crate::{
    context::{Context, Site},
    desk::Desk,
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

/// A stage between its lines.
struct Works<S, In, Out> {
    post: Post<S>,
    source: Arc<Line<In>>,
    next: Arc<Line<Out>>,
}

/// Starts as many workers as the stage has items to work on at a time.
pub(super) fn hire<S, In, Out>(post: Post<S>, source: &Arc<Line<In>>, next: &Arc<Line<Out>>)
where
    S: Stage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    let workers = post.plan().concurrency;
    let works = Arc::new(Works {
        post,
        source: Arc::clone(source),
        next: Arc::clone(next),
    });
    for _ in 0..workers {
        start(&works);
    }
}

fn start<S, In, Out>(works: &Arc<Works<S, In, Out>>)
where
    S: Stage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    let works = Arc::clone(works);
    // Out here, so that it counts although the runtime never has the worker begin.
    let duty = Duty::new(&works.source);
    tokio::spawn(async move {
        // What an item is made of may panic when it is dropped: its ticket ends it, and the
        // worker goes on.
        while AssertUnwindSafe(work(&works, &duty))
            .catch_unwind()
            .await
            .is_err()
        {}
    });
}

/// Ends items that have come through.
pub(super) fn deliver<Out>(last: Arc<Line<Out>>, ledger: Arc<Ledger<Out>>)
where
    Out: Send + 'static,
{
    let duty = Duty::new(&last);
    tokio::spawn(async move {
        let _duty = duty;
        // As for a worker.
        while AssertUnwindSafe(async {
            while let Some(Taken { job, .. }) = last.take().await {
                ledger.complete(&job.ticket.item, job.value);
            }
        })
        .catch_unwind()
        .await
        .is_err()
        {}
    });
}

/// Whoever takes from a line.
struct Duty<T> {
    line: Arc<Line<T>>,
    /// Another takes in its place; it ends with the item that it has.
    replaced: AtomicBool,
}

impl<T> Duty<T> {
    fn new(line: &Arc<Line<T>>) -> Self {
        Self {
            line: Arc::clone(line),
            replaced: AtomicBool::new(false),
        }
    }

    fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Duty<T> {
    fn drop(&mut self) {
        match self.is_replaced() {
            // Its desk is free.
            true => self.line.look_again(),
            false => self.line.abandon(),
        }
    }
}

async fn work<S, In, Out>(works: &Arc<Works<S, In, Out>>, duty: &Duty<In>)
where
    S: Stage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    let Works { post, source, next } = &**works;
    while !duty.is_replaced() {
        let Some(Taken { job, turn, desk }) = source.take().await else {
            return;
        };
        let Job { ticket, value } = job;
        let item = Arc::clone(&ticket.item);
        if source.kind() == Kind::First && !item.begin() {
            item.ask_to_stop(Stop::Cancelled(item.reporter.cancel_reason()));
        }
        let mut place = Place::new(desk, turn);
        let make_room = || {
            if !duty.replaced.swap(true, Ordering::Relaxed) {
                start(works);
            }
            source.look_again();
        };
        match post
            .serve(&item, value, &mut place, source.room(), make_room)
            .await
        {
            Ok(value) => {
                if let Some(turn) = &place.turn {
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

    async fn serve<In, Out>(
        &self,
        item: &Item,
        value: In,
        place: &mut Place,
        room: &Room,
        make_room: impl Fn() + Send + Sync,
    ) -> Result<Out, Failure>
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
        let desk = Desk::default();
        let cx = Context::new(
            reporter.clone(),
            item.cancel.clone(),
            Site {
                stage: Arc::clone(&plan.name),
                opaque: plan.opaque,
                deadline: item.deadline,
                metadata: Arc::clone(&item.metadata),
                pauses: item.watch_pauses(),
                desk: desk.clone(),
                stopwatch: stopwatch.clone(),
                pool: self.shop.pool.clone(),
            },
        );
        let run = async {
            // Paused after it was taken, nothing of it is begun.
            cx.ready().await?;
            self.stage.run(cx, value).await
        };
        let mut run = std::pin::pin!(AssertUnwindSafe(run).catch_unwind());
        let mut minding = std::pin::pin!(place.mind(item, &desk, room, make_room));
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
                never = &mut minding => match never {},
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
            Ok(Err(_)) if item.is_to_stop() => Err(Failure::Stopped(Some(path))),
            Ok(Err(error)) => Err(failed_in(error, &path)),
            // What it said was told to the panic hook.
            Err(_) => Err(failed_in(error::stage_panicked(&plan.name), &path)),
        }
    }
}
