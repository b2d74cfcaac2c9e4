//! The routes as a client of the analyser uses them.

#[path = "../../demo/tests/jobs/raw.rs"]
mod raw;
#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::sync::Arc;

use demo::multipart::UploadLimits;
use media_analysis::server::Settings;
use progress_core::{Data, TaskId, TaskState};
use reqwest::multipart::{Form, Part};
use serde_json::json;

use self::{
    raw::RawUpload,
    support::{Host, code, expect, frames, gated, manifest, png, text, until},
};

#[tokio::test]
async fn many_files_upload_in_parallel_and_one_stream_shows_all_to_their_ends() {
    let host = Host::start(Settings::default()).await;
    let uploads = (0..6_u8).map(|number| {
        let files = [
            ("a.png", png(3 * number)),
            ("b.png", png(3 * number + 1)),
            ("notes.txt", vec![number; 50]),
        ];
        let host = &host;
        async move { host.analyse(&files).await }
    });
    let accepted = futures_util::future::join_all(uploads).await;
    let ids: Vec<&str> = accepted
        .iter()
        .flat_map(|answer| answer["media_ids"].as_array().unwrap())
        .map(text)
        .collect();
    assert_eq!(ids.len(), 18);
    let path = format!("/api/agent/analyze-media/stream?ids={}", ids.join(","));
    let frames = frames(host.get(&path).await).await;
    let ends: Vec<_> = frames
        .iter()
        .filter(|frame| frame["event_type"] == "complete")
        .collect();
    assert_eq!(ends.len(), 18);
    assert!(ends.iter().all(|end| end["data"]["status"] == "completed"));

    let stream = host.get(text(&accepted[0]["stream_url"])).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn the_stream_of_all_goes_on_where_it_was_lost() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let accepted = host.analyse(&[("a.png", png(1)), ("b.png", png(2))]).await;
    until("both are at work", async || gate.at() == 2).await;
    let stands: Vec<String> = {
        let mut stands = Vec::new();
        for id in accepted["media_ids"].as_array().unwrap() {
            let snapshot = host.tracker.snapshot(text(id)).await.unwrap();
            stands.push(snapshot.position().to_string());
        }
        stands
    };
    gate.open();
    let url = format!("{}{}", host.url, text(&accepted["stream_url"]));
    let again = host
        .client
        .get(url)
        .header("last-event-id", stands.join(","));
    let frames = frames(again.send().await.unwrap()).await;
    let verdicts: Vec<_> = frames
        .iter()
        .filter(|frame| frame["event_type"] == "subscribed")
        .map(|frame| &frame["data"]["resume"])
        .collect();
    assert_eq!(verdicts, ["resumed", "resumed"]);
    assert!(
        frames.iter().all(|frame| frame["event_type"] != "started"),
        "nothing comes twice"
    );
}

#[tokio::test]
async fn one_item_has_a_stream_a_state_and_a_result_and_can_be_polled() {
    let host = Host::start(Settings::default()).await;
    let accepted = host.analyse(&[("photo.png", png(1))]).await;
    let id = text(&accepted["media_ids"][0]);
    let stages: Vec<String> = frames(host.get(&format!("/api/media/{id}/stream")).await)
        .await
        .iter()
        .filter(|frame| frame["event_type"] == "stage_change")
        .map(|frame| text(&frame["data"]["current_stage"]).to_owned())
        .collect();
    let order = [
        "upload",
        "analyze",
        "analyze/hash",
        "analyze/decode",
        "analyze/exif",
        "analyze/colours",
        "analyze/blurhash",
        "analyze/sharpness",
    ];
    assert_eq!(stages, order);
    let polled = host.json(&format!("/tasks/{id}?wait=25s")).await;
    assert_eq!(polled["state"], "completed");
    let media = host.json(&format!("/api/media/{id}")).await;
    assert_eq!(media["status"], "completed");
    assert_eq!(
        (&media["upload_progress"], &media["analysis_progress"]),
        (&json!(100.0), &json!(100.0))
    );
    assert_eq!(media["result"]["image"]["format"], "png");
    assert_eq!(media["batch_id"], accepted["batch"]["task_id"]);

    let nobody = TaskId::random();
    assert_eq!(
        code(&host.json(&format!("/api/media/{nobody}")).await),
        "TASK_NOT_FOUND"
    );
    assert_eq!(
        code(&host.json("/api/media/a%20b").await),
        "INVALID_TASK_ID"
    );
}

#[tokio::test]
async fn what_is_announced_is_pending_then_uploading_up_to_a_half_then_analyzing() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let ids = [TaskId::random(), TaskId::random()];
    let bytes = png(1);
    let list = [
        ("first.png", bytes.len(), ids[0].as_str()),
        ("second.png", bytes.len(), ids[1].as_str()),
    ];
    let mut upload = RawUpload::start(&host.url, ANALYZE).await;
    upload.field("manifest", &manifest(&list)).await;
    upload.begin_file("first.png").await;
    upload.send(&bytes[..bytes.len() / 2]).await;
    let first = format!("/api/media/{}", ids[0]);
    until("half of the first is there", async || {
        let media = host.json(&first).await;
        media["status"] == "uploading" && media["upload_progress"].as_f64() > Some(45.0)
    })
    .await;
    let media = host.json(&first).await;
    let progress = media["progress"].as_f64().unwrap();
    assert!((20.0..=50.0).contains(&progress), "{media}");
    let second = host.json(&format!("/api/media/{}", ids[1])).await;
    assert_eq!(
        (&second["status"], &second["progress"]),
        (&json!("pending"), &json!(0.0))
    );

    upload.send(&bytes[bytes.len() / 2..]).await;
    // What follows tells that this was all of it.
    upload.send(b"\r\n").await;
    upload.begin_file("second.png").await;
    until("it is analysed", async || {
        host.json(&first).await["status"] == "analyzing"
    })
    .await;
    let media = host.json(&first).await;
    assert!(media["progress"].as_f64() >= Some(50.0), "{media}");
    gate.open();
    host.ended(&json!(ids[0])).await;

    drop(upload);
    let second = host.ended(&json!(ids[1])).await;
    let error = second.error.unwrap();
    assert_eq!(
        (second.state, error.code()),
        (TaskState::Failed, "UPLOAD_ABORTED")
    );
    assert!(error.is_retryable() && !error.solutions().is_empty());
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_upload_that_fails_shows_and_keeps_its_progress() {
    let host = Host::start(Settings::default()).await;
    let id = TaskId::random();
    let mut upload = RawUpload::start(&host.url, ANALYZE).await;
    let list = [("video.bin", 1_000_000, id.as_str())];
    upload.field("manifest", &manifest(&list)).await;
    upload.begin_file("video.bin").await;
    upload.send(&vec![7; 600_000]).await;
    let media = format!("/api/media/{id}");
    until("most of it is there", async || {
        host.json(&media).await["progress"].as_f64() > Some(25.0)
    })
    .await;
    drop(upload);
    let ended = host.ended(&json!(id)).await;
    assert_eq!(ended.error.unwrap().code(), "UPLOAD_ABORTED");
    let events = host.events(&json!(id)).await;
    let mut last = 0.0;
    for event in &events {
        let progress = match event.data() {
            Data::ProgressUpdate(update) => update.progress,
            Data::Complete(end) => end.progress,
            _ => continue,
        };
        assert!(progress >= last, "it fell from {last} to {progress}");
        last = progress;
    }
    assert!(last > 25.0, "the failure took the progress away");
    let media = host.json(&media).await;
    assert_eq!(
        (&media["status"], &media["error"]["code"]),
        (&json!("failed"), &json!("UPLOAD_ABORTED"))
    );
}

#[tokio::test]
async fn an_item_can_be_cancelled_before_and_during_its_upload() {
    let host = Host::start(Settings::default()).await;
    let ids = [TaskId::random(), TaskId::random(), TaskId::random()];
    let list = [
        ("a.bin", 100_000, ids[0].as_str()),
        ("b.bin", 10, ids[1].as_str()),
        ("c.txt", 10, ids[2].as_str()),
    ];
    let mut upload = RawUpload::start(&host.url, ANALYZE).await;
    upload.field("manifest", &manifest(&list)).await;
    upload.begin_file("a.bin").await;
    upload.send(&vec![1; 50_000]).await;
    until("it is uploading", async || {
        host.json(&format!("/api/media/{}", ids[0])).await["status"] == "uploading"
    })
    .await;
    for id in &ids[..2] {
        let asked = host
            .post(&format!("/tasks/{id}/cancel"))
            .json(&json!({"reason": "user"}));
        assert_eq!(asked.send().await.unwrap().status(), 202);
        let ended = host.ended(&json!(id)).await;
        assert_eq!(
            (ended.state, ended.cause.as_deref()),
            (TaskState::Cancelled, Some("user"))
        );
    }
    // The upload goes on for the others.
    upload.send(&vec![1; 50_000]).await;
    upload.send(b"\r\n").await;
    for name in ["b.bin", "c.txt"] {
        upload.begin_file(name).await;
        upload.send(b"0123456789\r\n").await;
    }
    let (status, answer) = upload.finish().await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(host.ended(&json!(ids[2])).await.state, TaskState::Completed);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_said_by_field_and_limit() {
    let limits = UploadLimits {
        files: 2,
        file: 1_000,
        ..UploadLimits::default()
    };
    let host = Host::start(Settings::default().uploads(limits)).await;
    let form = |parts: usize| {
        (0..parts).fold(Form::new(), |form, _| {
            form.part("files", Part::bytes(vec![1]).file_name("a.txt"))
        })
    };
    let url = ANALYZE;
    let refused = expect(host.post(url).multipart(Form::new().text("x", "y")), 400).await;
    assert_eq!(code(&refused), "NO_FILES");
    let refused = expect(host.post(url).multipart(form(3)), 413).await;
    assert_eq!(code(&refused), "TOO_MANY_FILES");
    let guessed = host
        .post(&format!("{url}?batch=video-42"))
        .multipart(form(1));
    let refused = expect(guessed, 400).await;
    assert_eq!(
        (code(&refused), &refused["error"]["details"]["field"]),
        (&json!("INVALID_TASK_ID"), &json!("batch"))
    );
    let wrong = Form::new()
        .text("manifest", "{}")
        .part("files", Part::bytes(vec![1]));
    let refused = expect(host.post(url).multipart(wrong), 400).await;
    assert_eq!(code(&refused), "INVALID_MANIFEST");
    assert_eq!(
        code(&expect(host.put(url), 405).await),
        "METHOD_NOT_ALLOWED"
    );
    assert_eq!(code(&host.json("/api/nothing").await), "NOT_FOUND");

    let large = host
        .analyse(&[("large.bin", vec![0; 2_000]), ("small.txt", vec![0; 10])])
        .await;
    let error = host.ended(&large["media_ids"][0]).await.error.unwrap();
    assert_eq!(
        (error.code(), error.details().get("limit")),
        ("PAYLOAD_TOO_LARGE", Some(&json!(1_000)))
    );
    assert_eq!(
        host.ended(&large["media_ids"][1]).await.state,
        TaskState::Completed
    );
    host.nothing_is_left().await;
}

#[tokio::test]
async fn watchers_ask_nothing_of_the_work() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let accepted = host.analyse(&[("photo.png", png(1))]).await;
    until("it is at work", async || gate.at() == 1).await;
    let id = text(&accepted["media_ids"][0]);
    let task = format!("{}/tasks/{id}", host.url);
    let mut etag = String::new();
    until("nothing moves any more", async || {
        let asked = host.client.get(format!("{task}?wait=300ms"));
        let answer = asked.header("if-none-match", &etag).send().await.unwrap();
        etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        answer.status() == 304
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(host.get(text(&accepted["stream_url"])).await);
    }
    // Nothing of the task has moved for them: what they get comes from its log.
    let after = host.client.get(task).send().await.unwrap();
    assert_eq!(after.headers()["etag"], etag.as_str());
    gate.open();
    for stream in streams {
        let frames = frames(stream).await;
        assert_eq!(frames.last().unwrap()["event_type"], "complete");
    }
}

const ANALYZE: &str = "/api/agent/analyze-media";
