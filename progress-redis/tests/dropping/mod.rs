//! A transport whose Redis evicts the run of an end as soon as that was claimed, once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use progress_core::{
    Epoch, Event, Position, TaskFilter, TaskId, TaskPage,
    transport::{
        AppendError, Claim, ClaimError, Draft, Expired, NodeId, Page, Request, RequestError, Topic,
        Transport, TransportError, TransportEvent,
    },
};
use progress_redis::RedisTransport;
use tokio::time::Instant;

use crate::server::RedisServer;

#[derive(Debug)]
pub(crate) struct Dropping {
    pub(crate) inner: RedisTransport,
    pub(crate) server: Arc<RedisServer>,
    pub(crate) has_dropped: Arc<AtomicBool>,
}

#[async_trait]
impl Transport for Dropping {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn claim(&self, task: &TaskId, proposed: Epoch, why: Claim) -> Result<Epoch, ClaimError> {
        let is_end = matches!(why, Claim::End { .. });
        let epoch = self.inner.claim(task, proposed, why).await?;
        if is_end && !self.has_dropped.swap(true, Ordering::AcqRel) {
            let drop = format!("DEL pgs:t:{{{task}}}:o{}:s", epoch.generation());
            assert_eq!(self.server.ask(&drop).expect("it runs"), ":1\r\n");
        }
        Ok(epoch)
    }

    async fn append(&self, events: Vec<Arc<Event>>) -> Vec<Result<(), AppendError>> {
        self.inner.append(events).await
    }

    async fn submit(
        &self,
        topic: &Topic,
        drafts: Vec<Draft>,
    ) -> Vec<Result<Position, AppendError>> {
        self.inner.submit(topic, drafts).await
    }

    async fn read(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError> {
        self.inner.read(topic, after).await
    }

    async fn watch(&self, topic: &Topic) -> Result<(), TransportError> {
        self.inner.watch(topic).await
    }

    async fn unwatch(&self, topic: &Topic) -> Result<(), TransportError> {
        self.inner.unwatch(topic).await
    }

    fn events(&self) -> BoxStream<'static, TransportEvent> {
        self.inner.events()
    }

    async fn request(&self, task: &TaskId, request: Request) -> Result<(), RequestError> {
        self.inner.request(task, request).await
    }

    async fn renew(
        &self,
        node: &NodeId,
        lease: Duration,
    ) -> Result<Vec<(TaskId, Request)>, TransportError> {
        self.inner.renew(node, lease).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Expired>, TransportError> {
        self.inner.expired(limit).await
    }

    async fn once(&self, key: &str, ttl: Duration) -> Result<bool, TransportError> {
        self.inner.once(key, ttl).await
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, TransportError> {
        self.inner.tasks(filter).await
    }

    async fn remove(&self, topic: &Topic) -> Result<(), TransportError> {
        self.inner.remove(topic).await
    }

    async fn flush(&self, deadline: Instant) -> Result<(), TransportError> {
        self.inner.flush(deadline).await
    }
}
