//! Frames that are made to hurt: huge, in pieces, compressed.

use std::time::Duration;

use progress_web::Gateway;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::support::{PUBLIC, UPGRADE, ask, builder, from, limited};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// A client that speaks bytes, after the greeting.
struct Client {
    io: DuplexStream,
    server: JoinHandle<()>,
}

impl Client {
    async fn connect(gateway: &Gateway) -> Self {
        let mut response = ask(gateway, from(PUBLIC, "/ws", &UPGRADE)).await;
        let socket = response.body_mut().take_web_socket().unwrap();
        let (io, server) = duplex(64 * 1024);
        let server = tokio::spawn(socket.serve(server));
        let mut client = Self { io, server };
        let (_, connected) = client.next().await;
        let connected: Value = serde_json::from_slice(&connected).unwrap();
        assert_eq!(connected["event_type"], "connected");
        client
    }

    /// Says that a frame of so many bytes comes, and no more.
    async fn announce(&mut self, first: u8, len: u64) {
        let mut head = vec![first, 0x80 | 127];
        head.extend_from_slice(&len.to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        self.io.write_all(&head).await.unwrap();
    }

    async fn send(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let len = u16::try_from(payload.len()).unwrap();
        let mut frame = vec![first, 0x80 | 126];
        frame.extend_from_slice(&len.to_be_bytes());
        // A mask that changes nothing.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.io.write_all(&frame).await
    }

    /// The opcode and payload of what comes next.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.io.read_u8().await.unwrap() & 0x0f;
        let len = match self.io.read_u8().await.unwrap() {
            126 => usize::from(self.io.read_u16().await.unwrap()),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.io.read_exact(&mut payload).await.unwrap();
        (opcode, payload)
    }

    /// The `rejected` frame before the end, if there is one; the close code and its reason.
    async fn end(mut self) -> (Option<Value>, u16, String) {
        let mut rejected = None;
        loop {
            let (opcode, payload) = self.next().await;
            if opcode == 8 {
                let (code, reason) = payload.split_at(2);
                let code = u16::from_be_bytes(code.try_into().unwrap());
                let reason = String::from_utf8(reason.to_vec()).unwrap();
                drop(self.io);
                self.server.await.unwrap();
                return (rejected, code, reason);
            }
            if opcode == TEXT {
                let frame: Value = serde_json::from_slice(&payload).unwrap();
                if frame["event_type"] == "rejected" {
                    rejected = Some(frame["data"].clone());
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_a_mebibyte_is_refused_before_it_is_read() {
    let gateway = builder().build();
    for len in [1 << 20, u64::MAX >> 1] {
        let mut client = Client::connect(&gateway).await;
        let began = Instant::now();
        client.announce(FINAL | TEXT, len).await;
        // Not one byte of it has been sent.
        let (rejected, code, reason) = client.end().await;
        assert_eq!((code, &*reason), (4409, "PAYLOAD_TOO_LARGE"));
        assert_eq!(rejected.unwrap()["details"]["limit"], 16 * 1_024);
        assert!(began.elapsed() < Duration::from_secs(2));
    }
    assert_eq!(limited(&gateway, "message").await, 2);
    assert_eq!(gateway.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_pieces_is_no_larger_than_one_in_one() {
    let gateway = builder().build();
    let mut client = Client::connect(&gateway).await;
    let piece = [b'x'; 1_024];
    client.send(TEXT, &piece).await.unwrap();
    let mut sent = 1;
    while client.send(CONTINUATION, &piece).await.is_ok() && sent < 64 {
        sent += 1;
    }
    let (rejected, code, reason) = client.end().await;
    assert_eq!((code, &*reason), (4409, "PAYLOAD_TOO_LARGE"));
    assert_eq!(rejected.unwrap()["details"]["limit"], 16 * 1_024);
}

#[tokio::test(start_paused = true)]
async fn pieces_without_an_end_are_no_sign_of_life() {
    let gateway = builder().build();
    let mut client = Client::connect(&gateway).await;
    client.send(TEXT, b"").await.unwrap();
    for _ in 0..70 {
        // Fails once the server has gone.
        let _gone = client.send(CONTINUATION, b"").await;
        sleep(Duration::from_secs(1)).await;
    }
    let (_, code, reason) = client.end().await;
    assert_eq!((code, &*reason), (4012, "HEARTBEAT_LOST"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_byte_by_byte_is_no_sign_of_life_before_it_is_whole() {
    let gateway = builder().build();
    let mut slow = Client::connect(&gateway).await;
    slow.announce(FINAL | TEXT, 1_000).await;
    for _ in 0..70 {
        let _gone = slow.io.write_all(b" ").await;
        sleep(Duration::from_secs(1)).await;
    }
    let (_, code, reason) = slow.end().await;
    assert_eq!((code, &*reason), (4012, "HEARTBEAT_LOST"));
    assert_eq!(gateway.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn compression_is_never_agreed_on_and_a_compressed_frame_breaks_the_protocol() {
    let gateway = builder().build();
    let offers = "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame";
    let mut headers = UPGRADE.to_vec();
    headers.push(("sec-websocket-extensions", offers));
    let response = ask(&gateway, from(PUBLIC, "/ws", &headers)).await;
    assert_eq!(response.status(), 101);
    assert!(!response.headers().contains_key("sec-websocket-extensions"));
    let mut client = Client::connect(&gateway).await;
    client
        .send(FINAL | COMPRESSED | TEXT, b"\x01\x02")
        .await
        .unwrap();
    let (rejected, code, _) = client.end().await;
    assert_eq!((rejected, code), (None, 1002));
}
