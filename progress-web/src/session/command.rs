//! What a client of a connection for many topics says.

use http::HeaderValue;
use progress_core::{Position, Replay};
use serde_json::{Map, Value};

use super::topic::Name;
use crate::{
    auth::{TOKEN, bearer_header},
    error::{ApiError, Code},
};

/// One message of a client, understood.
#[derive(Debug)]
pub(super) enum Command {
    Ping,
    Pong,
    Register(Registration),
    Subscribe(Vec<Result<TopicRequest, RefusedTopic>>),
    Unsubscribe(Vec<Result<TopicRequest, RefusedTopic>>),
    Cancel {
        task: Name,
        reason: Option<String>,
    },
    /// Later actions are authorised with these credentials.
    Auth(HeaderValue),
}

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Registration {
    pub(crate) client_type: Option<String>,
    pub(crate) client_name: Option<String>,
}

#[derive(Debug)]
pub(super) struct TopicRequest {
    pub(super) name: Name,
    pub(super) after: Option<Position>,
    pub(super) replay: Replay,
}

/// One topic of a command that cannot be served; the others stand.
#[derive(Debug)]
pub(super) struct RefusedTopic {
    pub(super) name: Option<Name>,
    pub(super) error: ApiError,
}

/// A client's message: what it asks for or why that cannot be told, and by which id it knows the
/// answer.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) command: Result<Command, ApiError>,
    pub(super) request_id: Option<Box<Value>>,
}

impl Parsed {
    /// Reads a message. `topics` bounds the topics of one command.
    pub(super) fn from_value(message: &Value, topics: usize) -> Self {
        let request_id = message.get("request_id").filter(|id| is_request_id(id));
        Self {
            command: command(message, topics),
            request_id: request_id.cloned().map(Box::new),
        }
    }
}

fn command(message: &Value, most_topics: usize) -> Result<Command, ApiError> {
    let Some(fields) = message.as_object() else {
        return Err(invalid(
            "not a command: a JSON object with a type is needed",
        ));
    };
    // "event" says the same in the words of other systems' clients.
    let name = fields.get("type").or_else(|| fields.get("event"));
    let Some(name) = name.and_then(Value::as_str) else {
        return Err(invalid("not a command: a JSON object with a type is needed").field("type"));
    };
    if name == "ping" {
        return Ok(Command::Ping);
    }
    if name == "pong" {
        return Ok(Command::Pong);
    }
    if let Some(id) = fields.get("request_id")
        && !is_request_id(id)
        && !id.is_null()
    {
        let message = format!("request_id is a number, or text of at most {TEXT} bytes");
        return Err(invalid(message).field("request_id").detail("limit", TEXT));
    }
    match name {
        "register" => Ok(Command::Register(Registration {
            client_type: text(fields, "client_type", TEXT)?,
            client_name: text(fields, "client_name", TEXT)?,
        })),
        "subscribe" => Ok(Command::Subscribe(topics(fields, most_topics)?)),
        "unsubscribe" => Ok(Command::Unsubscribe(topics(fields, most_topics)?)),
        "cancel" => match text(fields, "task_id", usize::MAX)? {
            Some(task) => Ok(Command::Cancel {
                task: Name::task(&task),
                reason: text(fields, "reason", REASON)?,
            }),
            None => Err(invalid("cancel needs a task_id").field("task_id")),
        },
        "auth" => {
            let token = text(fields, "token", TOKEN)?.unwrap_or_default();
            // What is no header is no credential either; it is not repeated to anybody.
            match bearer_header(&token) {
                Some(header) => Ok(Command::Auth(header)),
                None => Err(invalid("auth needs a token of visible characters").field("token")),
            }
        }
        _ => Err(invalid(
            "unknown command: it is one of register, subscribe, unsubscribe, cancel, auth, ping, \
             pong",
        )
        .field("type")),
    }
}

/// The topics of a command: a list, or one in the command itself.
fn topics(
    fields: &Map<String, Value>,
    most: usize,
) -> Result<Vec<Result<TopicRequest, RefusedTopic>>, ApiError> {
    let list = match fields.get("topics") {
        Some(Value::Array(list)) => list,
        None if fields.contains_key("task_id") || fields.contains_key("channel") => {
            return Ok(vec![topic(fields)]);
        }
        _ => return Err(invalid("topics is a list of topics").field("topics")),
    };
    if list.is_empty() {
        return Err(invalid("topics names no topic").field("topics"));
    }
    if list.len() > most {
        let message = format!("a command names {} topics, the limit is {most}", list.len());
        let error = ApiError::new(Code::TooManyTopics, message);
        return Err(error.field("topics").detail("limit", most));
    }
    let topics = list.iter().map(|item| match item.as_object() {
        Some(fields) => topic(fields),
        None => Err(RefusedTopic {
            name: None,
            error: invalid("a topic is an object with a task_id or a channel").field("topics"),
        }),
    });
    Ok(topics.collect())
}

fn topic(fields: &Map<String, Value>) -> Result<TopicRequest, RefusedTopic> {
    let name = match (fields.get("task_id"), fields.get("channel")) {
        (Some(Value::String(id)), None) => Name::task(id),
        (None, Some(Value::String(name))) => Name::channel(name),
        _ => {
            let message = "a topic has either a task_id or a channel, as text";
            return Err(RefusedTopic {
                name: None,
                error: invalid(message).field("topics"),
            });
        }
    };
    let refused = |error| RefusedTopic {
        name: Some(name.clone()),
        error,
    };
    let after = match fields.get("after") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => match text.parse() {
            Ok(position) => Some(position),
            Err(error) => return Err(refused(ApiError::from(error))),
        },
        Some(_) => return Err(refused(progress_core::InvalidPosition.into())),
    };
    let replay = match fields.get("replay").map(Value::as_str) {
        None | Some(Some("all")) => Replay::All,
        Some(Some("latest")) => Replay::Latest,
        Some(Some("none")) => Replay::None,
        Some(_) if fields["replay"].is_null() => Replay::All,
        Some(_) => {
            let error = invalid("replay is one of all, latest, none").field("replay");
            return Err(refused(error));
        }
    };
    Ok(TopicRequest {
        name,
        after,
        replay,
    })
}

fn text(fields: &Map<String, Value>, name: &str, limit: usize) -> Result<Option<String>, ApiError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= limit => Ok(Some(text.clone())),
        Some(Value::String(text)) => {
            let message = format!("{name} has {} bytes, the limit is {limit}", text.len());
            Err(invalid(message).field(name).detail("limit", limit))
        }
        Some(_) => Err(invalid(format!("{name} is text")).field(name)),
    }
}

fn is_request_id(id: &Value) -> bool {
    id.is_number() || id.as_str().is_some_and(|id| id.len() <= TEXT)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidCommand, message)
}

/// Bytes of a request id and of what a client calls itself, as of names elsewhere.
const TEXT: usize = 128;
/// Bytes of the reason for a cancellation.
const REASON: usize = 1_024;
