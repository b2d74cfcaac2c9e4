//! The part of D-ID's API that is here.

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Multipart, Path, Request, State},
    http::{StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    drive::Drive,
    jobs::{Jobs, Order},
};
use crate::media::Sniffed;

pub(super) fn routes(jobs: Jobs) -> Router {
    Router::new()
        .route("/images", post(upload))
        .route("/audios", post(upload))
        .layer(DefaultBodyLimit::max(Jobs::LARGEST))
        .route("/talks", post(create))
        .route("/talks/{id}", get(talk).delete(delete))
        .route_layer(middleware::from_fn_with_state(jobs.clone(), with_key))
        // Whoever has a link has the file, as at D-ID.
        .route("/files/{name}", get(file))
        .with_state(jobs)
}

#[derive(Deserialize)]
struct Wish {
    source_url: String,
    script: Script,
    webhook: Option<String>,
    #[serde(default)]
    config: Map<String, Value>,
}

#[derive(Deserialize)]
struct Script {
    audio_url: String,
}

async fn with_key(State(jobs): State<Jobs>, request: Request, next: Next) -> Response {
    match jobs.knows(request.headers()) {
        true => next.run(request).await,
        false => refused(
            StatusCode::UNAUTHORIZED,
            "AuthorizationError",
            "no such key",
        ),
    }
}

async fn upload(State(jobs): State<Jobs>, mut form: Multipart) -> Response {
    let bytes = async {
        let field = form.next_field().await.ok()??;
        field.bytes().await.ok()
    };
    let Some(bytes) = bytes.await else {
        let why = "a file of up to 64 MiB is needed";
        return refused(StatusCode::BAD_REQUEST, "ValidationError", why);
    };
    match jobs.keep(bytes).await {
        Ok(url) => (StatusCode::CREATED, Json(json!({ "url": url }))).into_response(),
        Err(error) => {
            let why = error.to_string();
            refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                &why,
            )
        }
    }
}

async fn create(State(jobs): State<Jobs>, Json(mut wish): Json<Wish>) -> Response {
    let drive = match wish.config.remove(Drive::OPTION) {
        None => None,
        Some(drive) => {
            let drive = serde_json::from_value::<Drive>(drive)
                .ok()
                .and_then(Drive::checked);
            if drive.is_none() {
                let why = "config.stand_in is no drive";
                return refused(StatusCode::BAD_REQUEST, "ValidationError", why);
            }
            drive
        }
    };
    let Ok(webhook) = wish.webhook.map(|url| url.parse::<Uri>()).transpose() else {
        let why = "webhook is no URL";
        return refused(StatusCode::BAD_REQUEST, "ValidationError", why);
    };
    let talk = jobs.begin(Order {
        image: wish.source_url,
        audio: wish.script.audio_url,
        drive,
        webhook,
    });
    (StatusCode::CREATED, Json(talk)).into_response()
}

async fn talk(State(jobs): State<Jobs>, Path(id): Path<String>) -> Response {
    jobs.talk(&id)
        .map_or_else(unknown, |talk| Json(talk).into_response())
}

async fn delete(State(jobs): State<Jobs>, Path(id): Path<String>) -> Response {
    match jobs.delete(&id) {
        true => Json(json!({ "id": id })).into_response(),
        false => unknown(),
    }
}

async fn file(State(jobs): State<Jobs>, Path(name): Path<String>) -> Response {
    let Some(bytes): Option<Bytes> = jobs.file(&name).await else {
        return unknown();
    };
    let content_type = Sniffed::of(&bytes).content_type;
    ([(header::CONTENT_TYPE, content_type)], Body::from(bytes)).into_response()
}

fn unknown() -> Response {
    refused(
        StatusCode::NOT_FOUND,
        "NotFoundError",
        "there is none of this name",
    )
}

fn refused(status: StatusCode, kind: &str, description: &str) -> Response {
    (
        status,
        Json(json!({ "kind": kind, "description": description })),
    )
        .into_response()
}
