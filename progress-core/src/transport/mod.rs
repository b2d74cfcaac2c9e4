//! Many nodes: what a broker must do so that trackers in several processes show the same tasks.
//!
//! The node that holds a task's handle **owns** the run and numbers its events, so that neither the
//! work nor the watchers beside it wait for a broker. Tasks without an owner are **shared**: the
//! broker numbers their events. A broker numbers, keeps and fans out; it never folds.
//!
//! A tracker built with [`transport`](crate::TrackerBuilder::transport) drives one [`Transport`]:
//! it claims the tasks that start here, appends their events, ends the tasks of dead nodes, and
//! mirrors what it watches. An adapter for a broker implements the trait and passes the
//! conformance suite of `progress_core::testing` (feature `testing`).

mod foreign;
mod types;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use tokio::time::Instant;

pub use self::foreign::{Foreign, ForeignRefusal, ForeignStats};
pub use self::types::{
    AppendError, Claim, ClaimError, Draft, DraftBody, Expired, ExpiredCause, NodeId, Owner, Page,
    Record, Request, RequestError, Topic, TransportError, TransportEvent,
};
use crate::{
    event::Event,
    id::TaskId,
    position::{Epoch, Position},
    tracker::{TaskFilter, TaskPage},
};

/// A broker, as one node sees it.
///
/// # Contract
///
/// The suite `progress_core::testing::conformance` (feature `testing`) shows what it says.
///
/// - Every call may be repeated after an error: it may have taken effect all the same. A call fails in
///   a time that can be waited for.
/// - What is written is readable before it is published to watchers.
/// - Published records may be lost, late, repeated or out of order, all but silently: after a loss
///   that the transport can notice comes [`TransportEvent::Resync`], or `Down` and `Up`.
/// - Of each run of a task it keeps the newest State event of each key, 1 024 milestones and 200 log
///   lines at least (the newest of them), the end, and the head; never State that is superseded. The
///   floor is the newest milestone that it has dropped, or that never came.
/// - A run is numbered by its owner or by the broker, never by both. Runs of a topic have rising
///   generations.
/// - A task is kept for some time after its end, and then unknown. A channel is there as soon as it is
///   asked for, and until it is removed.
/// - In a channel, State of a task has that task for a key and is kept until the task's end; all else
///   of a task is a milestone there. An event of no task is State if it has a key, else a milestone.
/// - Times are those of the broker's clock.
///
/// # Cancel safety
///
/// Dropping a future leaves it open whether the call has taken effect, as an error does.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Returns what sort of broker it is, in a word: to be shown to operators.
    fn kind(&self) -> &'static str {
        "broker"
    }

    /// Claims a run of a task under the generation that the node has minted, and answers the one
    /// that holds: of a start or restart the one that was proposed; else one that may be another.
    /// See [`Claim`] for what is refused.
    ///
    /// The run is there before it has an event, and empty. A claim is a sign of life of its node: it
    /// has a lease from then on, if it had none. The same claim of the same node and generation once
    /// more is granted again and changes nothing.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the run is not to be had.
    async fn claim(&self, task: &TaskId, proposed: Epoch, why: Claim) -> Result<Epoch, ClaimError>;

    /// Appends events that their owner has numbered, of any tasks, each task's in order; those that
    /// it has already are accepted again and change nothing, also after the end.
    ///
    /// Numbers between may be missing: what had them is State or log lines that something after
    /// them supersedes, unless [`Event::prev`] tells of a milestone that never came, which raises the floor.
    ///
    /// # Errors
    ///
    /// For each event, [`AppendError`] if it was not appended: [`Superseded`](AppendError::Superseded)
    /// below the present run, [`Unknown`](AppendError::Unknown) above it or without one. Events of a
    /// run behind a failed one of the same run are not appended either; those of other runs are.
    async fn append(&self, events: Vec<Arc<Event>>) -> Vec<Result<(), AppendError>>;

    /// Has drafts numbered 1, 2, 3… and appended, in order, with the running numbers of log lines:
    /// events of a shared task, or of a channel; see [`Draft::number`].
    ///
    /// A draft whose id was seen before in this run is answered with its first position, also after
    /// the end. The newest 1 024 ids at least are remembered of each topic.
    ///
    /// Two nodes that publish on one shared task copy its events into a channel each for itself. A copy
    /// of State that comes when something later of its task has been copied takes no number, so
    /// that it cannot take the later one's place: it is answered with the position of that. How
    /// far they have been copied is remembered of the newest 1 024 tasks at least.
    ///
    /// # Errors
    ///
    /// For each draft, [`AppendError`] if it was not appended. One that is refused takes no number,
    /// and does not keep those behind it from being appended.
    async fn submit(&self, topic: &Topic, drafts: Vec<Draft>)
    -> Vec<Result<Position, AppendError>>;

    /// Reads what is kept of the present run after a position, as of one instant; all of it without
    /// one, or with one of another run. None if there is no such task.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn read(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError>;

    /// Has a topic's records published to this node from now on, also those that it writes itself
    /// and those of later runs; confirmed when it returns. To ask twice is to ask once.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn watch(&self, topic: &Topic) -> Result<(), TransportError>;

    /// Ends [`watch`](Self::watch).
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn unwatch(&self, topic: &Topic) -> Result<(), TransportError>;

    /// Returns what is published to this node, without an end. The tracker calls it once.
    fn events(&self) -> BoxStream<'static, TransportEvent>;

    /// Stores a request with the run, until its end, then hands it to its owner.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if there is no such task, or it has ended.
    async fn request(&self, task: &TaskId, request: Request) -> Result<(), RequestError>;

    /// Has a node's lease last so long from now, and with it the life of its tasks, also if it was
    /// over and nobody has ended them; answers the requests that are stored for those that live.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn renew(
        &self,
        node: &NodeId,
        lease: Duration,
    ) -> Result<Vec<(TaskId, Request)>, TransportError>;

    /// Returns up to `limit` live tasks whose owner's lease is over, or that are shared and have been
    /// silent for too long: since their claim, or the newest event that is a
    /// [sign of life](ExpiredCause::Quiet).
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn expired(&self, limit: usize) -> Result<Vec<Expired>, TransportError>;

    /// Uses a key for so long; tells whether nobody else does, on any node. To be refused is no use.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn once(&self, key: &str, ttl: Duration) -> Result<bool, TransportError>;

    /// Returns a page of the tasks that a filter lets through, the newest first. A run that ends
    /// another stands in its place, as what is kept of both tells.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, TransportError>;

    /// Forgets a topic, if it is there. The nodes that watch a task, and its owner, are told
    /// [`Removed`](TransportEvent::Removed), as far as they can be reached. Its run and those before
    /// cannot be claimed any more, which is remembered of the newest 1 024 removed tasks at least: an
    /// owner that was out of reach tells of it again otherwise.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn remove(&self, topic: &Topic) -> Result<(), TransportError>;

    /// Waits until what was handed over is with the broker, to the deadline.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if something is not.
    async fn flush(&self, deadline: Instant) -> Result<(), TransportError>;
}
