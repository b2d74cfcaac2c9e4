//! What routes take in path, query and headers.

use serde_json::{Value, json};
use utoipa::openapi::{
    Required,
    extensions::Extensions,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
};

use super::{super::dashboard::FILES, schema};
use crate::{gateway::Gateway, wire::PROTOCOL};

/// A parameter, as one route or several take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    After,
    AfterEach,
    ChannelName,
    Channels,
    ClientCursor,
    ClientId,
    Connection,
    Cursor,
    File,
    Format,
    IdempotencyKey,
    Ids,
    IfNoneMatch,
    Kind,
    Label,
    LastEventId,
    Limit,
    Named,
    Parent,
    Replay,
    State,
    TaskId,
    Upgrade,
    Wait,
    WebSocketKey,
    WebSocketProtocol,
    WebSocketVersion,
}

use ParameterIn::{Header, Path, Query};

impl Takes {
    /// The parameter; what it may be can depend on how the gateway is set.
    pub(super) fn parameter(self, gateway: &Gateway) -> Parameter {
        let (name, place, says, is) = self.described(gateway);
        let required = place == Path || self.is_of_handshake() && self != Self::WebSocketProtocol;
        let mut parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place.clone())
            .required(if required {
                Required::True
            } else {
                Required::False
            })
            .description(Some(says));
        if is["type"] == "array" {
            // Labels come by repetition, for their values may hold commas.
            parameter = parameter
                .style(Some(ParameterStyle::Form))
                .explode(Some(self == Self::Label));
        }
        if place == Query && self != Self::Label {
            // As good as none.
            let empty = Extensions::from_iter([("allowEmptyValue", true)]);
            parameter = parameter.extensions(Some(empty));
        }
        parameter.schema(Some(schema(is))).build()
    }

    /// What makes a request the handshake of a WebSocket.
    pub(super) fn is_of_handshake(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Upgrade
                | Self::WebSocketVersion
                | Self::WebSocketKey
                | Self::WebSocketProtocol
        )
    }

    fn described(self, gateway: &Gateway) -> (&'static str, ParameterIn, &'static str, Value) {
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let text = json!({"type": "string"});
        // Names are judged one by one, in the stream.
        let names = json!({
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "maxItems": gateway.most_topics(),
        });
        match self {
            Self::TaskId => ("task_id", Path, "The task", reference("TaskId")),
            Self::ChannelName => ("name", Path, "The channel", reference("ChannelName")),
            Self::ClientId => (
                "id",
                Path,
                "The client",
                json!({"type": "string", "minLength": 1}),
            ),
            Self::File => (
                "file",
                Path,
                "The file",
                json!({"type": "string", "enum": FILES.map(|file| file.name)}),
            ),
            Self::After => (
                "after",
                Query,
                "The position to go on from",
                reference("Position"),
            ),
            Self::AfterEach => (
                "after",
                Query,
                "The position to go on from of each topic, in the URL's order: `-` of one without, \
                 where there are several",
                json!({
                    "type": "array",
                    "items": {"type": "string", "pattern": "^(-|[A-Za-z0-9]{1,32}:[0-9]{1,19})$"},
                    "minItems": 1,
                    "maxItems": gateway.most_topics(),
                }),
            ),
            Self::Replay => (
                "replay",
                Query,
                "What comes before what is new; only without a position",
                json!({"type": "string", "enum": ["all", "latest", "none"], "default": "all"}),
            ),
            Self::Named => (
                "named",
                Query,
                "`1` or `true`: events carry their type as the event's name",
                json!({"type": "string", "examples": ["1"]}),
            ),
            Self::Format => (
                "format",
                Query,
                "The shape of frames",
                json!({
                    "type": "string",
                    "enum": std::iter::once(PROTOCOL).chain(gateway.formats().names()).collect::<Vec<_>>(),
                }),
            ),
            Self::Ids => (
                "ids",
                Query,
                "Task ids; with `channels` at least one topic",
                names,
            ),
            Self::Channels => ("channels", Query, "Names of channels", names),
            Self::State => (
                "state",
                Query,
                "Any of these states; `active` is every one that is no end",
                json!({
                    "type": "array",
                    "items": {"type": "string", "enum": [
                        "active", "queued", "running", "paused", "stalled", "completed", "failed",
                        "cancelled", "abandoned",
                    ]},
                }),
            ),
            Self::Kind => ("kind", Query, "The kind that tasks have", text),
            Self::Label => (
                "label",
                Query,
                "`name:value`; of several, all",
                json!({"type": "array", "items": {"type": "string", "pattern": ":"}}),
            ),
            Self::Parent => (
                "parent",
                Query,
                "The parent that tasks have",
                reference("TaskId"),
            ),
            Self::Limit => (
                "limit",
                Query,
                "The most of a page; cut to 1 000",
                json!({"type": "integer", "format": "uint64", "minimum": 1, "maximum": u64::MAX, "default": 100}),
            ),
            Self::Cursor => ("cursor", Query, "`next` of the page before", text),
            Self::ClientCursor => (
                "cursor",
                Query,
                "`next` of the page before, from this process",
                text,
            ),
            Self::Wait => (
                "wait",
                Query,
                "How long the answer may be held: `25s`, `25` or `500ms`; cut to 60 s",
                json!({"type": "string", "pattern": "^[0-9]{1,19}(s|ms)?$"}),
            ),
            Self::LastEventId => (
                "Last-Event-ID",
                Header,
                "The last `id` of the stream, which beats `after`; one that is none is `reset`",
                text,
            ),
            Self::IfNoneMatch => (
                "If-None-Match",
                Header,
                "The `ETag` that the client has",
                text,
            ),
            Self::IdempotencyKey => (
                "Idempotency-Key",
                Header,
                "Tells a repetition; with it a request holds at most 1 024 events",
                json!({"type": "string", "minLength": 1, "maxLength": 120, "pattern": r"^[\t -~]+$"}),
            ),
            Self::Connection => (
                "Connection",
                Header,
                "As a WebSocket's handshake has it",
                json!({"type": "string", "enum": ["Upgrade"]}),
            ),
            Self::Upgrade => (
                "Upgrade",
                Header,
                "As a WebSocket's handshake has it",
                json!({"type": "string", "enum": ["websocket"]}),
            ),
            Self::WebSocketVersion => (
                "Sec-WebSocket-Version",
                Header,
                "As a WebSocket's handshake has it",
                json!({"type": "string", "enum": ["13"]}),
            ),
            Self::WebSocketKey => (
                "Sec-WebSocket-Key",
                Header,
                "16 random bytes in base64",
                json!({"type": "string", "examples": ["dGhlIHNhbXBsZSBub25jZQ=="]}),
            ),
            Self::WebSocketProtocol => (
                "Sec-WebSocket-Protocol",
                Header,
                "`progress.v1.json` or `progress.v1.msgpack`, and beside it `bearer.` with a token; \
                 others are passed over",
                json!({"type": "string", "examples": ["progress.v1.json"]}),
            ),
        }
    }
}
