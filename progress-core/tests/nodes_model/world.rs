//! The nodes, what is held and who reads, and what happens to them.

use std::{
    collections::BTreeMap,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::stream::BoxStream;
use progress_core::{
    Epoch, EventInput, Frame, Level, Position, Seq, SubscribeOptions, Subscription, Task,
    TaskError, TaskId, Timestamp,
    testing::{Faults, MemoryBus, MemoryTransport},
    transport::{Record, Topic, Transport, TransportEvent},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    channel::ChannelReader,
    node::Node,
    ops::{End, From, Op, Options, Report, Said},
    reader::Reader,
    truth::Truth,
};
use crate::common::{Gauge, Mark};

pub(crate) struct World {
    pub(crate) bus: MemoryBus,
    pub(crate) nodes: Vec<Node>,
    pub(crate) held: Vec<Held>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) channel_readers: Vec<ChannelReader>,
    pub(crate) truth: Truth,
    pub(crate) tasks: Vec<TaskId>,
    /// A node that nothing befalls, and what is published to it.
    pub(crate) observer: MemoryTransport,
    published: BoxStream<'static, TransportEvent>,
    /// Beside each owner, to take down what it numbers.
    recorders: Vec<(Option<usize>, Subscription)>,
    /// Where readers stood that have gone.
    kept: Vec<(TaskId, Position)>,
    kept_of_channel: Vec<Position>,
    inputs: BTreeMap<(TaskId, u8), EventInput>,
    /// What was answered to ids, by run.
    pub(crate) answered: BTreeMap<(TaskId, Epoch, u8), Position>,
    /// Numbers of what was emitted into the channel and not lost with its node.
    pub(crate) emitted: Vec<(usize, u64)>,
    /// Runs that were asked to stop.
    pub(crate) asked: Vec<(TaskId, Epoch)>,
    /// Numbers what is said, so that each is said once.
    said: u64,
}

/// A task, and the node that owns it.
pub(crate) struct Held {
    pub(crate) node: usize,
    pub(crate) task: Task,
}

impl World {
    pub(crate) fn new(count: usize) -> Self {
        let bus = MemoryBus::new();
        let observer = bus.connect();
        Self {
            nodes: (0..count).map(|_| Node::new(&bus)).collect(),
            held: Vec::new(),
            readers: Vec::new(),
            channel_readers: Vec::new(),
            truth: Truth::default(),
            tasks: ["a", "b", "c"].map(|id| id.parse().unwrap()).to_vec(),
            published: observer.events(),
            observer,
            recorders: Vec::new(),
            kept: Vec::new(),
            kept_of_channel: Vec::new(),
            inputs: BTreeMap::new(),
            answered: BTreeMap::new(),
            emitted: Vec::new(),
            asked: Vec::new(),
            said: 0,
            bus,
        }
    }

    pub(crate) async fn apply(&mut self, op: Op) {
        if self.said == 0 {
            self.observe().await;
        }
        match op {
            Op::Start {
                node,
                task,
                restart,
            } => self.start(node, task, restart),
            Op::Share { node, task } => self.share(node, task).await,
            Op::Report { held, what } => self.report(held, &what),
            Op::End { held, how } => self.end(held, &how),
            Op::Publish {
                node,
                task,
                what,
                id,
            } => self.publish(node, task, &what, id).await,
            Op::Emit { node } => self.emit(node),
            Op::Cancel { node, task } => self.cancel(node, task).await,
            Op::Subscribe {
                node,
                task,
                options,
            } => self.subscribe(node, task, &options),
            Op::Read { reader, batches } => {
                self.take_down();
                if let Some(index) = pick(reader, self.readers.len()) {
                    self.readers[index].read(&self.truth, batches.into());
                }
            }
            Op::ReadAll => self.read_all(),
            Op::Conflate { reader } => {
                if let Some(index) = pick(reader, self.readers.len()) {
                    self.readers[index].conflate();
                }
            }
            Op::Leave { reader } => {
                if let Some(index) = pick(reader, self.readers.len()) {
                    self.leave(index);
                }
            }
            Op::SubscribeChannel { node, options } => self.subscribe_channel(node, &options),
            Op::ReadChannels => {
                self.take_down();
                for reader in &mut self.channel_readers {
                    reader.read(&self.truth);
                }
            }
            Op::Disconnect { node } => {
                let node = self.node(node);
                self.roughen(node);
                self.nodes[node].up = false;
                self.nodes[node].wire.disconnect();
            }
            Op::Reconnect { node } => {
                let node = self.node(node);
                self.nodes[node].up = true;
                self.nodes[node].wire.reconnect();
            }
            Op::Faults { node, faults, seed } => {
                let node = self.node(node);
                self.roughen(node);
                self.nodes[node].wire.faults(faults, seed);
            }
            Op::Kill { node } => self.kill(node),
            Op::Forget => self.forget().await,
            Op::Advance(time) => self.advance(time).await,
        }
        self.take_down();
    }

    async fn observe(&mut self) {
        self.said = 1;
        let tasks = self.tasks.iter().cloned().map(Topic::Task);
        for topic in tasks.chain([channel()]) {
            self.observer.watch(&topic).await.unwrap();
        }
    }

    /// Takes down all that has been numbered.
    pub(crate) fn take_down(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let truth = &mut self.truth;
        self.recorders.retain_mut(|(_, recorder)| {
            let mut frames = Vec::new();
            loop {
                match recorder.poll_batch(&mut cx, &mut frames) {
                    Poll::Ready(1..) => {}
                    Poll::Ready(0) => break,
                    Poll::Pending => break,
                }
            }
            let mut goes_on = true;
            for frame in frames {
                match frame {
                    _ if !goes_on => {}
                    Frame::Event(delivered) => {
                        let event = &delivered.event;
                        assert_eq!(delivered.from, event.seq(), "an owner outran its recorder");
                        truth.numbered_by_owner(event);
                    }
                    // Another run is the one that counts.
                    Frame::Reset(_) => goes_on = false,
                    Frame::Verdict(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            goes_on
        });
        while let Poll::Ready(Some(event)) = self.published.as_mut().poll_next(&mut cx) {
            match event {
                TransportEvent::Record(Record::Task(event)) => truth.seen_at_broker(&event),
                TransportEvent::Record(Record::Channel(event)) => truth.seen_in_channel(&event),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn read_all(&mut self) {
        self.take_down();
        for reader in &mut self.readers {
            reader.read(&self.truth, usize::MAX);
        }
        for reader in &mut self.channel_readers {
            reader.read(&self.truth);
        }
    }

    /// Lets time pass, in steps within which no owner outruns its recorder.
    pub(crate) async fn advance(&mut self, time: Duration) {
        let mut left = time;
        let mut steps = 0;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        while !left.is_zero() {
            // What has moved is sampled in the first few ticks.
            let step = Duration::from_millis(if steps < 10 { 50 } else { 1_000 }).min(left);
            sleep(step).await;
            self.take_down();
            left -= step;
            steps += 1;
        }
    }

    fn start(&mut self, node: u8, task: u8, restart: bool) {
        let (node, task) = (self.node(node), self.task(task));
        self.a_millisecond();
        let builder = self.nodes[node]
            .tracker
            .task(&task)
            .stage("one", 1.0)
            .channel("jobs");
        let started = if restart {
            builder.restart()
        } else {
            builder.start()
        };
        self.a_millisecond();
        // It is there, or thought to be.
        let Ok(held) = started else { return };
        self.truth.begin_owned(&task, held.head().epoch());
        let recorder = self.nodes[node].tracker.subscribe(&task);
        self.recorders.push((Some(node), recorder));
        self.held.push(Held { node, task: held });
        self.take_down();
    }

    /// Takes down what a node numbers of a task that it has started.
    pub(crate) fn record(&mut self, node: &Node, task: &TaskId) {
        self.recorders.push((None, node.tracker.subscribe(task)));
    }

    async fn share(&mut self, node: u8, task: u8) {
        let (node, task) = (self.node(node), self.task(task));
        self.a_millisecond();
        let builder = self.nodes[node]
            .tracker
            .task(&task)
            .stage("one", 1.0)
            .channel("jobs");
        // Refused, without the broker, or it has to wait for that: all the same.
        let _shared = timeout(AWHILE, builder.share()).await;
        self.a_millisecond();
    }

    fn report(&mut self, held: u8, what: &Report) {
        let Some(index) = pick(held, self.held.len()) else {
            return;
        };
        let n = self.next();
        let Held { task, .. } = &self.held[index];
        match what {
            Report::Percent(percent) => task.progress(f64::from(*percent)),
            Report::Count(by) => task.stage("one").total(200).inc(u64::from(*by)),
            Report::Stage(stage) => task
                .stage(["one", "two"][usize::from(*stage)])
                .progress(n as f64 % 100.0),
            Report::Message => task.message(format!("message {n}")),
            Report::Metadata => task.metadata("n", n),
            Report::Line => task.log(Level::INFO, format!("line {n}")),
            Report::Error => drop(task.error(TaskError::new("BROKEN", format!("{n}")))),
            Report::Mark => drop(task.emit(Mark { n })),
            Report::Gauge(key) => drop(task.emit(Gauge::new(key.to_string(), n))),
            Report::Pause => task.pause(None),
            Report::Resume => task.resume(),
            Report::Reset => {
                let head = task.head();
                self.truth
                    .was_reset(task.id(), head.epoch(), head.seq().get());
                task.reset();
            }
            Report::Marks(count) => {
                for n in 0..*count {
                    // What was superseded refuses it.
                    let _position = self.held[index].task.emit(Mark { n: n.into() });
                    self.take_down();
                }
            }
        }
    }

    fn end(&mut self, held: u8, how: &End) {
        let Some(index) = pick(held, self.held.len()) else {
            return;
        };
        let Held { task, .. } = self.held.swap_remove(index);
        // Superseded, it is given back and dropped.
        match how {
            End::Complete => drop(task.complete(())),
            End::Fail => drop(task.fail(TaskError::new("BROKEN", "It broke"))),
            End::Drop => drop(task),
        }
    }

    async fn publish(&mut self, node: u8, task: u8, what: &Said, id: Option<u8>) {
        let (node, task) = (self.node(node), self.task(task));
        let n = self.next();
        let mut input = self.input(what, n);
        if let Some(id) = id {
            // The same each time that it is sent.
            let key = (task.clone(), id);
            let first = self
                .inputs
                .entry(key)
                .or_insert_with(|| input.id(id.to_string()));
            input = first.clone();
        }
        let publishing = self.nodes[node].tracker.publish(&task, vec![input]);
        // It waits for the copies into channels, as long as the broker is away.
        let Ok(Ok(published)) = timeout(AWHILE, publishing).await else {
            return;
        };
        let (Some(id), Some(position)) = (id, published.last) else {
            return;
        };
        let first = self
            .answered
            .entry((task, position.epoch(), id))
            .or_insert(position);
        assert_eq!(*first, position, "an id was answered with another position");
    }

    fn input(&self, what: &Said, n: u64) -> EventInput {
        let input = |event_type: &str, data: &Value| EventInput::new(event_type, data).unwrap();
        match what {
            Said::Percent(percent) => input(
                "progress_update",
                &json!({"progress": percent, "message": n.to_string()}),
            ),
            Said::Stage(stage) => input(
                "progress_update",
                &json!({"stage": (["one", "two"][usize::from(*stage)]), "current": n % 50, "total": 50}),
            ),
            Said::Line => input("log", &json!({"message": n.to_string()})),
            Said::Mark => input("mark", &json!({"n": n})),
            Said::Gauge(key) => input("gauge", &json!({"n": n})).key(key.to_string()),
            Said::Pause => input("paused", &json!({})),
            Said::Complete => input("complete", &json!({"status": "completed"})),
        }
    }

    fn emit(&mut self, node: u8) {
        let (node, n) = (self.node(node), self.next());
        if self.nodes[node]
            .tracker
            .channel("jobs")
            .emit(Mark { n })
            .is_ok()
        {
            self.emitted.push((node, n));
        }
    }

    async fn cancel(&mut self, node: u8, task: u8) {
        let (node, task) = (self.node(node), self.task(task));
        let asking = self.nodes[node].tracker.cancel(&task, "stop");
        if let Ok(Ok(())) = timeout(AWHILE, asking).await {
            self.take_down();
            let page = self.observer.read(&Topic::Task(task.clone()), None).await;
            let here = self
                .held
                .iter()
                .any(|held| held.node == node && *held.task.id() == task);
            if let (Ok(Some(page)), false) = (page, here) {
                self.asked.push((task, page.epoch));
            }
        }
    }

    fn subscribe(&mut self, node: u8, task: u8, options: &Options) {
        let (node, task) = (self.node(node), self.task(task));
        self.take_down();
        let after = self.position(&task, &options.from);
        let events = self.nodes[node]
            .tracker
            .subscribe_with(&task, subscribe_options(options, after));
        let mut reader = Reader::new(node, task, events, after, options.replay, options.on_lag);
        reader.rough = self.nodes[node].rough;
        self.readers.push(reader);
        if self.readers.len() > MOST_READERS {
            self.leave(0);
        }
    }

    fn position(&self, task: &TaskId, from: &From) -> Option<Position> {
        match from {
            From::Nowhere => None,
            From::Kept(index) => {
                let here = self.readers.iter().filter(|reader| reader.task == *task);
                let gone = self.kept.iter().filter(|(of, _)| of == task);
                let kept = here
                    .filter_map(Reader::position)
                    .chain(gone.map(|(_, at)| *at));
                let kept: Vec<_> = kept.collect();
                kept.get(pick(*index, kept.len())?).copied()
            }
            From::Near(back) => {
                let (epoch, run) = self.truth.newest(task)?;
                let seq = run.head().saturating_add_signed(-i64::from(*back));
                Some(Position::new(epoch, Seq::new(seq)))
            }
        }
    }

    fn subscribe_channel(&mut self, node: u8, options: &Options) {
        let node = self.node(node);
        let after = match &options.from {
            From::Kept(index) => {
                let here = self
                    .channel_readers
                    .iter()
                    .filter_map(ChannelReader::position);
                let kept: Vec<_> = here.chain(self.kept_of_channel.iter().copied()).collect();
                pick(*index, kept.len()).map(|index| kept[index])
            }
            From::Nowhere | From::Near(_) => None,
        };
        let tracker = &self.nodes[node].tracker;
        let events = tracker.subscribe_channel("jobs", subscribe_options(options, after));
        let mut reader = ChannelReader::new(node, events, after, options.replay, options.on_lag);
        reader.rough = self.nodes[node].rough;
        self.channel_readers.push(reader);
        if self.channel_readers.len() > 3 {
            let gone = self.channel_readers.remove(0);
            self.kept_of_channel.extend(gone.position());
        }
    }

    fn leave(&mut self, index: usize) {
        let gone = self.readers.remove(index);
        let position = gone.position();
        self.kept
            .extend(position.map(|position| (gone.task, position)));
    }

    fn kill(&mut self, node: u8) {
        let node = self.node(node);
        self.take_down();
        self.nodes[node].wire.disconnect();
        for index in (0..self.readers.len()).rev() {
            if self.readers[index].node == node {
                self.leave(index);
            }
        }
        self.channel_readers.retain(|reader| reader.node != node);
        self.recorders.retain(|(of, _)| *of != Some(node));
        self.emitted.retain(|(from, _)| *from != node);
        let (gone, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.node == node);
        self.held = held;
        // What its handles say when they go reaches nobody.
        let _silent: Vec<Held> = gone;
        self.nodes[node] = Node::new(&self.bus);
    }

    async fn forget(&mut self) {
        for node in 0..self.nodes.len() {
            self.roughen(node);
            self.nodes[node].wire.disconnect();
        }
        self.take_down();
        self.bus.forget();
        self.truth.forgets += 1;
        self.asked.clear();
        // Time enough for all to notice.
        self.advance(Duration::from_millis(10)).await;
        for node in self.nodes.iter().filter(|node| node.up) {
            node.wire.reconnect();
        }
    }

    pub(crate) fn heal(&mut self) {
        for node in &mut self.nodes {
            node.wire.faults(Faults::none(), 1);
            node.wire.reconnect();
            node.up = true;
        }
    }

    fn roughen(&mut self, node: usize) {
        self.nodes[node].rough = true;
        let readers = self.readers.iter_mut().filter(|reader| reader.node == node);
        readers.for_each(|reader| reader.rough = true);
        let readers = self.channel_readers.iter_mut();
        let readers = readers.filter(|reader| reader.node == node);
        readers.for_each(|reader| reader.rough = true);
    }

    /// Waits for the system's clock to pass all generations: several nodes may mint the same one within
    /// a millisecond, which these tests are much too fast to leave to chance.
    pub(crate) fn a_millisecond(&self) {
        let newest = self.truth.runs().map(|((_, epoch), _)| epoch.generation());
        let newest = newest.max().unwrap_or(0);
        let now = || u64::try_from(Timestamp::now().as_millis()).unwrap();
        let until = now().max(newest + AHEAD);
        while now() <= until {
            std::thread::yield_now();
        }
    }

    fn next(&mut self) -> u64 {
        self.said += 1;
        self.said
    }

    fn node(&self, index: u8) -> usize {
        usize::from(index) % self.nodes.len()
    }

    fn task(&self, index: u8) -> TaskId {
        self.tasks[usize::from(index) % self.tasks.len()].clone()
    }
}

fn subscribe_options(options: &Options, after: Option<Position>) -> SubscribeOptions {
    let subscribe = SubscribeOptions::new()
        .after(after)
        .replay(options.replay)
        .on_lag(options.on_lag);
    match options.buffer {
        Some(buffer) => subscribe.buffer(buffer.into()),
        None => subscribe,
    }
}

pub(crate) fn channel() -> Topic {
    Topic::Channel("jobs".parse().unwrap())
}

fn pick(index: u8, len: usize) -> Option<usize> {
    (len > 0).then(|| usize::from(index) % len)
}

/// What a call may take that waits for a broker which is away.
pub(crate) const AWHILE: Duration = Duration::from_secs(5);
/// By how much generations may be ahead of the clock: those of runs that are ended follow each other.
const AHEAD: u64 = 5;
const MOST_READERS: usize = 8;
