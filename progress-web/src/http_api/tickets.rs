//! `POST /tickets`: what somebody may watch, for clients that cannot send who they are.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use progress_core::{ChannelName, TaskId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    answer,
    items::{field, object},
    json,
};
use crate::{
    auth::Admitted,
    body::RequestBody,
    error::{ApiError, Code},
    gateway::Gateway,
    refused::invalid,
    time::millis,
};

impl Gateway {
    /// Answers `POST /tickets`: for the topics that are named, each of which whoever asks has to be
    /// allowed to watch, a ticket that opens one connection to them, `?ticket=…`, within a minute.
    ///
    /// It is used up with the first request that needs it, on whichever node; with nodes behind one
    /// address they need a common [secret](crate::GatewayBuilder::secret).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future issues nothing that anybody knows.
    pub async fn issue_ticket(&self, request: &Parts, body: RequestBody) -> Response<Bytes> {
        answer(self.try_issue(request, body).await)
    }

    async fn try_issue(
        &self,
        request: &Parts,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        #[derive(Serialize)]
        struct Issued<'a> {
            ticket: &'a str,
            expires_at: Timestamp,
            expires_in_ms: u64,
        }
        let request = &*self.prepared(request);
        // Whom to ask about stands in the body, which nobody in particular need send.
        let mut holder = self.authenticated(request).await?;
        let body = self.read_body_to(LARGEST, request, body).await?;
        let topics = topics(&body)?;
        for topic in &topics {
            // The authorizer alone: what a ticket or a grant allows cannot be made to last longer.
            let principal = self.authorized(request, &topic.action()).await?;
            // Who is somebody for one of them is so for all; the first to end ends it.
            holder.subject = holder.subject.or(principal.subject);
            holder.expires_at = [holder.expires_at, principal.expires_at]
                .into_iter()
                .flatten()
                .min();
        }
        let ticket = self.tickets().issue(self, &holder, topics)?;
        self.counts().ticket("issued");
        let issued = Issued {
            ticket: &ticket.text,
            expires_at: ticket.expires_at.into(),
            expires_in_ms: millis(ticket.ttl),
        };
        let mut response = json(StatusCode::CREATED, &issued);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// `{"task_id":…}`, `{"channel":…}` or `{"topics":[…]}` of the same.
fn topics(body: &[u8]) -> Result<Vec<Admitted>, ApiError> {
    let fields = object(body)?;
    let Some(list) = field::<Vec<&RawValue>>(&fields, "topics", "no array")? else {
        return Ok(vec![topic(body)?]);
    };
    if ["task_id", "channel"]
        .iter()
        .any(|name| fields.contains_key(*name))
    {
        return Err(unclear());
    }
    if list.is_empty() || list.len() > TOPICS {
        let message = format!("a ticket is for 1 to {TOPICS} topics, not {}", list.len());
        let code = if list.is_empty() {
            Code::InvalidBody
        } else {
            Code::TooManyTopics
        };
        let error = ApiError::new(code, message).field("topics");
        return Err(error.detail("limit", TOPICS));
    }
    let topics = list.into_iter().map(|one| topic(one.get().as_bytes()));
    topics.collect()
}

fn topic(json: &[u8]) -> Result<Admitted, ApiError> {
    let fields = object(json)?;
    let task = field::<Cow<'_, str>>(&fields, "task_id", "no text")?;
    let channel = field::<Cow<'_, str>>(&fields, "channel", "no text")?;
    match (task, channel) {
        (Some(task), None) => Ok(Admitted::TaskId(task.parse::<TaskId>()?)),
        (None, Some(channel)) => {
            let channel: ChannelName = channel.parse()?;
            Ok(Admitted::Channel(channel.as_str().to_owned()))
        }
        _ => Err(unclear()),
    }
}

fn unclear() -> ApiError {
    let message = "a ticket is for either a task_id, or a channel, or topics, an array of such";
    invalid("topics", message)
}

/// The most topics of one ticket: it has to fit into a URL.
const TOPICS: usize = 16;
/// Bytes of what is asked for: as many as so many topics take.
const LARGEST: usize = 16 * 1024;
