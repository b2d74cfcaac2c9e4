//! Going down: clients are sent to other nodes, each at a moment of its own.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::registry::{Clients, Order};
use crate::gateway::Gateway;

impl Gateway {
    /// Sends every client away, spread evenly over a time, and lets no other in. Returns how many
    /// there are to be sent; [`sessions`](Self::sessions) tells how many there still are, and
    /// [`drained`](Self::drained) waits until there is none.
    ///
    /// From now on [`is_draining`](Self::is_draining) holds, new event streams and held polls are
    /// answered 503 `DRAINING`, new WebSockets are closed with 4001, and polls that are held are
    /// answered as if their time were up. Of `n` clients the one that came as number `i` is sent
    /// away when `i/n` of the time is over: it gets what was published until then, as far as one
    /// batch holds it, is told `draining` and closed with 4001; an event stream is told with
    /// `retry:` and ends. Each is to come back after up to 500 ms of its own, so that those sent
    /// away together do not come back together.
    ///
    /// One task of the current tokio runtime does it, and ends with the gateway. Outside of a
    /// runtime all are sent at once. Called again, the last call counts for all who are still here.
    pub fn drain(&self, within: Duration) -> usize {
        let within = within.min(LONGEST);
        let (drain, numbers) = self.registry().drain();
        let count = numbers.len();
        match Handle::try_current() {
            Ok(runtime) if !within.is_zero() && count > 0 => {
                let clients = Arc::downgrade(self.registry());
                runtime.spawn(send_away(clients, drain, numbers, within));
            }
            _ => {
                for number in numbers {
                    self.registry().send_away(number);
                }
            }
        }
        count
    }

    /// Has `/health` tell from now on that this node is going down, so that balancers send new
    /// clients elsewhere; whoever still comes is served. It is what a [`drain`](Self::drain) can
    /// begin with where balancers take a while to look.
    pub fn withdraw(&self) {
        self.registry().withdraw();
    }

    /// Tells whether new clients should be sent elsewhere: since [`withdraw`](Self::withdraw) or
    /// [`drain`](Self::drain), or while the tracker drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.registry().is_leaving() || self.tracker().is_draining()
    }

    /// Waits until a [`drain`](Self::drain) has begun and no connection is open any more.
    ///
    /// # Cancel safety
    ///
    /// It only waits.
    pub async fn drained(&self) {
        self.registry().drained().await;
    }
}

impl Clients {
    fn send_away(&self, number: u64) {
        if let Some(client) = self.get(number) {
            let reconnect_after = reconnect_after(number);
            client.order(Order::Drain { reconnect_after });
        }
    }
}

/// Sends clients away, each at its moment, unless another drain takes over.
async fn send_away(clients: Weak<Clients>, drain: u64, numbers: Vec<u64>, within: Duration) {
    let begin = Instant::now();
    let share = 1.0 / numbers.len() as f64;
    for (rank, number) in numbers.into_iter().enumerate() {
        let moment = begin + within.mul_f64(share * rank as f64);
        if moment > Instant::now() {
            sleep_until(moment).await;
        }
        match clients.upgrade() {
            Some(clients) if clients.is_current(drain) => clients.send_away(number),
            _ => return,
        }
    }
}

/// How long a client that is sent away is to wait.
pub(crate) fn reconnect_after(number: u64) -> Duration {
    RECONNECT_WITHIN.mul_f64(jitter(number))
}

/// A share of one for each client: multiples of the golden ratio spread evenly, however many there
/// are, and those that follow one another are far apart.
pub(crate) fn jitter(number: u64) -> f64 {
    (number as f64 * 0.618_033_988_749_895).fract()
}

/// As long as a handshake takes, so that it spreads what one moment has closed.
const RECONNECT_WITHIN: Duration = Duration::from_millis(500);
/// A clock can count to it, and nobody waits for so long.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
