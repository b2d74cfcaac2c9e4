//! `POST /api/jobs` over real sockets: files in, true progress out, whatever the client does.

#[expect(dead_code, reason = "another example's tests use more of it")]
#[path = "jobs/raw.rs"]
mod raw;
#[path = "jobs/support.rs"]
mod support;

use std::time::Duration;

use demo::{
    analysis::{Kind, Source},
    batch::Workshop,
    multipart::UploadLimits,
    server::Settings,
};
use progress_core::{Data, Frame, ProgressTracker, Status, TaskId, TaskState};
use reqwest::{
    StatusCode,
    multipart::{Form, Part},
};
use serde_json::Value;
use support::{Demo, png};

fn files(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Form {
    files.into_iter().fold(Form::new(), |form, (name, bytes)| {
        form.part("files", Part::bytes(bytes).file_name(name))
    })
}

#[tokio::test]
async fn ten_photos_and_a_broken_one() {
    let demo = Demo::start().await;
    let mut form = Form::new();
    for number in 0..10 {
        let part = Part::bytes(png(40 + number, 30)).file_name(format!("photo-{number}.png"));
        form = form.part("files", part);
    }
    form = form.part(
        "files",
        Part::bytes(b"this is no picture".to_vec()).file_name("broken.png"),
    );
    let (status, accepted) = demo.post(form).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = accepted["task_id"].as_str().unwrap();
    assert_eq!(accepted["sse_url"], format!("/sse/progress/{id}"));
    assert_eq!(accepted["websocket_url"], format!("/ws/progress/{id}"));
    assert_eq!(accepted["polling_url"], format!("/tasks/{id}"));
    let listed = accepted["files"].as_array().unwrap();
    assert_eq!(listed.len(), 11);

    let batch = demo.ended(id).await;
    assert_eq!(batch.state, TaskState::Completed);
    assert_eq!(batch.progress, 100.0);
    let result: Value = batch.result.unwrap().decode().unwrap();
    assert_eq!(result["failed"], 1);
    assert_eq!(result["completed"], 10);
    assert_eq!(
        batch
            .metadata
            .get("files")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        11
    );

    for file in listed {
        let task = demo.ended(file["task_id"].as_str().unwrap()).await;
        assert_eq!(task.parent.as_ref().unwrap().as_str(), id);
        assert_eq!(task.name.as_deref(), file["name"].as_str());
        if file["name"] == "broken.png" {
            assert_eq!(task.state, TaskState::Failed);
            let error = task.error.unwrap();
            assert_eq!(error.code(), "IMAGE_DECODE_FAILED");
            assert!(!error.solutions().is_empty());
            // What was learned before it failed is not lost.
            assert_eq!(error.details().get("size").unwrap(), 18);
        } else {
            assert_eq!(task.state, TaskState::Completed);
            let result: Value = task.result.unwrap().decode().unwrap();
            assert_eq!(result["image"]["height"], 30);
            assert_eq!(result["sha256"].as_str().unwrap().len(), 64);
        }
    }
    demo.nothing_is_left().await;
}

#[tokio::test]
async fn a_batch_fails_only_if_all_its_files_do() {
    let demo = Demo::start().await;
    let broken = || b"no picture".to_vec();
    let (_, accepted) = demo
        .post(files([("a.png", broken()), ("b.jpg", broken())]))
        .await;
    let batch = demo.ended(accepted["task_id"].as_str().unwrap()).await;
    assert_eq!(batch.state, TaskState::Failed);
    assert_eq!(batch.error.unwrap().code(), "CHILDREN_FAILED");
}

#[tokio::test]
async fn hashing_shows_its_bytes() {
    let demo = Demo::start().await;
    let bytes = vec![7; 3 * 1024 * 1024];
    let (_, accepted) = demo.post(files([("zeros.bin", bytes)])).await;
    let id = accepted["files"][0]["task_id"].as_str().unwrap();
    let mut events = demo.tracker.subscribe(id);
    let mut hashed = None;
    while let Some(frame) = events.next().await {
        if let Some(Data::ProgressUpdate(update)) = frame.event().map(|event| event.data())
            && update.stage.as_deref() == Some("hash")
            && update.current.is_some()
        {
            hashed = Some((update.current, update.total, update.unit.clone()));
        }
    }
    let whole = Some(3 * 1024 * 1024);
    assert_eq!(hashed, Some((whole, whole, Some("bytes".into()))));
}

#[tokio::test]
async fn hashing_moves_the_percent() {
    let tracker = ProgressTracker::builder()
        .tick(Duration::from_millis(1))
        .build();
    let mut batch = Workshop::new(tracker.clone(), 1)
        .start(TaskId::random(), false)
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 * 1024 * 1024).unwrap();
    let pending = batch.add("zeros.bin", Kind::Other, false).unwrap();
    let mut events = tracker.subscribe(&batch.listed()[0].task_id);
    batch.hand_over(pending, Source::new(file.path(), "zeros.bin"), None);
    batch.close();
    let mut between = 0;
    while let Some(frame) = events.next().await {
        if let Some(Data::ProgressUpdate(update)) = frame.event().map(|event| event.data())
            && update.progress > 0.0
            && update.progress < 99.0
        {
            between += 1;
        }
    }
    assert!(between > 0, "the percent moves with the bytes");
}

#[tokio::test]
async fn past_the_places_at_work_files_are_queued() {
    let demo = Demo::start_with(Settings::default().at_once(1)).await;
    // The only place is taken by a file that is still coming.
    let mut slow = demo.upload(None).await;
    slow.begin_file("slow.bin").await;
    slow.send(b"some bytes").await;
    demo.until(|stats| stats.tasks == 2).await;

    let (_, accepted) = demo.post(files([("next.txt", b"next".to_vec())])).await;
    let id = accepted["files"][0]["task_id"].as_str().unwrap();
    let mut events = demo.tracker.subscribe(id);
    let Some(Frame::Verdict(verdict)) = events.next().await else {
        panic!("the verdict comes first");
    };
    assert_eq!(verdict.snapshot.unwrap().state, TaskState::Queued);
    let mut seen = Vec::new();
    slow.finish().await;
    while let Some(frame) = events.next().await {
        if let Some(event) = frame.event() {
            if let Data::Queued(queued) = event.data()
                && let Some(position) = queued.position
            {
                assert_eq!(position, 1);
            }
            seen.push(event.event_type().to_owned());
        }
    }
    assert_eq!(seen.first().map(String::as_str), Some("queued"));
    assert!(seen.iter().any(|event| event == "started"));
    assert_eq!(demo.ended(id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn an_aborted_upload_ends_its_tasks_failed() {
    let demo = Demo::start().await;
    let id = TaskId::random();
    let mut upload = demo.upload(Some(id.as_str())).await;
    upload.begin_file("half.bin").await;
    upload.send(&[1; 64 * 1024]).await;
    // The batch can be watched before its upload is through.
    demo.until(|stats| stats.tasks == 2).await;
    let mut events = demo.tracker.subscribe(&id);
    drop(upload);

    let mut status = None;
    while let Some(frame) = events.next().await {
        if let Some(Data::Complete(end)) = frame.event().map(|event| event.data()) {
            status = Some(end.status);
            assert_eq!(end.error.as_ref().unwrap().code(), "UPLOAD_ABORTED");
        }
    }
    assert_eq!(status, Some(Status::Failed));
    let batch = demo.ended(id.as_str()).await;
    let file = batch.metadata.get("files").unwrap()[0]["task_id"].clone();
    let file = demo.ended(file.as_str().unwrap()).await;
    assert_eq!(file.state, TaskState::Failed);
    assert_eq!(file.error.unwrap().code(), "UPLOAD_ABORTED");
    demo.nothing_is_left().await;
}

#[tokio::test]
async fn multipart_that_breaks_in_the_middle_is_an_error_and_its_tasks_end() {
    let demo = Demo::start().await;
    let id = TaskId::random();
    let mut upload = demo.upload(Some(id.as_str())).await;
    upload.begin_file("half.bin").await;
    upload.send(b"some bytes").await;
    // The body ends without the closing boundary.
    let (status, body) = upload.end_here().await;
    assert_eq!(status, 400);
    assert_eq!(body["error"]["code"], "INVALID_MULTIPART");
    assert_eq!(demo.ended(id.as_str()).await.state, TaskState::Failed);
    demo.nothing_is_left().await;
}

#[tokio::test]
async fn what_is_no_upload_gets_a_clear_error_and_no_task() {
    let demo = Demo::start().await;
    let client = reqwest::Client::new();
    let url = format!("{}/api/jobs", demo.url);
    let cases = [
        (client.post(&url).body("hello"), 400, "INVALID_MULTIPART"),
        (
            client
                .post(&url)
                .header("content-type", "multipart/form-data; boundary=x")
                .body("garbage"),
            400,
            "INVALID_MULTIPART",
        ),
        (
            client
                .post(&url)
                .multipart(Form::new().text("other", "field")),
            400,
            "NO_FILES",
        ),
        (
            client
                .post(format!("{url}?batch=video-42"))
                .multipart(files([("a", vec![])])),
            400,
            "INVALID_TASK_ID",
        ),
        (client.delete(&url), 405, "METHOD_NOT_ALLOWED"),
        (
            client.get(format!("{}/nothing", demo.url)),
            404,
            "NOT_FOUND",
        ),
    ];
    for (request, status, code) in cases {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{code}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], code);
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(demo.tracker.stats().tasks, 0);
}

#[tokio::test]
async fn an_id_that_is_taken_is_refused_and_its_batch_goes_on() {
    let demo = Demo::start().await;
    let id = TaskId::random();
    let url = format!("{}/api/jobs?batch={id}", demo.url);
    let post = || {
        let form = files([("a.txt", b"a".to_vec())]);
        reqwest::Client::new().post(&url).multipart(form).send()
    };
    assert_eq!(post().await.unwrap().status(), 202);
    let again = post().await.unwrap();
    assert_eq!(again.status(), 409);
    let body: Value = again.json().await.unwrap();
    assert_eq!(body["error"]["code"], "ALREADY_EXISTS");
    assert_eq!(demo.ended(id.as_str()).await.state, TaskState::Completed);
}

#[tokio::test]
async fn a_file_past_the_limit_fails_alone() {
    let limits = UploadLimits {
        file: 64 * 1024,
        ..UploadLimits::default()
    };
    let demo = Demo::start_with(Settings::default().limits(limits)).await;
    let large = || vec![0; 128 * 1024];
    let (status, accepted) = demo
        .post(files([
            ("large.bin", large()),
            ("small.txt", b"small".to_vec()),
        ]))
        .await;
    assert_eq!(status, 202);
    let large_task = accepted["files"][0]["task_id"].as_str().unwrap();
    let error = demo.ended(large_task).await.error.unwrap();
    assert_eq!(error.code(), "PAYLOAD_TOO_LARGE");
    assert_eq!(error.details().get("limit").unwrap(), 64 * 1024);
    let small_task = accepted["files"][1]["task_id"].as_str().unwrap();
    assert_eq!(demo.ended(small_task).await.state, TaskState::Completed);

    let (status, body) = demo.post(files([("large.bin", large())])).await;
    assert_eq!(status, 413);
    assert_eq!(body["error"]["code"], "PAYLOAD_TOO_LARGE");
    demo.nothing_is_left().await;
}

#[tokio::test]
async fn a_request_past_the_limit_is_refused_before_it_is_read() {
    let limits = UploadLimits {
        request: 64 * 1024,
        ..UploadLimits::default()
    };
    let demo = Demo::start_with(Settings::default().limits(limits)).await;
    let (status, body) = demo.post(files([("large.bin", vec![0; 80 * 1024])])).await;
    assert_eq!(status, 413);
    assert_eq!(body["error"]["code"], "PAYLOAD_TOO_LARGE");
    assert_eq!(demo.tracker.stats().tasks, 0);
}

#[tokio::test]
async fn a_request_that_grows_past_the_limit_ends_its_tasks() {
    let limits = UploadLimits {
        request: 64 * 1024,
        ..UploadLimits::default()
    };
    let demo = Demo::start_with(Settings::default().limits(limits)).await;
    let id = TaskId::random();
    let mut upload = demo.upload(Some(id.as_str())).await;
    upload.begin_file("endless.bin").await;
    upload.send(&[0; 60 * 1024]).await;
    demo.until(|stats| stats.tasks == 2).await;
    upload.send(&[0; 60 * 1024]).await;
    let batch = demo.ended(id.as_str()).await;
    assert_eq!(batch.error.unwrap().code(), "PAYLOAD_TOO_LARGE");
    demo.nothing_is_left().await;
}

#[tokio::test]
async fn one_stream_shows_all_files_and_ends_with_the_last() {
    let demo = Demo::start().await;
    let (_, accepted) = demo
        .post(files([("a.txt", b"a".to_vec()), ("b.png", png(64, 64))]))
        .await;
    let mut ids = vec![accepted["task_id"].as_str().unwrap()];
    for file in accepted["files"].as_array().unwrap() {
        ids.push(file["task_id"].as_str().unwrap());
    }
    let url = format!("{}/sse?ids={}", demo.url, ids.join(","));
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let ends: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|json| serde_json::from_str::<Value>(json).unwrap())
        .filter(|frame| frame["event_type"] == "complete")
        .collect();
    assert_eq!(ends.len(), 3);
}

#[tokio::test]
async fn a_file_that_comes_back_is_analysed_at_the_next_attempt() {
    let tracker = ProgressTracker::new();
    let mut batch = Workshop::new(tracker.clone(), 1)
        .start(TaskId::random(), false)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.txt");
    let pending = batch.add("late.txt", Kind::Other, false).unwrap();
    let id = batch.listed()[0].task_id.clone();
    let mut events = tracker.subscribe(&id);
    batch.hand_over(pending, Source::new(&path, "late.txt"), None);
    batch.close();
    let mut failures = 0;
    while let Some(frame) = events.next().await {
        match frame.event().map(|event| event.data()) {
            Some(Data::Error(error)) => {
                failures += 1;
                assert_eq!(error.code(), "FILE_READ_FAILED");
                assert_eq!(error.retry_after_ms(), Some(1_000));
                std::fs::write(&path, "here it is").unwrap();
            }
            Some(Data::Complete(end)) => assert_eq!(end.status, Status::Completed),
            _ => {}
        }
    }
    assert_eq!(failures, 1);
    let analysis: Value = tracker
        .snapshot(&id)
        .await
        .unwrap()
        .result
        .unwrap()
        .decode()
        .unwrap();
    assert_eq!(analysis["size"], 10);
}

#[tokio::test]
async fn a_file_that_is_cancelled_while_it_waits_for_its_next_attempt_ends_at_once() {
    let tracker = ProgressTracker::new();
    let mut batch = Workshop::new(tracker.clone(), 1)
        .start(TaskId::random(), false)
        .unwrap();
    let pending = batch.add("gone.txt", Kind::Other, false).unwrap();
    let id = batch.listed()[0].task_id.clone();
    let mut events = tracker.subscribe(&id);
    batch.hand_over(pending, Source::new("/does/not/exist", "gone.txt"), None);
    batch.close();
    let mut end = None;
    while let Some(frame) = events.next().await {
        match frame.event().map(|event| event.data()) {
            Some(Data::Error(_)) => tracker.cancel(&id, "never mind").await.unwrap(),
            Some(Data::Complete(complete)) => end = Some(complete.clone()),
            _ => {}
        }
    }
    let end = end.unwrap();
    assert_eq!(end.status, Status::Cancelled);
    assert_eq!(end.cause.as_deref(), Some("never mind"));
    assert!(end.duration_ms < 900, "it waited for the next attempt");
}
