//! Grants in the query.

use std::time::Duration;

use progress_core::TaskId;
use progress_web::Secret;

use crate::{
    people::{ask, gateway, gateway_with, get, parts},
    support::{closed, frames, settle, task},
};

const MINUTE: Duration = Duration::from_secs(60);

fn id(id: &str) -> TaskId {
    id.parse().unwrap()
}

#[tokio::test]
async fn a_grant_opens_its_task_again_and_again() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let grant = gateway.grant(&id("ada-1"), MINUTE);
    let query = format!("grant={}", grant.as_str());
    for path in [
        "/sse/progress/ada-1",
        "/tasks/ada-1",
        "/tasks/ada-1/history",
    ] {
        for _again in 0..2 {
            let answer = get(&gateway, &format!("{path}?{query}"), &[]).await;
            assert_eq!(answer.status, 200, "{path}");
        }
    }
    let request = parts(&format!("/?x=1&{query}&replay=latest"), &[]);
    let mut session = gateway.web_socket(&request, "ada-1").await;
    assert_eq!(
        frames(settle(&mut session).await)[0]["event_type"],
        "connected"
    );
    let streams = get(&gateway, &format!("/sse?ids=ada-1&{query}"), &[]).await;
    assert_eq!(streams.status, 200);
}

#[tokio::test]
async fn a_stolen_grant_opens_nothing_else() {
    let gateway = gateway();
    let _tasks = [task(&gateway, "ada-1"), task(&gateway, "ben-1")];
    let grant = gateway.grant(&id("ada-1"), MINUTE);
    let query = format!("grant={}", grant.as_str());
    for (method, path) in [
        ("GET", "/tasks/ben-1"),
        ("GET", "/sse/progress/ben-1"),
        ("GET", "/tasks"),
        ("GET", "/clients"),
        ("GET", "/metrics"),
        ("POST", "/tasks/ada-1/events"),
        ("POST", "/tasks/ada-1/cancel"),
        ("DELETE", "/tasks/ada-1"),
        ("POST", "/tasks"),
        ("POST", "/tickets"),
    ] {
        let body = r#"{"task_id":"ada-1","event_type":"mark","data":{}}"#;
        let answer = ask(&gateway, method, &format!("{path}?{query}"), &[], body).await;
        assert!(
            matches!(answer.status, 401 | 403),
            "{method} {path}: {answer:?}"
        );
    }
    let mut session = gateway
        .web_socket(&parts(&format!("/?{query}"), &[]), "ben-1")
        .await;
    assert_eq!(closed(&settle(&mut session).await), (4403, "FORBIDDEN"));
}

#[tokio::test]
async fn a_forged_or_foreign_grant_is_none() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let foreign = Secret::random().grant(&id("ada-1"), MINUTE);
    let own = gateway.grant(&id("ada-1"), MINUTE);
    let (claims, _) = own.as_str().rsplit_once('.').unwrap();
    let as_ticket = own.as_str().replacen("g1", "t1", 1);
    for forged in [
        foreign.as_str(),
        claims,
        &format!("{claims}."),
        &format!("{claims}.AAAA"),
        &as_ticket,
        "g1",
        "g1..",
        "%00",
        &"A".repeat(5_000),
    ] {
        let answer = get(&gateway, &format!("/tasks/ada-1?grant={forged}"), &[]).await;
        assert_eq!(answer.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    }
}

#[tokio::test]
async fn a_grant_adds_to_what_a_header_allows() {
    let gateway = gateway();
    let _a = task(&gateway, "ada-1");
    let grant = gateway.grant(&id("ada-1"), MINUTE);
    let path = format!("/tasks/ada-1?grant={}", grant.as_str());
    let ben = [("authorization", "Bearer ben-token")];
    assert_eq!(get(&gateway, &path, &ben).await.status, 200);
    // One that is over takes nothing away.
    let over = gateway.grant(&id("ada-1"), Duration::ZERO);
    let path = format!("/tasks/ada-1?grant={}", over.as_str());
    let ada = [("authorization", "Bearer ada-token")];
    assert_eq!(get(&gateway, &path, &ada).await.status, 200);
    assert_eq!(get(&gateway, &path, &[]).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn what_a_grant_opened_ends_with_it() {
    let secret = Secret::new([7; 32]).unwrap();
    let other = secret.clone();
    let gateway = gateway_with(|gateway| gateway.secret(secret));
    let _a = task(&gateway, "ada-1");
    // Of a service that has the secret and no gateway.
    let grant = other
        .grant_to("ada", &id("ada-1"), Duration::from_secs(20))
        .unwrap();
    let request = parts(&format!("/?grant={}", grant.as_str()), &[]);
    let mut session = gateway.web_socket(&request, "ada-1").await;
    settle(&mut session).await;
    let said = crate::support::next_batch(&mut session).await;
    assert_eq!(closed(&said), (4013, "CREDENTIAL_EXPIRED"));
}
