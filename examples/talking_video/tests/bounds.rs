//! What bounds the service: time, memory, addresses; and what it leaves behind.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::{fs, io::Cursor, time::Duration};

use image::{ImageFormat, imageops};
use progress_core::TaskId;
use reqwest::{
    Body, Client, Response, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use talking_video::{server::Limits, users::Users};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_util::io::ReaderStream;

use self::support::{
    Host, PATIENCE, eventually, form, held::Held, pass, portrait, spoken, stand_in,
};

#[tokio::test]
async fn a_video_that_is_being_fetched_is_not_swept_away() {
    let rendering = stand_in().await;
    let host = Host::with(Users::open(), rendering, |settings| {
        settings.retention(Duration::from_secs(1))
    })
    .await;
    // As it is named until it is whole.
    let part = host.folder.join(".abc123.part");
    fs::write(&part, b"the first half").unwrap();
    // What is of no task any more is gone at the next look.
    for _ in 0..3 {
        let old = host.folder.join(TaskId::random().as_str());
        fs::write(&old, b"nobody's").unwrap();
        eventually(async || !old.exists()).await;
    }
    assert!(part.exists());
}

#[tokio::test]
async fn an_upload_that_takes_too_long_gives_its_place_to_others() {
    let limits = Limits {
        uploads: 1,
        upload_time: Duration::from_secs(1),
        ..Limits::default()
    };
    let rendering = stand_in().await;
    let host = Host::with(Users::open(), rendering, |settings| settings.limits(limits)).await;
    // It begins and never ends; no pause is as long as a client may be silent.
    let (mut sender, body) = tokio::io::duplex(64);
    sender.write_all(b"not all").await.unwrap();
    let endless = Part::stream(Body::wrap_stream(ReaderStream::new(body)));
    let response = host.post(Form::new().part("image", endless)).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let error = json_of(response).await["error"].clone();
    assert_eq!(error["code"], "UPLOAD_TOO_SLOW", "{error}");
    assert_eq!(error["details"]["limit_s"], 1);
    assert_eq!(error["is_retryable"], true);
    assert_eq!(host.post(Form::new()).await.status(), 400);
    drop(sender);
}

#[tokio::test]
async fn a_large_picture_is_made_smaller_before_it_is_worked_on() {
    let host = Host::start().await;
    let small = image::load_from_memory(&portrait()).unwrap().into_rgb8();
    let (width, height) = small.dimensions();
    let large = imageops::resize(
        &small,
        width * 6,
        height * 6,
        imageops::FilterType::Triangle,
    );
    assert!(large.height() > 2_048);
    let mut jpeg = Cursor::new(Vec::new());
    large.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let response = host.post(form(jpeg.into_inner(), spoken("One."))).await;
    let task = support::Accepted(json_of(response).await);
    let snapshot = host.end(&task).await;
    assert_eq!(snapshot["state"], "completed", "{snapshot}");
    let metadata = |stage: usize| &snapshot["stages"][stage]["metadata"];
    let (width, height) = (&metadata(0)["width"], &metadata(0)["height"]);
    let longest = width.as_u64().max(height.as_u64());
    assert_eq!(longest, Some(2_048), "{width} x {height}");
    assert_eq!(metadata(1)["detected_persons"], 1);
    let bounds = &metadata(1)["selected_person"]["bounds"];
    let bounds: Vec<f64> = serde_json::from_value(bounds.clone()).unwrap();
    assert!(bounds.iter().all(|side| *side <= 2_048.0), "{bounds:?}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_limit_of_its_own() {
    let rendering = Held::default().start().await;
    let host = Host::with(Users::open(), rendering, |settings| {
        settings.trusted_proxy("127.0.0.1".parse().unwrap())
    })
    .await;
    let task = host.generate().await;
    let watch = async |client: &str| {
        let asked = host.get(task.text("sse_url"), None);
        let sent = asked.header("x-forwarded-for", client).send();
        timeout(PATIENCE, sent)
            .await
            .expect("it is answered")
            .unwrap()
    };
    let mut watching = Vec::new();
    for _ in 0..100 {
        let stream = watch("203.0.113.1").await;
        assert_eq!(stream.status(), 200);
        watching.push(stream);
    }
    let refused = watch("203.0.113.1").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(json_of(refused).await["error"]["code"], "CONNECTION_LIMIT");
    assert_eq!(watch("203.0.113.2").await.status(), 200);
}

#[tokio::test]
async fn watchers_get_heartbeats_and_one_that_shows_no_life_is_removed() {
    let rendering = Held::default().start().await;
    let mut host = Host::with(Users::open(), rendering, |settings| settings).await;
    let task = host.generate().await;
    let path = task.text("websocket_url");
    // It reads nothing, and so answers no ping.
    let dead = host.socket(path, None).await;
    let mut living = host.socket(path, None).await;
    let connected = living.until("connected").await;
    assert_eq!(connected["data"]["heartbeat_ms"], 30_000);
    for _ in 0..3 {
        pass(Duration::from_secs(30)).await;
        living.until("heartbeat").await;
        // Answered, so that it is known to live before time goes on.
        living.say(&json!({ "type": "ping" })).await;
        living.until("pong").await;
    }
    // For the server the connections of before were silent all that time.
    host.client = Client::new();
    host.until("/api/clients", None, |page| {
        page["clients"].as_array().map(Vec::len) == Some(1)
    })
    .await;
    living.say(&json!({ "type": "ping" })).await;
    living.until("pong").await;
    // From its side it was open until now.
    drop(dead);
}

#[tokio::test]
async fn a_result_is_not_waited_for() {
    let rendering = Held::default().start().await;
    let host = Host::with(Users::open(), rendering, |settings| settings).await;
    let task = host.generate().await;
    // Were it read at all it would be refused.
    let path = format!("{}?wait=nonsense", task.text("result_url"));
    let response = host.get(&path, None).send().await.unwrap();
    assert_eq!(response.status(), 409);
    let error = json_of(response).await;
    assert_eq!(error["error"]["code"], json!("STILL_RUNNING"));
}

#[cfg(unix)]
#[tokio::test]
async fn at_sigterm_jobs_at_the_renderer_are_deleted() {
    use std::process::{Command, Stdio};

    let held = Held::default();
    let mut server = Command::new(env!("CARGO_BIN_EXE_talking-video"))
        .args(["--open", "--device", "cpu", "--listen", "127.0.0.1:0"])
        .args(["--render-url", &held.serve().await])
        .env("RENDER_API_KEY", "key")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = server.stdout.take().unwrap();
    let (process, server) = (server.id().to_string(), Ended(server));
    let url = tokio::task::spawn_blocking(|| {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        lines.find_map(|line| {
            line.ok()?
                .split_once(" on http://")
                .map(|(_, at)| at.to_owned())
        })
    });
    let url = timeout(PATIENCE, url).await.expect("it starts").unwrap();
    let url = format!("http://{}/api/video-generation/generate", url.unwrap());
    let upload = Client::new().post(url);
    let upload = upload.multipart(form(portrait(), spoken("One."))).send();
    assert_eq!(upload.await.unwrap().status(), 202);
    eventually(async || held.jobs().0 == 1).await;
    assert_eq!(held.jobs(), (1, 0));

    let told = Command::new("kill").args(["-TERM", &process]).status();
    assert!(told.unwrap().success());
    let ended = tokio::task::spawn_blocking(move || server.wait());
    let ended = timeout(PATIENCE, ended).await.expect("it ends").unwrap();
    assert!(ended.success());
    assert_eq!(held.jobs(), (1, 1));
}

/// A process that does not outlive its test.
#[cfg(unix)]
struct Ended(std::process::Child);

#[cfg(unix)]
impl Ended {
    fn wait(mut self) -> std::process::ExitStatus {
        self.0.wait().unwrap()
    }
}

#[cfg(unix)]
impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended, mostly.
        let _ended = self.0.kill();
    }
}

async fn json_of(response: Response) -> Value {
    response.json().await.unwrap()
}
