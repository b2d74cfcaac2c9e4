//! What limits cost a request. Run with
//! `cargo test --release -p progress-web --test limits -- --ignored --nocapture cost`.

use std::time::Instant;

use progress_web::{ForwardedHeader, Gateway};

use crate::support::{LOOPBACK, PRIVATE, PUBLIC, builder, from, networks, status};

/// Short rounds and many: the best of them is one that nothing else interrupted.
const REQUESTS: u32 = 1_000;
const ROUNDS: usize = 500;

/// Nanoseconds of a request for a task that is not there.
async fn cost(gateway: &Gateway, path: &str, peer: &str, headers: &[(&str, &str)]) -> u128 {
    let mut best = u128::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            std::hint::black_box(status(gateway, from(peer, path, headers)).await);
        }
        best = best.min(began.elapsed().as_nanos() / u128::from(REQUESTS));
    }
    best
}

#[tokio::test]
#[ignore = "measures"]
async fn cost_of_limits_on_a_request() {
    const PATH: &str = "/tasks/a";
    let rate = || builder().request_rate(u32::MAX, u32::MAX);
    let off = builder().unlimited_requests().build();
    let on = rate().build();
    let proxied = rate()
        .trusted_proxies(networks(["10.0.0.0/8"]), ForwardedHeader::XForwardedFor)
        .build();
    let forwarded = rate()
        .trusted_proxies(networks(["10.0.0.0/8"]), ForwardedHeader::Forwarded)
        .build();
    let chain = [("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.0.0.9")];
    let pairs = [(
        "forwarded",
        "for=198.51.100.1, for=203.0.113.7;proto=https, for=10.0.0.9",
    )];
    // So many addresses that there is no room for one more.
    let full = builder().request_rate(1_000, 1).build();
    for n in 0..100_000_u32 {
        let peer = std::net::Ipv4Addr::from_bits((20 << 24) + n);
        for _ in 0..100 {
            status(&full, from(&format!("{peer}:1"), "/tasks/a", &[])).await;
        }
    }
    for (what, nanoseconds) in [
        ("nothing is counted", cost(&off, PATH, PUBLIC, &[]).await),
        (
            "a peer of the own network",
            cost(&on, PATH, LOOPBACK, &[]).await,
        ),
        ("an address is counted", cost(&on, PATH, PUBLIC, &[]).await),
        (
            "behind proxies, by X-Forwarded-For",
            cost(&proxied, PATH, PRIVATE, &chain).await,
        ),
        (
            "behind proxies, by Forwarded",
            cost(&forwarded, PATH, PRIVATE, &pairs).await,
        ),
        (
            "a newcomer among 100 000 addresses, refused",
            cost(&full, PATH, PUBLIC, &[]).await,
        ),
    ] {
        println!("{nanoseconds:6} ns  {what}");
    }
}
