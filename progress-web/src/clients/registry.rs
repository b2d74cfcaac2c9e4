//! The connections that are open.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use progress_core::Timestamp;
use tokio::sync::Notify;

use crate::{
    error::{ApiError, Code},
    limits::{AddressKey, ConnectionLimits, Scope, Shares},
    metrics::{Counted, Metrics},
    session::{Name, Registration},
};

/// The connections that are open, and how many can be.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    /// Told when a drain begins.
    drains: Notify,
    /// Told when the last connection has gone while they drain.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    /// By number, that is, in the order in which they came.
    clients: BTreeMap<u64, Arc<Client>>,
    last: u64,
    /// Places of connections that nobody can talk to.
    silent: usize,
    /// Of all of these, those of each address and each subject.
    shares: Shares,
    /// New connections should go elsewhere, though those that come are let in.
    withdrawn: bool,
    /// How often a drain was begun; once it was, nobody is let in.
    drains: u64,
}

/// One connection, as others see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) kind: &'static str,
    pub(crate) connected_at: Timestamp,
    about: Mutex<About>,
    orders: Mutex<VecDeque<Order>>,
    /// Whether there are orders: looked at with every poll of the session, which takes no lock.
    ordered: AtomicBool,
    waker: AtomicWaker,
}

/// What is known of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) registration: Registration,
    pub(crate) subject: Option<String>,
    pub(crate) topics: Vec<Name>,
}

/// Something that a session is to do for somebody else.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Pass a frame on.
    Broadcast { event_type: Arc<str>, json: Bytes },
    /// Say that the server is going down, and close.
    Drain { reconnect_after: Duration },
    /// Send the client away.
    Dismiss,
}

/// A place among the connections, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    clients: Arc<Clients>,
    /// The client's, of a connection that is listed.
    number: Option<u64>,
    /// What it is counted as, besides.
    address: Option<AddressKey>,
    subject: Option<Arc<str>>,
    _counted: Counted,
}

/// The place of a connection that others can see and talk to.
#[derive(Debug)]
pub(crate) struct Seat {
    client: Arc<Client>,
    place: Place,
}

impl Clients {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
            drains: Notify::new(),
            emptied: Notify::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.open).len()
    }

    /// Takes a place for a connection that others can see.
    pub(crate) fn seat(
        self: &Arc<Self>,
        kind: &'static str,
        address: Option<AddressKey>,
        counts: &Metrics,
    ) -> Result<Seat, ApiError> {
        let mut open = self.with_room(address, counts)?;
        open.last += 1;
        let client = Arc::new(Client {
            number: open.last,
            kind,
            connected_at: Timestamp::now(),
            about: Mutex::default(),
            orders: Mutex::default(),
            ordered: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        open.clients.insert(client.number, Arc::clone(&client));
        drop(open);
        let place = self.place_of(Some(client.number), kind, address, counts);
        Ok(Seat { client, place })
    }

    /// Takes a place for a connection that nobody can talk to.
    pub(crate) fn place(
        self: &Arc<Self>,
        kind: &'static str,
        address: Option<AddressKey>,
        counts: &Metrics,
    ) -> Result<Place, ApiError> {
        self.with_room(address, counts)?.silent += 1;
        Ok(self.place_of(None, kind, address, counts))
    }

    fn place_of(
        self: &Arc<Self>,
        number: Option<u64>,
        kind: &'static str,
        address: Option<AddressKey>,
        counts: &Metrics,
    ) -> Place {
        Place {
            clients: Arc::clone(self),
            number,
            address,
            subject: None,
            _counted: counts.session(kind),
        }
    }

    fn with_room(
        &self,
        address: Option<AddressKey>,
        counts: &Metrics,
    ) -> Result<MutexGuard<'_, Open>, ApiError> {
        let room = self.room(address, counts);
        room.inspect_err(|error| counts.connection_refused(error.code()))
    }

    /// Counts one more of an address, if there is room for it; the rest is the caller's.
    fn room(
        &self,
        address: Option<AddressKey>,
        counts: &Metrics,
    ) -> Result<MutexGuard<'_, Open>, ApiError> {
        let mut open = lock(&self.open);
        if open.drains > 0 {
            return Err(draining());
        }
        if open.len() >= self.limits.all {
            return Err(self.limits.exceeded(Scope::All, counts));
        }
        if let Some(address) = address
            && !open.shares.take_address(address, self.limits.address)
        {
            return Err(self.limits.exceeded(Scope::Address, counts));
        }
        Ok(open)
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<Client>> {
        lock(&self.open).clients.get(&number).cloned()
    }

    /// The first so many after a number, and whether there are more.
    pub(crate) fn page(&self, after: u64, limit: usize) -> (Vec<Arc<Client>>, bool) {
        let open = lock(&self.open);
        let mut rest = open.clients.range(after.saturating_add(1)..);
        let page = rest
            .by_ref()
            .take(limit)
            .map(|(_, client)| Arc::clone(client))
            .collect();
        (page, rest.next().is_some())
    }

    /// All there are now.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.open).clients.values().cloned().collect()
    }

    /// Has it told that new connections should go elsewhere.
    pub(crate) fn withdraw(&self) {
        lock(&self.open).withdrawn = true;
    }

    /// Whether new connections should go elsewhere.
    pub(crate) fn is_leaving(&self) -> bool {
        let open = lock(&self.open);
        open.withdrawn || open.drains > 0
    }

    /// Lets nobody in any more; tells which drain this is, and the numbers of those who are in.
    pub(crate) fn drain(&self) -> (u64, Vec<u64>) {
        let mut open = lock(&self.open);
        open.drains += 1;
        let begun = (open.drains, open.clients.keys().copied().collect());
        let is_empty = open.len() == 0;
        drop(open);
        self.drains.notify_waiters();
        if is_empty {
            self.emptied.notify_waiters();
        }
        begun
    }

    /// Whether this drain is the last that was begun.
    pub(crate) fn is_current(&self, drain: u64) -> bool {
        lock(&self.open).drains == drain
    }

    /// Waits until a drain has begun.
    pub(crate) async fn drain_begun(&self) {
        let begins = self.drains.notified();
        if lock(&self.open).drains == 0 {
            begins.await;
        }
    }

    /// Waits until a drain has begun and nobody is in.
    pub(crate) async fn drained(&self) {
        loop {
            // Before the look, so that no end between the two is missed.
            let emptied = self.emptied.notified();
            {
                let open = lock(&self.open);
                if open.drains > 0 && open.len() == 0 {
                    return;
                }
            }
            emptied.await;
        }
    }
}

impl Open {
    fn len(&self) -> usize {
        self.clients.len() + self.silent
    }
}

impl Client {
    pub(crate) fn about(&self) -> MutexGuard<'_, About> {
        lock(&self.about)
    }

    /// Has the session do something, soon. Of what was broadcast it keeps the newest.
    pub(crate) fn order(&self, order: Order) {
        let mut orders = lock(&self.orders);
        if orders.len() >= ORDERS {
            let oldest = orders
                .iter()
                .position(|order| matches!(order, Order::Broadcast { .. }));
            orders.remove(oldest.unwrap_or_default());
        }
        orders.push_back(order);
        drop(orders);
        // Release: pairs with the swap in `poll_orders`. Before the waker, which registers first.
        self.ordered.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Place {
    /// Counts the connection as a subject's, and no more as that of another; one that has too many
    /// is refused, and the caller lets go of the place.
    pub(crate) fn claim(&mut self, subject: &str, counts: &Metrics) -> Result<(), ApiError> {
        if self.subject.as_deref() == Some(subject) {
            return Ok(());
        }
        let subject = Arc::from(subject);
        let limits = self.clients.limits;
        let mut open = lock(&self.clients.open);
        if !open.shares.take_subject(&subject, limits.subject) {
            drop(open);
            return Err(limits.exceeded(Scope::Subject, counts));
        }
        if let Some(before) = self.subject.replace(subject) {
            open.shares.release_subject(&before);
        }
        Ok(())
    }
}

impl Seat {
    /// See [`Place::claim`]; what others see of the client tells its subject from then on.
    pub(crate) fn claim(&mut self, subject: &str, counts: &Metrics) -> Result<(), ApiError> {
        self.place.claim(subject, counts)?;
        self.client.about().subject = Some(subject.to_owned());
        Ok(())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Takes what was ordered, and is woken when there is more.
    pub(crate) fn poll_orders(&self, cx: &Context<'_>) -> VecDeque<Order> {
        self.client.waker.register(cx.waker());
        if self.client.ordered.load(Ordering::Relaxed)
            && self.client.ordered.swap(false, Ordering::Acquire)
        {
            std::mem::take(&mut *lock(&self.client.orders))
        } else {
            VecDeque::new()
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.clients.open);
        if let Some(address) = self.address {
            open.shares.release_address(address);
        }
        if let Some(subject) = &self.subject {
            open.shares.release_subject(subject);
        }
        let client = match self.number {
            Some(number) => open.clients.remove(&number),
            None => {
                open.silent -= 1;
                None
            }
        };
        let is_last = open.drains > 0 && open.len() == 0;
        // Not under the lock: its waker may be anybody's.
        drop(open);
        drop(client);
        if is_last {
            self.clients.emptied.notify_waiters();
        }
    }
}

/// What those are told who come too late.
pub(crate) fn draining() -> ApiError {
    ApiError::new(Code::Draining, "the server is going down").retry_after(Duration::from_secs(1))
}

/// What the locks guard is whole after every step: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orders that one client can have waiting: what a stuck one costs.
const ORDERS: usize = 16;
