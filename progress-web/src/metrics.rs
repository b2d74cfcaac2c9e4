//! What is counted, and how it is told to Prometheus.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use http::{Method, StatusCode};
use progress_core::{ProgressTracker, TrackerStats, transport::ForeignRefusal};
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

/// The counts of one gateway, in a registry of its own: two gateways of a process do not mix.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    sessions: IntGaugeVec,
    closes: IntCounterVec,
    published: IntCounter,
    refused: IntCounter,
    /// Taken from the tracker when they are asked for, one scrape at a time.
    tracker: Mutex<OfTracker>,
}

/// The tracker's own counts, as they were at the last scrape.
struct OfTracker {
    tasks: IntGaugeVec,
    channels: IntGauge,
    subscriptions: IntGaugeVec,
    bytes: IntGauge,
    connected: IntGauge,
    reports_refused: IntCounter,
    superseded: IntCounter,
    resyncs: IntCounter,
    unreadable: IntCounter,
    foreign_accepted: IntCounter,
    foreign_refused: IntCounterVec,
    unsent: IntCounter,
    broker_refused: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        Self {
            requests: counters(
                all,
                "progress_http_requests_total",
                "Requests that were answered, by route, method and status.",
                &["route", "method", "status"],
            ),
            sessions: gauges(
                all,
                "progress_sessions",
                "Open connections, by kind.",
                &["kind"],
            ),
            closes: counters(
                all,
                "progress_session_closes_total",
                "Connections that the server has closed, by kind and close code.",
                &["kind", "code"],
            ),
            published: counter(
                all,
                "progress_events_published_total",
                "Events from outside that stand in a log, repetitions included.",
            ),
            refused: counter(
                all,
                "progress_events_refused_total",
                "Events from outside that were read and refused.",
            ),
            tracker: Mutex::new(OfTracker::new(all)),
            registry,
        }
    }

    pub(crate) fn answered(&self, route: &str, method: &Method, status: StatusCode) {
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::DELETE => method.as_str(),
            // Clients can make methods up.
            _ => "other",
        };
        self.requests
            .with_label_values(&[route, method, status.as_str()])
            .inc();
    }

    pub(crate) fn published(&self, accepted: usize, refused: usize) {
        self.published.inc_by(accepted as u64);
        self.refused.inc_by(refused as u64);
    }

    /// One connection of a kind, as long as it is held.
    pub(crate) fn session(&self, kind: &'static str) -> Counted {
        let gauge = self.sessions.with_label_values(&[kind]);
        gauge.inc();
        Counted(gauge)
    }

    pub(crate) fn closed(&self, kind: &'static str, code: u16) {
        self.closes
            .with_label_values(&[kind, &code.to_string()])
            .inc();
    }

    /// Prometheus' text format, version 0.0.4.
    pub(crate) fn render(&self, tracker: &ProgressTracker) -> String {
        // Counts cannot be left half changed.
        let of_tracker = self.tracker.lock();
        let of_tracker = of_tracker.unwrap_or_else(PoisonError::into_inner);
        of_tracker.take(tracker.stats(), tracker.is_connected());
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("metrics have names and a text takes all of them")
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("published", &self.published.get())
            .field("refused", &self.refused.get())
            .finish_non_exhaustive()
    }
}

impl OfTracker {
    fn new(all: &Registry) -> Self {
        Self {
            tasks: gauges(
                all,
                "progress_tasks",
                "Tasks that are kept, live or ended.",
                &["state"],
            ),
            channels: gauge(
                all,
                "progress_channels",
                "Channels, besides the live list of tasks.",
            ),
            subscriptions: gauges(
                all,
                "progress_subscriptions",
                "Subscriptions, to tasks that exist or waiting for one.",
                &["state"],
            ),
            bytes: gauge(
                all,
                "progress_log_bytes",
                "Bytes of the events that are kept, about.",
            ),
            connected: gauge(
                all,
                "progress_transport_up",
                "1 if the other nodes can be reached as far as is known, or there are none.",
            ),
            reports_refused: counter(
                all,
                "progress_reports_refused_total",
                "Reports of handles that were refused without an error to their caller.",
            ),
            superseded: counter(
                all,
                "progress_superseded_total",
                "Runs of this node in whose place another run counts.",
            ),
            resyncs: counter(
                all,
                "progress_resyncs_total",
                "Times that records from other nodes were found missing and read again.",
            ),
            unreadable: counter(
                all,
                "progress_unreadable_total",
                "Records of the broker that could not be read, as often as they were met.",
            ),
            foreign_accepted: counter(
                all,
                "progress_foreign_accepted_total",
                "Messages from the broker's other users that were published, repetitions included.",
            ),
            foreign_refused: counters(
                all,
                "progress_foreign_refused_total",
                "Messages from the broker's other users that were not published, by reason.",
                &["reason"],
            ),
            unsent: counter(
                all,
                "progress_unsent_total",
                "Tasks that were forgotten before the broker had had all of them.",
            ),
            broker_refused: counter(
                all,
                "progress_broker_refused_total",
                "Events that the broker refused.",
            ),
        }
    }

    fn take(&self, stats: TrackerStats, connected: bool) {
        let live = stats.tasks.saturating_sub(stats.ended);
        set(&self.tasks.with_label_values(&["live"]), live);
        set(&self.tasks.with_label_values(&["ended"]), stats.ended);
        set(&self.channels, stats.channels);
        let watching = stats.subscriptions.saturating_sub(stats.waiting);
        set(
            &self.subscriptions.with_label_values(&["watching"]),
            watching,
        );
        set(
            &self.subscriptions.with_label_values(&["waiting"]),
            stats.waiting,
        );
        set(&self.bytes, stats.bytes);
        self.connected.set(connected.into());
        for (counter, now) in [
            (&self.reports_refused, stats.refused),
            (&self.superseded, stats.superseded),
            (&self.resyncs, stats.resyncs),
            (&self.unreadable, stats.unreadable),
            (&self.foreign_accepted, stats.foreign.accepted()),
            (&self.unsent, stats.unsent),
            (&self.broker_refused, stats.refused_by_broker),
        ] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        for why in ForeignRefusal::ALL {
            let counter = self.foreign_refused.with_label_values(&[why.as_str()]);
            let now = stats.foreign.refused(why);
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn set(gauge: &IntGauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

fn registered<C: Collector + Clone + 'static>(all: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("names and labels are valid: they are written in this file");
    all.register(Box::new(made.clone()))
        .expect("names are registered once, in a registry of their own");
    made
}

fn counter(all: &Registry, name: &str, help: &str) -> IntCounter {
    registered(all, IntCounter::with_opts(Opts::new(name, help)))
}

fn counters(all: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(all, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(all: &Registry, name: &str, help: &str) -> IntGauge {
    registered(all, IntGauge::with_opts(Opts::new(name, help)))
}

fn gauges(all: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(all, IntGaugeVec::new(Opts::new(name, help), labels))
}
