//! What routes answer: statuses, contents, headers.

use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use utoipa::openapi::{
    Content, HeaderBuilder, Response, ResponseBuilder, Schema, extensions::Extensions,
    link::LinkBuilder,
};

use super::{reference, schema};
use crate::{error::Code, gateway::Gateway};

/// What a route gives if all is well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    status: u16,
    says: &'static str,
    holds: Holds,
    headers: &'static [Header],
    leads: &'static [Lead],
}

/// What an answer is good for next: the operation, its parameter, and where in the answer that is.
pub(super) type Lead = (&'static str, &'static str, &'static str);

#[derive(Debug, Clone, Copy)]
enum Holds {
    Nothing,
    /// A schema's name.
    Json(&'static str),
    Events,
    Metrics,
    Page,
    /// A style sheet or a script.
    File,
}

/// A header of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Header {
    AccelBuffering,
    Authenticate,
    Connection,
    ETag,
    FileTag,
    Location,
    NoSniff,
    NoStore,
    NoTransform,
    Revalidate,
    RetryAfter,
    Upgrade,
    WebSocketAccept,
    WebSocketProtocol,
    WebSocketVersion,
}

impl Answer {
    pub(super) const UPGRADED: Self = Self::nothing(
        101,
        "Messages follow, each a `Frame`, in the subprotocol of the answer",
    )
    .with(&[
        Header::Connection,
        Header::Upgrade,
        Header::WebSocketAccept,
        Header::WebSocketProtocol,
    ]);
    pub(super) const EVENTS: Self = Self {
        holds: Holds::Events,
        ..Self::nothing(
            200,
            "Events follow; the schema is that of each, its data a `Frame`",
        )
    }
    .with(&[Header::NoTransform, Header::AccelBuffering]);
    pub(super) const NOTHING_MORE: Self =
        Self::nothing(204, "The client has all there is; an `EventSource` stops");
    pub(super) const METRICS: Self = Self {
        holds: Holds::Metrics,
        ..Self::nothing(200, "Counts, version 0.0.4 of the format")
    }
    .with(&[Header::NoStore]);

    pub(super) const PAGE: Self = Self {
        holds: Holds::Page,
        ..Self::nothing(200, "The page")
    }
    .with(PAGE_HEADERS);
    pub(super) const FILE: Self = Self {
        holds: Holds::File,
        ..Self::nothing(200, "A style sheet or a script of the page")
    }
    .with(PAGE_HEADERS);

    pub(super) const UNCHANGED: Self =
        Self::nothing(304, "The client has it").with(&[Header::FileTag, Header::Revalidate]);

    pub(super) const fn json(status: u16, says: &'static str, schema: &'static str) -> Self {
        Self {
            holds: Holds::Json(schema),
            ..Self::nothing(status, says)
        }
    }

    pub(super) const fn nothing(status: u16, says: &'static str) -> Self {
        Self {
            status,
            says,
            holds: Holds::Nothing,
            headers: &[],
            leads: &[],
        }
    }

    pub(super) const fn with(self, headers: &'static [Header]) -> Self {
        Self { headers, ..self }
    }

    pub(super) const fn leading(self, leads: &'static [Lead]) -> Self {
        Self { leads, ..self }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether a response is this one.
    pub(super) fn is(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let found = headers.get(header::CONTENT_TYPE);
        let found = found.and_then(|media| media.to_str().ok()?.split(';').next());
        let mut media = self.holds.media().iter();
        let is_held = match found {
            Some(found) => media.any(|media| *media == found),
            None => media.len() == 0,
        };
        status == self.status && is_held
    }

    pub(super) fn response(&self, gateway: &Gateway) -> Response {
        let mut response = ResponseBuilder::new().description(self.says);
        for media in self.holds.media() {
            response = match self.holds {
                Holds::Json(schema) => {
                    revalidated(response).content(*media, Content::new(Some(reference(schema))))
                }
                Holds::Events => response.content(*media, Content::new(Some(event(gateway)))),
                _ => {
                    let text = schema(json!({"type": "string"}));
                    response.content(*media, Content::new(Some(text)))
                }
            };
        }
        for header in self.headers {
            let (name, header) = header.described();
            response = response.header(name, header);
        }
        for (operation, parameter, at) in self.leads {
            let link = LinkBuilder::new()
                .operation_id(*operation)
                .parameter(*parameter, *at);
            response = response.link(*operation, link.build());
        }
        response.build()
    }
}

impl Holds {
    fn media(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Json(_) => &["application/json"],
            Self::Events => &["text/event-stream"],
            Self::Metrics => &["text/plain"],
            Self::Page => &["text/html"],
            Self::File => &["text/css", "text/javascript"],
        }
    }
}

const PAGE_HEADERS: &[Header] = &[Header::FileTag, Header::Revalidate, Header::NoSniff];

/// An event of a stream, as its reader has it. Up to OpenAPI 3.1 nothing says what a stream is made
/// of; those who test against one take the schema of its body for that of each event.
fn event(gateway: &Gateway) -> Schema {
    let mut data = json!({"type": "string"});
    // Other shapes are the application's.
    if gateway.formats().names().next().is_none() {
        data["contentMediaType"] = "application/json".into();
        data["contentSchema"] = json!({"$ref": "#/components/schemas/Frame"});
    }
    schema(json!({
        "type": "object",
        "properties": {
            "data": data,
            "event": {"type": "string"},
            "id": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        },
    }))
}

/// What is answered for codes that share a status.
pub(super) fn refusal(codes: &[Code]) -> Response {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let of_these = schema(json!({
        "allOf": [
            {"$ref": "#/components/schemas/Refusal"},
            {"properties": {"error": {"properties": {"code": {"enum": names}}}}},
        ],
    }));
    let mut response = ResponseBuilder::new()
        .description(names.join(", "))
        .content("application/json", Content::new(Some(of_these)));
    let status = codes.first().map(|code| code.status());
    let headers: &[Header] = match status {
        Some(StatusCode::UNAUTHORIZED) => &[Header::Authenticate],
        Some(StatusCode::UPGRADE_REQUIRED) => &[Header::Upgrade, Header::WebSocketVersion],
        Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            &[Header::RetryAfter]
        }
        _ => &[],
    };
    for header in headers {
        let (name, header) = header.described();
        response = response.header(name, header);
    }
    revalidated(response).build()
}

/// All that is JSON may be kept and has to be asked about.
fn revalidated(response: ResponseBuilder) -> ResponseBuilder {
    let (name, header) = Header::Revalidate.described();
    response.header(name, header)
}

impl Header {
    fn described(self) -> (&'static str, utoipa::openapi::Header) {
        let (name, says, is) = match self {
            Self::AccelBuffering => (
                "X-Accel-Buffering",
                "Tells proxies to pass on each event as it comes",
                json!({"const": "no"}),
            ),
            Self::Authenticate => ("WWW-Authenticate", "", json!({"const": "Bearer"})),
            Self::Connection => ("Connection", "", json!({"const": "upgrade"})),
            Self::ETag => (
                "ETag",
                "The position, weak",
                json!({"pattern": r#"^W/"[A-Za-z0-9]{1,32}:[0-9]{1,19}"$"#}),
            ),
            Self::FileTag => (
                "ETag",
                "Of these bytes",
                json!({"pattern": r#"^"[0-9a-f]{16}"$"#}),
            ),
            Self::NoSniff => ("X-Content-Type-Options", "", json!({"const": "nosniff"})),
            Self::Location => ("Location", "The task", json!({"minLength": 1})),
            Self::NoStore => ("Cache-Control", "", json!({"const": "no-store"})),
            Self::NoTransform => (
                "Cache-Control",
                "",
                json!({"const": "no-store, no-transform"}),
            ),
            Self::Revalidate => ("Cache-Control", "", json!({"const": "no-cache"})),
            Self::RetryAfter => (
                "Retry-After",
                "Seconds: `retry_after_ms` of the error, rounded up",
                json!({"type": "integer", "minimum": 0}),
            ),
            Self::Upgrade => ("Upgrade", "", json!({"const": "websocket"})),
            Self::WebSocketAccept => (
                "Sec-WebSocket-Accept",
                "The answer to the key",
                json!({"pattern": "^[A-Za-z0-9+/]{27}=$"}),
            ),
            Self::WebSocketProtocol => (
                "Sec-WebSocket-Protocol",
                "The subprotocol that is spoken, where one was asked for",
                json!({"enum": ["progress.v1.json", "progress.v1.msgpack"]}),
            ),
            Self::WebSocketVersion => ("Sec-WebSocket-Version", "", json!({"const": "13"})),
        };
        let required = !matches!(self, Self::WebSocketProtocol);
        let mut is = is;
        if is.get("type").is_none() {
            is["type"] = Value::from("string");
        }
        let says = Some(says).filter(|says| !says.is_empty());
        let header = HeaderBuilder::new()
            .schema(Some(schema(is)))
            .description(says)
            .extensions(Some(Extensions::from_iter([("required", required)])));
        (name, header.build())
    }
}
