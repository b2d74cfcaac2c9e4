//! What is delivered to clients: noted by frame, counted by batch.

use progress_core::{Resume, Seq, Timestamp};

use super::series::{Book, Counter, Counters, Histogram};
use crate::error::Code;

/// What a session has said since its last batch was counted. Plain numbers of one session: a frame
/// costs some additions, no atomic, no clock, no allocation.
#[derive(Debug)]
pub(crate) struct Tally {
    frames: u64,
    conflated: u64,
    dropped_logs: u64,
    gaps: u64,
    resets: u64,
    resumes: [u16; RESUMES.len()],
    rejected: Vec<Code>,
    /// What was published before is no news, but what a client is told first.
    live_since: i64,
    /// When the oldest of what is news was published, in milliseconds; of what is gathered.
    oldest: i64,
    /// Of what was yielded and is not yet written.
    in_flight: i64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            frames: 0,
            conflated: 0,
            dropped_logs: 0,
            gaps: 0,
            resets: 0,
            resumes: [0; RESUMES.len()],
            rejected: Vec::new(),
            live_since: i64::MAX,
            oldest: NOTHING,
            in_flight: NOTHING,
        }
    }
}

impl Tally {
    /// A frame for the client, be it an event or not.
    pub(crate) fn frame(&mut self) {
        self.frames += 1;
    }

    /// An event, which stands for `from..=seq`.
    pub(crate) fn event(&mut self, from: Seq, seq: Seq, dropped_logs: u32, published: Timestamp) {
        self.conflated += seq.get().saturating_sub(from.get());
        self.dropped_logs += u64::from(dropped_logs);
        let published = published.as_millis();
        if published >= self.live_since {
            self.oldest = self.oldest.min(published);
        }
    }

    pub(crate) fn gap(&mut self) {
        self.gaps += 1;
    }

    pub(crate) fn reset(&mut self) {
        self.resets += 1;
    }

    /// A subscription knows how it goes on. From now on what is published is news.
    pub(crate) fn verdict(&mut self, resume: Resume) {
        if let Some(index) = RESUMES.iter().position(|known| *known == resume) {
            self.resumes[index] = self.resumes[index].saturating_add(1);
        }
        self.live_since = Timestamp::now().as_millis();
    }

    pub(crate) fn rejected(&mut self, code: Code) {
        self.rejected.push(code);
    }

    /// Hands in what a batch was; returns how many frames it had.
    pub(super) fn hand_in(&mut self, delivery: &Delivery, kind: Kind) -> u64 {
        let frames = std::mem::take(&mut self.frames);
        let counts = [
            (&kind.of(&delivery.kinds).frames, frames),
            (&delivery.conflated, std::mem::take(&mut self.conflated)),
            (
                &delivery.dropped_logs,
                std::mem::take(&mut self.dropped_logs),
            ),
            (&delivery.gaps, std::mem::take(&mut self.gaps)),
            (&delivery.resets, std::mem::take(&mut self.resets)),
        ];
        let resumes = delivery.resumes.iter().zip(&mut self.resumes);
        let resumes = resumes.map(|(counter, count)| (counter, u64::from(std::mem::take(count))));
        // What did not happen costs no atomic either.
        for (counter, count) in counts.into_iter().chain(resumes) {
            if count > 0 {
                counter.add(count);
            }
        }
        for code in std::mem::take(&mut self.rejected) {
            delivery.rejected.of([code.as_str()]).add(1);
        }
        self.in_flight = self.in_flight.min(self.oldest);
        self.oldest = NOTHING;
        frames
    }

    /// What was handed in is with the socket, or the server's body.
    pub(super) fn written(&mut self, delivery: &Delivery, kind: Kind) {
        if self.in_flight == NOTHING {
            return;
        }
        let published = std::mem::replace(&mut self.in_flight, NOTHING);
        let late = Timestamp::now().as_millis().saturating_sub(published);
        // Another node's clock may be ahead.
        kind.of(&delivery.kinds)
            .latency
            .record(late.max(0) as f64 / 1_000.0);
    }
}

/// Later than everything.
const NOTHING: i64 = i64::MAX;

const RESUMES: [Resume; 6] = [
    Resume::Unknown,
    Resume::Reset,
    Resume::Ended,
    Resume::Gap,
    Resume::Resumed,
    Resume::Fresh,
];

/// What a connection is, as an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(usize);

impl Kind {
    pub(super) fn find(name: &str) -> Self {
        Self(usize::from(name != KINDS[0]))
    }

    pub(super) fn of<T>(self, each: &[T; KINDS.len()]) -> &T {
        &each[self.0]
    }
}

/// Those that frames are delivered to.
pub(super) const KINDS: [&str; 2] = ["websocket", "event_stream"];

/// The series of it.
pub(super) struct Delivery {
    kinds: [OfKind; KINDS.len()],
    conflated: Counter,
    dropped_logs: Counter,
    gaps: Counter,
    resets: Counter,
    resumes: [Counter; RESUMES.len()],
    rejected: Counters<1>,
}

struct OfKind {
    frames: Counter,
    latency: Histogram,
}

impl Delivery {
    pub(super) fn new(book: &Book) -> Self {
        let frames = book.counters(
            "progress_frames_sent_total",
            "Frames that were given to connections, by kind.",
            ["kind"],
        );
        let latency = book.histograms(
            LATENCY,
            "From when an event was published to when its batch was with the socket: of each batch the oldest event published while the connection watched.",
            ["kind"],
        );
        let resumes = book.counters(
            "progress_resumes_total",
            "Verdicts on where subscriptions of clients go on.",
            ["resume"],
        );
        Self {
            kinds: KINDS.map(|kind| OfKind {
                frames: frames.of([kind]),
                latency: latency.of([kind]),
            }),
            conflated: book.counter(
                "progress_events_conflated_total",
                "Numbers of events that clients were given a newer event in place of.",
            ),
            dropped_logs: book.counter(
                "progress_logs_dropped_total",
                "Log lines that were gone before a client had them, as it was told.",
            ),
            gaps: book.counter(
                "progress_gaps_total",
                "Gaps that clients were told of: events that were gone for good before they had them.",
            ),
            resets: book.counter(
                "progress_resets_total",
                "Times that clients were moved to another run of their task.",
            ),
            resumes: RESUMES.map(|resume| resumes.of([resume.as_str()])),
            rejected: book.counters(
                "progress_rejected_total",
                "Topics and commands that were refused on open connections, by code.",
                ["code"],
            ),
        }
    }
}

pub(super) const LATENCY: &str = "progress_delivery_latency_seconds";
