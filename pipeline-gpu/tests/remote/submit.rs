//! Submitting, asking, deleting: what is tried again, and what is not.

use std::time::{Duration, Instant};

use pipeline_gpu::remote::{Media, RemoteError, RenderRequest, TalkStatus};
use progress_core::TaskError;
use serde_json::{Value, json};

use crate::server::{Reply, Server, request};

fn created() -> Reply {
    Reply::Json(
        201,
        json!({"id": "tlk_1", "status": "created", "object": "talk"}).to_string(),
    )
}

#[tokio::test]
async fn a_job_is_submitted_with_the_key_and_with_all_that_was_set() {
    let server = Server::start().await;
    server.replies("POST /talks", [created()]);
    let request = request()
        .webhook("https://example.com/hook")
        .name("a name")
        .user_data("task-17")
        .config("stitch", true);
    let talk = server.renderer().submit(&request).await.unwrap();
    assert_eq!(
        (talk.id.as_str(), talk.status),
        ("tlk_1", TalkStatus::Created)
    );
    let heard = &server.heard("POST /talks")[0];
    // user:secret
    assert_eq!(heard.headers["authorization"], "Basic dXNlcjpzZWNyZXQ=");
    assert_eq!(heard.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&heard.body).unwrap();
    let expected = json!({
        "source_url": "https://example.com/face.png",
        "script": {"type": "audio", "audio_url": "https://example.com/voice.mp3"},
        "webhook": "https://example.com/hook",
        "name": "a name",
        "user_data": "task-17",
        "config": {"stitch": true},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_is_not_on_the_web_is_uploaded_before() {
    let server = Server::start().await;
    server.replies(
        "POST /images",
        [Reply::json(&json!({"url": "s3://bucket/face.png"}))],
    );
    let voice = json!({"url": "s3://bucket/voice.mp3", "id": "a1", "duration": 2.5});
    server.replies("POST /audios", [Reply::status(503), Reply::json(&voice)]);
    server.replies("POST /talks", [created()]);
    let request = RenderRequest::new(
        Media::upload("face.png", "image/png", &b"the picture"[..]),
        Media::upload("voice.mp3", "audio/mpeg", &b"the voice"[..]),
    );
    server.renderer().submit(&request).await.unwrap();
    let image = String::from_utf8(server.heard("POST /images")[0].body.clone()).unwrap();
    assert!(
        image.contains("name=\"image\"; filename=\"face.png\""),
        "{image}"
    );
    assert!(
        image.contains("Content-Type: image/png\r\n\r\nthe picture\r\n"),
        "{image}"
    );
    // The upload is made whole both times.
    let voices = server.heard("POST /audios");
    assert_eq!(voices.len(), 2);
    for voice in voices {
        let voice = String::from_utf8(voice.body).unwrap();
        assert!(
            voice.contains("name=\"audio\"") && voice.contains("the voice"),
            "{voice}"
        );
    }
    let body: Value = serde_json::from_slice(&server.heard("POST /talks")[0].body).unwrap();
    assert_eq!(body["source_url"], "s3://bucket/face.png");
    assert_eq!(body["script"]["audio_url"], "s3://bucket/voice.mp3");
}

#[tokio::test]
async fn what_the_renderer_would_refuse_is_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let renderer = server.builder().max_upload(10).build().unwrap();
    let fine = || Media::url("https://example.com/it");
    let upload = |bytes: &'static [u8]| Media::upload("it", "image/png", bytes);
    for (request, named) in [
        (RenderRequest::new(Media::url("no url"), fine()), "image"),
        (
            RenderRequest::new(fine(), Media::url("file:///etc/passwd")),
            "audio",
        ),
        (RenderRequest::new(upload(b""), fine()), "image"),
        (RenderRequest::new(upload(b"eleven bytes"), fine()), "image"),
        (request().webhook("http://example.com"), "webhook"),
        (request().user_data("x".repeat(1001)), "user_data"),
    ] {
        let error = renderer.submit(&request).await.unwrap_err();
        assert!(
            matches!(error, RemoteError::Input { field, .. } if field == named),
            "{error}"
        );
    }
    assert!(server.heard("POST /talks").is_empty() && server.heard("POST /images").is_empty());
    let request = RenderRequest::new(Media::upload("it", "no type", &b"1"[..]), fine());
    let error = renderer.submit(&request).await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Input { field: "image", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_out_of_order_is_asked_again() {
    let server = Server::start().await;
    let fails = [Reply::status(503), Reply::status(429), Reply::status(503)];
    server.replies("POST /talks", fails.into_iter().chain([created()]));
    server.renderer().submit(&request()).await.unwrap();
    // A renderer that knows the header sees that it is one job, and that the next is another.
    server.renderer().submit(&request()).await.unwrap();
    let mut keys = server.heard("POST /talks");
    let mut keys = keys.iter_mut().map(|heard| {
        let key = heard.headers.remove("idempotency-key").unwrap();
        key.to_str().unwrap().to_owned()
    });
    let first = keys.next().unwrap();
    assert_eq!(first.len(), 32);
    let others: Vec<_> = keys.collect();
    assert_eq!(others.len(), 4);
    assert!(others[..3].iter().all(|key| *key == first));
    assert_ne!(others[3], first);

    let fails = [Reply::status(502), Reply::status(504), Reply::status(408)];
    let done = Reply::json(&json!({"id": "tlk_1", "status": "started"}));
    server.replies("GET /talks/tlk_1", fails.into_iter().chain([done]));
    let talk = server.renderer().talk("tlk_1").await.unwrap();
    assert_eq!(talk.status, TalkStatus::Started);
}

#[tokio::test]
async fn attempts_come_to_an_end_and_the_last_error_is_told() {
    let server = Server::start().await;
    server.replies("GET /talks/tlk_1", [Reply::status(500)]);
    let renderer = server.builder().attempts(3).build().unwrap();
    let error = renderer.talk("tlk_1").await.unwrap_err();
    assert_eq!(
        error,
        RemoteError::Unavailable {
            status: 500,
            retry_after: None
        }
    );
    assert_eq!(server.heard("GET /talks/tlk_1").len(), 3);
    let error = TaskError::from(error);
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("RENDER_UNAVAILABLE", true)
    );
}

#[tokio::test]
async fn a_job_that_may_have_been_taken_is_not_submitted_again() {
    let server = Server::start().await;
    let ms = Duration::from_millis;
    let renderer = server.builder().request_timeout(ms(500)).build().unwrap();
    for reply in [
        Reply::status(500),
        Reply::status(502),
        Reply::status(504),
        Reply::Silence,
        Reply::Cut(1000, b"{".to_vec()),
    ] {
        let before = server.heard("POST /talks").len();
        server.replies("POST /talks", [reply.clone()]);
        let error = renderer.submit(&request()).await.unwrap_err();
        assert_eq!(error, RemoteError::Unsure, "{reply:?}");
        assert_eq!(server.heard("POST /talks").len(), before + 1, "{reply:?}");
        assert!(!TaskError::from(error).is_retryable());
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let server = Server::start().await;
    let busy = Reply::Header(429, "retry-after", "1");
    server.replies("POST /talks", [busy, created()]);
    let started = Instant::now();
    server.renderer().submit(&request()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.heard("POST /talks").len(), 2);
}

#[tokio::test]
async fn a_retry_after_that_is_too_long_is_told_at_once() {
    let server = Server::start().await;
    // A date, and far away: 2199.
    let dates = Reply::Header(429, "retry-after", "Tue, 01 Jan 2199 00:00:00 GMT");
    for (reply, least) in [
        (Reply::Header(429, "retry-after", "3600"), 3600),
        (dates, 1 << 30),
    ] {
        server.replies("POST /talks", [reply]);
        let before = server.heard("POST /talks").len();
        let error = server.renderer().submit(&request()).await.unwrap_err();
        let RemoteError::RateLimited {
            retry_after: Some(wait),
        } = error
        else {
            panic!("{error}");
        };
        assert!(wait >= Duration::from_secs(least));
        assert_eq!(server.heard("POST /talks").len(), before + 1);
        let error = TaskError::from(error);
        assert_eq!(
            (error.code(), error.is_retryable()),
            ("RENDER_RATE_LIMITED", true)
        );
        // A worker that tries again is not held for a day.
        assert_eq!(error.retry_after_ms(), Some(300_000));
    }
    // A date that has passed asks for no wait.
    let past = Reply::Header(503, "retry-after", "Sat, 01 Jan 2000 00:00:00 GMT");
    server.replies("POST /talks", [past, created()]);
    server.renderer().submit(&request()).await.unwrap();
}

#[tokio::test]
async fn what_the_renderer_refuses_is_not_tried_again_and_says_why() {
    let server = Server::start().await;
    let why = json!({"kind": "ValidationError", "description": "face not found"}).to_string();
    for (reply, code, text) in [
        (
            Reply::Json(400, why.clone()),
            "RENDER_REFUSED",
            "with 400: face not found",
        ),
        (
            Reply::Json(400, why.replace("face", "https://a.example.com/b?signed=1")),
            "RENDER_REFUSED",
            "with 400: https://a.example.com/b not found",
        ),
        (
            Reply::Json(422, "<html>".to_owned()),
            "RENDER_REFUSED",
            "with 422: no reason given",
        ),
        (
            Reply::Header(302, "location", "/talks"),
            "RENDER_REFUSED",
            "with 302",
        ),
        (Reply::status(401), "RENDER_UNAUTHORIZED", "key"),
        (Reply::status(403), "RENDER_UNAUTHORIZED", "key"),
        (Reply::status(402), "RENDER_NO_CREDIT", "credit"),
        (
            Reply::Json(200, "{\"id\": 5}".to_owned()),
            "RENDER_ANSWER_INVALID",
            "no JSON",
        ),
        (
            Reply::Json(200, "<html>".to_owned()),
            "RENDER_ANSWER_INVALID",
            "no JSON",
        ),
        (
            Reply::Endless,
            "RENDER_ANSWER_INVALID",
            "more than 262144 bytes",
        ),
    ] {
        let before = server.heard("POST /talks").len();
        server.replies("POST /talks", [reply.clone()]);
        let error = TaskError::from(server.renderer().submit(&request()).await.unwrap_err());
        assert_eq!(error.code(), code, "{reply:?}");
        assert!(error.message().contains(text), "{}", error.message());
        assert!(
            !error.is_retryable() && error.solutions().len() == 1,
            "{reply:?}"
        );
        assert_eq!(server.heard("POST /talks").len(), before + 1, "{reply:?}");
    }
}

#[tokio::test]
async fn no_answer_is_a_timeout() {
    let server = Server::start().await;
    server.replies("GET /talks/tlk_1", [Reply::Silence]);
    let limit = Duration::from_millis(300);
    let renderer = server
        .builder()
        .request_timeout(limit)
        .attempts(2)
        .build()
        .unwrap();
    let error = renderer.talk("tlk_1").await.unwrap_err();
    assert_eq!(
        error,
        RemoteError::Timeout {
            what: "the renderer's answer",
            limit
        }
    );
    assert_eq!(server.heard("GET /talks/tlk_1").len(), 2);
    assert_eq!(TaskError::from(error).code(), "RENDER_TIMEOUT");
}

#[tokio::test]
async fn nobody_there_is_told_without_the_key_or_the_url() {
    let server = Server::start().await;
    // Bound and closed: nobody listens on it.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let key = pipeline_gpu::remote::ApiKey::basic("user", "secret").unwrap();
    let ms = Duration::from_millis;
    let renderer = pipeline_gpu::remote::Renderer::builder(&address, key)
        .delays(ms(1), ms(1))
        .attempts(2)
        .build()
        .unwrap();
    drop(server);
    let error = renderer.submit(&request()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the renderer cannot be reached: no connection"
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_id_is_one_part_of_the_path_whatever_is_in_it() {
    let server = Server::start().await;
    server.renderer().delete("../keys/a b?x=1").await.unwrap();
    assert_eq!(
        server.heard("DELETE /talks/..%2Fkeys%2Fa%20b%3Fx=1").len(),
        1
    );
}

#[tokio::test]
async fn what_can_be_no_id_is_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let renderer = server.renderer();
    for id in ["", ".", "..", ".\t.", "\n"] {
        let error = renderer.delete(id).await.unwrap_err();
        assert!(matches!(error, RemoteError::Input { field: "id", .. }));
        let error = renderer.talk(id).await.unwrap_err();
        assert!(matches!(error, RemoteError::Input { field: "id", .. }));
        // Also where the renderer gives it.
        let made = json!({"id": id, "status": "created"});
        server.replies("POST /talks", [Reply::json(&made)]);
        let error = renderer.submit(&request()).await.unwrap_err();
        assert!(matches!(error, RemoteError::Answer { .. }), "{error}");
    }
    for what in ["DELETE /talks", "DELETE /talks/", "DELETE /", "GET /talks/"] {
        assert!(server.heard(what).is_empty(), "{what}");
    }
}

#[tokio::test]
async fn deleting_what_is_not_there_is_no_error() {
    let server = Server::start().await;
    server.replies("DELETE /talks/tlk_1", [Reply::status(404)]);
    assert_eq!(server.renderer().delete("tlk_1").await, Ok(()));
    server.replies("DELETE /talks/tlk_1", [Reply::status(400)]);
    let error = server.renderer().delete("tlk_1").await.unwrap_err();
    assert!(matches!(error, RemoteError::Refused { status: 400, .. }));
}
