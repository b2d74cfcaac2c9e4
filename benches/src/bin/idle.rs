//! What an idle connection costs its server, all in all: 2 000 watchers of one task that says
//! nothing, each sort against a server in a process of its own, whose resident memory is compared.
//!
//! Prints a line each: a name and bytes. `empty_stream` is what an event stream of axum's own takes
//! that has said one word and says no more: ours are to be compared with it.
#![forbid(unsafe_code)]

use std::{
    convert::Infallible,
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use axum::{
    Router,
    response::sse::{Event, Sse},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open};
use tokio::net::TcpListener;

const CONNECTIONS: usize = 2_000;
/// Before the first measurement, so that threads, pools and tables are there.
const WARM: usize = 100;

fn main() {
    if let Some(adapter) = env::args().nth(1) {
        return serve(&adapter);
    }
    for (name, adapter, request) in [
        ("web_socket_axum", "axum", WEB_SOCKET),
        ("web_socket_warp", "warp", WEB_SOCKET),
        ("event_stream_axum", "axum", EVENT_STREAM),
        ("event_stream_warp", "warp", EVENT_STREAM),
        ("empty_stream", "empty", EVENT_STREAM),
    ] {
        println!("{name} {}", idle_connection(adapter, request));
    }
}

const WEB_SOCKET: &str = "GET /ws/progress/idle HTTP/1.1\r\nHost: localhost\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const EVENT_STREAM: &str = "GET /sse/progress/idle HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Once this has come, a connection has all there is.
const LAST_WORD: &[u8] = br#""event_type":"started""#;

fn idle_connection(adapter: &str, request: &str) -> usize {
    let mut server = Command::new(env::current_exe().expect("a program"))
        .arg(adapter)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut address = String::new();
    BufReader::new(server.stdout.take().expect("it is piped"))
        .read_line(&mut address)
        .expect("it says where it listens");
    let connect = || connect(address.trim(), request);
    let _warm: Vec<_> = (0..WARM).map(|_| connect()).collect();
    let before = resident(&server);
    let _idle: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    let after = resident(&server);
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    (after - before) / CONNECTIONS
}

fn connect(address: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while !seen.windows(LAST_WORD.len()).any(|part| part == LAST_WORD) {
        let count = stream.read(&mut chunk).expect("it answers");
        assert_ne!(count, 0, "closed: {}", seen.escape_ascii());
        seen.extend_from_slice(&chunk[..count]);
    }
    stream
}

/// Bytes that the server has in memory, once that number stands still.
fn resident(server: &Child) -> usize {
    let read = || {
        let path = format!("/proc/{}/statm", server.id());
        let statm = fs::read_to_string(path).expect("a system that tells");
        let pages = statm.split(' ').nth(1).expect("its second number");
        pages.parse::<usize>().expect("a number") * 4096
    };
    let mut last = read();
    loop {
        thread::sleep(Duration::from_millis(200));
        let now = read();
        if now == last {
            return now;
        }
        last = now;
    }
}

#[tokio::main]
async fn serve(adapter: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let tracker = ProgressTracker::new();
    let _task = tracker.task("idle").start().expect("a task");
    let open = Open::new().named_ids();
    let gateway = Gateway::builder(tracker).authorizer(open).build();
    match adapter {
        "axum" => {
            let app = progress_axum::router_with(gateway);
            axum::serve(listener, app.into_make_service())
                .await
                .expect("a listener");
        }
        "warp" => {
            let app = progress_warp::routes_with(gateway);
            warp::serve(app).incoming(listener).run().await;
        }
        _ => {
            let word = async || {
                let word = std::str::from_utf8(LAST_WORD).expect("text");
                let said = stream::iter([Ok::<_, Infallible>(Event::default().data(word))]);
                Sse::new(said.chain(stream::pending()))
            };
            let app = Router::new().route("/sse/progress/idle", get(word));
            axum::serve(listener, app.into_make_service())
                .await
                .expect("a listener");
        }
    }
}
