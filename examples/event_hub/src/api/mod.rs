//! The hub's own routes, below `/api`: what changes something, and lists of what there is.

mod upload;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use progress_web::{ApiError, Code, Gateway};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use crate::{
    channel::Channel,
    events::{ApprovalQueueUpdated, QueueStatus},
    hub::{AsOf, Decision, Hub},
    page,
    record::{Export, Job, Photo, Session},
    refusal::Refusal,
    store::Stored,
    users::{Role, User, Users},
};

/// What the handlers share. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) hub: Hub,
    pub(crate) gateway: Gateway,
    pub(crate) users: Users,
    pub(crate) uploads: Arc<Semaphore>,
}

pub(crate) fn router(app: App) -> Router {
    let largest = usize::try_from(app.hub.bounds().request()).unwrap_or(usize::MAX);
    let upload = post(upload::create_job).layer(DefaultBodyLimit::max(largest));
    Router::new()
        .route("/api/me", get(me))
        .route("/api/sessions", get(sessions).post(create_session))
        .route("/api/sessions/{id}", patch(update_session))
        .route("/api/sessions/{id}/complete", post(complete_session))
        .route("/api/jobs", upload.get(jobs))
        .route("/api/jobs/{id}", patch(set_priority))
        .route("/api/queue", get(queue))
        .route("/api/photos", get(photos))
        .route("/api/photos/{id}/select", post(select))
        .route("/api/photos/{id}/approve", post(approve))
        .route("/api/photos/{id}/reject", post(reject))
        .route("/api/photos/{id}/thumbnail", get(thumbnail))
        .route("/api/approvals", get(approvals))
        .route("/api/exports", get(exports).post(export))
        .route("/api/exports/{id}/file", get(export_file))
        .merge(page::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(app)
}

type Answer<T> = Result<Json<T>, Refusal>;

/// Who asks, and what they may: the page shows what is of use to them.
#[derive(Debug, Serialize)]
struct Me {
    name: String,
    role: Option<Role>,
    channels: Vec<&'static str>,
}

async fn me(user: User) -> Json<Me> {
    let heard = |channel: &Channel| user.need(Role::of_channel(*channel)).is_ok();
    Json(Me {
        channels: (Channel::ALL.into_iter().filter(heard))
            .map(Channel::as_str)
            .collect(),
        role: user.role,
        name: user.name,
    })
}

#[derive(Debug, Deserialize)]
struct NewSession {
    name: String,
    #[serde(default)]
    note: String,
}

async fn create_session(
    State(app): State<App>,
    _: Operator,
    Body(session): Body<NewSession>,
) -> Result<(StatusCode, Json<Session>), Refusal> {
    let session = app.hub.create_session(&session.name, &session.note)?;
    Ok((StatusCode::CREATED, Json(session)))
}

#[derive(Debug, Deserialize)]
struct SessionChange {
    name: Option<String>,
    note: Option<String>,
}

async fn update_session(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
    Body(change): Body<SessionChange>,
) -> Answer<Session> {
    let (name, note) = (change.name.as_deref(), change.note.as_deref());
    app.hub.update_session(&id, name, note).map(Json)
}

async fn complete_session(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
) -> Answer<Session> {
    app.hub.complete_session(&id).map(Json)
}

#[derive(Debug, Deserialize)]
struct NewPriority {
    priority: u8,
}

async fn set_priority(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
    Body(body): Body<NewPriority>,
) -> Answer<Job> {
    app.hub.set_priority(&id, body.priority).map(Json)
}

#[derive(Debug, Deserialize)]
struct Selection {
    #[serde(default = "yes")]
    selected: bool,
}

fn yes() -> bool {
    true
}

async fn select(
    State(app): State<App>,
    Reviewer(user): Reviewer,
    Path(id): Path<String>,
    Body(body): Body<Selection>,
) -> Answer<Photo> {
    app.hub.select(&id, body.selected, &user.name).map(Json)
}

async fn approve(
    State(app): State<App>,
    Reviewer(user): Reviewer,
    Path(id): Path<String>,
) -> Answer<Photo> {
    let decided = app.hub.decide(&id, &Decision::Approve, &user.name);
    decided.map(Json)
}

#[derive(Debug, Deserialize)]
struct Rejection {
    reason: Option<String>,
}

async fn reject(
    State(app): State<App>,
    Reviewer(user): Reviewer,
    Path(id): Path<String>,
    Body(body): Body<Rejection>,
) -> Answer<Photo> {
    let decision = Decision::Reject {
        reason: body.reason.filter(|reason| !reason.trim().is_empty()),
    };
    app.hub.decide(&id, &decision, &user.name).map(Json)
}

#[derive(Debug, Deserialize)]
struct NewExport {
    session_id: String,
}

async fn export(
    State(app): State<App>,
    _: Operator,
    Body(export): Body<NewExport>,
) -> Result<(StatusCode, Json<Export>), Refusal> {
    let export = app.hub.export(&export.session_id)?;
    Ok((StatusCode::ACCEPTED, Json(export)))
}

/// What lists can be asked for.
#[derive(Debug, Deserialize)]
struct Listing {
    limit: Option<usize>,
    session_id: Option<String>,
}

impl FromRequestParts<App> for Listing {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let Query(listing) = Query::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::new(Code::InvalidQuery, error.body_text()))?;
        Ok(listing)
    }
}

impl Listing {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL_PAGE).clamp(1, LARGEST_PAGE)
    }
}

#[derive(Debug, Serialize)]
struct Sessions {
    sessions: Vec<Session>,
}

async fn sessions(State(app): State<App>, _: Viewer, listing: Listing) -> Json<AsOf<Sessions>> {
    let sessions = app.hub.sessions(listing.limit());
    Json(sessions.map(|sessions| Sessions { sessions }))
}

#[derive(Debug, Serialize)]
struct Jobs {
    jobs: Vec<Job>,
}

async fn jobs(State(app): State<App>, _: Viewer, listing: Listing) -> Json<AsOf<Jobs>> {
    let jobs = app.hub.jobs(listing.limit());
    Json(jobs.map(|jobs| Jobs { jobs }))
}

#[derive(Debug, Serialize)]
struct Photos {
    photos: Vec<Photo>,
}

async fn photos(State(app): State<App>, _: Viewer, listing: Listing) -> Json<AsOf<Photos>> {
    let session = listing.session_id.as_deref();
    let photos = app.hub.photos(session, listing.limit());
    Json(photos.map(|photos| Photos { photos }))
}

#[derive(Debug, Serialize)]
struct Exports {
    exports: Vec<Export>,
}

async fn exports(State(app): State<App>, _: Operator, listing: Listing) -> Json<AsOf<Exports>> {
    let exports = app.hub.exports(listing.limit());
    Json(exports.map(|exports| Exports { exports }))
}

async fn queue(State(app): State<App>, _: Viewer) -> Json<AsOf<QueueStatus>> {
    Json(app.hub.queue())
}

async fn approvals(State(app): State<App>, _: Reviewer) -> Json<AsOf<ApprovalQueueUpdated>> {
    Json(app.hub.approvals())
}

async fn thumbnail(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let file = app.hub.thumbnail(&id)?;
    send(&file, "image/jpeg").await
}

async fn export_file(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let file = app.hub.export_file(&id)?;
    send(&file, "application/x-tar").await
}

async fn send(file: &Stored, media: &'static str) -> Result<Response, Refusal> {
    let opened = tokio::fs::File::open(file.path()).await;
    let opened =
        opened.map_err(|error| Refusal::internal("the file could not be opened", &error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CONTENT_LENGTH, HeaderValue::from(file.bytes())),
        (header::CACHE_CONTROL, HeaderValue::from_static("private")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    let body = axum::body::Body::from_stream(tokio_util::io::ReaderStream::new(opened));
    Ok((headers, body).into_response())
}

async fn not_found(State(app): State<App>) -> Response {
    app.gateway.not_found().map(axum::body::Body::from)
}

async fn method_not_allowed(State(app): State<App>) -> Response {
    app.gateway.method_not_allowed().map(axum::body::Body::from)
}

/// Whoever may what a viewer may; it is decided before the body is read, as are the others.
pub(crate) struct Viewer;
/// Whoever may what a reviewer may.
pub(crate) struct Reviewer(User);
/// Whoever may what an operator may.
pub(crate) struct Operator;

impl FromRequestParts<App> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        Ok(app.users.who(parts).await?)
    }
}

async fn in_role(parts: &mut Parts, app: &App, role: Role) -> Result<User, Refusal> {
    let user = User::from_request_parts(parts, app).await?;
    user.need(role)?;
    Ok(user)
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        in_role(parts, app, Role::Viewer).await.map(|_| Self)
    }
}

impl FromRequestParts<App> for Reviewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        in_role(parts, app, Role::Reviewer).await.map(Self)
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        in_role(parts, app, Role::Operator).await.map(|_| Self)
    }
}

/// A small body of JSON. An empty one is `{}`.
struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &App) -> Result<Self, Refusal> {
        let read = axum::body::to_bytes(request.into_body(), LARGEST_BODY).await;
        let bytes = read.map_err(|error| {
            tracing::debug!(%error, "a body was not read");
            Refusal::too_large("body", LARGEST_BODY as u64)
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| ApiError::new(Code::InvalidBody, error.to_string()).into())
    }
}

/// Bytes.
const LARGEST_BODY: usize = 16 * 1024;
const USUAL_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
