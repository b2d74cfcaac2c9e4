//! What is counted, and how it is told to Prometheus.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use http::{Method, StatusCode};
use progress_core::{
    ProgressTracker, TrackerStats,
    transport::{ConnectionState, ForeignRefusal, TransportHealth},
};
use prometheus::{
    GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};

/// The counts of one gateway, in a registry of its own: two gateways of a process do not mix.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    sessions: IntGaugeVec,
    closes: IntCounterVec,
    published: IntCounter,
    refused: IntCounter,
    limited: IntCounterVec,
    /// Taken from the tracker when they are asked for, one scrape at a time.
    tracker: Mutex<OfTracker>,
}

/// The tracker's own counts, as they were at the last scrape.
struct OfTracker {
    tasks: IntGaugeVec,
    channels: IntGauge,
    subscriptions: IntGaugeVec,
    bytes: IntGauge,
    transport: OfTransport,
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
            limited: counters(
                all,
                "progress_limited_total",
                "Requests, connections and messages that were refused at a limit, by limit.",
                &["limit"],
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

    /// Something was refused at a limit.
    pub(crate) fn limited(&self, what: &'static str) {
        self.limited.with_label_values(&[what]).inc();
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
        let stats = tracker.stats();
        of_tracker.take(stats);
        let health = tracker.transport_health();
        let transport = &of_tracker.transport;
        transport.take(&stats, tracker.is_connected(), health.as_ref());
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
            transport: OfTransport::new(all),
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

    fn take(&self, stats: TrackerStats) {
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
        for (counter, now) in [
            (&self.reports_refused, stats.refused),
            (&self.superseded, stats.superseded),
            (&self.resyncs, stats.resyncs),
            (&self.unreadable, stats.unreadable),
            (&self.foreign_accepted, stats.foreign.accepted()),
            (&self.unsent, stats.unsent),
            (&self.broker_refused, stats.refused_by_broker),
        ] {
            catch_up(counter, now);
        }
        for why in ForeignRefusal::ALL {
            let counter = self.foreign_refused.with_label_values(&[why.as_str()]);
            let now = stats.foreign.refused(why);
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}

/// The way to the other nodes.
struct OfTransport {
    up: IntGauge,
    connections: IntGaugeVec,
    probe_age: GaugeVec,
    round_trip: GaugeVec,
    reconnects: IntCounter,
    dropped: IntCounter,
    malformed: IntCounter,
    outbox_tasks: IntGauge,
    outbox_events: IntGauge,
    holes: IntCounter,
    gaps: IntCounter,
    resends: IntCounter,
}

impl OfTransport {
    fn new(all: &Registry) -> Self {
        Self {
            up: gauge(
                all,
                "progress_transport_up",
                "1 if the other nodes can be reached as far as is known, or there are none.",
            ),
            connections: gauges(
                all,
                "progress_transport_connection",
                "1 for the state that a connection to the broker is in, else 0.",
                &["connection", "state"],
            ),
            probe_age: times(
                all,
                "progress_transport_probe_age_seconds",
                "How long ago the newest came that this node has published to itself.",
            ),
            round_trip: times(
                all,
                "progress_transport_probe_round_trip_seconds",
                "How long that was under way.",
            ),
            reconnects: counter(
                all,
                "progress_transport_reconnects_total",
                "Times that a connection to the broker was made in place of one that was lost.",
            ),
            dropped: counter(
                all,
                "progress_transport_dropped_total",
                "Messages of other nodes dropped for want of room; their topics were read again.",
            ),
            malformed: counter(
                all,
                "progress_transport_malformed_total",
                "Messages that are none that a node publishes.",
            ),
            outbox_tasks: gauge(
                all,
                "progress_transport_outbox_tasks",
                "Tasks of this node with something to tell that the broker has not had yet.",
            ),
            outbox_events: gauge(
                all,
                "progress_transport_outbox_events",
                "Events for channels that the broker has not had yet.",
            ),
            holes: counter(
                all,
                "progress_transport_holes_total",
                "Times that something had come before what was missing, which was read.",
            ),
            gaps: counter(
                all,
                "progress_transport_gaps_total",
                "Times that something which was to come was lost for good, as readers are told.",
            ),
            resends: counter(
                all,
                "progress_transport_resends_total",
                "Times that a task was told from its start again to a broker that had forgotten it.",
            ),
        }
    }

    fn take(&self, stats: &TrackerStats, connected: bool, health: Option<&TransportHealth>) {
        self.up.set(connected.into());
        set(&self.outbox_tasks, stats.outbox_tasks);
        set(&self.outbox_events, stats.outbox_events);
        catch_up(&self.holes, stats.holes);
        catch_up(&self.gaps, stats.gaps);
        catch_up(&self.resends, stats.resends);
        // What is not known is not told as zero.
        self.probe_age.reset();
        self.round_trip.reset();
        let Some(health) = health else {
            return;
        };
        for (name, connection) in [
            ("publisher", health.publisher),
            ("subscriber", health.subscriber),
        ] {
            for state in [
                ConnectionState::Up,
                ConnectionState::Stale,
                ConnectionState::Down,
            ] {
                let gauge = self.connections.with_label_values(&[name, state.as_str()]);
                gauge.set((connection.state == state).into());
            }
        }
        if let Some(probe) = health.probe {
            let none: [&str; 0] = [];
            let age = self.probe_age.with_label_values(&none);
            age.set(probe.age.as_secs_f64());
            let round_trip = self.round_trip.with_label_values(&none);
            round_trip.set(probe.round_trip.as_secs_f64());
        }
        catch_up(&self.reconnects, health.reconnects);
        catch_up(&self.dropped, health.dropped);
        catch_up(&self.malformed, health.malformed);
    }
}

/// Has a counter tell what something else has counted.
fn catch_up(counter: &IntCounter, now: u64) {
    counter.inc_by(now.saturating_sub(counter.get()));
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

fn times(all: &Registry, name: &str, help: &str) -> GaugeVec {
    registered(all, GaugeVec::new(Opts::new(name, help), &[]))
}
