//! Messages of workers that publish without a function: `PUBLISH progress:<task id> <json>`.
//!
//! Redis hands them to whoever listens, so that one node at a time does: the one that holds a lease. It
//! listens only after it has got the lease, and takes a message only while the lease is valid by its
//! own clock, counted from before it was asked for; so no message is taken by two. What comes while
//! nobody holds it is lost: at most once is all that PUBLISH can do.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    arrivals::Arrivals,
    ask::{Ask, heard},
    client::{Connection, Failure},
    functions::Function,
    keys::Keys,
};

/// One node's part in it.
#[derive(Debug)]
pub(crate) struct Ingest {
    /// What the channels begin with; the task's id follows.
    prefix: String,
    holder: String,
    key: String,
    /// Until when the lease is this node's for sure.
    until: Mutex<Option<Instant>>,
}

impl Ingest {
    pub(crate) fn new(prefix: &str, holder: &str, keys: &Keys) -> Self {
        Self {
            prefix: prefix.to_owned(),
            holder: holder.to_owned(),
            key: keys.index(&format!("ingest:{prefix}")),
            until: Mutex::default(),
        }
    }

    /// Hands on what was published on a channel that this node listens to.
    pub(crate) fn message(&self, channel: &[u8], payload: Vec<u8>, arrivals: &Arrivals) {
        let task = channel.strip_prefix(self.prefix.as_bytes());
        // Another node takes it, or nobody.
        if let Some(task) = task
            && self.is_held()
        {
            arrivals.foreign(&String::from_utf8_lossy(task), payload);
        }
    }

    /// Tries to get the lease, and to keep it, as long as a pair of connections serves.
    pub(crate) async fn run(
        &self,
        commands: &Connection,
        subscriber: &Connection,
        arrivals: &Arrivals,
    ) -> Infallible {
        let mut listens = false;
        let mut ticks = interval(RENEWED_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let holds = arrivals.is_heard() && self.renew(commands, subscriber).await;
            if holds && !listens {
                listens = heard(subscriber.psubscribe(&self.pattern()).await).is_ok();
            }
            if holds != listens {
                // In this order: what comes from now on is another's, who may listen now.
                *self.until() = None;
                if listens {
                    listens = subscriber.punsubscribe(&self.pattern()).await.is_err();
                }
                let _over = self.ask(commands, subscriber, Duration::ZERO).await;
            }
        }
    }

    /// Tells whether the lease is this node's.
    async fn renew(&self, commands: &Connection, subscriber: &Connection) -> bool {
        let asked = Instant::now();
        match self.ask(commands, subscriber, LEASE).await {
            Ok(true) => {
                *self.until() = Some(asked + LEASE - MARGIN);
                true
            }
            Ok(false) => false,
            // Whoever has it does not know of this either.
            Err(_) => self.is_held(),
        }
    }

    /// Asks for the lease; with no time it is given up.
    async fn ask(
        &self,
        commands: &Connection,
        subscriber: &Connection,
        time: Duration,
    ) -> Result<bool, Failure> {
        let mut call = Function::Ingest.on(&self.key);
        call.arg(&self.holder)
            .arg(u64::try_from(time.as_millis()).unwrap_or(0));
        let answer = Ask::Function(&call).of(commands, subscriber).await;
        Ok(matches!(heard(answer)?, Value::Int(1)))
    }

    fn is_held(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All channels that begin so, whatever it holds.
    fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len() + 1);
        for letter in self.prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern + "*"
    }
}

/// How long a node takes messages without having asked again; then another does.
const LEASE: Duration = Duration::from_secs(3);
const RENEWED_EVERY: Duration = Duration::from_secs(1);
/// How far apart clocks may run in that time.
const MARGIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_is_taken_only_while_the_lease_is_held() {
        use std::{future::poll_fn, pin::pin, task::Poll};

        use futures_core::Stream;

        let keys = Keys::new("pgs");
        let ingest = Ingest::new("progress:", "a", &keys);
        let (arrivals, arriving) = Arrivals::new(keys);
        let mut arriving = pin!(arriving);
        let mut came =
            async || poll_fn(|cx| Poll::Ready(arriving.as_mut().poll_next(cx).is_ready())).await;
        ingest.message(b"progress:t", b"{}".to_vec(), &arrivals);
        assert!(!came().await);
        *ingest.until() = Some(Instant::now() + LEASE);
        ingest.message(b"progress:t", b"{}".to_vec(), &arrivals);
        assert!(came().await);
        ingest.message(b"other:t", b"{}".to_vec(), &arrivals);
        assert!(!came().await);
        *ingest.until() = Some(Instant::now());
        ingest.message(b"progress:t", b"{}".to_vec(), &arrivals);
        assert!(!came().await);
    }

    #[test]
    fn a_prefix_is_meant_as_it_stands() {
        let keys = Keys::new("pgs");
        let pattern = |prefix| Ingest::new(prefix, "a", &keys).pattern();
        assert_eq!(pattern("progress:"), "progress:*");
        assert_eq!(pattern("a*[b]?"), r"a\*\[b\]\?*");
    }
}
