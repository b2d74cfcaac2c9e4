//! From a portrait and a voice to a video, and who may see what of it.

#[expect(dead_code, reason = "the tests of the page use the rest")]
mod support;

use std::{fs, path::Path};

use image::AnimationDecoder as _;
use pipeline_gpu::stages::IfNobody;
use progress_core::TaskId;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use talking_video::{models::ModelFiles, server::Limits, users::Users};

use self::support::{Held, Host, form, meadow, portrait, spoken, stand_in};

#[tokio::test]
async fn a_portrait_and_a_voice_become_a_video_and_every_step_is_told() {
    let host = Host::start().await;
    let portrait = form(
        portrait(),
        spoken("The quick brown fox jumps over the lazy dog."),
    )
    .text("conf_threshold", "0.4")
    .text("apply_smoothing", "true");
    let response = host.post(portrait).await;
    assert_eq!(response.status(), 202);
    let task = support::Accepted(response.json().await.unwrap());
    let id = task.id();
    assert_eq!(task.text("websocket_url"), format!("/api/ws/progress/{id}"));
    assert_eq!(task.text("sse_url"), format!("/api/sse/progress/{id}"));
    assert_eq!(task.text("polling_url"), format!("/api/tasks/{id}"));

    let snapshot = host.end(&task).await;
    assert_eq!(snapshot["state"], "completed", "{snapshot}");
    assert_eq!(snapshot["progress"], 100.0);
    let stage = |path: &str| {
        let stages = snapshot["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["path"] == path).unwrap()
    };
    let detected = &stage("detect")["metadata"];
    assert_eq!(detected["detected_persons"], 1);
    assert_eq!(detected["selected_person"]["person_id"], 0);
    assert!(detected["selected_person"]["confidence"].as_f64() > Some(0.6));
    for path in ["detect", "cut-out", "prosody"] {
        assert_eq!(stage(path)["metadata"]["device"], "cpu", "{path}");
    }
    let coverage = stage("cut-out")["metadata"]["coverage"].as_f64().unwrap();
    assert!((0.2..0.8).contains(&coverage), "{coverage}");
    assert!(
        stage("prosody")["message"]
            .as_str()
            .unwrap()
            .contains("syllables")
    );
    assert_eq!(stage("render")["metadata"]["render_status"], "done");
    let result = &snapshot["result"];
    assert_eq!(
        (&result["renderer"], &result["video_url"]),
        (&json!("stand-in"), &task.0["result_url"])
    );
    let spoken_for = result["prosody"]["speech_s"].as_f64().unwrap();

    let video = host
        .get(task.text("result_url"), task.token())
        .send()
        .await
        .unwrap();
    assert_eq!(video.headers()["content-type"], "image/apng");
    assert_eq!(video.headers()["cache-control"], "private, no-store");
    let video = video.bytes().await.unwrap();
    let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(&video)).unwrap();
    let frames = decoder
        .apng()
        .unwrap()
        .into_frames()
        .collect_frames()
        .unwrap();
    // What it says, and the pauses.
    assert!(
        frames.len() as f64 > spoken_for * 12.5 - 1.0,
        "{} for {spoken_for} s",
        frames.len()
    );
    // The mouth of the portrait is red or dark where it is open, and is so by turns.
    let mouth = |frame: &image::Frame| {
        let lips = image::imageops::crop_imm(frame.buffer(), 155, 108, 30, 14).to_image();
        lips.pixels()
            .filter(|pixel| pixel[0] < 110 && pixel[1] < 60)
            .count()
    };
    let open: Vec<_> = frames.iter().map(mouth).collect();
    let (least, most) = (open.iter().min().unwrap(), open.iter().max().unwrap());
    assert!(most > &(least + 40), "{open:?}");
    // Nothing is left behind the figure.
    let corner = frames[0].buffer().get_pixel(4, 20);
    assert!(corner[3] < 15, "{corner:?}");
}

#[tokio::test]
async fn many_watch_one_task_and_who_comes_late_gets_the_history() {
    let host = Host::start().await;
    let task = host.generate().await;
    let early = tokio::join!(host.stream(&task), host.stream(&task), host.stream(&task));
    let late = host.stream(&task).await;
    let told = |events: &[Value]| -> Vec<(String, String)> {
        let milestones = events.iter().filter(|event| {
            let kind = event["event_type"].as_str().unwrap_or_default();
            ["started", "stage_change", "complete"].contains(&kind)
        });
        let told = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        milestones
            .map(|event| {
                (
                    told(event, "event_type"),
                    event["data"]["current_stage"].to_string(),
                )
            })
            .collect()
    };
    let stages: Vec<_> = told(&late);
    assert_eq!(stages.first().unwrap().0, "started", "{late:?}");
    assert_eq!(stages.last().unwrap().0, "complete", "{late:?}");
    assert!(stages.len() >= 7, "{stages:?}");
    for watcher in [&early.0, &early.1, &early.2] {
        assert_eq!(told(watcher), stages);
    }
    let path = format!("{}/history", task.text("polling_url"));
    let history: Value = host
        .get(&path, task.token())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(history["events"].as_array().unwrap().len() >= stages.len());
}

#[tokio::test]
async fn a_task_is_for_who_has_its_token_in_a_header() {
    let host = Host::start().await;
    let (task, other) = (host.generate().await, host.generate().await);
    host.end(&task).await;
    for name in ["polling_url", "sse_url", "result_url"] {
        let path = task.text(name);
        let status = async |token| {
            host.get(path, token)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        };
        assert_eq!(status(None).await, 401, "{name}");
        assert_eq!(status(Some("nonsense")).await, 401, "{name}");
        assert_eq!(status(other.token()).await, 403, "{name}");
        assert_eq!(status(task.token()).await, 200, "{name}");
        let in_query = format!("{path}?token={}", task.token().unwrap());
        let status = host.get(&in_query, None).send().await.unwrap().status();
        assert_eq!(status, 401, "{name}: never in the query");
    }
    // Nor does it list what others do; an operator's does.
    let active = async |token| {
        host.get("/api/tasks?state=active", token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!((active(None).await, active(task.token()).await), (401, 403));
    assert_eq!(active(host.operator().as_deref()).await, 200);
    host.end(&other).await;
}

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
async fn what_cannot_be_used_fails_its_task_with_a_code_and_a_way_out() {
    let host = Host::start().await;
    let mut torn = portrait();
    torn.truncate(9_000);
    let voice = spoken("Hello.");
    for (image, audio, code, stage) in [
        (torn, voice.clone(), "IMAGE_TRUNCATED", "read"),
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
}

#[tokio::test]
async fn where_it_is_allowed_the_whole_picture_speaks_and_watchers_are_told() {
    let rendering = stand_in().await;
    let host = Host::with(Users::open(), rendering, |settings| {
        settings.if_nobody(IfNobody::WholePicture)
    })
    .await;
    let response = host.post(form(meadow(), spoken("Nobody is here."))).await;
    let task = support::Accepted(response.json().await.unwrap());
    assert_eq!(task.token(), None);
    let snapshot = host.end(&task).await;
    assert_eq!(snapshot["state"], "completed", "{snapshot}");
    let metadata = &snapshot["stages"][1]["metadata"];
    assert_eq!(metadata["fallback"], "whole_picture");
    assert_eq!(
        (
            &metadata["detected_persons"],
            &snapshot["result"]["detected_persons"]
        ),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_yolo_of_ones_own_finds_people_too() {
    // Built by hand: whatever is red is a person.
    let yolo = "../../pipeline-gpu/tests/models/blob_det320.onnx";
    let yolo = Path::new(env!("CARGO_MANIFEST_DIR")).join(yolo);
    let models = ModelFiles::default().yolo(yolo);
    let host = Host::on(models, Users::open(), stand_in().await, |settings| settings).await;
    let response = host.post(form(meadow(), spoken("I am a barn."))).await;
    let task = support::Accepted(response.json().await.unwrap());
    let snapshot = host.end(&task).await;
    assert_eq!(snapshot["state"], "completed", "{snapshot}");
    let detected = &snapshot["stages"][1]["metadata"];
    assert_eq!(detected["detected_persons"], 1);
    let bounds: Vec<f64> =
        serde_json::from_value(detected["selected_person"]["bounds"].clone()).unwrap();
    for (found, side) in bounds.iter().zip([60.0, 50.0, 120.0, 120.0]) {
        assert!((found - side).abs() < 8.0, "{bounds:?}");
    }
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

#[tokio::test]
async fn how_long_stages_took_is_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prior.json");
    // Of a server before this one: the script took as long as all others.
    let before = json!({
        "read": [100, 100, 100], "detect": [100, 100, 100], "cut-out": [100, 100, 100],
        "prosody": [100, 100, 100], "script": [500, 500, 500], "render": [100, 100, 100],
    });
    fs::write(&file, before.to_string()).unwrap();
    let host = Host::with(Users::open(), stand_in().await, |settings| {
        settings.prior_file(&file)
    })
    .await;
    let task = host.generate().await;
    let snapshot = host.end(&task).await;
    let weights: Vec<f64> = snapshot["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["weight"].as_f64().unwrap())
        .collect();
    for (stage, weight) in weights.iter().enumerate() {
        let share = weight / weights.iter().sum::<f64>();
        let expected = if stage == 4 { 0.5 } else { 0.1 };
        assert!((share - expected).abs() < 0.01, "{weights:?}");
    }
    support::eventually(async || {
        let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        kept["render"].as_array().map(Vec::len) == Some(4)
    })
    .await;
}

#[tokio::test]
async fn results_go_with_their_tasks() {
    let rendering = stand_in().await;
    let host = Host::with(Users::open(), rendering, |settings| {
        settings.retention(std::time::Duration::from_secs(2))
    })
    .await;
    let task = host.generate().await;
    host.end(&task).await;
    let found = host
        .get(task.text("result_url"), None)
        .send()
        .await
        .unwrap();
    assert_eq!(found.status(), 200);
    host.until(task.text("polling_url"), None, |body| {
        body["error"]["code"] == "TASK_NOT_FOUND"
    })
    .await;
    let gone = host
        .get(task.text("result_url"), None)
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 404);
}
