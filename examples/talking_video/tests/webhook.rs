//! The renderer tells of a job's end, and is asked no later than then.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::time::Duration;

use pipeline_gpu::remote::{Renderer, Webhook};
use serde_json::{Value, json};
use talking_video::{
    server::Rendering,
    stand_in::{Key, StandIn},
    users::Users,
};

use self::support::{
    Accepted, Host, SECRET,
    held::{Held, VIDEO},
};

/// A renderer is asked so late that by asking alone no test would end.
const NEVER: Duration = Duration::from_secs(24 * 3_600);
const PUBLIC: &str = "https://video.example.org";

#[tokio::test]
async fn what_the_renderer_posts_ends_the_wait_if_it_is_signed() {
    let held = Held::default();
    let rendering = held
        .start_with(|renderer| renderer.polls(NEVER, NEVER))
        .await;
    let host = listening(rendering).await;
    let task = host.generate().await;
    let is_waited_on = |snapshot: &Value| {
        let stages = snapshot["stages"].as_array().into_iter().flatten();
        let mut known = stages.map(|stage| &stage["metadata"]["render_status"]);
        known.any(|status| status == "created")
    };
    host.until(task.text("polling_url"), None, is_waited_on)
        .await;
    let told = held.told();
    let path = told["webhook"]
        .as_str()
        .and_then(|url| url.strip_prefix(PUBLIC));
    let url = format!("{}{}", host.url, path.expect("it is told where"));
    held.deliver();

    let asked = held.asked();
    let done = |id: &str| json!({ "id": id, "status": "done" }).to_string();
    let own = |body: &str| Some(webhook().sign(body.as_bytes()));
    let others = Webhook::new("another secret, of somebody else").unwrap();
    let post = async |body: String, signature: Option<String>| {
        let mut message = host.client.post(&url);
        if let Some(signature) = signature {
            message = message.header("x-signature", signature);
        }
        let answer = message.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap_or_default();
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        (status, code.to_owned())
    };
    let unsigned = (401, "WEBHOOK_SIGNATURE_INVALID");
    for (body, signature, (status, code)) in [
        (done("tlk_1"), None, unsigned),
        (done("tlk_1"), Some("sha256=00".to_owned()), unsigned),
        (done("tlk_1"), own(&done("tlk_2")), unsigned),
        (
            done("tlk_1"),
            Some(others.sign(done("tlk_1").as_bytes())),
            unsigned,
        ),
        ("{}".to_owned(), own("{}"), (400, "WEBHOOK_INVALID")),
        (done("tlk_2"), own(&done("tlk_2")), (404, "NOBODY_WAITS")),
        (
            " ".repeat(Webhook::MAX_BODY + 1),
            None,
            (413, "PAYLOAD_TOO_LARGE"),
        ),
    ] {
        let what = format!("{:.40} {signature:?}", body);
        let answer = post(body, signature).await;
        assert_eq!(answer, (status, code.to_owned()), "{what}");
    }
    assert_eq!(held.asked(), asked, "for none of these it is asked");

    let body = done("tlk_1");
    let signature = own(&body);
    assert_eq!(post(body, signature).await, (204, String::new()));
    assert_video(&host, &task, |video| video == VIDEO).await;
}

#[tokio::test]
async fn the_stand_in_posts_to_where_it_is_told() {
    let key = Key::random();
    let address = ([127, 0, 0, 1], 0).into();
    let stand_in = StandIn::bind(address, key.clone()).await.unwrap();
    let renderer = Renderer::builder(stand_in.url(), key.api_key().unwrap());
    let host = listening(Rendering {
        renderer: renderer.polls(NEVER, NEVER).build().unwrap(),
        is_stand_in: true,
    })
    .await;
    let server = host.url["http://".len()..].parse().unwrap();
    tokio::spawn(stand_in.webhooks(webhook(), server).run());
    let task = host.generate().await;
    assert_video(&host, &task, |video| video.starts_with(b"\x89PNG")).await;
}

/// A server that can be told.
async fn listening(rendering: Rendering) -> Host {
    Host::with(Users::open(), rendering, |settings| {
        settings.webhook(webhook(), Some(PUBLIC.to_owned()))
    })
    .await
}

fn webhook() -> Webhook {
    Webhook::new(SECRET).unwrap()
}

async fn assert_video(host: &Host, task: &Accepted, is_it: impl Fn(&[u8]) -> bool) {
    let snapshot = host.end(task).await;
    assert_eq!(snapshot["state"], "completed", "{snapshot}");
    let video = host.get(task.text("result_url"), None);
    let video = video.send().await.unwrap().bytes().await.unwrap();
    assert!(is_it(&video), "{} bytes", video.len());
}
