//! Publishers on several nodes that do not see each other's latest.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use progress_core::{
    Epoch, Event, Position, ProgressTracker, TaskFilter, TaskId, TaskPage, TaskState,
    testing::{MemoryBus, MemoryTransport},
    transport::{
        AppendError, Claim, ClaimError, Draft, Expired, NodeId, Page, Request, RequestError, Topic,
        Transport, TransportError, TransportEvent,
    },
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    common::{assert_continuous, types},
    input, publish,
    support::rest,
};

/// A broker that takes its time, so that what several nodes do at once interleaves.
#[derive(Debug)]
struct Slow(MemoryTransport);

impl Slow {
    async fn think(&self) {
        sleep(Duration::from_millis(5)).await;
    }
}

#[async_trait]
impl Transport for Slow {
    async fn claim(&self, task: &TaskId, proposed: Epoch, why: Claim) -> Result<Epoch, ClaimError> {
        self.think().await;
        self.0.claim(task, proposed, why).await
    }

    async fn append(&self, events: Vec<Arc<Event>>) -> Vec<Result<(), AppendError>> {
        self.0.append(events).await
    }

    async fn submit(
        &self,
        topic: &Topic,
        drafts: Vec<Draft>,
    ) -> Vec<Result<Position, AppendError>> {
        self.think().await;
        self.0.submit(topic, drafts).await
    }

    async fn read(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError> {
        self.think().await;
        self.0.read(topic, after).await
    }

    async fn watch(&self, topic: &Topic) -> Result<(), TransportError> {
        self.0.watch(topic).await
    }

    async fn unwatch(&self, topic: &Topic) -> Result<(), TransportError> {
        self.0.unwatch(topic).await
    }

    fn events(&self) -> BoxStream<'static, TransportEvent> {
        self.0.events()
    }

    async fn request(&self, task: &TaskId, request: Request) -> Result<(), RequestError> {
        self.0.request(task, request).await
    }

    async fn renew(
        &self,
        node: &NodeId,
        lease: Duration,
    ) -> Result<Vec<(TaskId, Request)>, TransportError> {
        self.0.renew(node, lease).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Expired>, TransportError> {
        self.0.expired(limit).await
    }

    async fn once(&self, key: &str, ttl: Duration) -> Result<bool, TransportError> {
        self.0.once(key, ttl).await
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, TransportError> {
        self.0.tasks(filter).await
    }

    async fn remove(&self, topic: &Topic) -> Result<(), TransportError> {
        self.0.remove(topic).await
    }

    async fn flush(&self, deadline: Instant) -> Result<(), TransportError> {
        self.0.flush(deadline).await
    }
}

fn slow_node(bus: &MemoryBus) -> ProgressTracker {
    ProgressTracker::builder()
        .transport(Slow(bus.connect()))
        .build()
}

#[tokio::test(start_paused = true)]
async fn what_several_nodes_imply_at_once_is_said_once() {
    let bus = MemoryBus::new();
    let (a, b) = (slow_node(&bus), slow_node(&bus));
    let task = a
        .task("t")
        .stage("render/left", 1.0)
        .stage("render/right", 1.0);
    task.queued().share().await.unwrap();
    let mut watcher = b.subscribe("t");
    let left = || {
        let half = json!({"stage": "render/left", "stage_progress": 50});
        vec![input("progress_update", half)]
    };
    // Both against the queued task: it starts, and the stage begins, once.
    let (one, other) = tokio::join!(a.publish("t", left()), b.publish("t", left()));
    assert_ne!(one.unwrap().last, other.unwrap().last);
    // The same event twice, on its way at the same time: it is one, with all that it moves.
    let same = || {
        let done = json!({"stage": "render/left", "stage_progress": 100});
        vec![input("progress_update", done).id("w/1")]
    };
    let (one, other) = tokio::join!(a.publish("t", same()), b.publish("t", same()));
    assert_eq!(one.unwrap().last, other.unwrap().last);
    // Both after a stall.
    sleep(Duration::from_secs(11 * 60)).await;
    assert_eq!(a.snapshot("t").await.unwrap().state, TaskState::Stalled);
    let line = || vec![input("log", json!({"message": "m"}))];
    let (one, other) = tokio::join!(a.publish("t", line()), b.publish("t", line()));
    assert_ne!(one.unwrap().last, other.unwrap().last);
    let last = publish(&a, "complete", json!({"status": "completed"})).await;
    let frames = rest(&mut watcher).await;
    assert_eq!(
        assert_continuous(&frames, 0),
        last.last.unwrap().seq().get()
    );
    let milestones: Vec<_> = types(&frames)
        .into_iter()
        .filter(|event_type| event_type != "progress_update")
        .collect();
    assert_eq!(
        milestones,
        [
            "queued",
            "started",
            "stage_change",
            "stalled",
            "recovered",
            "log",
            "log",
            "complete"
        ]
    );
    // Twice the halves of the stage and of the one above it, once what came of the repeated one.
    let updates = 2 + 2 + 2;
    assert_eq!(
        last.last.unwrap().seq().get(),
        milestones.len() as u64 + updates
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_ends_published_at_once_the_first_counts() {
    let bus = MemoryBus::new();
    let (a, b) = (slow_node(&bus), slow_node(&bus));
    a.task("t").share().await.unwrap();
    let end = |status: &str| vec![input("complete", json!({"status": status}))];
    let (one, other) = tokio::join!(
        a.publish("t", end("completed")),
        b.publish("t", end("failed"))
    );
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    let state = match one.is_ok() {
        true => TaskState::Completed,
        false => TaskState::Failed,
    };
    for tracker in [&a, &b] {
        assert_eq!(tracker.snapshot("t").await.unwrap().state, state);
    }
}
