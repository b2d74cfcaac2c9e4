//! `POST /api/video-generation/generate`: a picture, a voice and two wishes become a task.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{FromRequest as _, Multipart, Request, State, multipart::Field},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use demo::{multipart, refusal::Refusal};
use pipeline_gpu::Refusal as Untaken;
use progress_core::{TaskError, TaskId};
use progress_web::TaskUrls;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    server::{App, Limits},
    studio::{Made, Upload},
    users::Token,
};

/// What is answered at once.
#[derive(Debug, Serialize)]
struct Accepted {
    #[serde(flatten)]
    urls: TaskUrls,
    result_url: String,
    /// The token of this task; none where everybody may everything.
    #[serde(flatten)]
    token: Option<Token>,
}

pub(crate) async fn generate(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Where no token is asked for, a page of elsewhere could ask in the name of who looks at it.
    if let Err(error) = app.gateway().check_page(&parts) {
        return error.to_response().map(Body::from);
    }
    match take(&app, Request::from_parts(parts, body)).await {
        Ok(accepted) => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn take(app: &App, request: Request) -> Result<Accepted, Refusal> {
    let limits = app.limits();
    multipart::announced_length(&request, &limits.upload())?;
    let Ok(_place) = app.uploads_under_way().try_acquire() else {
        return Err(limits.upload().too_many());
    };
    // Said before all is read, and again when it is given in: it may have changed.
    if app.studio().waiting() >= limits.waiting {
        return Err(untaken(Untaken::Full {
            limit: limits.waiting,
        }));
    }
    let id = TaskId::random();
    // A client that is never idle for long could else hold its place for hours.
    let upload = timeout(limits.upload_time, read(app, &id, request))
        .await
        .map_err(|_| too_slow(limits.upload_time))??;
    // Before there is work: what nobody could watch or stop is not begun.
    let token = app.users().of_task(&id, app.token_ttl());
    let token = token.map_err(|error| Refusal::internal(&std::io::Error::other(error)))?;
    let task = app.gateway().tracker().task(id.clone());
    let task = task.name("Talking video").kind("video");
    let result_url = app.result_url(&id);
    let renderer = app.renderer_name();
    let result = {
        let url = result_url.clone();
        move |made: &Made| {
            json!({
                "video_url": url,
                "bytes": made.video.bytes,
                "renderer": renderer,
                "detected_persons": made.persons,
                "prosody": made.prosody,
            })
        }
    };
    // Its end is the task's, which its watchers see.
    let run = app.studio().item(upload).submit_with(task, result);
    let run = run.map_err(|error| untaken(error.refusal().clone()))?;
    let kept = app.clone();
    tokio::spawn(async move {
        if run.await.is_ok() {
            kept.keep_prior().await;
        }
    });
    Ok(Accepted {
        urls: app.gateway().urls(&id),
        result_url,
        token,
    })
}

async fn read(app: &App, id: &TaskId, request: Request) -> Result<Upload, Refusal> {
    let limits = app.limits();
    let mut form = Multipart::from_request(request, &()).await?;
    let (mut image, mut audio, mut confidence, mut smoothing) = (None, None, None, false);
    while let Some(field) = multipart::patiently(limits.idle, form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "image" => image = Some(whole(field, "image", limits.image, limits.idle).await?),
            "audio" => audio = Some(whole(field, "audio", limits.audio, limits.idle).await?),
            "conf_threshold" => {
                let text = words(field, "conf_threshold", limits).await?;
                confidence = Some(share("conf_threshold", &text)?);
            }
            "apply_smoothing" => {
                let text = words(field, "apply_smoothing", limits).await?;
                smoothing = truth("apply_smoothing", &text)?;
            }
            // Unknown fields are ignored, as a form may have others.
            _ => drop(whole(field, "a field", limits.image, limits.idle).await?),
        }
    }
    Ok(Upload {
        image: image.ok_or_else(|| missing("image", "a picture: JPEG, PNG or WebP"))?,
        audio: audio.ok_or_else(|| missing("audio", "a recording: WAV, MP3 or FLAC"))?,
        confidence,
        smoothing,
        file: app.result_file(id),
    })
}

/// A field's bytes, up to a limit.
async fn whole(
    field: Field<'_>,
    name: &str,
    limit: usize,
    idle: Duration,
) -> Result<Bytes, Refusal> {
    let bytes = multipart::whole(field, name, limit, idle).await;
    bytes
        .map(Bytes::from)
        .map_err(|refusal| refusal.detail("field", name))
}

/// A field's text, which is short.
async fn words(field: Field<'_>, name: &str, limits: &Limits) -> Result<String, Refusal> {
    let bytes = whole(field, name, LONGEST_WORDS, limits.idle).await?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn share(field: &str, text: &str) -> Result<f32, Refusal> {
    let number = text.parse::<f32>().ok();
    number
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| invalid(field, "a number from 0 to 1"))
}

/// As forms, query strings and programs write it.
fn truth(field: &str, text: &str) -> Result<bool, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" | "" => Ok(false),
        _ => Err(invalid(field, "true or false")),
    }
}

fn missing(field: &str, what: &str) -> Refusal {
    let message = format!("The field {field} is missing");
    Refusal::new(StatusCode::BAD_REQUEST, "MISSING_FIELD", message)
        .detail("field", field)
        .solution(&format!("Send {what}, in the multipart field {field}"))
}

fn invalid(field: &str, expected: &str) -> Refusal {
    let message = format!("{field} has to be {expected}");
    Refusal::new(StatusCode::BAD_REQUEST, "INVALID_FIELD", message).detail("field", field)
}

fn too_slow(limit: Duration) -> Refusal {
    let seconds = limit.as_secs();
    let message = format!("The upload took longer than {seconds} s");
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "UPLOAD_TOO_SLOW", message)
        .detail("limit_s", seconds)
        .solution("Send a smaller picture or a voice that is packed, such as MP3")
}

/// The pipeline does not take it.
fn untaken(refusal: Untaken) -> Refusal {
    let told = TaskError::from(refusal);
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut refusal = Refusal::new(status, told.code(), told.message());
    for (name, value) in told.details().iter() {
        refusal = refusal.detail(name, value.clone());
    }
    told.solutions()
        .iter()
        .fold(refusal, |refusal, solution| refusal.solution(solution))
}

const LONGEST_WORDS: usize = 64;
