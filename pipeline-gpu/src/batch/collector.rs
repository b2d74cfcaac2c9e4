//! Gathers items into batches, and runs them.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use progress_core::TaskError;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{BatchContext, BatchStage};
use crate::{cancel::Cancel, context::Context, error, stopwatch::Held, sync::Mutex};

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) size: usize,
    pub(super) wait: Duration,
    pub(super) at_once: usize,
}

/// An item that is to be in a batch.
pub(super) struct Entry<In, Out> {
    pub(super) waited: Held,
    pub(super) cx: Context,
    /// Empty once a batch that runs, or the item itself, has taken it.
    pub(super) input: Arc<Mutex<Option<In>>>,
    /// An error in place of a result is the message of a panic.
    pub(super) reply: oneshot::Sender<Result<Result<Out, TaskError>, &'static str>>,
}

impl<In, Out> Entry<In, Out> {
    fn has_left(&self) -> bool {
        self.reply.is_closed() || self.cx.is_cancelled() || self.input.lock().is_none()
    }
}

/// The gathering task of a stage.
pub(super) struct Collector<S, In, Out> {
    stage: Arc<S>,
    limits: Limits,
    entries: mpsc::Receiver<Entry<In, Out>>,
    forming: VecDeque<Entry<In, Out>>,
    /// When the first of those that form a batch came, and whether it is to wait for more.
    opened: Option<(Instant, bool)>,
    running: JoinSet<()>,
    /// Whether the batch that began last had more than one item: others are about.
    company: bool,
    /// When a batch ended last.
    busy: Option<Instant>,
}

impl<S, In, Out> Collector<S, In, Out>
where
    S: BatchStage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    /// Starts a task that ends when the sender and all of its clones are gone.
    pub(super) fn start(stage: Arc<S>, limits: Limits) -> mpsc::Sender<Entry<In, Out>> {
        let (sender, entries) = mpsc::channel(limits.size);
        let collector = Self {
            stage,
            limits,
            entries,
            forming: VecDeque::new(),
            opened: None,
            running: JoinSet::new(),
            company: false,
            busy: None,
        };
        tokio::spawn(collector.gather());
        sender
    }

    async fn gather(mut self) {
        let mut open = true;
        loop {
            self.forming.retain(|entry| !entry.has_left());
            if self.forming.is_empty() {
                self.opened = None;
                if !open {
                    break;
                }
            }
            let due = self.due();
            if due.is_some_and(|due| due <= Instant::now()) {
                self.run();
                continue;
            }
            tokio::select! {
                entry = self.entries.recv(), if open && self.forming.len() < self.limits.size => {
                    match entry {
                        Some(entry) => self.admit(entry).await,
                        None => open = false,
                    }
                }
                Some(_) = self.running.join_next() => self.busy = Some(Instant::now()),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    /// When the batch that forms is to run, if that depends on nothing but time. A wait beyond all
    /// instants is for a full batch.
    fn due(&self) -> Option<Instant> {
        let (opened, waits) = self.opened?;
        if self.running.len() >= self.limits.at_once {
            return None;
        }
        match waits && self.forming.len() < self.limits.size {
            true => opened.checked_add(self.limits.wait),
            false => Some(opened),
        }
    }

    async fn admit(&mut self, entry: Entry<In, Out>) {
        if self.opened.is_none() {
            let now = Instant::now();
            let waits = self.expects_more(now);
            if !waits {
                // Those that were sent together are on their way.
                tokio::task::yield_now().await;
            }
            self.opened = Some((now, waits));
        }
        self.forming.push_back(entry);
        while self.forming.len() < self.limits.size
            && let Ok(entry) = self.entries.try_recv()
        {
            self.forming.push_back(entry);
        }
    }

    /// Whether others have been about a moment ago, so that a wait may be worth it. Who comes alone
    /// and comes again, or from time to time, does not wait for nobody.
    fn expects_more(&self, now: Instant) -> bool {
        let lately = |busy| now.duration_since(busy) < self.limits.wait;
        self.company && (!self.running.is_empty() || self.busy.is_some_and(lately))
    }

    fn run(&mut self) {
        let batch: Vec<_> = self.forming.drain(..).collect();
        self.opened = None;
        self.company = batch.len() > 1;
        self.running.spawn(run(Arc::clone(&self.stage), batch));
    }
}

async fn run<S, In, Out>(stage: Arc<S>, batch: Vec<Entry<In, Out>>)
where
    S: BatchStage<In, Out>,
{
    let mut items = Vec::with_capacity(batch.len());
    let mut inputs = Vec::with_capacity(batch.len());
    let mut replies = Vec::with_capacity(batch.len());
    for entry in batch {
        // Taken back by an item that was paused or cancelled at this moment.
        let Some(input) = entry.input.lock().take() else {
            continue;
        };
        items.push(entry.cx);
        inputs.push(input);
        replies.push(entry.reply);
        drop(entry.waited);
    }
    if inputs.is_empty() {
        return;
    }
    let cx = BatchContext {
        items: items.into(),
        cancel: Cancel::new(),
    };
    let expected = inputs.len();
    let results = {
        let _kept: Vec<_> = cx.items().iter().map(Context::keep).collect();
        let work = async { stage.run(cx.clone(), inputs).await };
        let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
        let leave = replies.iter_mut().zip(cx.items()).map(|(reply, cx)| async {
            tokio::select! {
                () = reply.closed() => {}
                () = cx.cancel().cancelled() => {}
            }
        });
        tokio::select! {
            biased;
            results = &mut work => results,
            _ = join_all(leave) => {
                cx.cancel.cancel();
                // Nobody waits for it but the next batch.
                match timeout(stage.grace(), work).await {
                    Ok(results) => results,
                    Err(_) => Ok(Err(error::cancelled())),
                }
            }
        }
    };
    let failed = match results {
        Ok(Ok(results)) if results.len() == expected => {
            for (reply, result) in replies.into_iter().zip(results) {
                answer(reply, Ok(result));
            }
            return;
        }
        Ok(Ok(results)) => Ok(error::batch_results(results.len(), expected)),
        Ok(Err(error)) => Ok(error),
        // What it said was told to the panic hook.
        Err(_) => Err("a batch panicked"),
    };
    for reply in replies {
        answer(reply, failed.clone().map(Err));
    }
}

/// An item that has left meanwhile wants no answer, which is dropped here; that may panic, and the
/// others are to have theirs.
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(reply.send(answer)))));
}

#[cfg(test)]
mod tests {
    use progress_core::Reporter;

    use super::*;

    type Reply = oneshot::Receiver<Result<Result<u32, TaskError>, &'static str>>;

    fn entry(input: u32) -> (Entry<u32, u32>, Reply) {
        let cx = Context::detached("batch", Reporter::noop());
        let (reply, result) = oneshot::channel();
        let entry = Entry {
            waited: cx.hold(),
            cx,
            input: Arc::new(Mutex::new(Some(input))),
            reply,
        };
        (entry, result)
    }

    #[tokio::test(start_paused = true)]
    async fn comes_to_its_end_though_the_last_to_wait_has_left() {
        let stage = |_cx: BatchContext, inputs: Vec<u32>| async move {
            Ok(inputs.into_iter().map(Ok).collect())
        };
        let (sender, entries) = mpsc::channel(2);
        let gathering = tokio::spawn(
            Collector {
                stage: Arc::new(stage),
                limits: Limits {
                    size: 2,
                    wait: Duration::from_secs(60),
                    at_once: 1,
                },
                entries,
                forming: VecDeque::new(),
                opened: None,
                running: JoinSet::new(),
                company: false,
                busy: None,
            }
            .gather(),
        );
        let ((one, first), (two, second)) = (entry(1), entry(2));
        assert!(sender.send(one).await.is_ok() && sender.send(two).await.is_ok());
        assert_eq!(first.await, Ok(Ok(Ok(1))));
        assert_eq!(second.await, Ok(Ok(Ok(2))));
        // It has just been at work for two, so this one waits for more; then nobody is left.
        let (third, result) = entry(3);
        assert!(sender.send(third).await.is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop((result, sender));
        gathering.await.expect("it panicked");
    }
}
