//! Publishing: events of a task, events of a channel.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};
use progress_core::{
    Channel, ChannelName, EventInput, Position, PublishError, Published, StartError, TaskError,
    TaskId,
};
use serde::Serialize;
use tokio::task::yield_now;

use super::{
    answer,
    items::{Items, read},
    json,
};
use crate::{
    access,
    auth::Action,
    body::RequestBody,
    error::{ApiError, Code},
    gateway::Gateway,
};

impl Gateway {
    /// Answers `POST /tasks/{task_id}/events`: one event, an array of them, or one a line
    /// (`application/x-ndjson`).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open how many of the events are published; with ids they can
    /// be sent again.
    pub async fn publish(&self, request: &Parts, task: &str, body: RequestBody) -> Response<Bytes> {
        answer(self.try_publish(request, task, body).await)
    }

    /// Answers `POST /channels/{name}/events`, with the bodies of
    /// [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn publish_to_channel(
        &self,
        request: &Parts,
        name: &str,
        body: RequestBody,
    ) -> Response<Bytes> {
        answer(self.try_publish_to_channel(request, name, body).await)
    }

    async fn try_publish(
        &self,
        request: &Parts,
        task: &str,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        let id: TaskId = task.parse()?;
        self.allowed(request, Action::Publish(id.clone())).await?;
        let published = self.publish_body(request, &Target::Task(&id), body).await;
        match published {
            // Whether there is such a task comes before what the body is.
            Err(refused) if matches!(refused.code(), Code::InvalidBody | Code::InvalidEvent) => {
                match self.tracker().publish(id, Vec::new()).await {
                    Err(PublishError::NotFound) if self.http().create_on_publish => Err(refused),
                    Err(error) => Err(error.into()),
                    Ok(_) => Err(refused),
                }
            }
            published => published,
        }
    }

    async fn try_publish_to_channel(
        &self,
        request: &Parts,
        name: &str,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        let name: ChannelName = name.parse()?;
        let action = Action::PublishToChannel(name.as_str().to_owned());
        self.allowed(request, action).await?;
        let channel = self.tracker().channel(&name);
        self.publish_body(request, &Target::Channel(&channel), body)
            .await
    }

    async fn publish_body(
        &self,
        request: &Parts,
        target: &Target<'_>,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        let key = idempotency_key(&request.headers)?;
        let body = self.read_body(request, body).await?;
        let items = Items::find(&request.headers, &body, self.http().items)?;
        let tally = match items {
            Items::One(text) => self.publish_one(target, text, key).await?,
            items => {
                if key.is_some() && items.texts().nth(MOST_REMEMBERED).is_some() {
                    return Err(too_many_for_key());
                }
                self.publish_many(target, &items, key).await?
            }
        };
        Ok(json(StatusCode::ACCEPTED, &tally))
    }

    async fn publish_one(
        &self,
        target: &Target<'_>,
        text: &[u8],
        key: Option<&str>,
    ) -> Result<Tally, ApiError> {
        let event = match (read(text)?, key) {
            (event, Some(key)) if !event.has_id() => event.id(key),
            (event, _) => event,
        };
        let mut tally = Tally::default();
        let refused = self.publish_to(target, vec![event], &mut tally).await?;
        match refused.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(tally),
        }
    }

    async fn publish_many(
        &self,
        target: &Target<'_>,
        items: &Items<'_>,
        key: Option<&str>,
    ) -> Result<Tally, ApiError> {
        let mut tally = Tally::default();
        let mut texts = items.texts().enumerate().peekable();
        // Whether the task has been asked anything yet.
        let mut asked = false;
        while !asked || texts.peek().is_some() {
            let mut events = Vec::with_capacity(AT_ONCE);
            let mut places = Vec::with_capacity(AT_ONCE);
            let mut refused = Vec::new();
            for (index, text) in texts.by_ref().take(AT_ONCE) {
                match read(text) {
                    Err(error) => refused.push((index, error)),
                    Ok(event) => {
                        events.push(match key {
                            Some(key) if !event.has_id() => event.id(format!("{key}/{index}")),
                            _ => event,
                        });
                        places.push(index);
                    }
                }
            }
            // Also without an event, to be told if there is no such task.
            if !events.is_empty() || texts.peek().is_none() {
                match self.publish_to(target, events, &mut tally).await {
                    Ok(errors) => {
                        let placed = errors.into_iter();
                        refused.extend(placed.map(|(place, error)| (places[place], error)));
                    }
                    Err(error) if !asked => return Err(error),
                    Err(error) => {
                        let placed = places.into_iter();
                        refused.extend(placed.map(|index| (index, error.clone())));
                        if error.code() == Code::TransportDown {
                            // What comes after what was lost is not to come before it.
                            refused.extend(texts.by_ref().map(|(index, _)| (index, error.clone())));
                        }
                    }
                }
                asked = true;
            }
            refused.sort_by_key(|(index, _)| *index);
            for (index, error) in &refused {
                tally.refuse(*index, error);
            }
            // A long body is not to keep the connections of its thread waiting.
            yield_now().await;
        }
        Ok(tally)
    }

    /// Publishes some events; answers those that were refused.
    async fn publish_to(
        &self,
        target: &Target<'_>,
        events: Vec<EventInput>,
        tally: &mut Tally,
    ) -> Result<Vec<(usize, ApiError)>, ApiError> {
        let events = match access::trace().map(|trace| trace.to_string()) {
            Some(trace) => {
                let events = events.into_iter();
                events.map(|event| event.trace_id(&trace)).collect()
            }
            None => events,
        };
        let published = match *target {
            Target::Channel(channel) => channel.publish(events).await?,
            Target::Task(id) if self.http().create_on_publish && tally.accepted == 0 => {
                match self.tracker().publish(id, events.clone()).await {
                    Err(PublishError::NotFound) => {
                        let refused = self.start_for(id, &events).await?;
                        if refused.len() == events.len() {
                            return Ok(refused);
                        }
                        self.tracker().publish(id, events).await?
                    }
                    published => published?,
                }
            }
            Target::Task(id) => self.tracker().publish(id, events).await?,
        };
        tally.take(&published);
        self.counts()
            .published(published.accepted, published.errors.len());
        let errors = published.errors.into_iter();
        Ok(errors.map(|(place, error)| (place, error.into())).collect())
    }

    /// Starts the task that events are published to, unless no task could take any of them: then
    /// the errors are as many as the events.
    async fn start_for(
        &self,
        id: &TaskId,
        events: &[EventInput],
    ) -> Result<Vec<(usize, ApiError)>, ApiError> {
        let mut refused = Vec::new();
        for (place, event) in events.iter().enumerate() {
            let Err(error) = self.tracker().check(event) else {
                return match self.tracker().task(id).share().await {
                    // Somebody else may have been faster.
                    Ok(_) | Err(StartError::AlreadyExists(_)) => Ok(refused),
                    Err(error) => Err(error.into()),
                };
            };
            refused.push((place, error.into()));
        }
        Ok(refused)
    }
}

/// Where events go.
enum Target<'a> {
    Task(&'a TaskId),
    Channel(&'a Channel),
}

/// What became of the events of a request.
#[derive(Debug, Default, Serialize)]
struct Tally {
    accepted: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Position>,
    errors: Vec<Refused>,
    /// How many more were refused than are listed.
    #[serde(skip_serializing_if = "is_zero")]
    errors_omitted: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Refused {
    index: usize,
    error: TaskError,
}

impl Tally {
    fn take(&mut self, published: &Published) {
        self.accepted += published.accepted;
        // Of repetitions the first positions are answered, which may be before others'.
        if let Some(last) = published.last
            && self.last.is_none_or(|newest| newest.seq() < last.seq())
        {
            self.last = Some(last);
        }
        if let Some(note) = &published.cancel_requested {
            self.cancel_requested = true;
            self.cancel_reason = note.reason.as_deref().map(str::to_owned);
        }
    }

    fn refuse(&mut self, index: usize, error: &ApiError) {
        if self.errors.len() == MOST_ERRORS {
            self.errors_omitted += 1;
            return;
        }
        let error = access::traced(access::trace(), error.object()).into_owned();
        self.errors.push(Refused { index, error });
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The header's value: what tells a repetition of the request's events.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let text = value.to_str().ok();
    match text.filter(|text| (1..=LONGEST_KEY).contains(&text.len())) {
        Some(text) => Ok(Some(text)),
        None => Err(bad_key(
            format!("Idempotency-Key is not 1 to {LONGEST_KEY} visible characters"),
            LONGEST_KEY,
        )),
    }
}

fn too_many_for_key() -> ApiError {
    bad_key(
        format!("a request with Idempotency-Key holds at most {MOST_REMEMBERED} events"),
        MOST_REMEMBERED,
    )
}

fn bad_key(message: String, limit: usize) -> ApiError {
    ApiError::new(Code::InvalidHeader, message)
        .field("Idempotency-Key")
        .detail("limit", limit)
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// An event's id holds the key, a slash and the index of an event.
const LONGEST_KEY: usize = EventInput::ID_LEN - 8;
/// As many ids as a task remembers: of more, the first would be published again.
const MOST_REMEMBERED: usize = 1_024;
/// Published under one look-up, and without giving way: below a millisecond.
const AT_ONCE: usize = 256;
/// Listed in an answer; of more a publisher learns nothing.
const MOST_ERRORS: usize = 1_000;
