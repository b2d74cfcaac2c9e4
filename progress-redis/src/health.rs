//! What a shard notices of its own connections, for operators.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use progress_core::{
    Timestamp,
    transport::{
        ConnectionHealth, ConnectionState, LastError, Probe, TransportError, TransportHealth,
    },
};
use tokio::time::Instant;

use crate::client::Failure;

/// What was noticed, in the words of [`TransportHealth`].
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Without a sign of life for so long a connection is stale.
    stale_after: Duration,
    noticed: Mutex<Noticed>,
}

#[derive(Debug)]
struct Noticed {
    connected: bool,
    /// Since when there are connections, or are none.
    since: Timestamp,
    /// Connections that were made, of pairs.
    made: u64,
    /// When the newest probe was answered, and when it came.
    answered: Sign,
    heard: Sign,
    /// The newest probe that was sent, and when.
    sent: Option<(u64, Instant)>,
    round_trip: Option<(Instant, Duration)>,
    last_error: Option<LastError>,
}

/// A sign of life, in the time that is measured and in that which is told.
#[derive(Debug, Clone, Copy)]
struct Sign {
    at: Instant,
    told: Timestamp,
}

impl Sign {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            told: Timestamp::now(),
        }
    }
}

impl Pulse {
    pub(crate) fn new(probe_every: Duration) -> Self {
        let now = Sign::now();
        Self {
            stale_after: probe_every * 2,
            noticed: Mutex::new(Noticed {
                connected: false,
                since: now.told,
                made: 0,
                answered: now,
                heard: now,
                sent: None,
                round_trip: None,
                last_error: None,
            }),
        }
    }

    /// A pair of connections was made.
    pub(crate) fn connected(&self) {
        let mut noticed = self.lock();
        let now = Sign::now();
        noticed.connected = true;
        noticed.since = now.told;
        noticed.made += 1;
        // They have just answered.
        (noticed.answered, noticed.heard) = (now, now);
    }

    /// They are given up, or could not be made.
    pub(crate) fn disconnected(&self) {
        let mut noticed = self.lock();
        if noticed.connected {
            noticed.connected = false;
            noticed.since = Timestamp::now();
        }
    }

    /// Something went wrong.
    pub(crate) fn failed(&self, failure: &Failure) {
        let mut message = failure.to_string();
        if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(end);
        }
        let error = LastError::new(TransportError::new(message), Timestamp::now());
        self.lock().last_error = Some(error);
    }

    pub(crate) fn sent(&self, probe: u64) {
        self.lock().sent = Some((probe, Instant::now()));
    }

    /// Redis has taken a probe.
    pub(crate) fn answered(&self) {
        self.lock().answered = Sign::now();
    }

    /// A probe has come.
    pub(crate) fn heard(&self, probe: u64) {
        let mut noticed = self.lock();
        let now = Sign::now();
        noticed.heard = now;
        if let Some((_, at)) = noticed.sent.take_if(|(sent, _)| *sent == probe) {
            noticed.round_trip = Some((now.at, now.at.duration_since(at)));
        }
    }

    pub(crate) fn read(&self) -> TransportHealth {
        let noticed = self.lock();
        let side = |sign: Sign| match noticed.connected {
            false => ConnectionHealth::new(ConnectionState::Down, noticed.since),
            true if sign.at.elapsed() >= self.stale_after => {
                ConnectionHealth::new(ConnectionState::Stale, sign.told)
            }
            true => ConnectionHealth::new(ConnectionState::Up, noticed.since),
        };
        let mut health = TransportHealth::new(side(noticed.answered), side(noticed.heard));
        let probe = noticed.round_trip;
        health.probe = probe.map(|(came, round_trip)| Probe::new(came.elapsed(), round_trip));
        health.last_error.clone_from(&noticed.last_error);
        health.reconnects = noticed.made.saturating_sub(1);
        health
    }

    fn lock(&self) -> MutexGuard<'_, Noticed> {
        self.noticed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Characters of an error that are shown.
const LONGEST_MESSAGE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn states(pulse: &Pulse) -> (ConnectionState, ConnectionState) {
        let health = pulse.read();
        (health.publisher.state, health.subscriber.state)
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_without_a_sign_of_life_is_stale() {
        use ConnectionState::{Down, Stale, Up};
        let second = Duration::from_secs(1);
        let pulse = Pulse::new(second);
        assert_eq!(states(&pulse), (Down, Down));
        pulse.connected();
        assert_eq!(states(&pulse), (Up, Up));
        assert_eq!(pulse.read().probe, None);
        for probe in 1..=3 {
            tokio::time::sleep(second).await;
            pulse.sent(probe);
            pulse.answered();
        }
        assert_eq!(states(&pulse), (Up, Stale));
        tokio::time::sleep(second / 2).await;
        pulse.heard(3);
        assert_eq!(states(&pulse), (Up, Up));
        let probe = Probe::new(Duration::ZERO, second / 2);
        assert_eq!(pulse.read().probe, Some(probe));
        tokio::time::sleep(second * 2).await;
        assert_eq!(states(&pulse), (Stale, Stale));
        pulse.disconnected();
        assert_eq!(states(&pulse), (Down, Down));
        pulse.connected();
        assert_eq!((states(&pulse), pulse.read().reconnects), ((Up, Up), 1));
    }

    #[tokio::test]
    async fn an_error_is_not_shown_at_length() {
        let pulse = Pulse::new(Duration::from_secs(1));
        pulse.failed(&Failure::Refused("é".repeat(999)));
        let shown = pulse.read().last_error.expect("one").error.to_string();
        assert_eq!(shown.chars().count(), LONGEST_MESSAGE);
    }
}
