//! Whose request it is.

use std::net::IpAddr;

use progress_web::ForwardedHeader::{self, Forwarded, XForwardedFor};

use crate::support::{PUBLIC, builder, from, limited, networks};

/// Who is behind a peer, for a server whose proxies are in 10.0.0.0/8 and 2001:db8::/32.
fn behind(header: ForwardedHeader, peer: &str, headers: &[(&str, &str)]) -> Option<IpAddr> {
    let trusted = networks(["10.0.0.0/8", "2001:db8::/32"]);
    let gateway = builder().trusted_proxies(trusted, header).build();
    let (request, _) = from(peer, "/", headers).into_parts();
    gateway.client_address(&request)
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn without_a_trusted_proxy_the_peer_is_the_client_whatever_headers_say() {
    let gateway = builder().build();
    let headers = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")];
    let (request, _) = from(PUBLIC, "/", &headers).into_parts();
    assert_eq!(gateway.client_address(&request), address("203.0.113.7"));
    let (request, _) = from("[::ffff:203.0.113.7]:1", "/", &headers).into_parts();
    assert_eq!(gateway.client_address(&request), address("203.0.113.7"));
    let (mut request, _) = from(PUBLIC, "/", &headers).into_parts();
    request.extensions.clear();
    assert_eq!(gateway.client_address(&request), None);
}

#[test]
fn a_peer_that_is_no_trusted_proxy_is_not_believed() {
    let headers = [("x-forwarded-for", "1.2.3.4")];
    assert_eq!(
        behind(XForwardedFor, PUBLIC, &headers),
        address("203.0.113.7")
    );
}

#[test]
fn the_first_address_from_the_right_that_is_no_proxy_is_the_client() {
    for (chain, client) in [
        ("198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1, 10.9.9.9, 10.8.8.8", "198.51.100.1"),
        ("6.6.6.6, 2001:dead::1, 2001:db8::7", "2001:dead::1"),
        (
            "6.6.6.6, ::ffff:198.51.100.1, ::ffff:10.0.0.1",
            "198.51.100.1",
        ),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
    ] {
        let headers = [("x-forwarded-for", chain)];
        assert_eq!(
            behind(XForwardedFor, "10.0.0.2:1", &headers),
            address(client),
            "{chain}"
        );
    }
    let headers = [(
        "forwarded",
        "for=6.6.6.6, for=\"[2001:dead::1]:80\";proto=https, for=10.3.3.3",
    )];
    assert_eq!(
        behind(Forwarded, "[2001:db8::1]:1", &headers),
        address("2001:dead::1")
    );
}

#[test]
fn lines_of_a_header_are_one_list() {
    let headers = [
        ("x-forwarded-for", "6.6.6.6, 198.51.100.1"),
        ("x-forwarded-for", "10.1.1.1"),
    ];
    assert_eq!(
        behind(XForwardedFor, "10.0.0.2:1", &headers),
        address("198.51.100.1")
    );
}

#[test]
fn only_the_header_that_proxies_write_is_read() {
    let headers = [
        ("x-forwarded-for", "198.51.100.1"),
        ("forwarded", "for=6.6.6.6"),
    ];
    assert_eq!(
        behind(XForwardedFor, "10.0.0.2:1", &headers),
        address("198.51.100.1")
    );
    assert_eq!(
        behind(Forwarded, "10.0.0.2:1", &headers),
        address("6.6.6.6")
    );
    let other = &headers[1..];
    assert_eq!(
        behind(XForwardedFor, "10.0.0.2:1", other),
        address("10.0.0.2")
    );
}

#[test]
fn where_the_proxies_word_ends_the_last_of_them_is_the_client() {
    for chain in [
        "",
        "6.6.6.6, x",
        "6.6.6.6, unknown",
        "6.6.6.6, 1.2.3",
        "6.6.6.6, _hidden",
    ] {
        let headers = [("x-forwarded-for", chain)];
        assert_eq!(
            behind(XForwardedFor, "10.0.0.2:1", &headers),
            address("10.0.0.2"),
            "{chain}"
        );
    }
    let headers = [("x-forwarded-for", "6.6.6.6, x, 10.5.5.5")];
    assert_eq!(
        behind(XForwardedFor, "10.0.0.2:1", &headers),
        address("10.5.5.5")
    );
    for chain in [
        "for=6.6.6.6, for=_hidden",
        "for=6.6.6.6, proto=https",
        "for=6.6.6.6, for=\"1.2.3.4",
    ] {
        let headers = [("forwarded", chain)];
        assert_eq!(
            behind(Forwarded, "10.0.0.2:1", &headers),
            address("10.0.0.2"),
            "{chain}"
        );
    }
}

#[test]
fn a_chain_is_followed_for_so_many_hops_and_no_further() {
    let chain = |proxies: usize| {
        let proxies = vec!["10.1.1.1"; proxies].join(",");
        format!("198.51.100.1,{proxies}")
    };
    let client =
        |chain: String| behind(XForwardedFor, "10.0.0.2:1", &[("x-forwarded-for", &chain)]);
    assert_eq!(client(chain(63)), address("198.51.100.1"));
    assert_eq!(client(chain(64)), address("10.1.1.1"));
}

#[tokio::test]
async fn a_malformed_header_of_a_proxy_is_counted() {
    let trusted = networks(["10.0.0.0/8"]);
    let gateway = builder().trusted_proxies(trusted, XForwardedFor).build();
    for (chain, count) in [
        ("198.51.100.1", 0),
        ("unknown", 0),
        ("1.2.3, 198.51.100.1", 0),
        ("1.2.3", 1),
    ] {
        let request = from("10.0.0.2:1", "/tasks", &[("x-forwarded-for", chain)]);
        assert_eq!(crate::support::status(&gateway, request).await, 200);
        assert_eq!(limited(&gateway, "forwarded").await, count, "{chain}");
    }
}
