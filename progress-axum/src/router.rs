//! The routes.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRequestParts, RawPathParams, Request, State, ws::WebSocketUpgrade},
    http::{HeaderValue, header, request::Parts},
    response::Response,
    routing::get,
};
use futures_util::StreamExt;
use progress_core::ProgressTracker;
use progress_web::{ApiError, Code, EventStream, Gateway};

use crate::socket;

/// Makes the routes of a tracker with the defaults: random ids can be watched by whoever knows
/// them, all else is refused; see [`Gateway::builder`] for more.
///
/// ```
/// use progress_axum::{ProgressTracker, router};
///
/// let tracker = ProgressTracker::new();
/// let app: axum::Router = axum::Router::new().merge(router(tracker));
/// # drop(app);
/// ```
pub fn router(tracker: ProgressTracker) -> Router {
    router_with(Gateway::new(tracker))
}

/// Makes the routes of a gateway.
///
/// It has no fallback and no state left, so that it merges and nests into any router; where it is
/// nested, tell the gateway by [`prefix`](progress_web::GatewayBuilder::prefix).
///
/// ```
/// use progress_axum::{Gateway, Open, ProgressTracker, router_with};
///
/// let gateway = Gateway::builder(ProgressTracker::new())
///     .authorizer(Open::new().named_ids().listing())
///     .prefix("/api")
///     .build();
/// let app: axum::Router = axum::Router::new().nest("/api", router_with(gateway));
/// # drop(app);
/// ```
pub fn router_with(gateway: Gateway) -> Router {
    Router::new()
        .route("/ws/progress/{task_id}", get(web_socket))
        .route("/sse/progress/{task_id}", get(event_stream))
        .route("/sse", get(event_streams))
        .route("/tasks", get(tasks))
        .route("/tasks/{task_id}", get(task))
        .route("/tasks/{task_id}/history", get(history))
        .route("/health", get(health))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(gateway)
}

/// What stands in the path for a task id, be it one or not: judging it is the gateway's. By its
/// name, as the path that the routes are nested under may hold parameters too.
struct TaskName(String);

impl<S: Send + Sync> FromRequestParts<S> for TaskName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let name = params
            .as_ref()
            .and_then(|params| params.iter().find(|(name, _)| *name == "task_id"));
        // What is not even text is no id either.
        Ok(Self(name.map_or("\u{fffd}", |(_, id)| id).to_owned()))
    }
}

async fn web_socket(
    State(gateway): State<Gateway>,
    TaskName(task_id): TaskName,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => {
            let session = gateway.web_socket(&parts, &task_id).await;
            socket::upgrade(upgrade, &gateway, session)
        }
        Err(rejection) => {
            tracing::debug!(%rejection, "not a WebSocket handshake");
            let error = ApiError::new(
                Code::UpgradeRequired,
                "this route speaks WebSocket: an upgrade is needed",
            );
            let mut response = error.to_response();
            let upgrade = HeaderValue::from_static("websocket");
            response.headers_mut().insert(header::UPGRADE, upgrade);
            response.map(Body::from)
        }
    }
}

async fn event_stream(
    State(gateway): State<Gateway>,
    TaskName(task_id): TaskName,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    stream(gateway.event_stream(&parts, &task_id).await)
}

async fn event_streams(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    stream(gateway.event_streams(&parts).await)
}

async fn tasks(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    gateway.tasks(&parts).await.map(Body::from)
}

async fn task(
    State(gateway): State<Gateway>,
    TaskName(task_id): TaskName,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    gateway.task(&parts, &task_id).await.map(Body::from)
}

async fn history(
    State(gateway): State<Gateway>,
    TaskName(task_id): TaskName,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    gateway.history(&parts, &task_id).await.map(Body::from)
}

async fn health(State(gateway): State<Gateway>) -> Response {
    gateway.health().map(Body::from)
}

async fn method_not_allowed(State(gateway): State<Gateway>) -> Response {
    gateway.method_not_allowed().map(Body::from)
}

fn stream(opened: Result<Response<EventStream>, Response<Bytes>>) -> Response {
    match opened {
        Ok(response) => response.map(|stream| Body::from_stream(stream.map(Ok::<_, Infallible>))),
        Err(response) => response.map(Body::from),
    }
}
