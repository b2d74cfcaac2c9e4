//! What each route does, takes, gives and refuses. A new route is one more arm of [`describe`].

use super::{
    answers::{Answer, Header},
    bodies::Body,
    parameters::Takes,
};
use crate::{error::Code, routes::Endpoint};

/// One route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    /// What generated clients call it.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) does: &'static str,
    pub(super) takes: &'static [Takes],
    pub(super) body: Option<Body>,
    pub(super) needs: Needs,
    /// What it gives if all is well.
    pub(super) answers: &'static [Answer],
    /// Groups of what is answered if it is not.
    pub(super) refuses: &'static [&'static [Code]],
}

/// What a client has to show, if the service wants to see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing, whatever the service.
    Nothing,
    /// A credential.
    Credential,
    /// A credential, or what was made out of one for watching.
    CredentialOrGrant,
}

impl Described {
    pub(super) fn codes(&self) -> impl Iterator<Item = Code> {
        self.refuses.iter().copied().flatten().copied()
    }
}

pub(super) fn describe(endpoint: Endpoint) -> Described {
    match endpoint {
        Endpoint::WebSocket => Described {
            id: "watchTask",
            tag: WATCHING,
            does: "Watches one task over a WebSocket; what is wrong comes as `rejected` and a close code",
            takes: &[
                Takes::TaskId,
                Takes::After,
                Takes::Replay,
                Takes::Format,
                Takes::Connection,
                Takes::Upgrade,
                Takes::WebSocketVersion,
                Takes::WebSocketKey,
                Takes::WebSocketProtocol,
            ],
            body: None,
            needs: Needs::CredentialOrGrant,
            answers: &[Answer::UPGRADED],
            refuses: &[ALWAYS, &[Code::UpgradeRequired, Code::OriginNotAllowed]],
        },
        Endpoint::WebSockets => Described {
            id: "watchMany",
            tag: WATCHING,
            does: "Watches over a WebSocket what the client asks for by commands",
            takes: &[
                Takes::Format,
                Takes::Connection,
                Takes::Upgrade,
                Takes::WebSocketVersion,
                Takes::WebSocketKey,
                Takes::WebSocketProtocol,
            ],
            body: None,
            needs: Needs::CredentialOrGrant,
            answers: &[Answer::UPGRADED],
            refuses: &[ALWAYS, &[Code::UpgradeRequired, Code::OriginNotAllowed]],
        },
        Endpoint::EventStream => Described {
            id: "streamTask",
            tag: WATCHING,
            does: "Watches one task as an event stream",
            takes: &[
                Takes::TaskId,
                Takes::After,
                Takes::Replay,
                Takes::Named,
                Takes::Format,
                Takes::LastEventId,
            ],
            body: None,
            needs: Needs::CredentialOrGrant,
            answers: &[Answer::EVENTS, Answer::NOTHING_MORE],
            refuses: &[
                ALWAYS,
                &[
                    Code::InvalidTaskId,
                    Code::InvalidPosition,
                    Code::InvalidQuery,
                ],
                PERMISSION,
                CONNECTION,
                BROKER,
            ],
        },
        Endpoint::EventStreams => Described {
            id: "streamMany",
            tag: WATCHING,
            does: "Watches several tasks and channels as one event stream; one that may not be \
                   watched is `rejected` in it, unless all are refused alike",
            takes: &[
                Takes::Ids,
                Takes::Channels,
                Takes::AfterEach,
                Takes::Replay,
                Takes::Named,
                Takes::Format,
                Takes::LastEventId,
            ],
            body: None,
            needs: Needs::CredentialOrGrant,
            answers: &[Answer::EVENTS, Answer::NOTHING_MORE],
            refuses: &[
                ALWAYS,
                &[
                    Code::InvalidTaskId,
                    Code::InvalidChannel,
                    Code::InvalidPosition,
                    Code::InvalidQuery,
                    Code::TooManyTopics,
                ],
                PERMISSION,
                CONNECTION,
                BROKER,
            ],
        },
        Endpoint::Tasks => Described {
            id: "listTasks",
            tag: TASKS,
            does: "Lists tasks, the newest first",
            takes: &[
                Takes::State,
                Takes::Kind,
                Takes::Label,
                Takes::Parent,
                Takes::Limit,
                Takes::Cursor,
            ],
            body: None,
            needs: Needs::Credential,
            answers: const { &[Answer::json(200, "A page of tasks", "Tasks")] },
            refuses: &[
                ALWAYS,
                &[Code::InvalidQuery, Code::InvalidTaskId],
                PERMISSION,
                BROKER,
            ],
        },
        Endpoint::CreateTask => Described {
            id: "startTask",
            tag: TASKS,
            does: "Starts a task without an owner",
            takes: &[],
            body: Some(Body::Task),
            needs: Needs::Credential,
            answers: const {
                &[Answer::json(201, "Where it can be watched", "TaskUrls")
                    .with(&[Header::Location])
                    .leading(&[
                        ("getTask", "task_id", "$response.body#/task_id"),
                        ("getHistory", "task_id", "$response.body#/task_id"),
                        ("streamTask", "task_id", "$response.body#/task_id"),
                        ("publishEvents", "task_id", "$response.body#/task_id"),
                        ("cancelTask", "task_id", "$response.body#/task_id"),
                        ("forgetTask", "task_id", "$response.body#/task_id"),
                    ])]
            },
            refuses: &[
                ALWAYS,
                BODY,
                &[
                    Code::InvalidTaskId,
                    Code::InvalidChannel,
                    Code::AlreadyExists,
                    Code::TooManyChannels,
                    Code::TooManyTasks,
                    Code::Draining,
                ],
                PERMISSION,
                CHANGE,
                BROKER,
            ],
        },
        Endpoint::Task => Described {
            id: "getTask",
            tag: TASKS,
            does: "Gives a task as it stands; held by `wait` until there is something to tell",
            takes: &[Takes::TaskId, Takes::Wait, Takes::IfNoneMatch],
            body: None,
            needs: Needs::CredentialOrGrant,
            answers: const {
                &[
                    Answer::json(200, "The task as it stands", "Snapshot").with(&[Header::ETag]),
                    Answer::nothing(304, "The client knows the present, or nothing came in time")
                        .with(&[Header::ETag, Header::Revalidate]),
                ]
            },
            refuses: &[
                ALWAYS,
                &[Code::InvalidTaskId, Code::InvalidQuery, Code::TaskNotFound],
                PERMISSION,
                CONNECTION,
                BROKER,
            ],
        },
        Endpoint::DeleteTask => Described {
            id: "forgetTask",
            tag: TASKS,
            does: "Forgets a task that has ended",
            takes: &[Takes::TaskId],
            body: None,
            needs: Needs::Credential,
            answers: const { &[Answer::nothing(204, "It is forgotten")] },
            refuses: &[
                ALWAYS,
                &[Code::InvalidTaskId, Code::TaskNotFound, Code::StillRunning],
                PERMISSION,
                CHANGE,
                BROKER,
            ],
        },
        Endpoint::History => Described {
            id: "getHistory",
            tag: TASKS,
            does: "Gives a page of the events of a task that are kept",
            takes: &[Takes::TaskId, Takes::After, Takes::Limit],
            body: None,
            needs: Needs::CredentialOrGrant,
            answers: const { &[Answer::json(200, "A page of events", "History")] },
            refuses: &[
                ALWAYS,
                &[
                    Code::InvalidTaskId,
                    Code::InvalidPosition,
                    Code::InvalidQuery,
                    Code::TaskNotFound,
                ],
                PERMISSION,
                BROKER,
            ],
        },
        Endpoint::Publish => Described {
            id: "publishEvents",
            tag: PUBLISHING,
            does: "Publishes events of a task without an owner; of several each is refused by itself",
            takes: &[Takes::TaskId, Takes::IdempotencyKey],
            body: Some(Body::Events),
            needs: Needs::Credential,
            answers: const {
                &[Answer::json(
                    202,
                    "How many were accepted, and why others were not",
                    "Published",
                )]
            },
            refuses: &[
                ALWAYS,
                BODY,
                EVENTS,
                &[
                    Code::InvalidTaskId,
                    Code::TaskNotFound,
                    Code::AlreadyComplete,
                    Code::TaskOwned,
                    Code::Superseded,
                    // The first event may start the task.
                    Code::TooManyTasks,
                    Code::Draining,
                ],
                PERMISSION,
                CHANGE,
                BROKER,
            ],
        },
        Endpoint::Cancel => Described {
            id: "cancelTask",
            tag: TASKS,
            does: "Asks a task to stop",
            takes: &[Takes::TaskId],
            body: Some(Body::Reason),
            needs: Needs::Credential,
            answers: const { &[Answer::json(202, "It is asked", "Asked")] },
            refuses: &[
                ALWAYS,
                BODY,
                &[
                    Code::InvalidTaskId,
                    Code::TaskNotFound,
                    Code::AlreadyComplete,
                ],
                PERMISSION,
                CHANGE,
                BROKER,
            ],
        },
        Endpoint::PublishToChannel => Described {
            id: "publishToChannel",
            tag: PUBLISHING,
            does: "Publishes events of no task into a channel; of several each is refused by itself",
            takes: &[Takes::ChannelName, Takes::IdempotencyKey],
            body: Some(Body::Events),
            needs: Needs::Credential,
            answers: const {
                &[Answer::json(
                    202,
                    "How many were accepted, and why others were not",
                    "Published",
                )]
            },
            refuses: &[
                ALWAYS,
                BODY,
                EVENTS,
                &[Code::InvalidChannel],
                PERMISSION,
                CHANGE,
                BROKER,
            ],
        },
        Endpoint::Ticket => Described {
            id: "issueTicket",
            tag: WATCHING,
            does: "Issues a ticket that opens one connection, within a minute, to topics that whoever \
                   asks may watch",
            takes: &[],
            body: Some(Body::Topics),
            needs: Needs::Credential,
            answers: const {
                &[Answer::json(201, "The ticket, for `?ticket=`", "Ticket")
                    .with(&[Header::NoStore])]
            },
            refuses: &[
                ALWAYS,
                BODY,
                &[
                    Code::InvalidTaskId,
                    Code::InvalidChannel,
                    Code::TooManyTopics,
                    Code::TooManyTickets,
                ],
                PERMISSION,
                CHANGE,
            ],
        },
        Endpoint::Clients => Described {
            id: "listClients",
            tag: MANAGING,
            does: "Lists the open connections of this process, the oldest first",
            takes: &[Takes::Limit, Takes::ClientCursor],
            body: None,
            needs: Needs::Credential,
            answers: const {
                &[
                    Answer::json(200, "A page of connections", "Clients").leading(&[(
                        "disconnectClient",
                        "id",
                        "$response.body#/clients/0/id",
                    )]),
                ]
            },
            refuses: &[ALWAYS, &[Code::InvalidQuery], PERMISSION],
        },
        Endpoint::Disconnect => Described {
            id: "disconnectClient",
            tag: MANAGING,
            does: "Sends a client away",
            takes: &[Takes::ClientId],
            body: None,
            needs: Needs::Credential,
            answers: const { &[Answer::nothing(204, "It is sent away")] },
            refuses: &[ALWAYS, &[Code::ClientNotFound], PERMISSION, CHANGE],
        },
        Endpoint::Broadcast => Described {
            id: "broadcast",
            tag: MANAGING,
            does: "Publishes an event into a channel, or tells it to every open connection",
            takes: &[],
            body: Some(Body::Broadcast),
            needs: Needs::Credential,
            answers: const { &[Answer::json(202, "It is told", "Told")] },
            refuses: &[
                ALWAYS,
                BODY,
                EVENT,
                &[Code::InvalidChannel],
                PERMISSION,
                CHANGE,
                BROKER,
            ],
        },
        Endpoint::Health => Described {
            id: "getHealth",
            tag: OPERATING,
            does: "Tells how the service is",
            takes: &[],
            body: None,
            needs: Needs::Nothing,
            answers: const {
                &[
                    Answer::json(
                        200,
                        "It is `ok`, or `degraded`: cut off from other nodes",
                        "Health",
                    ),
                    Answer::json(503, "It is `down`: send nothing new here", "Health")
                        .with(&[Header::RetryAfter]),
                ]
            },
            refuses: &[LOOKING_AFTER],
        },
        Endpoint::Live => Described {
            id: "getLive",
            tag: OPERATING,
            does: "Tells that the process answers",
            takes: &[],
            body: None,
            needs: Needs::Nothing,
            answers: const { &[Answer::json(200, "It answers", "Standing")] },
            refuses: &[LOOKING_AFTER],
        },
        Endpoint::Ready => Described {
            id: "getReady",
            tag: OPERATING,
            does: "Tells whether new connections should be sent here",
            takes: &[],
            body: None,
            needs: Needs::Nothing,
            answers: const {
                &[
                    Answer::json(200, "They should", "Standing"),
                    Answer::json(503, "They should not: it is `down`", "Standing")
                        .with(&[Header::RetryAfter]),
                ]
            },
            refuses: &[LOOKING_AFTER],
        },
        Endpoint::Metrics => Described {
            id: "getMetrics",
            tag: OPERATING,
            does: "Gives counts in Prometheus' text format",
            takes: &[],
            body: None,
            needs: Needs::Credential,
            answers: &[Answer::METRICS],
            refuses: &[ALWAYS, PERMISSION],
        },
        Endpoint::OpenApi => Described {
            id: "getDescription",
            tag: OPERATING,
            does: "Gives this document",
            takes: &[],
            body: None,
            needs: Needs::Nothing,
            answers: const { &[Answer::json(200, "OpenAPI 3.1", "Document")] },
            refuses: &[ALWAYS],
        },
        Endpoint::Dashboard => Described {
            id: "getDashboard",
            tag: OPERATING,
            does: "Gives the page that shows the live tasks",
            takes: &[Takes::IfNoneMatch],
            body: None,
            needs: Needs::Nothing,
            answers: const { &[Answer::PAGE, Answer::UNCHANGED] },
            refuses: &[ALWAYS],
        },
        Endpoint::DashboardFile => Described {
            id: "getDashboardFile",
            tag: OPERATING,
            does: "Gives what that page is made of",
            takes: &[Takes::File, Takes::IfNoneMatch],
            body: None,
            needs: Needs::Nothing,
            answers: const { &[Answer::FILE, Answer::UNCHANGED] },
            refuses: &[ALWAYS, &[Code::NotFound]],
        },
    }
}

/// The headings that routes stand under, and what each is about.
pub(super) const TAGS: [(&str, &str); 5] = [
    (WATCHING, "Tasks and channels as they go on"),
    (TASKS, "Tasks as they stand"),
    (
        PUBLISHING,
        "Events of tasks without an owner, and of channels",
    ),
    (MANAGING, "Who is connected"),
    (OPERATING, "How the service is"),
];

const WATCHING: &str = "Watching";
const TASKS: &str = "Tasks";
const PUBLISHING: &str = "Publishing";
const MANAGING: &str = "Managing";
const OPERATING: &str = "Operating";

/// Before it is even looked at what is asked for.
const ALWAYS: &[Code] = &[
    Code::RateLimited,
    Code::HeadersTooLarge,
    Code::UriTooLong,
    Code::HostNotAllowed,
];
/// The same, of whoever looks after the service: not to be turned away for asking often.
const LOOKING_AFTER: &[Code] = &[Code::HeadersTooLarge, Code::UriTooLong];
/// Where the authorizer is asked; a ticket is used up at the broker.
const PERMISSION: &[Code] = &[
    Code::Unauthenticated,
    Code::Forbidden,
    Code::AuthUnavailable,
    Code::CredentialExpired,
    Code::TransportDown,
];
/// Where something is changed.
const CHANGE: &[Code] = &[Code::OriginNotAllowed];
/// Where the answer holds a connection.
const CONNECTION: &[Code] = &[Code::ConnectionLimit, Code::Draining];
/// Where other nodes are asked.
const BROKER: &[Code] = &[Code::TransportDown];
/// Where a body is read.
const BODY: &[Code] = &[
    Code::InvalidBody,
    Code::PayloadTooLarge,
    Code::TooSlow,
    Code::ConnectionLimit,
    Code::UnsupportedEncoding,
];
/// Where an event is published.
const EVENT: &[Code] = &[
    Code::InvalidEvent,
    Code::ReservedEventType,
    Code::TooManyKeys,
    Code::TooManyChannels,
    Code::Refused,
];
/// Where several can be, under an `Idempotency-Key`.
const EVENTS: &[Code] = &[
    Code::InvalidHeader,
    Code::InvalidEvent,
    Code::ReservedEventType,
    Code::TooManyKeys,
    Code::TooManyChannels,
    Code::Refused,
];
