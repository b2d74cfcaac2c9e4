//! Clients of event streams that take nothing any more, without a word.

#![cfg(target_os = "linux")]

mod support;

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

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
    until_sessions(&server, 1, async || {}).await;
    let large = json!({"event_type": "large", "data": "x".repeat(60 * 1024)});
    // As much as fills every buffer on the way, however large they grow.
    until_sessions(&server, 0, async || {
        let (status, answer) = server.post("/tasks/frozen/events", &large).await;
        assert_eq!(status, 202, "{answer}");
    })
    .await;
}

async fn until_sessions(server: &Server, count: usize, mut meanwhile: impl AsyncFnMut()) {
    let counted = async {
        loop {
            let (_, health) = server.get("/health").await;
            let health: Value = serde_json::from_str(&health).unwrap();
            if health["sessions"] == count {
                return;
            }
            meanwhile().await;
        }
    };
    let in_time = timeout(PATIENCE, counted).await;
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
        .write_all(b"GET /sse/progress/frozen HTTP/1.1\r\nhost: test\r\n\r\n")
        .unwrap();
    stream
}
