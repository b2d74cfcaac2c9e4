//! How long a stage has worked on an item, without what it waited for.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::sync::Mutex;

/// Runs while somebody works. Clones are one watch.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch(Arc<Mutex<Time>>);

#[derive(Debug)]
struct Time {
    before: Duration,
    /// None while it stands still.
    since: Option<Instant>,
    waits: usize,
    /// How many work side by side; none for one by itself.
    hands: usize,
}

impl Time {
    /// Stands still while all of them wait.
    fn settle(&mut self) {
        match self.waits < self.hands.max(1) {
            true => drop(self.since.get_or_insert_with(Instant::now)),
            false => self.before += self.since.take().map_or(Duration::ZERO, |at| at.elapsed()),
        }
    }
}

impl Stopwatch {
    /// Starts at zero.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Mutex::new(Time {
            before: Duration::ZERO,
            since: Some(Instant::now()),
            waits: 0,
            hands: 0,
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
        time.settle();
        Held(self.clone())
    }

    /// Counts one of several who work side by side until the guard is dropped: it takes all of them to
    /// hold the watch.
    #[cfg(any(test, all(feature = "__runtime", feature = "audio")))]
    pub(crate) fn hand(&self) -> Hand {
        let mut time = self.0.lock();
        time.hands += 1;
        time.settle();
        Hand(self.clone())
    }
}

/// Something is waited for.
#[derive(Debug)]
pub(crate) struct Held(Stopwatch);

impl Drop for Held {
    fn drop(&mut self) {
        let mut time = self.0.0.lock();
        time.waits -= 1;
        time.settle();
    }
}

/// One of several who work side by side.
#[cfg(any(test, all(feature = "__runtime", feature = "audio")))]
#[derive(Debug)]
pub(crate) struct Hand(Stopwatch);

#[cfg(any(test, all(feature = "__runtime", feature = "audio")))]
impl Drop for Hand {
    fn drop(&mut self) {
        let mut time = self.0.0.lock();
        time.hands -= 1;
        time.settle();
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

    #[tokio::test(start_paused = true)]
    async fn of_two_who_work_side_by_side_both_have_to_wait() {
        let seconds = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        let watch = Stopwatch::start();
        let (one, other) = (watch.hand(), watch.hand());
        let waits = watch.hold();
        seconds(1).await;
        let also = watch.hold();
        seconds(2).await;
        drop(also);
        seconds(4).await;
        // Who is done does not work, and the other waits.
        drop(other);
        seconds(8).await;
        drop(waits);
        seconds(16).await;
        drop(one);
        seconds(32).await;
        assert_eq!(watch.elapsed(), Duration::from_secs(1 + 4 + 16 + 32));
    }
}
