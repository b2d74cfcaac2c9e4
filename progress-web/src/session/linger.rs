//! When a connection sends: at once if it is idle, in batches if it is busy.

use std::time::Duration;

use tokio::time::Instant;

/// Decides when what is ready goes out. A write costs far more than a frame: a connection that was
/// flushed a moment ago gathers until the moment is over, and leaves what happens meanwhile where
/// it is, in the log, so that each topic wakes it once in that time however much is published.
#[derive(Debug)]
pub(super) struct Linger {
    moment: Duration,
    /// Until then the connection counts as flushed a moment ago.
    window: Option<Instant>,
    /// It gathers until then.
    until: Option<Instant>,
    /// Something has to go at once.
    urgent: bool,
    frames: usize,
    bytes: usize,
}

impl Linger {
    pub(super) fn new(moment: Duration) -> Self {
        Self {
            moment,
            window: None,
            until: None,
            urgent: false,
            frames: 0,
            bytes: 0,
        }
    }

    /// What was yielded is with the socket. Where more was ready than a batch holds, the next one
    /// follows without delay.
    pub(super) fn on_flushed(&mut self, now: Instant, more: bool) {
        self.window = (!more).then(|| now + self.moment);
    }

    pub(super) fn push(&mut self, bytes: usize, urgent: bool) {
        self.frames += 1;
        self.bytes += bytes;
        self.urgent |= urgent;
    }

    /// Whether logs are to be read now.
    pub(super) fn may_read(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until) && !self.is_full()
    }

    /// Whether a first event would be held back, so that there is no need to look for a second.
    pub(super) fn is_within_moment(&self, now: Instant) -> bool {
        self.until.is_none() && self.window.is_some_and(|window| now < window)
    }

    /// Whether nothing waits to go out.
    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Whether a batch is as large as one may be.
    pub(super) fn is_full(&self) -> bool {
        self.frames >= FRAMES || self.bytes >= BYTES
    }

    /// Whether what is ready goes out now; if not, [`deadline`](Self::deadline) says when.
    pub(super) fn goes(&mut self, now: Instant) -> bool {
        if self.is_empty() {
            return false;
        }
        let window = self.window.filter(|window| now < *window);
        match window {
            Some(window) if !self.urgent && !self.is_full() => {
                self.until = Some(window);
                false
            }
            _ => true,
        }
    }

    pub(super) fn on_taken(&mut self) {
        (self.until, self.urgent) = (None, false);
        (self.frames, self.bytes) = (0, 0);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

/// The bounds of a batch. One read of a log can go past them, but by no more than that read.
const FRAMES: usize = 256;
const BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_sends_at_once_and_a_busy_one_gathers() {
        let now = Instant::now();
        let mut linger = Linger::new(MOMENT);
        linger.push(100, false);
        assert!(linger.goes(now));
        linger.on_taken();
        linger.on_flushed(now, false);
        linger.push(100, false);
        assert!(!linger.goes(now + millis(1)));
        assert_eq!(linger.deadline(), Some(now + MOMENT));
        assert!(!linger.may_read(now + millis(4)));
        assert!(linger.may_read(now + MOMENT));
        assert!(linger.goes(now + MOMENT));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_urgent_or_large_does_not_wait() {
        let now = Instant::now();
        let flushed = || {
            let mut linger = Linger::new(MOMENT);
            linger.on_flushed(now, false);
            linger
        };
        let mut linger = flushed();
        linger.push(10, false);
        assert!(!linger.goes(now));
        linger.push(10, true);
        assert!(linger.goes(now), "urgent");
        let mut linger = flushed();
        linger.push(BYTES, false);
        assert!(linger.goes(now), "large");
        let mut linger = flushed();
        for _ in 0..FRAMES {
            assert!(!linger.goes(now));
            linger.push(0, false);
        }
        assert!(linger.goes(now), "many");
        assert!(!linger.may_read(now));
    }

    #[tokio::test(start_paused = true)]
    async fn rest_of_what_was_ready_follows_without_delay() {
        let now = Instant::now();
        let mut linger = Linger::new(MOMENT);
        linger.on_flushed(now, true);
        assert!(!linger.is_within_moment(now));
        linger.push(100, false);
        assert!(linger.goes(now));
    }
}
