//! `POST /api/video-generation/webhook`: the renderer says that a job has ended, so that nobody waits for the next time to ask.

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use demo::refusal::Refusal;
use pipeline_gpu::remote::{Renderer, Webhook, WebhookError};
use progress_core::TaskError;
use progress_web::Origin;
use tokio::time::timeout;

#[derive(Clone)]
struct Ear {
    webhook: Webhook,
    /// Whose jobs are waited on.
    renderer: Renderer,
    /// How long a message may take.
    time: Duration,
}

/// The route, for messages that are signed as `webhook` has it.
pub(crate) fn routes(webhook: Webhook, renderer: Renderer, time: Duration) -> Router {
    let ear = Ear {
        webhook,
        renderer,
        time,
    };
    Router::new()
        .route(ROUTE, post(heard))
        .layer(DefaultBodyLimit::max(Webhook::MAX_BODY))
        .with_state(ear)
}

/// What the renderer is told to post to where it reaches this server at this origin.
pub(crate) fn url(public: &str) -> Result<String, TaskError> {
    let is_origin = public.starts_with("https://") && public.parse::<Origin>().is_ok();
    if !is_origin {
        let message = format!("{public} is no origin by https");
        let error = TaskError::new("PUBLIC_URL_INVALID", message);
        return Err(error.solution("--public-url https://video.example.org"));
    }
    Ok(format!("{public}{ROUTE}"))
}

async fn heard(State(ear): State<Ear>, request: Request) -> Response {
    match hear(&ear, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn hear(ear: &Ear, request: Request) -> Result<(), Refusal> {
    let headers = request.headers().clone();
    let body = timeout(ear.time, Bytes::from_request(request, &()))
        .await
        .map_err(|_| Refusal::stalled(ear.time))?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => invalid(rejection.body_text()),
    })?;
    let talk = ear
        .webhook
        .verify(&headers, &body)
        .map_err(|error| match error {
            WebhookError::TooLarge => too_large(),
            WebhookError::Body => invalid(error.to_string()),
            _ => unsigned(error),
        })?;
    match ear.renderer.hint(&talk) {
        true => Ok(()),
        // It may have come before the answer to the job's submission did: who sends it again then finds somebody.
        false => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "NOBODY_WAITS",
            "Nobody here waits on that job",
        )),
    }
}

fn unsigned(error: WebhookError) -> Refusal {
    let status = StatusCode::UNAUTHORIZED;
    Refusal::new(status, "WEBHOOK_SIGNATURE_INVALID", error.to_string()).solution(
        "Send the body's HMAC-SHA256 in X-Signature, in hexadecimal digits, by the secret of this server",
    )
}

fn invalid(why: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "WEBHOOK_INVALID", why)
}

fn too_large() -> Refusal {
    Refusal::too_large("The message", Webhook::MAX_BODY as u64)
}

const ROUTE: &str = "/api/video-generation/webhook";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renderers_are_told_of_origins_by_https_alone() {
        let told = url("https://video.example.org:8443").unwrap();
        assert_eq!(
            told,
            "https://video.example.org:8443/api/video-generation/webhook"
        );
        for other in [
            "http://video.example.org",
            "https://video.example.org/",
            "https://key@video.example.org",
            "https://",
            "video.example.org",
        ] {
            let error = url(other).unwrap_err();
            assert_eq!(error.code(), "PUBLIC_URL_INVALID", "{other}");
        }
    }
}
