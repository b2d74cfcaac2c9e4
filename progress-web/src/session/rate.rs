//! How much a client may say.

use std::time::Duration;

use tokio::time::Instant;

/// A burst, then so many a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageRate {
    pub(crate) burst: u32,
    pub(crate) per_minute: u32,
}

/// Counts messages against a [`MessageRate`], as a bucket that fills up again with time.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: MessageRate,
    /// When it is full again: a time in place of a level, so that nothing needs to be refilled.
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: MessageRate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Takes one message; false if it is one too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(60) / self.rate.per_minute.max(1);
        let full_at = self.full_at.max(now) + each;
        if full_at > now + each * self.rate.burst.max(1) {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn burst_is_allowed_and_then_so_many_a_minute() {
        let now = Instant::now();
        let rate = MessageRate {
            burst: 200,
            per_minute: 100,
        };
        let mut bucket = Bucket::new(rate, now);
        assert!((0..200).all(|_| bucket.take(now)));
        assert!(!bucket.take(now));
        assert!(!bucket.take(now + Duration::from_millis(599)));
        assert!(bucket.take(now + Duration::from_millis(600)));
        let later = now + Duration::from_secs(61);
        assert_eq!((0..).take_while(|_| bucket.take(later)).count(), 100);
    }
}
