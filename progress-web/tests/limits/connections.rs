//! How many connections an address, a subject and all can have.

use std::time::Duration;

use http::Response;
use progress_web::{Body, ForwardedHeader, Gateway};
use serde_json::json;

use crate::{
    sessions::{Said, closed, frames, settle},
    support::{
        ByName, LOOPBACK, PRIVATE, PUBLIC, UPGRADE, ask, builder, from, limited, networks, refusal,
    },
};

async fn stream(gateway: &Gateway, peer: &str, headers: &[(&str, &str)]) -> Response<Body> {
    ask(gateway, from(peer, "/sse/progress/a", headers)).await
}

/// The streams of a peer that are let in, until one is not.
async fn streams(gateway: &Gateway, peer: &str, headers: &[(&str, &str)]) -> Vec<Response<Body>> {
    let mut open = Vec::new();
    loop {
        assert!(open.len() < 200, "there is no limit");
        let response = stream(gateway, peer, headers).await;
        if response.status() != 200 {
            return open;
        }
        open.push(response);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_has_so_many_connections_of_any_kind() {
    let gateway = builder().sessions_per_address(3).build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let events = stream(&gateway, PUBLIC, &[]).await;
    let socket = ask(&gateway, from(PUBLIC, "/ws/progress/a", &UPGRADE)).await;
    assert_eq!(
        (events.status().as_u16(), socket.status().as_u16()),
        (200, 101)
    );
    let held = {
        let gateway = gateway.clone();
        let request = from(PUBLIC, "/tasks/a?wait=60s", &[]);
        tokio::spawn(async move { ask(&gateway, request).await.status() })
    };
    while gateway.sessions() < 3 {
        tokio::task::yield_now().await;
    }
    // Three kinds, and all three are refused one more.
    let error = refusal(stream(&gateway, PUBLIC, &[]).await, 503, "CONNECTION_LIMIT").await;
    assert_eq!(error["details"], json!({"limit": 3, "scope": "address"}));
    assert_eq!(error["retry_after_ms"], 5_000);
    let poll = ask(&gateway, from(PUBLIC, "/tasks/a?wait=1s", &[])).await;
    refusal(poll, 503, "CONNECTION_LIMIT").await;
    let (request, _) = from(PUBLIC, "/ws/progress/a", &UPGRADE).into_parts();
    let said = settle(&mut gateway.web_socket(&request, "a").await).await;
    assert_eq!(closed(&said), (4029, "CONNECTION_LIMIT"));
    let Said::Frame(rejected) = &said[0] else {
        panic!("{said:?}")
    };
    assert_eq!(rejected["data"]["details"]["scope"], "address");
    let said = settle(&mut gateway.web_sockets(&request).await).await;
    assert_eq!(closed(&said), (4029, "CONNECTION_LIMIT"));
    assert_eq!(limited(&gateway, "connections_of_address").await, 4);
    // Others are not its concern.
    assert_eq!(stream(&gateway, "203.0.113.8:1", &[]).await.status(), 200);
    // A plain request holds nothing.
    assert_eq!(
        ask(&gateway, from(PUBLIC, "/tasks/a", &[])).await.status(),
        200
    );
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    assert_eq!(stream(&gateway, PUBLIC, &[]).await.status(), 200);
}

#[tokio::test]
async fn a_place_is_free_again_whatever_becomes_of_the_connection() {
    let gateway = builder().sessions_per_address(1).build();
    let _task = gateway.tracker().task("a").start().unwrap();
    for round in 0..3 {
        // A body that is never polled, a handshake that is never completed, a request that fails
        // after it had a place, and one that is given up while it is held.
        drop(stream(&gateway, PUBLIC, &[]).await);
        drop(ask(&gateway, from(PUBLIC, "/ws/progress/a", &UPGRADE)).await);
        drop(ask(&gateway, from(PUBLIC, "/ws/progress/not%20one", &UPGRADE)).await);
        let held = ask(&gateway, from(PUBLIC, "/tasks/a?wait=60s", &[]));
        assert!(
            tokio::time::timeout(Duration::from_millis(1), held)
                .await
                .is_err()
        );
        let refused = ask(&gateway, from(PUBLIC, "/sse/progress/a?replay=some", &[])).await;
        assert_eq!(refused.status(), 400);
        assert_eq!(gateway.sessions(), 0, "round {round}");
    }
    assert_eq!(streams(&gateway, PUBLIC, &[]).await.len(), 1);
}

#[tokio::test]
async fn peers_of_the_own_network_are_not_counted_unless_there_are_proxies() {
    let own = [
        LOOPBACK,
        PRIVATE,
        "[::1]:1",
        "[fd00::1]:1",
        "[fe80::1]:1",
        "169.254.1.1:1",
    ];
    for peer in own {
        let gateway = builder().sessions_per_address(1).build();
        let _task = gateway.tracker().task("a").start().unwrap();
        let first = stream(&gateway, peer, &[]).await;
        assert_eq!(stream(&gateway, peer, &[]).await.status(), 200, "{peer}");
        drop(first);
    }
    let gateway = builder()
        .sessions_per_address(1)
        .trusted_proxies(networks(["127.0.0.1"]), ForwardedHeader::XForwardedFor)
        .build();
    let _task = gateway.tracker().task("a").start().unwrap();
    for peer in own {
        assert_eq!(streams(&gateway, peer, &[]).await.len(), 1, "{peer}");
    }
}

#[tokio::test]
async fn clients_behind_a_proxy_are_counted_each_by_itself() {
    let gateway = builder()
        .sessions_per_address(2)
        .trusted_proxies(networks(["127.0.0.1"]), ForwardedHeader::XForwardedFor)
        .build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let mut open = Vec::new();
    for client in ["198.51.100.1", "198.51.100.2", "192.168.1.1"] {
        let own = [("x-forwarded-for", client)];
        let streams = streams(&gateway, LOOPBACK, &own).await;
        assert_eq!(streams.len(), 2, "{client}");
        open.extend(streams);
        // What a client says before its proxy does not help it.
        let forged = [("x-forwarded-for", &*format!("9.9.9.9, {client}"))];
        assert_eq!(stream(&gateway, LOOPBACK, &forged).await.status(), 503);
    }
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_client() {
    let gateway = builder().sessions_per_address(2).build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let first = stream(&gateway, "[2001:db8:1:2::1]:1", &[]).await;
    let second = stream(&gateway, "[2001:db8:1:2:ffff::9]:1", &[]).await;
    assert_eq!(
        (first.status().as_u16(), second.status().as_u16()),
        (200, 200)
    );
    assert_eq!(
        stream(&gateway, "[2001:db8:1:2::3]:1", &[]).await.status(),
        503
    );
    assert_eq!(
        stream(&gateway, "[2001:db8:1:3::1]:1", &[]).await.status(),
        200
    );
    let mapped = stream(&gateway, "[::ffff:203.0.113.7]:1", &[]).await;
    let plain = stream(&gateway, PUBLIC, &[]).await;
    assert_eq!(
        (mapped.status().as_u16(), plain.status().as_u16()),
        (200, 200)
    );
    assert_eq!(stream(&gateway, PUBLIC, &[]).await.status(), 503);
}

#[tokio::test]
async fn ten_thousand_connections_of_one_address_are_a_hundred() {
    let gateway = builder().unlimited_requests().build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let mut open = Vec::new();
    for attempt in 0..10_000 {
        let path = ["/sse/progress/a", "/sse?ids=a"][attempt % 2];
        let response = ask(&gateway, from(PUBLIC, path, &[])).await;
        if response.status() == 200 {
            open.push(response);
        } else {
            refusal(response, 503, "CONNECTION_LIMIT").await;
        }
    }
    assert_eq!((open.len(), gateway.sessions()), (100, 100));
    // Those that were refused have left nothing behind.
    assert_eq!(gateway.tracker().stats().subscriptions, 100);
    assert_eq!(limited(&gateway, "connections_of_address").await, 9_900);
    open.clear();
    assert_eq!(
        (gateway.sessions(), gateway.tracker().stats().subscriptions),
        (0, 0)
    );
    assert_eq!(stream(&gateway, PUBLIC, &[]).await.status(), 200);
}

#[tokio::test]
async fn a_subject_has_so_many_connections_over_all_its_addresses() {
    let gateway = builder().authorizer(ByName).sessions_per_subject(2).build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let alice = [("authorization", "Bearer alice")];
    let first = stream(&gateway, PUBLIC, &alice).await;
    let (mut request, _) = from("198.51.100.1:1", "/ws/progress/a", &alice).into_parts();
    let mut second = gateway.web_socket(&request, "a").await;
    assert_eq!(
        frames(settle(&mut second).await)[0]["event_type"],
        "connected"
    );
    let third = stream(&gateway, "198.51.100.2:1", &alice).await;
    let error = refusal(third, 503, "CONNECTION_LIMIT").await;
    assert_eq!(error["details"], json!({"limit": 2, "scope": "subject"}));
    let poll = ask(&gateway, from(PUBLIC, "/tasks/a?wait=1s", &alice)).await;
    refusal(poll, 503, "CONNECTION_LIMIT").await;
    let said = settle(&mut gateway.web_socket(&request, "a").await).await;
    assert_eq!(closed(&said), (4029, "CONNECTION_LIMIT"));
    assert_eq!(limited(&gateway, "connections_of_subject").await, 3);
    assert_eq!(gateway.sessions(), 2);
    let bob = [("authorization", "Bearer bob")];
    let other = stream(&gateway, PUBLIC, &bob).await;
    assert_eq!(other.status(), 200);
    drop(first);
    request.uri = "/ws".parse().unwrap();
    let again = stream(&gateway, PUBLIC, &alice).await;
    assert_eq!(again.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_tells_later_whose_it_is_is_counted_then() {
    let gateway = builder().authorizer(ByName).sessions_per_subject(1).build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let alice = [("authorization", "Bearer alice")];
    let first = stream(&gateway, PUBLIC, &alice).await;
    let (request, _) = from(PUBLIC, "/ws", &alice).into_parts();
    let mut session = gateway.web_sockets(&request).await;
    assert_eq!(
        frames(settle(&mut session).await)[0]["event_type"],
        "connected"
    );
    session.on_text(r#"{"type":"subscribe","topics":[{"task_id":"a"}]}"#);
    let said = settle(&mut session).await;
    assert_eq!(closed(&said), (4029, "CONNECTION_LIMIT"));
    let Said::Frame(rejected) = &said[0] else {
        panic!("{said:?}")
    };
    assert_eq!(
        rejected["data"]["details"],
        json!({"limit": 1, "scope": "subject"})
    );
    assert!(rejected["data"]["retry_after_ms"].as_u64().unwrap() > 0);
    drop((session, first));

    // With other credentials it is another's, and no more the first one's.
    let mut session = gateway.web_sockets(&request).await;
    session.on_text(r#"{"type":"subscribe","topics":[{"task_id":"a"}]}"#);
    assert_eq!(
        frames(settle(&mut session).await).last().unwrap()["event_type"],
        "started"
    );
    assert_eq!(stream(&gateway, PUBLIC, &alice).await.status(), 503);
    session.on_text(r#"{"type":"auth","token":"bob"}"#);
    assert_eq!(settle(&mut session).await, []);
    assert_eq!(stream(&gateway, PUBLIC, &alice).await.status(), 200);
    let bob = [("authorization", "Bearer bob")];
    assert_eq!(stream(&gateway, PUBLIC, &bob).await.status(), 503);
    drop(session);
    assert_eq!(stream(&gateway, PUBLIC, &bob).await.status(), 200);
}

#[tokio::test]
async fn all_connections_together_have_a_limit_of_their_own() {
    let gateway = builder().sessions(2).build();
    let _task = gateway.tracker().task("a").start().unwrap();
    let _first = stream(&gateway, "203.0.113.1:1", &[]).await;
    let _second = stream(&gateway, LOOPBACK, &[]).await;
    let third = stream(&gateway, "203.0.113.3:1", &[]).await;
    let error = refusal(third, 503, "CONNECTION_LIMIT").await;
    assert_eq!(error["details"], json!({"limit": 2, "scope": "all"}));
    assert_eq!(limited(&gateway, "connections").await, 1);
}
