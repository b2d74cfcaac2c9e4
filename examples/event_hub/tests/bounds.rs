//! What is too much, or wrong, is refused by name, and nothing else is lost.

mod support;

use std::time::Duration;

use event_hub::{bounds::Bounds, users::Role};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use self::support::{PATIENCE, Server, picture, text, token, until};

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
    let reason = json!({"reason": "n".repeat(501)});
    let refused = server.post("/api/photos/nowhere/reject", reason).await;
    assert_eq!(refused.body["error"]["details"]["field"], "reason");
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
    for (path, status, code) in [
        ("/api/photos/nowhere/thumbnail", 404, "PHOTO_NOT_FOUND"),
        ("/api/exports/nowhere/file", 404, "EXPORT_NOT_FOUND"),
        ("/api/photos?limit=many", 400, "INVALID_QUERY"),
    ] {
        let operator = token(Role::Operator);
        let refused = server.ask(&operator, Method::GET, path, None).await;
        assert_eq!((refused.status, refused.code()), (status, code));
    }
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

#[tokio::test]
async fn pictures_that_are_there_or_on_their_way_are_bounded() {
    let bounds = Bounds {
        photos: 3,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds.clone()).await;
    let session = server.session("Lake").await;
    let file = || ("a.png", picture(1));
    server.photos(&session, vec![file(), file()]).await;
    let refused = server.import(&session, vec![file(), file()]).await;
    assert_eq!((refused.status, refused.code()), (503, "TOO_MANY_PHOTOS"));
    assert_eq!(refused.body["error"]["details"]["limit"], 3);
    server.photos(&session, vec![file()]).await;
    // Where it is full, nothing more is read than what says so.
    let refused = server.import(&session, vec![file()]).await;
    assert_eq!((refused.status, refused.code()), (503, "TOO_MANY_PHOTOS"));

    // Those that wait count too.
    let idle = Bounds {
        workers: 0,
        ..bounds
    };
    let server = Server::start_within(idle).await;
    let session = server.session("Lake").await;
    server.import(&session, vec![file(), file()]).await.ok();
    let refused = server.import(&session, vec![file(), file()]).await;
    assert_eq!((refused.status, refused.code()), (503, "TOO_MANY_PHOTOS"));
    server.import(&session, vec![file()]).await.ok();
}

#[tokio::test]
async fn jobs_that_are_over_are_listed_up_to_a_bound() {
    let bounds = Bounds {
        ended: 1,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds).await;
    let session = server.session("Lake").await;
    for _ in 0..4 {
        server.photos(&session, vec![("a.png", picture(1))]).await;
    }
    // Forgotten when a new one comes: one that is over beside that.
    let jobs = server.get("/api/jobs").await;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 2);
}

/// An upload of which the rest does not come.
async fn begin_upload(server: &Server, session: &str) -> TcpStream {
    let host = server.url.strip_prefix("http://").unwrap();
    let mut upload = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /api/jobs HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=x\r\ncontent-length: 100000\r\n\r\n\
         --x\r\ncontent-disposition: form-data; name=\"session_id\"\r\n\r\n{session}\r\n\
         --x\r\ncontent-disposition: form-data; name=\"files\"; filename=\"a.png\"\r\n\r\nabc",
        token(Role::Operator),
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    upload
}

#[tokio::test]
async fn an_upload_that_stalls_is_given_up() {
    let bounds = Bounds {
        workers: 0,
        stalled: Duration::from_millis(100),
        stored: 5,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds).await;
    let session = server.session("Lake").await;
    let mut upload = begin_upload(&server, &session).await;
    let mut answer = String::new();
    let read = upload.read_to_string(&mut answer);
    // The connection is closed after it, as the rest cannot be told from another request.
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("UPLOAD_STALLED"), "{answer}");
    // What had come of it is gone: there is room for all that there can be.
    let whole = vec![("a.bin", vec![0; 5])];
    server.import(&session, whole).await.ok();
}

#[tokio::test]
async fn uploads_at_a_time_are_bounded() {
    let bounds = Bounds {
        uploads: 1,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds).await;
    let session = server.session("Lake").await;
    let first = begin_upload(&server, &session).await;
    let another = async || {
        let refused = server.upload(Form::new()).await;
        (refused.status, refused.code().to_owned())
    };
    let full = (503, "TOO_MANY_UPLOADS".to_owned());
    until("the first has begun", async || another().await == full).await;
    drop(first);
    until("there is room again", async || another().await != full).await;
    server
        .import(&session, vec![("a.png", picture(1))])
        .await
        .ok();
}

#[tokio::test]
async fn what_else_is_in_an_upload_is_bounded_too() {
    let bounds = Bounds {
        workers: 0,
        files: 1,
        file: 10,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds).await;
    let session = server.session("Lake").await;
    let form = || Form::new().text("session_id", session.clone());
    let name = Form::new().text("session_id", "n".repeat(257));
    let others = form().text("note", "n".repeat(2 * 1024 * 1024));
    for form in [name, others] {
        let refused = server.upload(form).await;
        assert_eq!((refused.status, refused.code()), (413, "PAYLOAD_TOO_LARGE"));
    }
    let small = Part::bytes(vec![0; 10]).file_name("a.bin");
    let form = form().text("note", "known to nobody").part("files", small);
    server.upload(form).await.ok();
}
