//! `GET /api/media/{id}`: an item as it stands.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use progress_core::{Payload, Snapshot, TaskError, TaskId, TaskState};
use progress_web::{ApiError, TaskUrls};
use serde::Serialize;

use crate::{
    item::{ANALYZE, UPLOAD},
    server::App,
};

#[derive(Debug, Serialize)]
struct Media {
    media_id: TaskId,
    name: Option<String>,
    status: Status,
    progress: f64,
    /// Percent of the upload alone.
    upload_progress: f64,
    /// Percent of the analysis alone.
    analysis_progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<TaskError>,
    /// Of the attempts that failed the last one, while it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<TaskError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<TaskId>,
    #[serde(flatten)]
    urls: TaskUrls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Uploading,
    Analyzing,
    Completed,
    Failed,
    Cancelled,
}

pub(crate) async fn media(State(app): State<App>, Path(id): Path<String>) -> Response {
    let tracker = app.gateway().tracker();
    let found = match id.parse::<TaskId>() {
        // What has a name that can be guessed is none of these.
        Ok(id) => tracker.snapshot(id).await.map_err(ApiError::from),
        Err(error) => Err(ApiError::from(error)),
    };
    match found {
        Ok(snapshot) => Json(describe(&app, snapshot)).into_response(),
        Err(error) => error.to_response().map(Body::from),
    }
}

fn describe(app: &App, snapshot: Snapshot) -> Media {
    let percent = |path| {
        let stage = snapshot.stages.iter().find(|stage| &*stage.path == path);
        stage.map_or(0.0, |stage| stage.progress)
    };
    Media {
        status: status(&snapshot),
        upload_progress: percent(UPLOAD),
        analysis_progress: percent(ANALYZE),
        urls: app.gateway().urls(&snapshot.task_id),
        media_id: snapshot.task_id,
        name: snapshot.name.as_deref().map(str::to_owned),
        progress: snapshot.progress,
        result: snapshot.result,
        error: snapshot.error,
        last_error: snapshot.last_error,
        batch_id: snapshot.parent,
    }
}

fn status(snapshot: &Snapshot) -> Status {
    match snapshot.state {
        TaskState::Queued => Status::Pending,
        TaskState::Completed => Status::Completed,
        TaskState::Cancelled => Status::Cancelled,
        TaskState::Failed | TaskState::Abandoned => Status::Failed,
        _ => match snapshot.stage.as_deref() {
            None => Status::Pending,
            Some(UPLOAD) => Status::Uploading,
            Some(_) => Status::Analyzing,
        },
    }
}
