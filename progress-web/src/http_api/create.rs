//! Starting a task that has no owner.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use progress_core::{ChannelName, Limits, StageDecl, TaskBuilder, TaskId};
use serde_json::value::RawValue;

use super::{
    answer,
    items::{field, object},
    json,
};
use crate::{
    access, auth::Action, body::RequestBody, error::ApiError, gateway::Gateway, refused::invalid,
};

impl Gateway {
    /// Answers `POST /tasks`: makes a task without an owner, that anybody who may can publish to.
    ///
    /// Who may publish to a task may make it; to copy its events into channels, or to name a
    /// parent, takes the permission to publish there.
    ///
    /// # Cancel safety
    ///
    /// With a transport, dropping the future leaves it open whether there is such a task.
    pub async fn create_task(&self, request: &Parts, body: RequestBody) -> Response<Bytes> {
        answer(self.try_create(request, body).await)
    }

    async fn try_create(
        &self,
        request: &Parts,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        // Whom to ask about stands in it, which nobody in particular need send.
        self.authenticated(request).await?;
        let body = self.read_body_to(LARGEST, request, body).await?;
        let fields = object(&body)?;
        // Ids first, whoever asks.
        let id = match field::<Cow<'_, str>>(&fields, "task_id", "no text")? {
            Some(id) => id.parse()?,
            None => TaskId::random(),
        };
        let parent = field::<Cow<'_, str>>(&fields, "parent", "no text")?
            .map(|parent| parent.parse::<TaskId>())
            .transpose()
            .map_err(|error| ApiError::from(error).field("parent"))?;
        let channels = channels(&fields)?;
        self.allowed(request, Action::Publish(id.clone())).await?;
        if let Some(parent) = &parent {
            self.allowed(request, Action::Publish(parent.clone()))
                .await?;
        }
        for channel in &channels {
            let action = Action::PublishToChannel(channel.as_str().to_owned());
            self.allowed(request, action).await?;
        }
        let mut task = described(self.tracker().task(&id), &fields)?;
        if let Some(parent) = parent {
            task = task.parent(parent);
        }
        for channel in channels {
            task = task.channel(channel);
        }
        task.share().await?;
        let urls = self.urls(&id);
        let mut response = json(StatusCode::CREATED, &urls);
        if let Ok(location) = HeaderValue::try_from(urls.polling_url) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    }
}

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn described(mut task: TaskBuilder, fields: &Fields<'_>) -> Result<TaskBuilder, ApiError> {
    if let Some(name) = field::<Cow<'_, str>>(fields, "name", "no text")? {
        task = task.name(name);
    }
    if let Some(kind) = field::<Cow<'_, str>>(fields, "kind", "no text")? {
        task = task.kind(kind);
    }
    let labels: Option<BTreeMap<String, String>> = field(fields, "labels", "no object of texts")?;
    let mut labels = labels.unwrap_or_default();
    // What the request is part of the task is part of too, unless it says of what itself.
    if let Some(trace) = access::trace() {
        let label = labels.entry("trace_id".to_owned());
        label.or_insert_with(|| trace.to_string());
    }
    for (name, value) in labels {
        task = task.label(name, value);
    }
    let stages: Option<Vec<&RawValue>> = field(fields, "stages", "no array")?;
    for (index, stage) in stages.unwrap_or_default().into_iter().enumerate() {
        task = task.declare(declared(index, stage.get())?);
    }
    if field(fields, "queued", "neither true nor false")?.unwrap_or(false) {
        task = task.queued();
    }
    match field::<u64>(fields, "silence_ms", "no number of milliseconds")? {
        Some(0) => Err(invalid("silence_ms", "silence_ms is at least 1").detail("limit", 1)),
        Some(silence) => Ok(task.silence(Duration::from_millis(silence))),
        None => Ok(task),
    }
}

fn channels(fields: &Fields<'_>) -> Result<Vec<ChannelName>, ApiError> {
    let names: Option<Vec<Cow<'_, str>>> = field(fields, "channels", "no array of texts")?;
    let names = names.unwrap_or_default();
    // Before anybody is asked about each of them.
    let limit = Limits::TASK_CHANNELS;
    if names.len() > limit {
        let message = format!("channels has {} names, the limit is {limit}", names.len());
        return Err(invalid("channels", message).detail("limit", limit));
    }
    names
        .iter()
        .map(|name| {
            name.parse::<ChannelName>()
                .map_err(|error| ApiError::from(error).field("channels"))
        })
        .collect()
}

fn declared(index: usize, stage: &str) -> Result<StageDecl, ApiError> {
    let at = |error: ApiError| {
        let name = error.object().details().get("field");
        let name = name.and_then(|name| name.as_str()).unwrap_or("body");
        let field = match name {
            "body" => format!("stages[{index}]"),
            name => format!("stages[{index}].{name}"),
        };
        error.field(&field)
    };
    let fields = object(stage.as_bytes()).map_err(at)?;
    let path = field::<Cow<'_, str>>(&fields, "path", "no text").map_err(at)?;
    let path = path.ok_or_else(|| at(invalid("path", "a stage needs path")))?;
    let weight = field(&fields, "weight", "no number").map_err(at)?;
    let mut stage = StageDecl::new(path, weight.unwrap_or(1.0));
    if let Some(label) = field::<Cow<'_, str>>(&fields, "label", "no text").map_err(at)? {
        stage = stage.label(label);
    }
    if let Some(total) = field(&fields, "total", "no whole number").map_err(at)? {
        stage = stage.total(total);
    }
    if let Some(unit) = field::<Cow<'_, str>>(&fields, "unit", "no text").map_err(at)? {
        stage = stage.unit(unit);
    }
    Ok(stage)
}

/// Bytes of the description of a task: as many as the stages of one take, and more. Nobody is known to
/// be allowed anything before it is read.
const LARGEST: usize = 1024 * 1024;
