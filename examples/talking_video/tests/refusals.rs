//! What is refused, and what fails: with which code, and what is left.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use progress_core::TaskId;
use reqwest::{
    Client,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use talking_video::{server::Limits, users::Users};

use self::support::{Host, PATIENCE, form, held::Held, meadow, pass, portrait, spoken, stand_in};

#[tokio::test]
async fn a_full_queue_refuses_and_tasks_under_way_are_listed_and_can_be_cancelled() {
    let held = Held::default();
    let rendering = held.start().await;
    let limits = Limits {
        waiting: 1,
        ..Limits::default()
    };
    let host = Host::with(Host::tokens(), rendering, |settings| {
        settings.limits(limits)
    })
    .await;
    let mut taken = Vec::new();
    // Four are at the renderer, and two wait before each stage; then the first line fills.
    let refused = loop {
        let response = host.post(form(portrait(), spoken("One."))).await;
        if response.status() != 202 {
            break response;
        }
        taken.push(support::Accepted(response.json().await.unwrap()));
        assert!(taken.len() < 40, "a queue without end");
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["error"]["code"], "PIPELINE_FULL");
    assert_eq!(error["error"]["is_retryable"], true);
    assert!(!error["error"]["solutions"].as_array().unwrap().is_empty());

    let operator = host.operator();
    let operator = operator.as_deref();
    host.until("/api/tasks?state=active&limit=100", operator, |page| {
        page["tasks"].as_array().map(Vec::len) == Some(taken.len())
    })
    .await;
    for task in &taken[1..] {
        let url = format!("{}{}/cancel", host.url, task.text("polling_url"));
        let asked = host.client.post(&url).bearer_auth(task.token().unwrap());
        assert_eq!(asked.json(&json!({})).send().await.unwrap().status(), 202);
        assert_eq!(host.end(task).await["state"], "cancelled");
    }
    held.release();
    let failed = host.end(&taken[0]).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["error"]["code"], "RENDER_FAILED");
    assert_eq!(failed["error"]["stage"], "render");
    let gone = host
        .get(taken[0].text("result_url"), taken[0].token())
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 404);
    host.until("/api/tasks?state=active", operator, |page| {
        page["tasks"] == json!([])
    })
    .await;
}

#[tokio::test]
async fn a_renderer_that_keeps_failing_is_left_alone_for_a_while() {
    let held = Held::default();
    held.set_down(true);
    let rendering = held.start_with(|renderer| renderer.attempts(1)).await;
    // Longer than any task here takes, however slow the machine is.
    let left_alone = PATIENCE * 5;
    let limits = Limits {
        failures: 3,
        left_alone,
        ..Limits::default()
    };
    let mut host = Host::with(Host::tokens(), rendering, |settings| {
        settings.limits(limits)
    })
    .await;
    for _ in 0..3 {
        let failed = host.end(&host.generate().await).await;
        assert_eq!(failed["error"]["code"], "RENDER_UNAVAILABLE", "{failed}");
    }
    let asked = held.asked();
    assert!(asked >= 3, "{asked}");
    // That it is in order again nobody knows yet.
    held.set_down(false);
    held.deliver();
    let refused = host.end(&host.generate().await).await;
    let error = &refused["error"];
    assert_eq!(
        (&error["code"], &error["stage"], &error["is_retryable"]),
        (&json!("CIRCUIT_OPEN"), &json!("render"), &json!(true))
    );
    assert!(error["retry_after_ms"].as_u64() > Some(0), "{error}");
    assert_eq!(error["solutions"], json!(["Try again later"]));
    assert_eq!(held.asked(), asked, "nothing is asked of it");

    pass(left_alone).await;
    // For the server the connections of before were silent all that time.
    host.client = Client::new();
    for _ in 0..2 {
        let done = host.end(&host.generate().await).await;
        assert_eq!(done["state"], "completed", "{done}");
    }
    assert_eq!(held.jobs(), (2, 0));
}

#[tokio::test]
async fn what_cannot_be_used_fails_its_task_with_a_code_and_a_way_out() {
    let host = Host::start().await;
    let mut torn = portrait();
    torn.truncate(9_000);
    let voice = spoken("Hello.");
    for (image, audio, code, stage) in [
        (torn, voice.clone(), "IMAGE_TRUNCATED", "read"),
        (
            said_to_be(5_001, 5_000),
            voice.clone(),
            "IMAGE_TOO_LARGE",
            "read",
        ),
        (
            b"no picture".to_vec(),
            voice.clone(),
            "IMAGE_UNSUPPORTED",
            "read",
        ),
        (portrait(), Vec::new(), "AUDIO_EMPTY", "read"),
        (meadow(), voice.clone(), "NO_PERSON_FOUND", "detect"),
    ] {
        let response = host.post(form(image, audio)).await;
        assert_eq!(response.status(), 202, "{code}");
        let task = support::Accepted(response.json().await.unwrap());
        let snapshot = host.end(&task).await;
        assert_eq!(snapshot["state"], "failed", "{code}");
        assert_eq!(
            (&snapshot["error"]["code"], &snapshot["error"]["stage"]),
            (&json!(code), &json!(stage))
        );
        assert!(
            !snapshot["error"]["solutions"]
                .as_array()
                .unwrap()
                .is_empty(),
            "{code}"
        );
        assert!(snapshot["progress"].as_f64() < Some(100.0));
    }
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_with_the_field_and_the_limit() {
    let limits = Limits {
        image: 1_000,
        audio: 100_000,
        ..Limits::default()
    };
    let rendering = stand_in().await;
    let host = Host::with(Host::tokens(), rendering, |settings| {
        settings.limits(limits)
    })
    .await;
    let image = || Part::bytes(vec![0; 900]);
    let audio = || Part::bytes(vec![0; 90_000]);
    let whole = || Form::new().part("image", image()).part("audio", audio());
    for (form, status, code, field) in [
        (
            Form::new().part("audio", audio()),
            400,
            "MISSING_FIELD",
            "image",
        ),
        (
            Form::new().part("image", image()),
            400,
            "MISSING_FIELD",
            "audio",
        ),
        (
            whole().text("conf_threshold", "1.5"),
            400,
            "INVALID_FIELD",
            "conf_threshold",
        ),
        (
            whole().text("conf_threshold", "much"),
            400,
            "INVALID_FIELD",
            "conf_threshold",
        ),
        (
            whole().text("apply_smoothing", "maybe"),
            400,
            "INVALID_FIELD",
            "apply_smoothing",
        ),
        (
            Form::new().part("image", Part::bytes(vec![0; 1_001])),
            413,
            "PAYLOAD_TOO_LARGE",
            "image",
        ),
    ] {
        let response = host.post(form).await;
        assert_eq!(response.status(), status, "{field}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert_eq!(body["error"]["details"]["field"], field, "{body}");
    }
    let url = format!("{}/api/video-generation/generate", host.url);
    let plain = host
        .client
        .post(&url)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 400);
    let announced = host
        .client
        .post(&url)
        .body(vec![0; 400_000])
        .send()
        .await
        .unwrap();
    assert_eq!(announced.status(), 413);
}

#[tokio::test]
async fn a_task_that_there_is_not_is_not_found() {
    let host = Host::with(Users::open(), stand_in().await, |settings| settings).await;
    let id = TaskId::random();
    for path in [
        format!("/api/tasks/{id}"),
        format!("/api/video-generation/{id}/result"),
    ] {
        let response = host.get(&path, None).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "TASK_NOT_FOUND");
    }
    let malformed = host
        .get("/api/video-generation/a%20b/result", None)
        .send()
        .await
        .unwrap();
    assert_eq!(malformed.status(), 400);
    // Nor does anybody listen to a renderer unless it is said to.
    let webhook = format!("{}/api/video-generation/webhook", host.url);
    let posted = host.client.post(webhook).body("{}").send().await.unwrap();
    assert_eq!(posted.status(), 404);
}

#[tokio::test]
async fn trusted_pages_may_read_others_may_not_and_counts_are_for_operators() {
    let rendering = stand_in().await;
    let trusted = "https://app.example.org";
    let host = Host::with(Host::tokens(), rendering, |settings| {
        settings.origin(trusted)
    })
    .await;
    for (origin, is_allowed) in [(trusted, true), ("https://evil.example", false)] {
        let asked = host
            .get("/api/health", None)
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        assert_eq!(
            asked.headers().contains_key("access-control-allow-origin"),
            is_allowed,
            "{origin}"
        );
        let url = format!("{}/api/video-generation/generate", host.url);
        let posted = host
            .client
            .post(url)
            .header("origin", origin)
            .multipart(Form::new());
        let status = posted.send().await.unwrap().status().as_u16();
        assert_eq!(status, if is_allowed { 400 } else { 403 }, "{origin}");
    }
    let counts = async |token| host.get("/api/metrics", token).send().await.unwrap();
    assert_eq!(counts(None).await.status(), 401);
    let counts = counts(host.operator().as_deref())
        .await
        .text()
        .await
        .unwrap();
    assert!(counts.contains("progress_tasks"), "{counts}");
}

/// The portrait, whose header says another size.
fn said_to_be(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = portrait();
    let frame = jpeg
        .windows(3)
        .position(|bytes| bytes == [0xFF, 0xC0, 0] || bytes == [0xFF, 0xC2, 0])
        .unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}
