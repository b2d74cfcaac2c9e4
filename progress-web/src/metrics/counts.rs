//! What a gateway counts.

use std::{fmt, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use progress_core::ProgressTracker;
use tokio::time::Instant;

use super::{
    delivery::{Delivery, KINDS, Kind, LATENCY, Tally},
    series::{Book, Counter, Counters, Gauge, Histogram, Histograms},
    tracker::OfTracker,
};
use crate::{access::method_name, error::Code};

/// The counts of one gateway.
pub(crate) struct Metrics {
    book: Book,
    requests: Counters<3>,
    durations: Histograms<1>,
    sessions: [Arc<Sessions>; HELD.len()],
    closes: Counters<2>,
    refused_connections: Counters<1>,
    refusals: Counters<2>,
    late: [Counter; KINDS.len()],
    published: Counter,
    refused: Counter,
    tickets: Counters<1>,
    limited: Counters<1>,
    delivery: Delivery,
    tracker: OfTracker,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let book = Book::new(&[(LATENCY, &MOMENTS), (DURATION, &MOMENTS), (AGE, &AGES)]);
        let late = book.counters(
            "progress_late_total",
            "Times that a connection did not take at once what it was given, and was then brought to the present.",
            ["kind"],
        );
        let open = book.gauges("progress_sessions", "Open connections, by kind.", ["kind"]);
        let ages = book.histograms(
            AGE,
            "How long connections were open that are closed, by kind.",
            ["kind"],
        );
        let metrics = Self {
            requests: book.counters(
                "progress_http_requests_total",
                "Requests that were answered, by route, method and status.",
                ["method", "route", "status"],
            ),
            durations: book.histograms(
                DURATION,
                "How long answers took, to where a body or a connection begins; those that wait for news included.",
                ["route"],
            ),
            sessions: HELD.map(|kind| {
                Arc::new(Sessions {
                    open: open.of([kind]),
                    ages: ages.of([kind]),
                })
            }),
            closes: book.counters(
                "progress_session_closes_total",
                "Connections that the server has closed, by kind and close code.",
                ["code", "kind"],
            ),
            refused_connections: book.counters(
                "progress_connections_refused_total",
                "Connections that were not let in, by reason.",
                ["reason"],
            ),
            refusals: book.counters(
                "progress_authorizer_refusals_total",
                "What the authorizer has refused, by action and reason.",
                ["action", "reason"],
            ),
            late: KINDS.map(|kind| late.of([kind])),
            published: book.counter(
                "progress_events_published_total",
                "Events from outside that stand in a log, repetitions included.",
            ),
            refused: book.counter(
                "progress_events_refused_total",
                "Events from outside that were read and refused.",
            ),
            tickets: book.counters(
                "progress_tickets_total",
                "One-time tickets, by what became of them.",
                ["outcome"],
            ),
            limited: book.counters(
                "progress_limited_total",
                "What was refused at a limit of clients, by limit.",
                ["limit"],
            ),
            delivery: Delivery::new(&book),
            tracker: OfTracker::new(&book),
            book,
        };
        metrics.announce();
        metrics
    }

    /// Registers what has not happened yet: a series that is absent until the first time does not
    /// show that time as an increase.
    fn announce(&self) {
        for reason in REASONS {
            self.refused_connections.of([reason]).add(0);
        }
        for outcome in ["issued", "redeemed", "refused"] {
            self.ticket_counter(outcome).add(0);
        }
        self.limited.of(["message"]).add(0);
    }

    pub(crate) fn answered(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        self.requests
            .of([method_name(method), route, status.as_str()])
            .add(1);
        self.durations.of([route]).record(took.as_secs_f64());
    }

    pub(crate) fn published(&self, accepted: usize, refused: usize) {
        self.published.add(accepted as u64);
        self.refused.add(refused as u64);
    }

    /// One connection of a kind, as long as it is held.
    pub(crate) fn session(&self, kind: &'static str) -> Counted {
        let index = HELD.iter().position(|held| *held == kind);
        let of = Arc::clone(&self.sessions[index.unwrap_or_default()]);
        of.open.add(1.0);
        Counted {
            of,
            since: Instant::now(),
        }
    }

    pub(crate) fn closed(&self, kind: &'static str, code: u16) {
        self.closes.of([&code.to_string(), kind]).add(1);
    }

    /// A connection was not let in, for a reason that is one of its own; others are what was wrong
    /// with the request.
    pub(crate) fn connection_refused(&self, code: Code) {
        let reason = match code {
            Code::ConnectionLimit => "limit",
            Code::Draining => "draining",
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::OriginNotAllowed => "origin",
            _ => return,
        };
        self.refused_connections.of([reason]).add(1);
    }

    pub(crate) fn unauthorized(&self, action: &'static str, code: Code) {
        let reason = match code {
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            _ => "unavailable",
        };
        self.refusals.of([action, reason]).add(1);
    }

    /// A connection did not take at once what it was given.
    pub(crate) fn late(&self, kind: &'static str) {
        Kind::find(kind).of(&self.late).add(1);
    }

    /// Something was refused at a limit of clients.
    pub(crate) fn limited(&self, what: &'static str) {
        self.limited.of([what]).add(1);
    }

    /// What became of a ticket: `issued`, `redeemed` or `refused`.
    pub(crate) fn ticket(&self, outcome: &'static str) {
        self.ticket_counter(outcome).add(1);
    }

    fn ticket_counter(&self, outcome: &'static str) -> Counter {
        self.tickets.of([outcome])
    }

    /// Counts a batch that goes out; returns how many frames it has.
    pub(crate) fn delivers(&self, kind: &'static str, tally: &mut Tally) -> u64 {
        tally.hand_in(&self.delivery, Kind::find(kind))
    }

    /// The batches so far are with the socket.
    pub(crate) fn delivered(&self, kind: &'static str, tally: &mut Tally) {
        tally.written(&self.delivery, Kind::find(kind));
    }

    /// Takes over what the tracker counts, as it is now.
    pub(crate) fn take(&self, tracker: &ProgressTracker) {
        self.tracker.take(tracker);
    }

    /// Prometheus' text format, version 0.0.4.
    pub(crate) fn render(&self, tracker: &ProgressTracker) -> String {
        self.take(tracker);
        self.book.render()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}

/// Connections of one kind.
struct Sessions {
    open: Gauge,
    ages: Histogram,
}

/// One more in a gauge, until it is dropped; then it tells how long that was.
pub(crate) struct Counted {
    of: Arc<Sessions>,
    since: Instant,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.open.add(-1.0);
        self.of.ages.record(self.since.elapsed().as_secs_f64());
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// The kinds of what is held: those that frames are delivered to, and polls.
const HELD: [&str; 3] = [KINDS[0], KINDS[1], "poll"];

const DURATION: &str = "progress_http_request_duration_seconds";
const AGE: &str = "progress_session_duration_seconds";

/// Why a connection is not let in.
const REASONS: [&str; 5] = [
    "limit",
    "draining",
    "unauthenticated",
    "forbidden",
    "origin",
];

/// Upper bounds in seconds: from what a browser draws at once to what a person gives up on.
const MOMENTS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Upper bounds in seconds, to a day.
const AGES: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];
