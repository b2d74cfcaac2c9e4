//! How long a stage has worked on an item, without what it waited for.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::sync::Mutex;

/// Runs while nobody waits. Clones are one watch.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch(Arc<Mutex<Time>>);

#[derive(Debug)]
struct Time {
    before: Duration,
    /// None while it stands still.
    since: Option<Instant>,
    waits: usize,
}

impl Stopwatch {
    /// Starts at zero.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Mutex::new(Time {
            before: Duration::ZERO,
            since: Some(Instant::now()),
            waits: 0,
        })))
    }

    /// Begins again at zero, for another attempt.
    pub(crate) fn restart(&self) {
        let mut time = self.0.lock();
        time.before = Duration::ZERO;
        if time.since.is_some() {
            time.since = Some(Instant::now());
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let time = self.0.lock();
        time.before + time.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Holds the watch until the guard is dropped.
    pub(crate) fn hold(&self) -> Held {
        let mut time = self.0.lock();
        time.waits += 1;
        if let Some(since) = time.since.take() {
            time.before += since.elapsed();
        }
        Held(self.clone())
    }
}

/// Something is waited for.
#[derive(Debug)]
pub(crate) struct Held(Stopwatch);

impl Drop for Held {
    fn drop(&mut self) {
        let mut time = self.0.0.lock();
        time.waits -= 1;
        if time.waits == 0 {
            time.since = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_do_not_count_even_if_they_overlap() {
        let watch = Stopwatch::start();
        tokio::time::advance(Duration::from_secs(1)).await;
        let one = watch.hold();
        tokio::time::advance(Duration::from_secs(2)).await;
        let other = watch.hold();
        drop(one);
        tokio::time::advance(Duration::from_secs(4)).await;
        drop(other);
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(watch.elapsed(), Duration::from_secs(9));
        watch.restart();
        assert_eq!(watch.elapsed(), Duration::ZERO);
    }
}
