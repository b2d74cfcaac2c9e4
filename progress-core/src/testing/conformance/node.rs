//! Nodes, runs and events for the behaviours to work with.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    future::{Future, poll_fn},
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_core::stream::BoxStream;

use crate::{
    channel::ChannelName,
    event::{
        Complete, Custom, Data, Event, Level, LogLine, Metadata, Note, Payload, ProgressUpdate,
        Started, Status,
    },
    id::TaskId,
    position::{Epoch, Position, Seq},
    testing::conformance::Bench,
    time::Timestamp,
    transport::{
        AppendError, Claim, ClaimError, Draft, NodeId, Page, Record, Topic, Transport,
        TransportEvent,
    },
};

/// A node, and what has been published to it.
pub(super) struct Node {
    pub(super) id: NodeId,
    transport: Arc<dyn Transport>,
    events: BoxStream<'static, TransportEvent>,
}

impl Node {
    pub(super) async fn new(bench: &dyn Bench) -> Self {
        let transport = bench.connect().await;
        Self {
            id: NodeId::random(),
            events: transport.events(),
            transport,
        }
    }

    /// What comes next of itself.
    pub(super) async fn event(&mut self) -> TransportEvent {
        let next = poll_fn(|cx| self.events.as_mut().poll_next(cx));
        within("something is published", next)
            .await
            .expect("the events of a transport have no end")
    }

    /// Waits until these records of a topic have come, in whatever order, or have been read because
    /// the transport said that records may have been lost.
    pub(super) async fn gets(&mut self, topic: &Topic, seqs: impl IntoIterator<Item = u64>) {
        let mut missing: BTreeSet<u64> = seqs.into_iter().collect();
        while !missing.is_empty() {
            match self.event().await {
                TransportEvent::Record(record) => {
                    if record.topic() == *topic {
                        missing.remove(&record.position().seq().get());
                    }
                }
                TransportEvent::Resync(_) | TransportEvent::Up => {
                    let page = page(self, topic).await;
                    for seq in seqs_of(&page) {
                        missing.remove(&seq);
                    }
                }
                TransportEvent::Request(..)
                | TransportEvent::Removed(..)
                | TransportEvent::Foreign(_)
                | TransportEvent::Untold(..)
                | TransportEvent::Down => {}
            }
        }
    }

    /// Claims the first run of a task.
    pub(super) async fn start(&self, task: &TaskId) -> Run {
        let epoch = generation();
        let claimed = self.claim(task, epoch, self.to_start()).await;
        assert_eq!(claimed, Ok(epoch));
        Run::new(task, epoch)
    }

    /// Starts a task of some name.
    pub(super) async fn run(&self) -> Run {
        self.start(&TaskId::random()).await
    }

    /// Makes a shared task of some name.
    pub(super) async fn share(&self) -> (TaskId, Epoch) {
        let task = TaskId::random();
        let epoch = self.claim(&task, generation(), to_share(None)).await;
        (task, epoch.expect("the id is new"))
    }

    pub(super) fn to_start(&self) -> Claim {
        Claim::Start {
            node: self.id.clone(),
            channels: Vec::new(),
        }
    }

    pub(super) fn to_restart(&self) -> Claim {
        Claim::Restart {
            node: self.id.clone(),
            channels: Vec::new(),
        }
    }

    pub(super) async fn end(&self, run: &Run) -> Result<Epoch, ClaimError> {
        let claim = Claim::End {
            node: self.id.clone(),
            of: run.epoch,
        };
        self.claim(&run.task, generation(), claim).await
    }

    /// Appends events, all of which are taken.
    pub(super) async fn appends(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        for answer in self.append(events.into_iter().collect()).await {
            assert_eq!(answer, Ok(()));
        }
    }

    pub(super) async fn append_one(&self, event: Arc<Event>) -> Result<(), AppendError> {
        only(self.append(vec![event]).await)
    }

    /// Submits drafts, all of which are taken; gives their numbers.
    pub(super) async fn submits(
        &self,
        topic: &Topic,
        drafts: impl IntoIterator<Item = Draft>,
    ) -> Vec<u64> {
        let answers = self.submit(topic, drafts.into_iter().collect()).await;
        let seq = |answer: Result<Position, _>| answer.expect("nothing is wrong").seq().get();
        answers.into_iter().map(seq).collect()
    }

    pub(super) async fn submit_one(
        &self,
        topic: &Topic,
        draft: Draft,
    ) -> Result<Position, AppendError> {
        only(self.submit(topic, vec![draft]).await)
    }

    /// Renews its lease for a moment of the bench.
    pub(super) async fn lives(&self, bench: &dyn Bench) {
        self.renew(&self.id, bench.moment())
            .await
            .expect("nothing is wrong");
    }

    pub(super) async fn is_expired(&self, task: &TaskId) -> bool {
        let expired = self.expired(EXPIRED).await.expect("nothing is wrong");
        expired.iter().any(|expired| expired.task == *task)
    }
}

impl Deref for Node {
    type Target = dyn Transport;

    fn deref(&self) -> &Self::Target {
        &*self.transport
    }
}

/// A run whose events its owner numbers.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) task: TaskId,
    pub(super) epoch: Epoch,
    head: u64,
    milestone: u64,
    lines: u64,
}

impl Run {
    pub(super) fn new(task: &TaskId, epoch: Epoch) -> Self {
        Self {
            task: task.clone(),
            epoch,
            head: 0,
            milestone: 0,
            lines: 0,
        }
    }

    pub(super) fn topic(&self) -> Topic {
        Topic::Task(self.task.clone())
    }

    pub(super) fn event(&mut self, mut data: Data) -> Arc<Event> {
        self.head += 1;
        let prev = Seq::new(self.milestone);
        match &mut data {
            Data::Log(line) => {
                self.lines += 1;
                line.n = self.lines;
            }
            Data::ProgressUpdate(_) => {}
            Data::Custom(custom) if custom.key.is_some() => {}
            _ => self.milestone = self.head,
        }
        let position = Position::new(self.epoch, Seq::new(self.head));
        let event = Event::numbered(self.task.clone(), position, prev, now(), data);
        Arc::new(event)
    }

    /// So many milestones.
    pub(super) fn marks(&mut self, count: u64) -> Vec<Arc<Event>> {
        (0..count).map(|n| self.event(mark(n))).collect()
    }
}

pub(super) fn to_share(silence: Option<Duration>) -> Claim {
    Claim::Shared {
        channels: Vec::new(),
        silence,
        restart: false,
    }
}

pub(super) fn to_share_again() -> Claim {
    Claim::Shared {
        channels: Vec::new(),
        silence: None,
        restart: true,
    }
}

/// A draft of what happens now.
pub(super) fn draft(data: Data) -> Draft {
    Draft::new(data, now())
}

pub(super) fn started() -> Data {
    started_as(Started::default())
}

pub(super) fn started_as(about: Started) -> Data {
    Data::Started(Arc::new(Started {
        started_at: now(),
        ..about
    }))
}

/// A milestone.
pub(super) fn mark(n: u64) -> Data {
    custom(None, n)
}

/// State.
pub(super) fn gauge(key: &str, n: u64) -> Data {
    custom(Some(key.into()), n)
}

fn custom(key: Option<Arc<str>>, n: u64) -> Data {
    Data::Custom(Custom {
        event_type: Cow::Borrowed(if key.is_some() { "gauge" } else { "mark" }),
        key,
        data: Payload::from(serde_json::json!({ "n": n })),
    })
}

pub(super) fn update(percent: f64) -> Data {
    Data::ProgressUpdate(Box::new(ProgressUpdate {
        progress: percent,
        ..ProgressUpdate::default()
    }))
}

pub(super) fn line(n: u64) -> Data {
    Data::Log(Box::new(LogLine {
        n: 0,
        level: Level::Info,
        message: format!("line {n}").into(),
        stage: None,
        fields: Metadata::default(),
    }))
}

pub(super) fn note() -> Note {
    Note::default()
}

pub(super) fn complete() -> Data {
    Data::Complete(Box::new(Complete {
        status: Status::Completed,
        result: None,
        error: None,
        cause: None,
        progress: 100.0,
        duration_ms: 0,
    }))
}

/// A channel of some name.
pub(super) fn some_channel() -> Topic {
    let name = format!("channel-{}", uuid::Uuid::new_v4().simple());
    Topic::Channel(name.parse::<ChannelName>().expect("a name by its form"))
}

/// A generation above all that were minted before.
pub(super) fn generation() -> Epoch {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let millis = u64::try_from(now().as_millis()).unwrap_or(1);
    LAST.fetch_max(millis, Ordering::Relaxed);
    Epoch::new(LAST.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// What the broker holds of a topic.
pub(super) async fn page(node: &Node, topic: &Topic) -> Page {
    page_after(node, topic, None).await
}

pub(super) async fn page_after(node: &Node, topic: &Topic, after: Option<Position>) -> Page {
    node.read(topic, after)
        .await
        .expect("nothing is wrong")
        .expect("there is such a topic")
}

pub(super) fn seqs_of(page: &Page) -> Vec<u64> {
    let records = page.records.iter();
    records
        .map(|record| record.position().seq().get())
        .collect()
}

/// The events of a task's page.
pub(super) fn events_of(page: &Page) -> Vec<Arc<Event>> {
    let records = page.records.iter();
    records
        .map(|record| match record {
            Record::Task(event) => Arc::clone(event),
            Record::Channel(event) => panic!("{event:?} is of no task"),
        })
        .collect()
}

/// Waits for what must come, but not for ever.
pub(super) async fn within<T>(what: impl fmt::Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("within {PATIENCE:?}: {what}"),
    }
}

/// Says that a behaviour could not be shown.
pub(super) fn not_shown(behaviour: &str) {
    tracing::warn!(
        behaviour,
        "not shown: the bench does not offer what it needs"
    );
}

fn only<T>(mut answers: Vec<T>) -> T {
    assert_eq!(answers.len(), 1, "one answer for each");
    answers.remove(0)
}

/// Longer than any broker needs for what is not about time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that are asked for where few are expected.
pub(super) const EXPIRED: usize = 10_000;
