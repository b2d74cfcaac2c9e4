//! Where tokens, grants and tickets do not show.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use progress_web::Secret;
use serde_json::json;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    people::{UPGRADE, ask, gateway_with, get, parts},
    support::{settle, task},
};

/// What is logged, spans and all, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn credentials_show_in_no_log_span_metric_answer_or_debug_text() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(log.clone())
        .finish();
    let (shown, secrets) = seen().with_subscriber(subscriber).await;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("refused"), "something was logged: {logged}");
    for secret in &secrets {
        assert!(secret.len() > 6);
        assert!(
            !logged.contains(secret.as_str()),
            "{secret} in the log: {logged}"
        );
        for text in &shown {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    }
}

/// Presents credentials of all kinds, good and bad, in all ways; gives back all that was shown
/// for it, and the credentials.
async fn seen() -> (Vec<String>, Vec<String>) {
    let secret = "a-signing-secret-of-32-characters";
    let gateway = gateway_with(|gateway| {
        gateway
            .secret(Secret::new(secret).unwrap())
            .insecure_query_token("legacy")
    });
    let _a = task(&gateway, "ada-1");
    let grant = gateway.grant(&"ada-1".parse().unwrap(), Duration::from_secs(60));
    let ada = ("authorization", "Bearer ada-token");
    let body = json!({"task_id": "ada-1"}).to_string();
    let issued = ask(&gateway, "POST", "/tickets", &[ada], &body).await;
    let ticket = issued.json()["ticket"].as_str().unwrap().to_owned();
    let mut shown = vec![format!("{gateway:?} {grant:?}")];
    for token in ["ada-token", "bad-token-xyzzy"] {
        let bearer = format!("Bearer {token}");
        let cookie = format!("progress_token={token}");
        let protocol = format!("bearer.{token}, progress.v1.json");
        for (path, header) in [
            ("/ws/progress/ada-1".to_owned(), ("authorization", &bearer)),
            ("/ws/progress/ada-1".to_owned(), ("cookie", &cookie)),
            (
                "/ws/progress/ada-1".to_owned(),
                ("sec-websocket-protocol", &protocol),
            ),
            (
                format!("/ws/progress/ada-1?legacy={token}"),
                ("x-none", &bearer),
            ),
            (
                format!("/ws/progress/ada-1?token={token}"),
                ("x-none", &cookie),
            ),
        ] {
            let header = (header.0, header.1.as_str());
            let upgrade: Vec<_> = UPGRADE.iter().chain([&header]).copied().collect();
            let mut session = gateway.web_socket(&parts(&path, &upgrade), "ada-1").await;
            session.on_text(&json!({"type": "auth", "token": token}).to_string());
            session.on_text(&json!({"type": "auth", "token": format!("{token} x")}).to_string());
            shown.push(format!("{:?}", settle(&mut session).await));
            shown.push(format!("{session:?}"));
            for path in [
                path.replace("/ws", "/sse"),
                path.replace("/ws/progress", "/tasks"),
            ] {
                shown.push(format!("{:?}", get(&gateway, &path, &[header]).await));
            }
        }
    }
    for query in [
        format!("grant={}", grant.as_str()),
        format!("grant={}x", grant.as_str()),
        format!("ticket={ticket}"),
        format!("ticket={ticket}"),
    ] {
        for path in [
            "/sse/progress/ada-1",
            "/tasks/ada-1",
            "/tasks/ben-1",
            "/tasks",
        ] {
            shown.push(format!(
                "{:?}",
                get(&gateway, &format!("{path}?{query}"), &[]).await
            ));
        }
    }
    let root = [("authorization", "Bearer root-token")];
    for path in ["/metrics", "/clients", "/health"] {
        let answer = get(&gateway, path, &root).await;
        shown.push(String::from_utf8_lossy(&answer.body).into_owned());
    }
    let signature = |text: &str| text.rsplit('.').next().unwrap().to_owned();
    let credentials = vec![
        "ada-token".to_owned(),
        "bad-token-xyzzy".to_owned(),
        "root-token".to_owned(),
        secret.to_owned(),
        signature(grant.as_str()),
        signature(&ticket),
        ticket.split('.').nth(1).unwrap().to_owned(),
    ];
    (shown, credentials)
}
