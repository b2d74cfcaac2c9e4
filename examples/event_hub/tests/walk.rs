//! What people do with the hub, and what is told of it.

mod support;

use std::{collections::BTreeSet, time::Duration};

use event_hub::{bounds::Bounds, server::Settings, system::Watch, users::Role};
use serde_json::{Value, json};

use self::support::{CHANNELS, Server, picture, text, torn, until, users};

/// All types of events that the channels of a server have told so far.
async fn told(server: &Server) -> BTreeSet<String> {
    let mut watcher = server.connect(Role::Operator, "progress.v1.json").await;
    let topics = CHANNELS.map(|channel| json!({"channel": channel}));
    watcher
        .say(json!({"type": "subscribe", "topics": topics}))
        .await;
    let mut told = BTreeSet::new();
    let (mut verdicts, mut left) = (0, 0);
    // Each verdict says how many events there are, and a range how many of them it stands for.
    while verdicts < CHANNELS.len() || left > 0 {
        let frame = watcher.frame().await;
        if frame["event_type"] == "subscribed" {
            verdicts += 1;
            left += frame["data"]["seq"].as_i64().unwrap();
        } else if let Some(name) = frame["event"]["event_type"].as_str() {
            let seq = frame["channel_seq"].as_i64().unwrap();
            left -= seq - frame["channel_from"].as_i64().unwrap_or(seq) + 1;
            told.insert(name.to_owned());
        }
    }
    told
}

#[tokio::test]
async fn all_22_events_come_of_what_is_done() {
    let watch = Watch {
        every: Duration::from_millis(200),
        memory: 0.0,
        ..Watch::default()
    };
    let server = Server::start_with(Settings::new(users()).watch(watch)).await;
    let session = server.session("Lake").await;
    let path = format!("/api/sessions/{session}");
    server.patch(&path, json!({"note": "at dawn"})).await.ok();
    let files = vec![
        ("a.png", picture(20)),
        ("b.png", picture(200)),
        ("torn.png", torn()),
    ];
    let photos = server.photos(&session, files).await;
    assert_eq!(photos.len(), 2);
    // Nothing is approved yet.
    server
        .post("/api/exports", json!({"session_id": session}))
        .await
        .ok();
    for (photo, word) in [(0, "select"), (0, "approve"), (1, "reject")] {
        let path = format!("/api/photos/{}/{word}", photos[photo]);
        server.post(&path, json!({})).await.ok();
    }
    server
        .post("/api/exports", json!({"session_id": session}))
        .await
        .ok();
    // A job of which nothing comes.
    server
        .import(&session, vec![("torn.png", torn())])
        .await
        .ok();
    server
        .post(&format!("{path}/complete"), json!({}))
        .await
        .ok();

    // Where nobody works, there is time to change an order.
    let idle = Bounds {
        workers: 0,
        ..Bounds::default()
    };
    let waiting = Server::start_within(idle).await;
    let session = waiting.session("Hills").await;
    let job = waiting
        .import(&session, vec![("a.png", picture(1))])
        .await
        .ok();
    let path = format!("/api/jobs/{}", text(&job["job_id"]));
    waiting.patch(&path, json!({"priority": 9})).await.ok();

    let mut seen = BTreeSet::new();
    until("all 22 were told", async || {
        seen.extend(told(&server).await);
        seen.extend(told(&waiting).await);
        seen.len() >= 22
    })
    .await;
    assert_eq!(seen.len(), 22, "{seen:?}");
}

#[tokio::test]
async fn pictures_are_imported_and_what_is_in_them_is_told() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let mut watcher = server
        .watch(Role::Operator, &["jobs", "photos", "system"])
        .await;
    let files = vec![
        ("../lake.png", picture(20)),
        ("notes.txt", b"what a day".to_vec()),
    ];
    let job = server.import(&session, files).await.ok();
    assert_eq!(
        (&job["state"], &job["total"]),
        (&json!("waiting"), &json!(2))
    );
    // The first picture of each; channels come in any order.
    let types = [
        "photo_imported",
        "photo_analyzed",
        "job_completed",
        "error_occurred",
    ];
    let [imported, analyzed, done, error] = watcher.events(types).await;
    assert_eq!(imported["name"], "lake.png");
    assert_eq!(
        (&analyzed["width"], &analyzed["height"]),
        (&json!(180), &json!(120))
    );
    assert_eq!(text(&analyzed["sha256"]).len(), 64);
    assert!(text(&analyzed["colours"][0]).starts_with('#'));
    let thumbnail = format!("/api/photos/{}/thumbnail", text(&imported["photo_id"]));
    let thumbnail = image::load_from_memory(&server.bytes(&thumbnail).await).unwrap();
    assert_eq!((thumbnail.width(), thumbnail.height()), (180, 120));
    assert_eq!((&done["imported"], &done["failed"]), (&json!(1), &json!(1)));
    assert_eq!(error["subject"], "notes.txt");
    assert_eq!(error["error"]["code"], "NOT_A_PICTURE");
    let path = format!("/api/jobs/{}", text(&job["job_id"]));
    let refused = server.patch(&path, json!({"priority": 9})).await;
    assert_eq!((refused.status, refused.code()), (409, "NOT_WAITING"));
    // The job is a task too, and was watched to its end by its id.
    let task = server
        .get(&format!("/tasks/{}", text(&job["job_id"])))
        .await;
    assert_eq!(
        (&task["state"], &task["progress"]),
        (&json!("completed"), &json!(100.0))
    );
}

#[tokio::test]
async fn a_job_of_which_nothing_comes_fails_and_leaves_nothing() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let mut watcher = server.watch(Role::Operator, &["jobs"]).await;
    server
        .import(&session, vec![("torn.png", torn())])
        .await
        .ok();
    let failed = watcher.event("job_failed").await;
    assert_eq!(failed["error"]["code"], "IMAGE_DECODE_FAILED");
    assert_eq!(server.get("/api/photos").await["photos"], json!([]));
}

#[tokio::test]
async fn another_priority_reorders_the_queue() {
    let idle = Bounds {
        workers: 0,
        ..Bounds::default()
    };
    let server = Server::start_within(idle).await;
    let session = server.session("Lake").await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = server
            .import(&session, vec![("a.png", picture(1))])
            .await
            .ok();
        jobs.push(text(&job["job_id"]));
    }
    let mut watcher = server.watch(Role::Viewer, &["queue"]).await;
    let path = format!("/api/jobs/{}", jobs[2]);
    server.patch(&path, json!({"priority": 8})).await.ok();
    let changed = watcher.event("priority_changed").await;
    assert_eq!(
        (&changed["old_priority"], &changed["new_priority"]),
        (&json!(5), &json!(8))
    );
    assert_eq!(changed["place"], 1);
    let status = watcher.event("queue_status").await;
    let order = |status: &Value| -> Vec<String> {
        let next = status["next"].as_array().unwrap();
        next.iter().map(|job| text(&job["job_id"])).collect()
    };
    let expected = [&jobs[2], &jobs[0], &jobs[1]].map(Clone::clone);
    assert_eq!(order(&status), expected);
    assert_eq!(order(&server.get("/api/queue").await), expected);
}

#[tokio::test]
async fn a_job_can_be_cancelled_while_it_waits() {
    let bounds = Bounds {
        workers: 1,
        ..Bounds::default()
    };
    let server = Server::start_within(bounds).await;
    let session = server.session("Lake").await;
    let mut watcher = server.watch(Role::Viewer, &["jobs"]).await;
    let many = (0..40).map(|hue| ("a.png", picture(hue))).collect();
    let first = server.import(&session, many).await.ok();
    let second = server
        .import(&session, vec![("b.png", picture(1))])
        .await
        .ok();
    for job in [&second, &first] {
        let path = format!("/tasks/{}/cancel", text(&job["job_id"]));
        server
            .post(&path, json!({"reason": "no longer wanted"}))
            .await
            .ok();
    }
    for _ in 0..2 {
        let failed = watcher.event("job_failed").await;
        assert_eq!(failed["error"]["code"], "CANCELLED");
    }
    let task = server
        .get(&format!("/tasks/{}", text(&second["job_id"])))
        .await;
    assert_eq!(
        (&task["state"], &task["cause"]),
        (&json!("cancelled"), &json!("no longer wanted"))
    );
}

#[tokio::test]
async fn each_decision_is_told_and_updates_the_approval_queue() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let files = vec![("a.png", picture(20)), ("b.png", picture(200))];
    let photos = server.photos(&session, files).await;
    let mut watcher = server.watch(Role::Reviewer, &["photos", "approval"]).await;
    let decide = async |photo: usize, word: &str, body: Value| {
        let path = format!("/api/photos/{}/{word}", photos[photo]);
        server.post(&path, body).await.ok()
    };
    let counts =
        |queue: &Value| ["pending", "approved", "rejected"].map(|name| queue[name].as_i64());
    decide(0, "approve", json!({})).await;
    let (mut approved, mut queue) = (Value::Null, Value::Null);
    while approved.is_null() || counts(&queue) != [Some(1), Some(1), Some(0)] {
        let frame = watcher.frame().await;
        match frame["event"]["event_type"].as_str() {
            Some("photo_approved") => approved = frame["event"]["data"].clone(),
            Some("approval_queue_updated") => queue = frame["event"]["data"].clone(),
            _ => {}
        }
    }
    assert_eq!(
        (&approved["photo_id"], &approved["by"]),
        (&json!(photos[0]), &json!("operator"))
    );
    assert_eq!(queue["next"], json!([photos[1]]));
    // The same again is no news; another word is.
    decide(0, "approve", json!({})).await;
    decide(0, "reject", json!({"reason": "blurred"})).await;
    let rejected = watcher.event("photo_rejected").await;
    assert_eq!(rejected["reason"], "blurred");
    let queue = server.get("/api/approvals").await;
    assert_eq!(counts(&queue), [Some(1), Some(0), Some(1)]);
}

#[tokio::test]
async fn an_export_is_an_archive_of_what_was_approved() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let original = picture(20);
    let files = vec![("lake.png", original.clone()), ("b.png", picture(200))];
    let photos = server.photos(&session, files).await;
    let mut watcher = server.watch(Role::Operator, &["export"]).await;
    let export = json!({"session_id": session});
    server.post("/api/exports", export.clone()).await.ok();
    let failed = watcher.event("export_failed").await;
    assert_eq!(failed["error"]["code"], "NOTHING_APPROVED");
    // The newest is the first, so that this is lake.png.
    server
        .post(&format!("/api/photos/{}/approve", photos[1]), json!({}))
        .await
        .ok();
    server.post("/api/exports", export).await.ok();
    let done = watcher.event("export_completed").await;
    let bytes = server.bytes(&text(&done["url"])).await;
    assert_eq!(done["bytes"], bytes.len());
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        if name == "index.json" {
            let index: Value = serde_json::from_slice(&content).unwrap();
            assert_eq!(index[0]["name"], "lake.png");
            assert_eq!(index[0]["approved_by"], "operator");
        } else if name == "contact-sheet.jpg" {
            assert_eq!(image::load_from_memory(&content).unwrap().width(), 8 * 160);
        } else {
            assert_eq!(content, original);
        }
        names.push(name);
    }
    assert_eq!(names[..2], ["index.json", "contact-sheet.jpg"]);
    assert!(
        names[2].starts_with("photos/") && names[2].ends_with("-lake.png"),
        "{names:?}"
    );
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn a_completed_session_takes_no_more_pictures() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let mut watcher = server.watch(Role::Viewer, &["sessions"]).await;
    let complete = format!("/api/sessions/{session}/complete");
    server.post(&complete, json!({})).await.ok();
    let completed = watcher.event("session_completed").await;
    assert_eq!(
        (&completed["session_id"], &completed["photos"]),
        (&json!(session), &json!(0))
    );
    let refused = server.import(&session, vec![("a.png", picture(1))]).await;
    assert_eq!((refused.status, refused.code()), (409, "SESSION_COMPLETED"));
    assert_eq!(
        server.post(&complete, json!({})).await.code(),
        "SESSION_COMPLETED"
    );
}

#[tokio::test]
async fn a_list_says_which_events_it_holds() {
    let server = Server::start().await;
    let mut watcher = server.watch(Role::Operator, &["sessions", "photos"]).await;
    let empty = server.get("/api/sessions").await;
    let session = server.session("Lake").await;
    let created = watcher
        .until(|frame| frame["event"]["event_type"] == "session_created")
        .await;
    let seq = |as_of: &Value| -> (String, u64) {
        let as_of = text(as_of);
        let (epoch, seq) = as_of.split_once(':').unwrap();
        (epoch.to_owned(), seq.parse().unwrap())
    };
    let position = (
        text(&created["channel_epoch"]),
        created["channel_seq"].as_u64().unwrap(),
    );
    let after = server.get("/api/sessions").await;
    assert_eq!(seq(&after["as_of"]), position);
    assert_eq!(seq(&empty["as_of"]).1, position.1 - 1);
    // Each list of its own channel.
    server.photos(&session, vec![("a.png", picture(1))]).await;
    watcher.event("photo_analyzed").await;
    for (path, channel) in [("/api/sessions", "sessions"), ("/api/photos", "photos")] {
        let list = server.get(path).await;
        assert_eq!(text(&list["as_of"]), watcher.positions[channel], "{path}");
    }
    for path in ["/api/jobs", "/api/queue", "/api/approvals", "/api/exports"] {
        let list = server.get(path).await;
        let (_, seq) = seq(&list["as_of"]);
        assert_eq!(seq > 0, path != "/api/exports", "{path}");
    }
}
