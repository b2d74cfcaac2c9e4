//! Uploads in chunks.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::time::Duration;

use media_analysis::{ChunkLimits, server::Settings};
use progress_core::{TaskId, TaskState};
use reqwest::Body;
use serde_json::{Value, json};

use self::support::{Host, code, expect, png, text, until};

/// Chunks of so many bytes.
fn in_chunks_of(bytes: u64) -> Settings {
    Settings::default().chunks(ChunkLimits {
        chunk: bytes,
        ..ChunkLimits::default()
    })
}

async fn announce(host: &Host, name: &str, size: usize) -> Value {
    let wish = json!({"name": name, "size": size});
    expect(host.post("/api/uploads").json(&wish), 201).await
}

fn chunk(upload: &Value, number: usize) -> String {
    format!(
        "/api/uploads/{}/chunks/{number}",
        text(&upload["upload_id"])
    )
}

async fn complete(host: &Host, upload: &Value, status: u16) -> Value {
    let path = format!("/api/uploads/{}/complete", text(&upload["upload_id"]));
    expect(host.post(&path), status).await
}

#[tokio::test]
async fn large_file_of_which_one_chunk_fails_and_is_sent_again() {
    let host = Host::start(Settings::default()).await;
    let size = 120_000_000_usize;
    let upload = announce(&host, "film.bin", size).await;
    let length = upload["chunk_size"].as_u64().unwrap() as usize;
    assert_eq!(upload["chunks"], size.div_ceil(length));
    let piece = |number: usize| vec![number as u8; length.min(size - number * length)];
    let chunks = size.div_ceil(length);
    for number in 0..chunks {
        if number == 3 {
            // Half of it, and then the connection is lost.
            let half = [
                Ok(piece(3)[..length / 2].to_vec()),
                Err("the cable was pulled"),
            ];
            let body = Body::wrap_stream(futures_util::stream::iter(half));
            assert!(
                host.put(&chunk(&upload, 3))
                    .body(body)
                    .send()
                    .await
                    .is_err()
            );
            continue;
        }
        expect(host.put(&chunk(&upload, number)).body(piece(number)), 200).await;
    }
    let refused = complete(&host, &upload, 409).await;
    assert_eq!(code(&refused), "UPLOAD_INCOMPLETE");
    assert_eq!(refused["error"]["details"]["missing"], json!([[3, 3]]));
    // Who comes back learns what is there.
    let path = format!("/api/uploads/{}", text(&upload["upload_id"]));
    let standing = host.json(&path).await;
    assert_eq!(standing["missing"], json!([[3, 3]]));
    assert_eq!(standing["present"], json!([[0, 2], [4, chunks - 1]]));

    let sent = expect(host.put(&chunk(&upload, 3)).body(piece(3)), 200).await;
    assert_eq!(
        (&sent["missing"], &sent["received"]),
        (&json!([]), &json!(size))
    );
    complete(&host, &upload, 202).await;
    let ended = host.ended(&upload["media_id"]).await;
    assert_eq!(ended.state, TaskState::Completed);
    let result: Value = ended.result.unwrap().decode().unwrap();
    assert_eq!(result["size"], size);
    let events = host.events(&upload["media_id"]).await;
    assert!(events.len() > 3, "its bytes could be watched");
    host.nothing_is_left().await;
}

#[tokio::test]
async fn chunks_come_in_any_order_and_more_than_once_and_make_the_file() {
    let host = Host::start(in_chunks_of(100)).await;
    let bytes = png(1);
    let upload = announce(&host, "photo.png", bytes.len()).await;
    let chunks: Vec<_> = bytes.chunks(100).enumerate().collect();
    let last = chunks.len() - 1;
    for (number, piece) in chunks.iter().rev().chain([&chunks[0], &chunks[last]]) {
        let first = number * 100;
        let range = format!("bytes {first}-{}/{}", first + piece.len() - 1, bytes.len());
        let put = host
            .put(&chunk(&upload, *number))
            .header("content-range", range);
        let standing = expect(put.body(piece.to_vec()), 200).await;
        assert_eq!(standing["complete"], false);
    }
    complete(&host, &upload, 202).await;
    let ended = host.ended(&upload["media_id"]).await;
    let result: Value = ended.result.unwrap().decode().unwrap();
    assert_eq!(
        (&result["image"]["width"], &result["size"]),
        (&json!(64), &json!(bytes.len()))
    );
    // The batch that was made for it has ended with it.
    assert_eq!(
        host.ended(&upload["batch"]["task_id"]).await.state,
        TaskState::Completed
    );
    host.nothing_is_left().await;
}

#[tokio::test]
async fn uploads_of_both_kinds_join_one_batch() {
    let host = Host::start(in_chunks_of(1_000_000)).await;
    let batch = TaskId::random();
    let bytes = png(1);
    let wish = json!({"name": "large.png", "size": bytes.len(), "batch": batch});
    let upload = expect(host.post("/api/uploads").json(&wish), 201).await;
    let part = reqwest::multipart::Part::bytes(png(2)).file_name("small.png");
    let form = reqwest::multipart::Form::new().part("files", part);
    let path = format!("/api/agent/analyze-media?batch={batch}");
    let accepted = expect(host.post(&path).multipart(form), 202).await;
    host.ended(&accepted["media_ids"][0]).await;
    // The batch is open until the large one is through.
    assert!(
        !host
            .tracker
            .snapshot(&batch)
            .await
            .unwrap()
            .state
            .is_ended()
    );
    expect(host.put(&chunk(&upload, 0)).body(bytes), 200).await;
    complete(&host, &upload, 202).await;
    let ended = host.ended(&json!(batch)).await;
    let counts: Value = ended.result.unwrap().decode().unwrap();
    assert_eq!(
        (&counts["total"], &counts["completed"]),
        (&json!(2), &json!(2))
    );
    let late = json!({"name": "late.png", "size": 10, "batch": batch});
    let refused = expect(host.post("/api/uploads").json(&late), 409).await;
    assert_eq!(code(&refused), "ALREADY_EXISTS");
}

#[tokio::test]
async fn what_arrived_must_have_the_checksum_that_was_promised() {
    let host = Host::start(Settings::default()).await;
    let wish = json!({"name": "a.txt", "size": 5, "sha256": "0".repeat(64)});
    let upload = expect(host.post("/api/uploads").json(&wish), 201).await;
    expect(host.put(&chunk(&upload, 0)).body("hello"), 200).await;
    complete(&host, &upload, 202).await;
    let error = host.ended(&upload["media_id"]).await.error.unwrap();
    assert_eq!(error.code(), "CHECKSUM_MISMATCH");
    host.nothing_is_left().await;
}

#[tokio::test]
async fn an_abandoned_upload_fails_and_is_cleaned_away() {
    let settings = Settings::default().chunks(ChunkLimits {
        chunk: 5,
        abandoned_after: Duration::from_millis(200),
        ..ChunkLimits::default()
    });
    let host = Host::start(settings).await;
    let upload = announce(&host, "half.txt", 10).await;
    expect(host.put(&chunk(&upload, 0)).body("hello"), 200).await;
    assert_eq!(host.files_on_disk(), 1);
    let ended = host.ended(&upload["media_id"]).await;
    let error = ended.error.unwrap();
    assert_eq!(
        (ended.state, error.code()),
        (TaskState::Failed, "UPLOAD_ABANDONED")
    );
    assert!(ended.progress > 0.0, "its progress is kept");
    assert!(error.is_retryable() && !error.solutions().is_empty());
    host.nothing_is_left().await;
    until("it is forgotten", async || {
        let path = format!("/api/uploads/{}", text(&upload["upload_id"]));
        host.get(&path).await.status() == 404
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_upload_takes_no_more_and_is_cleaned_away() {
    let host = Host::start(in_chunks_of(5)).await;
    let upload = announce(&host, "half.txt", 10).await;
    expect(host.put(&chunk(&upload, 0)).body("hello"), 200).await;
    let id = text(&upload["media_id"]);
    let asked = host.post(&format!("/tasks/{id}/cancel"));
    assert_eq!(asked.send().await.unwrap().status(), 202);
    assert_eq!(
        host.ended(&upload["media_id"]).await.state,
        TaskState::Cancelled
    );
    host.nothing_is_left().await;
    until("it is forgotten", async || {
        let put = host
            .put(&chunk(&upload, 1))
            .body("there")
            .send()
            .await
            .unwrap();
        put.status() == 404
    })
    .await;
}

#[tokio::test]
async fn bounds_are_kept_and_told() {
    let settings = Settings::default().chunks(ChunkLimits {
        file: 1_000,
        chunk: 100,
        uploads: 2,
        disk: 1_500,
        ..ChunkLimits::default()
    });
    let host = Host::start(settings).await;
    let wish = |wish: Value| host.post("/api/uploads").json(&wish);
    let too_large = expect(wish(json!({"name": "a", "size": 1_001})), 413).await;
    assert_eq!(
        (code(&too_large), &too_large["error"]["details"]["limit"]),
        (&json!("PAYLOAD_TOO_LARGE"), &json!(1_000))
    );
    for (wrong, field) in [
        (json!({"name": "a", "size": 0}), "size"),
        (json!({"name": "a", "size": 1, "sha256": "x"}), "sha256"),
        (json!({"name": "a", "size": 1, "batch": "b"}), "batch"),
        (json!({"name": "a", "size": 1, "id": "b"}), "id"),
    ] {
        let refused = expect(wish(wrong), 400).await;
        assert_eq!(refused["error"]["details"]["field"], field);
    }
    assert_eq!(
        code(&expect(wish(json!({"size": 1})), 400).await),
        "INVALID_BODY"
    );
    assert_eq!(
        host.tracker.stats().tasks,
        host.tracker.stats().ended,
        "what was refused left no task"
    );

    let upload = announce(&host, "a.bin", 250).await;
    assert_eq!(
        (&upload["chunk_size"], &upload["chunks"]),
        (&json!(100), &json!(3))
    );
    for (number, body, range) in [
        (3, 100, None),
        (0, 99, None),
        (0, 101, None),
        (2, 100, None),
        (1, 100, Some("bytes 0-99/250")),
    ] {
        let mut put = host.put(&chunk(&upload, number)).body(vec![0; body]);
        if let Some(range) = range {
            put = put.header("content-range", range);
        }
        expect(put, 400).await;
    }
    let standing = host
        .json(&format!("/api/uploads/{}", text(&upload["upload_id"])))
        .await;
    assert_eq!(
        (&standing["received"], &standing["present"]),
        (&json!(0), &json!([]))
    );

    // No room on disk, then no place.
    let refused = expect(
        wish(json!({"name": "b", "size": 1_000, "batch": TaskId::random()})),
        201,
    )
    .await;
    assert_eq!(refused["size"], 1_000);
    let refused = wish(json!({"name": "c", "size": 10})).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"5".parse().unwrap())
    );
    let body: Value = refused.json().await.unwrap();
    assert_eq!(code(&body), "TOO_MANY_UPLOADS");
}
