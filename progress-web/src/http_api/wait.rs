//! A poll that is held until there is something to tell.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use http::{header, request::Parts};
use progress_core::{Frame, LookupError, Replay, Snapshot, SubscribeOptions, Subscription, TaskId};
use tokio::time::{Instant, timeout_at};

use super::task::is_known;
use crate::{
    auth::Principal,
    clients::draining,
    error::{ApiError, Code},
    gateway::Gateway,
    query::Query,
    session::expiry,
};

impl Gateway {
    /// Gives a task's snapshot once it differs from what the client knows by `If-None-Match`;
    /// without that, once something has happened; at once if the task has ended; as it stands when
    /// the time is up or a drain begins. A task that does not exist is waited for.
    pub(super) async fn held(
        &self,
        id: &TaskId,
        request: &Parts,
        principal: &Principal,
        wait: Duration,
    ) -> Result<Snapshot, ApiError> {
        let now = Instant::now();
        // To the end of the credentials, if that comes first.
        let until = [Some(now + wait), expiry(principal, now)];
        let until = until.into_iter().flatten().min().unwrap_or(now);
        // It holds a connection, so it is one.
        let mut place = self.poll_permit(request)?;
        if let Some(subject) = &principal.subject {
            place.claim(subject, self.counts())?;
        }
        let headers = &request.headers;
        let options = SubscribeOptions::new().replay(Replay::None);
        let mut events = self.subscribe(id.clone(), options).await?;
        let mut standing = None;
        loop {
            let snapshot = match self.tracker().snapshot(id).await {
                Ok(snapshot) => Some(snapshot),
                Err(LookupError::NotFound(_)) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(snapshot) = snapshot {
                let position = snapshot.position();
                let changed = match headers.contains_key(header::IF_NONE_MATCH) {
                    true => !is_known(headers, position),
                    false => standing.is_some_and(|standing| standing != Some(position)),
                };
                if changed || snapshot.state.is_ended() {
                    return Ok(snapshot);
                }
                standing = standing.or(Some(Some(position)));
            } else {
                // Its first event is a change.
                standing = Some(None);
            }
            let happened = pin!(happened(&mut events, until));
            let drains = pin!(self.registry().drain_begun());
            match select(happened, drains).await {
                Either::Left((Ok(true), _)) => {}
                Either::Left((Err(error), _)) => return Err(error),
                // As it is by now: what came last may have come with the end of the time.
                Either::Left((Ok(false), _)) => return Ok(self.tracker().snapshot(id).await?),
                Either::Right(_) => {
                    let snapshot = self.tracker().snapshot(id).await;
                    // That it does not exist is not known before the time is up.
                    return snapshot.map_err(|_| draining());
                }
            }
        }
    }
}

/// Waits until something has happened; tells whether it did in time, and more can.
async fn happened(events: &mut Subscription, until: Instant) -> Result<bool, ApiError> {
    loop {
        match timeout_at(until, events.next()).await {
            Err(_) => return Ok(false),
            // Where the task stood when the wait began.
            Ok(Some(Frame::Verdict(_))) => {}
            Ok(Some(Frame::Rejected(error))) => return Err(error.into()),
            Ok(Some(_)) => return Ok(true),
            // Nothing more is to come.
            Ok(None) => return Ok(false),
        }
    }
}

impl Query<'_> {
    /// `?wait=`: `25s`, `25` (seconds) or `500ms`, cut to [`LONGEST`].
    pub(super) fn wait(self) -> Result<Option<Duration>, ApiError> {
        let Some(text) = self.text("wait") else {
            return Ok(None);
        };
        let (number, unit): (&str, fn(u64) -> Duration) =
            if let Some(number) = text.strip_suffix("ms") {
                (number, Duration::from_millis)
            } else {
                let number = text.strip_suffix('s').unwrap_or(&text);
                (number, Duration::from_secs)
            };
        match number.parse() {
            // A sign is no digit.
            Ok(number) if text.starts_with(|first: char| first.is_ascii_digit()) => {
                Ok(Some(unit(number).min(LONGEST)))
            }
            _ => Err(
                ApiError::new(Code::InvalidQuery, "wait is of the form 25s, 25 or 500ms")
                    .field("wait"),
            ),
        }
    }
}

/// Below what proxies allow a request to take.
const LONGEST: Duration = Duration::from_secs(60);
