//! Clients of a real server: WebSocket, and SSE by hand.

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::server::Server;

/// A WebSocket that has got its `connected`.
pub(crate) struct Ws(WebSocketStream<TcpStream>);

impl Ws {
    pub(crate) async fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.address)
            .await
            .expect("a connection");
        let url = format!(
            "ws://{}/ws/progress/{}?replay=none",
            server.address, server.task
        );
        let (socket, _) = client_async(url, stream).await.expect("a handshake");
        let mut ws = Self(socket);
        let first = ws.frame().await;
        assert_eq!(first["event_type"], "connected", "{first}");
        ws
    }

    async fn frame(&mut self) -> Value {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(text.as_str()).expect("frames are JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("not a frame: {other:?}"),
            }
        }
    }

    /// When the next event was sent, in microseconds.
    pub(crate) async fn sent_us(&mut self) -> u64 {
        loop {
            if let Some(sent) = self.frame().await["data"]["sent_us"].as_u64() {
                return sent;
            }
        }
    }
}

/// An event stream that has got its `connected`.
pub(crate) struct Sse(BufReader<TcpStream>);

impl Sse {
    pub(crate) async fn open(server: &Server) -> Self {
        let mut stream = TcpStream::connect(&server.address)
            .await
            .expect("a connection");
        let request = format!(
            "GET /sse/progress/{}?replay=none HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            server.task, server.address
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it is read");
        let mut sse = Self(BufReader::new(stream));
        while !sse.line().await.contains("\"connected\"") {}
        sse
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.expect("text");
        assert!(read > 0, "the stream ended");
        line
    }

    /// Waits for the next event.
    pub(crate) async fn event(&mut self) {
        while !self.line().await.contains("\"sent_us\"") {}
    }
}
