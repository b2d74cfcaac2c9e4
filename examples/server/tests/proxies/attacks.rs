//! What a proxy stops, and what gets past it as it came.

use std::{net::SocketAddr, time::Duration};

use reqwest::Body;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Error;

use super::{
    clients::{Events, behind, note, open, until_sessions},
    nodes::node,
    proxy::{Kind, NAME, Proxy, Times},
    support::PATIENCE,
};

/// A node that answers everything with `{}`, and tells the heads of requests that are not for its health.
async fn recorder() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            if !head.starts_with("get /health") {
                let _no_longer = heads.send(head);
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            let _gone = stream.write_all(answer).await;
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_node_hears_who_asks_from_the_proxy_and_the_rest_from_the_client() {
    for kind in Kind::ALL {
        let (node, mut heads) = recorder().await;
        let proxy = Proxy::start(kind, &[node], Times::AsTheyAre).await;
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let origin = format!("https://{NAME}");
        let request = proxy
            .get("/sse/progress/video-42?after=1:1")
            .header("x-forwarded-for", "203.0.113.7")
            .header("forwarded", "for=203.0.113.7")
            .header("x-request-id", "forged")
            .header("traceparent", trace)
            .header("origin", &origin)
            .header("authorization", "Bearer hush")
            .header("cookie", "progress_token=hush")
            .header("last-event-id", "1a2041bf600:7");
        assert_eq!(request.send().await.unwrap().status(), 200);
        let head = timeout(PATIENCE, heads.recv()).await.unwrap().unwrap();
        let values = |name: &str| -> Vec<_> {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .filter(|(found, _)| *found == name)
                .map(|(_, value)| value.to_owned())
                .collect()
        };
        assert!(
            head.starts_with("get /sse/progress/video-42?after=1:1 "),
            "{head}"
        );
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("host", &*format!("{NAME}:{}", proxy.address.port())),
            ("origin", &origin),
            ("traceparent", trace),
            ("authorization", "bearer hush"),
            ("cookie", "progress_token=hush"),
            ("last-event-id", "1a2041bf600:7"),
        ] {
            assert_eq!(values(name), [value], "{kind:?}: {name} of {head}");
        }
        assert!(values("forwarded").is_empty(), "{kind:?}: {head}");
        let ids = values("x-request-id");
        assert!(ids.len() == 1 && ids[0].len() >= 32, "{kind:?}: {head}");
    }
}

#[tokio::test]
async fn a_client_has_its_own_place_whatever_address_it_says() {
    // The proxy is at 127.0.0.1, its clients at other addresses of the loopback network.
    let flags = [
        "--trusted-proxies",
        "127.0.0.1",
        "--max-connections-per-address",
        "1",
    ];
    let server = behind(&flags).await;
    note(&server, "video-42", 0).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let watch = async |from: [u8; 4], said: &str| {
            let client = proxy.http().local_address(std::net::IpAddr::from(from));
            let request = client
                .build()
                .unwrap()
                .get(proxy.url("/sse/progress/video-42"));
            request
                .header("x-forwarded-for", said)
                .send()
                .await
                .unwrap()
        };
        let first = watch([127, 0, 0, 2], "203.0.113.1").await;
        assert_eq!(first.status(), 200, "{kind:?}");
        let again = watch([127, 0, 0, 2], "203.0.113.2").await;
        assert_eq!(again.status(), 503, "{kind:?}");
        let refusal: Value = again.json().await.unwrap();
        assert_eq!(refusal["error"]["code"], "CONNECTION_LIMIT");
        let other = watch([127, 0, 0, 3], "203.0.113.1").await;
        assert_eq!(other.status(), 200, "{kind:?}");
    }
}

/// A page of an attacker whose name is rebound to the proxy's address asks under that name, and so
/// with an `Origin` that is the `Host`.
#[tokio::test]
async fn a_name_that_is_not_ours_reaches_no_node() {
    for kind in Kind::ALL {
        let (node, mut heads) = recorder().await;
        let proxy = Proxy::start(kind, &[node], Times::AsTheyAre).await;
        let request = proxy.get("/tasks").header("host", "evil.example");
        // nginx hangs up, Caddy answers nothing.
        if let Ok(answer) = request.header("origin", "http://evil.example").send().await {
            assert_eq!(answer.text().await.unwrap(), "", "{kind:?}");
        }
        // Only what comes now has been asked for.
        assert!(proxy.get("/own").send().await.is_ok());
        let head = timeout(PATIENCE, heads.recv()).await.unwrap().unwrap();
        assert!(head.starts_with("get /own "), "{kind:?}: {head}");
    }
}

#[tokio::test]
async fn a_page_of_elsewhere_opens_no_web_socket_and_our_own_does() {
    let server = behind(&[]).await;
    note(&server, "video-42", 0).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let own = format!("http://{NAME}:{}", proxy.address.port());
        let opened = open(&proxy, "/ws/progress/video-42", &[("origin", &own)]).await;
        assert!(opened.is_ok(), "{kind:?}: {opened:?}");
        // The name is right, the port is another's.
        for origin in ["https://evil.example", &format!("http://{NAME}:1")] {
            let refused = open(&proxy, "/ws/progress/video-42", &[("origin", origin)]).await;
            let Err(Error::Http(answer)) = refused else {
                panic!("{kind:?}: {origin} was let in");
            };
            assert_eq!(answer.status(), 403, "{kind:?}: {origin}");
        }
    }
}

#[tokio::test]
async fn a_body_passes_up_to_the_limit_and_is_refused_above_in_our_words() {
    let server = behind(&[]).await;
    let most = 8 * 1024 * 1024;
    let body = |len: usize| {
        let event = json!([{"event_type": "note", "data": {"n": 1}}]).to_string();
        format!("{}{event}", " ".repeat(len - event.len()))
    };
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let post = async |body: Body| {
            let request = proxy.post("/tasks/video-42/events");
            let request = request.header("content-type", "application/json");
            let answer = timeout(PATIENCE, request.body(body).send()).await.unwrap();
            let answer = answer.unwrap();
            (
                answer.status().as_u16(),
                answer.json::<Value>().await.unwrap(),
            )
        };
        let (status, answer) = post(body(most).into()).await;
        assert_eq!(
            (status, &answer["accepted"]),
            (202, &json!(1)),
            "{kind:?}: {answer}"
        );
        let (status, refusal) = post(body(most + 1).into()).await;
        let error = &refusal["error"];
        assert_eq!(
            (status, &error["code"]),
            (413, &json!("PAYLOAD_TOO_LARGE")),
            "{kind:?}"
        );
        assert_eq!(error["is_retryable"], false);
        // One whose length is not said, in pieces of a MiB.
        let piece = || Ok::<_, std::io::Error>(" ".repeat(1024 * 1024));
        let pieces = futures_util::stream::iter((0..9).map(move |_| piece()));
        let (status, refusal) = post(Body::wrap_stream(pieces)).await;
        let code = &refusal["error"]["code"];
        assert_eq!(
            (status, code),
            (413, &json!("PAYLOAD_TOO_LARGE")),
            "{kind:?}"
        );
    }
}

/// Where a proxy takes a node for dead after an answer of 503, whoever fills its own place takes the
/// node from everybody.
#[tokio::test]
async fn a_client_at_its_limit_takes_no_node_from_others() {
    let full = ["--max-connections", "10"];
    let servers = [behind(&full).await, behind(&full).await];
    for server in &servers {
        note(server, "video-42", 0).await;
    }
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&servers[0], &servers[1]]).await;
        let watch = || proxy.get("/sse/progress/video-42");
        let mut watching = Vec::new();
        let mut refused = 0;
        while refused < 20 {
            let answer = timeout(PATIENCE, watch().send()).await.unwrap().unwrap();
            if answer.status() == 200 {
                watching.push(answer);
                assert!(watching.len() <= 20, "{kind:?}");
                continue;
            }
            assert_eq!(answer.status(), 503, "{kind:?}");
            let refusal: Value = answer.json().await.unwrap();
            assert_eq!(refusal["error"]["code"], "CONNECTION_LIMIT", "{kind:?}");
            refused += 1;
            // In between somebody asks for something else.
            let other = proxy.get("/tasks/video-42").send().await.unwrap();
            assert_eq!(other.status(), 200, "{kind:?}, after {refused}");
        }
        drop(watching);
        for server in &servers {
            until_sessions(server, 0).await;
        }
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let server = behind(&[]).await;
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind, &[node(&server)], Times::Short).await;
        let mut slow = TcpStream::connect(proxy.address).await.unwrap();
        let head = format!("GET /tasks HTTP/1.1\r\nhost: {NAME}\r\nx-slow: ");
        slow.write_all(head.as_bytes()).await.unwrap();
        let closed = async {
            let mut left = Vec::new();
            let _reset = slow.read_to_end(&mut left).await;
        };
        timeout(Duration::from_secs(10), closed)
            .await
            .expect("it is closed");
    }
}

#[tokio::test]
async fn health_and_metrics_are_not_for_the_public() {
    let server = behind(&[]).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        for path in ["/health", "/health/ready", "/metrics"] {
            let answer = proxy.get(path).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{kind:?}: {path}");
        }
        // What only looks like one of them.
        let mut events = Events::of(proxy.get("/sse/progress/metrics")).await;
        assert_eq!(events.until("connected").await["data"]["resume"], "unknown");
    }
}
