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

mod types;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use tokio::time::Instant;

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
/// - Every call may be repeated after an error: it may have taken effect all the same.
/// - What is written is readable before it is published to watchers.
/// - Published records may be lost, late, repeated or out of order, all but silently: after a loss
///   that the transport can notice comes [`TransportEvent::Resync`], or `Down` and `Up`.
/// - Of each task it keeps the milestones, the newest log lines, the newest State event of each
///   key, the end and the head; never State one by one.
///
/// # Cancel safety
///
/// Dropping a future leaves it open whether the call has taken effect, as an error does.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Claims a run of a task under the generation that the node has minted, and answers the one
    /// that holds.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the run is not to be had.
    async fn claim(&self, task: &TaskId, proposed: Epoch, why: Claim) -> Result<Epoch, ClaimError>;

    /// Appends events that their owner has numbered, in order; those of one task that it has
    /// already are accepted again and change nothing.
    ///
    /// # Errors
    ///
    /// For each event, [`AppendError`] if it was not appended. Events of a task behind a failed
    /// one of the same task are not appended either.
    async fn append(&self, events: Vec<Arc<Event>>) -> Vec<Result<(), AppendError>>;

    /// Has drafts numbered and appended: events of a shared task, or of a channel. A draft whose
    /// id was seen before is answered with its first position.
    ///
    /// # Errors
    ///
    /// For each draft, [`AppendError`] if it was not appended.
    async fn submit(&self, topic: &Topic, drafts: Vec<Draft>)
    -> Vec<Result<Position, AppendError>>;

    /// Reads what is kept after a position, as of one instant; all of it without one, or with one
    /// of another run. None if there is no such topic.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn read(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError>;

    /// Has a topic's records published to this node from now on; confirmed when it returns.
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

    /// Returns what is published to this node. The tracker calls it once.
    fn events(&self) -> BoxStream<'static, TransportEvent>;

    /// Stores a request with the task, then hands it to its owner.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if there is no such task, or it has ended.
    async fn request(&self, task: &TaskId, request: Request) -> Result<(), RequestError>;

    /// Prolongs the lease of a node, and with it the life of its tasks; answers the requests that
    /// are stored for them.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn renew(
        &self,
        node: &NodeId,
        lease: Duration,
    ) -> Result<Vec<(TaskId, Request)>, TransportError>;

    /// Returns up to `limit` live tasks whose owner's lease is over, by the broker's clock, or that
    /// are shared and have been silent for too long.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn expired(&self, limit: usize) -> Result<Vec<Expired>, TransportError>;

    /// Tells whether nobody has used this key within `ttl` before, on any node.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn once(&self, key: &str, ttl: Duration) -> Result<bool, TransportError>;

    /// Returns a page of the tasks that a filter lets through, the newest first.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the broker cannot be reached.
    async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, TransportError>;

    /// Forgets a topic.
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
