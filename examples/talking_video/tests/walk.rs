//! From a portrait and a voice to a video, and what changes it.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::{fs, path::Path};

use image::AnimationDecoder as _;
use pipeline_gpu::stages::IfNobody;
use serde_json::{Value, json};
use talking_video::{models::ModelFiles, users::Users};

use self::support::{Host, form, meadow, portrait, spoken, stand_in};

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
async fn how_sure_to_be_and_whether_to_smooth_change_what_comes_out() {
    let host = Host::start().await;
    let voice = spoken("Is this the very same sentence?");
    let ask = async |field: &'static str, text: &'static str| {
        let response = host
            .post(form(portrait(), voice.clone()).text(field, text))
            .await;
        let task = support::Accepted(response.json().await.unwrap());
        host.end(&task).await
    };
    let unsure = ask("conf_threshold", "1.0").await;
    assert_eq!(unsure["error"]["code"], "NO_PERSON_FOUND", "{unsure}");
    let raw = ask("apply_smoothing", "false").await;
    let smooth = ask("apply_smoothing", "true").await;
    let prosody = |snapshot: &Value| snapshot["result"]["prosody"].clone();
    assert!(prosody(&raw).is_object(), "{raw}");
    assert_ne!(prosody(&raw), prosody(&smooth));
    let again = ask("apply_smoothing", "true").await;
    assert_eq!(prosody(&again), prosody(&smooth));
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
        settings.retention(std::time::Duration::from_secs(8))
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
