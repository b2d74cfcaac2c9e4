//! The transport itself: what core asks, in words of Redis.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_core::{Stream, stream::BoxStream};
use futures_util::future::join_all;
use progress_core::{
    Data, Epoch, Event, Position, TaskCursor, TaskFilter, TaskId, TaskPage,
    transport::{
        AppendError, Claim, ClaimError, Draft, Expired, NodeId, Page, Request, RequestError, Topic,
        Transport, TransportError, TransportEvent, TransportHealth,
    },
};
use redis::Value;
use tokio::time::Instant;

use crate::{
    arrivals::{Arrivals, Arriving},
    builder::RedisTransportBuilder,
    claims::{self, millis, text, unexpected},
    client::Failure,
    connection::Server,
    foreign::Services,
    functions::Function,
    home::{Home, Running},
    ingest::Ingest,
    kept::Kept,
    keys::Keys,
    read,
    shard::Shard,
    submit,
    writer::Writer,
};

/// One node's connection to a Redis that several share. A cheap clone.
///
/// Made by [`builder`](Self::builder). It connects when it is first used, on the tokio runtime that it was
/// made on, or on a thread of its own if there was none; while Redis cannot be reached every call
/// fails, and it connects again for ever.
#[derive(Debug, Clone)]
pub struct RedisTransport {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shard: Arc<Shard>,
    writer: Writer,
    kept: Kept,
    times: Times,
    arriving: Mutex<Option<Arriving>>,
    home: Home,
    supervisor: Mutex<Option<Running>>,
}

/// How long things last.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) retention: Duration,
    pub(crate) stalled_after: Duration,
    pub(crate) abandoned_after: Duration,
}

impl RedisTransport {
    /// Begins to make a transport on the Redis of a URL: `redis://user:password@host:port/db`.
    pub fn builder(url: impl Into<String>) -> RedisTransportBuilder {
        RedisTransportBuilder::new(url.into())
    }

    pub(crate) fn new(
        server: Server,
        keys: Keys,
        probe_every: Duration,
        builder: &RedisTransportBuilder,
    ) -> Self {
        let (arrivals, arriving) = Arrivals::new(keys.clone());
        let times = Times {
            retention: builder.retention,
            stalled_after: builder.stalled_after,
            abandoned_after: builder.abandoned_after,
        };
        let ingest = builder.ingest.as_deref();
        let ingest = ingest.map(|prefix| Ingest::new(prefix, NodeId::random().as_str(), &keys));
        let services = Services::new(&times, ingest);
        let inner = Inner {
            shard: Arc::new(Shard::new(server, keys, probe_every, arrivals, services)),
            writer: Writer::default(),
            times,
            kept: Kept::default(),
            arriving: Mutex::new(Some(arriving)),
            home: Home::here(),
            supervisor: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The shard, which is connected to from now on.
    fn shard(&self) -> &Arc<Shard> {
        self.inner.shard()
    }

    /// Has what is asked of a node's tasks come here.
    async fn listen_as(&self, node: &NodeId) -> Result<(), Failure> {
        let channel = self.shard().keys().node(node);
        if self.shard().is_wanted(&channel) {
            return Ok(());
        }
        self.shard().subscribe(channel).await
    }

    async fn page(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError> {
        let shard = self.shard();
        let base = shard.keys().base(topic);
        let mut call = Function::Read.on(&base);
        call.arg(after.map_or(0, |after| after.epoch().generation()))
            .arg(after.map_or(0, |after| after.seq().get()));
        let mut answer = shard.function(&call).await?;
        if matches!((&answer, topic), (Value::Nil, Topic::Channel(_))) {
            let mut open = Function::Open.on(&base);
            shard.function(open.arg(shard.keys().prefix())).await?;
            answer = shard.function(&call).await?;
        }
        if let (Topic::Task(task), Some(owner)) = (topic, read::owner_of_a_part(&answer)) {
            // It is as if nothing were there, until the owner has told it again.
            let mut ask = redis::cmd("PUBLISH");
            ask.arg(shard.keys().node(&owner)).arg(format!("l {task}"));
            shard.call(&ask).await?;
            return Ok(None);
        }
        read::page(topic, after, answer)
    }
}

impl Inner {
    fn shard(&self) -> &Arc<Shard> {
        let mut supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if supervisor.as_ref().is_none_or(Running::is_over) {
            *supervisor = Some(self.home.run(Arc::clone(&self.shard).supervise()));
        }
        &self.shard
    }
}

#[async_trait]
impl Transport for RedisTransport {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn health(&self) -> Option<TransportHealth> {
        Some(self.inner.shard.health())
    }

    async fn claim(&self, task: &TaskId, proposed: Epoch, why: Claim) -> Result<Epoch, ClaimError> {
        let owner = match &why {
            Claim::Start { node, .. } | Claim::Restart { node, .. } | Claim::End { node, .. } => {
                Some(node)
            }
            _ => None,
        };
        if let Some(node) = owner {
            self.listen_as(node).await.map_err(TransportError::from)?;
        }
        let shard = self.shard();
        let call = claims::claim(shard.keys(), task, proposed, &why, &self.inner.times)?;
        let answer = shard.function(&call).await.map_err(TransportError::from)?;
        let epoch = claims::claimed(&answer)?;
        if let Some(node) = owner {
            self.inner.kept.add(node, task, epoch);
        }
        Ok(epoch)
    }

    async fn append(&self, events: Vec<Arc<Event>>) -> Vec<Result<(), AppendError>> {
        let inner = &self.inner;
        let answers = inner
            .writer
            .append(self.shard(), &inner.times, &events)
            .await;
        for (event, answer) in events.iter().zip(&answers) {
            let is_over = match answer {
                Ok(()) => matches!(event.data(), Data::Complete(_)),
                Err(error) => matches!(error, AppendError::Superseded { .. }),
            };
            if is_over {
                inner.kept.remove(event.task_id(), event.epoch());
            }
        }
        answers
    }

    async fn submit(
        &self,
        topic: &Topic,
        drafts: Vec<Draft>,
    ) -> Vec<Result<Position, AppendError>> {
        let shard = self.shard();
        let mut answers = Vec::with_capacity(drafts.len());
        for some in drafts.chunks(submit::AT_ONCE) {
            let (call, checked) = submit::submit(shard.keys(), topic, some, &self.inner.times);
            let count = checked.iter().filter(|checked| checked.is_ok()).count();
            // Again only what tells that it is the same.
            let answer = match some.iter().all(|draft| draft.id.is_some()) {
                true => shard.function(&call).await,
                false => shard.function_once(&call).await,
            };
            let numbered = match answer {
                Ok(answer) => submit::submitted(&answer, count),
                Err(failure) => {
                    let error = AppendError::Unavailable(failure.into());
                    // What is behind it must not come before it.
                    answers.resize(drafts.len(), Err(error));
                    return answers;
                }
            };
            let mut numbered = numbered.into_iter();
            answers.extend(checked.into_iter().map(|checked| {
                checked?;
                let missing = || Err(unexpected("submit").into());
                numbered.next().unwrap_or_else(missing)
            }));
        }
        answers
    }

    async fn read(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError> {
        self.page(topic, after).await
    }

    async fn watch(&self, topic: &Topic) -> Result<(), TransportError> {
        let shard = self.shard();
        Ok(shard.subscribe(shard.keys().base(topic)).await?)
    }

    async fn unwatch(&self, topic: &Topic) -> Result<(), TransportError> {
        let shard = self.shard();
        Ok(shard.unsubscribe(shard.keys().base(topic)).await?)
    }

    fn events(&self) -> BoxStream<'static, TransportEvent> {
        let mut arriving = self
            .inner
            .arriving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match arriving.take() {
            Some(arriving) => Box::pin(arriving),
            None => Box::pin(Never),
        }
    }

    async fn request(&self, task: &TaskId, request: Request) -> Result<(), RequestError> {
        let Some(request) = claims::write_request(&request) else {
            let error = TransportError::new("a request that this version does not know");
            return Err(error.into());
        };
        let shard = self.shard();
        let mut call = Function::Request.on(&shard.keys().task(task));
        call.arg(shard.keys().prefix())
            .arg(task.as_str())
            .arg(request);
        let answer = shard.function(&call).await.map_err(TransportError::from)?;
        match text(&answer) {
            Some("ok") => Ok(()),
            Some("unknown") => Err(RequestError::Unknown),
            Some("ended") => Err(RequestError::AlreadyComplete),
            _ => Err(unexpected("request").into()),
        }
    }

    async fn renew(
        &self,
        node: &NodeId,
        lease: Duration,
    ) -> Result<Vec<(TaskId, Request)>, TransportError> {
        self.listen_as(node).await?;
        let shard = self.shard();
        let mut call = Function::Renew.on(&shard.keys().index("lease"));
        call.arg(shard.keys().prefix())
            .arg(node.as_str())
            .arg(millis(lease));
        let requests = claims::requests(&shard.function(&call).await?)?;
        self.inner.kept.look(shard, node).await?;
        Ok(requests)
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Expired>, TransportError> {
        let shard = self.shard();
        let mut call = Function::Expired.on(&shard.keys().index("lease"));
        call.arg(shard.keys().prefix()).arg(limit);
        claims::expired(&shard.function(&call).await?)
    }

    async fn once(&self, key: &str, ttl: Duration) -> Result<bool, TransportError> {
        let shard = self.shard();
        // Who finds its own word there has written it, and not had the answer.
        let user = NodeId::random();
        let mut set = redis::cmd("SET");
        set.arg(shard.keys().once(key))
            .arg(user.as_str())
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(millis(ttl).max(1));
        let before = shard.call(&set).await?;
        Ok(matches!(before, Value::Nil) || text(&before) == Some(user.as_str()))
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, TransportError> {
        let shard = self.shard();
        let mut tasks = Vec::new();
        let mut before = filter.before();
        loop {
            let mut list = redis::cmd("ZREVRANGEBYSCORE");
            list.arg(shard.keys().index("list"));
            // Places are kept exactly to this number, which the clock reaches in some centuries.
            match before < 1 << 53 {
                true => list.arg(format!("({before}")),
                false => list.arg("+inf"),
            };
            list.arg("-inf").arg("WITHSCORES").arg("LIMIT").arg(0);
            let places = read::places(&shard.call(list.arg(LISTED_AT_ONCE)).await?)?;
            for some in places.chunks(READ_AT_ONCE) {
                let pages = some.iter().map(async |(task, _)| {
                    let topic = Topic::Task(task.clone());
                    self.page(&topic, None).await
                });
                for ((_, place), held) in some.iter().zip(join_all(pages).await) {
                    before = *place;
                    let Some(snapshot) = held?.and_then(|held| held.snapshot()) else {
                        continue;
                    };
                    if !filter.lets_through(&snapshot) {
                        continue;
                    }
                    tasks.push(snapshot);
                    if tasks.len() == filter.page_len() {
                        return Ok(TaskPage::new(tasks, Some(TaskCursor::new(*place))));
                    }
                }
            }
            if places.len() < LISTED_AT_ONCE {
                return Ok(TaskPage::new(tasks, None));
            }
        }
    }

    async fn remove(&self, topic: &Topic) -> Result<(), TransportError> {
        let shard = self.shard();
        let (kind, name) = match topic {
            Topic::Task(task) => ("t", task.as_str()),
            Topic::Channel(channel) => ("c", channel.as_str()),
        };
        let mut call = Function::Remove.on(&shard.keys().base(topic));
        call.arg(shard.keys().prefix()).arg(kind).arg(name);
        shard.function(&call).await?;
        Ok(())
    }

    async fn flush(&self, deadline: Instant) -> Result<(), TransportError> {
        // Every call is with Redis when it returns; that it is there is all that can be waited for.
        let ping = redis::cmd("PING");
        match tokio::time::timeout_at(deadline, self.shard().call(&ping)).await {
            Ok(answer) => answer.map(drop).map_err(TransportError::from),
            Err(_) => Err(TransportError::new("not flushed before the deadline")),
        }
    }
}

/// For whoever asks for the events a second time.
struct Never;

impl Stream for Never {
    type Item = TransportEvent;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<TransportEvent>> {
        Poll::Ready(None)
    }
}

/// Tasks that are looked at in one go.
const LISTED_AT_ONCE: usize = 128;
/// Pages that are read at the same time.
const READ_AT_ONCE: usize = 16;
