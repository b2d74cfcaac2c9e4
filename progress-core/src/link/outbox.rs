//! What this node's tasks have to tell the broker: one more cursor into each log.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    channel::ChannelName,
    event::Event,
    link::{Backoff, Link},
    log::{Cursor, Delivery},
    position::{Epoch, Position},
    sync::{Mutex, atomic::AtomicBool},
    task::TaskShared,
    tracker::TrackerShared,
    transport::{AppendError, Claim, ClaimError, Topic, TransportError},
};

/// How far a task's log has been told.
#[derive(Debug)]
pub(crate) struct Outbox {
    claim: Claim,
    /// The run before on this node, until its end is told: a restart is refused while it counts as
    /// live.
    before: Mutex<Option<Arc<TaskShared>>>,
    /// Whether the task stands among the dirty.
    dirty: AtomicBool,
    /// Nothing is to be told at present, because the end was, or another run counts.
    done: AtomicBool,
    /// The broker has had its end.
    end_told: AtomicBool,
    /// It was given up unsent.
    dropped: AtomicBool,
    told: Mutex<Told>,
    /// What became of the first claim: the run that was there, if it was refused.
    confirmed: OnceLock<Result<(), Epoch>>,
    answered: Notify,
}

#[derive(Debug)]
struct Told {
    /// Whether the claim stands.
    claimed: bool,
    /// Whether the broker may have forgotten what it was told.
    verify: bool,
    cursor: Cursor,
}

/// Tasks that have something to tell.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    tasks: Mutex<VecDeque<Arc<TaskShared>>>,
    wake: Notify,
    /// Told when there is nothing more to send.
    idle: Notify,
    /// Taken from `tasks` and not yet with the broker.
    sending: AtomicUsize,
}

impl Outbox {
    pub(crate) fn new(claim: Claim, before: Option<Arc<TaskShared>>) -> Self {
        Self {
            claim,
            before: Mutex::new(before),
            dirty: AtomicBool::new(false),
            done: AtomicBool::new(false),
            end_told: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            told: Mutex::new(Told {
                claimed: false,
                verify: false,
                cursor: Cursor::at_start(),
            }),
            confirmed: OnceLock::new(),
            answered: Notify::new(),
        }
    }

    /// The claim to make. A run that was granted once is claimed as one that may follow another: a
    /// broker that has forgotten it may have been told again of one before it, which has ended.
    fn claim(&self) -> Claim {
        match &self.claim {
            Claim::Start { node, channels } if self.confirmed.get() == Some(&Ok(())) => {
                Claim::Restart {
                    node: node.clone(),
                    channels: channels.clone(),
                }
            }
            claim => claim.clone(),
        }
    }

    /// Waits for the answer to the claim: the run that was there, if it was refused.
    pub(crate) async fn confirmed(&self) -> Result<(), Epoch> {
        loop {
            let answered = self.answered.notified();
            if let Some(confirmed) = self.confirmed.get() {
                return *confirmed;
            }
            answered.await;
        }
    }

    fn confirm(&self, answer: Result<(), Epoch>) {
        let _first = self.confirmed.set(answer);
        self.answered.notify_waiters();
    }

    /// Tells whether the broker has had the end.
    pub(crate) fn end_is_told(&self) -> bool {
        self.end_told.load(Ordering::Acquire)
    }

    /// Tells whether it will never be told.
    pub(crate) fn is_closed(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Gives up: the log is to make room.
    pub(crate) fn drop_unsent(&self) {
        self.dropped.store(true, Ordering::Release);
        self.close();
    }

    /// The run before, while its end is still to be told.
    fn untold_before(&self) -> Option<Arc<TaskShared>> {
        let before = self.before.lock().clone()?;
        let told = before.outbox.as_deref().is_none_or(Self::is_done);
        if told {
            drop(self.before.lock().take());
        }
        (!told).then_some(before)
    }

    /// Tells whether nothing is to be told at present.
    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.done.store(true, Ordering::Release);
    }

    /// Takes no further part: another run is the one that counts.
    pub(crate) fn supersede(&self, by: Epoch) {
        self.close();
        self.confirm(Err(by));
    }

    /// A broker that has forgotten the run is told all of it again.
    fn begin_again(&self) {
        let mut told = self.told.lock();
        told.claimed = false;
        told.cursor = Cursor::at_start();
    }
}

/// What waits to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backlog {
    pub(crate) tasks: usize,
    pub(crate) events: usize,
}

impl Link {
    /// Has a task's log sent on from where it has been told.
    pub(crate) fn send_soon(&self, task: &Arc<TaskShared>) {
        let Some(outbox) = &task.outbox else {
            return;
        };
        // AcqRel: whoever clears the flag sees all that was appended before it was set.
        if !outbox.dirty.swap(true, Ordering::AcqRel) {
            self.outbox.tasks.lock().push_back(Arc::clone(task));
            self.outbox.wake.notify_one();
        }
    }

    /// After an outage: the broker may have forgotten what it was told.
    pub(super) fn resend_all(&self, tracker: &TrackerShared) {
        // What was superseded stays so: claimed again, it might be granted where the run that counted
        // has been forgotten, and nobody would end it.
        for task in tracker.owned() {
            if let Some(outbox) = &task.outbox
                && !task.is_superseded()
            {
                outbox.done.store(false, Ordering::Release);
                outbox.told.lock().verify = true;
                self.send_soon(&task);
            }
        }
    }

    /// What waits, or is on its way: tasks with something to tell, and events for channels.
    pub(crate) fn backlog(&self) -> Backlog {
        let tasks = self.outbox.tasks.lock();
        Backlog {
            tasks: tasks.len() + self.outbox.sending.load(Ordering::Acquire),
            events: self.waiting_drafts() + self.copies_waiting(),
        }
    }

    /// The broker may have lost what it was told of one task.
    pub(super) fn verify_soon(&self, tracker: &TrackerShared, topic: &Topic) {
        if let Topic::Task(id) = topic
            && let Some(task) = tracker.find(id)
            && let Some(outbox) = &task.outbox
            && !outbox.is_done()
        {
            outbox.told.lock().verify = true;
            self.send_soon(&task);
        }
    }

    pub(super) fn wake_outbox(&self) {
        self.outbox.wake.notify_one();
    }

    /// Waits until all that the logs hold is with the broker.
    pub(crate) async fn sent_all(&self) {
        loop {
            self.list_state(None);
            self.wake_outbox();
            let idle = self.outbox.idle.notified();
            // Both under the lock under which a task goes from the one to the other.
            let empty = {
                let tasks = self.outbox.tasks.lock();
                tasks.is_empty() && self.outbox.sending.load(Ordering::Acquire) == 0
            };
            if empty && self.nothing_waits() && self.copies_waiting() == 0 {
                return;
            }
            idle.await;
        }
    }

    pub(crate) async fn flush(&self, deadline: Instant) -> Result<(), TransportError> {
        timeout_at(deadline, self.sent_all())
            .await
            .map_err(|_| TransportError::new("not all was sent before the deadline"))?;
        self.transport.flush(deadline).await
    }

    /// Sends what there is to send, as long as the link is open.
    pub(super) async fn send(&self) {
        let mut backoff = Backoff::new();
        while !self.is_closed() {
            self.list_state(Some(Instant::now()));
            let copied = self.send_copies().await;
            let batch = match self.too_many_copies() {
                true => Vec::new(),
                false => self.next_tasks(),
            };
            if batch.is_empty() && self.nothing_waits() && self.copies_waiting() == 0 {
                self.outbox.idle.notify_waiters();
                let woken = self.outbox.wake.notified();
                match self.listed.due() {
                    Some(due) => drop(timeout_at(due, woken).await),
                    None => woken.await,
                }
                continue;
            }
            let sent = self.send_batch(&batch).await;
            if sent.is_err() {
                for task in &batch {
                    self.send_soon(task);
                }
            }
            // Told, or among the others again.
            self.outbox.sending.store(0, Ordering::Release);
            let emitted = self.send_waiting().await;
            // One of the three may fail by itself; the others go on.
            match copied.and(sent).and(emitted) {
                Ok(()) => {
                    if let Some(tracker) = self.tracker() {
                        self.came_back(&tracker);
                    }
                    backoff.reset();
                }
                Err(error) => {
                    tracing::debug!(node = %self.node, %error, "not sent");
                    self.pause(&mut backoff).await;
                }
            }
        }
    }

    fn next_tasks(&self) -> Vec<Arc<TaskShared>> {
        let mut tasks = self.outbox.tasks.lock();
        let count = tasks.len().min(TASKS_AT_ONCE);
        let batch: Vec<_> = tasks.drain(..count).collect();
        self.outbox.sending.store(count, Ordering::Release);
        drop(tasks);
        for task in &batch {
            if let Some(outbox) = &task.outbox {
                outbox.dirty.swap(false, Ordering::AcqRel);
            }
        }
        batch
    }

    async fn send_batch(&self, batch: &[Arc<TaskShared>]) -> Result<(), TransportError> {
        let claimed = join_all(batch.iter().map(|task| self.claim(task))).await;
        let mut unavailable = None;
        let mut events = Vec::new();
        let mut spans = Vec::new();
        for (task, claimed) in batch.iter().zip(claimed) {
            match claimed {
                Ok(true) => {
                    let (new, cursor) = unsent(task);
                    spans.push((task, new.len(), cursor));
                    events.extend(new);
                }
                Ok(false) => {}
                Err(error) => unavailable = Some(error),
            }
        }
        let mut answers = if events.is_empty() {
            Vec::new()
        } else {
            self.transport.append(events.clone()).await
        }
        .into_iter();
        let mut sent = events.into_iter();
        for (task, count, cursor) in spans {
            let mine: Vec<_> = sent.by_ref().take(count).collect();
            let results: Vec<_> = answers.by_ref().take(count).collect();
            match self.settle(task, &mine, results, cursor) {
                Ok(told) => self.copy_soon(outbox_channels(task), &told),
                Err(error) => unavailable = Some(error),
            }
        }
        unavailable.map_or(Ok(()), Err)
    }

    /// Makes the claim that is due; tells whether the run is this node's.
    async fn claim(&self, task: &Arc<TaskShared>) -> Result<bool, TransportError> {
        let Some(outbox) = &task.outbox else {
            return Ok(false);
        };
        if outbox.is_done() || task.is_superseded() {
            return Ok(false);
        }
        self.verify(task, outbox).await?;
        if outbox.is_done() {
            return Ok(false);
        }
        if outbox.told.lock().claimed {
            return Ok(true);
        }
        if let Some(before) = outbox.untold_before() {
            self.send_soon(&before);
            self.send_soon(task);
            return Ok(false);
        }
        let claim = outbox.claim();
        match self.transport.claim(&task.id, task.epoch, claim).await {
            Ok(epoch) if epoch == task.epoch => {
                outbox.told.lock().claimed = true;
                outbox.confirm(Ok(()));
                Ok(true)
            }
            Ok(by)
            | Err(ClaimError::Superseded { by })
            | Err(ClaimError::AlreadyExists { epoch: by }) => {
                self.superseded(task, by);
                Ok(false)
            }
            // It had ended and was removed while this node was away.
            Err(ClaimError::Removed { up_to }) => {
                let tracker = self.tracker();
                if !tracker.is_some_and(|tracker| tracker.removed(&task.id, up_to)) {
                    self.superseded(task, up_to);
                }
                Ok(false)
            }
            Err(ClaimError::Unavailable(error)) => Err(error),
        }
    }

    /// After an outage: does the broker still know what it was told?
    async fn verify(&self, task: &Arc<TaskShared>, outbox: &Outbox) -> Result<(), TransportError> {
        let told = {
            let told = outbox.told.lock();
            if !told.verify || !told.claimed {
                return Ok(());
            }
            Position::new(task.epoch, told.cursor.last())
        };
        let topic = Topic::Task(task.id.clone());
        let page = self.transport.read(&topic, Some(told)).await?;
        outbox.told.lock().verify = false;
        match page {
            Some(page) if page.epoch > told.epoch() => self.superseded(task, page.epoch),
            Some(page) if page.epoch == told.epoch() && page.head >= told.seq() => {}
            _ => self.tell_again(outbox),
        }
        Ok(())
    }

    /// Takes note of what the broker says to a task's events; gives those that it has.
    fn settle(
        &self,
        task: &Arc<TaskShared>,
        events: &[Arc<Event>],
        results: Vec<Result<(), AppendError>>,
        cursor: Cursor,
    ) -> Result<Vec<Arc<Event>>, TransportError> {
        let Some(outbox) = &task.outbox else {
            return Ok(Vec::new());
        };
        if results.len() < events.len() {
            return Err(TransportError::new("the broker has not answered all"));
        }
        let mut cursor = cursor;
        let mut told = Vec::new();
        for (event, result) in events.iter().zip(results) {
            match result {
                Ok(()) => told.push(Arc::clone(event)),
                Err(AppendError::Unavailable(error)) => return Err(error),
                Err(AppendError::Superseded { by }) => {
                    self.superseded(task, by);
                    return Ok(told);
                }
                Err(AppendError::Unknown) => {
                    self.tell_again(outbox);
                    self.send_soon(task);
                    return Ok(told);
                }
                Err(error) => {
                    // A bound of the broker's. What is behind it was not appended either, and is
                    // sent without it: a range closes over it, or a gap says that it is missing.
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(task = %task.id, %error, "event refused by the broker");
                    cursor.stand_at(event.seq());
                    break;
                }
            }
        }
        let more = {
            let mut place = outbox.told.lock();
            place.cursor = cursor;
            let inner = task.inner.lock();
            let at_head = place.cursor.last() == inner.log.head();
            if at_head && inner.log.is_ended() {
                outbox.end_told.store(true, Ordering::Release);
                outbox.close();
            }
            !at_head
        };
        if outbox.end_is_told()
            && let Some(tracker) = self.tracker()
        {
            // Its place among those that may go.
            tracker.released(task);
        }
        if more {
            self.send_soon(task);
        }
        Ok(told)
    }

    fn tell_again(&self, outbox: &Outbox) {
        self.counts.resends.fetch_add(1, Ordering::Relaxed);
        outbox.begin_again();
    }

    /// Another run is the one that counts.
    fn superseded(&self, task: &Arc<TaskShared>, by: Epoch) {
        if let Some(outbox) = &task.outbox {
            outbox.supersede(by);
        }
        if task.end_is_told() {
            // It had come to its end before: the other run is the next.
            self.sync_soon(Topic::Task(task.id.clone()));
            return;
        }
        if !task.is_superseded() {
            self.counts.superseded.fetch_add(1, Ordering::Relaxed);
        }
        tracing::warn!(task = %task.id, run = %task.epoch, %by, "superseded by another run");
        task.supersede();
        self.sync_soon(Topic::Task(task.id.clone()));
    }
}

fn outbox_channels(task: &TaskShared) -> &[ChannelName] {
    match task.outbox.as_ref().map(|outbox| &outbox.claim) {
        Some(Claim::Start { channels, .. } | Claim::Restart { channels, .. }) => channels,
        _ => &[],
    }
}

/// What the log holds that was not told, and the place behind it.
fn unsent(task: &Arc<TaskShared>) -> (Vec<Arc<Event>>, Cursor) {
    let Some(outbox) = &task.outbox else {
        return (Vec::new(), Cursor::at_start());
    };
    let mut cursor = outbox.told.lock().cursor.clone();
    let mut out = Vec::new();
    // It never asked to be closed for lag.
    let _read = task
        .inner
        .lock()
        .log
        .read(&mut cursor, EVENTS_AT_ONCE, &mut out);
    let events = out.into_iter().filter_map(Delivery::into_item).collect();
    (events, cursor)
}

/// Tasks whose events go out together.
const TASKS_AT_ONCE: usize = 64;
/// Events of one task that go out together.
const EVENTS_AT_ONCE: usize = 256;

#[cfg(all(test, loom, feature = "testing"))]
mod loom_tests;
