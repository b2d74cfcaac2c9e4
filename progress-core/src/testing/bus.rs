//! The broker in memory.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    channel::ChannelName,
    id::TaskId,
    position::Epoch,
    sync::{Mutex, MutexGuard},
    testing::{
        conformance::Bench,
        faults::{Dice, Faults},
        memory::MemoryTransport,
        recent::Recent,
        topic::BusTopic,
    },
    time::Timestamp,
    transport::{NodeId, Owner, Record, Topic, Transport, TransportEvent},
};

/// A broker in memory: the nodes that [connect](Self::connect) to it behave as nodes of one
/// system. A cheap clone of one bus.
///
/// Its clock is tokio's, so that tests can pause it. Bounds: per topic those of
/// [`LogLimits`](crate::log::LogLimits) without a window, ids of 1 024 drafts; per node 65 536
/// records under way, past which records are lost and a resync is told.
#[derive(Debug, Clone, Default)]
pub struct MemoryBus {
    shared: Arc<Mutex<Bus>>,
}

/// What the broker holds.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) tasks: BTreeMap<TaskId, BusTopic>,
    pub(super) channels: HashMap<ChannelName, BusTopic>,
    pub(super) leases: HashMap<NodeId, Instant>,
    pub(super) once: HashMap<String, Instant>,
    /// The last run of tasks that were removed.
    removed: Recent<TaskId, Epoch>,
    links: Vec<Link>,
    pub(super) retention: Duration,
    pub(super) quiet_after: Duration,
    pub(super) silent_after: Duration,
    last_number: u64,
    last_epoch: u64,
}

/// One node's connection.
#[derive(Debug)]
struct Link {
    up: bool,
    watched: HashSet<Topic>,
    /// What the node is known as, since its first claim or renewal.
    node: Option<NodeId>,
    faults: Faults,
    dice: Dice,
    outlet: mpsc::Sender<Sent>,
    /// Records were lost for want of room.
    overflown: HashSet<Topic>,
}

/// Under way to a node.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) event: TransportEvent,
}

impl MemoryBus {
    /// Makes an empty bus on which nothing goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects a node.
    #[must_use]
    pub fn connect(&self) -> MemoryTransport {
        let (outlet, inlet) = mpsc::channel(UNDER_WAY);
        let mut bus = self.lock();
        let link = bus.links.len();
        bus.links.push(Link {
            up: true,
            watched: HashSet::new(),
            node: None,
            faults: Faults::none(),
            dice: Dice::new(0x9E37_79B9_7F4A_7C15 ^ (link as u64 + 1)),
            outlet,
            overflown: HashSet::new(),
        });
        MemoryTransport::new(self.clone(), link, inlet)
    }

    /// Sets how long ended tasks are kept (default 1 hour).
    pub fn retention(&self, retention: Duration) {
        self.lock().retention = retention;
    }

    /// Sets how long a shared task may be silent before it is stalled and before it is abandoned
    /// (default 10 minutes and 1 hour).
    pub fn silence(&self, stalled: Duration, abandoned: Duration) {
        let mut bus = self.lock();
        bus.quiet_after = stalled;
        bus.silent_after = abandoned;
    }

    /// Loses everything: tasks, channels, leases. The nodes notice nothing by themselves.
    pub fn forget(&self) {
        let mut bus = self.lock();
        bus.tasks.clear();
        bus.channels.clear();
        bus.leases.clear();
        bus.once.clear();
        bus.removed = Recent::default();
    }

    /// Returns how many tasks are kept that have not ended.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        let bus = self.lock();
        bus.tasks.values().filter(|task| !task.is_ended()).count()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Bus> {
        self.shared.lock()
    }
}

#[async_trait]
impl Bench for MemoryBus {
    async fn connect(&self) -> Arc<dyn Transport> {
        Arc::new(Self::connect(self))
    }

    fn retention(&self) -> Option<Duration> {
        Some(self.lock().retention)
    }

    fn abandoned_after(&self) -> Option<Duration> {
        Some(self.lock().silent_after)
    }

    async fn forget(&self) -> bool {
        Self::forget(self);
        true
    }

    async fn cut(&self) -> bool {
        self.lock().set_all_up(false);
        true
    }

    async fn mend(&self) {
        self.lock().set_all_up(true);
    }
}

impl Bus {
    fn set_all_up(&mut self, up: bool) {
        for link in 0..self.links.len() {
            self.set_up(link, up);
        }
    }

    pub(super) fn is_up(&self, link: usize) -> bool {
        self.links[link].up
    }

    /// Cuts a node off, or connects it again; what was published meanwhile is lost to it.
    pub(super) fn set_up(&mut self, link: usize, up: bool) {
        if self.links[link].up == up {
            return;
        }
        self.links[link].up = up;
        let event = if up {
            TransportEvent::Up
        } else {
            TransportEvent::Down
        };
        self.links[link].send(event, Instant::now());
    }

    pub(super) fn set_faults(&mut self, link: usize, faults: Faults, seed: u64) {
        self.links[link].faults = faults;
        self.links[link].dice = Dice::new(seed);
    }

    pub(super) fn answer_is_lost(&mut self, link: usize) -> bool {
        let link = &mut self.links[link];
        link.dice.falls(link.faults.lose_answer)
    }

    pub(super) fn answer_delay(&self, link: usize) -> Duration {
        self.links[link].faults.slow_answer
    }

    pub(super) fn watch(&mut self, link: usize, topic: Topic) {
        self.links[link].watched.insert(topic);
    }

    pub(super) fn unwatch(&mut self, link: usize, topic: &Topic) {
        self.links[link].watched.remove(topic);
    }

    pub(super) fn name(&mut self, link: usize, node: &NodeId) {
        if self.links[link].node.as_ref() != Some(node) {
            self.links[link].node = Some(node.clone());
        }
    }

    /// Publishes a record to those who watch its topic.
    pub(super) fn publish(&mut self, record: &Record) {
        let topic = record.topic();
        let now = Instant::now();
        for link in &mut self.links {
            if link.up && link.watched.contains(&topic) {
                link.publish(&topic, record, now);
            }
        }
    }

    /// Forgets a task, and says so to those who watch it and to its owner.
    pub(super) fn remove_task(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.remove(id) else {
            return;
        };
        let last = task.ends.map_or(task.epoch, |ended| ended.max(task.epoch));
        self.removed.insert(id.clone(), last);
        let event = TransportEvent::Removed(id.clone(), last);
        let topic = Topic::Task(id.clone());
        let now = Instant::now();
        for link in &mut self.links {
            let owns = matches!(&task.owner, Owner::Node(node) if link.node.as_ref() == Some(node));
            if link.up && (owns || link.watched.contains(&topic)) {
                link.send(event.clone(), now);
            }
        }
    }

    /// The last run of a task that was removed.
    pub(super) fn removed(&self, id: &TaskId) -> Option<Epoch> {
        self.removed.get(id).copied()
    }

    /// Hands something to one node, if it is there.
    pub(super) fn tell(&mut self, node: &NodeId, event: &TransportEvent) {
        let now = Instant::now();
        for link in &mut self.links {
            if link.up && link.node.as_ref() == Some(node) {
                link.send(event.clone(), now);
            }
        }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// A generation of the broker's own: for channels.
    pub(super) fn next_epoch(&mut self) -> Epoch {
        let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(1);
        self.last_epoch = now.max(self.last_epoch + 1);
        Epoch::new(self.last_epoch)
    }

    /// Tells whether an owner is gone: its lease is over.
    pub(super) fn is_orphaned(&self, owner: &Owner, now: Instant) -> bool {
        match owner {
            Owner::Node(node) => self.leases.get(node).is_none_or(|until| *until <= now),
            Owner::Shared => false,
        }
    }

    /// Forgets ended tasks whose time is over.
    pub(super) fn sweep(&mut self, now: Instant) {
        let retention = self.retention;
        self.tasks.retain(|_, task| {
            task.ended_at
                .is_none_or(|at| now.duration_since(at) < retention)
        });
        self.once.retain(|_, until| *until > now);
    }

    /// The topic, made if it is a channel that nobody has written to yet.
    pub(super) fn topic(&mut self, topic: &Topic, now: Instant) -> Option<&mut BusTopic> {
        match topic {
            Topic::Task(id) => self.tasks.get_mut(id),
            Topic::Channel(name) => {
                if !self.channels.contains_key(name) {
                    let (epoch, number) = (self.next_epoch(), self.next_number());
                    self.channels.insert(
                        name.clone(),
                        BusTopic::new(epoch, Owner::Shared, number, now),
                    );
                }
                self.channels.get_mut(name)
            }
        }
    }
}

impl Link {
    fn publish(&mut self, topic: &Topic, record: &Record, now: Instant) {
        let faults = self.faults;
        if self.dice.falls(faults.drop) {
            return;
        }
        let copies = if self.dice.falls(faults.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let mut at = now + faults.delay;
            if self.dice.falls(faults.reorder) {
                at += faults.delay.max(Duration::from_millis(1)) * 3;
            }
            let sent = Sent {
                at,
                event: TransportEvent::Record(record.clone()),
            };
            if self.outlet.try_send(sent).is_err() {
                self.overflown.insert(topic.clone());
            }
        }
        if !self.overflown.is_empty() {
            for topic in std::mem::take(&mut self.overflown) {
                let resync = Sent {
                    at: now,
                    event: TransportEvent::Resync(topic.clone()),
                };
                if self.outlet.try_send(resync).is_err() {
                    self.overflown.insert(topic);
                }
            }
        }
    }

    fn send(&mut self, event: TransportEvent, now: Instant) {
        // A node that does not listen has nothing to be told.
        let _full = self.outlet.try_send(Sent { at: now, event });
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            tasks: BTreeMap::new(),
            channels: HashMap::new(),
            leases: HashMap::new(),
            once: HashMap::new(),
            removed: Recent::default(),
            links: Vec::new(),
            retention: Duration::from_secs(3600),
            quiet_after: Duration::from_secs(600),
            silent_after: Duration::from_secs(3600),
            last_number: 0,
            last_epoch: 0,
        }
    }
}

/// Records on their way to one node.
const UNDER_WAY: usize = 65_536;
