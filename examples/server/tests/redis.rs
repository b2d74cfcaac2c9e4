//! Two servers on one Redis.

#[path = "../../../progress-redis/tests/server/mod.rs"]
mod server;
mod support;

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use self::{
    server::RedisServer,
    support::{PATIENCE, Server},
};

async fn health(server: &Server) -> Value {
    let (status, body) = server.get("/health").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Waits until health is so.
async fn until(server: &Server, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut told = Value::Null;
    let waiting = async {
        loop {
            told = health(server).await;
            if is_so(&told) {
                return;
            }
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{told}");
    told
}

#[tokio::test]
async fn servers_start_without_their_redis_and_are_one_system_when_it_comes() {
    let redis = RedisServer::start();
    redis.kill();
    let environment = [("PROGRESS_REDIS", &*redis.url())];
    let prefix = ["--redis-prefix", "shop"];
    let one = Server::start_in(&environment, &prefix).await;
    let other = [&prefix[..], &["--adapter", "warp"]].concat();
    let other = Server::start_in(&environment, &other).await;
    for server in [&one, &other] {
        let told = until(server, |told| {
            told["transport"]["last_error"]["message"].is_string()
        });
        let told = told.await;
        assert_eq!(told["status"], "degraded");
        let transport = &told["transport"];
        assert_eq!(
            (&transport["kind"], &transport["status"]),
            (&json!("redis"), &json!("down"))
        );
        assert_eq!(transport["subscriber"]["state"], "down");
    }
    let event = json!({"event_type": "note", "data": {"n": 1}});
    let (status, refusal) = one.post("/tasks/video-42/events", &event).await;
    assert_eq!(status, 503, "{refusal}");

    redis.restart();
    for server in [&one, &other] {
        let told = until(server, |told| told["status"] == "ok").await;
        assert_eq!(told["transport"]["publisher"]["state"], "up");
    }
    let (_, metrics) = other.get("/metrics").await;
    let up = r#"progress_transport_connection{connection="subscriber",state="up"} 1"#;
    assert!(metrics.contains(up), "{metrics}");

    let (status, answer) = one.post("/tasks/video-42/events", &event).await;
    assert_eq!(status, 202, "{answer}");
    let watching = format!("{}/sse/progress/video-42", other.url);
    let mut watching = reqwest::get(watching).await.unwrap();
    let first = timeout(PATIENCE, watching.chunk()).await.unwrap();
    assert!(first.unwrap().is_some(), "it is watched");
    one.work("video-42").await;
    let rest = timeout(PATIENCE, watching.text()).await.unwrap().unwrap();
    for told in ["photo_approved", r#""event_type":"complete""#] {
        assert!(rest.contains(told), "{rest}");
    }
    assert_eq!(redis.ask("EXISTS shop:t:{video-42}:m").unwrap(), ":1\r\n");
}

#[tokio::test]
async fn what_cannot_be_a_redis_is_refused_at_the_start_without_its_password() {
    for (url, why) in [
        ("http://:hush@localhost", "not a URL of Redis"),
        #[cfg(not(feature = "redis-tls"))]
        ("rediss://:hush@localhost", "feature `tls`"),
    ] {
        let refused = Command::new(env!("CARGO_BIN_EXE_progress-server"))
            .args(["--listen", "127.0.0.1:0", "--open", "--redis", url])
            .stdin(Stdio::null())
            .output();
        let refused = timeout(PATIENCE, refused).await.unwrap().unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(why) && !said.contains("hush"), "{said}");
    }
}

#[tokio::test]
async fn the_help_does_not_show_the_password() {
    let help = Command::new(env!("CARGO_BIN_EXE_progress-server"))
        .arg("--help")
        .env("PROGRESS_REDIS", "redis://:hush@localhost")
        .output();
    let help = help.await.unwrap().stdout;
    let help = String::from_utf8_lossy(&help);
    assert!(
        help.contains("PROGRESS_REDIS") && !help.contains("hush"),
        "{help}"
    );
}
