//! Series of the `metrics` facade, each told to two recorders.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// The gateway's own recorder, where all series are registered.
#[derive(Clone)]
pub(super) struct Book(Arc<Own>);

struct Own {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Values given to histograms, around and around.
    samples: AtomicU32,
}

impl Drop for Own {
    /// A histogram that is dropped frees its samples only once they were gathered.
    fn drop(&mut self) {
        self.handle.run_upkeep();
    }
}

impl Book {
    /// Makes a recorder whose histograms have these upper bounds.
    pub(super) fn new(buckets: &[(&str, &[f64])]) -> Self {
        let mut builder = PrometheusBuilder::new();
        for (name, bounds) in buckets {
            builder = builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
                .expect("a histogram of ours has buckets");
        }
        let recorder = builder.build_recorder();
        Self(Arc::new(Own {
            handle: recorder.handle(),
            recorder,
            samples: AtomicU32::new(0),
        }))
    }

    pub(super) fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, []).of([])
    }

    pub(super) fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Counters<N> {
        self.both(|recorder| recorder.describe_counter(name.into(), None, help.into()));
        Counters(Family::new(self, name, labels))
    }

    pub(super) fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, []).of([])
    }

    pub(super) fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Gauges<N> {
        self.both(|recorder| recorder.describe_gauge(name.into(), None, help.into()));
        Gauges(Family::new(self, name, labels))
    }

    pub(super) fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Histograms<N> {
        self.both(|recorder| recorder.describe_histogram(name.into(), None, help.into()));
        Histograms(Family::new(self, name, labels))
    }

    /// Prometheus' text format, version 0.0.4.
    pub(super) fn render(&self) -> String {
        self.0.handle.render()
    }

    /// The recorder keeps the values of histograms one by one until somebody scrapes it. Where
    /// nobody does, every so many values are folded into their buckets by who brings the last: that
    /// bounds what is kept, in any runtime or none.
    fn sampled(&self) {
        let samples = self.0.samples.fetch_add(1, Ordering::Relaxed);
        if samples % SAMPLES == SAMPLES - 1 {
            self.0.handle.run_upkeep();
        }
    }

    fn both(&self, tell: impl Fn(&dyn Recorder)) {
        tell(&self.0.recorder);
        metrics::with_recorder(tell);
    }
}

/// Values of histograms that are kept one by one at most: 64 KiB.
const SAMPLES: u32 = 4_096;

/// Series of one name, by the values of its labels.
struct Family<const N: usize> {
    book: Book,
    name: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Family<N> {
    fn new(book: &Book, name: &'static str, labels: [&'static str; N]) -> Self {
        debug_assert!(
            labels.is_sorted(),
            "labels stand in the order of their names"
        );
        Self {
            book: book.clone(),
            name,
            labels,
        }
    }

    /// Registers a series with both recorders.
    fn register<T>(&self, values: [&str; N], of: impl Fn(&dyn Recorder, &Key) -> T) -> Both<T> {
        let labels = self.labels.iter().zip(values);
        let labels = labels
            .map(|(name, value)| Label::new(*name, SharedString::from_owned(value.to_owned())));
        let key = Key::from_parts(self.name, labels.collect::<Vec<_>>());
        Both {
            own: of(&self.book.0.recorder, &key),
            process: metrics::with_recorder(|recorder| of(recorder, &key)),
        }
    }
}

static ABOUT: Metadata<'static> = Metadata::new("progress_web", Level::INFO, Some(module_path!()));

#[derive(Clone)]
struct Both<T> {
    own: T,
    process: T,
}

/// Counters of one name. To be asked for seldom: who counts often keeps what it was given.
pub(super) struct Counters<const N: usize>(Family<N>);

impl<const N: usize> Counters<N> {
    pub(super) fn of(&self, values: [&str; N]) -> Counter {
        let register = |recorder: &dyn Recorder, key: &Key| recorder.register_counter(key, &ABOUT);
        Counter(self.0.register(values, register))
    }
}

#[derive(Clone)]
pub(super) struct Counter(Both<metrics::Counter>);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.own.increment(count);
        self.0.process.increment(count);
    }
}

/// A counter of what something else has counted.
pub(super) struct Following {
    counter: Counter,
    told: AtomicU64,
}

impl Following {
    pub(super) fn new(counter: Counter) -> Self {
        Self {
            counter,
            told: AtomicU64::new(0),
        }
    }

    pub(super) fn follow(&self, now: u64) {
        let told = self.told.fetch_max(now, Ordering::Relaxed);
        if now > told {
            self.counter.add(now - told);
        }
    }
}

/// Gauges of one name.
pub(super) struct Gauges<const N: usize>(Family<N>);

impl<const N: usize> Gauges<N> {
    pub(super) fn of(&self, values: [&str; N]) -> Gauge {
        let register = |recorder: &dyn Recorder, key: &Key| recorder.register_gauge(key, &ABOUT);
        Gauge(self.0.register(values, register))
    }
}

#[derive(Clone)]
pub(super) struct Gauge(Both<metrics::Gauge>);

impl Gauge {
    /// Of what only one gateway of a process can tell.
    pub(super) fn set(&self, now: f64) {
        self.0.own.set(now);
        self.0.process.set(now);
    }

    pub(super) fn add(&self, more: f64) {
        self.0.own.increment(more);
        self.0.process.increment(more);
    }
}

/// A gauge that tells how much there is. With the recorder of the process it is the sum of what its
/// gateways have; what one has had goes with it.
pub(super) struct Amount {
    gauge: Gauge,
    told: AtomicU64,
}

impl Amount {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self {
            gauge,
            told: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, now: u64) {
        let told = self.told.swap(now, Ordering::Relaxed);
        if now != told {
            self.gauge.add(now as f64 - told as f64);
        }
    }
}

impl Drop for Amount {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Histograms of one name.
pub(super) struct Histograms<const N: usize>(Family<N>);

impl<const N: usize> Histograms<N> {
    pub(super) fn of(&self, values: [&str; N]) -> Histogram {
        let register =
            |recorder: &dyn Recorder, key: &Key| recorder.register_histogram(key, &ABOUT);
        Histogram {
            both: self.0.register(values, register),
            book: self.0.book.clone(),
        }
    }
}

#[derive(Clone)]
pub(super) struct Histogram {
    both: Both<metrics::Histogram>,
    book: Book,
}

impl Histogram {
    pub(super) fn record(&self, value: f64) {
        self.both.own.record(value);
        self.both.process.record(value);
        self.book.sampled();
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_nobody_scrapes_take_bounded_memory() {
        let book = Book::new(&[("waits_seconds", &[1.0, 10.0])]);
        let waits = book.histograms("waits_seconds", "Waits.", ["kind"]);
        let (long, short) = (waits.of(["long"]), waits.of(["short"]));
        let record = |count| {
            for _ in 0..count {
                long.record(5.0);
                short.record(0.5);
            }
        };
        record(SAMPLES);
        let kept = allocation_counter::measure(|| record(500_000));
        // One by one they would take 16 MB.
        assert!(kept.bytes_current < 512 * 1024, "{kept:?}");
        assert!(kept.bytes_max < 1024 * 1024, "{kept:?}");
        let count = 500_000 + SAMPLES;
        let told = book.render();
        for line in [
            r#"waits_seconds_bucket{kind="long",le="1"} 0"#.to_owned(),
            format!("waits_seconds_bucket{{kind=\"long\",le=\"10\"}} {count}"),
            format!("waits_seconds_count{{kind=\"short\"}} {count}"),
        ] {
            assert!(told.contains(&line), "{line} in {told}");
        }
    }

    #[test]
    fn counter_that_follows_never_goes_back() {
        let book = Book::new(&[]);
        let counter = Following::new(book.counter("things_total", "Things."));
        for now in [3, 2, 5] {
            counter.follow(now);
        }
        assert!(book.render().contains("things_total 5\n"));
    }
}
