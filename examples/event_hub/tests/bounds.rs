//! What is too much, or wrong, is refused by name, and nothing else is lost.

mod support;

use event_hub::bounds::Bounds;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use self::support::{Server, picture, text};

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let sessions = format!("/api/sessions/{session}");
    let long = "n".repeat(121);
    for (body, field) in [
        (json!({"name": " "}), "name"),
        (json!({"name": long}), "name"),
        (json!({"note": "n".repeat(2_001)}), "note"),
    ] {
        let refused = server.patch(&sessions, body).await;
        assert_eq!((refused.status, refused.code()), (400, "INVALID_BODY"));
        assert_eq!(refused.body["error"]["details"]["field"], field);
    }
    let too_long = json!({"note": "n".repeat(20_000)});
    let refused = server.patch(&sessions, too_long).await;
    assert_eq!((refused.status, refused.code()), (413, "PAYLOAD_TOO_LARGE"));
    for (path, code) in [
        ("/api/sessions/nowhere", "SESSION_NOT_FOUND"),
        ("/api/jobs/nowhere", "JOB_NOT_FOUND"),
    ] {
        let refused = server.patch(path, json!({"priority": 1})).await;
        assert_eq!((refused.status, refused.code()), (404, code));
    }
    let refused = server.post("/api/photos/nowhere/approve", json!({})).await;
    assert_eq!(refused.code(), "PHOTO_NOT_FOUND");
    assert_eq!(
        server.post("/api/nowhere", json!({})).await.code(),
        "NOT_FOUND"
    );
    assert_eq!(
        server.post("/api/queue", json!({})).await.code(),
        "METHOD_NOT_ALLOWED"
    );
    assert_eq!(
        server.post("/api/sessions", json!([1])).await.code(),
        "INVALID_BODY"
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_named() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let file = || Part::bytes(picture(1)).file_name("a.png");
    let form = || Form::new().text("session_id", session.clone());
    for (form, field) in [
        (Form::new().part("files", file()), "session_id"),
        (form(), "files"),
        (
            form().text("priority", "10").part("files", file()),
            "priority",
        ),
        (
            form().text("priority", "high").part("files", file()),
            "priority",
        ),
    ] {
        let refused = server.upload(form).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "INVALID_BODY"),
            "{refused:?}"
        );
        assert_eq!(refused.body["error"]["details"]["field"], field);
    }
    let nowhere = Form::new().text("session_id", "nowhere");
    let refused = server.upload(nowhere.part("files", file())).await;
    assert_eq!(refused.code(), "SESSION_NOT_FOUND");
    let refused = server
        .post("/api/jobs", json!({"session_id": session}))
        .await;
    assert_eq!((refused.status, refused.code()), (400, "INVALID_BODY"));
}

#[tokio::test]
async fn each_bound_refuses_with_its_limit() {
    let bounds = Bounds {
        workers: 0,
        sessions: 2,
        waiting: 1,
        files: 2,
        file: 4_096,
        stored: 3_000,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds).await;
    let (session, other) = (server.session("Lake").await, server.session("Hills").await);
    let full = server.post("/api/sessions", json!({"name": "Sea"})).await;
    assert_eq!((full.status, full.code()), (503, "TOO_MANY_SESSIONS"));
    assert_eq!(full.body["error"]["details"]["limit"], 2);
    assert_eq!(full.body["error"]["is_retryable"], true);
    // The oldest completed one makes room.
    server
        .post(&format!("/api/sessions/{other}/complete"), json!({}))
        .await
        .ok();
    server
        .post("/api/sessions", json!({"name": "Sea"}))
        .await
        .ok();
    let sessions = server.get("/api/sessions").await["sessions"].clone();
    let names: Vec<_> = sessions
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(&one["name"]))
        .collect();
    assert_eq!(names, ["Sea", "Lake"]);

    let bytes = |count: usize| vec![0_u8; count];
    let small = || ("a.bin", bytes(10));
    for (files, status, code) in [
        (vec![small(), small(), small()], 413, "TOO_MANY_FILES"),
        (vec![("a.bin", bytes(4_097))], 413, "PAYLOAD_TOO_LARGE"),
        (vec![("a.bin", bytes(3_001))], 503, "STORE_FULL"),
    ] {
        let refused = server.import(&session, files).await;
        assert_eq!((refused.status, refused.code()), (status, code));
    }
    server
        .import(&session, vec![("a.bin", bytes(3_000))])
        .await
        .ok();
    let refused = server.import(&session, vec![small()]).await;
    assert_eq!((refused.status, refused.code()), (503, "TOO_MANY_JOBS"));
}
