//! How a session begins: with topics, at the door, or with a refusal.

use std::sync::Arc;

use http::request::Parts;
use progress_core::{Position, Replay};
use tokio::time::{Instant, sleep_until};

use super::Session;
use crate::{
    access::SessionLog,
    auth::Credentials,
    clients::{Seat, jitter},
    error::ApiError,
    gateway::Gateway,
    session::{
        flight::Flights,
        machine::{Effect, Machine, Shape},
        source::{Frames, Opened},
        topic::Name,
        writer::Writer,
    },
};

/// A topic of a session that begins: its name, where its client stands, and its subscription or
/// why there is none.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Name,
    pub(crate) after: Option<Position>,
    pub(crate) opened: Result<Opened, ApiError>,
}

/// What a session begins with, besides its topics.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) shape: Shape,
    pub(crate) writer: Writer,
    pub(crate) seat: Option<Seat>,
    /// Whether frames tell their type apart from their text.
    pub(crate) named: bool,
    /// Whether credentials came by a way that only an option allows.
    pub(in crate::session) is_legacy: bool,
}

impl Opening {
    pub(crate) fn new(shape: Shape, request: &Parts) -> Self {
        Self {
            shape,
            writer: Writer::default(),
            seat: None,
            named: false,
            is_legacy: Credentials::of(request).is_some_and(|found| found.is_legacy),
        }
    }
}

/// What a client came for of whom nothing is known yet.
#[derive(Debug)]
pub(in crate::session) struct Wanted {
    pub(in crate::session) name: Name,
    pub(in crate::session) after: Option<Position>,
    pub(in crate::session) replay: Replay,
}

impl Session {
    pub(crate) fn new(gateway: &Gateway, opening: Opening, topics: Vec<Topic>) -> Self {
        let mut session = Self::bare(gateway, opening);
        // All before the first answer, so that the first refusal does not find every topic so far
        // over.
        let mut answers = Vec::with_capacity(topics.len());
        for topic in topics {
            let key = session.machine.add_topic(topic.name, topic.after, None);
            answers.push((key, topic.opened));
        }
        session.machine.greet();
        for (key, opened) in answers {
            session.on_opened(key, opened);
        }
        session
    }

    /// One that watches nothing yet and has said nothing.
    fn bare(gateway: &Gateway, opening: Opening) -> Self {
        let Opening {
            shape,
            writer,
            seat,
            named,
            is_legacy,
        } = opening;
        let now = Instant::now();
        let mut session = Self {
            machine: Machine::new(
                shape,
                writer,
                gateway.pace(),
                gateway.node(),
                named,
                is_legacy,
                now,
            ),
            sources: Vec::new(),
            first: 0,
            timer: Box::pin(sleep_until(now)),
            frames: Frames::default(),
            yielded: false,
            more: false,
            topics_changed: false,
            gateway: gateway.downgrade(),
            flights: None,
            seat,
            counts: Arc::clone(gateway.counts()),
            log: SessionLog::new(shape.kind()),
        };
        session.machine.trace = session.log.trace;
        if let Some(seat) = &session.seat {
            session.machine.retire(jitter(seat.client().number), now);
        }
        session
    }

    /// A session whose client has yet to say who it is, on behalf of whose request it then asks.
    pub(in crate::session) fn at_the_door(
        gateway: &Gateway,
        opening: Opening,
        request: &Parts,
        wanted: Option<Wanted>,
    ) -> Self {
        let now = Instant::now();
        let mut session = Self::bare(gateway, opening);
        let machine = &mut session.machine;
        let wants = wanted.map(|wanted| Effect::Subscribe {
            topic: machine.add_topic(wanted.name.clone(), wanted.after, None),
            name: wanted.name,
            after: wanted.after,
            replay: wanted.replay,
        });
        machine.wait_for_credentials(wants, now);
        session.with_commands(gateway, request.clone())
    }

    /// A session of nobody, which says why and closes.
    pub(crate) fn refused(gateway: &Gateway, opening: Opening, error: &ApiError) -> Self {
        let mut session = Self::bare(gateway, opening);
        session.machine.on_dismissed(error);
        // Without a seat that is the reason, and is counted.
        if session.seat.is_some() {
            session.counts.connection_refused(error.code());
        }
        session
    }

    /// Has the client's commands carried out, on behalf of the request that opened the session.
    pub(crate) fn with_commands(mut self, gateway: &Gateway, request: Parts) -> Self {
        self.flights = Some(Box::new(Flights::new(gateway.downgrade(), request)));
        self
    }
}
