//! The routes that stay open: from a request to a session.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use progress_core::{ChannelName, OnLag, Position, Replay, Resume, SubscribeOptions, TaskId};
use tokio::time::Instant;

use super::{
    Name, Session, Shape,
    machine::{EVENT_STREAM, WEB_SOCKET},
    source::{Opened, Source},
    stream::{Opening, Topic, Wanted},
};
use crate::{
    auth::{Action, Credentials, Principal},
    clients::Seat,
    error::{ApiError, Code},
    gateway::{Gateway, verdict},
    query::{From, Query, starts},
    sse::{EventStream, event_stream_response},
};

impl Gateway {
    /// Opens `GET /ws/progress/{task_id}`. There is always a session: what is wrong with the
    /// request comes as `rejected` and a close code, for a browser cannot see the status of a
    /// refused upgrade. It speaks the first subprotocol of the request's list that is known here;
    /// the handshake's answer has to name the same.
    ///
    /// What [`respond`](Self::respond) alone holds requests to, [`Gateway`] says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn web_socket(&self, request: &Parts, task: &str) -> Session {
        let request = &*self.prepared(request);
        let name = Name::task(task);
        let mut opening = Opening::new(Shape::Socket, request);
        opening.writer = self.writer(request).unwrap_or_default();
        let opened = match self.seat(WEB_SOCKET, request) {
            Ok(seat) => {
                let seat = opening.seat.insert(seat);
                self.try_web_socket(request, &name, seat).await
            }
            Err(error) => Err(error),
        };
        let (after, opened) = match opened {
            Ok((after, opened)) => (after, Ok(opened)),
            Err(error) => {
                if opening.seat.is_some()
                    && may_still_say(request, &error)
                    && let Ok(wanted) = self.wanted(request, &name)
                {
                    return Session::at_the_door(self, opening, request, Some(wanted));
                }
                (None, Err(error))
            }
        };
        let ends = opened
            .as_ref()
            .is_ok_and(|opened| opened.principal.expires_at.is_some());
        let topic = Topic {
            name,
            after,
            opened,
        };
        let session = Session::new(self, opening, vec![topic]);
        if ends {
            // Others may take their place in time.
            return session.with_commands(self, request.clone());
        }
        session
    }

    /// Opens `GET /ws`: a session that watches what its client asks for. Whether that may be watched is
    /// asked then; now only whether somebody may be here at all, see
    /// [`Authorizer::authenticate`](crate::Authorizer::authenticate).
    ///
    /// What [`respond`](Self::respond) alone holds requests to, [`Gateway`] says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn web_sockets(&self, request: &Parts) -> Session {
        let request = &*self.prepared(request);
        let mut opening = Opening::new(Shape::Sockets, request);
        let known = match (self.seat(WEB_SOCKET, request), self.writer(request)) {
            (Ok(seat), Ok(writer)) => {
                (opening.writer, opening.seat) = (writer, Some(seat));
                self.known(request).await
            }
            (Err(error), writer) => {
                opening.writer = writer.unwrap_or_default();
                Err(error)
            }
            (Ok(_), Err(error)) => Err(error),
        };
        match known {
            Ok(principal) => {
                let session = Session::new(self, opening, Vec::new());
                let mut session = session.with_commands(self, request.clone());
                session.on_known(&principal);
                session
            }
            Err(error) if opening.seat.is_some() && may_still_say(request, &error) => {
                Session::at_the_door(self, opening, request, None)
            }
            Err(error) => Session::refused(self, opening, &error),
        }
    }

    /// Opens `GET /sse/progress/{task_id}`.
    ///
    /// What [`respond`](Self::respond) alone holds requests to, [`Gateway`] says.
    ///
    /// # Errors
    ///
    /// The answer to give instead: an error, or 204 if the client already has all there is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn event_stream(
        &self,
        request: &Parts,
        task: &str,
    ) -> Result<Response<EventStream>, Response<Bytes>> {
        let session = self.try_event_stream(request, task).await;
        streamed(session).map_err(|instead| *instead)
    }

    /// Opens `GET /sse?ids=a,b,c&channels=x`.
    ///
    /// What [`respond`](Self::respond) alone holds requests to, [`Gateway`] says.
    ///
    /// # Errors
    ///
    /// The answer to give instead: an error, or 204 if the client already has all there is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn event_streams(
        &self,
        request: &Parts,
    ) -> Result<Response<EventStream>, Response<Bytes>> {
        let session = self.try_event_streams(request).await;
        streamed(session).map_err(|instead| *instead)
    }

    async fn try_web_socket(
        &self,
        request: &Parts,
        name: &Name,
        seat: &mut Seat,
    ) -> Result<(Option<Position>, Opened), ApiError> {
        let (principal, name) = self.watcher(request, name).await?;
        self.claim(seat, &principal)?;
        let Wanted { after, replay, .. } = self.wanted(request, &name)?;
        let source = self.source(&name, after, replay)?;
        Ok((after, Opened { source, principal }))
    }

    /// What the client of a WebSocket for one task came for.
    fn wanted(&self, request: &Parts, name: &Name) -> Result<Wanted, ApiError> {
        let query = Query::of(&request.uri);
        let after = query.after()?;
        self.writer(request)?;
        Ok(Wanted {
            name: name.clone(),
            after,
            replay: query.replay()?,
        })
    }

    async fn try_event_stream(
        &self,
        request: &Parts,
        task: &str,
    ) -> Result<Option<Session>, ApiError> {
        let request = &*self.prepared(request);
        let name = Name::task(task);
        let query = Query::of(&request.uri);
        // The id is judged first, then who asks, then the rest.
        let (principal, _) = self.watcher(request, &name).await?;
        let start = starts(&request.headers, query, 1)?[0];
        let writer = self.writer(request)?;
        let topic = self.begin(principal, name, start, query.replay()?).await;
        if let Err(error) = &topic.opened {
            return Err(error.clone());
        }
        if has_all(start, &topic) {
            return Ok(None);
        }
        let mut seat = self.seat(EVENT_STREAM, request)?;
        if let Ok(opened) = &topic.opened {
            self.claim(&mut seat, &opened.principal)?;
        }
        let opening = Opening {
            writer,
            seat: Some(seat),
            named: query.flag("named"),
            ..Opening::new(Shape::Stream, request)
        };
        Ok(Some(Session::new(self, opening, vec![topic])))
    }

    async fn try_event_streams(&self, request: &Parts) -> Result<Option<Session>, ApiError> {
        let request = &*self.prepared(request);
        let query = Query::of(&request.uri);
        let names = query.topics(self.most_topics()).inspect_err(|error| {
            if error.code() == Code::TooManyTopics {
                self.counts().limited("topics");
            }
        })?;
        let starts = starts(&request.headers, query, names.len())?;
        let replay = query.replay()?;
        let writer = self.writer(request)?;
        let mut all_at_end = true;
        let mut topics = Vec::with_capacity(names.len());
        for (name, start) in names.into_iter().zip(starts) {
            let topic = match self.watcher(request, &name).await {
                Ok((principal, _)) => self.begin(principal, name, start, replay).await,
                Err(error) => Topic {
                    name,
                    after: None,
                    opened: Err(error),
                },
            };
            all_at_end &= has_all(start, &topic);
            topics.push(topic);
        }
        if all_at_end {
            return Ok(None);
        }
        if let Some(error) = refused_alike(&topics) {
            return Err(error);
        }
        let mut seat = self.seat(EVENT_STREAM, request)?;
        for opened in topics.iter().flat_map(|topic| &topic.opened) {
            self.claim(&mut seat, &opened.principal)?;
        }
        let opening = Opening {
            writer,
            seat: Some(seat),
            named: query.flag("named"),
            ..Opening::new(Shape::Streams, request)
        };
        Ok(Some(Session::new(self, opening, topics)))
    }

    /// Begins a topic of an event stream, whose verdict has to be known before the answer.
    async fn begin(&self, principal: Principal, name: Name, start: From, replay: Replay) -> Topic {
        let after = match start {
            From::After(position) => Some(position),
            // Refused before, among others that stand: it may be otherwise by now.
            From::Fresh | From::End => None,
        };
        let opened = match self.source(&name, after, replay) {
            Ok(mut source) => match source.is_known().await {
                Ok(()) => Ok(Opened { source, principal }),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        Topic {
            name,
            after,
            opened,
        }
    }

    /// Asks whether a topic may be watched, and subscribes.
    pub(super) async fn open_topic(
        &self,
        request: &Parts,
        name: &Name,
        after: Option<Position>,
        replay: Replay,
    ) -> Result<Opened, ApiError> {
        let (principal, name) = self.watcher(request, name).await?;
        Ok(Opened {
            source: self.source(&name, after, replay)?,
            principal,
        })
    }

    /// Counts a connection as one of whoever it was opened for.
    fn claim(&self, seat: &mut Seat, principal: &Principal) -> Result<(), ApiError> {
        match &principal.subject {
            Some(subject) => seat.claim(subject, self.counts()),
            None => Ok(()),
        }
    }

    /// Names are judged first, whoever asks; then the authorizer decides.
    pub(super) async fn watcher(
        &self,
        request: &Parts,
        name: &Name,
    ) -> Result<(Principal, Name), ApiError> {
        let action = match name {
            Name::Task(id) => Action::Watch(id.parse()?),
            Name::Channel(channel) => {
                Action::Channel(channel.parse::<ChannelName>()?.as_str().to_owned())
            }
        };
        Ok((self.permitted(request, &action).await?, name.clone()))
    }

    fn source(
        &self,
        name: &Name,
        after: Option<Position>,
        replay: Replay,
    ) -> Result<Source, ApiError> {
        let options = SubscribeOptions::new()
            .buffer(self.lag())
            .on_lag(OnLag::Conflate)
            .replay(replay)
            .after(after);
        Ok(match name {
            Name::Task(id) => {
                let id: TaskId = id.parse()?;
                Source::Task(self.tracker().subscribe_with(id, options))
            }
            Name::Channel(name) => {
                let name: ChannelName = name.parse()?;
                Source::Channel(self.tracker().subscribe_channel(name, options))
            }
        })
    }
}

impl Source {
    /// Waits until it is known what there is of a task.
    async fn is_known(&mut self) -> Result<(), ApiError> {
        match self {
            Self::Task(subscription) => verdict(subscription).await,
            // Its verdict decides about no answer.
            Self::Channel(_) => Ok(()),
        }
    }
}

/// Whether a WebSocket's client was refused for want of credentials that it may still send.
fn may_still_say(request: &Parts, error: &ApiError) -> bool {
    error.code() == Code::Unauthenticated
        && Credentials::of(request).is_some_and(|found| found.is_none)
}

/// When a permission that was given now ends.
pub(crate) fn expiry(principal: &Principal, now: Instant) -> Option<Instant> {
    let left = principal
        .expires_at?
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    now.checked_add(left)
}

/// Whether nothing is to come on a topic for a client that begins there.
fn has_all(start: From, topic: &Topic) -> bool {
    let ended = topic
        .opened
        .as_ref()
        .is_ok_and(|opened| match &opened.source {
            Source::Task(subscription) => subscription.resume() == Some(Resume::Ended),
            Source::Channel(_) => false,
        });
    start == From::End || ended
}

/// Why nothing of what was asked for can be watched, if the same status says so of all.
fn refused_alike(topics: &[Topic]) -> Option<ApiError> {
    let error = topics.first()?.opened.as_ref().err()?;
    let status = error.code().status();
    let is_alike = |topic: &Topic| {
        let refused = topic.opened.as_ref().err();
        refused.is_some_and(|error| error.code().status() == status)
    };
    topics.iter().all(is_alike).then(|| error.clone())
}

/// The answer that an event stream begins with, or that is given instead.
fn streamed(
    session: Result<Option<Session>, ApiError>,
) -> Result<Response<EventStream>, Box<Response<Bytes>>> {
    match session {
        Ok(Some(session)) => Ok(event_stream_response(session)),
        Ok(None) => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Err(Box::new(response))
        }
        Err(error) => Err(Box::new(error.to_response())),
    }
}
