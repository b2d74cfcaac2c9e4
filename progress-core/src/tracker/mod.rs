//! The tracker: the tasks of a process.

mod builder;
mod drain;
#[cfg(all(test, loom))]
mod loom_tests;
mod network;
mod once;
mod registry;
mod sampler;
mod shared;
mod stalls;
mod stats;

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use crate::{
    channel::{Channel, IntoChannelName},
    error::{CancelError, ChannelError, LookupError, PublishError, RemoveError},
    event::Note,
    id::{IntoTaskId, TaskId},
    log::Delivery,
    position::{Position, Seq},
    shared::cancel_elsewhere,
    snapshot::Snapshot,
    subscription::{
        ChannelSubscription, Delivered, SubscribeError, SubscribeOptions, Subscription,
    },
    task::{TaskBuilder, TaskShared, ask_descendants, shorten},
    transport::{TransportError, TransportHealth},
};

pub use self::{
    builder::TrackerBuilder,
    drain::Drained,
    once::OnceError,
    registry::{InvalidTaskCursor, TaskCursor, TaskFilter, TaskPage},
    stats::TrackerStats,
};
pub(crate) use self::{
    registry::WaitingPlace,
    shared::{Run, SubscriptionPermit, TrackerShared},
};

/// The tasks of a process, to report on and to watch.
///
/// A cheap clone of one shared tracker. It lives as long as a clone or a [`Task`](crate::Task)
/// does; subscriptions alone do not keep it.
///
/// Counters are sampled and old tasks cleaned up by one background task: on the tokio runtime that
/// is current when the first task starts, or on a thread of its own if there is none.
///
/// # Tracing
///
/// Every milestone and end of every task is also one `tracing` event of target `progress`, in the
/// order of the task's events: milestones, and ends `completed` or `cancelled`, at INFO, `abandoned`
/// at WARN, `failed` at ERROR. Fields: `task`, `kind` (the event's type), `seq`, `attempt`, and where
/// known `task_kind`, `status`, `duration_ms`, `error`, `trace_id`. Where several threads publish at
/// a time, one of them may tell for the others.
///
/// ```
/// use progress_core::{Frame, ProgressTracker};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let tracker = ProgressTracker::new();
/// let task = tracker.task("video-42").stage("detect", 1.0).stage("render", 4.0).start()?;
/// let mut events = tracker.subscribe("video-42");
///
/// let detect = task.stage("detect").total(120).unit("frames");
/// detect.inc(120);
/// task.complete(serde_json::json!({"video_url": "/videos/42.mp4"}))?;
///
/// let mut last = 0.0;
/// while let Some(frame) = events.next().await {
///     match frame {
///         Frame::Verdict(verdict) => assert!(verdict.snapshot.is_some()),
///         Frame::Event(delivered) => println!("{}", delivered.event.event_type()),
///         _ => {}
///     }
///     last = tracker.snapshot("video-42").await?.progress;
/// }
/// assert_eq!(last, 100.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ProgressTracker {
    shared: Arc<TrackerShared>,
}

impl ProgressTracker {
    /// Makes a tracker with the defaults of [`TrackerBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Sets limits, retention and tick before making a tracker.
    pub fn builder() -> TrackerBuilder {
        TrackerBuilder::default()
    }

    /// The tracker of a task that nobody is to watch: it forgets it with its end.
    pub(crate) fn unwatched() -> Arc<TrackerShared> {
        Self::builder()
            .retention(std::time::Duration::ZERO)
            .build()
            .shared
    }

    pub(crate) fn from_shared(shared: Arc<TrackerShared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<TrackerShared> {
        &self.shared
    }

    /// Describes a task; nothing exists until it is [started](TaskBuilder::start) or
    /// [queued](TaskBuilder::queue).
    pub fn task(&self, id: impl IntoTaskId) -> TaskBuilder {
        TaskBuilder::new(Some(Arc::clone(&self.shared)), id)
    }

    /// Returns a channel to publish into without a task. A name that is none is refused when
    /// something is published.
    #[must_use]
    pub fn channel(&self, name: impl IntoChannelName) -> Channel {
        Channel::new(Arc::clone(&self.shared), name)
    }

    /// Watches a channel as the options say; the reserved one, [`ChannelName::TASKS`](crate::ChannelName::TASKS), is the live
    /// list of tasks.
    ///
    /// What could go wrong comes as the first frame,
    /// [`ChannelFrame::Rejected`](crate::ChannelFrame::Rejected).
    #[must_use]
    pub fn subscribe_channel(
        &self,
        name: impl IntoChannelName,
        options: SubscribeOptions,
    ) -> ChannelSubscription {
        match name.into_channel_name() {
            Ok(name) => self.shared.subscribe_channel(name, options),
            Err(error) => {
                let error = ChannelError::Invalid(error);
                ChannelSubscription::rejected(SubscribeError::Channel(error))
            }
        }
    }

    /// Watches a task from its first event that is still kept.
    ///
    /// What could go wrong comes as the first frame, [`Frame::Rejected`](crate::Frame::Rejected).
    #[must_use]
    pub fn subscribe(&self, id: impl IntoTaskId) -> Subscription {
        self.subscribe_with(id, SubscribeOptions::new())
    }

    /// Watches a task as the options say.
    #[must_use]
    pub fn subscribe_with(&self, id: impl IntoTaskId, options: SubscribeOptions) -> Subscription {
        match id.into_task_id() {
            Ok(id) => self.shared.subscribe(id, options),
            Err(error) => Subscription::rejected(SubscribeError::InvalidTaskId(error)),
        }
    }

    /// Returns a task as it stands.
    ///
    /// # Errors
    ///
    /// [`LookupError`] if the id is not one, there is no such task, or it is not held here and the
    /// broker cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn snapshot(&self, id: impl IntoTaskId) -> Result<Snapshot, LookupError> {
        Ok(self.locate(id).await?.snapshot())
    }

    /// Returns up to `limit` (at least 1) of the events still kept after a position, from the first without
    /// one. A position of another run counts as none.
    ///
    /// # Errors
    ///
    /// [`LookupError`] if the id is not one, there is no such task, or it is not held here and the
    /// broker cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn history(
        &self,
        id: impl IntoTaskId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<HistoryPage, LookupError> {
        let task = self.locate(id).await?;
        let inner = task.inner.lock();
        let after = after
            .filter(|after| after.epoch() == task.epoch)
            .map_or(Seq::ZERO, Position::seq);
        let (items, next) = inner.log.page(after, limit.max(1));
        Ok(HistoryPage {
            events: items.into_iter().filter_map(to_delivered).collect(),
            floor: inner.log.floor(),
            head: Position::new(task.epoch, inner.log.head()),
            next: next.map(|seq| Position::new(task.epoch, seq)),
        })
    }

    /// Returns a page of the tasks that a filter lets through, the newest first.
    ///
    /// # Errors
    ///
    /// [`LookupError::Unavailable`] if the broker cannot be reached; none without a transport.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<TaskPage, LookupError> {
        self.shared.list_all(&filter).await
    }

    /// Asks a task to stop, and all its live descendants with it.
    ///
    /// It publishes `cancel_requested` (once: a second request changes nothing) and wakes who
    /// waits for [`Reporter::cancelled`](crate::Reporter::cancelled). What follows is the work's
    /// own affair: it ends the task with [`Task::cancel`](crate::Task::cancel), or completes it
    /// after all. A reason longer than an event can hold is cut.
    ///
    /// # Errors
    ///
    /// [`CancelError`] if there is no such task or it has ended.
    ///
    /// # Cancel safety
    ///
    /// It takes effect at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use progress_core::ProgressTracker;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let tracker = ProgressTracker::new();
    /// let task = tracker.task("video-42").start()?;
    /// let worker = tokio::spawn(async move {
    ///     task.cancelled().await;
    ///     let reason = task.cancel_reason();
    ///     task.cancel(reason.as_deref().unwrap_or("cancelled"))
    /// });
    /// tracker.cancel("video-42", "the user left").await?;
    /// worker.await??;
    /// let snapshot = tracker.snapshot("video-42").await?;
    /// assert_eq!(snapshot.cause.as_deref(), Some("the user left"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn cancel<'a>(
        &self,
        id: impl IntoTaskId,
        reason: impl Into<Option<&'a str>>,
    ) -> Result<(), CancelError> {
        let task = self.locate(id).await.map_err(CancelError::Lookup)?;
        let note = Note {
            reason: reason
                .into()
                .map(|reason| shorten(reason, self.shared.limits.message())),
        };
        if task.is_mirror() {
            return cancel_elsewhere(&self.shared, &task, note).await;
        }
        match task.ask_to_stop(&note) {
            Err(PublishError::AlreadyComplete) => {
                Err(CancelError::AlreadyComplete(task.id.clone()))
            }
            _ => {
                ask_descendants(&task, &note);
                Ok(())
            }
        }
    }

    /// Forgets a task that has ended, before its retention is over.
    ///
    /// With a transport it is forgotten by the broker and by all nodes that can be reached; by others
    /// when they come back.
    ///
    /// # Errors
    ///
    /// [`RemoveError`] if there is no such task, it has not ended, or its handle still lives.
    ///
    /// # Cancel safety
    ///
    /// It takes effect at once.
    pub async fn remove(&self, id: impl IntoTaskId) -> Result<(), RemoveError> {
        let task = self.locate(id).await.map_err(RemoveError::Lookup)?;
        if !task.is_ended() || task.is_held() {
            return Err(RemoveError::StillRunning(task.id.clone()));
        }
        self.shared.forget_everywhere(&task).await
    }

    /// Returns counts of what there is and what was refused.
    #[must_use]
    pub fn stats(&self) -> TrackerStats {
        self.shared.stats()
    }

    /// Returns the random name of this process's tracker: another one after a restart.
    #[must_use]
    pub fn node(&self) -> &str {
        self.shared.node.as_str()
    }

    /// Tells whether the other nodes can be reached, as far as is known; always without a transport.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.link.as_ref().is_none_or(|link| link.is_up())
    }

    /// Returns what sort of broker joins it to other nodes; none without a transport.
    #[must_use]
    pub fn transport_kind(&self) -> Option<&'static str> {
        let link = self.shared.link.as_ref()?;
        Some(link.transport.kind())
    }

    /// Returns how the connections to the broker are; none without a transport, or if the transport does
    /// not watch them.
    #[must_use]
    pub fn transport_health(&self) -> Option<TransportHealth> {
        self.shared.link.as_ref()?.transport.health()
    }

    /// Begins to connect to the broker, which is done else when something first needs it; does
    /// nothing without a transport. Within a tokio runtime it uses that one.
    pub fn connect(&self) {
        if let Some(link) = &self.shared.link {
            link.ensure_running(&self.shared);
        }
    }

    /// Waits until all that was published here is with the broker, to the deadline; at once without
    /// a transport.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if something is not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn flush(&self, deadline: Instant) -> Result<(), TransportError> {
        match &self.shared.link {
            Some(link) => link.flush(deadline).await,
            None => Ok(()),
        }
    }

    async fn locate(&self, id: impl IntoTaskId) -> Result<Arc<TaskShared>, LookupError> {
        let id: TaskId = id.into_task_id()?;
        self.shared.locate(&id).await
    }
}

impl Default for ProgressTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ProgressTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressTracker")
            .field("node", &self.node())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A page of a task's history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The events, with the ranges that they stand for.
    pub events: Vec<Delivered>,
    /// The newest event lost for good.
    pub floor: Seq,
    /// The newest event.
    pub head: Position,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

fn to_delivered(item: Delivery<Arc<crate::event::Event>>) -> Option<Delivered> {
    match item {
        Delivery::Item {
            item,
            from,
            dropped_logs,
            ..
        } => Some(Delivered {
            event: item,
            from,
            dropped_logs,
        }),
        Delivery::Gap(_) => None,
    }
}
