//! Jobs from their submission to their end, be it a good one.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use pipeline_gpu::{
    Cancel,
    remote::{Media, RemoteError, RenderRequest, RenderUpdate, Renderer, TalkStatus},
};
use progress_core::TaskError;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::server::{Reply, Server, request};

fn talk(status: &str) -> Value {
    json!({"id": "tlk_1", "status": status})
}

/// A server whose job is told to go this way.
async fn server(polls: impl IntoIterator<Item = Reply>) -> Server {
    let server = Server::start().await;
    server.replies("POST /talks", [Reply::json(&talk("created"))]);
    server.replies("GET /talks/tlk_1", polls);
    server
}

fn file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("talk.mp4");
    (folder, file)
}

async fn render(
    renderer: &Renderer,
    cancel: &Cancel,
) -> (Result<u64, RemoteError>, Vec<RenderUpdate>) {
    let (_folder, file) = file();
    let mut updates = Vec::new();
    let told = |update: &RenderUpdate| updates.push(update.clone());
    let result = renderer.render(&request(), &file, cancel, told).await;
    assert_eq!(result.is_ok(), file.exists());
    (result, updates)
}

#[tokio::test]
async fn a_job_is_followed_to_its_video_and_every_poll_is_told() {
    let server = server([]).await;
    let mut done = talk("done");
    done["result_url"] = json!(server.url("/result/talk.mp4?signature=hidden"));
    let polls = [talk("created"), talk("started"), talk("brand new"), done]
        .each_ref()
        .map(Reply::json);
    server.replies("GET /talks/tlk_1", polls);
    server.replies("GET /result/talk.mp4", [Reply::Bytes(vec![5; 3000])]);
    let (_folder, file) = file();
    let mut updates = Vec::new();
    let told = |update: &RenderUpdate| updates.push((update.status, update.polls));
    let bytes = server
        .renderer()
        .render(&request(), &file, &Cancel::new(), told)
        .await;
    assert_eq!(bytes, Ok(3000));
    assert_eq!(std::fs::read(&file).unwrap(), [5; 3000]);
    let statuses = [
        TalkStatus::Created,
        TalkStatus::Created,
        TalkStatus::Started,
        TalkStatus::Other,
        TalkStatus::Done,
    ];
    assert_eq!(updates, statuses.into_iter().zip(0..).collect::<Vec<_>>());
    // The result lies elsewhere; whoever keeps it is not shown the key.
    let heard = &server.heard("GET /result/talk.mp4")[0];
    assert!(!heard.headers.contains_key("authorization"));
    assert!(server.heard("DELETE /talks/tlk_1").is_empty());
}

#[tokio::test]
async fn a_job_that_fails_says_why_and_whether_another_try_makes_sense() {
    for (status, error, code, retryable) in [
        (
            "error",
            json!({"kind": "FaceError", "description": "no face"}),
            "RENDER_FAILED",
            false,
        ),
        (
            "error",
            json!({"kind": "InternalServerError"}),
            "RENDER_FAILED",
            true,
        ),
        ("error", Value::Null, "RENDER_FAILED", false),
        (
            "rejected",
            json!({"description": "a celebrity"}),
            "RENDER_REJECTED",
            false,
        ),
        // What it repeats of links is told without what they are signed by.
        (
            "error",
            json!({
                "kind": "FetchError",
                "description": "could not fetch https://s3.example.com/a.mp3 of \"HTTPS://me:hidden@\
                    example.com/b?X-Amz-Signature=hidden\" (s3://c#hidden) in time",
            }),
            "RENDER_FAILED",
            false,
        ),
        ("done", Value::Null, "RENDER_ANSWER_INVALID", false),
    ] {
        let mut ended = talk(status);
        ended["error"] = error.clone();
        let server = server([Reply::json(&talk("started")), Reply::json(&ended)]).await;
        let (result, updates) = render(&server.renderer(), &Cancel::new()).await;
        assert_eq!(updates.len(), 3);
        let told = TaskError::from(result.unwrap_err());
        assert_eq!(
            (told.code(), told.is_retryable()),
            (code, retryable),
            "{error}"
        );
        assert_eq!(told.solutions().len(), 1);
        let description = error["description"].as_str().unwrap_or("");
        if description.contains("hidden") {
            let expected =
                "fetch https://s3.example.com/a.mp3 of \"HTTPS://example.com/b (s3://c in time";
            assert!(told.message().ends_with(expected), "{}", told.message());
        } else {
            assert!(told.message().contains(description), "{}", told.message());
        }
        // What has ended needs no deleting.
        assert!(server.heard("DELETE /talks/tlk_1").is_empty());
    }
}

#[tokio::test]
async fn a_job_that_never_ends_is_given_up_and_deleted() {
    let server = server([Reply::json(&talk("started"))]).await;
    let limit = Duration::from_secs(3);
    let renderer = server.builder().job_timeout(limit).build().unwrap();
    let (result, updates) = render(&renderer, &Cancel::new()).await;
    assert_eq!(
        result,
        Err(RemoteError::Timeout {
            what: "the render",
            limit
        })
    );
    assert!(updates.len() > 2);
    assert_eq!(server.heard("DELETE /talks/tlk_1").len(), 1);
}

#[tokio::test]
async fn a_job_that_runs_outlasts_an_outage() {
    let page = Reply::Json(200, "<html>".to_owned());
    let busy = Reply::Header(429, "retry-after", "0");
    let mut polls = vec![Reply::status(503); 8];
    polls.extend([page, busy, Reply::Cut(100, b"{".to_vec())]);
    let server = server([]).await;
    let mut done = talk("done");
    done["result_url"] = json!(server.url("/result/talk.mp4"));
    polls.push(Reply::json(&done));
    server.replies("GET /talks/tlk_1", polls);
    server.replies("GET /result/talk.mp4", [Reply::Bytes(vec![5; 30])]);
    let (result, updates) = render(&server.renderer(), &Cancel::new()).await;
    assert_eq!((result, updates.len()), (Ok(30), 2));
    assert_eq!(server.heard("POST /talks").len(), 1);
    assert!(server.heard("DELETE /talks/tlk_1").is_empty());
}

#[tokio::test]
async fn a_job_that_cannot_be_asked_for_is_given_up_and_deleted() {
    let page = Reply::Json(200, "<html>".to_owned());
    for (reply, code, polls) in [
        (Reply::status(401), "RENDER_UNAUTHORIZED", 1),
        (Reply::status(404), "RENDER_REFUSED", 1),
        (page, "RENDER_ANSWER_INVALID", 5),
    ] {
        let server = server([reply]).await;
        let (result, _) = render(&server.renderer(), &Cancel::new()).await;
        assert_eq!(result.unwrap_err().code(), code);
        assert_eq!(server.heard("GET /talks/tlk_1").len(), polls, "{code}");
        assert_eq!(server.heard("DELETE /talks/tlk_1").len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_flag_ends_the_attempts_to_submit() {
    let server = server([]).await;
    let busy = Reply::Header(429, "retry-after", "20");
    server.replies("POST /talks", [busy, Reply::json(&talk("created"))]);
    let (renderer, cancel) = (server.renderer(), Cancel::new());
    let stopped = async {
        server.hears("POST /talks").await;
        cancel.cancel();
        Instant::now()
    };
    let ((result, _), stopped) = tokio::join!(render(&renderer, &cancel), stopped);
    assert_eq!(result, Err(RemoteError::Cancelled));
    assert!(stopped.elapsed() < Duration::from_secs(10));
    assert_eq!(server.heard("POST /talks").len(), 1);
}

#[tokio::test]
async fn a_job_that_nobody_waits_on_any_more_is_deleted() {
    // While it is submitted, and while it is waited on.
    for what in ["POST /talks", "GET /talks/tlk_1"] {
        let server = server([Reply::Silence]).await;
        let answered = Arc::new(Notify::new());
        let late = Reply::When(answered.clone(), talk("created").to_string());
        server.replies("POST /talks", [late]);
        if what != "POST /talks" {
            answered.notify_one();
        }
        let (renderer, cancel) = (server.renderer(), Cancel::new());
        tokio::select! {
            _ = render(&renderer, &cancel) => panic!("it is waited on"),
            () = server.hears(what) => {}
        }
        answered.notify_one();
        server.hears("DELETE /talks/tlk_1").await;
        assert_eq!(server.heard("POST /talks").len(), 1);
    }
}

#[tokio::test]
async fn a_flag_stops_the_wait_and_deletes_the_job() {
    let server = server([Reply::Silence]).await;
    let renderer = server.renderer();
    let cancel = Cancel::new();
    let stopped = async {
        server.hears("GET /talks/tlk_1").await;
        cancel.cancel();
        Instant::now()
    };
    let ((result, _), stopped) = tokio::join!(render(&renderer, &cancel), stopped);
    assert!(stopped.elapsed() < Duration::from_secs(5));
    assert_eq!(result, Err(RemoteError::Cancelled));
    assert_eq!(server.heard("DELETE /talks/tlk_1").len(), 1);
}

#[tokio::test]
async fn a_flag_that_is_set_before_submits_nothing() {
    let server = server([]).await;
    let cancel = Cancel::new();
    cancel.cancel();
    let (result, updates) = render(&server.renderer(), &cancel).await;
    assert_eq!((result, updates.len()), (Err(RemoteError::Cancelled), 0));
    assert!(server.heard("POST /talks").is_empty());
}

#[tokio::test]
async fn a_flag_stops_an_upload_and_submits_nothing() {
    let server = server([]).await;
    server.replies("POST /images", [Reply::Silence]);
    let image = Media::upload("face.png", "image/png", &b"the picture"[..]);
    let request = RenderRequest::new(image, Media::url("https://example.com/voice.mp3"));
    let (renderer, cancel) = (server.renderer(), Cancel::new());
    let (_folder, file) = file();
    let stopped = async {
        server.hears("POST /images").await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(renderer.render(&request, &file, &cancel, |_| {}), stopped);
    assert_eq!(result, Err(RemoteError::Cancelled));
    assert!(server.heard("POST /talks").is_empty());
}

#[tokio::test]
async fn the_renderer_says_when_to_ask_again() {
    let ended = Reply::json(&talk("error"));
    for first in [
        Reply::Later("1", talk("started").to_string()),
        Reply::Header(429, "retry-after", "1"),
    ] {
        let server = server([first, ended.clone()]).await;
        let started = Instant::now();
        let (result, _) = render(&server.renderer(), &Cancel::new()).await;
        assert!(matches!(result, Err(RemoteError::Failed { .. })));
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_eq!(server.heard("GET /talks/tlk_1").len(), 2);
    }
}

#[tokio::test]
async fn a_renderer_that_asks_for_no_wait_is_not_flooded() {
    for reply in [
        Reply::Later("0", talk("started").to_string()),
        Reply::Header(503, "retry-after", "0"),
        Reply::Header(429, "retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        let server = server([reply]).await;
        let ms = Duration::from_millis;
        let renderer = server.builder().polls(ms(800), ms(800));
        let renderer = renderer.job_timeout(ms(2_800)).build().unwrap();
        let (result, _) = render(&renderer, &Cancel::new()).await;
        assert!(matches!(result, Err(RemoteError::Timeout { .. })));
        let polls = server.heard("GET /talks/tlk_1").len();
        assert!((1..=3).contains(&polls), "{polls}");
    }
}

#[tokio::test]
async fn futures_can_move_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    let server = server([]).await;
    let (renderer, request, cancel) = (server.renderer(), request(), Cancel::new());
    let (_folder, file) = file();
    assert_send(&renderer.render(&request, &file, &cancel, |_| {}));
    let link = pipeline_gpu::remote::ResultLink::new("https://example.com");
    assert_send(&renderer.download(&link, &file, &cancel, |_, _| {}));
}
