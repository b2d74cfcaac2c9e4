//! One node's connection to the broker in memory.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_core::{Stream, stream::BoxStream};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::{
    event::Event,
    id::TaskId,
    position::{Epoch, Position},
    sync::Mutex,
    testing::{
        bus::{Bus, MemoryBus, Sent},
        faults::Faults,
        topic::BusTopic,
    },
    tracker::{TaskCursor, TaskFilter, TaskPage},
    transport::{
        AppendError, Claim, ClaimError, Draft, Expired, ExpiredCause, NodeId, Owner, Page, Record,
        Request, RequestError, Topic, Transport, TransportError, TransportEvent, TransportHealth,
    },
};

/// One node's connection to a [`MemoryBus`]. A cheap clone: keep one to break it later.
#[derive(Clone)]
pub struct MemoryTransport {
    bus: MemoryBus,
    link: usize,
    inlet: Arc<Mutex<Option<mpsc::Receiver<Sent>>>>,
    health: Arc<Mutex<Option<TransportHealth>>>,
}

impl MemoryTransport {
    pub(super) fn new(bus: MemoryBus, link: usize, inlet: mpsc::Receiver<Sent>) -> Self {
        Self {
            bus,
            link,
            inlet: Arc::new(Mutex::new(Some(inlet))),
            health: Arc::default(),
        }
    }

    /// Cuts the node off: calls fail, nothing arrives.
    pub fn disconnect(&self) {
        self.bus.lock().set_up(self.link, false);
    }

    /// Connects it again; what was published meanwhile is lost to it.
    pub fn reconnect(&self) {
        self.bus.lock().set_up(self.link, true);
    }

    /// Sets what goes wrong from now on; `seed` decides when.
    pub fn faults(&self, faults: Faults, seed: u64) {
        self.bus.lock().set_faults(self.link, faults, seed);
    }

    /// Sets what it says of its [health](Transport::health), which it does not watch itself: for tests of
    /// what shows it.
    pub fn says(&self, health: TransportHealth) {
        *self.health.lock() = Some(health);
    }

    /// Runs a call at the broker, if it can be reached and the answer comes back.
    async fn call<T, E: From<TransportError>>(
        &self,
        call: impl FnOnce(&mut Bus, Instant) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let (answer, delay) = {
            let mut bus = self.bus.lock();
            if !bus.is_up(self.link) {
                return Err(TransportError::new("disconnected").into());
            }
            let now = Instant::now();
            bus.sweep(now);
            let mut answer = call(&mut bus, now);
            if bus.answer_is_lost(self.link) {
                answer = Err(TransportError::new("no answer").into());
            }
            (answer, bus.answer_delay(self.link))
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        answer
    }

    async fn call_each<T>(
        &self,
        count: usize,
        call: impl FnOnce(&mut Bus, Instant) -> Vec<Result<T, AppendError>> + Send,
    ) -> Vec<Result<T, AppendError>> {
        self.call(|bus, now| Ok::<_, AppendError>(call(bus, now)))
            .await
            .unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn health(&self) -> Option<TransportHealth> {
        self.health.lock().clone()
    }

    async fn claim(&self, task: &TaskId, proposed: Epoch, why: Claim) -> Result<Epoch, ClaimError> {
        self.call(|bus, now| claim(bus, self.link, task, proposed, why, now))
            .await
    }

    async fn append(&self, events: Vec<Arc<Event>>) -> Vec<Result<(), AppendError>> {
        self.call_each(events.len(), |bus, now| {
            let mut failed: HashMap<(TaskId, Epoch), AppendError> = HashMap::new();
            events
                .into_iter()
                .map(
                    |event| match failed.entry((event.task_id().clone(), event.epoch())) {
                        Entry::Occupied(failed) => Err(failed.get().clone()),
                        Entry::Vacant(run) => append(bus, &event, now).inspect_err(|error| {
                            run.insert(error.clone());
                        }),
                    },
                )
                .collect()
        })
        .await
    }

    async fn submit(
        &self,
        topic: &Topic,
        drafts: Vec<Draft>,
    ) -> Vec<Result<Position, AppendError>> {
        self.call_each(drafts.len(), |bus, now| {
            drafts
                .iter()
                .map(|draft| {
                    let known = bus.topic(topic, now).ok_or(AppendError::Unknown)?;
                    if known.owner != Owner::Shared {
                        return Err(AppendError::Owned);
                    }
                    let (position, record) = known.number(topic, draft, now)?;
                    if let Some(record) = record {
                        bus.publish(&record);
                    }
                    Ok(position)
                })
                .collect()
        })
        .await
    }

    async fn read(
        &self,
        topic: &Topic,
        after: Option<Position>,
    ) -> Result<Option<Page>, TransportError> {
        self.call(|bus, now| Ok(bus.topic(topic, now).map(|topic| topic.page(after))))
            .await
    }

    async fn watch(&self, topic: &Topic) -> Result<(), TransportError> {
        self.call(|bus, _| {
            bus.watch(self.link, topic.clone());
            Ok(())
        })
        .await
    }

    async fn unwatch(&self, topic: &Topic) -> Result<(), TransportError> {
        self.call(|bus, _| {
            bus.unwatch(self.link, topic);
            Ok(())
        })
        .await
    }

    fn events(&self) -> BoxStream<'static, TransportEvent> {
        match self.inlet.lock().take() {
            Some(inlet) => Box::pin(Arriving {
                inlet,
                waiting: BinaryHeap::new(),
                arrived: 0,
                sleep: None,
            }),
            None => Box::pin(Never),
        }
    }

    async fn request(&self, task: &TaskId, request: Request) -> Result<(), RequestError> {
        self.call(|bus, _| {
            let known = bus.tasks.get_mut(task).ok_or(RequestError::Unknown)?;
            if known.is_ended() {
                return Err(RequestError::AlreadyComplete);
            }
            known.request = Some(request.clone());
            if let Owner::Node(node) = known.owner.clone() {
                bus.tell(&node, &TransportEvent::Request(task.clone(), request));
            }
            Ok(())
        })
        .await
    }

    async fn renew(
        &self,
        node: &NodeId,
        lease: Duration,
    ) -> Result<Vec<(TaskId, Request)>, TransportError> {
        self.call(|bus, now| {
            bus.name(self.link, node);
            bus.leases.insert(node.clone(), now + lease);
            Ok(bus
                .tasks
                .iter()
                .filter(|(_, task)| task.owner == Owner::Node(node.clone()) && !task.is_ended())
                .filter_map(|(id, task)| Some((id.clone(), task.request.clone()?)))
                .collect())
        })
        .await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Expired>, TransportError> {
        self.call(|bus, now| {
            let (quiet_after, silent_after) = (bus.quiet_after, bus.silent_after);
            Ok(bus
                .tasks
                .iter()
                .filter(|(_, task)| !task.is_ended())
                .filter_map(|(id, task)| {
                    let silence = now.duration_since(task.active_at);
                    let cause = match &task.owner {
                        owner if bus.is_orphaned(owner, now) => ExpiredCause::Lease,
                        Owner::Shared if silence >= silent_after => ExpiredCause::Silent,
                        Owner::Shared
                            if silence >= task.silence.unwrap_or(quiet_after)
                                && !task.quiet_told =>
                        {
                            ExpiredCause::Quiet
                        }
                        Owner::Node(_) | Owner::Shared => return None,
                    };
                    Some(Expired::new(id.clone(), task.epoch, cause))
                })
                .take(limit)
                .collect())
        })
        .await
    }

    async fn once(&self, key: &str, ttl: Duration) -> Result<bool, TransportError> {
        // What is over has been swept.
        self.call(|bus, now| match bus.once.entry(key.to_owned()) {
            Entry::Occupied(_) => Ok(false),
            Entry::Vacant(free) => {
                free.insert(now + ttl);
                Ok(true)
            }
        })
        .await
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<TaskPage, TransportError> {
        self.call(|bus, _| Ok(list(bus, filter))).await
    }

    async fn remove(&self, topic: &Topic) -> Result<(), TransportError> {
        self.call(|bus, _| {
            match topic {
                Topic::Task(id) => bus.remove_task(id),
                Topic::Channel(name) => drop(bus.channels.remove(name)),
            }
            Ok(())
        })
        .await
    }

    async fn flush(&self, _deadline: Instant) -> Result<(), TransportError> {
        // Every call is with the broker when it returns.
        self.call(|_, _| Ok(())).await
    }
}

fn claim(
    bus: &mut Bus,
    link: usize,
    id: &TaskId,
    proposed: Epoch,
    why: Claim,
    now: Instant,
) -> Result<Epoch, ClaimError> {
    if let Claim::Start { node, .. } | Claim::Restart { node, .. } | Claim::End { node, .. } = &why
    {
        bus.name(link, node);
        // A claim is a sign of life. The lease of a node that has not renewed yet, or not for long.
        let until = bus.leases.entry(node.clone()).or_insert(now);
        if *until <= now {
            *until = now + FIRST_LEASE;
        }
    }
    let removed = bus.removed(id);
    if let (Claim::Start { .. } | Claim::Restart { .. }, Some(up_to)) = (&why, removed)
        && proposed <= up_to
    {
        return Err(ClaimError::Removed { up_to });
    }
    let present = bus
        .tasks
        .get(id)
        .map(|task| (task.epoch, task.owner.clone(), task.is_ended()));
    let ends = bus.tasks.get(id).and_then(|task| task.ends);
    let number = bus.next_number();
    let fresh = |epoch, owner, channels| {
        let mut task = BusTopic::new(epoch, owner, number, now);
        task.channels = channels;
        task
    };
    let task = match (why, present) {
        // The same claim once more.
        (Claim::Start { node, .. } | Claim::Restart { node, .. }, Some((epoch, owner, _)))
            if epoch == proposed && owner == Owner::Node(node.clone()) =>
        {
            return Ok(epoch);
        }
        (Claim::Start { .. }, Some((epoch, ..)))
        | (Claim::Restart { .. }, Some((epoch, _, false)))
        | (Claim::Shared { restart: false, .. }, Some((epoch, _, true)))
        | (Claim::Shared { .. }, Some((epoch, Owner::Node(_), false))) => {
            return Err(ClaimError::AlreadyExists { epoch });
        }
        (Claim::Restart { .. }, Some((epoch, ..))) if proposed <= epoch => {
            return Err(ClaimError::Superseded { by: epoch });
        }
        (Claim::Start { node, channels } | Claim::Restart { node, channels }, _) => {
            fresh(proposed, Owner::Node(node), channels)
        }
        (Claim::Shared { .. }, Some((epoch, Owner::Shared, false))) => return Ok(epoch),
        (
            Claim::Shared {
                channels, silence, ..
            },
            present,
        ) => {
            let last = present.map(|(epoch, ..)| epoch).max(removed);
            let last = last.map_or(0, Epoch::generation);
            let epoch = Epoch::new(proposed.generation().max(last + 1));
            let mut task = fresh(epoch, Owner::Shared, channels);
            task.silence = silence;
            task
        }
        (Claim::End { node, of }, Some((epoch, owner, ended))) => {
            if owner == Owner::Node(node.clone()) && ends == Some(of) && !ended {
                // The same claim once more, whose answer was lost.
                return Ok(epoch);
            }
            if epoch != of || ended {
                return Err(ClaimError::Superseded { by: epoch });
            }
            // Judged here: the owner may have renewed since it was found expired.
            if !bus.is_orphaned(&owner, now) {
                return Err(ClaimError::AlreadyExists { epoch });
            }
            let epoch = Epoch::new(proposed.generation().max(of.generation() + 1));
            let run = bus.tasks.remove(id);
            let channels = run.as_ref().map(|run| run.channels.clone());
            let mut task = fresh(epoch, Owner::Node(node), channels.unwrap_or_default());
            // It stays where it is in the list.
            task.number = run.as_ref().map_or(number, |run| run.number);
            task.ends = Some(of);
            // An end that its claimer did not live to append stands for the run before it.
            task.ended_run = run.map(BusTopic::into_events).unwrap_or_default();
            task
        }
        (Claim::End { of, .. }, None) => return Err(ClaimError::Superseded { by: of }),
    };
    let epoch = task.epoch;
    bus.tasks.insert(id.clone(), task);
    Ok(epoch)
}

fn append(bus: &mut Bus, event: &Arc<Event>, now: Instant) -> Result<(), AppendError> {
    let task = bus
        .tasks
        .get_mut(event.task_id())
        .ok_or(AppendError::Unknown)?;
    if task.epoch > event.epoch() {
        return Err(AppendError::Superseded { by: task.epoch });
    }
    if task.epoch < event.epoch() {
        return Err(AppendError::Unknown);
    }
    if task.owner == Owner::Shared {
        return Err(AppendError::Refused {
            reason: "the broker numbers the events of a shared task".to_owned(),
        });
    }
    let record = Record::Task(Arc::clone(event));
    if task.append(&record, now)? {
        bus.publish(&record);
    }
    Ok(())
}

fn list(bus: &Bus, filter: &TaskFilter) -> TaskPage {
    let mut tasks: Vec<_> = bus.tasks.values().collect();
    tasks.sort_by_key(|task| Reverse(task.number));
    let mut page = TaskPage {
        tasks: Vec::new(),
        next: None,
    };
    for task in tasks {
        if task.number >= filter.before() {
            continue;
        }
        let Some(snapshot) = task.page(None).snapshot() else {
            continue;
        };
        if !filter.lets_through(&snapshot) {
            continue;
        }
        page.tasks.push(snapshot);
        if page.tasks.len() == filter.page_len() {
            page.next = Some(TaskCursor::new(task.number));
            break;
        }
    }
    page
}

/// What is under way to the node, in the order of arrival.
struct Arriving {
    inlet: mpsc::Receiver<Sent>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stream for Arriving {
    type Item = TransportEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TransportEvent>> {
        let mut gone = false;
        loop {
            match self.inlet.poll_recv(cx) {
                Poll::Ready(Some(sent)) => {
                    self.arrived += 1;
                    let order = (sent.at, self.arrived);
                    self.waiting.push(Reverse(Waiting {
                        order,
                        event: sent.event,
                    }));
                }
                Poll::Ready(None) => {
                    gone = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        loop {
            let Some(Reverse(next)) = self.waiting.peek() else {
                self.sleep = None;
                return if gone {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                };
            };
            let at = next.order.0;
            if at <= Instant::now() {
                return Poll::Ready(self.waiting.pop().map(|Reverse(next)| next.event));
            }
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

struct Waiting {
    order: (Instant, u64),
    event: TransportEvent,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
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

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

/// The lease that comes with a node's first claim.
const FIRST_LEASE: Duration = Duration::from_secs(30);
