//! What a tracker has counted, taken over into series.

use std::{sync::OnceLock, time::Duration};

use progress_core::{
    ProgressTracker, TrackerStats,
    transport::{ConnectionState, ForeignRefusal, TransportHealth},
};
use tokio::time::{MissedTickBehavior, interval};

use super::series::{Amount, Book, Counters, Following, Gauge, Gauges};
use crate::gateway::WeakGateway;

/// The tracker's own counts, as they were when they were taken last.
pub(super) struct OfTracker {
    counters: Vec<(Following, CountOf)>,
    foreign_refused: Vec<(Following, ForeignRefusal)>,
    amounts: Vec<(Amount, AmountOf)>,
    up: Gauge,
    transport: OfTransport,
}

type CountOf = fn(&TrackerStats) -> u64;
type AmountOf = fn(&TrackerStats) -> usize;

impl OfTracker {
    pub(super) fn new(book: &Book) -> Self {
        let foreign_refused = book.counters(
            "progress_foreign_refused_total",
            "Messages from the broker's other users that were not published, by reason.",
            ["reason"],
        );
        Self {
            counters: COUNTERS
                .map(|(name, help, of)| (Following::new(book.counter(name, help)), of))
                .into(),
            foreign_refused: ForeignRefusal::ALL
                .iter()
                .map(|why| (following(&foreign_refused, [why.as_str()]), *why))
                .collect(),
            amounts: amounts(book),
            up: book.gauge(
                "progress_transport_up",
                "1 if the other nodes can be reached as far as is known, or there are none.",
            ),
            transport: OfTransport::new(book),
        }
    }

    /// Takes the counts over as they are now.
    pub(super) fn take(&self, tracker: &ProgressTracker) {
        let stats = tracker.stats();
        for (counter, of) in &self.counters {
            counter.follow(of(&stats));
        }
        for (counter, why) in &self.foreign_refused {
            counter.follow(stats.foreign.refused(*why));
        }
        for (amount, of) in &self.amounts {
            amount.set(of(&stats) as u64);
        }
        self.up.set(f64::from(u8::from(tracker.is_connected())));
        // What is not known is not told as zero.
        if let Some(health) = tracker.transport_health() {
            self.transport.take(&health);
        }
    }
}

/// Keeps what the tracker counts true where nobody scrapes the gateway: for the recorder of the
/// process, which does not ask. Ends with the gateway.
pub(crate) async fn keep_current(gateway: WeakGateway) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(gateway) = gateway.upgrade() else {
            return;
        };
        gateway.counts().take(gateway.tracker());
    }
}

/// As often as Prometheus scrapes at the least interval that is usual.
const EVERY: Duration = Duration::from_secs(5);

const COUNTERS: [(&str, &str, CountOf); 10] = [
    (
        "progress_reports_refused_total",
        "Reports of handles that were refused without an error to their caller.",
        |stats| stats.refused,
    ),
    (
        "progress_superseded_total",
        "Runs of this node in whose place another run counts.",
        |stats| stats.superseded,
    ),
    (
        "progress_resyncs_total",
        "Times that records from other nodes were found missing and read again.",
        |stats| stats.resyncs,
    ),
    (
        "progress_unreadable_total",
        "Records of the broker that could not be read, as often as they were met.",
        |stats| stats.unreadable,
    ),
    (
        "progress_foreign_accepted_total",
        "Messages from the broker's other users that were published, repetitions included.",
        |stats| stats.foreign.accepted(),
    ),
    (
        "progress_unsent_total",
        "Tasks that were forgotten before the broker had had all of them.",
        |stats| stats.unsent,
    ),
    (
        "progress_broker_refused_total",
        "Events that the broker refused.",
        |stats| stats.refused_by_broker,
    ),
    (
        "progress_transport_holes_total",
        "Times that something had come before what was missing, which was read.",
        |stats| stats.holes,
    ),
    (
        "progress_transport_gaps_total",
        "Times that something which was to come was lost for good, as readers are told.",
        |stats| stats.gaps,
    ),
    (
        "progress_transport_resends_total",
        "Times that a task was told from its start again to a broker that had forgotten it.",
        |stats| stats.resends,
    ),
];

fn amounts(book: &Book) -> Vec<(Amount, AmountOf)> {
    let tasks = book.gauges(
        "progress_tasks",
        "Tasks that are kept, live or ended.",
        ["state"],
    );
    let subscriptions = book.gauges(
        "progress_subscriptions",
        "Subscriptions, to tasks that exist or waiting for one.",
        ["state"],
    );
    let gauge = |name, help| book.gauge(name, help);
    let all: [(Gauge, AmountOf); 8] = [
        (tasks.of(["live"]), |stats| {
            stats.tasks.saturating_sub(stats.ended)
        }),
        (tasks.of(["ended"]), |stats| stats.ended),
        (subscriptions.of(["watching"]), |stats| {
            stats.subscriptions.saturating_sub(stats.waiting)
        }),
        (subscriptions.of(["waiting"]), |stats| stats.waiting),
        (
            gauge(
                "progress_channels",
                "Channels, besides the live list of tasks.",
            ),
            |stats| stats.channels,
        ),
        (
            gauge(
                "progress_log_bytes",
                "Bytes of the events that are kept, about.",
            ),
            |stats| stats.bytes,
        ),
        (
            gauge(
                "progress_transport_outbox_tasks",
                "Tasks of this node with something to tell that the broker has not had yet.",
            ),
            |stats| stats.outbox_tasks,
        ),
        (
            gauge(
                "progress_transport_outbox_events",
                "Events for channels that the broker has not had yet.",
            ),
            |stats| stats.outbox_events,
        ),
    ];
    let amount = |(gauge, of)| (Amount::new(gauge), of);
    all.into_iter().map(amount).collect()
}

fn following<const N: usize>(counters: &Counters<N>, values: [&str; N]) -> Following {
    Following::new(counters.of(values))
}

/// What a transport says of its connections, if it says anything.
struct OfTransport {
    connections: Gauges<2>,
    probe: OnceLock<(Gauge, Gauge)>,
    reconnects: Following,
    dropped: Following,
    malformed: Following,
    book: Book,
}

impl OfTransport {
    fn new(book: &Book) -> Self {
        let counter = |name, help| Following::new(book.counter(name, help));
        Self {
            connections: book.gauges(
                "progress_transport_connection",
                "1 for the state that a connection to the broker is in, else 0.",
                ["connection", "state"],
            ),
            probe: OnceLock::new(),
            reconnects: counter(
                "progress_transport_reconnects_total",
                "Times that a connection to the broker was made in place of one that was lost.",
            ),
            dropped: counter(
                "progress_transport_dropped_total",
                "Messages of other nodes dropped for want of room; their topics were read again.",
            ),
            malformed: counter(
                "progress_transport_malformed_total",
                "Messages that are none that a node publishes.",
            ),
            book: book.clone(),
        }
    }

    fn take(&self, health: &TransportHealth) {
        for (name, connection) in [
            ("publisher", health.publisher),
            ("subscriber", health.subscriber),
        ] {
            for state in [
                ConnectionState::Up,
                ConnectionState::Stale,
                ConnectionState::Down,
            ] {
                let gauge = self.connections.of([name, state.as_str()]);
                gauge.set(f64::from(u8::from(connection.state == state)));
            }
        }
        match health.probe {
            Some(probe) => {
                let (age, round_trip) = self.probe.get_or_init(|| self.of_probe());
                age.set(probe.age.as_secs_f64());
                round_trip.set(probe.round_trip.as_secs_f64());
            }
            // A series cannot be taken back; this is how it says that it has no value.
            None => {
                if let Some((age, round_trip)) = self.probe.get() {
                    age.set(f64::NAN);
                    round_trip.set(f64::NAN);
                }
            }
        }
        self.reconnects.follow(health.reconnects);
        self.dropped.follow(health.dropped);
        self.malformed.follow(health.malformed);
    }

    fn of_probe(&self) -> (Gauge, Gauge) {
        let age = self.book.gauge(
            "progress_transport_probe_age_seconds",
            "How long ago the newest came that this node has published to itself.",
        );
        let round_trip = self.book.gauge(
            "progress_transport_probe_round_trip_seconds",
            "How long that was under way.",
        );
        (age, round_trip)
    }
}
