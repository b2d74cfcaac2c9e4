//! WebSockets over a connection in memory, on a clock that stands still unless it is waited for.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use progress_core::{EventPayload, ProgressTracker, Task};
use progress_web::{Gateway, Open, WebSocket};
use serde::Serialize;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
    },
    task::JoinHandle,
    time::{Instant, sleep},
};

const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(1);
/// More than is ever in flight here.
const WIDE: usize = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Photo {
    pixels: String,
}

impl EventPayload for Photo {
    const EVENT_TYPE: &'static str = "photo";
}

fn photo(task: &Task, bytes: usize) {
    let pixels = "x".repeat(bytes);
    task.emit(Photo { pixels }).unwrap();
}

fn gateway() -> Gateway {
    Gateway::builder(ProgressTracker::new())
        .authorizer(Open::new().named_ids().managing())
        .build()
}

/// Whether operators see that one connection was closed with a code.
async fn is_counted(gateway: &Gateway, code: u16) -> bool {
    let request = Request::get("/metrics").body(()).unwrap().into_parts().0;
    let text = gateway.metrics(&request).await.into_body();
    let line = format!("progress_session_closes_total{{code=\"{code}\",kind=\"websocket\"}} 1");
    String::from_utf8_lossy(&text).contains(&line)
}

fn task(gateway: &Gateway) -> Task {
    gateway.tracker().task("a").start().unwrap()
}

async fn web_socket(gateway: &Gateway) -> WebSocket {
    let request = Request::get("/ws/progress/a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(String::new())
        .unwrap();
    let path = gateway.find("/ws/progress/a").unwrap();
    let mut response = gateway.respond(path.path, &path.parameter, request).await;
    assert_eq!(response.status(), 101);
    response.body_mut().take_web_socket().unwrap()
}

/// A watcher, by a connection that holds so many bytes; and its server.
async fn watch(gateway: &Gateway, holds: usize) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(holds);
    let socket = web_socket(gateway).await;
    (client, tokio::spawn(socket.serve(server)))
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// A frame's first byte, and its payload.
async fn frame(io: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let first = io.read_u8().await.unwrap();
    let len = match io.read_u8().await.unwrap() {
        126 => usize::from(io.read_u16().await.unwrap()),
        127 => usize::try_from(io.read_u64().await.unwrap()).unwrap(),
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    io.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

async fn texts(io: &mut (impl AsyncRead + Unpin), count: usize) {
    for _ in 0..count {
        assert_eq!(frame(io).await.0, TEXT);
    }
}

/// How the server closes, whatever comes before.
async fn close(io: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    loop {
        if let (CLOSE, payload) = frame(io).await {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
        }
    }
}

/// Notes the length of each write.
struct Noting {
    io: DuplexStream,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = poll {
            self.writes.lock().unwrap().push(count);
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_is_ready_goes_out_in_one_write() {
    let gateway = gateway();
    let task = task(&gateway);
    (0..20).for_each(|_| photo(&task, 100));
    let (mut client, io) = duplex(WIDE);
    let writes = Arc::new(Mutex::new(Vec::new()));
    let noting = Noting {
        io,
        writes: Arc::clone(&writes),
    };
    tokio::spawn(web_socket(&gateway).await.serve(noting));
    texts(&mut client, 22).await;
    assert_eq!(writes.lock().unwrap().len(), 1);
    (0..10).for_each(|_| photo(&task, 100));
    texts(&mut client, 10).await;
    assert_eq!(writes.lock().unwrap().len(), 2);

    // But not more than is worth it, however much is ready.
    (0..30).for_each(|_| photo(&task, 10 * 1024));
    texts(&mut client, 30).await;
    let writes = writes.lock().unwrap();
    let largest = writes.iter().max().unwrap();
    assert!((64 * 1024..76 * 1024).contains(largest), "{largest}");
    assert!(writes.len() < 10, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn connection_that_takes_no_byte_is_given_up_in_its_time() {
    // Alone, and with time for what waits.
    for (bytes, times) in [(10_000, 1), (60_000, 1), (0, 1)] {
        let gateway = gateway();
        let task = task(&gateway);
        photo(&task, bytes);
        let (mut client, server) = watch(&gateway, 16).await;
        let began = Instant::now();
        server.await.unwrap();
        assert_eq!(began.elapsed(), PATIENCE * times + GRACE, "{bytes}");
        assert_eq!(gateway.sessions(), 0);
        assert!(is_counted(&gateway, 4008).await);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 16, "what it held");
    }
    let gateway = gateway();
    let task = task(&gateway);
    (0..2).for_each(|_| photo(&task, 63 * 1024));
    let (_client, server) = watch(&gateway, 16).await;
    let began = Instant::now();
    server.await.unwrap();
    assert_eq!(began.elapsed(), PATIENCE * 2 + GRACE);
}

#[tokio::test(start_paused = true)]
async fn connection_that_takes_a_little_now_and_then_is_not_stuck() {
    let gateway = gateway();
    let task = task(&gateway);
    photo(&task, 10_000);
    let (mut client, _server) = watch(&gateway, 1_000).await;
    let began = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < 10_000 {
        sleep(PATIENCE * 9 / 10).await;
        let mut chunk = [0; 1_000];
        let count = client.read(&mut chunk).await.unwrap();
        taken.extend_from_slice(&chunk[..count]);
    }
    assert!(began.elapsed() > PATIENCE * 8);
    assert_eq!(gateway.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn close_frame_reaches_one_that_takes_bytes_in_the_last_moment() {
    let gateway = gateway();
    let task = task(&gateway);
    photo(&task, 10_000);
    let (mut client, server) = watch(&gateway, 16).await;
    sleep(PATIENCE + GRACE / 2).await;
    assert_eq!(close(&mut client).await, (4008, "TOO_SLOW".to_owned()));
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_is_told_so() {
    let zero_mask = [0; 4];
    let mut bad_text = vec![TEXT, 0x80 | 2];
    bad_text.extend(zero_mask);
    bad_text.extend([0xff, 0xfe]);
    // Its length is said, not a byte of it has come.
    let far_too_large = [&[TEXT, 0xff][..], &(1_u64 << 40).to_be_bytes(), &zero_mask].concat();
    let large = [
        &[TEXT, 0xff][..],
        &(17 * 1024_u64).to_be_bytes(),
        &zero_mask,
    ]
    .concat();
    let large = [large, vec![b'x'; 17 * 1024]].concat();
    for (bytes, expected) in [
        (vec![TEXT, 1, b'x'], (1002, "")),
        (vec![0xf1, 0x80, 0, 0, 0, 0], (1002, "")),
        (bad_text, (1007, "")),
        (far_too_large, (4409, "PAYLOAD_TOO_LARGE")),
        (large, (4409, "PAYLOAD_TOO_LARGE")),
    ] {
        let gateway = gateway();
        let _task = task(&gateway);
        let (mut client, server) = watch(&gateway, WIDE).await;
        client.write_all(&bytes).await.unwrap();
        let (code, reason) = close(&mut client).await;
        assert_eq!((code, reason.as_str()), expected);
        assert!(is_counted(&gateway, code).await, "{code}");
        // What it says meanwhile is taken and means nothing; with its end the server's comes.
        client.write_all(&[7; 100_000]).await.unwrap();
        let began = Instant::now();
        drop(client);
        server.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_answer_the_close_is_let_go() {
    let gateway = gateway();
    let task = task(&gateway);
    let (mut client, server) = watch(&gateway, WIDE).await;
    texts(&mut client, 2).await;
    task.complete(()).unwrap();
    assert_eq!(close(&mut client).await, (1000, "ENDED".to_owned()));
    let began = Instant::now();
    server.await.unwrap();
    assert_eq!(began.elapsed(), GRACE);
}

#[tokio::test(start_paused = true)]
async fn closing_handshake_ends_at_once() {
    let masked_close = [CLOSE, 0x80 | 2, 0, 0, 0, 0, 0x03, 0xe8];
    // Begun by the server, and by the client.
    for ends in [true, false] {
        let gateway = gateway();
        let task = task(&gateway);
        let (mut client, server) = watch(&gateway, WIDE).await;
        texts(&mut client, 2).await;
        let began = Instant::now();
        if ends {
            task.complete(()).unwrap();
            assert_eq!(close(&mut client).await.0, 1000);
            client.write_all(&masked_close).await.unwrap();
        } else {
            client.write_all(&masked_close).await.unwrap();
            assert_eq!(close(&mut client).await.0, 1000);
        }
        server.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_says_much_and_reads_all_is_served_both_ways() {
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(Open::new().named_ids())
        .message_rate(u32::MAX, 100)
        .build();
    let task = task(&gateway);
    let (client, _server) = watch(&gateway, 4 * 1024).await;
    let (mut from, mut to) = tokio::io::split(client);
    texts(&mut from, 2).await;
    const COUNT: usize = 1_000;
    let ping = br#"{"type":"ping"}"#;
    let command = [&[TEXT, 0x80 | ping.len() as u8, 0, 0, 0, 0], &ping[..]].concat();
    tokio::spawn(async move {
        for _ in 0..COUNT {
            to.write_all(&command).await.unwrap();
        }
        // So that its half is not closed before the answers are read.
        std::future::pending::<()>().await;
    });
    let mut pongs = 0;
    let mut photos = 0;
    while pongs < COUNT {
        let (_, payload) = frame(&mut from).await;
        match String::from_utf8(payload).unwrap() {
            text if text.contains(r#""event_type":"pong""#) => {
                pongs += 1;
                photo(&task, 10);
            }
            text if text.contains(r#""event_type":"photo""#) => photos += 1,
            other => panic!("{other}"),
        }
    }
    assert!(photos > 0, "events come among the answers");
}

#[tokio::test]
async fn future_that_serves_is_no_larger_than_its_connection_and_a_pointer() {
    let gateway = gateway();
    let (_client, server) = duplex(1);
    let socket = web_socket(&gateway).await;
    let future = socket.serve(server);
    let bytes = size_of_val(&future);
    assert!(bytes <= size_of::<DuplexStream>() + 16, "{bytes}");
}
