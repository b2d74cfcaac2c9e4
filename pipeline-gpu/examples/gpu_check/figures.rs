//! Times, as they are told.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The least, the median and the most of some times.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) min: Duration,
    pub(crate) median: Duration,
    pub(crate) max: Duration,
    pub(crate) count: usize,
}

impl Figures {
    /// None of no times.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        Some(Self {
            min: *times.first()?,
            median: times[times.len() / 2],
            max: *times.last()?,
            count: times.len(),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min, median, max, ..
        } = self;
        let [min, median, max] = [min, median, max].map(|time| millis(*time));
        write!(f, "min {min}, median {median}, max {max} of {}", self.count)
    }
}

/// `12.34 ms`.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// What `work` gives, and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}
