//! `GET /api/video-generation/{task_id}/result`: what came of a task, for whoever may watch it.

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use demo::refusal::Refusal;
use progress_core::{TaskId, TaskState};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};
use tokio_util::io::ReaderStream;

use crate::{media::Sniffed, server::App};

pub(crate) async fn result(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    // Whoever may have the task's snapshot may have its result; this asks for no other than the present one, and waits for none.
    parts.headers.remove(header::IF_NONE_MATCH);
    parts.uri = parts.uri.path().parse().unwrap_or_default();
    let watched = app.gateway().task(&parts, &id).await;
    if watched.status() != StatusCode::OK {
        return watched.map(Body::from);
    }
    // It was checked just now.
    let Ok(id) = id.parse::<TaskId>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match app.gateway().tracker().snapshot(id.clone()).await {
        Ok(snapshot) if snapshot.state == TaskState::Completed => send(&app, &id).await,
        Ok(snapshot) if snapshot.state.is_ended() => {
            let message = "The task ended without a video";
            Refusal::new(StatusCode::NOT_FOUND, "NO_RESULT", message)
                .solution("Look at the task for what went wrong")
                .into_response()
        }
        Ok(_) => Refusal::new(
            StatusCode::CONFLICT,
            "STILL_RUNNING",
            "The video is not done yet",
        )
        .solution("Ask again once the task is completed")
        .into_response(),
        Err(_) => gone(),
    }
}

async fn send(app: &App, id: &TaskId) -> Response {
    let Ok(mut file) = File::open(app.result_file(id)).await else {
        return gone();
    };
    let mut head = [0; 16];
    let read = async {
        let length = file.metadata().await?.len();
        let filled = file.read(&mut head).await?;
        file.rewind().await?;
        Ok::<_, std::io::Error>((length, filled))
    };
    let (length, filled) = match read.await {
        Ok(read) => read,
        Err(error) => return Refusal::internal(&error).into_response(),
    };
    let what = Sniffed::of(&head[..filled]);
    let name = format!("inline; filename=\"{}\"", what.name);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(what.content_type),
        ),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-store"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    let mut response = (headers, Body::from_stream(ReaderStream::new(file))).into_response();
    if let Ok(name) = HeaderValue::try_from(name) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

fn gone() -> Response {
    Refusal::new(
        StatusCode::GONE,
        "RESULT_GONE",
        "The video is not kept any more",
    )
    .solution("Generate it again")
    .into_response()
}
