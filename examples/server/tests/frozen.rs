//! Clients of event streams that take nothing any more, without a word.

#![cfg(target_os = "linux")]

mod support;

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::time::{Instant, sleep, timeout};

use self::support::{PATIENCE, Server};

#[tokio::test]
async fn an_event_stream_that_takes_no_bytes_is_given_up_on_axum() {
    given_up_on("axum").await;
}

#[tokio::test]
async fn an_event_stream_that_takes_no_bytes_is_given_up_on_warp() {
    given_up_on("warp").await;
}

/// The peer's TCP goes on acknowledging, with a window that stays closed: the server's probes are
/// answered, and only the user timeout ends it.
async fn given_up_on(adapter: &str) {
    let server = Server::start(&["--adapter", adapter, "--frozen-after", "1s"]).await;
    let _frozen = frozen_watcher(&server);
    until_sessions(&server, 1, PATIENCE, async || {}).await;
    let large = json!({"event_type": "large", "data": "x".repeat(60 * 1024)});
    // As much as fills every buffer on the way, however large they grow.
    until_sessions(&server, 0, PATIENCE, async || {
        let (status, answer) = server.post("/tasks/frozen/events", &large).await;
        assert_eq!(status, 202, "{answer}");
    })
    .await;
}

/// The peer is gone without a word: nothing is acknowledged any more.
async fn found_gone(flags: &[&str], within: Duration) {
    for adapter in ["axum", "warp"] {
        let server = Server::start(&[flags, &["--adapter", adapter]].concat()).await;
        let task = json!({"event_type": "note", "data": 1});
        server.post("/tasks/frozen/events", &task).await;
        let watcher = frozen_watcher(&server);
        until_sessions(&server, 1, PATIENCE, async || {}).await;
        let drop_all = SockFilter::new(RETURN, 0, 0, 0);
        SockRef::from(&watcher).attach_filter(&[drop_all]).unwrap();
        let began = Instant::now();
        // Nothing signals it.
        until_sessions(&server, 0, within, async || sleep(POLL).await).await;
        println!("{adapter}: found after {:?}", began.elapsed());
    }
}

const POLL: Duration = Duration::from_millis(50);
/// Of the packet filter: so many bytes of a packet are let through.
const RETURN: u16 = 0x06;

#[tokio::test]
async fn an_event_stream_whose_client_is_gone_is_found_by_its_heartbeats() {
    let flags = ["--heartbeat", "500ms", "--frozen-after", "1s"];
    found_gone(&flags, PATIENCE).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn with_the_defaults_it_is_found_within_90_seconds() {
    found_gone(&[], Duration::from_secs(90)).await;
}

async fn sessions(server: &Server) -> u64 {
    let (_, health) = server.get("/health").await;
    let health: Value = serde_json::from_str(&health).unwrap();
    health["sessions"].as_u64().unwrap()
}

async fn until_sessions(
    server: &Server,
    count: u64,
    within: Duration,
    mut meanwhile: impl AsyncFnMut(),
) {
    let counted = async {
        while sessions(server).await != count {
            meanwhile().await;
        }
    };
    let in_time = timeout(within, counted).await;
    in_time.unwrap_or_else(|_| panic!("there are other than {count} sessions"));
}

/// A client that asks for an event stream and reads nothing of it, with little room for it.
fn frozen_watcher(server: &Server) -> TcpStream {
    let address: SocketAddr = server.url["http://".len()..].parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream
        .write_all(b"GET /sse/progress/frozen HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    stream
}
