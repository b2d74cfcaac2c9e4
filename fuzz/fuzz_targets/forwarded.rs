//! Any header of a proxy, in one line or several: the client is an address that stands there or the
//! proxy, and what the last proxy adds cannot be replaced by what stands before it.

#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
};

use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use progress_core::ProgressTracker;
use progress_web::{ForwardedHeader, Gateway, Network};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// One for each header, as making them costs more than what is asked of them.
static GATEWAYS: LazyLock<[Gateway; 2]> = LazyLock::new(|| {
    [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded].map(|header| {
        let trusted: Network = "10.0.0.0/8".parse().expect("it is a network");
        let gateway = Gateway::builder(ProgressTracker::new());
        gateway.trusted_proxies([trusted], header).build()
    })
});

fuzz_target!(|bytes: &[u8]| {
    let [plain, standard] = &*GATEWAYS;
    for (gateway, name, added) in [
        (plain, "x-forwarded-for", "203.0.113.7"),
        (standard, "forwarded", "for=203.0.113.7"),
        (
            standard,
            "forwarded",
            "for=\"203.0.113.7:4711\";proto=https",
        ),
    ] {
        let mut request = Request::new(());
        request.extensions_mut().insert(SocketAddr::new(PEER, 1));
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
            request.headers_mut().append(name, line);
        }
        let (mut parts, ()) = request.into_parts();
        let client = gateway.client_address(&parts).expect("the peer is known");
        assert_eq!(client, client.to_canonical());

        // The proxy adds to the last line, or a line of its own.
        let last = parts.headers.get_all(name).iter().next_back().cloned();
        parts.headers.append(name, HeaderValue::from_static(added));
        assert_eq!(gateway.client_address(&parts), Some(CLIENT));
        let last = last.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        let joined = [last, b", ", added.as_bytes()].concat();
        parts.headers.remove(name);
        let joined = HeaderValue::from_bytes(&joined).expect("both are");
        parts.headers.append(name, joined);
        let client = gateway.client_address(&parts).expect("the peer is known");
        // A quote that was left open swallows it, and leaves the proxy.
        let swallowed = name == "forwarded" && client == PEER;
        assert!(client == CLIENT || swallowed, "{client}");
    }
});
