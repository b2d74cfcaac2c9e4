//! How much a client may say.

use std::time::Duration;

use tokio::time::Instant;

/// A burst, then so many a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageRate {
    pub(crate) burst: u32,
    pub(crate) per_minute: u32,
}

/// Counts messages against a [`MessageRate`], as a bucket that fills up again with time. What a
/// client is asked for is not counted: it can answer each heartbeat, however often they come.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: MessageRate,
    /// Answers that are asked for and have not come.
    asked: u32,
    /// When it is full again: a time in place of a level, so that nothing needs to be refilled.
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: MessageRate, now: Instant) -> Self {
        Self {
            rate,
            asked: 0,
            full_at: now,
        }
    }

    /// Takes one message.
    ///
    /// # Errors
    ///
    /// How long until there would be room, if it is one too many.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let each = Duration::from_secs(60) / self.rate.per_minute.max(1);
        let full_at = self.full_at.max(now) + each;
        let wait = full_at.saturating_duration_since(now + each * self.rate.burst.max(1));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Takes one sign of life, which is an answer if one is asked for, else a message.
    ///
    /// # Errors
    ///
    /// As of [`take`](Self::take).
    pub(super) fn take_answer(&mut self, now: Instant) -> Result<(), Duration> {
        match self.asked.checked_sub(1) {
            Some(left) => {
                self.asked = left;
                Ok(())
            }
            None => self.take(now),
        }
    }

    /// Something was sent that the client may answer.
    pub(super) fn ask(&mut self) {
        self.asked = self.asked.saturating_add(1);
    }

    /// The rate that it counts against.
    pub(super) fn rate(&self) -> MessageRate {
        self.rate
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
        assert!((0..200).all(|_| bucket.take(now).is_ok()));
        assert_eq!(bucket.take(now), Err(Duration::from_millis(600)));
        let early = now + Duration::from_millis(599);
        assert_eq!(bucket.take(early), Err(Duration::from_millis(1)));
        assert_eq!(bucket.take(now + Duration::from_millis(600)), Ok(()));
        let later = now + Duration::from_secs(61);
        assert_eq!(
            (0..).take_while(|_| bucket.take(later).is_ok()).count(),
            100
        );
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_asked_for_are_not_counted_and_others_are() {
        let now = Instant::now();
        let rate = MessageRate {
            burst: 1,
            per_minute: 1,
        };
        let mut bucket = Bucket::new(rate, now);
        for _ in 0..1_000 {
            bucket.ask();
            bucket.ask();
            assert_eq!(bucket.take_answer(now), Ok(()));
            assert_eq!(bucket.take_answer(now), Ok(()));
        }
        assert_eq!(bucket.take_answer(now), Ok(()));
        assert!(bucket.take_answer(now).is_err());
        bucket.ask();
        assert!(bucket.take(now).is_err(), "no other message is an answer");
    }
}
