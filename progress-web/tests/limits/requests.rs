//! How many requests an address may make.

use std::time::Duration;

use http::Method;
use progress_web::ForwardedHeader;
use serde_json::json;
use tokio::time::advance;

use crate::support::{
    LOOPBACK, PRIVATE, PUBLIC, UPGRADE, ask, builder, from, limited, networks, refusal, request,
    status,
};

#[tokio::test(start_paused = true)]
async fn an_address_has_a_burst_and_then_so_many_a_second() {
    let gateway = builder().request_rate(5, 2).build();
    for _ in 0..5 {
        assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &[])).await, 200);
    }
    let refused = ask(&gateway, from(PUBLIC, "/tasks", &[])).await;
    let error = refusal(refused, 429, "RATE_LIMITED").await;
    assert_eq!(error["retry_after_ms"], 500);
    assert_eq!(error["is_retryable"], true);
    assert_eq!(error["details"], json!({"limit": 2, "scope": "address"}));
    assert_eq!(limited(&gateway, "requests").await, 1);
    // Whatever is asked: no path, no method, no upgrade is free.
    for request in [
        from(PUBLIC, "/sse/progress/a", &[]),
        from(PUBLIC, "/ws/progress/a", &UPGRADE),
        request(Method::PATCH, PUBLIC, "/tasks", &[], String::new()),
    ] {
        assert_eq!(status(&gateway, request).await, 429);
    }
    assert_eq!(
        status(&gateway, from("203.0.113.8:1", "/tasks", &[])).await,
        200
    );
    // Who waits as long as was said is let in, and no sooner.
    advance(Duration::from_millis(499)).await;
    assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &[])).await, 429);
    advance(Duration::from_millis(1)).await;
    assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &[])).await, 200);
    advance(Duration::from_secs(3_600)).await;
    for n in 0..6 {
        let expected = if n < 5 { 200 } else { 429 };
        assert_eq!(
            status(&gateway, from(PUBLIC, "/tasks", &[])).await,
            expected
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_of_the_default_is_two_hundred_after_a_thousand() {
    let gateway = builder().build();
    let mut taken = 0;
    while status(&gateway, from(PUBLIC, "/tasks", &[])).await == 200 {
        taken += 1;
    }
    assert_eq!(taken, 1_000);
    advance(Duration::from_secs(1)).await;
    while status(&gateway, from(PUBLIC, "/tasks", &[])).await == 200 {
        taken += 1;
    }
    assert_eq!(taken, 1_200);
}

#[tokio::test(start_paused = true)]
async fn health_is_told_however_often_it_is_asked_for() {
    let gateway = builder().request_rate(1, 1).build();
    for _ in 0..1_000 {
        assert_eq!(status(&gateway, from(PUBLIC, "/health", &[])).await, 200);
    }
    assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &[])).await, 200);
    assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &[])).await, 429);
}

#[tokio::test(start_paused = true)]
async fn the_own_network_is_not_counted_and_clients_behind_a_proxy_are() {
    let gateway = builder().request_rate(1, 1).build();
    for peer in [LOOPBACK, PRIVATE] {
        for _ in 0..10 {
            assert_eq!(status(&gateway, from(peer, "/tasks", &[])).await, 200);
        }
    }
    let gateway = builder()
        .request_rate(1, 1)
        .trusted_proxies(networks(["10.0.0.0/8"]), ForwardedHeader::XForwardedFor)
        .build();
    for client in ["198.51.100.1", "198.51.100.2"] {
        let own = [("x-forwarded-for", client)];
        assert_eq!(status(&gateway, from(PRIVATE, "/tasks", &own)).await, 200);
        let forged = [("x-forwarded-for", &*format!("9.9.9.9, {client}"))];
        assert_eq!(
            status(&gateway, from(PRIVATE, "/tasks", &forged)).await,
            429
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_of_ipv6_is_its_network() {
    let gateway = builder().request_rate(1, 1).build();
    let of = |peer| from(peer, "/tasks", &[]);
    assert_eq!(status(&gateway, of("[2001:db8::1]:1")).await, 200);
    assert_eq!(status(&gateway, of("[2001:db8::2]:1")).await, 429);
    assert_eq!(status(&gateway, of("[2001:db8:0:1::1]:1")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn where_it_is_not_wanted_nothing_is_counted() {
    let gateway = builder().request_rate(1, 1).unlimited_requests().build();
    for _ in 0..2_000 {
        assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &[])).await, 200);
    }
}
