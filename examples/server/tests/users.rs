//! A server with users, as their clients meet it.

mod support;

use std::{io::Write as _, process::Stdio};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, header};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::NamedTempFile;
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use self::support::{PATIENCE, Server};

const KEY: &[u8; 32] = b"a-key-of-thirty-two-bytes-length";
const SECRET: &str = "a-signing-secret-of-32-characters";

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// A set with the one key that the tokens of here are signed with.
fn jwks() -> NamedTempFile {
    let key = json!({"kty": "oct", "alg": "HS256", "kid": "one", "k": BASE64.encode(KEY)});
    file(&json!({"keys": [key]}).to_string())
}

/// A token of somebody in a role, for an hour.
fn token(role: &str) -> String {
    let hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    let hour = hour
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let head = BASE64.encode(json!({"alg": "HS256", "kid": "one"}).to_string());
    let claims = json!({"sub": "ada", "aud": "progress", "exp": hour, "roles": [role]});
    let signed = format!("{head}.{}", BASE64.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

struct Asked {
    status: u16,
    body: Value,
}

async fn ask(url: &str, token: Option<&str>, body: Option<Value>) -> Asked {
    let client = Client::new();
    let mut request = match &body {
        Some(body) => client.post(url).json(body),
        None => client.get(url),
    };
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = request.send().await.unwrap();
    Asked {
        status: answer.status().as_u16(),
        body: match answer.headers()[header::CONTENT_TYPE] == "application/json" {
            true => answer.json().await.unwrap(),
            false => Value::Null,
        },
    }
}

#[tokio::test]
async fn users_may_what_their_tokens_say_and_a_ticket_is_taken_once() {
    let (keys, secret) = (jwks(), file(SECRET));
    let flags = [
        "--jwks",
        path(&keys),
        "--jwt-audience",
        "progress",
        "--secret-file",
        path(&secret),
    ];
    let server = Server::start_closed(&flags).await;
    let (operator, viewer) = (token("operator"), token("viewer"));
    let events = format!("{}/tasks/video-42/events", server.url);
    let started = json!({"event_type": "progress_update", "data": {"progress": 40.0}});
    for (token, status) in [(None, 401), (Some(&*viewer), 403), (Some(&*operator), 202)] {
        let answer = ask(&events, token, Some(started.clone())).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let task = format!("{}/tasks/video-42", server.url);
    assert_eq!(ask(&task, None, None).await.status, 401);
    assert_eq!(ask(&task, Some("forged"), None).await.status, 401);
    assert_eq!(ask(&task, Some(&viewer), None).await.body["progress"], 40.0);
    let tickets = format!("{}/tickets", server.url);
    let issued = ask(
        &tickets,
        Some(&viewer),
        Some(json!({"task_id": "video-42"})),
    )
    .await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let ticket = issued.body["ticket"].as_str().unwrap();
    let with_ticket = format!("{task}?ticket={ticket}");
    assert_eq!(ask(&with_ticket, None, None).await.status, 200);
    assert_eq!(ask(&with_ticket, None, None).await.status, 401);
}

#[tokio::test]
async fn no_credential_is_in_its_logs_however_much_it_logs() {
    let (keys, secret) = (jwks(), file(SECRET));
    let mut command = Command::new(env!("CARGO_BIN_EXE_progress-server"));
    command.env("RUST_LOG", "trace").stderr(Stdio::piped());
    command.args(["--jwks", path(&keys), "--secret-file", path(&secret)]);
    command.args(["--jwt-audience", "progress"]);
    let mut server = Server::spawn(command).await;
    let mut log = server.process.stderr.take().unwrap();
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        log.read_to_string(&mut text).await.unwrap();
        text
    });
    let viewer = token("viewer");
    let tickets = format!("{}/tickets", server.url);
    let issued = ask(&tickets, Some(&viewer), Some(json!({"task_id": "a"}))).await;
    let ticket = issued.body["ticket"].as_str().unwrap().to_owned();
    for url in [
        format!("{}/tasks/a", server.url),
        format!("{}/tasks/a?ticket={ticket}", server.url),
        format!("{}/sse?ids=a&token={viewer}", server.url),
    ] {
        for token in [None, Some(&*viewer), Some("forged-token")] {
            ask(&url, token, None).await;
        }
    }
    let ws = server.ws(&format!("/ws/progress/a?ticket={ticket}"));
    drop(tokio_tungstenite::connect_async(ws).await.unwrap());
    server.process.kill().await.unwrap();
    let logged = timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert!(logged.contains("progress::access"), "{logged}");
    let part = |text: &str, at: usize| text.split('.').nth(at).unwrap().to_owned();
    let credentials = [
        part(&viewer, 1),
        part(&viewer, 2),
        part(&ticket, 1),
        part(&ticket, 2),
    ];
    let others = [
        "forged-token".to_owned(),
        SECRET.to_owned(),
        BASE64.encode(KEY),
    ];
    for credential in credentials.into_iter().chain(others) {
        assert!(!logged.contains(&credential), "{credential}: {logged}");
    }
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_named() {
    for (flags, name) in [
        (&["--open", "--jwks", "keys.json"][..], "--jwks"),
        (
            &["--jwt-issuer", "https://id.example.org"][..],
            "jwt-issuer",
        ),
        (&["--jwks", "/nowhere/keys.json"][..], "jwks"),
        (&["--secret-file", "/nowhere/secret"][..], "secret-file"),
        (&["--origins", "not an origin"][..], "origins"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_progress-server"));
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        let refused = command.stdin(Stdio::null()).output().await.unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(name), "{said}");
    }
}
