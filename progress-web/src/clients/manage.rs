//! `/clients` and `/broadcast`: for whoever may manage.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use progress_core::{
    ChannelName, EventInput, InvalidEventType, Position, Timestamp, check_event_type,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::registry::{Client, Order};
use crate::{
    auth::Action,
    body::RequestBody,
    error::{ApiError, Code},
    gateway::Gateway,
    http_api::{answer, json},
    query::Query,
    session::Name,
    wire::{Control, ControlData},
};

impl Gateway {
    /// Answers `GET /clients`: the connections that are open here, the oldest first, a page at a
    /// time (`limit`, `cursor`).
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn clients(&self, request: &Parts) -> Response<Bytes> {
        answer(self.try_clients(request).await)
    }

    /// Answers `DELETE /clients/{id}`: sends a client away, with close code 4403; it does not come
    /// back by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nobody away.
    pub async fn disconnect(&self, request: &Parts, id: &str) -> Response<Bytes> {
        answer(self.try_disconnect(request, id).await)
    }

    /// Answers `POST /broadcast`: an event into a channel, or to every connection that is open
    /// here. The latter has no place in any sequence and is not kept; a client that is not there
    /// misses it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future broadcasts nothing.
    pub async fn broadcast(&self, request: &Parts, body: RequestBody) -> Response<Bytes> {
        answer(self.try_broadcast(request, body).await)
    }

    async fn try_clients(&self, request: &Parts) -> Result<Response<Bytes>, ApiError> {
        #[derive(Serialize)]
        struct Page {
            clients: Vec<Listed>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<String>,
        }
        let query = Query::of(&request.uri);
        let limit = query.limit(PAGE, LARGEST_PAGE)?;
        let after = match query.text("cursor") {
            None => 0,
            Some(cursor) => self.number(&cursor).ok_or_else(|| {
                let message = "cursor is not one of this server";
                ApiError::new(Code::InvalidQuery, message).field("cursor")
            })?,
        };
        self.allowed(request, Action::Manage).await?;
        let (page, more) = self.registry().page(after, limit);
        let clients: Vec<_> = page.iter().map(|client| self.listed(client)).collect();
        let next = clients.last().filter(|_| more);
        let page = Page {
            next: next.map(|client| client.id.clone()),
            clients,
        };
        Ok(json(StatusCode::OK, &page))
    }

    async fn try_disconnect(&self, request: &Parts, id: &str) -> Result<Response<Bytes>, ApiError> {
        self.allowed(request, Action::Manage).await?;
        let client = self
            .number(id)
            .and_then(|number| self.registry().get(number));
        let Some(client) = client else {
            let message = "there is no such client, or no longer";
            return Err(ApiError::new(Code::ClientNotFound, message));
        };
        client.order(Order::Dismiss);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    async fn try_broadcast(
        &self,
        request: &Parts,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        #[derive(Serialize)]
        struct Accepted {
            accepted: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            last: Option<Position>,
            #[serde(skip_serializing_if = "Option::is_none")]
            clients: Option<usize>,
        }
        self.allowed(request, Action::Manage).await?;
        let body = self.read_body(request, body).await?;
        let broadcast = Broadcast::parse(&body)?;
        let channel: Option<ChannelName> =
            broadcast.channel.as_deref().map(str::parse).transpose()?;
        let accepted = match &channel {
            Some(channel) => Accepted {
                accepted: 1,
                last: Some(self.publish_broadcast(channel, &broadcast).await?),
                clients: None,
            },
            None => Accepted {
                accepted: 1,
                last: None,
                clients: Some(self.tell_everybody(&broadcast)?),
            },
        };
        Ok(json(StatusCode::ACCEPTED, &accepted))
    }

    async fn publish_broadcast(
        &self,
        channel: &ChannelName,
        broadcast: &Broadcast<'_>,
    ) -> Result<Position, ApiError> {
        let event = EventInput::new(&*broadcast.event_type, broadcast.data)?;
        let channel = self.tracker().channel(channel);
        let mut published = channel.publish(vec![event]).await?;
        match published.errors.pop() {
            Some((_, error)) => Err(error.into()),
            None => published.last.ok_or_else(|| {
                ApiError::new(Code::Internal, "it was published nobody knows where")
            }),
        }
    }

    fn tell_everybody(&self, broadcast: &Broadcast<'_>) -> Result<usize, ApiError> {
        // It is no event of a task, and yet no other than one could be.
        let event = EventInput::new(&*broadcast.event_type, broadcast.data)?;
        self.tracker().check(&event)?;
        let data = Some(ControlData::Verbatim(broadcast.data));
        let frame = Control::about(None, &broadcast.event_type, data).to_json();
        let event_type: Arc<str> = Arc::from(&*broadcast.event_type);
        let clients = self.registry().all();
        for client in &clients {
            client.order(Order::Broadcast {
                event_type: Arc::clone(&event_type),
                json: frame.clone(),
            });
        }
        Ok(clients.len())
    }

    fn listed(&self, client: &Client) -> Listed {
        let about = client.about().clone();
        Listed {
            id: self.client_id(client.number),
            transport: client.kind,
            client_type: about.registration.client_type,
            client_name: about.registration.client_name,
            subject: about.subject,
            topics: about.topics.iter().map(Topic::of).collect(),
            connected_at: client.connected_at,
        }
    }

    /// A client's id: of this process, so that no other has the same.
    fn client_id(&self, number: u64) -> String {
        format!("{}-{number:x}", self.short_node())
    }

    fn number(&self, id: &str) -> Option<u64> {
        let (node, number) = id.rsplit_once('-')?;
        (node == self.short_node()).then(|| u64::from_str_radix(number, 16).ok())?
    }

    fn short_node(&self) -> String {
        self.tracker().node().chars().take(8).collect()
    }
}

#[derive(Serialize)]
struct Listed {
    id: String,
    transport: &'static str,
    client_type: Option<String>,
    client_name: Option<String>,
    subject: Option<String>,
    topics: Vec<Topic>,
    connected_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Topic {
    TaskId(Arc<str>),
    Channel(Arc<str>),
}

impl Topic {
    fn of(name: &Name) -> Self {
        match name {
            Name::Task(id) => Self::TaskId(Arc::clone(id)),
            Name::Channel(name) => Self::Channel(Arc::clone(name)),
        }
    }
}

/// What is broadcast.
#[derive(Deserialize)]
struct Broadcast<'a> {
    #[serde(default)]
    channel: Option<String>,
    event_type: String,
    #[serde(borrow, default = "null")]
    data: &'a RawValue,
}

impl<'a> Broadcast<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let broadcast: Self = serde_json::from_slice(body)
            .map_err(|error| ApiError::new(Code::InvalidBody, format!("body: {error}")))?;
        let data = broadcast.data.get();
        if data.len() > DATA {
            let message = format!("data has {} bytes, the limit is {DATA}", data.len());
            let error = ApiError::new(Code::PayloadTooLarge, message);
            return Err(error.field("data").detail("limit", DATA));
        }
        match check_event_type(&broadcast.event_type) {
            Ok(()) => Ok(broadcast),
            Err(error) => {
                let code = match error {
                    InvalidEventType::Reserved => Code::ReservedEventType,
                    _ => Code::InvalidEvent,
                };
                Err(ApiError::new(code, error.to_string()).field("event_type"))
            }
        }
    }
}

fn null() -> &'static RawValue {
    RawValue::NULL
}

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
/// Bytes of what is broadcast, as of any event's data.
const DATA: usize = 64 * 1_024;
