//! What each route does, takes, gives and refuses.

use crate::{error::Code, routes::Endpoint};

/// One route: what it does, its parameters and body, success and errors.
pub(super) struct Described {
    pub(super) does: &'static str,
    pub(super) parameters: &'static [&'static str],
    pub(super) body: Option<Body>,
    pub(super) answers: Answer,
    pub(super) refuses: &'static [Code],
}

/// What a route takes.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Task,
    Topics,
    Broadcast,
    Events,
    Reason,
}

/// What a route gives if all is well.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    WebSocket,
    EventStream,
    Json(u16, &'static str),
    Nothing,
    Text,
}

use Answer::{EventStream, Json, Nothing, Text, WebSocket};

pub(super) fn describe(endpoint: Endpoint) -> Described {
    match endpoint {
        Endpoint::WebSocket => Described {
            does: "Watches one task over a WebSocket; what is wrong comes as `rejected` and a close code",
            parameters: &["task_id", "after", "replay", "format"],
            body: None,
            answers: WebSocket,
            refuses: &[Code::UpgradeRequired],
        },
        Endpoint::WebSockets => Described {
            does: "Watches what the client asks for over a WebSocket",
            parameters: &["format"],
            body: None,
            answers: WebSocket,
            refuses: &[Code::UpgradeRequired],
        },
        Endpoint::EventStream => Described {
            does: "Watches one task as an event stream",
            parameters: &[
                "task_id",
                "after",
                "replay",
                "named",
                "format",
                "Last-Event-ID",
            ],
            body: None,
            answers: EventStream,
            refuses: &[WATCH[0], WATCH[1], WATCH[2], Code::ConnectionLimit],
        },
        Endpoint::EventStreams => Described {
            does: "Watches several tasks and channels as one event stream",
            parameters: &[
                "ids",
                "channels",
                "after",
                "replay",
                "named",
                "format",
                "Last-Event-ID",
            ],
            body: None,
            answers: EventStream,
            refuses: &[
                Code::InvalidQuery,
                Code::TooManyTopics,
                Code::ConnectionLimit,
            ],
        },
        Endpoint::Tasks => Described {
            does: "Lists tasks, the newest first",
            parameters: &["state", "kind", "label", "parent", "limit", "cursor"],
            body: None,
            answers: Json(200, "Tasks"),
            refuses: &[Code::InvalidQuery, Code::Forbidden, Code::TransportDown],
        },
        Endpoint::CreateTask => Described {
            does: "Starts a task without an owner",
            parameters: &[],
            body: Some(Body::Task),
            answers: Json(201, "TaskUrls"),
            refuses: &[
                Code::InvalidTaskId,
                Code::InvalidBody,
                Code::Forbidden,
                Code::AlreadyExists,
                Code::PayloadTooLarge,
                Code::TooManyTasks,
                Code::Draining,
            ],
        },
        Endpoint::Task => Described {
            does: "Gives a task as it stands; held by `wait` until there is something to tell",
            parameters: &["task_id", "wait", "If-None-Match"],
            body: None,
            answers: Json(200, "Snapshot"),
            refuses: &[
                WATCH[0],
                WATCH[1],
                Code::TaskNotFound,
                Code::ConnectionLimit,
            ],
        },
        Endpoint::DeleteTask => Described {
            does: "Forgets a task that has ended",
            parameters: &["task_id"],
            body: None,
            answers: Nothing,
            refuses: &[WATCH[0], WATCH[1], Code::TaskNotFound, Code::StillRunning],
        },
        Endpoint::History => Described {
            does: "Gives a page of the events of a task that are kept",
            parameters: &["task_id", "after", "limit"],
            body: None,
            answers: Json(200, "History"),
            refuses: &[WATCH[0], WATCH[1], WATCH[2], Code::TaskNotFound],
        },
        Endpoint::Publish => Described {
            does: "Publishes events of a task without an owner",
            parameters: &["task_id", "Idempotency-Key"],
            body: Some(Body::Events),
            answers: Json(202, "Published"),
            refuses: &[
                WATCH[0],
                Code::InvalidEvent,
                Code::ReservedEventType,
                WATCH[1],
                Code::TaskNotFound,
                Code::AlreadyComplete,
                Code::TaskOwned,
                Code::PayloadTooLarge,
                Code::TransportDown,
            ],
        },
        Endpoint::Cancel => Described {
            does: "Asks a task to stop",
            parameters: &["task_id"],
            body: Some(Body::Reason),
            answers: Json(202, "Asked"),
            refuses: &[
                WATCH[0],
                WATCH[1],
                Code::TaskNotFound,
                Code::AlreadyComplete,
            ],
        },
        Endpoint::PublishToChannel => Described {
            does: "Publishes events of no task into a channel",
            parameters: &["name", "Idempotency-Key"],
            body: Some(Body::Events),
            answers: Json(202, "Published"),
            refuses: &[
                Code::InvalidChannel,
                Code::InvalidEvent,
                Code::ReservedEventType,
                Code::Forbidden,
                Code::PayloadTooLarge,
                Code::TransportDown,
            ],
        },
        Endpoint::Ticket => Described {
            does: "Issues a ticket that opens one connection, within a minute, to topics that may be watched",
            parameters: &[],
            body: Some(Body::Topics),
            answers: Json(201, "Ticket"),
            refuses: &[
                Code::InvalidBody,
                Code::InvalidTaskId,
                Code::InvalidChannel,
                Code::TooManyTopics,
                Code::Unauthenticated,
                Code::Forbidden,
                Code::PayloadTooLarge,
                Code::TooManyTickets,
            ],
        },
        Endpoint::Clients => Described {
            does: "Lists the open connections, the oldest first",
            parameters: &["limit", "cursor"],
            body: None,
            answers: Json(200, "Clients"),
            refuses: &[Code::InvalidQuery, Code::Forbidden],
        },
        Endpoint::Disconnect => Described {
            does: "Sends a client away",
            parameters: &["id"],
            body: None,
            answers: Nothing,
            refuses: &[Code::Forbidden, Code::ClientNotFound],
        },
        Endpoint::Broadcast => Described {
            does: "Publishes an event into a channel, or tells it to every open connection",
            parameters: &[],
            body: Some(Body::Broadcast),
            answers: Json(202, "Told"),
            refuses: &[
                Code::InvalidBody,
                Code::InvalidEvent,
                Code::ReservedEventType,
                Code::InvalidChannel,
                Code::Forbidden,
                Code::PayloadTooLarge,
                Code::TransportDown,
            ],
        },
        Endpoint::Health => Described {
            does: "Tells how the service is; 503 when it is `down`",
            parameters: &[],
            body: None,
            answers: Json(200, "Health"),
            refuses: &[],
        },
        Endpoint::Live => Described {
            does: "Tells that the process answers",
            parameters: &[],
            body: None,
            answers: Json(200, "Standing"),
            refuses: &[],
        },
        Endpoint::Ready => Described {
            does: "Tells whether new connections should be sent here; 503 when it is `down`",
            parameters: &[],
            body: None,
            answers: Json(200, "Standing"),
            refuses: &[],
        },
        Endpoint::Metrics => Described {
            does: "Gives counts in Prometheus' text format",
            parameters: &[],
            body: None,
            answers: Text,
            refuses: &[Code::Unauthenticated, Code::Forbidden],
        },
        Endpoint::OpenApi => Described {
            does: "Gives this document",
            parameters: &[],
            body: None,
            answers: Json(200, "Document"),
            refuses: &[],
        },
    }
}

/// What each route of one task refuses.
const WATCH: [Code; 3] = [Code::InvalidTaskId, Code::Forbidden, Code::InvalidPosition];
