//! Who may hear and do what.

mod support;

use std::{io::Write as _, process::Stdio};

use event_hub::{
    server::Settings,
    users::{Role, Users},
};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use self::support::{CHANNELS, PATIENCE, SECRET, Server, picture, text, token};

const ROLES: [Role; 3] = [Role::Viewer, Role::Reviewer, Role::Operator];

#[tokio::test]
async fn broadcast_needs_authorisation() {
    let server = Server::start().await;
    let mut watcher = server.watch(Role::Viewer, &["jobs"]).await;
    let clients = server.get("/clients").await;
    let id = text(&clients["clients"][0]["id"]);
    let notice = json!({"event_type": "notice", "data": {"text": "Lunch"}});
    let calls = [
        (Method::POST, "/broadcast".to_owned(), Some(notice)),
        (Method::GET, "/clients".to_owned(), None),
        (Method::DELETE, format!("/clients/{id}"), None),
    ];
    for (method, path, body) in &calls {
        for (bearer, status) in [
            ("forged".to_owned(), 401),
            (token(Role::Viewer), 403),
            (token(Role::Reviewer), 403),
        ] {
            let asked = server.ask(&bearer, method.clone(), path, body.clone());
            assert_eq!(asked.await.status, status, "{method} {path}");
        }
    }
    let asked = calls
        .iter()
        .map(|(method, path, body)| (method.clone(), path, body.clone()));
    for ((method, path, body), status) in asked.zip([202, 200, 204]) {
        let answer = server.ask(&token(Role::Operator), method, path, body).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    // One notice came, that of the operator.
    let notice = watcher.until(|frame| frame["event_type"] == "notice").await;
    assert_eq!(notice["data"]["text"], "Lunch");
    let sent_away = watcher
        .until(|frame| frame["event_type"] == "rejected")
        .await;
    assert_eq!(sent_away["data"]["code"], "DISCONNECTED");
}

#[tokio::test]
async fn a_role_hears_its_channels_and_is_refused_the_others() {
    let server = Server::start().await;
    for (role, heard) in ROLES.into_iter().zip([4, 5, 7]) {
        let mut client = server.connect(role, "progress.v1.json").await;
        let topics = CHANNELS.map(|channel| json!({"channel": channel}));
        client
            .say(json!({"type": "subscribe", "topics": topics}))
            .await;
        let (mut granted, mut refused) = (Vec::new(), Vec::new());
        while granted.len() + refused.len() < CHANNELS.len() {
            let frame = client.frame().await;
            match frame["event_type"].as_str() {
                Some("subscribed") => granted.push(text(&frame["channel"])),
                Some("rejected") => {
                    assert_eq!(frame["data"]["code"], "FORBIDDEN");
                    refused.push(text(&frame["channel"]));
                }
                _ => {}
            }
        }
        assert_eq!(granted.len(), heard, "{role:?}: {granted:?}");
        let me = server
            .ask(&token(role), Method::GET, "/api/me", None)
            .await
            .ok();
        let mut said: Vec<_> = me["channels"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        said.sort();
        granted.sort();
        assert_eq!(said, granted);
    }
}

#[tokio::test]
async fn event_streams_are_judged_alike() {
    let server = Server::start().await;
    for (bearer, channel, status) in [
        (token(Role::Viewer), "system", 403),
        (token(Role::Reviewer), "export", 403),
        ("forged".to_owned(), "jobs", 401),
    ] {
        let path = format!("/sse?channels={channel}");
        let asked = server.ask(&bearer, Method::GET, &path, None).await;
        assert_eq!(asked.status, status, "{channel}");
    }
}

#[tokio::test]
async fn reviewers_decide_and_only_operators_start_things() {
    let server = Server::start().await;
    let session = server.session("Lake").await;
    let photos = server.photos(&session, vec![("a.png", picture(1))]).await;
    let as_role = async |role: Role, path: &str, body| {
        let bearer = token(role);
        server
            .ask(&bearer, Method::POST, path, Some(body))
            .await
            .status
    };
    for word in ["approve", "reject", "select"] {
        let path = format!("/api/photos/{}/{word}", photos[0]);
        assert_eq!(as_role(Role::Viewer, &path, json!({})).await, 403, "{word}");
        assert_eq!(
            as_role(Role::Reviewer, &path, json!({})).await,
            200,
            "{word}"
        );
    }
    for (path, body) in [
        ("/api/sessions", json!({"name": "Hills"})),
        ("/api/exports", json!({"session_id": session})),
    ] {
        assert_eq!(
            as_role(Role::Reviewer, path, body.clone()).await,
            403,
            "{path}"
        );
        assert!(as_role(Role::Operator, path, body).await < 300, "{path}");
    }
    // Whoever is refused is not told what there is.
    let path = "/api/photos/nowhere/approve";
    assert_eq!(as_role(Role::Viewer, path, json!({})).await, 403);
    assert_eq!(as_role(Role::Reviewer, path, json!({})).await, 404);
}

#[tokio::test]
async fn nobody_publishes_events_in_the_hubs_name() {
    let server = Server::start().await;
    let forged = json!({"event_type": "photo_approved", "data": {"photo_id": "x", "by": "me"}});
    for role in ROLES {
        let (bearer, path) = (token(role), "/channels/photos/events");
        let asked = server
            .ask(&bearer, Method::POST, path, Some(forged.clone()))
            .await;
        assert_eq!(asked.status, 403, "{role:?}");
    }
}

#[tokio::test]
async fn a_page_of_elsewhere_does_nothing_in_an_open_hub() {
    let server = Server::start_with(Settings::new(Users::open())).await;
    let host = server.url.strip_prefix("http://").unwrap();
    let own = server.url.clone();
    let body = r#"{"name":"Lake","event_type":"notice","data":{}}"#;
    for path in ["/api/sessions", "/broadcast"] {
        for (host, origin, status) in [
            (host, None, 200),
            (host, Some(own.as_str()), 200),
            (host, Some("https://evil.example"), 403),
            (host, Some("null"), 403),
            ("evil.example", Some("http://evil.example"), 421),
        ] {
            // As a form sends it: the browser asks nobody first.
            let mut request = reqwest::Client::new()
                .post(format!("{own}{path}"))
                .header("host", host)
                .header("content-type", "text/plain")
                .body(body);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let answer = request.send().await.unwrap().status().as_u16();
            let answer = if answer < 300 { 200 } else { answer };
            assert_eq!(answer, status, "{path} of {origin:?} at {host}");
        }
    }
    assert_eq!(
        server.get("/api/sessions").await["sessions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

fn secret_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SECRET}").unwrap();
    file
}

#[tokio::test]
async fn a_token_of_the_command_is_one_that_the_server_takes() {
    let server = Server::start().await;
    let secret = secret_file();
    let mut command = Command::new(env!("CARGO_BIN_EXE_event-hub"));
    command.args([
        "token",
        "--role",
        "reviewer",
        "--subject",
        "ada",
        "--secret-file",
    ]);
    let minted = command.arg(secret.path()).output().await.unwrap();
    let minted = String::from_utf8(minted.stdout).unwrap();
    let me = server
        .ask(minted.trim(), Method::GET, "/api/me", None)
        .await
        .ok();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("ada"), &json!("reviewer"))
    );
}

#[tokio::test]
async fn keys_of_an_issuer_are_taken_from_a_file() {
    let mut keys = tempfile::NamedTempFile::new().unwrap();
    // The secret of the tests, as a set of keys has it.
    let key = "YS1zZWNyZXQtb2YtdGhlLXRlc3RzLW9mLTMyLWJ5dGVz";
    let set = json!({"keys": [{"kty": "oct", "alg": "HS256", "k": key}]});
    write!(keys, "{set}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_event-hub"));
    command.args(["--listen", "127.0.0.1:0", "--jwks"]);
    let command = command.arg(keys.path()).kill_on_drop(true);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let said = timeout(PATIENCE, lines.next_line()).await.unwrap();
    let said = said.unwrap().unwrap();
    let url = format!("{}/api/me", said.rsplit(' ').next().unwrap());
    let ask = async |bearer: &str| {
        let asked = reqwest::Client::new().get(&url).bearer_auth(bearer).send();
        asked.await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&token(Role::Viewer)).await, 200);
    assert_eq!(ask("forged").await, 401);
}

#[tokio::test]
async fn a_hub_without_settings_prints_a_page_for_each_role() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_event-hub"));
    command.args(["--listen", "127.0.0.1:0"]).kill_on_drop(true);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    for (line, role) in ["The hub is at ", "as viewer", "as reviewer", "as operator"]
        .into_iter()
        .zip([None, Some("viewer"), Some("reviewer"), Some("operator")])
    {
        let said = timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(said.starts_with(line), "{said}");
        let Some(role) = role else { continue };
        let (page, token) = said.rsplit_once("/#token=").unwrap();
        let url = format!("{}/api/me", page.rsplit(' ').next().unwrap());
        let asked = reqwest::Client::new()
            .get(&url)
            .bearer_auth(token)
            .send()
            .await;
        let me: serde_json::Value = asked.unwrap().json().await.unwrap();
        assert_eq!(me["role"], role);
        assert_eq!(reqwest::get(&url).await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn what_cannot_be_served_safely_is_refused_at_the_start() {
    let weak = tempfile::NamedTempFile::new().unwrap();
    let weak = weak.path().to_str().unwrap();
    for (flags, named) in [
        (&["--open", "--listen", "0.0.0.0:0"][..], "--open"),
        (&["--secret-file", weak], "secret-file"),
        (&["--secret-file", "/nowhere/secret"], "secret-file"),
        (&["--open", "--secret-file", weak], "--open"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_event-hub"));
        let refused = command
            .args(flags)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(named), "{said}");
    }
}
