//! Behind nginx, with the lines that the README shows.

#![cfg(unix)]

#[expect(dead_code, reason = "the tests of the server use the rest")]
#[path = "../../server/tests/proxies/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use serde_json::{Value, json};

use self::{
    proxy::{Kind, Proxy, Times, file, set},
    support::{Host, form, portrait, socket::Socket, spoken, stand_in},
};

#[tokio::test]
async fn a_video_is_asked_for_watched_and_fetched_through_nginx() {
    let mut host = Host::with(Host::tokens(), stand_in().await, |settings| {
        settings.trusted_proxy("127.0.0.1".parse().unwrap())
    })
    .await;
    let node = host.url["http://".len()..].parse().unwrap();
    let proxy = Proxy::with(Kind::Nginx, &settings(), &[node], Times::AsTheyAre).await;
    host.url = proxy.url("");
    host.client = proxy.http().build().unwrap();

    // Larger than what nginx lets through elsewhere: a picture's file may go on behind its end.
    let mut picture = portrait();
    picture.resize(9 << 20, 0);
    let response = host
        .post(form(picture, spoken("Hello, I am a picture.")))
        .await;
    assert_eq!(response.status(), 202);
    let task = support::Accepted(response.json().await.unwrap());
    let url = proxy.url(task.text("websocket_url"));
    let socket = Socket::open(proxy.address, &url, task.token()).await;
    let (streamed, told) = tokio::join!(host.stream(&task), to_its_end(socket));
    for (way, events) in [("a stream", &streamed), ("a socket", &told)] {
        let of = |kind: &str| events.iter().find(|event| event["event_type"] == kind);
        assert!(of("stage_change").is_some(), "{way}: {events:?}");
        let complete = of("complete").unwrap_or_else(|| panic!("{way}: {events:?}"));
        assert_eq!(complete["task_id"], task.0["task_id"], "{way}");
    }
    let video = host.get(task.text("result_url"), task.token());
    let video = video.send().await.unwrap();
    assert_eq!(video.headers()["content-type"], "image/apng");
    let video = video.bytes().await.unwrap();
    assert!(video.starts_with(b"\x89PNG"), "{} bytes", video.len());

    for path in ["/api/metrics", "/api/health/live", "/api/health/ready"] {
        let operator = host.operator();
        let answer = host.get(path, operator.as_deref()).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path} is not for the web");
    }
}

#[tokio::test]
async fn what_is_too_large_is_said_to_be_by_nginx_too() {
    // Nobody has to be there for it.
    let node = "127.0.0.1:9".parse().unwrap();
    let proxy = Proxy::with(Kind::Nginx, &settings(), &[node], Times::AsTheyAre).await;
    for (path, limit) in [
        ("/api/video-generation/generate", 49 << 20),
        ("/api/tasks/t/events", 8 << 20),
    ] {
        // Its length is enough to refuse it.
        let sent = proxy.post(path).body(vec![0; limit + 1]).send();
        let refused = sent.await.unwrap();
        assert_eq!(refused.status(), 413, "{path}");
        let refused: Value = refused.json().await.unwrap();
        let error = &refused["error"];
        assert_eq!(error["code"], "PAYLOAD_TOO_LARGE");
        assert_eq!(error["details"]["limit"], json!(limit), "{path}");
    }
}

/// All that a socket tells up to the end of its task.
async fn to_its_end(mut socket: Socket) -> Vec<Value> {
    let mut told = Vec::new();
    while told
        .last()
        .is_none_or(|event: &Value| event["event_type"] != "complete")
    {
        told.push(socket.next().await.expect("it goes on to the end"));
    }
    told
}

/// The file of `docs/deploy` with the README's lines in place of the locations that it names.
fn settings() -> String {
    let readme = include_str!("../README.md");
    let (_, ours) = readme.split_once("```nginx\n").expect("it shows them");
    let (ours, _) = ours.split_once("```").expect("they end");
    let mut said = file("nginx.conf");
    for location in ["location / {", "location /sse {"] {
        let begin = said.find(location).expect("the file has it");
        let end = begin + said[begin..].find("    }\n").expect("it ends") + "    }\n".len();
        said.replace_range(begin..end, "");
    }
    said = set(&said, "location /health  { return 404; }", "");
    set(&said, "location /metrics { return 404; }", ours)
}
