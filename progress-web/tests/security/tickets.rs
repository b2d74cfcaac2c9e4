//! One-time tickets.

use std::time::Duration;

use progress_core::{ProgressTracker, testing::MemoryBus};
use progress_web::{Gateway, Secret};
use serde_json::{Value, json};

use crate::{
    people::{Answer, ask, gateway, gateway_with, get, over, parts},
    support::{closed, frames, kinds, kinds_of, settle, task},
};

const ADA: (&str, &str) = ("authorization", "Bearer ada-token");

async fn issue(gateway: &Gateway, headers: &[(&str, &str)], body: &Value) -> Answer {
    ask(gateway, "POST", "/tickets", headers, &body.to_string()).await
}

async fn ticket(gateway: &Gateway, body: &Value) -> String {
    let answer = issue(gateway, &[ADA], body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let issued = answer.json();
    assert_eq!(issued["expires_in_ms"], 60_000);
    assert!(issued["expires_at"].as_str().unwrap().ends_with('Z'));
    issued["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_opens_one_connection() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let ticket = ticket(&gateway, &json!({"task_id": "ada-1"})).await;
    let path = format!("/sse/progress/ada-1?ticket={ticket}");
    assert_eq!(get(&gateway, &path, &[]).await.status, 200);
    let again = get(&gateway, &path, &[]).await;
    assert_eq!(again.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    // Whom the header allows needs none, and uses none up.
    let ticket = self::ticket(&gateway, &json!({"task_id": "ada-1"})).await;
    let path = format!("/sse/progress/ada-1?ticket={ticket}");
    assert_eq!(get(&gateway, &path, &[ADA]).await.status, 200);
    assert_eq!(get(&gateway, &path, &[]).await.status, 200);
}

#[tokio::test]
async fn a_ticket_for_several_opens_them_on_one_connection() {
    let gateway = gateway();
    let _tasks = [task(&gateway, "ada-1"), task(&gateway, "ada-2")];
    let topics =
        json!({"topics": [{"task_id": "ada-1"}, {"task_id": "ada-2"}, {"channel": "ada-c"}]});
    let one = ticket(&gateway, &topics).await;
    let path = format!("/sse?ids=ada-1,ada-2&channels=ada-c&ticket={one}");
    assert_eq!(get(&gateway, &path, &[]).await.status, 200);

    let other = ticket(&gateway, &topics).await;
    let request = parts(&format!("/ws?ticket={other}"), &[]);
    let mut session = gateway.web_sockets(&request).await;
    assert_eq!(kinds(&settle(&mut session).await), ["connected"]);
    let wanted = json!({"type": "subscribe", "topics": [{"task_id": "ada-1"}, {"channel": "ada-c"}, {"task_id": "ada-3"}]});
    session.on_text(&wanted.to_string());
    let mut said = frames(settle(&mut session).await);
    said.sort_by_key(|frame| frame["event_type"].to_string());
    // Later too, on the same connection; and nothing besides.
    assert_eq!(
        kinds_of(&said),
        ["rejected", "started", "subscribed", "subscribed"]
    );
    assert_eq!(said[0]["data"]["code"], "FORBIDDEN");
    session.on_text(r#"{"type":"cancel","task_id":"ada-1"}"#);
    let said = frames(settle(&mut session).await);
    assert_eq!(said[0]["data"]["code"], "FORBIDDEN");
    // Again it opens nothing.
    let mut again = gateway.web_sockets(&request).await;
    assert_eq!(closed(&settle(&mut again).await), (4401, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn a_ticket_is_for_what_its_holder_may_watch() {
    let gateway = gateway();
    let refused = async |headers: &[(&str, &str)], body: Value| {
        issue(&gateway, headers, &body).await.refusal()
    };
    let code = |status, code: &str| (status, code.to_owned());
    let bens = json!({"task_id": "ben-1"});
    assert_eq!(refused(&[ADA], bens.clone()).await, code(403, "FORBIDDEN"));
    let one_of_them = json!({"topics": [{"task_id": "ada-1"}, {"channel": "ben"}]});
    assert_eq!(refused(&[ADA], one_of_them).await, code(403, "FORBIDDEN"));
    assert_eq!(refused(&[], bens).await, code(401, "UNAUTHENTICATED"));
    // A stranger's body is not even read.
    assert_eq!(
        refused(&[], json!("garbage")).await,
        code(401, "UNAUTHENTICATED")
    );
    for wrong in [
        json!({}),
        json!({"task_id": "a", "channel": "b"}),
        json!({"topics": []}),
        json!([]),
    ] {
        assert_eq!(refused(&[ADA], wrong).await, code(400, "INVALID_BODY"));
    }
    let bad = json!({"task_id": "no spaces"});
    assert_eq!(refused(&[ADA], bad).await, code(400, "INVALID_TASK_ID"));
    let many: Vec<_> = (0..17)
        .map(|n| json!({"task_id": format!("ada-{n}")}))
        .collect();
    let many = json!({"topics": many});
    assert_eq!(refused(&[ADA], many).await, code(400, "TOO_MANY_TOPICS"));
}

#[tokio::test]
async fn so_many_tickets_are_out_and_no_more() {
    let gateway = gateway_with(|gateway| gateway.tickets(2));
    let body = json!({"task_id": "ada-1"});
    for _ in 0..2 {
        ticket(&gateway, &body).await;
    }
    let refused = issue(&gateway, &[ADA], &body).await;
    assert_eq!(refused.refusal(), (503, "TOO_MANY_TICKETS".to_owned()));
    let error = &refused.json()["error"];
    assert_eq!(error["details"]["limit"], 2);
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        wait,
        error["retry_after_ms"].as_u64().unwrap().div_ceil(1_000)
    );
}

#[tokio::test]
async fn a_ticket_is_used_up_on_all_nodes() {
    let bus = MemoryBus::new();
    let secret = Secret::random();
    let node = || {
        let transport = bus.connect();
        let tracker = ProgressTracker::builder()
            .transport(transport.clone())
            .build();
        let gateway = over(tracker, |gateway| gateway.secret(secret.clone()));
        (gateway, transport)
    };
    let ((a, _), (b, link)) = (node(), node());
    let _task = a.tracker().task("ada-1").start().unwrap();
    let issued = ticket(&a, &json!({"task_id": "ada-1"})).await;
    let path = format!("/sse/progress/ada-1?ticket={issued}");
    // Issued on one, taken on the other, replayed on both.
    assert_eq!(get(&b, &path, &[]).await.status, 200);
    for node in [&a, &b] {
        assert_eq!(get(node, &path, &[]).await.status, 401);
    }
    // A broker that cannot be asked is no reason to let somebody in.
    let issued = ticket(&a, &json!({"task_id": "ada-1"})).await;
    let path = format!("/sse/progress/ada-1?ticket={issued}");
    link.disconnect();
    assert_eq!(
        get(&b, &path, &[]).await.refusal(),
        (503, "TRANSPORT_DOWN".to_owned())
    );
    link.reconnect();
    assert_eq!(get(&b, &path, &[]).await.status, 200);
}

#[tokio::test]
async fn of_many_who_come_at_once_with_one_ticket_one_gets_in() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let ticket = ticket(&gateway, &json!({"task_id": "ada-1"})).await;
    let path = format!("/tasks/ada-1?ticket={ticket}");
    let answers = (0..50).map(|_| get(&gateway, &path, &[]));
    let answers = futures_util::future::join_all(answers).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[..2], [200, 401]);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_ticket_opened_ends_with_the_credentials_it_was_asked_for_with() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let short = [("authorization", "Bearer ada-token.20")];
    let issued = issue(&gateway, &short, &json!({"task_id": "ada-1"})).await;
    let ticket = issued.json()["ticket"].as_str().unwrap().to_owned();
    let request = parts(&format!("/?ticket={ticket}"), &[]);
    let mut session = gateway.web_socket(&request, "ada-1").await;
    settle(&mut session).await;
    let said = crate::support::next_batch(&mut session).await;
    assert_eq!(closed(&said), (4013, "CREDENTIAL_EXPIRED"));
}

#[tokio::test]
async fn a_ticket_or_a_grant_makes_no_ticket() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let body = json!({"task_id": "ada-1"});
    let first = ticket(&gateway, &body).await;
    let grant = gateway.grant(&"ada-1".parse().unwrap(), Duration::from_secs(60));
    for query in [
        format!("ticket={first}"),
        format!("grant={}", grant.as_str()),
    ] {
        let path = format!("/tickets?{query}");
        let again = ask(&gateway, "POST", &path, &[], &body.to_string()).await;
        assert_eq!(again.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    }
}

#[tokio::test]
async fn a_ticket_is_over_with_the_credentials_it_was_asked_for_with() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let short = [("authorization", "Bearer ada-token.2")];
    let issued = issue(&gateway, &short, &json!({"task_id": "ada-1"}))
        .await
        .json();
    assert!(
        issued["expires_in_ms"].as_u64().unwrap() <= 2_000,
        "{issued}"
    );
    let ended = [("authorization", "Bearer ada-token.0")];
    let refused = issue(&gateway, &ended, &json!({"task_id": "ada-1"})).await;
    assert_eq!(refused.refusal(), (401, "CREDENTIAL_EXPIRED".to_owned()));
}

#[tokio::test]
async fn without_a_broker_a_ticket_is_taken_where_it_was_issued_alone() {
    let secret = Secret::random();
    let one = || gateway_with(|gateway| gateway.secret(secret.clone()));
    let (issuer, other) = (one(), one());
    let _tasks = [task(&issuer, "ada-1"), task(&other, "ada-1")];
    let ticket = ticket(&issuer, &json!({"task_id": "ada-1"})).await;
    let path = format!("/tasks/ada-1?ticket={ticket}");
    // It could not be told that it was used elsewhere, nor before a restart.
    assert_eq!(get(&other, &path, &[]).await.status, 401);
    assert_eq!(get(&issuer, &path, &[]).await.status, 200);
}
