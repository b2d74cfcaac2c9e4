//! Clients that come through a proxy.

use std::process::Stdio;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::Command,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, client::IntoClientRequest as _, handshake::client, http::HeaderValue},
};

use super::{
    proxy::{NAME, Proxy, nobody},
    support::{PATIENCE, Server},
};

/// An event stream, frame by frame.
#[derive(Debug)]
pub(crate) struct Events {
    response: Response,
    text: String,
    /// What the newest frame with an id had.
    pub(crate) last_id: Option<String>,
}

impl Events {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = timeout(PATIENCE, request.send()).await;
        let response = response.expect("it is answered").unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
            last_id: None,
        }
    }

    pub(crate) fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// The next frame; nothing when the stream has ended or was cut off.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| {
                    let mut lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.next().map(str::to_owned)
                };
                let (id, data) = (line("id: "), line("data: "));
                self.text = rest.to_owned();
                self.last_id = id.or_else(|| self.last_id.take());
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).unwrap()),
                    None => continue,
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("something comes, or the end").ok().flatten()?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The next frame of this type.
    pub(crate) async fn until(&mut self, event_type: &str) -> Value {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| panic!("it has ended without {event_type}"));
            if frame["event_type"] == event_type {
                return frame;
            }
        }
    }
}

/// Opens a WebSocket, with these headers besides.
pub(crate) async fn open(
    proxy: &Proxy,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocketStream<TcpStream>, client::Response), Error> {
    let url = proxy.url(path).replacen("http", "ws", 1);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::try_from(*value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let opening = client_async(request, stream);
    timeout(PATIENCE, opening).await.expect("it is answered")
}

/// A server that knows under which name it is asked, and says so in place of where it listens.
pub(crate) async fn behind(flags: &[&str]) -> Server {
    let address = nobody().to_string();
    let base_url = format!("https://{NAME}");
    let mut process = Command::new(env!("CARGO_BIN_EXE_progress-server"))
        .args(["--open", "--listen", &address, "--base-url", &base_url])
        .args(flags)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let said = timeout(PATIENCE, lines.next_line()).await;
    assert_eq!(said.expect("it is ready").unwrap(), Some(base_url));
    Server::of(process, format!("http://{address}"))
}

/// Publishes a note, past the proxy.
pub(crate) async fn note(server: &Server, task: &str, n: u32) {
    let note = json!({"event_type": "note", "data": {"n": n}});
    let (status, answer) = server.post(&format!("/tasks/{task}/events"), &note).await;
    assert_eq!(status, 202, "{answer}");
}

/// How many connections a server has.
pub(crate) async fn sessions(server: &Server) -> u64 {
    let (_, health) = server.get("/health").await;
    let health: Value = serde_json::from_str(&health).unwrap();
    health["sessions"].as_u64().unwrap()
}

/// Waits until a server has so many connections.
pub(crate) async fn until_sessions(server: &Server, count: u64) {
    let counted = async {
        while sessions(server).await != count {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let in_time = timeout(PATIENCE, counted).await;
    in_time.unwrap_or_else(|_| panic!("there are other than {count} connections"));
}
